"""A document as JSON: its whole content as data, every estimate exact in the record's unit, and beside it what is shown.

Whoever reads it looks at ``schema_version``: it goes up when something is taken out or changes its meaning.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from npubench.analyze.estimate import Estimate
from npubench.report.document import Cell, Document, Grid, Mark, Phrase, Point, Reason, RunReference, Text, Titles, Told
from npubench_reports.messages import Messages, load
from npubench_reports.run_list import runs_section
from npubench_reports.spoken import Spoken, flat, grid, phrase, spoken

#: Of this format.
SCHEMA_VERSION = 1


def render(document: Document, *, language: str = "ko") -> bytes:
    """Return ``document`` as JSON, its words in ``language``.

    Raises:
        InputError: There is no catalogue for the language.
    """
    messages = load(language)
    whole = dataclasses.replace(document, sections=(*document.sections, runs_section(document)))
    content = {"schema_version": SCHEMA_VERSION, "language": language, **_value(whole, messages)}
    return (json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode("utf-8", errors="replace")


def _value(content: Any, messages: Messages) -> Any:
    """Return any part of a document as what JSON knows; a block says by ``kind`` what it is."""
    if isinstance(content, Phrase | Reason | Text | Titles | Told):
        return str(phrase(content, messages))
    if isinstance(content, Grid):
        return _grid(content, messages)
    if isinstance(content, Cell):
        return _cell(content, spoken(content, messages))
    if isinstance(content, Point):
        place = _finite(dataclasses.asdict(content))
        return {name: value for name, value in place.items() if name in ("x", "y") or value not in (None, "")}
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        parts = {field.name: _value(getattr(content, field.name), messages) for field in dataclasses.fields(content)}
        return parts if "kind" in parts else {"kind": type(content).__name__.lower(), **parts}
    if isinstance(content, Mapping):
        return {str(key): _value(value, messages) for key, value in content.items()}
    if isinstance(content, tuple | list):
        return [_value(each, messages) for each in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def _grid(content: Grid, messages: Messages) -> dict[str, Any]:
    content = flat(content)
    shown = grid(content, messages)
    rows = [
        {"heading": _cell(row.heading, said.heading), "cells": [_cell(*both) for both in zip(row.cells, said.cells, strict=True)]}
        for row, said in zip(content.rows, shown.rows, strict=True)
    ]
    columns = [{"heading": h, "numeric": n} for h, n in zip(shown.headings, shown.numeric, strict=True)]
    remarks = [str(remark) for remark in shown.remarks]
    return {"kind": "grid", "name": content.name, "caption": shown.caption, "columns": columns, "rows": rows, "remarks": remarks}


def _cell(cell: Cell, shown: Spoken) -> dict[str, Any]:
    """Return a cell; what it has not is left out."""
    content = cell.content
    made: dict[str, Any] = {"text": shown.text}
    if isinstance(content, Estimate):
        made["estimate"] = _finite(dataclasses.asdict(content))
    elif isinstance(content, int):
        made["value"] = int(content)
    elif isinstance(content, Mark):
        made["mark"] = content.sign
    elif isinstance(content, RunReference):
        made["run"] = content.run_id
    extra = {"interval": shown.interval, "reason": str(shown.reason), "remark": str(shown.remark), "runs": list(shown.runs)}
    return made | {name: value for name, value in extra.items() if value}


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
