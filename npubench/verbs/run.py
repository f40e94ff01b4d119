"""``npubench run``: carry out a suite, one fresh process a run, and keep every record."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from npubench.analyze.outputs import Score
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import RunSpec
from npubench.plan.suite import HostFile, SuiteFile
from npubench.record.calibration import calibration_digest
from npubench.record.conduct import conduct
from npubench.record.machine import describe_machine
from npubench.record.schema import Record
from npubench.record.store import Store
from npubench.report.words import headline_text
from npubench.verbs.console import STATUS, Steps, err, event_text
from npubench.verbs.prepare import Ready, make_ready


def run_suite(
    suite: SuiteFile,
    where: Path,
    host: HostFile,
    store: Store,
    round_label: str,
    bundles: Mapping[str, tuple[Bundle, Score]] | None = None,
) -> int:
    """Carry out what is not yet in the store.

    Returns:
        The exit code: 0 all ok, 1 some run invalid or failed, 3 a target cannot be used.

    Raises:
        InputError: Something the user gave is wrong.
        KeyboardInterrupt: Stopped by the user; every finished run is kept.
    """
    with store.writing(), _terminating():
        steps = Steps(1, "preparing")
        with steps.shown():
            ready = make_ready(suite, host, where, round_label, steps, bundles)
        machine = describe_machine()
        calibration = calibration_digest(store.root, machine.system_id)
        waiting = [run for run in ready.runs if not store.has(machine.system_id, run[0].run_id)]
        if len(waiting) < len(ready.runs):
            kept = len(ready.runs) - len(waiting)
            err.print(f"{kept} of {len(ready.runs)} runs are in the store already and are kept; measure again with --round NAME", soft_wrap=True)
        steps = Steps(len(waiting), suite.name)
        with steps.shown():
            for spec, bundle, score in waiting:
                label = label_of(spec)
                record = conduct(spec, bundle, score, store, machine, calibration, _follow(label, steps))
                steps.step(_line(label, record))
    return _exit_code(store, ready, machine.system_id)


def label_of(spec: RunSpec) -> str:
    """Return a run for people."""
    again = f" #{spec.repeat + 1}" if spec.repeat else ""
    return f"{spec.workload} {spec.precision} {spec.load.scenario.value} on {spec.target.name}{again}"


def _line(label: str, record: Record) -> str:
    """Return what stays on the screen of one run."""
    text = f"{STATUS[record.status]} {label}"
    if record.status in ("ok", "invalid"):
        text += f"  [bold]{headline_text(record)}[/]"
    if record.reason:
        text += f"\n      {_escape(record.reason)}"
    return text


def _follow(label: str, steps: Steps) -> Any:
    """Return the listener that shows a run's events beside the bar."""
    phase = "start"

    def on_event(event: Mapping[str, Any]) -> None:
        nonlocal phase
        phase = str(event.get("phase", phase))
        steps.now(event_text(label, event, phase))

    return on_event


def _exit_code(store: Store, ready: Ready, system_id: str) -> int:
    for name, why in ready.unusable.items():
        err.print(f"[red]target '{name}' cannot be used here[/]: {_escape(why)}; its runs are missing", soft_wrap=True)
    if ready.unusable:
        return 3
    entries, _ = store.read()
    wanted = {spec.run_id for spec, _, _ in ready.runs}
    bad = [e for e in entries if e.record.run_id in wanted and e.record.system.system_id == system_id and e.record.status in ("invalid", "failed")]
    return 1 if bad else 0


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """Treat a polite kill as the user's interrupt: the worker's group dies with it, finished runs stay."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
