"""A comparison of many cells goes into a few of them, and loses none: the rest is counted and ranked with these."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from npubench.analyze.finding import Finding
from npubench.contract.runspec import Scenario
from npubench.record.store import Entry, Store
from npubench.report import others, ratio
from npubench.report.comparison import build_page
from npubench.report.comparison_detail import build_detailed_page, choose_cells, narrowed_page
from npubench.report.comparison_document import build_comparison
from npubench.report.document import Document, Grid, Phrase
from npubench.report.page import ComparisonPage
from npubench.verbs.tables import shorten_page
from npubench_reports.document_html import render
from npubench_reports.messages import load
from npubench_reports.spoken import spoken

Add = Callable[..., Entry]

SPEEDS = {"base": 2.0, "c1": 1.0, "c2": 1.5, "c3": 3.0, "c4": 4.5}


@pytest.fixture
def many(store: Store, add: Add) -> list[Entry]:
    """Five subjects in one place, two of them in another, and one whose run is invalid."""
    for n, (target, ms) in enumerate(SPEEDS.items()):
        add(target, ms, seed=n)
    short = Finding("duration", "invalid", "x", "y", "z", {})
    add("bad", 0.1, status="invalid", reason="it is", findings=(short,))
    for target in ("base", "c3"):
        add(target, scenario=Scenario.OFFLINE)
    return store.read()[0]


def cut(entries: list[Entry], most: int) -> ComparisonPage:
    return build_detailed_page("many", entries, "base/fp32", most=most)


def shown(page: ComparisonPage) -> dict[str, list[str]]:
    """Return scenario → targets that are detailed there."""
    return {t.scenario: [cell.subject.split("|")[1] for row in t.rows for cell in row.cells] for t in page.tables}


def rows(document: Document, name: str) -> list[list[str]]:
    grids = {block.name: block for each in document.sections for block in each.blocks if isinstance(block, Grid)}
    return [[spoken(cell, load("en")).text for cell in (row.heading, *row.cells)] for row in grids[name].rows]


def test_as_many_as_are_detailed_leave_everything_as_it_is(many: list[Entry]) -> None:
    assert cut(many, 8) == build_page("many", many, "base/fp32")
    assert cut(many, 8).whole is None
    assert cut(many, 7).whole is not None
    assert shorten_page(cut(many, 8)) == cut(many, 8)


def test_the_baseline_and_the_best_of_every_place_are_detailed(many: list[Entry]) -> None:
    assert shown(cut(many, 4)) == {"single-stream": ["base", "c1"], "offline": ["base", "c3"]}
    assert shown(cut(many, 5)) == {"single-stream": ["base", "c1", "c2"], "offline": ["base", "c3"]}
    assert [subject.target for subject in cut(many, 5).subjects] == ["base", "c1", "c2", "c3"]
    few = narrowed_page(cut(many, 5), choose_cells(cut(many, 5), 2))
    assert shown(few) == {"single-stream": ["base", "c1"]}


def test_ranks_and_ratios_are_those_of_everything(many: list[Entry]) -> None:
    everything, some = build_page("many", many, "base/fp32"), cut(many, 5)
    known = {(t.scenario, c.subject): c for t in everything.tables for r in t.rows for c in r.cells}
    for table in some.tables:
        for cell in table.rows[0].cells:
            assert cell == known[table.scenario, cell.subject]
    assert some.whole is not None
    ranks = {(t.scenario, c.subject): c.rank for t in some.whole.tables for r in t.rows for c in r.cells}
    assert ranks == {key: cell.rank for key, cell in known.items()}


def test_no_trace_is_opened_but_of_what_is_detailed(many: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    opened, read = set(), ratio.read_trace
    monkeypatch.setattr(ratio, "read_trace", lambda path: (opened.add(path), read(path))[1])
    page = cut(many, 4)
    runs = {cell.run_id for table in page.tables for row in table.rows for cell in row.cells}
    assert {path.parent.name for path in opened if path.exists()} == runs


def test_the_rest_has_a_row_each_and_counts_are_of_everything(many: list[Entry]) -> None:
    document = build_comparison(cut(many, 4), many)
    assert [row[0] for row in rows(document, "others")] == ["bad · fp32", "c2 · fp32", "c3 · fp32", "c4 · fp32"]
    assert len(document.runs) == 8
    page = render(document, language="en").decode()
    assert "details 4 of 8 cells" in page
    assert "8 outcomes: 7 valid, 1 invalid" in page
    assert rows(document, "rules")[0][2] == "1"


def test_of_very_many_there_are_counts(many: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "MOST_LISTED", 3)
    document = build_comparison(cut(many, 4), many)
    # All, ranked, valid without a rank, invalid, failed, skipped; with findings.
    assert [row[1:] for row in rows(document, "others")] == [["4", "3", "0", "1", "0", "0", "1"]]
    assert len(document.runs) == 4


def test_what_is_not_detailed_warns_on_every_page_and_every_sentence_is_known(many: list[Entry], store: Store, add: Add) -> None:
    add("sim", 50.0, simulated=True)
    entries = store.read()[0]
    document = build_comparison(cut(entries, 4), entries)
    assert Phrase("document.banner.simulated", {"targets": "sim"}) in document.banners
    for language in ("ko", "en"):
        assert "comparison.others" not in render(document, language=language).decode()
