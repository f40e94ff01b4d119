"""Memory in reports: advice where it grows and nowhere else, levels by place, the course with its phases; on run pages too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.memory import Memory
from npubench.measure.memory import MEMORY
from npubench.plan.hardware import Hardware
from npubench.record.schema import PhaseTime
from npubench.record.store import Entry
from npubench.report.document import Block, Facts, Grid, Notice, Paragraph, Phrase, Plot, Section
from npubench.report.feedback import build_feedback
from npubench.report.run_page import run_sections

NO_HARDWARE = Hardware({}, {})
MIB, SECOND = float(1 << 20), 1_000_000_000

Add = Callable[..., Entry]


def memory(rate: float = 0.0, half: float = 0.01, samples: int = 100_000) -> Memory:
    """Return what grows by ``rate`` bytes a sample, known to ``half`` of it, from 100 MiB on."""
    growth = Estimate(rate, "B/sample", rate * (1 - half), rate * (1 + half), 0.99, 60)
    start, end = Estimate(100 * MIB, "B"), Estimate(100 * MIB + rate * samples, "B")
    return Memory(Estimate(90 * MIB, "B"), start, end, end, "measure", growth, growth, samples, 60, 1)


def write_readings(entry: Entry, levels: Sequence[float], first_s: float = -3.0) -> Entry:
    """Put readings beside a record, once a second from three seconds before the measured phase on."""
    n = len(levels)
    times = ((first_s + np.arange(n)) * SECOND).astype(np.int64) + 10 * SECOND
    phase = (times >= 10 * SECOND).astype(np.int64)
    header = np.frombuffer(json.dumps({"version": 1, "phases": ["warm-up", "measure"], "reason": ""}).encode(), np.uint8)
    held = np.array(levels, np.int64)
    np.savez(entry.folder / MEMORY, header=header, times_ns=times, held=held, phase=phase, processes=phase + 1)
    return entry


PHASES = (
    PhaseTime(phase="warm-up", start_ns=0, end_ns=10 * SECOND),
    PhaseTime(phase="baseline", start_ns=10 * SECOND - 1, end_ns=10 * SECOND),
    PhaseTime(phase="measure", start_ns=10 * SECOND, end_ns=70 * SECOND),
)


def blocks(sections: Sequence[Section], name: str) -> Iterator[Block]:
    """Yield the blocks of the section that is called so, wherever it is."""
    for section in sections:
        if section.name == name:
            yield from section.blocks
        yield from blocks(section.sections, name)


def missing(sections: Sequence[Section]) -> set[str]:
    """Return the keys of what a report says it cannot know."""
    (grid,) = (block for block in blocks(sections, "unknown") if isinstance(block, Grid))
    return {row.heading.content.key for row in grid.rows if isinstance(row.heading.content, Phrase)}


def test_growth_is_advised_with_its_evidence(add: Add) -> None:
    entry = write_readings(add(memory=memory(10_000.0), phases=PHASES), [100 * MIB + n * 10 * MIB for n in range(63)])
    sections = build_feedback([entry], "card", hardware=NO_HARDWARE).sections
    (facts,) = (block for block in blocks(sections, "advice-memory-growth-1") if isinstance(block, Facts))
    shown = {fact.label.key: fact.cell for fact in facts.facts if isinstance(fact.label, Phrase)}
    growth = shown["advice.proof.memory-growth"].content
    assert growth == Estimate(1e10, "B", 0.99e10, 1.01e10, 0.99, 60)
    rate = entry.record.metrics["throughput"].value
    end = entry.record.memory.end.value if entry.record.memory else None
    assert rate is not None and end is not None
    hours = (entry.record.system.memory_bytes - end) / (10_000 * rate) / 3600
    told = shown["advice.proof.memory-full"].content
    assert isinstance(told, Phrase)
    assert told.values["hours"] == pytest.approx(hours, rel=0.01)
    assert "feedback.unknown.memory-growth" not in missing(sections)


@pytest.mark.parametrize(("half", "word"), [(0.01, "strong"), (0.7, "likely")])
def test_confidence_follows_the_interval(add: Add, half: float, word: str) -> None:
    sections = build_feedback([add(memory=memory(10_000.0, half))], "card", hardware=NO_HARDWARE).sections
    (grid,) = (block for block in blocks(sections, "advice-memory-growth") if isinstance(block, Grid))
    assert grid.rows[0].cells[0].content == Phrase(f"advice.confidence.{word}")


@pytest.mark.parametrize("rate", [0.0, 14.0, 63.0])
def test_what_the_harness_keeps_is_no_advice(add: Add, rate: float) -> None:
    entry = write_readings(add(memory=memory(rate), phases=PHASES), [100 * MIB] * 63)
    sections = build_feedback([entry], "card", hardware=NO_HARDWARE).sections
    assert not list(blocks(sections, "advice-memory-growth"))
    (grid,) = blocks(sections, "memory")
    assert isinstance(grid, Grid)
    assert [cell.content for cell in grid.rows[0].cells][:2] == [Estimate(90 * MIB, "B"), Estimate(100 * MIB, "B")]


def test_the_course_is_drawn_with_its_longer_phases(add: Add) -> None:
    levels = [100 * MIB + n * 10 * MIB for n in range(603)]
    entry = write_readings(add(memory=memory(10_000.0), phases=PHASES), levels)
    sections = build_feedback([entry], "card", hardware=NO_HARDWARE).sections
    (plot,) = (block for block in blocks(sections, "memory") if isinstance(block, Plot))
    assert len(plot.series[0].points) <= 240
    assert (plot.series[0].points[0].y, plot.series[0].points[-1].y) == (levels[0], levels[-1])
    assert [stretch.label.key for stretch in plot.stretches] == ["phase.measure"]
    by_phase = {row.heading.content.key: [c.content for c in row.cells] for row in plot.table.rows}  # type: ignore[union-attr]
    assert by_phase["phase.warm-up"][1:] == [*(Estimate(levels[n], "B") for n in (0, 2, 2)), 3]
    assert by_phase["phase.measure"][-1] == 600


def test_where_no_run_tells_growth_the_report_says_so(add: Add) -> None:
    short = replace(memory(), growth=absent("B/sample", "needs 20 readings of the memory, there are 3"))
    for target, made in (("old", None), ("short", short)):
        sections = build_feedback([add(target, memory=made)], target, hardware=NO_HARDWARE).sections
        assert "feedback.unknown.memory-growth" in missing(sections)
        assert bool(list(blocks(sections, "memory"))) is (made is not None)


def test_readings_that_are_gone_or_damaged_cost_the_picture_alone(add: Add) -> None:
    entry = add(memory=memory(10_000.0))
    for damage in (lambda path: None, lambda path: path.write_bytes(b"spoilt")):
        damage(entry.folder / MEMORY)
        assert [type(b) for b in blocks(build_feedback([entry], "card", hardware=NO_HARDWARE).sections, "memory")] == [Grid]
        grid, notice = blocks(run_sections(entry), "memory")
        assert isinstance(grid, Grid)
        assert isinstance(notice, Notice)
        assert str(entry.folder) not in str(notice.sentence.values["why"])


def test_a_runs_page_has_its_memory(add: Add) -> None:
    entry = write_readings(add(memory=memory(), phases=PHASES), [100 * MIB] * 63)
    grid, plot = blocks(run_sections(entry), "memory")
    assert isinstance(grid, Grid)
    assert isinstance(plot, Plot)
    assert len(grid.rows) == 6
    (said,) = blocks(run_sections(add(target="other")), "memory")
    assert isinstance(said, Paragraph)


def test_one_reading_is_no_course(add: Add, tmp_path: Path) -> None:
    entry = write_readings(add(memory=memory()), [MIB])
    assert [type(block) for block in blocks(run_sections(entry), "memory")] == [Grid]
