"""Cut the runs of a store into nights and cells: what was measured when, and how tonight stands to the nights before.

A night is runs with less than :data:`GAP` between them; what begins on one day (KST) is one night, so that a night that crosses
midnight stays whole and a run repeated in the morning belongs to its own day. It is called by the day it began on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal

from npubench.analyze.changes import Change
from npubench.analyze.estimate import Estimate
from npubench.analyze.metrics import HEADLINE
from npubench.analyze.trend import NOISY, WINDOW, Step, level_changes, scatter, step
from npubench.contract.runspec import to_plain
from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.ratio import headline_of, worst

#: Runs further apart than this are of different nights, unless they are of one day.
GAP = timedelta(hours=4)
#: A night lasts no longer, however dense the runs.
LONGEST = timedelta(hours=24)
#: A cell is missed tonight that was there the night before, or in two of this many nights before.
RECENT = 7
#: Nights that are looked back at.
MOST_NIGHTS = 90

#: Korea has no daylight saving (see ``npubench_reports.numbers``).
KST = timezone(timedelta(hours=9), "KST")

#: (system, target, precision, workload, scenario, grade, load).
Cell = tuple[str, str, str, str, str, str, str]

#: What became of a cell; ``worse`` is of the figure, ``broken`` of the run.
State = Literal["better", "worse", "same", "broken", "mended", "new", "missing", "noisy", "bad", "other-work"]
#: The states that are an alarm.
ALARMS: tuple[State, ...] = ("broken", "missing", "worse")


@dataclass(frozen=True, slots=True)
class Stand:
    """A cell in one night: the newest run, or all repeats of one measurement."""

    night: str
    records: tuple[Record, ...]

    @property
    def record(self) -> Record:
        """The repeat that came out worst."""
        return worst(self.records)

    @property
    def status(self) -> str:
        """The worst repeat's status."""
        return self.record.status

    @property
    def runs(self) -> tuple[str, ...]:
        """The repeats' ids."""
        return tuple(record.run_id for record in self.records)

    @property
    def headline(self) -> Estimate | None:
        """The headline of a run that holds; an invalid one's counts for nothing here."""
        return headline_of(self.records) if self.status == "ok" else None


@dataclass(frozen=True, slots=True)
class Line:
    """A cell over the nights, and what became of it tonight.

    Args:
        cell: Which.
        stands: Its nights, in order; the last is tonight's unless it is missing.
        state: What became of it.
        step: How tonight's figure stands to the one before; ``None`` where there is nothing to compare.
        scatter: Standard deviation of a night's value as a part; ``None`` where there are too few nights.
        changes: Changes of level over the nights with a figure, by their index among :attr:`valued`.
    """

    cell: Cell
    stands: tuple[Stand, ...]
    state: State
    step: Step | None
    scatter: float | None
    changes: tuple[Change, ...]

    @property
    def valued(self) -> tuple[Stand, ...]:
        """The nights of the same work that have a figure."""
        return valued(self.stands)


@dataclass(frozen=True, slots=True)
class Nights:
    """All nights by name, in order, and every cell's line."""

    names: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def tonight(self) -> str:
        """The last night's name."""
        return self.names[-1]

    def of(self, *states: State) -> tuple[Line, ...]:
        """Return the lines in one of ``states``."""
        return tuple(line for line in self.lines if line.state in states)


def valued(stands: Sequence[Stand]) -> tuple[Stand, ...]:
    """Return those with a figure above 0 and of the work that the last of them did."""
    known = [s for s in stands if s.headline is not None and (s.headline.value or 0.0) > 0]
    return tuple(s for s in known if s.record.bundle.work_digest == known[-1].record.bundle.work_digest)


def when(record: Record) -> datetime:
    """Return when a run began, KST; a time without a zone is UTC, and what is no time is long ago."""
    try:
        moment = datetime.fromisoformat(record.provenance.started_at.replace("Z", "+00:00"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(KST)
    except (ValueError, OverflowError):
        return datetime(1970, 1, 2, tzinfo=KST)


def cell_of(record: Record) -> Cell:
    """Return the cell that a run belongs to; batch and requests in flight as they were asked for."""
    spec = record.spec
    load = f"{spec.load.batch}/{spec.load.in_flight}"
    return (record.system.system_id, spec.target.name, spec.precision, spec.workload, spec.load.scenario.value, spec.grade, load)


def cut_nights(entries: Sequence[Entry]) -> dict[str, list[Record]]:
    """Return the runs by night, both in order of time."""
    records = sorted(((when(e.record), e.record) for e in entries), key=lambda each: (each[0], each[1].run_id))
    found: dict[str, list[Record]] = {}
    began = last = None
    name = ""
    for moment, record in records:
        if began is None or last is None or moment - last >= GAP or moment - began >= LONGEST:
            began, name = moment, moment.date().isoformat()
        found.setdefault(name, []).append(record)
        last = moment
    return found


def follow(entries: Sequence[Entry]) -> Nights:
    """Return every cell over the nights.

    Args:
        entries: All runs of a store; one at least.
    """
    nights = cut_nights(entries)
    names = tuple(nights)[-MOST_NIGHTS:]
    cells: dict[Cell, list[Stand]] = {}
    for name in names:
        there: dict[Cell, list[Record]] = {}
        for record in nights[name]:
            there.setdefault(cell_of(record), []).append(record)
        for cell, records in there.items():
            cells.setdefault(cell, []).append(Stand(name, _newest(records)))
    lines = [line for cell, stands in sorted(cells.items()) if (line := _line(cell, stands, names)) is not None]
    return Nights(names, tuple(lines))


def _newest(records: Sequence[Record]) -> tuple[Record, ...]:
    """Return the newest of a night's runs of one cell with its repeats; each repeat's newest."""

    def entry(record: Record) -> Mapping[str, object]:
        plain = to_plain(record.spec.target)
        return {"round": record.spec.round, "suite": record.spec.suite, "target": plain, "work": record.bundle.work_digest}

    if len(records) == 1:
        return tuple(records)
    wanted = entry(records[-1])
    return tuple({r.spec.repeat: r for r in records if entry(r) == wanted}.values())


def _line(cell: Cell, stands: Sequence[Stand], names: Sequence[str]) -> Line | None:
    """Return a cell's line; ``None`` for one that is gone for so long that nobody misses it."""
    here = stands[-1].night == names[-1]
    before = list(stands[:-1]) if here else list(stands)
    if not here:
        recent = set(names[-1 - RECENT : -1])
        seen = [s for s in before if s.night in recent]
        if not seen or (seen[-1].night != names[-2] and len(seen) < 2):
            return None
    known = valued(stands)
    figures = [s.headline for s in known if s.headline is not None]
    values = [float(figure.value or 0.0) for figure in figures]
    # Tonight itself is left out of the scatter it is held against.
    tonight = here and bool(known) and known[-1] is stands[-1]
    spread = scatter((values[:-1] if tonight else values)[-WINDOW:])
    moved = None
    if tonight and len(figures) > 1:
        scenario = stands[-1].record.spec.load.scenario
        moved = step(figures[:-1], figures[-1], higher_is_better=HEADLINE[scenario].higher_is_better)
    state = _state(stands[-1] if here else None, before, moved, spread)
    return Line(cell, tuple(stands), state, moved, spread, level_changes(values))


def _state(now: Stand | None, before: Sequence[Stand], moved: Step | None, spread: float | None) -> State:
    if now is None:
        return "missing"
    if not before:
        return "new"
    then = before[-1].status
    if now.status != "ok":
        return "broken" if then == "ok" else "bad"
    if moved is None:
        return "mended" if then != "ok" else "other-work"
    if spread is not None and spread >= NOISY:
        return "noisy"
    if then != "ok" and moved.move == "same":
        return "mended"
    return moved.move
