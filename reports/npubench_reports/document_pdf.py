"""A document as PDF: tagged, PDF/A, its Korean font embedded; typst sets it, no browser and nothing of the machine's fonts.

Whatever comes out of records goes in as data and is set as text. Lays out only; words and figures are ``spoken``'s.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import typst
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

from npubench.errors import InputError
from npubench.report.document import Block, Document, Fact, Facts, Grid, Notice, Paragraph, Plot, Points, Section
from npubench_reports import numbers, plots
from npubench_reports.messages import Messages, load
from npubench_reports.pdf_headings import with_row_headings
from npubench_reports.references import References, grids, numbered, references, shared_runs
from npubench_reports.run_list import runs_section
from npubench_reports.spoken import Spoken, SpokenGrid, SpokenRow, grid, phrase, spoken
from npubench_reports.unseen import UNSEEN

#: PDF/A-2 at level A: archivable and tagged (ISO 19005-2); PDF/UA-1: can be read out (ISO 14289-1).
STANDARDS: tuple[Literal["a-2a"], Literal["ua-1"]] = ("a-2a", "ua-1")
#: The font's package, and its family.
FONT_PACKAGE, FONT = "pylopdf_fonts_ko", "Noto Sans KR"
#: From so many columns on a table wants the long side of the paper.
WIDE = 7
#: What stands for a character the font has not.
REPLACEMENT = "□"
#: The running head has room for so many characters of banners; on the first page they are whole.
BANNER = 200
#: A column is not narrower or wider than so many characters when the width of the paper is shared out.
NARROW, BROAD = 6.0, 34.0
#: Text of a cell beyond so many characters may break over a page; a shorter one stays together.
TALL = 600
#: More runs than these are listed in lines instead of a table, and their numbers are no links: in typst a row takes 180 KiB, a
#: line 40, and a link in a table's cell 200.
LONG = 1000
#: Letters without a place to break a line at; longer words get one.
_UNBROKEN = re.compile(r"[^\s\u200b가-힣-]{25,}")
#: The document's runs by their number in its list.
_Runs = Mapping[str, int]


def render(document: Document, *, language: str = "ko") -> bytes:
    """Return ``document`` as a PDF file.

    Raises:
        InputError: There is no catalogue for the language, or the font is not installed.
    """
    # typst's stubs want one type for the source and for folders.
    template: Any = (files(__package__) / "templates" / "document.typ").read_bytes()
    made = typst.compile(
        template,
        font_paths=[font_folder()],
        ignore_system_fonts=True,
        sys_inputs={"document": _data(document, load(language))},
        pdf_standards=list(STANDARDS),
        timestamp=_moment(document.made_at),
    )
    return with_row_headings(bytes(made))


@cache
def font_folder() -> Path:
    """Return the folder of the Korean font; the package is data and is not run.

    Raises:
        InputError: It is not installed.
    """
    found = importlib.util.find_spec(FONT_PACKAGE)
    if found is None or found.origin is None:
        raise InputError("PDF reports need a Korean font; run: pip install 'npubench[standard]'")
    return Path(found.origin).parent


def _data(document: Document, messages: Messages) -> str:
    """Return everything the template sets as JSON; the content itself is gone when typst, which needs much memory, begins."""
    return json.dumps(_drawable(_content(document, messages)), ensure_ascii=False)


def _content(document: Document, messages: Messages) -> dict[str, Any]:
    """Return everything the template sets."""
    title = str(phrase(document.title, messages))
    runs = numbered(document)
    banners = [str(phrase(banner, messages)) for banner in document.banners]
    running = "  ·  ".join(banners)
    return {
        "title": title,
        "author": f"npubench {document.harness.removeprefix('npubench ')}",
        "keywords": [document.kind],
        "language": messages.language,
        "font": FONT,
        "long": len(runs) > LONG,
        "wide": max((len(each.columns) for each in grids(document.sections)), default=0) >= WIDE,
        "made": f"{messages('page.made-at')} {numbers.moment(document.made_at, messages.locale)}",
        "contents": messages("document.contents"),
        "running": running if len(running) <= BANNER else running[:BANNER] + "…",
        "banners": banners,
        "facts": [_fact(fact, messages, runs) for fact in document.facts],
        "sections": [
            *(_section(section, messages, runs) for section in document.sections),
            _section(runs_section(document), messages, runs, listing=True),
        ],
    }


def _section(section: Section, messages: Messages, runs: _Runs, *, listing: bool = False) -> dict[str, Any]:
    """Return a section; ``listing`` for the list of runs, whose rows are what the references lead to."""
    blocks: list[dict[str, Any]] = []
    for block in section.blocks:
        if isinstance(block, Plot) and blocks and blocks[-1]["kind"] == "plots":
            blocks[-1]["plots"].append(_plot(block, messages, runs))
        else:
            blocks.append(_block(block, messages, runs, listing=listing))
    return {
        "heading": str(phrase(section.heading, messages)),
        "blocks": blocks,
        "sections": [_section(each, messages, runs) for each in section.sections],
    }


def _block(block: Block, messages: Messages, runs: _Runs, *, listing: bool) -> dict[str, Any]:
    if isinstance(block, Paragraph):
        return {"kind": "paragraph", "text": " ".join(str(phrase(each, messages)) for each in block.sentences)}
    if isinstance(block, Points):
        points = [str(phrase(each, messages)) for each in block.sentences]
        return {"kind": "points", "ordered": block.ordered, "points": points}
    if isinstance(block, Facts):
        return {"kind": "facts", "facts": [_fact(fact, messages, runs) for fact in block.facts]}
    if isinstance(block, Notice):
        word = messages.name("document.gravity", block.gravity)
        return {"kind": "notice", "gravity": block.gravity, "word": word, "text": str(phrase(block.sentence, messages))}
    if isinstance(block, Grid):
        return {"kind": "grid", "grid": _grid(block, messages, runs, listing=listing)}
    return {"kind": "plots", "plots": [_plot(block, messages, runs)]}


def _plot(plot: Plot, messages: Messages, runs: _Runs) -> dict[str, Any]:
    caption = str(phrase(plot.caption, messages))
    return {
        "svg": plots.svg(plot, messages, standalone=True),
        # PDF/UA wants words for every picture.
        "alt": str(phrase(plot.alt, messages)) or caption or plot.name,
        "caption": caption,
        "grid": _grid(plot.table, messages, runs),
    }


def _grid(content: Grid, messages: Messages, runs: _Runs, *, listing: bool = False) -> dict[str, Any]:
    shown = grid(content, messages)
    rows = [_row(row, runs, listing=listing) for row in shown.rows]
    return {
        "caption": shown.caption,
        "headings": shown.headings,
        "numeric": shown.numeric,
        "widths": _widths(shown),
        "rows": [
            {
                "cells": row,
                "tall": any(len(cell["text"]) > TALL for cell in row),
                "group": _cell(said.group, _spans(said.group.runs, said.group, runs)) if said.group is not None else None,
            }
            for said, row in zip(shown.rows, rows, strict=True)
        ],
        "remarks": [str(remark) for remark in shown.remarks],
        "empty": messages("document.no-rows"),
        "listing": listing,
    }


def _row(row: SpokenRow, runs: _Runs, *, listing: bool) -> list[dict[str, Any]]:
    """Return a row's cells; runs that all of them stand on are named once, at its heading."""
    if listing:
        return [_cell(each, ()) for each in (row.heading, *row.cells)]
    together = shared_runs(row)
    heading = _cell(row.heading, _spans(together or row.heading.runs, row.heading, runs))
    return [heading, *(_cell(cell, () if together else _spans(cell.runs, cell, runs)) for cell in row.cells)]


def _spans(behind: Sequence[str], cell: Spoken, runs: _Runs) -> Sequence[Mapping[str, Any]]:
    """Return the numbers of the runs behind a cell, each with the one in the list that it leads to; a run's own name first."""
    found: References = references(behind, runs)
    linked = len(runs) <= LONG
    spans = [{"text": str(s.first) if s.first == s.last else f"{s.first}–{s.last}", "at": s.first * linked} for s in found.spans]
    return [*spans, *({"text": run, "at": 0} for run in found.unlisted if run != str(cell.said))]


def _widths(shown: SpokenGrid) -> list[float]:
    """Return the share of the paper's width that each column asks for: by its heading, and by most of what stands in it."""
    widths = []
    for n, heading in enumerate(shown.headings):
        cells = [(row.heading, *row.cells)[n] for row in shown.rows]
        lengths = sorted(max(_length(cell.text), 0.5 * _length(str(cell.reason) or str(cell.remark))) for cell in cells)
        usual = lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0.0
        widths.append(round(min(max(usual, 1.1 * _length(heading), NARROW), BROAD), 1))
    return widths


def _length(text: str) -> float:
    """Return about how many Latin letters wide a text is; a Korean one is as wide as nearly two."""
    return sum(1.8 if ord(c) > 0x2E7F else 1.0 for c in text)


def _fact(fact: Fact, messages: Messages, runs: _Runs) -> dict[str, Any]:
    said = spoken(fact.cell, messages)
    return {"label": str(phrase(fact.label, messages)), "cell": _cell(said, _spans(said.runs, said, runs))}


def _cell(cell: Spoken, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "text": _breakable(str(cell.said)),
        "unit": cell.unit,
        "interval": cell.interval,
        "reason": _breakable(str(cell.reason)),
        "remark": _breakable(str(cell.remark)),
        "sign": cell.sign,
        "mark": cell.mark,
        "runs": runs,
    }


def _breakable(text: str) -> str:
    """Give words that are too long for a column places to break at."""
    return _UNBROKEN.sub(lambda found: "\u200b".join(re.findall(".{1,12}", found.group())), text)


@cache
def _glyphs() -> frozenset[str]:
    """Return the characters the font has, and those that are no glyph."""
    characters = set("\n\t\u200b")
    for path in font_folder().glob("NotoSansKR*.otf"):
        with TTFont(path, lazy=True) as font:
            characters |= set(map(chr, font.getBestCmap()))
    return frozenset(characters)


def _drawable(content: Any) -> Any:
    """Put a visible sign wherever a text has a character that the font cannot draw: PDF/A forbids a missing glyph."""
    if isinstance(content, str):
        text = UNSEEN.sub(REPLACEMENT, content)
        return text if _glyphs().issuperset(text) else "".join(c if c in _glyphs() else REPLACEMENT for c in text)
    if isinstance(content, Mapping):
        return {key: _drawable(value) for key, value in content.items()}
    if isinstance(content, Sequence):
        return [_drawable(value) for value in content]
    return content


def _moment(text: str) -> datetime:
    """Return when the document was made, so that the same document is the same file."""
    try:
        when = datetime.fromisoformat(re.sub(r"Z$", "+00:00", text))
    except ValueError:
        return datetime(2000, 1, 1, tzinfo=timezone.utc)
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)
