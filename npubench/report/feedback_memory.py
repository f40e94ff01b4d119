"""What a target's worker holds in memory at each place, and its course over time where it grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from npubench.analyze.memory import growing
from npubench.report.document import Column, Grid, Phrase, Plot, Row, Section
from npubench.report.feedback_cases import Case
from npubench.report.memory_course import FIGURES, memory_cell, memory_plot

#: As many courses are drawn.
MOST_PLOTS = 8


def growth_known(cases: Sequence[Case]) -> bool:
    """Return whether some case says whether memory grows."""
    memories = (record.memory for case in cases for record in case.records)
    return any(memory is not None and memory.growth.value is not None for memory in memories)


def memory_section(cases: Sequence[Case]) -> Section | None:
    """Return memory by place, or ``None`` where no run's memory was read."""
    rows = []
    for case in cases:
        record = next((each for each in (case.record, *case.records) if each.memory is not None), None)
        if record is None or record.memory is None:
            continue
        runs = (record.run_id,)
        rows.append(Row(case.place(), tuple(memory_cell(record.memory, name, runs) for name in FIGURES)))
    if not rows:
        return None
    grid = Grid(
        name="memory",
        caption=Phrase("feedback.memory.caption"),
        columns=(
            Column(Phrase("feedback.column.place")),
            *(Column(Phrase(f"plot.memory.{name}"), True) for name in FIGURES),
        ),
        rows=tuple(rows),
        remarks=(Phrase("plot.memory.counted"), Phrase("feedback.memory.rule")),
    )
    return Section("memory", Phrase("feedback.memory.heading"), (grid, *_plots(cases)))


def _plots(cases: Sequence[Case]) -> Iterator[Plot]:
    """Yield the course of the first run of each place where memory grows."""
    drawn = 0
    for case in cases:
        for entry in case.entries:
            memory = entry.record.memory
            if drawn == MOST_PLOTS or memory is None or growing(memory) is None or not case.traced:
                continue
            try:
                plot = memory_plot(entry, f"memory-{drawn + 1}", case.where())
            except (OSError, ValueError):
                continue
            if plot is not None:
                drawn += 1
                yield plot
                break
