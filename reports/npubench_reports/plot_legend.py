"""The legend of a document's plot: every series with its look, and what it is where it was not measured."""

from __future__ import annotations

from collections.abc import Sequence

from npubench.report.document import Plot, Series
from npubench_reports import charts
from npubench_reports.charts import FONT, LOOKS, Look, shorten, text_width
from npubench_reports.messages import Messages
from npubench_reports.spoken import SIGNS, phrase
from npubench_reports.svg_marks import INK, SOFT, element, line, marker, text

#: Width of a sample of a line, of a mark and of a bar, height of a line of the legend, and the gap between two entries.
_SAMPLE, _SMALL, _BARS, _PITCH, _GAP = 34.0, 12.0, 28.0, 18.0, 16.0


def look_of(series: Series, n: int) -> Look:
    """Return the look of the series at place ``n``; beyond the sixth look, colours come again with other markers."""
    n = n if series.look is None else series.look
    return Look(n % LOOKS, (n + n // LOOKS) % LOOKS)


def label(series: Series, messages: Messages) -> str:
    """Return what a series is called, with its nature where it was not measured."""
    name = str(phrase(series.label, messages))
    if series.nature == "measured":
        return name
    sign = SIGNS["simulated"] + " " if series.nature == "simulated" else ""
    return f"{name} · {sign}{messages.name('document', series.nature)}"


def has_markers(plot: Plot, series: Series) -> bool:
    """Tell whether a series has markers: a line through the points of others, such as a front or a roof, has none."""
    return plot.form != "points" or not series.joined or len(series.points) < 2


def legend(plot: Plot, notes: Sequence[str], messages: Messages, width: float) -> tuple[str, float]:
    """Return the legend and its height: entries in lines as wide as the picture, then ``notes``."""
    parts: list[str] = []
    x, y = 4.0, _PITCH - 5
    entries: list[tuple[Series | None, str]] = [(series, label(series, messages)) for series in plot.series]
    entries += [(None, note) for note in notes]
    for n, (series, words) in enumerate(entries):
        sample = 0.0 if series is None else 6.0 + (_BARS if plot.form == "bars" else _SAMPLE if series.joined else _SMALL)
        # A name that is cut keeps what says that it was not measured.
        shown = _cut(words, width - 8 - sample)
        wide = sample + text_width(shown) + _GAP
        if x > 4.0 and x + wide - _GAP > width - 4:
            x, y = 4.0, y + _PITCH
        if series is not None:
            parts += _sample(plot, series, look_of(series, n), x, y - 4)
        parts.append(text((x + sample, y), shown, size=FONT, colour=INK if series is not None else SOFT))
        x += wide
    return "".join(parts), (y + 7 if entries else 0.0)


def _cut(words: str, room: float) -> str:
    name, separator, nature = words.rpartition(" · ")
    if not separator or text_width(words) <= room:
        return shorten(words, room)
    rest = separator + nature
    return shorten(name, max(room - text_width(rest), 40.0)) + shorten(rest, room / 2)


def _sample(plot: Plot, series: Series, look: Look, x: float, y: float) -> list[str]:
    hollow = series.nature != "measured"
    if plot.form == "bars":
        return [marker(look, (x + 5, y), hollow=hollow), bar(x + 14, y - 5, 14.0, 10.0, look, hollow=hollow)]
    wide, parts = _SMALL, []
    if series.joined:
        wide = _SAMPLE
        dash = dash_of(series, look, alone=len(plot.series) == 1)
        parts.append(line((x, y), (x + wide, y), charts.COLOURS[look.colour], 1.8, dash))
    return [*parts, marker(look, (x + wide / 2, y), hollow=hollow)] if has_markers(plot, series) else parts


def dash_of(series: Series, look: Look, *, alone: bool) -> str | None:
    """Return the dash of a series' line: its look's, or that of what was not measured; a line alone is whole."""
    if series.nature != "measured":
        return "2 3" if series.nature == "simulated" else "7 4"
    dash = charts.DASHES[look.colour]
    return None if alone or dash == "none" else dash


def bar(x: float, y: float, width: float, height: float, look: Look, *, hollow: bool) -> str:
    """Return a bar: filled where measured, else outlined and dashed."""
    colour = charts.COLOURS[look.colour]
    return element(
        "rect",
        x=x,
        y=y,
        width=max(width, 0.5),
        height=height,
        fill=colour,
        fill_opacity=0.1 if hollow else 0.85,
        stroke=colour if hollow else None,
        stroke_width=1.2 if hollow else None,
        stroke_dasharray="4 2.5" if hollow else None,
    )
