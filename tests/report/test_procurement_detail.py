"""A report of many candidates goes into a few of them, and loses none: the rest is counted, ranked and scored with these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.analyze.finding import Finding
from npubench.contract.runspec import Scenario
from npubench.record.schema import Energy
from npubench.record.store import Entry, Store
from npubench.report import others, procurement_detail, ratio
from npubench.report.cited import cited
from npubench.report.document import Document, Grid, Notice, Paragraph, Phrase, Plot, Row, Section
from npubench.report.operating_cost import Costs, read_costs
from npubench.report.procurement import build_procurement
from npubench.report.procurement_detail import Interest, choose_detail
from npubench.report.procurement_lineup import line_up
from npubench.report.procurement_offers import Lineup
from npubench.report.requirements import Sheet, read_sheet
from npubench.report.scoring import score_all
from npubench_reports.document_html import render
from npubench_reports.messages import load
from npubench_reports.spoken import phrase, spoken

Add = Callable[..., Entry]

#: Target → ms a query: the higher its number, the slower; the reference is in the middle.
SPEEDS = {"c1": 1.0, "c2": 1.5, "gpu": 2.0, "c3": 3.0, "c4": 4.5, "c5": 6.0, "c6": 9.0}

SHEET = """
schema_version = 1
name = "tender"
[[requirement]]
workload = "tiny"
scenario = "single-stream"
metric = "speed_ratio"
min = 0.5
weight = 10
mandatory = true
[[requirement]]
workload = "tiny"
scenario = "single-stream"
metric = "latency_p90"
unit = "ms"
max = 5
weight = 10
"""

COST = """
schema_version = 1
name = "center"
term_years = 5
discount_rate = 0.045
utilisation = 0.6
[tariff]
name = "t"
date = "2024-10-24"
source = "tariff table"
krw_per_kwh = 120.0
[[device]]
target = "c6"
capital_krw = 1000000
source = "an offer"
"""


@pytest.fixture
def many(store: Store, add: Add, make_energy: Callable[..., Energy]) -> list[Entry]:
    """Seven candidates in one place, two of them in another, and one whose run is invalid."""
    for n, (target, ms) in enumerate(SPEEDS.items()):
        add(target, ms, seed=n, energy=(make_energy(10 * ms),), **({"findings": (LAG,)} if target == "c5" else {}))
    add("bad", 0.1, status="invalid", reason="it is", findings=(SHORT,))
    add("gpu", 2.0, scenario=Scenario.OFFLINE)
    add("c4", 2.5, scenario=Scenario.OFFLINE, seed=1)
    return store.read()[0]


LAG = Finding("client-lag", "warning", "x", "y", "z", {})
SHORT = Finding("duration", "invalid", "x", "y", "z", {})


def sheet(folder: Path) -> Sheet:
    (folder / "sheet.toml").write_text(SHEET, encoding="utf-8")
    return read_sheet(folder / "sheet.toml", ["tiny"])


def costs(folder: Path) -> Costs:
    (folder / "cost.toml").write_text(COST, encoding="utf-8")
    return read_costs(folder / "cost.toml", SPEEDS, ["tiny"])


def build(entries: list[Entry], **asked: Any) -> Document:
    return build_procurement(entries, subject="store", reference="gpu", **asked)


def cut(entries: list[Entry], most: int, **asked: Any) -> Lineup:
    return line_up(entries, "gpu", most=most, **asked)


def details(lineup: Lineup) -> dict[str, set[str]]:
    """Return scenario → targets that are detailed there."""
    label = lineup.label
    return {spot.place[1]: {label(s.offer).split(" ")[0] for s in spot.detailed} for spot in lineup.spots}


def grids(sections: Any) -> dict[str, Grid]:
    found = {}
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Grid | Plot):
                grid = block.table if isinstance(block, Plot) else block
                found[grid.name] = grid
        found |= grids(section.sections)
    return found


def rows(document: Document, name: str) -> list[list[str]]:
    """Return the rows of a table as they are read in English."""
    messages = load("en")

    def read(row: Row) -> list[str]:
        return [spoken(cell, messages).text for cell in (row.heading, *row.cells)]

    return [read(row) for row in grids(document.sections)[name].rows]


def section(document: Document, name: str) -> Section:
    return next(section for section in document.sections if section.name == name)


def said(document: Document, language: str = "en") -> str:
    """Return all sentences of a document outside of tables."""
    messages = load(language)
    found = []
    for each in document.sections:
        for block in each.blocks:
            sentences = block.sentences if isinstance(block, Paragraph) else ()
            found += [str(phrase(s, messages)) for s in sentences]
            found += [str(phrase(block.sentence, messages))] if isinstance(block, Notice) else []
    return "\n".join(found)


def test_as_many_as_are_detailed_leave_everything_as_it_is(many: list[Entry], tmp_path: Path) -> None:
    asked = {"sheet": sheet(tmp_path), "costs": costs(tmp_path)}
    whole, bound = build(many, **asked, most=10**6), build(many, **asked, most=10)
    assert whole.sections == bound.sections
    assert whole.runs == bound.runs
    assert "others" not in {section.name for section in whole.sections}
    assert "others" in {section.name for section in build(many, most=9).sections}


def test_the_reference_and_the_best_are_detailed_and_places_share(many: list[Entry]) -> None:
    assert details(cut(many, 10)) == {
        "offline": {"gpu", "c4"},
        "single-stream": {"gpu", "c1", "c2", "c3", "c4", "c5", "c6", "bad"},
    }
    # Two each, then one at a time: the smaller place has no use for more.
    assert details(cut(many, 7)) == {"offline": {"gpu", "c4"}, "single-stream": {"gpu", "c1", "c2", "c3", "c4"}}
    assert details(cut(many, 4)) == {"offline": {"gpu", "c4"}, "single-stream": {"gpu", "c1"}}
    # Not enough for all: the place with most candidates, or the one that was asked about.
    assert details(cut(many, 2)) == {"offline": set(), "single-stream": {"gpu", "c1"}}
    asked = Interest(places=frozenset({("tiny", "offline")}))
    assert details(cut(many, 2, interest=asked)) == {"offline": {"gpu", "c4"}, "single-stream": set()}


def test_those_that_have_a_price_come_before_the_best(many: list[Entry], tmp_path: Path) -> None:
    found = grids(build(many, costs=costs(tmp_path), most=5).sections)["place-tiny-single-stream-metrics"]
    assert [row.heading.content.text for row in found.rows] == ["gpu · fp32", "c1 · fp32", "c6 · fp32"]  # type: ignore[union-attr]


def test_what_cannot_be_ranked_comes_last(many: list[Entry]) -> None:
    lineup = cut(many, 10**6)
    places = dict.fromkeys(range(1, 10), None)
    order = [
        sorted(choose_detail(lineup.spots[1:], lineup.reference, lineup.offers, Interest(), most), key=lambda each: each[1])
        for most in places
    ]
    added = [set(after) - set(before) for before, after in zip([[], *order[:-1]], order, strict=True)]
    names = [lineup.label(offer).split(" ")[0] for each in added for _, offer in each]
    assert names == ["gpu", "c1", "c2", "c3", "c4", "c5", "c6", "bad"]


def test_a_rank_is_among_all_and_the_same_as_without_a_bound(many: list[Entry]) -> None:
    whole, bound = cut(many, 10**6), cut(many, 4)
    ranks = [{s.offer: (s.rank, s.tied) for spot in each.spots for s in spot.standings} for each in (whole, bound)]
    assert ranks[0] == ranks[1]
    document = build(many, most=4)
    # The reference is third of seven, though one alone stands beside it.
    standing = {row[0]: row[1] for row in rows(document, "place-tiny-single-stream-standing")}
    assert standing == {"gpu · fp32": "3", "c1 · fp32": "◎ 1"}
    assert [row[3] for row in rows(document, "others") if row[0] == "c6 · fp32"] == ["7"]


def test_ratios_and_curves_of_what_is_detailed_are_what_they_are_without_a_bound(many: list[Entry]) -> None:
    whole, bound = cut(many, 10**6), cut(many, 5)
    for before, after in zip(whole.spots, bound.spots, strict=True):
        for standing in after.detailed:
            former = before.of(standing.offer)
            assert former is not None
            assert (standing.cell, standing.energy) == (former.cell, former.energy)
    (curves,) = bound.page.distributions
    detailed = {s.offer for spot in bound.spots if spot.place[1] == "single-stream" for s in spot.detailed}
    assert {curve.subject for curve in curves.curves} == detailed
    assert set(curves.curves) <= set(whole.page.distributions[0].curves)


def test_no_trace_is_opened_but_of_what_is_detailed(many: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: set[Path] = set()
    read = ratio.read_trace

    def watch(path: Path) -> Any:
        opened.add(path)
        return read(path)

    monkeypatch.setattr(ratio, "read_trace", watch)
    lineup = cut(many, 4)
    detailed = {run for spot in lineup.spots for s in spot.detailed for run in s.runs}
    assert {path.parent.name for path in opened if path.exists()} == detailed


def test_the_rest_has_a_row_each_and_nothing_vanishes(many: list[Entry]) -> None:
    document = build(many, most=4)
    found = {row[0]: row[1:] for row in rows(document, "others")}
    assert list(found) == ["bad · fp32", "c2 · fp32", "c3 · fp32", "c4 · fp32", "c5 · fp32", "c6 · fp32"]
    assert found["bad · fp32"][0] == "Tiny · Single stream"
    assert "not ranked" in found["bad · fp32"][2]
    assert "invalid" in found["bad · fp32"][3]
    assert found["c2 · fp32"][1].startswith("1.")
    assert {run.target for run in document.runs} == {*SPEEDS, "bad"}
    assert cited(document.sections) <= {run.run_id for run in document.runs}
    text = said(document)
    assert "details 4 of 10 cells" in text
    assert "the other 6 stand in" in text


def test_of_very_many_there_are_counts(many: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "MOST_LISTED", 5)
    document = build(many, most=4)
    # All, ranked, valid without a rank, invalid, failed, skipped; with findings.
    assert rows(document, "others") == [["Tiny · Single stream", "6", "5", "0", "1", "0", "0", "2"]]
    assert "6 cells are not detailed, more than the 5" in said(document)
    assert "npubench serve" in said(document, "ko")
    monkeypatch.setattr(others, "MOST_LISTED", 0)
    assert [row[:2] for row in rows(build(many, most=4), "others")] == [["Single stream", "6"]]


def test_findings_of_what_is_not_detailed_are_counted(many: list[Entry]) -> None:
    (bad,) = (row for row in rows(build(many, most=4), "trust") if row[0].startswith("c5"))
    assert any("1 of 1" in cell or "1" in cell for cell in bad[1:])
    doubts = rows(build(many, most=4), "trust-doubts")
    assert [row[0] for row in doubts] == ["c5 · fp32"]


def test_scores_are_those_of_a_report_without_a_bound(many: list[Entry], tmp_path: Path) -> None:
    asked = sheet(tmp_path)
    interest = procurement_detail.interest_of(asked, None)
    whole, bound = cut(many, 10**6), cut(many, 4, interest=interest)
    assert score_all(whole, asked) == score_all(bound, asked)
    scores = {bound.label(score.offer): score.verdict for score in score_all(bound, asked)}
    assert (scores["c3 · fp32"], scores["c6 · fp32"]) == ("pass", "fail")
    assert "All 7 candidates are held against every requirement" in said(build(many, sheet=asked, most=4))


def test_a_ratio_that_is_not_worked_out_is_missing_and_no_failure(
    many: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("npubench.report.procurement_lineup.MOST_RATIOS", 4)
    asked = sheet(tmp_path)
    lineup = cut(many, 4, interest=procurement_detail.interest_of(asked, None))
    lines = {lineup.label(score.offer): score.lines[0] for score in score_all(lineup, asked)}
    assert (lines["c3 · fp32"].verdict, lines["c6 · fp32"].verdict) == ("pass", "missing")
    assert lines["c6 · fp32"].value.reason == "the ratio is not worked out in this report"
    page = render(build(many, sheet=asked, most=4), language="ko").decode()
    assert "이 보고서에서 계산하지 않은 비율" in page


def test_a_ratio_of_one_batch_is_scored_as_without_a_bound(store: Store, add: Add, tmp_path: Path) -> None:
    for target, ms in (("gpu", 2.0), ("a", 1.0), ("b", 3.0)):
        for batch in (1, 4):
            add(target, ms * batch, load={"batch": batch}, seed=batch)
    (tmp_path / "s.toml").write_text(
        SHEET.replace('metric = "speed_ratio"', 'metric = "speed_ratio"\nbatch = 4'), encoding="utf-8"
    )
    asked = read_sheet(tmp_path / "s.toml", ["tiny"])
    interest = procurement_detail.interest_of(asked, None)
    entries = store.read()[0]
    scores = [score_all(line_up(entries, "gpu", batches=[4], interest=interest, most=most), asked) for most in (None, 2)]
    assert scores[0] == scores[1]
    assert {score.lines[0].value.value is None for score in scores[0]} == {False}


def test_tables_of_candidates_keep_the_reference_and_the_best(
    many: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = sheet(tmp_path)
    lineup = cut(many, 4, interest=procurement_detail.interest_of(asked, None))
    scores = score_all(lineup, asked)
    assert procurement_detail.choose_unlisted(lineup, scores, Interest()) == frozenset()
    monkeypatch.setattr(procurement_detail, "MOST_CANDIDATES", 4)
    gone = procurement_detail.choose_unlisted(lineup, scores, Interest())
    assert {lineup.label(key) for key in gone} == {"c5 · fp32", "c6 · fp32", "bad · fp32", "c4 · fp32"}
    assert procurement_detail.choose_unlisted(cut(many, 10**6), scores, Interest()) == frozenset()
    document = build(many, sheet=asked, most=4)
    assert [row[0] for row in rows(document, "summary")] == ["c1 · fp32", "c2 · fp32", "c3 · fp32"]
    assert rows(document, "trust")[-1][0] == "4 other candidates together"
    assert "rows for 4 of 8" in said(document)


def test_few_lines_are_worked_out_of_a_long_sheet(many: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npubench.report.procurement_scores.MOST_LINES", 5)
    document = build(many, sheet=sheet(tmp_path), most=4)
    (requirements,) = (section for section in document.sections if section.name == "requirements")
    assert len(requirements.sections) == 2
    assert "for the best 2 of 7 candidates" in said(document)


def test_pictures_are_of_some_places_and_tables_of_all(many: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npubench.report.procurement_lineup.MOST_PICTURES", 0)
    (places,) = (section.sections for section in build(many, most=4).sections if section.name == "places")
    assert len(places) == 2
    assert not [block for place in places for block in place.blocks if isinstance(block, Plot)]
    monkeypatch.undo()
    (places,) = (section.sections for section in build(many, most=4).sections if section.name == "places")
    assert [block for place in places for block in place.blocks if isinstance(block, Plot)]


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_sentence_is_known(many: list[Entry], tmp_path: Path, language: str) -> None:
    document = build(many, sheet=sheet(tmp_path), costs=costs(tmp_path), most=4)
    page = render(document, language=language).decode()
    assert "procurement.others" not in page
    assert "not-detailed" not in page


def test_what_is_not_detailed_warns_on_every_page_all_the_same(many: list[Entry], store: Store, add: Add) -> None:
    add("sim", 50.0, simulated=True)
    document = build(store.read()[0], most=4)
    assert Phrase("document.banner.simulated", {"targets": "sim"}) in document.banners
