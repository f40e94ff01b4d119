"""A run's memory over time as a plot with its phases, and its figures as a table: for run pages and the feedback report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.estimate import Estimate
from npubench.analyze.memory import Memory
from npubench.measure.memory import MEMORY, MemoryTrack, read_memory
from npubench.record.schema import PhaseTime
from npubench.record.store import Entry
from npubench.report.document import (
    Axis,
    Block,
    Cell,
    Column,
    Grid,
    Notice,
    Paragraph,
    Phrase,
    Plot,
    Point,
    Row,
    Series,
    Stretch,
    Value,
)

#: Points of a course; more are thinned out.
POINTS = 240
#: Phases shorter than this part of a course have no room for a name; they stand in the table behind it.
SHORTEST = 0.02
#: What is said of a run's memory, in order.
FIGURES = ("loaded", "start", "end", "peak", "growth", "late")


def memory_blocks(entry: Entry) -> tuple[Block, ...]:
    """Return what a run's page says of memory; readings that are not there or damaged are said to be."""
    memory = entry.record.memory
    if memory is None:
        return (Paragraph((Phrase("serve.no-memory"),)),)
    rows = tuple(Row(Cell(Phrase(f"plot.memory.{name}")), (memory_cell(memory, name),)) for name in FIGURES)
    columns = (Column(Phrase("serve.column.item")), Column(Phrase("serve.column.value"), True))
    grid = Grid("memory", Phrase("serve.caption.memory"), columns, rows, (Phrase("plot.memory.counted"),))
    try:
        plot = memory_plot(entry, "memory-course", {})
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error).rpartition(f"{MEMORY}: ")[2]
        return grid, Notice("warning", Phrase("serve.damaged", {"file": MEMORY, "why": why}))
    return (grid, plot) if plot is not None else (grid,)


def memory_cell(memory: Memory, name: str, runs: tuple[str, ...] = ()) -> Cell:
    """Return one of :data:`FIGURES` as a cell; beside the highest level stands the phase it was in."""
    phase = memory.peak_phase if name == "peak" else None
    remark = Phrase("plot.memory.in-phase", {"phase": phase}) if phase is not None else None
    return Cell(getattr(memory, name), runs, remark)


def memory_plot(entry: Entry, name: str, where: Mapping[str, Value]) -> Plot | None:
    """Return a run's memory over time; ``None`` where there are too few readings for a line.

    Args:
        entry: The run with its folder.
        name: Of the plot, unique in its document.
        where: What the caption says of the run beside; where it is empty, nothing.

    Raises:
        OSError: There are no readings.
        ValueError: They are damaged.
    """
    track = read_memory(entry.folder / MEMORY)
    if len(track.times_ns) < 2:
        return None
    phases = entry.record.phases
    origin = next((p.start_ns for p in phases if p.phase == "measure"), int(track.times_ns[0]))
    at = np.asarray((track.times_ns - origin) * 1e-9, dtype=np.float64)
    kept = np.unique(np.linspace(0, at.size - 1, min(POINTS, at.size)).round().astype(np.intp))
    points = tuple(Point(float(at[n]), float(track.held[n])) for n in kept)
    nature: Literal["measured", "simulated"] = "simulated" if entry.record.system.simulated else "measured"
    caption = Phrase("plot.memory.caption-of", where) if where else Phrase("plot.memory.caption")
    low, high = float(track.held.min()), float(track.held.max())
    return Plot(
        name=name,
        caption=caption,
        alt=Phrase("plot.memory.alt", {"least": low / 2**20, "most": high / 2**20, "seconds": float(at[-1] - at[0])}),
        form="lines",
        x=Axis(Phrase("plot.memory.time"), "s"),
        y=Axis(Phrase("plot.memory.held"), "B", from_zero=True),
        series=(Series(Phrase("plot.memory.held"), points, nature),),
        stretches=tuple(_stretches(phases, origin, float(at[0]), float(at[-1]))),
        table=_by_phase(track, at, name, caption, (entry.record.run_id,)),
    )


def _stretches(phases: tuple[PhaseTime, ...], origin: int, first: float, last: float) -> list[Stretch]:
    """Return the longer phases as parts of the time axis, no further than there are readings."""
    found = []
    for phase in phases:
        start, end = max((phase.start_ns - origin) * 1e-9, first), min((phase.end_ns - origin) * 1e-9, last)
        if end - start > SHORTEST * (last - first):
            found.append(Stretch(Phrase(f"phase.{phase.phase}"), start, end))
    return found


def _by_phase(track: MemoryTrack, at: NDArray[np.float64], name: str, caption: Phrase, runs: tuple[str, ...]) -> Grid:
    """Return the lowest, the highest and the last reading of each phase, in order; the last is taken as the phase ends."""
    turns = np.flatnonzero(np.diff(track.phase, prepend=-1))
    rows = []
    for part in np.split(np.arange(at.size), turns[1:]):
        levels = track.held[part]
        values = (float(levels.min()), float(levels.max()), float(levels[-1]))
        cells = (Cell(Estimate(float(at[part[-1]]), "s")), *(Cell(Estimate(value, "B"), runs) for value in values))
        rows.append(Row(Cell(Phrase(f"phase.{track.phases[track.phase[part[0]]]}")), (*cells, Cell(int(part.size)))))
    columns = ("phase", "until", "least", "most", "last", "readings")
    headings = tuple(Column(Phrase(f"plot.memory.column.{column}"), column != "phase") for column in columns)
    return Grid(f"{name}-data", caption, headings, tuple(rows))
