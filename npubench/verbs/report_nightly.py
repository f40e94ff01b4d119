"""``npubench report nightly``: the page of the morning, and an exit code that speaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npubench.report.nightly import alarms, build_nightly
from npubench.report.nightly_nights import Line, Nights, follow
from npubench.testing.conformance.verdict import FAILED, NOTED, PASSED, SKIPPED
from npubench.verbs.documents import asked_formats, write_document
from npubench.verbs.junit import write_junit
from npubench.verbs.report import stored_entries

#: What a state is as the outcome of a test; a cell in quarantine fails nothing.
_OUTCOMES = {"worse": FAILED, "broken": FAILED, "missing": FAILED, "bad": SKIPPED, "noisy": SKIPPED, "other-work": NOTED}
#: What to do about it.
_ADVICE = {
    "worse": "look at what changed in versions, and at the trend; measure again before it is believed",
    "broken": "look at the run's reason and log",
    "missing": "look whether the night was cut short, a device is gone, or the suite no longer has it",
}


def write_nightly(store: Path, junit: Path | None, out: Path | None, formats: str, language: str) -> int:
    """Write the nightly page in every format that is asked for, and JUnit XML where it is; the paths are the last lines.

    Returns:
        1 where something got worse, broke or is missing; else 0.

    Raises:
        InputError: No such format or language, or a file cannot be written.
    """
    wanted = asked_formats(formats, out)
    entries = stored_entries(store)
    nights = follow(entries)
    subject = store.resolve().name or str(store)
    document = build_nightly(entries, subject=subject, nights=nights)
    if junit is not None:
        write_junit(junit, f"{subject} {nights.tonight}", list(cases(nights)), verb="report nightly")
    write_document(document, wanted, language, out, store)
    return 1 if alarms(nights) else 0


def cases(nights: Nights) -> Iterator[dict[str, Any]]:
    """Yield every cell as a test case, in the shape that :func:`npubench.verbs.junit.write_junit` takes."""
    for line in nights.lines:
        _, target, precision, workload, scenario, grade, load = line.cell
        family = f"{target}.{precision}".replace("/", "_")
        yield {
            "name": f"{family}/{workload} {scenario} {load} {grade} on {line.cell[0]}",
            "status": _OUTCOMES.get(line.state, PASSED),
            "seconds": _seconds(line),
            "seen": _seen(line),
            "expected": "there, ok, and no worse than the nights before",
            "advice": _ADVICE.get(line.state, ""),
        }


def _seconds(line: Line) -> float:
    """Return how long tonight's runs took, s; 0 for a cell that is missing."""
    if line.state == "missing":
        return 0.0
    return sum(phase.end_ns - phase.start_ns for record in line.stands[-1].records for phase in record.phases) / 1e9


def _seen(line: Line) -> str:
    """Return what became of a cell as one English sentence, with the runs."""
    last = line.stands[-1]
    runs = ", ".join(last.runs)
    if line.state == "missing":
        return f"missing since {last.night}: last run {runs}"
    if last.status != "ok":
        return f"{last.status}: {last.record.reason or 'no reason'} ({runs})"
    if line.step is None:
        return f"{line.state} ({runs})"
    return f"{line.state}: {line.step.ratio:.4g} times as good as the night before, tolerance ±{line.step.tolerance:.1%} ({runs})"
