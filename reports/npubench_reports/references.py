"""The runs behind a document's numbers, by their place in its list of runs: every number leads to its records in little room."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from npubench.report.document import Document, Grid, Plot, Section
from npubench_reports.spoken import SpokenRow

#: What may stand in an anchor or a file's name as it is.
_UNSAFE = re.compile(r"[^0-9A-Za-z가-힣_.-]+")


class Span(NamedTuple):
    """Numbers of runs one after the other, both ends included."""

    first: int
    last: int


class References(NamedTuple):
    """The runs that are numbered, and those that the document's list lacks, by identifier."""

    spans: tuple[Span, ...]
    unlisted: tuple[str, ...]

    def __str__(self) -> str:
        numbers = [str(s.first) if s.first == s.last else f"{s.first}–{s.last}" for s in self.spans]
        return ", ".join([*numbers, *self.unlisted])


def numbered(document: Document) -> Mapping[str, int]:
    """Return the number of every run in the document's list, from 1."""
    return {run.run_id: n for n, run in enumerate(document.runs, start=1)}


def references(runs: Iterable[str], numbers: Mapping[str, int]) -> References:
    """Return runs as numbers, neighbours drawn together."""
    several = tuple(dict.fromkeys(runs))
    spans: list[Span] = []
    for n in sorted(numbers[run] for run in several if run in numbers):
        if spans and spans[-1].last == n - 1:
            spans[-1] = Span(spans[-1].first, n)
        else:
            spans.append(Span(n, n))
    return References(tuple(spans), tuple(run for run in several if run not in numbers))


def shared_runs(row: SpokenRow) -> tuple[str, ...]:
    """Return the runs of a row whose cells all stand on the same ones; () where they differ."""
    behind = {frozenset(cell.runs): cell.runs for cell in (row.heading, *row.cells) if cell.runs}
    return next(iter(behind.values())) if len(behind) == 1 else ()


def row_runs(row: SpokenRow) -> tuple[str, ...]:
    """Return all runs of a row."""
    return tuple(dict.fromkeys(run for cell in (row.heading, *row.cells) for run in cell.runs))


def grids(sections: Iterable[Section]) -> Sequence[Grid]:
    """Return all tables of sections in the order they stand in, those behind plots among them."""
    found: list[Grid] = []
    for section in sections:
        found += [block if isinstance(block, Grid) else block.table for block in section.blocks if isinstance(block, Grid | Plot)]
        found += grids(section.sections)
    return found


def safe_names(names: Iterable[str], longest: int = 80) -> list[str]:
    """Return names fit for anchors and files, each there once."""
    made: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = _UNSAFE.sub("-", name).strip("-.")[:longest] or "x"
        n = 2
        unique = plain
        while unique.lower() in taken:
            unique, n = f"{plain}-{n}", n + 1
        taken.add(unique.lower())
        made.append(unique)
    return made
