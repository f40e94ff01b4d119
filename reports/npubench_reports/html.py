"""The comparison page as one HTML file that stands alone: style and plots inline, no script, nothing fetched.

Escapes whatever comes out of records; computes no number and draws no conclusion.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from npubench.report.page import ComparisonPage
from npubench.report.served_page import Around
from npubench_reports import charts, comparison, energy, figures, numbers, rooflines, sweeps, titles
from npubench_reports.messages import load
from npubench_reports.reasons import say
from npubench_reports.said import Said

#: From this many subjects on, tables want the long side of the paper.
WIDE = 5
#: Up to this many, they are not stretched over the whole page.
FEW = 2
#: Text longer than this stands folded in a cell, whole but behind a click.
FOLD = 140
#: What no reader can see but a terminal, a parser or the direction of text obeys: control characters, lone surrogates,
#: bidirectional overrides and non-characters.
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def render(page: ComparisonPage, *, language: str = "ko", around: Around | None = None) -> str:
    """Return ``page`` as one self-contained HTML document in ``language``; ``around`` leads on where a server shows it.

    Raises:
        InputError: There is no catalogue for the language.
    """
    messages = load(language)
    style = (files(__package__) / "templates" / "comparison.css").read_text(encoding="utf-8")
    rules = comparison.rules(page)
    tables = comparison.tables(page, messages, rules)
    appearance = charts.looks([subject.key for subject in page.subjects])
    template = environment().get_template("comparison.html.j2")
    return template.render(
        page=page,
        t=messages,
        numbers=numbers,
        locale=messages.locale,
        style=Markup(style),
        policy=policy(style),
        purpose=comparison.purpose(page, messages),
        rules=rules,
        tables=tables,
        figures=figures.figures(page, tables, appearance, messages),
        energy=energy.energy(page, appearance, messages),
        sweeps=sweeps.sweeps(page, appearance, messages),
        rooflines=rooflines.rooflines(page, appearance, messages),
        looks=appearance,
        say=lambda text: say(text, messages),
        missing=titles.missing(page, messages),
        wide=len(page.subjects) >= WIDE,
        few=len(page.subjects) <= FEW,
        fold=FOLD,
        panel_width=charts.WIDTH,
        around=around,
    )


def policy(style: str) -> str:
    """Return the content security policy: nothing may load, run or be sent; only this very style sheet applies."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def environment() -> Environment:
    """Return the templates' surroundings: everything is escaped, nothing undefined passes, what is unseen is replaced."""
    made = Environment(
        loader=PackageLoader("npubench_reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["charts"] = charts
    return made


def _visible(value: Any) -> Any:
    """Put the replacement character wherever a record's text holds what cannot be seen or encoded."""
    if isinstance(value, Markup):
        return value
    return UNSEEN.sub("\ufffd", str(value)) if isinstance(value, str | Said) else value
