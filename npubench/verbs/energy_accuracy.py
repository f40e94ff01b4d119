"""``npubench calibrate --energy``: hold reported energy against the truth, over courses of power and manners of showing it.

The table is pure computation on made-up readings of known power, with fixed seeds: every machine makes the same one. Beside it
``energy_live`` has the simulated device draw the same courses live, with the real worker and sampler; that is shown, not kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from npubench.analyze.counter import counter_joules
from npubench.analyze.energy import Track
from npubench.analyze.gauge import gauge_joules
from npubench.analyze.readings import MAX_UNCERTAINTY
from npubench.testing.power import COURSES, SENSORS, Trial, make_trial
from npubench.verbs.console import data, out
from npubench.verbs.energy_live import LiveRow, live_rows, live_table

#: How many windows of each course by each sensor; 225 trials in all.
SEEDS = 5
#: How long they are, s: above the 60 s of a nightly run by what the slowest sensors need.
SECONDS = 75.0

COMMAND = "npubench calibrate --energy --out docs/energy-accuracy.md"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of the windows of one course by one sensor.

    Args:
        course, sensor: As in :mod:`npubench.testing.power`.
        trials: How many windows.
        printed: In how many perf/W would be printed: the energy is certain enough.
        worst: The largest relative error where it is printed; None where it never is.
        held: In how many the interval held the truth, of those that have energy.
        with_energy: How many have energy.
        widest: The largest relative uncertainty of an energy; None where there is none.
        reasons: Why there is no perf/W → how often.
    """

    course: str
    sensor: str
    trials: int
    printed: int
    worst: float | None
    held: int
    with_energy: int
    widest: float | None
    reasons: dict[str, int]


def make_rows(seeds: int = SEEDS, seconds: float = SECONDS) -> list[Row]:
    """Run every trial; a function of its arguments alone."""
    return [
        _row(course, sensor, [make_trial(course, SENSORS[sensor], seed, seconds) for seed in range(seeds)])
        for course in COURSES
        for sensor in SENSORS
    ]


def _row(course: str, sensor: str, trials: list[Trial]) -> Row:
    errors: list[float] = []
    widths: list[float] = []
    reasons: dict[str, int] = {}
    held = 0
    integrate = counter_joules if SENSORS[sensor].kind == "energy" else gauge_joules
    for trial in trials:
        found = integrate(Track(**trial.columns), trial.start_ns, trial.end_ns)
        joules, uncertainty = found.joules, found.uncertainty
        if joules.value is None or uncertainty is None or joules.low is None or joules.high is None:
            why = joules.reason or "no energy"
        else:
            widths.append(uncertainty)
            held += joules.low <= trial.joules <= joules.high
            if uncertainty <= MAX_UNCERTAINTY:
                errors.append(abs(joules.value / trial.joules - 1.0))
                continue
            why = f"uncertain by more than ±{MAX_UNCERTAINTY:.1%}"
        reasons[why] = reasons.get(why, 0) + 1
    return Row(
        course=course,
        sensor=sensor,
        trials=len(trials),
        printed=len(errors),
        worst=max(errors, default=None),
        held=held,
        with_energy=len(widths),
        widest=max(widths, default=None),
        reasons=reasons,
    )


def show_energy_accuracy(path: Path | None, as_json: bool) -> int:
    """Print the table, and write it as Markdown if a file is named; then run the live windows and print what came of them.

    Returns:
        0, or 1 if a bound of the design is broken.

    Raises:
        NpubenchError: A live window could not be measured; the table has been written then.
    """
    rows = make_rows()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(markdown(rows), encoding="utf-8")
    if not as_json:
        _print(rows)
    live = live_rows()
    if as_json:
        content = {"rows": [asdict(row) for row in rows], **_sums(rows), "live": [asdict(row) for row in live]}
        data(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        out.print(live_table(live))
        if path is not None:
            data(str(path.resolve()))
    return 0 if holds(rows) and not too_far(live) else 1


def too_far(live: Iterable[LiveRow]) -> list[LiveRow]:
    """Return the live windows whose energy is printed and off by more than is allowed."""
    return [row for row in live if row.printed and row.error is not None and abs(row.error) > MAX_UNCERTAINTY]


def holds(rows: Iterable[Row]) -> bool:
    """Return whether printed energy is within 0.5 % and the interval holds the truth in 95 of 100 windows (design §12)."""
    sums = _sums(rows)
    return sums["worst"] is not None and sums["worst"] <= MAX_UNCERTAINTY and sums["held_share"] >= 0.95


def _sums(rows: Iterable[Row]) -> dict[str, Any]:
    rows = list(rows)
    having = sum(row.with_energy for row in rows)
    return {
        "trials": sum(row.trials for row in rows),
        "with_energy": having,
        "printed": sum(row.printed for row in rows),
        "worst": max((row.worst for row in rows if row.worst is not None), default=None),
        "held_share": sum(row.held for row in rows) / having if having else 0.0,
    }


_HEADS = ("course of power", "sensor", "perf/W printed", "worst error there", "truth in interval", "widest interval", "else")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.course,
        row.sensor,
        f"{row.printed} of {row.trials}",
        _percent(row.worst),
        f"{row.held} of {row.with_energy}",
        "—" if row.widest is None else f"±{_percent(row.widest)}",
        "; ".join(f"{count} × {why}" for why, count in row.reasons.items()),
    )


def _percent(share: float | None) -> str:
    """Return a share to the hundredth of a percent: coarser than what processors round otherwise."""
    return "—" if share is None else f"{share:.2%}"


def markdown(rows: list[Row]) -> str:
    """Return the table as a page of Markdown."""
    sums = _sums(rows)
    lines = [
        "# How near reported energy is to the truth",
        "",
        f"Made by `{COMMAND}`; a test holds that the command makes this file. Readings are made up from power that is known,",
        "as each sensor would have shown it, with jitter, steps, wraps, late updates and dropped readings; they stand for no",
        "device, and no sampler has read them. The command then has the simulated device draw the same courses live, with the",
        "real worker and sampler, and prints what came of that: it differs from machine to machine and is not in this file.",
        f"Every window is {SECONDS:g} s long and every row has the seeds 0…{SEEDS - 1}.",
        "",
        f"* {sums['trials']} windows, {sums['with_energy']} with an energy, {sums['printed']} certain enough"
        f" (±{MAX_UNCERTAINTY:.1%}) for samples per joule to be printed.",
        f"* Where it is printed the energy is off by {_percent(sums['worst'])} at most; {MAX_UNCERTAINTY:.1%} is allowed.",
        f"* The truth lies inside the printed interval in {sums['held_share']:.1%} of the windows; 95% is asked for.",
        "",
        "| " + " | ".join(_HEADS) + " |",
        "|---|---|---:|---:|---:|---:|---|",
        *("| " + " | ".join(_cells(row)) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _print(rows: list[Row]) -> None:
    table = Table(title="Reported energy against the truth (made-up readings of known power)", title_justify="left")
    for n, head in enumerate(_HEADS):
        table.add_column(head, justify="left" if n in (0, 1, len(_HEADS) - 1) else "right")
    for row in rows:
        table.add_row(*_cells(row))
    out.print(table)
    sums = _sums(rows)
    sign = "[green]✔[/]" if holds(rows) else "[red]✘[/]"
    out.print(
        f"{sign} {sums['trials']} windows: worst error where perf/W is printed {_percent(sums['worst'])} "
        f"(allowed {MAX_UNCERTAINTY:.1%}); truth inside the interval in {sums['held_share']:.1%} (asked for 95%)"
    )
