"""The pages of ``npubench serve``: a store, a run, its queries, in the look of the comparison. No script, nothing from elsewhere.

Lays out what ``npubench.report.served_page`` holds; whatever comes out of records is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from itertools import count
from urllib.parse import urlencode

from markupsafe import Markup

from npubench.analyze.finding import by_gravity
from npubench.report.served_page import ServedPage
from npubench_reports import findings, messages, numbers, plots
from npubench_reports.document_html import kind, words
from npubench_reports.messages import load
from npubench_reports.spoken import grid, phrase, spoken
from npubench_reports.templating import environment

#: Style sheets in the order they apply.
SHEETS = ("base.css", "document.css", "serve/serve.css")
#: What the reader's language is called in itself.
NAMES: Mapping[str, str] = {"ko": "한국어", "en": "English"}


def render(page: ServedPage, *, language: str = "ko") -> bytes:
    """Return ``page`` as HTML in ``language``; links keep to the language.

    Raises:
        InputError: There is no catalogue for the language.
    """
    known = load(language)
    told = [
        (finding, findings.observed(finding, known), findings.required(finding, known), findings.advice(finding, known))
        for finding in by_gravity(page.findings or ())
    ]
    template = environment().get_template("serve/page.html.j2")
    return template.render(
        page=page,
        t=known,
        numbers=numbers,
        kind=kind,
        told=told,
        languages=[(each, NAMES.get(each, each)) for each in languages()],
        title=str(phrase(page.title, known)),
        banners=[str(phrase(banner, known)) for banner in page.banners],
        to=lambda address: to(address, language),
        here=lambda other: to(_with(page.address, page.query), other),
        grid=lambda content: grid(content, known),
        spoken=lambda cell: spoken(cell, known),
        phrase=lambda content: phrase(content, known),
        picture=lambda plot: Markup(plots.svg(plot, known, standalone=False)),
        said=lambda said: words(said.parts, known),
        number=count(1).__next__,
    ).encode("utf-8")


def style() -> bytes:
    """Return the style sheet of all pages."""
    folder = files(__package__) / "templates"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in SHEETS).encode("utf-8")


def languages() -> tuple[str, ...]:
    """Return the languages that pages can be had in."""
    return messages.languages()


def to(address: str, language: str) -> str:
    """Return an address of this server in a language."""
    return f"{address}{'&' if '?' in address else '?'}lang={language}"


def _with(address: str, query: Mapping[str, str]) -> str:
    return f"{address}?{urlencode(query, errors='replace')}" if query else address
