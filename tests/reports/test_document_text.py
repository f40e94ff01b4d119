"""A document as CSV, Markdown and JSON: exact, escaped, and with the runs behind every row."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from npubench.analyze.estimate import Estimate
from npubench.report.document import Cell, Column, Document, Grid, Phrase, Plot, Row, Section, Text
from npubench_reports import document_csv, document_json, document_markdown

LANGUAGES = ("ko", "en")


def rows_of(content: bytes) -> list[list[str]]:
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def alone(document: Document, *rows: Row) -> Document:
    """Return the document with one small table."""
    grid = Grid(
        "g", Phrase("document.plot"), (Column(Phrase("document.column.item")), Column(Phrase("document.column.value"))), rows
    )
    return replace(document, sections=(Section("s", Phrase("document.summary"), (grid,)),))


@pytest.mark.parametrize("language", LANGUAGES)
def test_csv_is_a_file_a_table_with_safe_names(document: Document, language: str) -> None:
    files = document_csv.render(document, language=language)
    assert list(files)[:3] == ["first-..-grid-x.csv", "same.csv", "first-..-grid-x-2.csv"]
    assert list(files)[-1] == "runs.csv"
    assert len({name.lower() for name in files}) == len(files) == 8
    for name, content in files.items():
        assert re.fullmatch(r"[\w][\w.\- ]{0,120}", name)
        rows = rows_of(content)
        assert len({len(row) for row in rows}) == 1


def test_csv_has_numbers_as_numbers_with_unit_interval_reason_and_runs(document: Document) -> None:
    head, first, second, *_ = rows_of(document_csv.render(document, language="en")["first-..-grid-x.csv"])
    assert [each.startswith("latency: ") for each in head[1:6]] == [False, True, True, True, True]
    assert first[1:5] == ["1.40625", "ms", "1.394", "1.418"]
    assert first[-1] == "run-00001"
    assert second[1] == ""
    assert "sensor" in second[5]
    assert second[-1] == "run-00001 run-00002 run-00003"


@pytest.mark.parametrize("words", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1", "\r\n=cmd|' /C calc'!A0"])
def test_csv_has_no_formulas(document: Document, words: str) -> None:
    made = document_csv.render(alone(document, Row(Cell(Text(words)), (Cell(Text(words)),))))["g.csv"]
    assert all(cell.startswith("'") for cell in rows_of(made)[1][:2])


def test_csv_leaves_negative_numbers_numbers(document: Document) -> None:
    row = Row(Cell(Text("a")), (Cell(Estimate(-2.5, "W")),))
    assert rows_of(document_csv.render(alone(document, row))["g.csv"])[1][1] == "-2.5"


@pytest.mark.parametrize("language", LANGUAGES)
def test_markdown_tables_hold_whatever_is_in_them(document: Document, language: str) -> None:
    text = document_markdown.render(document, language=language).decode("utf-8")
    widths: list[int] = []
    tables = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        elif widths:
            tables.append(set(widths))
            widths = []
    assert len(tables) == 7
    assert all(len(each) == 1 for each in tables)
    assert "\u202e" not in text
    assert not re.search(r"(?<!\\)<", text)
    assert "http://" not in text
    assert "\\<script\\>" in text


def test_markdown_shows_values_intervals_reasons_and_runs(document: Document) -> None:
    text = document_markdown.render(document, language="en").decode("utf-8")
    row = next(line for line in text.splitlines() if "1.406 ms" in line)
    assert "[1.394 – 1.418]" in row
    assert row.endswith("| 1 |")
    assert any(line.startswith("|") and "— (" in line for line in text.splitlines())
    assert re.search(r"\| 2 \| run-00002 \|", text)
    assert text.count("\n# ") + text.startswith("# ") == 1


def test_markdown_makes_no_list_of_a_number_and_no_number_of_a_list() -> None:
    assert document_markdown.line("1. one") == "1\u200b. one"
    assert document_markdown.line("- one") == "\\- one"
    assert document_markdown.text("1.5 ms") == "1.5 ms"


@pytest.mark.parametrize("language", LANGUAGES)
def test_json_is_the_document_with_exact_values(document: Document, language: str) -> None:
    content = json.loads(document_json.render(document, language=language))
    assert (content["schema_version"], content["language"], content["kind"]) == (1, language, "procurement")
    grid = next(block for block in content["sections"][0]["blocks"] if block["kind"] == "grid")
    cell = grid["rows"][0]["cells"][0]
    assert cell["estimate"] == {
        "value": 1406250.0,
        "unit": "ns",
        "low": 1394000.0,
        "high": 1418000.0,
        "confidence": 0.99,
        "n": 900,
        "reason": None,
    }
    assert cell["text"] == "1.406 ms"
    assert cell["runs"] == ["run-00001"]
    assert grid["rows"][1]["cells"][0]["estimate"]["value"] is None
    plots = [block for block in content["sections"][1]["blocks"] if block["kind"] == "plot"]
    assert [plot["form"] for plot in plots] == ["lines", "bars", "points", "steps"]
    assert plots[0]["series"][0]["points"][2]["y"] is None
    assert [run["run_id"] for run in content["runs"]] == ["run-00001", "run-00002", "run-00003"]


def test_json_has_no_number_that_json_has_not(document: Document) -> None:
    plot = next(block for block in document.sections[1].blocks if isinstance(block, Plot))
    odd = replace(
        plot, series=(replace(plot.series[0], points=(replace(plot.series[0].points[0], y=float("inf"), x=float("nan")),)),)
    )
    row = Row(Cell(Text("a\ud800")), (Cell(1),))
    document = replace(
        alone(document, row), sections=(*alone(document, row).sections, Section("p", Phrase("document.plot"), (odd,)))
    )
    content = json.loads(document_json.render(document))
    assert content["sections"][1]["blocks"][0]["series"][0]["points"] == [
        {"x": None, "y": None, "low": 9.0, "high": 12.0, "label": "p0"}
    ]
