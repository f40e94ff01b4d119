"""One document in six formats: every figure stands in each of them, in the same scale and the same unit."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterator

import openpyxl
import pypdf
import pytest

from npubench.analyze.estimate import Estimate
from npubench.report.document import Document, Grid, Plot, Section
from npubench_reports import document_csv, document_html, document_json, document_markdown, document_pdf, document_xlsx
from npubench_reports.messages import load
from npubench_reports.spoken import Spoken, grid

LANGUAGES = ("ko", "en")


def tables(sections: tuple[Section, ...]) -> Iterator[Grid]:
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Grid | Plot):
                yield block if isinstance(block, Grid) else block.table
        yield from tables(section.sections)


def figures(document: Document, language: str) -> list[Spoken]:
    """Return every number of every table, as it is spoken."""
    shown = [grid(each, load(language)) for each in tables(document.sections)]
    return [cell for each in shown for row in each.rows for cell in (row.heading, *row.cells) if cell.value is not None]


def squeezed(text: str) -> str:
    """Return a text without the spaces that layouts differ in."""
    return re.sub(r"[\s\u200b]+", "", text)


def of_html(document: Document, language: str) -> str:
    page = document_html.render(document, language=language).decode("utf-8")
    page = re.sub(r"(?s)<(style|svg|head)\b.*?</\1>", "", page)
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def of_pdf(document: Document, language: str) -> str:
    content = document_pdf.render(document, language=language)
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)


def of_markdown(document: Document, language: str) -> str:
    return document_markdown.render(document, language=language).decode("utf-8").replace("\\", "")


@pytest.fixture(scope="module", params=["every-block", "comparison"])
def document(request: pytest.FixtureRequest, document: Document, comparison: Document) -> Document:
    """The document with every kind of block, and one that a verb writes."""
    return document if request.param == "every-block" else comparison


@pytest.fixture(scope="module")
def texts(document: Document) -> dict[tuple[str, str], str]:
    """Return the text of every format for people, by format and language."""
    formats: dict[str, Callable[[Document, str], str]] = {"html": of_html, "pdf": of_pdf, "markdown": of_markdown}
    return {(name, each): squeezed(read(document, each)) for name, read in formats.items() for each in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["html", "pdf", "markdown"])
def test_every_figure_is_shown_with_its_unit_and_interval(
    document: Document, texts: dict[tuple[str, str], str], name: str, language: str
) -> None:
    expected = figures(document, language)
    assert "1.406 ms" in {cell.text for cell in expected}
    text = texts[name, language]
    assert [cell.text for cell in expected if squeezed(cell.text) not in text] == []
    assert [cell.interval for cell in expected if squeezed(cell.interval) not in text] == []
    # Each as often as there are cells that say so.
    for said in {squeezed(cell.text) for cell in expected if cell.unit}:
        assert text.count(said) >= sum(squeezed(cell.text) == said for cell in expected)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_workbook_has_every_value_as_a_number(document: Document, language: str) -> None:
    book = openpyxl.load_workbook(io.BytesIO(document_xlsx.render(document, language=language)), read_only=True)
    found = [value for sheet in book.worksheets for row in sheet.iter_rows(values_only=True) for value in row]
    numbers = [value for value in found if isinstance(value, int | float)]
    for cell in figures(document, language):
        for value in (cell.value, cell.low, cell.high):
            assert value is None or any(each == pytest.approx(value, rel=1e-12) for each in numbers)


@pytest.mark.parametrize("language", LANGUAGES)
def test_csv_has_every_value_in_the_same_scale(document: Document, language: str) -> None:
    cells = []
    for content in document_csv.render(document, language=language).values():
        cells += [each for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) for each in row]
    numbers = [float(each) for each in cells if re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", each)]
    for cell in figures(document, language):
        for value in (cell.value, cell.low, cell.high):
            assert value is None or any(each == pytest.approx(value, rel=1e-12) for each in numbers)


@pytest.mark.parametrize("language", LANGUAGES)
def test_json_has_every_value_exactly(document: Document, language: str) -> None:
    found: list[float] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)
        elif isinstance(node, int | float) and not isinstance(node, bool):
            found.append(node)

    walk(json.loads(document_json.render(document, language=language)))
    contents = [cell.content for each in tables(document.sections) for row in each.rows for cell in (row.heading, *row.cells)]
    estimates = [content for content in contents if isinstance(content, Estimate) and content.value is not None]
    assert len(estimates) > 2
    assert {each for e in estimates for each in (e.value, e.low, e.high) if each is not None} <= set(found)


def test_both_languages_show_the_same_digits(document: Document) -> None:
    korean, english = ([(cell.said, cell.interval, cell.value) for cell in figures(document, each)] for each in LANGUAGES)
    assert korean == english
