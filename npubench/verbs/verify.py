"""``npubench verify``: say whether an evidence bundle, a store or a run holds, and where it does not."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from npubench.plan.wheels import npubench_cache
from npubench.record.keys import read_trust, trust_path
from npubench.record.recheck import RunVerdict
from npubench.record.verdict import Verdict
from npubench.record.verify import verify
from npubench.verbs.console import Steps, data, err, out

#: How a check is shown; text and sign, so that nothing is said by colour alone.
_STATE = {"holds": "[green]✔ holds[/]", "fails": "[red]✘ fails[/]", "unknown": "[yellow]▲ open [/]"}
#: The most differences of one run, and the most runs, that are shown on a terminal; --json has them all.
_SHOWN, _SHOWN_RUNS = 12, 50


def check_evidence(path: Path, trust: Path | None, earlier: Sequence[Path], allow_untrusted: bool, as_json: bool) -> int:
    """Check what was handed in and say what came of it.

    Args:
        path: A bundle, a store, or a run's folder.
        trust: The trust list; ``None`` = by the environment, or the user's own.
        earlier: Stores or bundles with earlier seals of the same store.
        allow_untrusted: A signature that is missing or not trusted does not count.
        as_json: Print the verdict as JSON.

    Returns:
        0 if everything holds, 1 if something differs, could not be recomputed, or is not trusted.

    Raises:
        InputError: It is none of these, or the trust list is wrong.
    """
    known = read_trust(trust_path(trust))
    steps: list[Steps] = []
    with contextlib.ExitStack() as shown:

        def on_run(done: int, total: int, run: RunVerdict) -> None:
            if not steps:  # how many there are is known now
                steps.append(shown.enter_context(Steps(total, "checking").shown()))
            steps[0].now(f"checked {run.system}/{run.run_id}")
            steps[0].step()

        verdict = verify(path, known, earlier, npubench_cache(), _processes(), on_run)
    word, code = conclude(verdict, allow_untrusted)
    if as_json:
        data(json.dumps({"verdict": word, "exit_code": code, **asdict(verdict)}, indent=1, ensure_ascii=False))
    else:
        _print(verdict)
        out.print(f"[bold]verdict:[/] {word}", soft_wrap=True)
    return code


def conclude(verdict: Verdict, allow_untrusted: bool) -> tuple[str, int]:
    """Return the verdict in words, and the exit code."""
    if verdict.differs:
        return "does not hold", 1
    if verdict.unchecked:
        return "nothing contradicts it, but not all could be recomputed", 1
    if verdict.trusted is False:
        return "holds, but no key that is trusted signed it", 0 if allow_untrusted else 1
    return ("holds" if verdict.trusted else "holds; a folder has no signature, 'npubench seal' gives one"), 0


def _processes() -> int:
    """Return how many runs are looked at side by side."""
    return len(os.sched_getaffinity(0))


def _print(verdict: Verdict) -> None:
    """Print a verdict for people; what is wrong stands below what was looked at."""
    for check in verdict.checks:
        out.print(f"{_STATE[check.state]} {check.name:<10} {escape(check.text)}", soft_wrap=True)
    _lines("[red]✘[/]", verdict.problems)
    _lines("[dim]note:[/]", verdict.notes)
    told = [run for run in verdict.runs if not run.holds or run.unchecked]
    for run in told[:_SHOWN_RUNS]:
        out.print(f"[bold]run {escape(run.system)}/{escape(run.run_id)}[/]", soft_wrap=True)
        _lines("  [red]✘[/]", run.problems)
        _lines("  [yellow]▲[/]", run.unchecked)
        _lines("  [dim]note:[/]", run.notes)
        _lines(
            "  [red]≠[/]",
            [f"{one.key}: recorded {one.recorded}, recomputed {one.recomputed}" for one in run.differences[:_SHOWN]],
        )
        if len(run.differences) > _SHOWN:
            out.print(f"  and {len(run.differences) - _SHOWN} more differences; --json has them", soft_wrap=True)
    if len(told) > _SHOWN_RUNS:
        out.print(f"and {len(told) - _SHOWN_RUNS} more such runs; --json has them", soft_wrap=True)
    for note in sorted({note for run in verdict.runs if run not in told for note in run.notes}):
        err.print(f"[dim]note:[/] {escape(note)}", soft_wrap=True)


def _lines(sign: str, texts: Iterable[str]) -> None:
    for text in texts:
        out.print(f"{sign} {escape(text)}", soft_wrap=True)
