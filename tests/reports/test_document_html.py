"""A document as HTML is whole, alone, well-formed, readable by anyone, and every number in it leads to its runs."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from npubench.report.document import Cell, Column, Document, Grid, Phrase, Row, Section, Text
from npubench_reports.document_html import render

LANGUAGES = ("ko", "en")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def pages(document: Document) -> dict[str, str]:
    return {language: render(document, language=language).decode("utf-8") for language in LANGUAGES}


def tree(html: str) -> ElementTree.Element:
    """Parse a page as XML: stricter than HTML, so that nothing is left open and nothing is left unquoted."""
    assert html.lstrip().startswith("<!DOCTYPE html>")
    return ElementTree.fromstring(html.lstrip().removeprefix("<!DOCTYPE html>"))


def text_of(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_is_well_formed_and_every_link_leads_somewhere(pages: dict[str, str], language: str) -> None:
    root = tree(pages[language])
    assert root.attrib["lang"] == language
    ids = Counter(element.attrib["id"] for element in root.iter() if "id" in element.attrib)
    assert [i for i, n in ids.items() if n > 1] == []
    for element in root.iter():
        wanted = element.get("aria-labelledby", "").split()
        if "href" in element.attrib:
            assert element.attrib["href"].startswith("#")
            wanted.append(element.attrib["href"][1:])
        assert [i for i in wanted if i not in ids] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_fetches_runs_and_sends_nothing(pages: dict[str, str], language: str) -> None:
    html = pages[language]
    root = tree(html)
    for element in root.iter():
        assert element.tag.removeprefix(SVG) not in {"script", "link", "img", "iframe", "object", "form", "base", "use", "image"}
        assert not {a for a in element.attrib if a.startswith("on") or a in {"src", "style", "action", "srcset"}}
    style = re.search("<style>(.*?)</style>", html, re.S)
    assert style is not None
    assert not re.search(r"https?:|url\(|@import|<", style[1])
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(m.attrib["content"] for m in root.iter("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_of_others_are_text(pages: dict[str, str], language: str) -> None:
    html = pages[language]
    assert "<script" not in html
    assert "\u202e" not in html
    assert "\x07" not in html
    assert "alert(1)</script>'\"&`|*한글 😀" in "".join(tree(html).itertext())


@pytest.mark.parametrize("language", LANGUAGES)
def test_tables_have_captions_and_heads_and_fit_their_heads(pages: dict[str, str], language: str) -> None:
    tables = list(tree(pages[language]).iter("table"))
    assert len(tables) == 8
    for table in tables:
        assert table[0].tag == "caption"
        assert text_of(table[0])
        assert all(head.get("scope") in {"col", "row"} for head in table.iter("th"))
        widths = [sum(int(cell.get("colspan", "1")) for cell in row) for row in table.iter("tr")]
        assert len(set(widths)) == 1


def test_headings_go_down_one_step_at_a_time_however_deep(document: Document) -> None:
    section = document.sections[0].sections[0]
    for _ in range(8):
        section = replace(section, sections=(section,))
    root = tree(render(replace(document, sections=(*document.sections, section))).decode("utf-8"))
    levels = [int(e.tag[1]) for e in root.iter() if re.fullmatch("h[1-6]", str(e.tag))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_plot_has_words_and_its_table(pages: dict[str, str]) -> None:
    for figure in tree(pages["ko"]).iter("figure"):
        picture = next(figure.iter(SVG + "svg")) if list(figure.iter(SVG + "svg")) else next(figure.iter("svg"))
        assert picture.get("role") == "img"
        assert picture.get("aria-label")
        assert figure.find("figcaption") is not None
        assert figure.find("details//table") is not None


def test_a_number_leads_to_its_runs(document: Document, pages: dict[str, str]) -> None:
    root = tree(pages["en"])
    rows = {element.attrib["id"]: text_of(element) for element in root.iter("tr") if "id" in element.attrib}
    assert [run.run_id in rows[f"r{n}"] for n, run in enumerate(document.runs, start=1)] == [True] * 3
    assert all("abababababababab" in text for text in rows.values())
    table = next(root.iter("table"))
    cell = next(each for each in table.iter("td") if "1.406" in text_of(each))
    row = next(each for each in table.iter("tr") if cell in list(each))
    assert [a.attrib["href"] for a in row.iter("a")] == ["#r1"], "the whole row stands on one run"
    assert next(each for each in cell.iter("span") if each.get("title")).attrib["title"].startswith("1406250 ns; [1394000")
    two = next(each for each in table.iter("td") if "2.50" in text_of(each))
    assert [text_of(a) for a in two.iter("a")] == ["2–3"]
    assert any("gone" in text_of(each) for each in table.iter("td"))
    same = list(root.iter("table"))[1]
    assert [len(list(row.iter("a"))) for row in same.iter("tr")] == [0, 1]


def test_what_is_missing_gives_its_reason(pages: dict[str, str]) -> None:
    cells = [text_of(each) for each in tree(pages["ko"]).iter("td")]
    assert any(re.fullmatch(r"— .*[가-힣]{2}.*", text) for text in cells)


def test_marks_are_words_with_a_sign_that_is_not_read_out(pages: dict[str, str]) -> None:
    signs = [span for span in tree(pages["ko"]).iter("span") if "sign" in span.get("class", "").split()]
    assert signs
    assert all(text_of(span)[1:].strip() and span[0].get("aria-hidden") == "true" for span in signs)


def test_other_languages_are_marked(pages: dict[str, str]) -> None:
    korean, english = (tree(pages[language]) for language in LANGUAGES)
    assert {e.get("lang") for e in korean.iter("span") if "lang" in e.attrib} <= {"en"}
    assert {e.get("lang") for e in english.iter("span") if "lang" in e.attrib} == {"ko"}
    assert not any(re.search("[가-힣]", e.text or "") for e in english.iter("h2") if not e.findall(".//span"))


def test_banners_stand_on_the_page_and_on_every_sheet(pages: dict[str, str]) -> None:
    main = tree(pages["ko"]).find(".//main")
    assert main is not None
    assert "SIMULATED" in text_of(main[0])
    assert re.search(r'@top-left \{ content: "모의\\000028SIMULATED', pages["ko"])


def test_a_page_of_thousands_of_runs_stays_small(make_document: Callable[..., Document]) -> None:
    page = render(make_document(5000, "openvino-cpu-int8-long-name"))
    assert 5000 < page.count(b"<tr id=") + 1 < 5002
    assert len(page) < 3_500_000


def test_a_document_is_the_same_file_each_time(document: Document) -> None:
    assert render(document) == render(document)


def test_an_empty_document_is_a_page(document: Document) -> None:
    for language in LANGUAGES:
        page = render(replace(document, sections=(), runs=(), banners=(), facts=(), subject=""), language=language)
        assert len(list(tree(page.decode("utf-8")).iter("table"))) == 1


def test_what_cannot_be_encoded_is_replaced_wherever_it_stands(document: Document) -> None:
    """A lone surrogate in a cell, a heading or a caption must not stop the page."""
    name = Text("card\ud800")
    cell = Cell(name, remark=None)
    grid = Grid("odd", Phrase("document.runs.caption"), (Column(name), Column(name)), (Row(cell, (cell,)),))
    page = render(replace(document, sections=(Section("odd", name, (grid,)),)), language="en").decode("utf-8")
    assert page.count("card\ufffd") >= 5
