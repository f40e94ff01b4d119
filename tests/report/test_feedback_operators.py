"""Where a profile is there, the report says where the time goes, and the advice on fall-back counts instead of guessing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from npubench.analyze.client import Client
from npubench.analyze.estimate import Estimate
from npubench.analyze.operators import Operators, account_operators, without
from npubench.contract import OperatorTime
from npubench.contract.runspec import Scenario
from npubench.measure.profiled import OPERATORS, Profile, profile_json
from npubench.plan.hardware import Hardware
from npubench.record.schema import ArtefactReference
from npubench.record.store import Entry
from npubench.report.document import Cell, Document, Grid, Paragraph, Phrase, Plot, Reason, Section, Text
from npubench.report.feedback import build_feedback
from npubench.report.feedback_operators import MOST_ROWS
from npubench.report.run_page import run_sections

Add = Callable[..., Entry]

CLIENT = Client(None, 0.5, 0.0, 0, 0.0, cores=8, harness_share=0.01)
MIXED = (
    OperatorTime("conv1", "Conv", 16_000_000, 16, "device"),
    OperatorTime("conv2", "Conv", 8_000_000, 16, "device"),
    OperatorTime("resize", "Resize", 8_000_000, 16, "host"),
)


def artefact(digest: str = "1", host: int | None = 0) -> ArtefactReference:
    return ArtefactReference(
        format="acme",
        digest="sha256:" + digest * 64,
        size_bytes=1000,
        compiler="acmec 1",
        ready=False,
        cached=False,
        notes={},
        device_operators=None if host is None else 90,
        host_operators=host,
        offload_source=None if host is None else "acme's own account",
    )


@pytest.fixture
def profile(tmp_path: Path) -> Callable[..., Operators]:
    def make(*found: OperatorTime, samples: int = 16, batch: int = 1) -> Operators:
        (tmp_path / OPERATORS).write_text(profile_json(Profile(samples, batch, found)), encoding="utf-8")
        return account_operators(tmp_path / OPERATORS)

    return make


def build(*entries: Entry, target: str = "card") -> Document:
    return build_feedback(entries, target, hardware=Hardware({}, {}))


def section(document: Document, name: str) -> Section:
    return next(each for each in document.sections if each.name == name)


def grid(of: Section, name: str) -> Grid:
    return next(b for s in (of, *of.sections) for b in s.blocks if isinstance(b, Grid) and b.name == name)


def value(cell: Cell) -> float | None:
    assert isinstance(cell.content, Estimate)
    return cell.content.value


def unknown(document: Document) -> set[str]:
    rows = grid(section(document, "unknown"), "unknown").rows
    return {row.heading.content.key for row in rows if isinstance(row.heading.content, Phrase)}


def advice(document: Document) -> dict[str, list[Cell]]:
    there = [b for b in document.sections[0].blocks if isinstance(b, Grid)]
    return {row.cells[0].content.key.split(".")[1]: list(row.cells) for g in there for row in g.rows}  # type: ignore[union-attr]


def test_the_longest_operators_come_first_and_the_rest_in_one_line(add: Add, profile: Callable[..., Operators]) -> None:
    many = [OperatorTime(f"conv{n}", "Conv", 1000 * (n + 1), 16, "device") for n in range(MOST_ROWS + 5)]
    document = build(add(ms=1.0, artefact=artefact(), client=CLIENT, operators=profile(*many)))
    there = section(document, "operators")
    rows = grid(there, "operators-1-longest").rows
    assert len(rows) == MOST_ROWS + 1
    assert [row.heading.content.text for row in rows[:2]] == ["conv19", "conv18"]  # type: ignore[union-attr]
    shares, so_far = [value(row.cells[3]) for row in rows], [value(row.cells[4]) for row in rows]
    assert sum(share or 0.0 for share in shares) == pytest.approx(1)
    assert so_far == sorted(so_far, key=lambda each: each or 0.0)
    assert so_far[-1] == 1.0
    assert rows[-1].heading.content == Phrase("feedback.operators.others", {"count": 5})
    assert "feedback.unknown.operator-times" not in unknown(document)


def test_kinds_are_a_picture_that_says_who_ran_on_the_host(add: Add, profile: Callable[..., Operators]) -> None:
    document = build(add(artefact=artefact(host=1), client=CLIENT, operators=profile(*MIXED)))
    plot = next(b for s in section(document, "operators").sections for b in s.blocks if isinstance(b, Plot))
    assert [point.y for point in plot.series[0].points] == [pytest.approx(0.75), pytest.approx(0.25)]
    assert [label.values["where"] for label in plot.x.categories if isinstance(label, Phrase)] == ["device", "host"]


@pytest.mark.parametrize(
    ("scenario", "batch", "factor"),
    # A sample takes 2 ms in the profile. Measured: 1 ms a query, of one sample or of eight.
    [(Scenario.SINGLE_STREAM, 1, 2.0), (Scenario.MULTI_STREAM, 1, 16.0), (Scenario.SERVER, 1, None)],
)
def test_the_sum_is_held_against_what_was_measured(
    add: Add, profile: Callable[..., Operators], scenario: Scenario, batch: int, factor: float | None
) -> None:
    document = build(add(ms=1.0, scenario=scenario, artefact=artefact(), client=CLIENT, operators=profile(*MIXED)))
    (row,) = grid(section(document, "operators"), "operator-profiles").rows
    assert value(row.cells[0]) == pytest.approx(2_000_000)
    assert (None if row.cells[2].content is None else value(row.cells[2])) == (factor and pytest.approx(factor, rel=0.05))


def test_a_fall_back_is_counted_by_the_profile_and_not_guessed(add: Add, profile: Callable[..., Operators]) -> None:
    guessed = advice(build(add(target="other", artefact=artefact(host=1), client=CLIENT), target="other"))["fallback"]
    counted = advice(build(add(artefact=artefact(host=1), client=CLIENT, operators=profile(*MIXED))))["fallback"]
    assert guessed[2].content == Phrase("advice.confidence.likely")
    assert counted[2].content == Phrase("advice.confidence.strong")
    # A quarter of the time is the host's: without it, a third more.
    assert value(counted[4]) == pytest.approx(1 / 3)
    assert value(guessed[4]) == pytest.approx(0.49 / 0.51)


def test_a_fall_back_that_only_the_profile_knows_is_told(add: Add, profile: Callable[..., Operators]) -> None:
    assert "fallback" not in advice(build(add(target="other", artefact=artefact(host=None), client=CLIENT), target="other"))
    document = build(add(artefact=artefact(host=None), client=CLIENT, operators=profile(*MIXED)))
    assert "fallback" in advice(document)


def test_another_nights_profile_of_the_same_artefact_serves(add: Add, profile: Callable[..., Operators]) -> None:
    old = add(artefact=artefact(), client=CLIENT, operators=profile(*MIXED), spec={"round": "monday", "profile": True})
    new = add(artefact=artefact(), client=CLIENT, spec={"round": "tuesday"}, started_at="2026-08-02T00:00:00+00:00")
    document = build(old, new)
    (row,) = grid(section(document, "operators"), "operator-profiles").rows
    assert row.cells[0].runs == (old.record.run_id,)
    assert row.cells[1].runs == (new.record.run_id,)
    assert old.record.run_id in {run.run_id for run in document.runs}


def test_a_profile_of_another_artefact_does_not(add: Add, profile: Callable[..., Operators]) -> None:
    old = add(artefact=artefact("2"), client=CLIENT, operators=profile(*MIXED), spec={"round": "monday"})
    new = add(artefact=artefact(), client=CLIENT, spec={"round": "tuesday"}, started_at="2026-08-02T00:00:00+00:00")
    document = build(old, new)
    assert section(document, "operators").sections == ()
    assert "feedback.unknown.operator-times" in unknown(document)


def test_a_profile_that_came_to_nothing_says_why(add: Add) -> None:
    document = build(add(artefact=artefact(), client=CLIENT, operators=without("the card is warm")))
    (row,) = grid(section(document, "operators"), "operator-profiles").rows
    assert row.cells[0].content == Estimate(None, "ns", reason="the card is warm")
    assert "feedback.unknown.operator-times" in unknown(document)


def test_a_runs_own_page_shows_its_profile_or_says_why_there_is_none(add: Add, profile: Callable[..., Operators]) -> None:
    made = add(artefact=artefact(host=1), client=CLIENT, operators=profile(*MIXED))
    shown = {each.name: each for each in run_sections(made)}["operators"]
    longest = [row.heading.content for row in grid(shown, "operators-1-longest").rows]
    assert longest == [Text("conv1"), Text("conv2"), Text("resize")]
    none = {
        each.name: each for each in run_sections(add("two", artefact=artefact(), client=CLIENT, operators=without("it crashed")))
    }
    (said,) = none["operators"].blocks
    assert isinstance(said, Paragraph)
    assert said.sentences[1] == Reason("it crashed")
    assert "operators" not in {each.name for each in run_sections(add("three", artefact=artefact(), client=CLIENT))}
