"""Pair the runs of two selections cell by cell, and compare each pair."""

from __future__ import annotations

from dataclasses import dataclass

from npubench.analyze.estimate import Estimate
from npubench.analyze.metrics import HEADLINE
from npubench.errors import InputError
from npubench.record.store import Entry
from npubench.report.differences import find_differences
from npubench.report.efficiency import energy_lines
from npubench.report.page import Difference, EnergyLine, Ratio
from npubench.report.ratio import compare, doubt_about, headline_of, read_measured, worst
from npubench.report.select import Selection, coordinates, latest


@dataclass(frozen=True, slots=True)
class Pair:
    """One cell of both sides: what it is, each side's headline, status and energy, and how A compares with B.

    ``energy_a`` has the ratios of samples a joule, A against B; ``energy_b`` has none.
    """

    cell: tuple[str, ...]
    metric: str
    a: Estimate | None
    b: Estimate | None
    a_status: str
    b_status: str
    grades: tuple[str, ...]
    ratio: Ratio
    findings: tuple[str, ...]
    energy_a: tuple[EnergyLine, ...] = ()
    energy_b: tuple[EnergyLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Pairs:
    """All pairs of two selections, what only one side has, and everything that differs between the sides.

    ``left_out`` is how many further pairs there are that were not asked for.
    """

    a: str
    b: str
    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    differences: tuple[Difference, ...]
    left_out: int = 0


def pair(a: Selection, b: Selection, most: int | None = None) -> Pairs:
    """Pair by workload and scenario, and by precision, target and system where neither side fixes them.

    Args:
        a: One side.
        b: The other.
        most: As many pairs are compared, the first by workload and scenario: each takes two traces; all for ``None``.

    Raises:
        InputError: A side has several runs for one cell, and they are not repeats of one plan entry.
    """
    fixed = {*a.fixed, *b.fixed}
    keys = ["workload", "scenario"]
    if "run" not in fixed:
        keys += [key for key in ("precision", "target") if key not in fixed]
        if not fixed & {"system", "store"}:
            keys.append("system")
    left, right = (_cells(selection, keys) for selection in (a, b))
    both = [cell for cell in left if cell in right]
    labels = ("A: " + a.text, "B: " + b.text) if a.text == b.text else (a.text, b.text)
    return Pairs(
        a=labels[0],
        b=labels[1],
        pairs=tuple(_pair(cell, keys, left[cell], right[cell]) for cell in both[:most]),
        only_a=tuple(" · ".join(cell) for cell in left if cell not in right),
        only_b=tuple(" · ".join(cell) for cell in right if cell not in left),
        differences=find_differences(
            {
                labels[0]: [entry.record for cell in both for entry in left[cell]],
                labels[1]: [entry.record for cell in both for entry in right[cell]],
            }
        ),
        left_out=len(both[most:]) if most is not None else 0,
    )


def _cells(selection: Selection, keys: list[str]) -> dict[tuple[str, ...], list[Entry]]:
    cells: dict[tuple[str, ...], list[Entry]] = {}
    for entry in latest(selection.entries):
        place = coordinates(entry.record)
        cells.setdefault(tuple(place[key] for key in keys), []).append(entry)
    for cell, there in cells.items():
        for key in ("system", "target", "precision"):
            values = sorted({coordinates(entry.record)[key] for entry in there})
            if len(values) > 1:
                raise InputError(
                    f"'{selection.text}': {' · '.join(cell)} was measured with more than one {key} ({', '.join(values)}); "
                    f"choose one by {key}="
                )
    return dict(sorted(cells.items()))


def _pair(cell: tuple[str, ...], keys: list[str], a: list[Entry], b: list[Entry]) -> Pair:
    first, second = read_measured(a), read_measured(b)
    headline = HEADLINE[a[0].record.spec.load.scenario].metric
    said = [*doubt_about(first.records), *doubt_about(second.records), *(f for e in (*a, *b) for f in e.record.findings)]
    shown = tuple(value for key, value in zip(keys, cell, strict=True) if key != "system")
    return Pair(
        cell=shown,
        metric=headline,
        a=headline_of(first.records),
        b=headline_of(second.records),
        a_status=worst(first.records).status,
        b_status=worst(second.records).status,
        grades=tuple(dict.fromkeys(entry.record.spec.grade for entry in (*a, *b))),
        ratio=compare(first, second),
        findings=tuple(dict.fromkeys(f.rule for f in said if f.severity != "note")),
        energy_a=energy_lines(first.records, second.records),
        energy_b=energy_lines(second.records),
    )
