"""Speak to people: data on standard output, progress and complaints on standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

#: What a verb is asked for. Without emoji: ``mobilint:aries:0`` is a device and no sign of the zodiac.
out = Console(highlight=False, soft_wrap=False, emoji=False)
#: Everything else.
err = Console(stderr=True, highlight=False, emoji=False)

#: Status → how it is shown; text and sign, so that nothing is said by colour alone.
STATUS = {
    "ok": "[green]✔ ok[/]",
    "invalid": "[yellow]▲ invalid[/]",
    "failed": "[red]✘ failed[/]",
    "skipped": "[blue]– skipped[/]",
}


def data(text: str) -> None:
    """Write machine-readable text to standard output as it is."""
    sys.stdout.write(text + "\n")


class Steps:
    """Progress over known steps: a bar on a terminal, a line a step elsewhere."""

    def __init__(self, total: int, what: str) -> None:
        self._total = total
        self._done = 0
        self._what = what
        self._begun = time.monotonic()
        self._bar: Progress | None = None
        if err.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.completed}/{task.total}"),
                BarColumn(20),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task(what, total=total)

    def now(self, text: str) -> None:
        """Say what is being done; lines are only written where there is a bar to redraw."""
        if self._bar is not None:
            self._bar.update(self._task, description=text)

    def line(self, text: str) -> None:
        """Write a line that stays."""
        err.print(text, soft_wrap=True)

    def step(self, text: str = "") -> None:
        """Count a step, with a line that stays."""
        self._done += 1
        if text:
            width = len(str(self._total))
            self.line(f"[dim]{self._done:>{width}}/{self._total} {time.monotonic() - self._begun:6.1f} s[/] {text}")
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)

    @contextlib.contextmanager
    def shown(self) -> Iterator[Steps]:
        """Show the bar while inside."""
        if self._bar is None:
            yield self
            return
        with self._bar:
            yield self


def event_text(label: str, event: Mapping[str, Any], phase: str) -> str:
    """Return a worker's event as the text beside the bar."""
    kind = event["event"]
    if kind == "progress":
        return f"{label} · {phase} · {event['done']} samples"
    if kind == "search":
        return f"{label} · search · {event['rate']:.1f}/s {'meets' if event['met'] else 'misses'} the bound"
    return f"{label} · {phase}"
