"""A document as a workbook: typed, linked, charted, and free of formulas."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import openpyxl
import pytest

from npubench.analyze.estimate import Estimate
from npubench.report.document import Cell, Column, Document, Grid, Phrase, Row, Section, Text
from npubench_reports import document_xlsx, workbook_charts

LANGUAGES = ("ko", "en")


@pytest.fixture(scope="module")
def made(document: Document) -> dict[str, bytes]:
    return {language: document_xlsx.render(document, language=language) for language in LANGUAGES}


def read(content: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(content))


def alone(document: Document, *contents: Any) -> Any:
    """Return the sheet of a document with one small table."""
    rows = tuple(Row(Cell(Text(f"r{n}")), (Cell(content),)) for n, content in enumerate(contents))
    columns = (Column(Phrase("document.column.item")), Column(Phrase("document.column.value"), True))
    grid = Grid("g", Phrase("document.plot"), columns, rows)
    sections = (Section("s", Phrase("document.summary"), (grid,)),)
    return read(document_xlsx.render(replace(document, sections=sections, banners=()), language="en")).worksheets[1]


def under(sheet: Any, heading: str) -> list[Any]:
    """Return what stands under a heading."""
    head = [cell.value for cell in sheet[document_xlsx.TOP + 1]]
    return [row[head.index(heading)].value for row in sheet.iter_rows(min_row=document_xlsx.TOP + 2)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_is_a_sheet_a_table_and_one_for_the_charts(made: dict[str, bytes], language: str) -> None:
    book = read(made[language])
    names = book.sheetnames
    # Three tables, four plots, the runs, and before and after them the summary and the charts' data.
    assert len(names) == 10
    assert len({name.lower() for name in names}) == 10
    assert all(0 < len(name) <= 31 and not re.search(r"[\[\]:*?/\\]|^'|'$", name) for name in names)
    assert [len(sheet._charts) for sheet in book.worksheets] == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]
    assert "한글" in book.properties.title


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_table_is_linked_and_set_up(made: dict[str, bytes], language: str) -> None:
    book = read(made[language])
    cells = [cell for row in book.worksheets[0].iter_rows() for cell in row]
    assert [cell.hyperlink.location for cell in cells if cell.hyperlink] == [f"'{name}'!A1" for name in book.sheetnames[1:-1]]
    for sheet in book.worksheets[1:-1]:
        assert sheet.freeze_panes == f"B{document_xlsx.TOP + 2}"
        assert sheet.auto_filter.ref
        assert sheet.print_title_rows == f"${document_xlsx.TOP + 1}:${document_xlsx.TOP + 1}"
        assert sheet.page_setup.fitToHeight == 0
        assert "SIMULATED" in sheet["A3"].value


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_a_formula_or_an_address(made: dict[str, bytes], language: str) -> None:
    for sheet in read(made[language]).worksheets:
        for row in sheet.iter_rows():
            assert [cell.value for cell in row if cell.data_type == "f"] == []
    with zipfile.ZipFile(io.BytesIO(made[language])) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            ElementTree.fromstring(content)
            assert b'TargetMode="External"' not in content
            if name.startswith("xl/charts/"):
                referred = re.findall(r"<c:f>(.*?)</c:f>", content.decode("utf-8"))
                assert referred
                assert all(re.fullmatch(r"'?[^'!]+'?!\$[A-Z]+\$\d+(:\$[A-Z]+\$\d+)?", each) for each in referred)


def test_numbers_are_numbers_with_unit_interval_and_reason(document: Document) -> None:
    missing = Estimate(None, "ns", reason="not measured: no sensor or meter was read")
    sheet = alone(document, Estimate(1.40625e6, "ns", 1.394e6, 1.418e6, 0.99, 900), missing, 3)
    assert under(sheet, "Value")[1:] == ["—", 3]
    assert under(sheet, "Value")[0] == pytest.approx(1.40625)
    assert under(sheet, "Value · Unit") == ["ms", None, None]
    assert under(sheet, "Value · Low")[0] == pytest.approx(1.394)
    assert under(sheet, "Value · High")[0] == pytest.approx(1.418)
    assert "sensor" in under(sheet, "Value · Reason")[1]
    assert sheet.cell(document_xlsx.TOP + 2, 2).number_format == "#,##0.000"


def test_one_unit_stands_in_the_heading(document: Document) -> None:
    assert under(alone(document, Estimate(2.5, "W"), Estimate(25.0, "W")), "Value (W)") == [2.5, 25]


def test_dates_are_dates(document: Document) -> None:
    sheet = alone(document, Text("2026-11-22"), Text("2026-11-22 01:02"), Text("2026-02-31"), Text("1066-10-14"))
    assert under(sheet, "Value") == [datetime(2026, 11, 22), datetime(2026, 11, 22, 1, 2), "2026-02-31", "1066-10-14"]


WORDS = ["=1+1", "+1", "-1", "@SUM(A1)", "{=1}", "http://x.example", "internal:A1", "_x0041_", "12", "TRUE", "a" * 40_000]


@pytest.mark.parametrize("words", WORDS)
def test_words_stay_words(document: Document, words: str) -> None:
    sheet = alone(document, Text(words))
    cell = sheet.cell(document_xlsx.TOP + 2, 2)
    assert cell.data_type == "s"
    assert openpyxl.utils.escape.unescape(cell.value) == words[: document_xlsx.MOST] or cell.value == words
    assert cell.hyperlink is None


def test_the_same_document_is_the_same_file(document: Document, made: dict[str, bytes]) -> None:
    assert document_xlsx.render(document, language="ko") == made["ko"]


def parts(content: bytes) -> list[str]:
    """Return the charts of a workbook in order."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = sorted(name for name in archive.namelist() if re.fullmatch(r"xl/charts/chart\d+\.xml", name))
        return [archive.read(name).decode("utf-8") for name in names]


def test_steps_are_corners_and_phases_a_band(make_document: Callable[..., Document]) -> None:
    content = document_xlsx.render(make_document(name="card"), language="en")
    *_, steps = parts(content)
    series = re.findall("<c:ser>.*?</c:ser>", steps)
    # Four series, the corners of the three joined ones, a level, two phases.
    assert len(series) == 10
    assert steps.count("<c:legendEntry>") == 3
    rows = [[cell.value for cell in row] for row in read(content).worksheets[-1].iter_rows(max_col=3)]
    corners = [tuple(row[1:]) for row in rows if row[0] == "s0 card (steps)"]
    # The third point is missing: its neighbours' runs end there.
    assert corners == [(0, 10), (0.5, 10), (0.5, 20), (1, 20), (3, 40), (3.5, 40), (3.5, 50), (4, 50)]
    # Above the greatest end of an interval; a phase too short for its name has it in the legend alone.
    assert [row[1] for row in rows if row[0] == "phase.timed"] == pytest.approx([0.1, 2.05, 4])
    assert [row[2] for row in rows if row[0] == "phase.timed"] == pytest.approx([64.8] * 3)
    assert "<a:t>phase.timed</a:t>" in series[-1]
    assert "<a:t>" not in series[-2]


def test_points_have_their_words_and_none_is_a_formula(make_document: Callable[..., Document]) -> None:
    content = document_xlsx.render(make_document(name="card"), language="en")
    assert [re.findall("<a:t>(p[0-9])</a:t>", part).count("p1") for part in parts(content)] == [0, 0, 4, 0]
    assert workbook_charts._words(["=1+1", "==", "", "p"], "right")["custom"] == [
        {"value": "1+1"},
        {"delete": True},
        {"delete": True},
        {"value": "p"},
    ]


def test_what_a_chart_with_named_places_cannot_draw_stands_below_it(make_document: Callable[..., Document]) -> None:
    sheet = read(document_xlsx.render(make_document(name="card"), language="en")).worksheets[5]
    assert "Required: 25 samples/s" in [cell.value for cell in sheet["A"]]
