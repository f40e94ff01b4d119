"""A document's plot as SVG in one language: lines, steps and points in a field; bars are ``plot_bars``'.

The one drawing for pages and PDFs: text stays text and no style sheet is needed. Colour, dash and marker tell series
apart; what is declared or simulated is hollow and says so. Computes no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from npubench.report.document import Plot, Point, Series, Stretch
from npubench_reports import charts, numbers, plot_axes, plot_bars
from npubench_reports.charts import FONT, TICK, Look, shorten, text_width
from npubench_reports.messages import Messages
from npubench_reports.plot_axes import Placed, across
from npubench_reports.plot_legend import dash_of, has_markers, legend, look_of
from npubench_reports.spoken import phrase
from npubench_reports.svg_marks import (
    ALARM,
    INK,
    LINE,
    PHASES,
    SOFT,
    Box,
    Place,
    boxed,
    clash,
    element,
    line,
    marker,
    path,
    plain,
    stairs,
    text,
)

#: The width in user units: readable on a phone and not coarse on paper; and the height of the field.
WIDTH, FIELD = 440.0, 204.0
#: The family of the text where a picture stands alone; in a page it is the page's.
FAMILY = "Noto Sans KR, Pretendard, Noto Sans CJK KR, NanumGothic, sans-serif"
#: Up to so many points each has its marker and its whisker; beyond, so many markers tell a line, and its interval is an area.
MANY, FEW = 26, 6
#: Room for the words at a point, and for the least height of a phase's name.
_BESIDE = 150.0
_LANE = TICK + 4


class Field(NamedTuple):
    """Where the plot's field is in user units, and its axes."""

    left: float
    right: float
    top: float
    bottom: float
    x: Placed
    y: Placed

    def at(self, x: float | None, y: float | None) -> Place | None:
        """Return the place of a value, None where it has none."""
        across, up = self.x.share(x), self.y.share(y)
        if across is None or up is None:
            return None
        return round(self.left + across * (self.right - self.left), 1), round(self.bottom - up * (self.bottom - self.top), 1)


def svg(plot: Plot, messages: Messages, *, standalone: bool) -> str:
    """Return ``plot`` as SVG.

    Args:
        plot: What is drawn.
        messages: The reader's language.
        standalone: For a file or a PDF of its own: with namespace, size and font; else for within a page, with its
            text alternative on it.
    """
    drawn, height = (plot_bars.bars if plot.form == "bars" else _field)(plot, messages, WIDTH)
    size = f"0 0 {WIDTH:g} {height:g}"
    words = str(phrase(plot.alt, messages))
    if standalone:
        return element(
            "svg",
            element("title", plain(words)) + drawn,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=size,
            width=f"{WIDTH:g}",
            height=f"{height:g}",
            font_family=FAMILY,
        )
    return element("svg", drawn, **{"class": "picture", "viewBox": size, "role": "img", "aria-label": words})


def _field(plot: Plot, messages: Messages, width: float) -> tuple[str, float]:
    """Return the marks of a field of two axes, and the height of the picture."""
    points = [point for series in plot.series for point in series.points]
    x = plot_axes.place(plot.x, (p.x for p in points), (e.at for e in plot.levels if not e.across), messages, about=5)
    spread = [each for p in points if p.y is not None for each in (p.y, p.low, p.high)]
    y = plot_axes.place(plot.y, spread, (e.at for e in plot.levels if e.across), messages)
    names, notes = _phases(plot, messages)
    head, top = legend(plot, [*notes, *_beyond(plot, x, y, messages)], messages, width)
    parts = [head, text((4.0, top + FONT + 2), shorten(y.title, width - 8), size=FONT, colour=SOFT)]
    left = 12.0 + max((text_width(tick.label, TICK) for tick in y.ticks), default=20.0)
    start = top + FONT + 14 + (_LANE if plot.stretches else 0.0)
    field = Field(left, width - 14.0, start, start + FIELD, x, y)
    empty = not any(field.at(p.x, p.y) for p in points)
    if empty:
        place = ((field.left + field.right) / 2, (field.top + field.bottom) / 2)
        parts.append(text(place, messages("document.no-value"), size=FONT, colour=SOFT, anchor="middle"))
    parts += _stretches(plot, field, names)
    parts += _axes(field, bool(plot.x.categories)) if not empty else [line((left, field.bottom), (field.right, field.bottom))]
    taken: list[Box] = []
    parts += _levels(plot, field, messages, taken)
    for n, series in enumerate(plot.series):
        parts += _series(plot, series, look_of(series, n), field, messages)
    parts += _labels(plot.series, field, taken)
    foot = field.bottom + TICK + 8 + FONT + 4
    parts.append(text((field.right, foot), shorten(x.title, width - 20), size=FONT, colour=SOFT, anchor="end"))
    return "".join(parts), foot + 8


def _phases(plot: Plot, messages: Messages) -> tuple[list[str], list[str]]:
    """Return what stands at each phase, its name or, where one does not fit, a number; and the legend's lines for numbers."""
    parts = _plain(plot)
    names = [str(phrase(stretch.label, messages)) for stretch in parts]
    whole = max((s.end for s in parts), default=0.0) - min((s.start for s in parts), default=0.0)
    room = [(s.end - s.start) / whole * (WIDTH - 80.0) if whole > 0 else 0.0 for s in parts]
    grave = dict.fromkeys(str(phrase(stretch.label, messages)) for stretch in plot.stretches if stretch.grave)
    notes = [messages("render.plot.grave", names=", ".join(grave))] if grave else []
    if all(text_width(name, TICK) + 6 < space for name, space in zip(names, room, strict=True)):
        return names, notes
    return [str(n) for n in range(1, len(names) + 1)], [*(f"{n} {name}" for n, name in enumerate(names, start=1)), *notes]


def _beyond(plot: Plot, x: Placed, y: Placed, messages: Messages) -> list[str]:
    """Return the legend's lines for levels that lie beyond the picture."""
    lines = []
    for level in plot.levels:
        axis, unit = (y, plot.y.unit) if level.across else (x, plot.x.unit)
        share = axis.share(level.at)
        if share is None or not 0 <= share <= 1:
            figure = numbers.setting(level.at, unit, messages.locale)
            value = f"{figure.text} {messages.name('unit', figure.unit) if figure.unit else ''}".strip()
            lines.append(messages("render.plot.beyond", label=str(phrase(level.label, messages)), value=value))
    return lines


def _stretches(plot: Plot, field: Field, names: Sequence[str]) -> Iterable[str]:
    """Yield phases as bands; a number that has no room of its own is left out, the table has it."""
    reached = field.left
    for n, (stretch, name) in enumerate(zip(_plain(plot), names, strict=True)):
        left, wide = _between(stretch, field)
        top = field.top - _LANE
        yield element("rect", x=left, y=top, width=wide, height=field.bottom - top, fill=PHASES[n % 2])
        yield line((left, top), (left, field.bottom), LINE)
        middle, half = left + wide / 2, text_width(name, TICK) / 2
        if middle - half >= reached:
            reached = middle + half + 2
            yield text((middle, top + TICK), name, colour=SOFT, anchor="middle")
    for stretch in plot.stretches:
        if stretch.grave:
            left, wide = _between(stretch, field)
            yield element("rect", x=left, y=field.top, width=wide, height=field.bottom - field.top, fill=ALARM, fill_opacity=0.16)


def _plain(plot: Plot) -> list[Stretch]:
    """Return the stretches that divide the axis; grave ones lie over them."""
    return [stretch for stretch in plot.stretches if not stretch.grave]


def _between(stretch: Stretch, field: Field) -> tuple[float, float]:
    """Return where a stretch begins, and how wide it is."""
    ends = [field.x.share(min(max(end, field.x.low), field.x.high)) or 0.0 for end in (stretch.start, stretch.end)]
    left, right = (round(field.left + end * (field.right - field.left), 1) for end in ends)
    return left, max(right - left, 1.0)


def _axes(field: Field, categories: bool) -> Iterable[str]:
    for tick in field.y.ticks:
        y = round(field.bottom - tick.at * (field.bottom - field.top), 1)
        yield line((field.left, y), (field.right, y), LINE)
        yield text((field.left - 6, y + 4), tick.label, colour=SOFT, anchor="end")
    yield line((field.left, field.bottom), (field.right, field.bottom))
    for tick in across(field.x, field.left, field.right, categories):
        yield line((tick.at, field.bottom), (tick.at, field.bottom + 4))
        middle = min(tick.at, WIDTH - 2 - text_width(tick.label, TICK) / 2)
        yield text((middle, field.bottom + TICK + 6), tick.label, colour=SOFT, anchor="middle")


def _levels(plot: Plot, field: Field, messages: Messages, taken: list[Box]) -> Iterable[str]:
    """Yield named lines; a name stands where no other does."""
    for level in plot.levels:
        share = (field.y if level.across else field.x).share(level.at)
        if share is None or not 0 <= share <= 1:
            continue
        words = shorten(str(phrase(level.label, messages)), (field.right - field.left) * 0.7)
        if level.across:
            y = round(field.bottom - share * (field.bottom - field.top), 1)
            yield line((field.left, y), (field.right, y), ALARM, 1.5, "5 3")
            spots = [(field.right - 2, y + off) for off in (-4.0, TICK + 3.0, -4.0 - _LANE, TICK + 3.0 + _LANE)]
            anchor = "end"
        else:
            x = round(field.left + share * (field.right - field.left), 1)
            yield line((x, field.top), (x, field.bottom), ALARM, 1.5, "5 3")
            anchor = "start" if x + text_width(words, TICK) + 6 < field.right else "end"
            spots = [(x + (4.0 if anchor == "start" else -4.0), field.top + TICK + n * _LANE) for n in range(6)]
        spot = next((each for each in spots if not clash(boxed(each, words, anchor), taken)), spots[0])
        taken.append(boxed(spot, words, anchor))
        yield text(spot, words, colour=ALARM, anchor=anchor, halo=True)


def _series(plot: Plot, series: Series, look: Look, field: Field, messages: Messages) -> Iterable[str]:
    """Yield a series: its interval, its line, broken where a value is missing, and its markers."""
    colour = charts.COLOURS[look.colour]
    hollow = series.nature != "measured"
    places = [(point, field.at(point.x, point.y)) for point in series.points]
    runs = [[(p, at) for p, at in group if at] for known, group in groupby(places, key=lambda each: each[1] is not None) if known]
    placed = [each for run in runs for each in run]
    many = len(placed) > MANY
    for run in runs:
        if many:
            yield from _area(run, field, colour)
    if series.joined:
        dash = dash_of(series, look, alone=len(plot.series) == 1)
        for run in runs:
            through = [at for _, at in run]
            through = stairs(through) if plot.form == "steps" and len(through) > 1 else through
            if len(through) > 1:
                yield element(
                    "path",
                    d=path(through),
                    fill="none",
                    stroke=colour,
                    stroke_width=1.4 if many else 1.8,
                    stroke_linejoin="round",
                    stroke_dasharray=dash,
                )
    if not many:
        for point, at in placed:
            yield from _whisker(point, at, field)
    lone = [run[0] for run in runs if len(run) == 1]
    marked = placed if has_markers(plot, series) else lone
    if many:
        step = max(1, len(placed) // FEW)
        marked = [*placed[step // 2 :: step], *lone]
    for point, at in marked:
        yield marker(look, at, hollow=hollow, title="" if many else _title(series, point, field, messages))


def _area(run: Sequence[tuple[Point, Place]], field: Field, colour: str) -> Iterable[str]:
    upper = [at for point, _ in run if (at := field.at(point.x, point.high))]
    lower = [at for point, _ in run if (at := field.at(point.x, point.low))]
    if upper and lower:
        yield element("path", d=path([*upper, *reversed(lower)]) + "Z", fill=colour, fill_opacity=0.18)


def _whisker(point: Point, at: Place, field: Field) -> Iterable[str]:
    ends = [end for each in (point.low, point.high) if (end := field.at(point.x, each))]
    if ends:
        reached = [min(max(y, field.top), field.bottom) for _, y in (*ends, (at[0], at[1]))]
        x, low, high = at[0], max(reached), min(reached)
        yield element("path", d=f"M{x} {low}V{high}M{x - 3} {low}h6M{x - 3} {high}h6", fill="none", stroke=INK, stroke_width=1.1)


def _title(series: Series, point: Point, field: Field, messages: Messages) -> str:
    """Return what a pointer on a marker reads: the series, and both values."""
    name = str(phrase(series.label, messages))
    across = next((t.label for t in field.x.ticks if field.x.share(point.x) == t.at), None)
    if across is None:
        across = numbers.number(round(point.x / field.x.scale.factor, 12), messages.locale)
    value = plot_bars.figure_of(point, field.y.scale, messages)
    return f"{name}: {across} → {value}"


def _labels(given: Sequence[Series], field: Field, taken: list[Box]) -> Iterable[str]:
    """Yield the words at points, each where it covers no mark and no other words; where there is no room, the table has them."""
    spots = [(point, at) for series in given for point in series.points if (at := field.at(point.x, point.y))]
    taken = [*taken, *((x - 5, y - 5, x + 5, y + 5) for _, (x, y) in spots[: MANY * charts.LOOKS])]
    for point, (x, y) in spots:
        words = shorten(point.label, _BESIDE)
        tried: list[tuple[Place, str]] = [
            ((x + 8, y + 4), "start"),
            ((x - 8, y + 4), "end"),
            ((x, y - 9), "middle"),
            ((x, y + 9 + TICK), "middle"),
        ]
        for spot, anchor in tried if words else ():
            box = boxed(spot, words, anchor)
            inside = box[0] >= field.left and box[2] <= field.right + 8 and box[1] >= field.top - 8 and box[3] <= field.bottom
            if inside and not clash(box, taken):
                taken.append(box)
                yield text(spot, words, anchor=anchor, halo=True)
                break
