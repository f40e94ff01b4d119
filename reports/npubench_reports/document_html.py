"""A document as one HTML file that stands alone: style and plots inline, no script, nothing fetched.

Lays out only; words and figures are ``spoken``'s, plots are ``plots``', and whatever comes out of records is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from itertools import count, groupby

from markupsafe import Markup, escape

from npubench.report.document import Block, Document, Facts, Grid, Notice, Paragraph, Plot, Points, Section
from npubench.report.served_page import Around
from npubench_reports import numbers, plots
from npubench_reports.messages import Messages, load
from npubench_reports.references import grids, numbered, references, safe_names, shared_runs
from npubench_reports.run_list import runs_section
from npubench_reports.said import Part
from npubench_reports.spoken import grid, phrase, spoken
from npubench_reports.templating import environment, policy
from npubench_reports.unseen import UNSEEN

#: From so many columns on a table wants the long side of the paper.
WIDE = 8
#: Up to so many headings of the second level stand in the contents.
MOST = 40
#: A banner in the margin of every printed page is cut after so many characters; on the page itself it is whole.
BANNER = 240

_LATIN, _HANGUL = re.compile("[A-Za-z]{2}"), re.compile("[가-힣]")
_KINDS: Mapping[type, str] = {
    Paragraph: "paragraph",
    Points: "points",
    Facts: "facts",
    Notice: "notice",
    Grid: "grid",
    Plot: "plot",
}


def render(document: Document, *, language: str = "ko", around: Around | None = None) -> bytes:
    """Return ``document`` as one self-contained HTML document in ``language``.

    Args:
        document: The content.
        language: The reader's.
        around: Where it stands in a server; ``None`` for a file of its own, in which no link leads out.

    Raises:
        InputError: There is no catalogue for the language.
    """
    messages = load(language)
    sections = (*document.sections, runs_section(document))
    listed = numbered(document)
    banners = [str(phrase(banner, messages)) for banner in document.banners]
    style = _style(banners)
    page = environment().get_template("document.html.j2")
    return page.render(
        document=document,
        sections=sections,
        anchors=_anchors(sections),
        t=messages,
        numbers=numbers,
        style=Markup(style),
        policy=policy(style),
        title=str(phrase(document.title, messages)),
        banners=banners,
        wide=any(len(each.columns) >= WIDE for each in grids(document.sections)),
        deep=sum(len(section.sections) for section in sections) <= MOST,
        kind=kind,
        together=together,
        identity=id,
        grid=lambda content: grid(content, messages),
        spoken=lambda cell: spoken(cell, messages),
        phrase=lambda content: phrase(content, messages),
        picture=lambda plot: Markup(plots.svg(plot, messages, standalone=False)),
        said=lambda said: words(said.parts, messages),
        references=lambda runs: references(runs, listed),
        shared=shared_runs,
        listed=listed,
        number=count(1).__next__,
        around=around,
    ).encode("utf-8")


def kind(block: Block) -> str:
    """Return what a block is called in the template."""
    return _KINDS[type(block)]


def together(blocks: Iterable[Block]) -> list[list[Block]]:
    """Return blocks one by one, but plots that follow each other together: they stand side by side where there is room."""
    return [each for plots, group in groupby(blocks, lambda b: isinstance(b, Plot)) for each in _groups([*group], whole=plots)]


def _groups(blocks: list[Block], *, whole: bool) -> list[list[Block]]:
    return [blocks] if whole else [[block] for block in blocks]


def words(parts: Iterable[Part], messages: Messages) -> Markup:
    """Return a text; what is in another language than the document is marked, so that it is read out in its own."""
    return Markup("").join(_marked(part, messages.language) for part in parts)


def _marked(part: Part, language: str) -> Markup:
    text = UNSEEN.sub("\ufffd", part.text)
    other = "" if not part.foreign else "ko" if _HANGUL.search(text) else "en" if _LATIN.search(text) else ""
    return Markup('<span lang="{}">{}</span>').format(other, text) if other and other != language else escape(text)


def _anchors(sections: Iterable[Section]) -> Mapping[int, str]:
    """Return the anchor of every section by its identity: its name, made fit for one and unique."""
    every: list[Section] = []

    def walk(some: Iterable[Section]) -> None:
        for section in some:
            every.append(section)
            walk(section.sections)

    walk(sections)
    return dict(zip(map(id, every), safe_names(section.name for section in every), strict=True))


def _style(banners: Iterable[str]) -> str:
    """Return the style sheet; banners and numbers of pages stand in the margins of paper."""
    folder = files(__package__) / "templates"
    style = "".join((folder / name).read_text(encoding="utf-8") for name in ("base.css", "document.css"))
    text = " · ".join(banners)
    text = text if len(text) <= BANNER else text[:BANNER] + "…"
    if not text:
        return style
    box = f'@top-left {{ content: "{_quoted(text)}"; width: 100%; font: 700 7.5pt/1.3 sans-serif; color: #9c1f2b; }}'
    return f"{style}\n@page {{ margin-top: 20mm; {box} }}\n"


def _quoted(text: str) -> str:
    """Return ``text`` for a string of a style sheet: whatever is not a plain letter, digit or space by its number."""
    return "".join(c if re.fullmatch("[0-9A-Za-z가-힣 ]", c) else f"\\{ord(c):06x}" for c in UNSEEN.sub("\ufffd", text))
