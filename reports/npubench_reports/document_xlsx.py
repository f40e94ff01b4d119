"""A document as a workbook: one sheet a table, numbers as numbers, a native chart for every plot, and contents that link to all.

Whatever comes out of records is written as a string and never as a formula or an address. Lays out only; words and
figures are ``spoken``'s, charts are ``workbook_charts``'.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from io import BytesIO
from typing import Any

import xlsxwriter  # type: ignore[import-untyped]
from xlsxwriter.workbook import Workbook  # type: ignore[import-untyped]
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]

from npubench.report.document import Document, Facts, Grid, Notice, Paragraph, Plot, Points, Section
from npubench_reports import numbers
from npubench_reports.messages import Messages, load
from npubench_reports.references import numbered, references, row_runs
from npubench_reports.run_list import runs_section
from npubench_reports.spoken import Spoken, SpokenGrid, SpokenRow, flat, grid, phrase, spoken
from npubench_reports.unseen import UNSEEN
from npubench_reports.workbook_charts import Charts

#: Most characters a cell holds, and a sheet's name (ECMA-376 applications' limits).
MOST, NAME = 32_767, 31
#: Columns are not narrower or wider than so many characters.
NARROW, BROAD = 9.0, 46.0
#: Height of a line of text in points.
LINE = 15.0
#: The row of a table's headings: caption, banners and the way back stand above.
TOP = 3
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d)?")
_BAD_NAME = re.compile(r"[\[\]:*?/\\\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class Kept:
    """A column of a sheet: its heading, what it takes of a cell, and which cell of a row that is (0 is the row's heading)."""

    heading: str
    part: str
    at: int


def render(document: Document, *, language: str = "ko") -> bytes:
    """Return ``document`` as a workbook (.xlsx).

    Raises:
        InputError: There is no catalogue for the language.
    """
    messages = load(language)
    sections = (*document.sections, runs_section(document))
    file = BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(file, options) as book:
        title = clean(str(phrase(document.title, messages)))
        banners = [clean(str(phrase(banner, messages))) for banner in document.banners]
        book.set_properties(
            {
                "title": title,
                "author": clean(f"npubench {document.harness.removeprefix('npubench ')}"),
                "keywords": document.kind,
                "comments": " · ".join(banners)[:2000],
                "created": _moment(document.made_at),
            }
        )
        looks = _looks(book)
        names = _sheet_names(sections, messages)
        front = book.add_worksheet(names[0])
        tables = _tables(sections)
        sheets = [book.add_worksheet(name) for name in names[1 : len(tables) + 1]]
        charts = Charts(book, names[-1], messages)
        listed = numbered(document)
        for content, sheet in zip(tables, sheets, strict=True):
            below = _table_sheet(sheet, content, messages, looks, banners, names[0], listed)
            if isinstance(content, Plot):
                charts.add(sheet, content, below)
        charts.close()
        for sheet in (front, *sheets):
            _print(sheet, title, banners, wide=sheet is not front)
        _front(front, document, sections, dict(zip(map(id, tables), names[1:], strict=False)), (messages, looks, banners))
    return file.getvalue()


def clean(text: str) -> str:
    """Return a text that a cell can hold: what cannot be seen is replaced, and no longer than a cell."""
    return UNSEEN.sub("\ufffd", text)[:MOST]


def _looks(book: Workbook) -> Mapping[str, Any]:
    """Return the workbook's formats by name."""
    base = {"valign": "top", "text_wrap": True}
    return {
        "title": book.add_format({"bold": True, "font_size": 16}),
        "heading": book.add_format({"bold": True, "font_size": 12, "valign": "top"}),
        "head": book.add_format({**base, "bold": True, "bg_color": "#EEF2F5", "border": 1, "border_color": "#C3CCD4"}),
        "text": book.add_format(base),
        "plain": book.add_format({"valign": "top"}),
        "faint": book.add_format({**base, "font_color": "#4B5864"}),
        "banner": book.add_format({"bold": True, "font_color": "#9B1C1C"}),
        "link": book.add_format({"font_color": "#1D4F7C", "underline": 1}),
        "date": book.add_format({**base, "num_format": "yyyy-mm-dd", "align": "left"}),
        "time": book.add_format({**base, "num_format": "yyyy-mm-dd hh:mm", "align": "left"}),
        **{f"number{n}": book.add_format({"valign": "top", "num_format": "#,##0" + "." * (n > 0) + "0" * n}) for n in range(13)},
    }


def _tables(sections: Iterable[Section]) -> list[Grid | Plot]:
    """Return every table and plot in the order they stand in."""
    found: list[Grid | Plot] = []
    for section in sections:
        found += [block for block in section.blocks if isinstance(block, Grid | Plot)]
        found += _tables(section.sections)
    return found


def _sheet_names(sections: Sequence[Section], messages: Messages) -> list[str]:
    """Return the names of all sheets, each valid and there once: the summary, a sheet a table, and the charts' data."""
    captions = [str(phrase(each.caption, messages)) for each in _tables(sections)]
    given = [f"{n} {caption}" for n, caption in enumerate(captions, start=1)]
    every = [messages("document.summary"), *given, messages("render.sheet.charts")]
    return [_BAD_NAME.sub(" ", clean(name))[:NAME].strip(" '") for name in every]


def _front(
    sheet: Worksheet,
    document: Document,
    sections: Sequence[Section],
    names: Mapping[int, str],
    dress: tuple[Messages, Mapping[str, Any], Sequence[str]],
) -> None:
    """Write the first sheet: what the document is, what it says in words, and a link to every table where it belongs."""
    messages, looks, banners = dress
    sheet.set_column(0, 0, 30)
    sheet.set_column(1, 1, 110)
    sheet.write_string(0, 0, clean(str(phrase(document.title, messages))), looks["title"])
    row = 1
    for banner in banners:
        sheet.write_string(row, 0, banner, looks["banner"])
        row += 1
    made = (messages("page.made-at"), numbers.moment(document.made_at, messages.locale))
    facts = [(str(phrase(fact.label, messages)), spoken(fact.cell, messages).text) for fact in document.facts]
    for label, value in (made, *facts):
        sheet.write_string(row, 0, clean(label), looks["faint"])
        sheet.write_string(row, 1, clean(value), looks["text"])
        row += 1
    row += 1
    for section in sections:
        row = _front_section(sheet, row, section, names, messages, looks)


def _front_section(
    sheet: Worksheet, row: int, section: Section, names: Mapping[int, str], messages: Messages, looks: Mapping[str, Any]
) -> int:
    """Write a section's words and the links to its tables; return the next free row."""
    sheet.write_string(row, 0, clean(str(phrase(section.heading, messages))), looks["heading"])
    row += 1
    for block in section.blocks:
        if isinstance(block, Grid | Plot):
            kind = messages("document.plot" if isinstance(block, Plot) else "document.sheet")
            sheet.write_string(row, 0, kind, looks["faint"])
            target = names[id(block)].replace("'", "''")
            caption = clean(str(phrase(block.caption, messages)))
            sheet.write_url(row, 1, f"internal:'{target}'!A1", looks["link"], caption[:255])
            row += 1
            continue
        for label, text in _lines(block, messages):
            sheet.write_string(row, 0, clean(label), looks["faint"])
            sheet.write_string(row, 1, clean(text), looks["text"])
            row += 1
    for each in section.sections:
        row = _front_section(sheet, row, each, names, messages, looks)
    return row + (0 if section.sections else 1)


def _lines(block: Paragraph | Points | Facts | Notice, messages: Messages) -> Iterable[tuple[str, str]]:
    """Yield what a block of words says, as label and text."""
    if isinstance(block, Paragraph):
        yield "", " ".join(str(phrase(each, messages)) for each in block.sentences)
    elif isinstance(block, Points):
        for n, each in enumerate(block.sentences, start=1):
            yield (f"{n}." if block.ordered else "•"), str(phrase(each, messages))
    elif isinstance(block, Facts):
        for fact in block.facts:
            said = spoken(fact.cell, messages)
            notes = [text for text in (said.interval, str(said.reason), str(said.remark)) if text]
            yield str(phrase(fact.label, messages)), " — ".join([said.text, *notes])
    else:
        yield messages.name("document.gravity", block.gravity), str(phrase(block.sentence, messages))


def _table_sheet(
    sheet: Worksheet,
    block: Grid | Plot,
    messages: Messages,
    looks: Mapping[str, Any],
    banners: Sequence[str],
    front: str,
    listed: Mapping[str, int],
) -> int:
    """Write a table on a sheet of its own; return the first free row below it."""
    shown = grid(flat(block.table if isinstance(block, Plot) else block), messages)
    caption = str(phrase(block.caption, messages))
    sheet.write_string(0, 0, clean(caption), looks["heading"])
    quoted = front.replace("'", "''")
    sheet.write_url(1, 0, f"internal:'{quoted}'!A1", looks["link"], f"← {front}")
    sheet.write_string(2, 0, " · ".join(banners)[:MOST], looks["banner"])
    columns = _columns(shown, messages)
    for n, column in enumerate(columns):
        sheet.write_string(TOP, n, clean(column.heading), looks["head"])
        sheet.set_column(n, n, _width(column, shown))
    widths = [_width(column, shown) for column in columns]
    sheet.set_row(TOP, LINE * max(_lines_of(column.heading, width - 2) for column, width in zip(columns, widths, strict=True)))
    for r, row in enumerate(shown.rows, start=TOP + 1):
        texts = [_text(_cell(row, column.at), column.part) for column in columns]
        sheet.set_row(r, LINE * max(_lines_of(text, width) for text, width in zip(texts, widths, strict=True)))
        for n, column in enumerate(columns):
            _write(sheet, (r, n), column, row, looks, listed)
    last = TOP + len(shown.rows)
    sheet.freeze_panes(TOP + 1, 1)
    sheet.autofilter(TOP, 0, last, len(columns) - 1)
    sheet.repeat_rows(TOP)
    below = last + 1
    for remark in shown.remarks or (() if shown.rows else (messages("document.no-rows"),)):
        sheet.write_string(below, 0, clean(str(remark)), looks["plain"])
        below += 1
    return below + 1


def _columns(shown: SpokenGrid, messages: Messages) -> list[Kept]:
    """Return the sheet's columns: a table's own, and beside each what its cells need: unit, interval, reason, remark."""
    kept: list[Kept] = []
    for at, heading in enumerate(shown.headings):
        cells = [_cell(row, at) for row in shown.rows]
        units = {cell.unit for cell in cells if cell.value is not None}
        alone = next(iter(units)) if len(units) == 1 else ""
        kept.append(Kept(f"{heading} ({alone})" if alone else heading, "value", at))
        wanted = {
            "unit": len(units) > 1,
            "low": any(cell.low is not None for cell in cells),
            "high": any(cell.high is not None for cell in cells),
            "reason": any(str(cell.reason) for cell in cells),
            "remark": any(str(cell.remark) for cell in cells),
        }
        beside = {part: messages(f"document.column.{part}") for part in wanted}
        kept += [Kept(f"{heading} · {beside[part]}", part, at) for part, there in wanted.items() if there]
    if any(row_runs(row) for row in shown.rows):
        kept.append(Kept(messages("document.column.runs"), "runs", 0))
    return kept


def _cell(row: SpokenRow, at: int) -> Spoken:
    return row.cells[at - 1] if at else row.heading


def _write(
    sheet: Worksheet, place: tuple[int, int], column: Kept, row: SpokenRow, looks: Mapping[str, Any], listed: Mapping[str, int]
) -> None:
    """Write one cell, typed: a number with the digits that its interval warrants shown, a date, else a string."""
    cell = _cell(row, column.at)
    number = {"value": cell.value, "low": cell.low, "high": cell.high}.get(column.part)
    if number is not None and math.isfinite(number):
        sheet.write_number(*place, number, looks[f"number{_digits(str(cell.said))}"])
        return
    text = _text(cell, column.part) if column.part != "runs" else str(references(row_runs(row), listed))
    if column.part == "value" and _DATE.fullmatch(text) and (when := _date(text)):
        sheet.write_datetime(*place, when, looks["time" if len(text) > 10 else "date"])
    elif text:
        sheet.write_string(*place, clean(text), looks["text" if column.part in ("value", "unit", "runs") else "faint"])


def _text(cell: Spoken, part: str) -> str:
    if part == "value":
        return " ".join(each for each in (cell.sign, str(cell.said)) if each)
    return {"unit": cell.unit, "reason": str(cell.reason), "remark": str(cell.remark)}.get(part, "")


def _digits(text: str) -> int:
    """Return how many decimals a figure shows; the cell keeps the value itself."""
    decimals = re.search(r"\.(\d+)$", text)
    return min(len(decimals.group(1)), 12) if decimals else 0


def _date(text: str) -> datetime | None:
    try:
        when = datetime.fromisoformat(text.replace(" ", "T"))
    except ValueError:
        return None
    return when if when.year >= 1900 else None


def _width(column: Kept, shown: SpokenGrid) -> float:
    """Return a column's width in characters: most of its texts fit in a line, Korean letters taking nearly two."""
    texts = [_text(_cell(row, column.at), column.part) for row in shown.rows] if column.part != "runs" else []
    lengths = sorted(_length(text) for text in texts)
    usual = lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0.0
    return min(max(usual + 2, min(_length(column.heading) + 4, 24.0), NARROW), BROAD)


def _lines_of(text: str, width: float) -> int:
    """Return about how many lines a text takes in a column; applications do not all find the height of a row themselves."""
    return min(math.ceil(max(_length(text), 1.0) / max(width - 2, 1.0)), 20)


def _length(text: str) -> float:
    return sum(1.9 if ord(c) > 0x2E7F else 1.0 for c in text)


def _print(sheet: Worksheet, title: str, banners: Sequence[str], *, wide: bool) -> None:
    """Set a sheet up for paper: A4, as wide as the page, title, banners and numbers of pages on every one."""
    sheet.set_paper(9)
    if wide:
        sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    head = "\n".join(part.replace("&", "&&") for part in (title[:60], " · ".join(banners)[:110]) if part)
    sheet.set_header(f"&L&8{' ' if head[:1].isdigit() else ''}{head}"[:250])
    sheet.set_footer("&R&8 &P / &N")


def _moment(text: str) -> datetime:
    """Return when the document was made, so that the same document is the same file."""
    try:
        when = datetime.fromisoformat(re.sub(r"Z$", "+00:00", text))
    except ValueError:
        return datetime(2000, 1, 1)
    return when.astimezone(timezone.utc).replace(tzinfo=None) if when.tzinfo else when
