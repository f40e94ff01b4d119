"""A document's tables as CSV, one file a table: numbers as numbers without separators, in the unit that stands beside them.

UTF-8 with a byte order mark, because Excel in Korean reads a file without one as CP949; text that a spreadsheet would take
for a formula begins with an apostrophe.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence

from npubench.report.document import Document, Grid
from npubench_reports.messages import Messages, load
from npubench_reports.references import grids, row_runs, safe_names
from npubench_reports.run_list import runs_section
from npubench_reports.spoken import Spoken, SpokenGrid, flat, grid
from npubench_reports.unseen import UNSEEN

#: What a spreadsheet takes for the beginning of a formula, full-width forms too.
FORMULA = re.compile(r"\s*[=+\-@＝＋－＠\t\r]")


def render(document: Document, *, language: str = "ko") -> Mapping[str, bytes]:
    """Return ``document``'s tables as files by name.

    Raises:
        InputError: There is no catalogue for the language.
    """
    messages = load(language)
    every = grids((*document.sections, runs_section(document)))
    return {f"{name}.csv": _file(each, messages) for name, each in zip(safe_names(e.name for e in every), every, strict=True)}


def text(words: str) -> str:
    """Return ``words`` for a cell: on one line, and never a formula."""
    plain = " ".join(UNSEEN.sub("\ufffd", words).split())
    return "'" + plain if FORMULA.match(plain) else plain


def _file(content: Grid, messages: Messages) -> bytes:
    shown = grid(flat(content), messages)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    wide = [_measured(shown, n) for n in range(len(shown.headings) - 1)]
    remarked = [_remarked(shown, n) for n in range(len(shown.headings) - 1)]
    referred = any(row_runs(row) for row in shown.rows)
    heads = [text(shown.headings[0])]
    for heading, ends, remark in zip(shown.headings[1:], wide, remarked, strict=True):
        names = [*(("unit", "low", "high") if ends else ()), *(("remark",) if remark else ())]
        heads += [text(heading), *(text(f"{heading}: {messages.name('document.column', name)}") for name in names)]
    writer.writerow([*heads, *([messages("document.column.runs")] if referred else [])])
    for row in shown.rows:
        cells = [_words(row.heading)]
        for cell, ends, remark in zip(row.cells, wide, remarked, strict=True):
            cells += [_value(cell), *([text(cell.unit), _number(cell.low), _number(cell.high)] if ends else [])]
            cells += [_remark(cell)] if remark else []
        writer.writerow([*cells, *([text(" ".join(row_runs(row)))] if referred else [])])
    return out.getvalue().encode("utf-8-sig")


def _measured(shown: SpokenGrid, column: int) -> bool:
    """Tell whether a column has values with a unit or an interval."""
    return any(row.cells[column].unit or row.cells[column].interval for row in shown.rows)


def _remarked(shown: SpokenGrid, column: int) -> bool:
    return any(_remark(row.cells[column]) for row in shown.rows)


def _value(cell: Spoken) -> str:
    """Return a number as a number, words as words, and nothing where there is no value: the reason stands beside it."""
    return _number(cell.value) if cell.value is not None else "" if len(cell.reason) else text(str(cell.said))


def _words(cell: Spoken) -> str:
    parts: Sequence[str] = [str(cell.said), cell.unit, f"({cell.remark})" if len(cell.remark) else ""]
    return text(" ".join(part for part in parts if part))


def _remark(cell: Spoken) -> str:
    return text(" · ".join(str(said) for said in (cell.reason, cell.remark) if len(said)))


def _number(value: float | None) -> str:
    """Return a number with every digit that it has; unscaling must not add any."""
    if value is None:
        return ""
    return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(float(f"{value:.15g}"))
