"""SVG elements as text, styled by attributes alone: they hold on a page with a strict policy, in a file and in a PDF.

Escapes every text and leaves out what cannot be seen; places nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from markupsafe import escape

from npubench_reports import charts
from npubench_reports.unseen import UNSEEN

INK, SOFT, LINE, AXIS, PAPER, ALARM = "#1a2230", "#55606f", "#e4e8ec", "#8b97a5", "#ffffff", "#9c1f2b"
#: Fills of phases, one after the other.
PHASES = ("#eef1f4", "#f7fafc")

#: A place in user units, and the box of a text: left, top, right, bottom.
Place = tuple[float, float]
Box = tuple[float, float, float, float]


def plain(text: str) -> str:
    """Return ``text`` fit for an element or an attribute."""
    return str(escape(UNSEEN.sub("\ufffd", text)))


def element(tag: str, content: str = "", **attributes: object) -> str:
    """Return an element; ``stroke_width`` is ``stroke-width``, None is left out, ``content`` is markup already."""
    given = "".join(f' {k.replace("_", "-")}="{plain(_short(v))}"' for k, v in attributes.items() if v is not None)
    return f"<{tag}{given}>{content}</{tag}>" if content else f"<{tag}{given}/>"


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def text(
    at: Place, words: str, *, size: float = charts.TICK, colour: str = INK, anchor: str | None = None, halo: bool = False
) -> str:
    """Return words; with a ``halo`` they stay readable on lines."""
    around = {"stroke": PAPER, "stroke_width": 3, "stroke_linejoin": "round", "paint_order": "stroke"} if halo else {}
    return element("text", plain(words), x=at[0], y=at[1], font_size=size, fill=colour, text_anchor=anchor, **around)


def line(start: Place, end: Place, colour: str = AXIS, width: float = 1.0, dash: str | None = None) -> str:
    """Return a straight line."""
    return element("path", d=path([start, end]), fill="none", stroke=colour, stroke_width=width, stroke_dasharray=dash)


def path(places: Iterable[Place]) -> str:
    """Return the data of a path through ``places``."""
    return "".join(f"{'L' if n else 'M'}{_short(float(x))} {_short(float(y))}" for n, (x, y) in enumerate(places))


def stairs(places: Sequence[Place]) -> list[Place]:
    """Return the places of a step function that changes halfway between two of ``places``."""
    made: list[Place] = [places[0]]
    for (a, b), (c, d) in pairwise(places):
        made += [((a + c) / 2, b), ((a + c) / 2, d)]
    return [*made, places[-1]]


def marker(look: charts.Look, at: Place, *, hollow: bool, title: str = "") -> str:
    """Return a series' marker, hollow where it is no measurement."""
    colour = charts.COLOURS[look.colour]
    return element(
        "path",
        element("title", plain(title)) if title else "",
        transform=f"translate({_short(at[0])},{_short(at[1])})",
        d=charts.SHAPES[look.marker],
        fill=PAPER if hollow else colour,
        stroke=colour if hollow else PAPER,
        stroke_width=1.8 if hollow else 1,
    )


def boxed(at: Place, words: str, anchor: str = "start", size: float = charts.TICK) -> Box:
    """Return the box that a text takes."""
    wide = charts.text_width(words, size)
    left = at[0] - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    return left, at[1] - size, left + wide, at[1] + size / 4


def clash(box: Box, others: Iterable[Box]) -> bool:
    """Tell whether a box touches one of ``others``."""
    return any(box[0] < o[2] and o[0] < box[2] and box[1] < o[3] and o[1] < box[3] for o in others)
