"""The comparison page is whole, alone, well-formed, readable by anyone, and says nothing a record smuggles in."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from npubench.analyze.finding import Finding
from npubench.report.page import ComparisonPage
from npubench_reports.html import render

MakePage = Callable[..., ComparisonPage]
#: Page name and language → HTML.
Rendered = dict[tuple[str, str], str]
LANGUAGES = ("ko", "en")
NAMESPACE = "{http://www.w3.org/2000/svg}"


def tree(html: str) -> ElementTree.Element:
    """Parse a page as XML: stricter than HTML, so that nothing is left open and nothing is left unquoted."""
    assert html.lstrip().startswith("<!DOCTYPE html>")
    return ElementTree.fromstring(html.lstrip().removeprefix("<!DOCTYPE html>"))


def text_of(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def pages(make_page: MakePage) -> dict[str, ComparisonPage]:
    """Return pages of every shape that must hold."""
    four = make_page()
    bare = make_page(2, 2)
    row = bare.tables[0].rows[0]
    cells = tuple(
        replace(
            cell,
            status="failed",
            reason="no device " * 60,
            headline=None,
            details={},
            accuracy=None,
            ratio=None,
            rank=None,
            unranked="failed",
            findings=(),
        )
        for cell in row.cells
    )
    headless = tuple(
        replace(cell, headline=cell.headline and replace(cell.headline, low=None, high=None, confidence=None), findings=())
        for cell in row.cells
    )
    return {
        "four": four,
        "two": make_page(2, 3, grade="official"),
        "one": make_page(1, 3, grade="smoke"),
        "six": make_page(6, 2),
        "nothing": make_page(0, 0, scenarios=()),
        "no rows": make_page(0, 0),
        "all failed": replace(bare, tables=(replace(bare.tables[0], rows=(replace(row, cells=cells),)),), distributions=()),
        "no intervals, no findings": replace(bare, tables=(replace(bare.tables[0], rows=(replace(row, cells=headless),)),)),
        "a missing cell": replace(
            bare, tables=(replace(bare.tables[0], rows=(replace(row, cells=row.cells[:1]), *bare.tables[0].rows[1:])),)
        ),
        "a missing column": replace(bare, tables=(replace(bare.tables[0], rows=(replace(row, cells=row.cells[:1]),)),)),
        "no direction": replace(
            bare, tables=(replace(bare.tables[0], rows=(replace(row, gate_higher_is_better=None, operations=0),)),), systems=()
        ),
    }


@pytest.fixture(scope="module")
def rendered(make_page: MakePage) -> Rendered:
    every = pages(make_page).items()
    return {(name, language): render(page, language=language) for name, page in every for language in LANGUAGES}


def test_every_page_is_well_formed_and_in_its_language(rendered: Rendered) -> None:
    for (name, language), html in rendered.items():
        root = tree(html)
        assert root.attrib["lang"] == language, name
        assert not re.search("[가-힣]", re.sub("야간 측정", "", html)) or language == "ko", name


def test_every_id_is_there_once_and_every_link_leads_to_one(rendered: Rendered) -> None:
    for key, html in rendered.items():
        root = tree(html)
        ids = Counter(element.attrib["id"] for element in root.iter() if "id" in element.attrib)
        assert [i for i, n in ids.items() if n > 1] == [], key
        for element in root.iter():
            wanted = [*element.get("aria-labelledby", "").split()]
            if "href" in element.attrib:
                assert element.attrib["href"].startswith("#"), key
                wanted.append(element.attrib["href"][1:])
            assert [i for i in wanted if i not in ids] == [], key


def test_a_page_fetches_runs_and_sends_nothing(rendered: Rendered) -> None:
    for key, html in rendered.items():
        root = tree(html)
        assert not re.search(r"https?:|//[a-z]|url\(|@import", html), key
        for element in root.iter():
            tag = element.tag.removeprefix(NAMESPACE)
            assert tag not in {"script", "link", "img", "iframe", "object", "form", "base", "use", "image"}, key
            assert not {a for a in element.attrib if a.startswith("on") or a in {"src", "style", "action", "srcset"}}, key


def test_the_policy_admits_the_style_sheet_of_the_page_and_nothing_else(rendered: Rendered) -> None:
    html = rendered["one", "ko"]
    style = re.search("<style>(.*?)</style>", html, re.S)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(m.attrib["content"] for m in tree(html).iter("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_tables_have_captions_and_heads_have_scopes(rendered: Rendered) -> None:
    for key, html in rendered.items():
        for table in tree(html).iter("table"):
            assert text_of(table[0]) and table[0].tag == "caption", key
            assert all(head.get("scope") in {"col", "row", "rowgroup"} for head in table.iter("th")), key
            for row in table.iter("tr"):
                widths = [int(cell.get("colspan", "1")) for cell in row]
                assert sum(widths) == len(next(iter(table.iter("tr")))), key


def test_headings_go_down_one_step_at_a_time(rendered: Rendered) -> None:
    for key, html in rendered.items():
        levels = [int(e.tag[1]) for e in tree(html).iter() if re.fullmatch("h[1-6]", str(e.tag))]
        assert levels[0] == 1, key
        assert levels.count(1) == 1, key
        assert all(after <= before + 1 for before, after in pairwise(levels)), key


def test_every_plot_has_words_and_a_table(rendered: Rendered) -> None:
    root = tree(rendered["four", "ko"])
    figures = list(root.iter("figure"))
    assert len(figures) == 4
    for figure in figures:
        plots = [svg for svg in figure.iter("svg") if svg.get("role") == "img"]
        assert len(plots) == 7
        for plot in plots:
            assert text_of(plot[0]) and plot[0].tag == "title"
            assert len(text_of(plot[1])) > 40 and plot[1].tag == "desc"
        assert figure.find(".//figcaption") is not None
        assert len(list(figure.iter("table"))) == 1
    assert all(svg.get("role") == "img" or svg.get("aria-hidden") == "true" for svg in root.iter("svg"))


def test_a_page_is_the_same_each_time(make_page: MakePage) -> None:
    page = make_page(2, 2)
    assert render(page) == render(page)


def test_sections_stand_in_the_order_of_a_decision(rendered: Rendered) -> None:
    main = tree(rendered["four", "ko"]).find(".//main")
    assert main is not None
    order = [section.get("id") or section.get("aria-labelledby") for section in main if section.tag == "section"]
    assert order == ["purpose", "summary", "energy", "figures", "findings", "differences", "systems", "reading", "runs"]


def purpose_of(html: str) -> tuple[str, str]:
    section = next(e for e in tree(html).iter("section") if e.get("aria-labelledby") == "purpose")
    return section.attrib["class"], text_of(section)


@pytest.mark.parametrize(
    ("name", "level", "words"),
    [
        ("four", "nightly", "추세 확인용"),
        ("two", "official", "구매 판단에 쓸 수 있음"),
        ("one", "smoke", "공표할 수 없습니다"),
        ("nothing", "empty", "실행 기록이 없음"),
        ("all failed", "none-valid", "유효한 결과가 없음"),
    ],
)
def test_the_box_on_top_says_what_the_page_is_for(rendered: Rendered, name: str, level: str, words: str) -> None:
    look, text = purpose_of(rendered[name, "ko"])
    assert look == f"purpose level-{level}"
    assert words in text


def test_one_smoke_cell_makes_a_smoke_page(make_page: MakePage) -> None:
    look, text = purpose_of(render(replace(make_page(2, 1), grades=("official", "smoke")), language="en"))
    assert look == "purpose level-smoke"
    assert "must not be published" in text


def test_a_simulated_subject_says_so_on_top_in_its_column_and_in_its_cells(make_page: MakePage) -> None:
    page = make_page(4, 1, scenarios=("offline",))
    only = replace(
        page,
        subjects=page.subjects[3:],
        tables=(replace(page.tables[0], rows=(replace(page.tables[0].rows[0], cells=page.tables[0].rows[0].cells[3:]),)),),
        distributions=(),
        baseline="",
    )
    html = render(only, language="en")
    look, text = purpose_of(html)
    assert look == "purpose level-simulated"
    assert "sim-npu · int8" in text
    summary = next(t for t in tree(html).iter("table") if t.get("class") == "summary")
    assert all("SIMULATED" in text_of(cell) for cell in [summary.findall(".//thead/tr/th")[1], *summary.findall(".//td")])


def cell_at(html: str, anchor: str) -> str:
    return text_of(next(e for e in tree(html).iter("td") if e.get("id") == anchor))


def test_a_failed_cell_gives_the_reason_and_no_number(rendered: Rendered) -> None:
    failed = cell_at(rendered["four", "ko"], "t4r7c3")
    assert failed.startswith("— 실패")
    assert "QLinearConv" in failed
    assert "샘플/s" not in failed


def test_a_missing_run_is_a_dash_with_its_reason(rendered: Rendered) -> None:
    summary = next(t for t in tree(rendered["a missing cell", "en"]).iter("table") if t.get("class") == "summary")
    assert text_of(summary.findall(".//td")[1]).replace(" ", "") == "—notrun"


def test_a_subject_that_a_scenario_was_not_asked_of_has_no_column_in_it(rendered: Rendered) -> None:
    summary = next(t for t in tree(rendered["a missing column", "en"]).iter("table") if t.get("class") == "summary")
    assert [text_of(head).split(" · ")[0] for head in summary.findall("./thead/tr/th")][1:] == ["cpu-1"]
    assert len(summary.findall(".//td")) == 1


def test_a_percentile_that_is_not_certified_is_a_dash_with_its_reason(rendered: Rendered) -> None:
    cell = cell_at(rendered["four", "en"], "t2r7c1")
    assert cell.startswith("— invalid")
    assert "p99 needs 662 queries" in cell


def test_a_cell_says_all_that_a_buyer_asks(rendered: Rendered) -> None:
    cell = cell_at(rendered["four", "en"], "t1r1c2")
    for words in (
        "1.406 ms",
        "1.394 – 1.418 (99%)",
        "valid",
        "nightly",
        "rank 2",
        "better than baseline",
        "3.77×",
        "[3.70 – 3.84]",
        "accuracy 0.9942",
        "≥ 0.99",
    ):
        assert words in cell
    assert "not distinguishable" in cell_at(rendered["four", "en"], "t1r6c3")
    missed = cell_at(rendered["four", "ko"], "t1r3c3")
    assert "무효" in missed
    assert "0.03110" in missed
    assert "미달" in missed
    assert "충실도" in cell_at(rendered["four", "ko"], "t1r7c1")


def test_a_single_subject_has_no_ratio_and_no_baseline(rendered: Rendered) -> None:
    summary = "".join(text_of(t) for t in tree(rendered["one", "en"]).iter("table") if t.get("class") == "summary")
    assert "baseline" not in summary
    assert "Not ranked: smoke grade" in summary


def test_every_finding_of_every_run_is_listed_with_its_evidence(make_page: MakePage) -> None:
    page = make_page(4, 7)
    root = tree(render(page, language="en"))
    section = next(e for e in root.iter("section") if e.get("id") == "findings")
    listed = {e.get("id"): text_of(e) for e in section.iter("tr") if e.get("id")}
    for t, table in enumerate(page.tables, start=1):
        for r, row in enumerate(table.rows, start=1):
            for c, cell in enumerate(row.cells, start=1):
                place = next(e for e in root.iter("td") if e.get("id") == f"t{t}r{r}c{c}")
                texts = [listed[a.attrib["href"][1:]] for a in place.iter("a") if a.get("href", "#rule").startswith("#t")]
                assert len(texts) == len(cell.findings)
                for finding in cell.findings:
                    assert any(finding.observed in text and finding.required in text for text in texts)


def test_advice_is_translated_by_rule_and_else_the_records_own(make_page: MakePage) -> None:
    page = make_page(1, 1, scenarios=("offline",))
    row = page.tables[0].rows[0]
    found = (
        Finding("governor", "warning", "powersave", "performance", "Set it."),
        Finding("vendor-own", "warning", "seen", "wanted", "Ask the vendor."),
    )
    page = replace(page, tables=(replace(page.tables[0], rows=(replace(row, cells=(replace(row.cells[0], findings=found),)),)),))
    text = text_of(tree(render(page)))
    assert "거버너를 performance로 바꾸십시오" in text
    assert "Set it." not in text
    assert "vendor-own" in text
    assert "Ask the vendor." in text


def test_no_findings_are_said_to_be_none(rendered: Rendered) -> None:
    assert "지적 사항이 없습니다." in rendered["no intervals, no findings", "ko"]


def test_long_reasons_are_folded_and_whole(rendered: Rendered) -> None:
    assert ("no device " * 60).strip() in re.sub(r"\s+", " ", rendered["all failed", "ko"])


def test_every_run_can_be_traced(make_page: MakePage) -> None:
    page = make_page(3, 2)
    runs = next(e for e in tree(render(page)).iter("section") if e.get("id") == "runs")
    wanted = [cell.run_id for table in page.tables for row in table.rows for cell in row.cells]
    assert [text_of(code) for code in runs.iter("code")] == wanted


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
def test_hostile_records_stay_text(hostile_page: ComparisonPage, language: str) -> None:
    html = render(hostile_page, language=language)
    html.encode("utf-8")
    root = tree(html)
    parser = Tags()
    parser.feed(html)
    assert not parser.tags & {"script", "img"}
    assert "onerror" not in parser.attributes
    assert "<script" not in html
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202e]", html)
    shown = text_of(root) + " ".join(value for element in root.iter() for value in element.attrib.values())
    for name in (
        "page",
        "made",
        "harness",
        "g",
        "label",
        "device",
        "backend",
        "option",
        "value",
        "precision",
        "run",
        "reason",
        "grade",
        "absent",
        "rule",
        "observed",
        "required",
        "advice",
        "claim",
        "metric",
        "title",
        "workload",
        "scenario",
        "headline",
        "curve",
        "package",
        "difference",
        "exclusion",
        "system",
        "row",
        "cell",
        "unpaired",
        "target",
    ):
        assert f"<script>{name}()</script>" in shown, name


def test_subjects_without_a_value_are_named_below_a_plot_and_not_drawn(make_page: MakePage) -> None:
    page = make_page(4, 4, scenarios=("offline",))
    table = page.tables[0]
    # The simulated device skips face detection; the third subject has not run it, but others of the scenario.
    row = replace(table.rows[3], cells=(*table.rows[3].cells[:2], table.rows[3].cells[3]))
    html = render(replace(page, tables=(replace(table, rows=(row, table.rows[0])),)))
    figure = next(tree(html).iter("figure"))
    plot = next(svg for svg in figure.iter("svg") if svg.get("role") == "img")
    assert "cpu-all · fp32" in text_of(plot)
    assert "cpu-all · int8" not in " ".join(text_of(e) for e in plot.iter("text"))
    below = next(text_of(p) for p in figure.iter("p") if p.get("class") == "left-out")
    assert below.replace("\u00a0", " ") == "그리지 않음 — 실행하지 않음: cpu-all · int8; 건너뜀: sim-npu · int8"


def test_long_titles_are_short_beside_plots_and_whole_in_the_summary(make_page: MakePage) -> None:
    page = make_page(1, 1, scenarios=("offline",))
    row = replace(page.tables[0].rows[0], title={"ko": "문서 방향: 어느 쪽이 위인지 판별 (PP-LCNet)"})
    html = render(replace(page, tables=(replace(page.tables[0], rows=(row,)),)))
    assert "어느 쪽이 위인지 판별 (PP-LCNet)" in text_of(next(t for t in tree(html).iter("table") if t.get("class") == "summary"))
    assert {text_of(t) for t in tree(html).iter("title")} >= {"문서 방향"}


def test_what_was_not_run_is_gathered_by_workload(make_page: MakePage) -> None:
    page = replace(make_page(2, 1), unpaired=("face · server: a", "face · server: b", "else"))
    text = text_of(tree(render(page)))
    assert "face · 서버: a, b" in text
    assert "else" in text
