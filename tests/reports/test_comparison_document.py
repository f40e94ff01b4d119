"""The comparison as a document: every figure of the page as it stands, the decision on top, nothing simulated compared."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding
from npubench.report.comparison_cast import Cast
from npubench.report.comparison_summary import efficiency_of, purpose, speed_of
from npubench.report.document import Cell, Document, Facts, Grid, Mark, Notice, Phrase, Plot, Section, Text, Told
from npubench.report.page import ComparisonPage, Ratio
from npubench_reports import document_csv, document_json, document_markdown, document_pdf, document_xlsx
from npubench_reports.document_html import render
from npubench_reports.messages import load
from npubench_reports.spoken import grid, phrase, spoken

MakePage = Callable[..., ComparisonPage]
ToDocument = Callable[[ComparisonPage], Document]
LANGUAGES = ("ko", "en")
EN = load("en")


def section(document: Document, name: str) -> Section:
    return next(each for each in document.sections if each.name == name)


def grids(document: Document) -> dict[str, Grid]:
    blocks = [block for each in document.sections for block in each.blocks]
    tables = [block.table if isinstance(block, Plot) else block for block in blocks if isinstance(block, Grid | Plot)]
    assert len({table.name for table in tables}) == len(tables)
    return {table.name: table for table in tables}


def plots(document: Document) -> dict[str, Plot]:
    return {block.name: block for each in document.sections for block in each.blocks if isinstance(block, Plot)}


def texts(table: Grid, language: str = "en") -> list[list[str]]:
    """Return a table as it is shown, a list of texts a row, intervals, reasons and remarks among them."""
    shown = grid(table, load(language))
    every = [(row.heading, *row.cells) for row in shown.rows]
    return [[" ".join(filter(None, (c.text, c.interval, str(c.reason), str(c.remark)))) for c in row] for row in every]


def words(content: object) -> str:
    """Return every word of a section, in English."""
    if isinstance(content, Section):
        return " ".join([str(phrase(content.heading, EN)), *map(words, content.blocks)])
    if isinstance(content, Grid):
        return " ".join([str(phrase(content.caption, EN)), *(text for row in texts(content) for text in row)])
    if isinstance(content, Plot):
        return f"{phrase(content.caption, EN)} {phrase(content.alt, EN)}"
    if isinstance(content, Notice):
        return str(phrase(content.sentence, EN))
    if isinstance(content, Facts):
        return " ".join(f"{phrase(fact.label, EN)} {spoken(fact.cell, EN).said}" for fact in content.facts)
    return " ".join(str(phrase(each, EN)) for each in content.sentences)  # type: ignore[attr-defined]


def tree(html: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(html.decode("utf-8").lstrip().removeprefix("<!DOCTYPE html>"))


def cells_of(table: Grid) -> Iterator[Cell]:
    for row in table.rows:
        yield from (row.heading, *row.cells)


def test_every_figure_is_the_pages_own(make_page: MakePage, to_document: ToDocument) -> None:
    page = make_page(4, 7)
    known = grids(to_document(page))
    for table in page.tables:
        standings = [cell.content for cell in cells_of(known[f"scenario-{table.scenario}"])]
        details = [cell.content for cell in cells_of(known[f"details-{table.scenario}"])]
        for row in table.rows:
            for cell in row.cells:
                if cell.headline is not None:
                    assert cell.headline in standings
                if cell.accuracy is not None:
                    assert cell.accuracy in standings
                if cell.ratio is not None and cell.ratio.value is not None:
                    ratio = cell.ratio
                    assert Estimate(ratio.value, "times", ratio.low, ratio.high, ratio.confidence) in standings
                assert all(figure in details for figure in cell.details.values() if figure.value is not None)


def test_a_row_says_all_that_a_buyer_asks(comparison: Document) -> None:
    rows = texts(grids(comparison)["scenario-single-stream"])
    second = " | ".join(rows[1])
    for said in (
        *("cpu-all · fp32", "1.406 ms 1.394 – 1.418", "3.77 × 3.70 – 3.84", "▲ better than baseline", "p = 0.0003", " | 2 | "),
        *("0.994", "accuracy, at least 0.99 required", "○ valid · nightly"),
    ):
        assert said in second
    missed = " | ".join(next(row for row in rows if "cpu-all · int8" in row[0] and "invalid" in " ".join(row)))
    assert "missed — accuracy 0.03110, at most 0.031 required" in missed
    assert "× invalid · nightly" in missed


def test_a_failed_run_gives_its_reason_and_no_number(make_page: MakePage, to_document: ToDocument) -> None:
    rows = texts(grids(to_document(make_page(4, 7, scenarios=("offline",))))["scenario-offline"])
    failed = next(row for row in rows if "failed" in " ".join(row))
    assert failed[1].startswith("—")
    assert "QLinearConv" in failed[1]
    assert "samples/s" not in " ".join(failed)


@pytest.mark.parametrize(
    ("subjects", "workloads", "grades", "level"),
    [
        (2, 2, ("nightly",), "nightly"),
        (2, 2, ("official",), "official"),
        (2, 2, ("official", "smoke"), "smoke"),
        (2, 2, ("new",), "unknown"),
        (0, 0, (), "empty"),
    ],
)
def test_the_first_words_say_what_it_may_be_used_for(
    make_page: MakePage, to_document: ToDocument, subjects: int, workloads: int, grades: tuple[str, ...], level: str
) -> None:
    page = replace(make_page(subjects, workloads), grades=grades)
    assert purpose(Cast(page)) == level
    first = to_document(page).sections[0]
    assert first.name == "summary"
    notices = [block for block in first.blocks if isinstance(block, Notice)]
    # What smoke grade and simulation are said by banners stands on every page already.
    assert [notice.sentence.key for notice in notices] == ([f"comparison.purpose.{level}"] if level != "smoke" else [])


def test_no_valid_run_and_only_simulated_runs_are_told_apart(make_page: MakePage) -> None:
    page = make_page(4, 1, scenarios=("offline",))
    row = page.tables[0].rows[0]

    def only(*cells: object) -> ComparisonPage:
        return replace(page, tables=(replace(page.tables[0], rows=(replace(row, cells=cells),)),))

    assert purpose(Cast(only(*(replace(cell, status="failed") for cell in row.cells)))) == "none-valid"
    assert purpose(Cast(only(row.cells[3]))) == "simulated"


def test_the_decision_sets_every_subject_against_the_baseline(comparison: Document) -> None:
    found = grids(comparison)
    rows = texts(found["decision"])
    assert [row[0].split(" ·")[0] for row in rows] == ["cpu-1", "cpu-all", "cpu-all", "sim-npu"]
    assert rows[0][1:3] == ["", ""], "the baseline is not compared with itself"
    assert "▲ faster 6 · slower 0 · not distinguishable 0" in rows[1][2]
    assert "6 places, 3.07–3.77×" in rows[1][1]
    assert len(found["speed-by-place"].rows) == 6
    assert [series.look for series in plots(comparison)["ratios-offline"].series] == [1, 2, 3]
    assert plots(comparison)["overview-speed"].levels[0].at == 1.0


def test_several_ratios_are_a_geometric_mean_and_one_is_itself(make_page: MakePage) -> None:
    page = make_page(2, 2, scenarios=("offline",))
    rows = tuple(
        replace(row, cells=(row.cells[0], replace(row.cells[1], ratio=Ratio(value, value / 2, value * 2, 0.95, 0.001, "better"))))
        for row, value in zip(page.tables[0].rows, (2.0, 8.0), strict=True)
    )
    both = speed_of(Cast(replace(page, tables=(replace(page.tables[0], rows=rows),))), "s1").ratio()
    assert (both.value, both.low, both.high) == pytest.approx((4.0, 2.0, 8.0))
    one = speed_of(Cast(replace(page, tables=(replace(page.tables[0], rows=rows[:1]),))), "s1").ratio()
    assert one == Estimate(2.0, "times", 1.0, 4.0, 0.95)


def test_a_simulated_device_is_marked_everywhere_and_compared_with_nobody(comparison: Document, make_page: MakePage) -> None:
    for table in grids(comparison).values():
        for row in table.rows:
            if isinstance(row.heading.content, Text) and row.heading.content.text == "sim-npu · int8":
                assert row.heading.remark == Phrase("document.simulated")
    for plot in plots(comparison).values():
        natures = {str(phrase(series.label, EN)): series.nature for series in plot.series}
        assert natures.get("sim-npu · int8", "simulated") == "simulated"
    cast = Cast(make_page(4, 2))
    assert speed_of(cast, "s3").ratios == efficiency_of(cast, "s3").ratios == {}
    assert texts(grids(comparison)["decision"])[3][1].startswith("—")


def test_one_subject_alone_has_no_ratio_and_no_baseline(make_page: MakePage, to_document: ToDocument) -> None:
    document = to_document(make_page(1, 3, grade="smoke"))
    html = render(document, language="en").decode("utf-8")
    assert "baseline" not in re.sub(r"(?s).*id=\"summary\"(.*)id=\"reading\".*", r"\1", html)
    remarks = [str(phrase(each, EN)) for each in grids(document)["scenario-offline"].remarks]
    assert remarks == ["Not ranked: smoke grade"]


def test_every_finding_of_every_run_is_there_with_its_evidence(make_page: MakePage, to_document: ToDocument) -> None:
    page = make_page(4, 7)
    document = to_document(page)
    told = [cell.content for table in grids(document).values() for cell in cells_of(table) if isinstance(cell.content, Told)]
    for table in page.tables:
        for row in table.rows:
            for cell in row.cells:
                for finding in cell.findings:
                    assert {"rule", "observed", "required", "advice"} <= {each.what for each in told if each.finding == finding}
    notes = grids(document)["notes"]
    assert len({str(row.cells[0].content) for row in notes.rows}) == len(notes.rows), "each note once"
    assert texts(notes)[0][-1] == "every run"


def test_advice_is_translated_by_rule_and_else_the_records_own(make_page: MakePage, to_document: ToDocument) -> None:
    page = make_page(1, 1, scenarios=("offline",))
    row = page.tables[0].rows[0]
    found = (
        Finding("governor", "warning", "powersave", "performance", "Set it."),
        Finding("vendor-own", "warning", "seen", "wanted", "Ask the vendor."),
    )
    page = replace(page, tables=(replace(page.tables[0], rows=(replace(row, cells=(replace(row.cells[0], findings=found),)),)),))
    rows = texts(grids(to_document(page))["findings"], "ko")
    assert "거버너를 performance로 바꾸십시오" in rows[0][-1]
    assert rows[1][0] == "vendor-own"
    assert rows[1][-1] == "Ask the vendor."


def test_no_findings_are_said_to_be_none(make_page: MakePage, to_document: ToDocument) -> None:
    page = make_page(1, 1, scenarios=("offline",))
    row = page.tables[0].rows[0]
    page = replace(page, tables=(replace(page.tables[0], rows=(replace(row, cells=(replace(row.cells[0], findings=()),)),)),))
    assert "There are no findings." in words(section(to_document(page), "findings"))


def test_who_lacks_what_is_named_with_the_reason(make_page: MakePage, to_document: ToDocument) -> None:
    page = make_page(3, 7, scenarios=("multi-stream",))
    row = replace(page.tables[0].rows[0], cells=page.tables[0].rows[0].cells[:1])
    rows = texts(
        grids(to_document(replace(page, tables=(replace(page.tables[0], rows=(row, *page.tables[0].rows[1:])),))))["missing"]
    )
    assert rows[0] == ["Document orientation · Multi stream", "cpu-all · fp32, cpu-all · int8", "not run"]
    assert any("p99 needs 662 queries" in reason or "662" in reason for _, _, reason in rows[1:])


def test_long_titles_are_short_in_headings_and_whole_in_the_table(make_page: MakePage, to_document: ToDocument) -> None:
    page = make_page(1, 1, scenarios=("offline",))
    row = replace(page.tables[0].rows[0], title={"ko": "문서 방향: 어느 쪽이 위인지 판별 (PP-LCNet)"})
    table = grids(to_document(replace(page, tables=(replace(page.tables[0], rows=(row,)),))))["scenario-offline"]
    group = table.rows[0].group
    assert group is not None
    shown = spoken(group, load("ko"))
    assert str(shown.said) == "문서 방향"
    assert "어느 쪽이 위인지 판별 (PP-LCNet) — 납세 서비스" in str(shown.remark)


def test_groups_head_their_rows_on_a_page_and_are_a_column_in_a_file(comparison: Document) -> None:
    root = tree(render(comparison, language="en"))
    heads = [head for head in root.iter("th") if head.get("scope") == "rowgroup"]
    assert {"Document orientation", "File type"} <= {"".join(head.itertext()).split("\n")[0].strip() for head in heads}
    for table in root.iter("table"):
        widths = {sum(int(cell.get("colspan", "1")) for cell in row) for row in table.iter("tr")}
        assert len(widths) == 1
    lines = document_csv.render(comparison, language="en")["scenario-offline.csv"].decode("utf-8-sig").splitlines()
    assert lines[0].startswith("Workload,Subject,")
    assert lines[1].startswith('"Document orientation (Tax documents')


def odd_pages(make_page: MakePage) -> dict[str, ComparisonPage]:
    bare = make_page(2, 2, scenarios=("offline",))
    table = bare.tables[0]
    failed = tuple(
        replace(cell, status="failed", headline=None, details={}, accuracy=None, ratio=None) for cell in table.rows[0].cells
    )
    return {
        "six": make_page(6, 2),
        "nothing": make_page(0, 0, scenarios=()),
        "no rows": make_page(0, 0),
        "all failed": replace(bare, tables=(replace(table, rows=(replace(table.rows[0], cells=failed),)),), distributions=()),
        "no direction": replace(
            bare, tables=(replace(table, rows=(replace(table.rows[0], gate_higher_is_better=None, operations=0),)),), systems=()
        ),
        "a missing cell": replace(bare, tables=(replace(table, rows=(replace(table.rows[0], cells=table.rows[0].cells[:1]),)),)),
    }


def test_odd_comparisons_are_whole_documents_in_both_languages(make_page: MakePage, to_document: ToDocument) -> None:
    for name, page in odd_pages(make_page).items():
        for language in LANGUAGES:
            root = tree(render(to_document(page), language=language))
            ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
            assert len(ids) == len(set(ids)), name
            links = [element.attrib["href"][1:] for element in root.iter("a")]
            assert set(links) <= set(ids), name
            shown = "".join(root.itertext()).replace("야간 측정", "")
            assert language == "ko" or not re.search("[가-힣]", shown), name
            assert not re.search(r"\b(comparison|plot|procurement|document|metric|verdict)\.[a-z]", shown), name


class Tags(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_records_stay_text(hostile_page: ComparisonPage, to_document: ToDocument, language: str) -> None:
    html = render(to_document(hostile_page), language=language)
    parser = Tags()
    parser.feed(html.decode("utf-8"))
    assert not parser.tags & {"script", "img"}
    assert "onerror" not in parser.attributes
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202e]", html.decode("utf-8"))
    root = tree(html)
    shown = "".join(root.itertext()) + " ".join(value for element in root.iter() for value in element.attrib.values())
    for name in (
        *("page", "g", "label", "device", "backend", "option", "value", "precision", "run", "reason", "grade"),
        *("absent", "rule", "observed", "required", "advice", "claim", "metric", "title", "workload", "scenario", "headline"),
        *("package", "difference", "exclusion", "system", "row", "cell", "target"),
    ):
        assert f"<script>{name}()</script>" in shown, name


def test_hostile_records_are_written_in_every_other_format(hostile_page: ComparisonPage, to_document: ToDocument) -> None:
    document = to_document(hostile_page)
    assert document_pdf.render(document).startswith(b"%PDF-")
    assert document_xlsx.render(document).startswith(b"PK")
    assert not re.search(rb"(?<!\\)<", document_markdown.render(document))
    assert document_json.render(document)
    assert not any(
        line.startswith(("=", "+", "@")) for line in b"\n".join(document_csv.render(document).values()).decode().splitlines()
    )


def test_a_rank_is_a_mark_only_for_the_first(comparison: Document) -> None:
    ranks = [row.cells[3].content for row in grids(comparison)["scenario-single-stream"].rows]
    assert {content.word.values["rank"] for content in ranks if isinstance(content, Mark)} == {1}
    assert any(isinstance(content, Phrase) and content.values.get("why") == "simulated" for content in ranks)
