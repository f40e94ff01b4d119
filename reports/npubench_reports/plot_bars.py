"""Bars of a document's plot, lying, so that long names have room: a group a category, a bar a series, always from zero."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from npubench.analyze.estimate import Estimate
from npubench.report.document import Plot, Point
from npubench_reports import numbers, plot_axes
from npubench_reports.charts import FONT, TICK, Look, Tick, apart, shorten, text_width
from npubench_reports.messages import Messages
from npubench_reports.plot_legend import bar, legend, look_of
from npubench_reports.spoken import NOTHING, phrase
from npubench_reports.svg_marks import ALARM, AXIS, INK, LINE, SOFT, Box, boxed, clash, element, line, marker, text

#: Height of a bar, of a category's name above its bars, and of the space below them.
_BAR, _NAME, _SPACE = 12.0, 18.0, 9.0


def _figure(point: Point, scale: numbers.Scale, messages: Messages) -> numbers.Figure | None:
    value, low, high = (each if each is not None and math.isfinite(each) else None for each in (point.y, point.low, point.high))
    return numbers.figure(Estimate(value, scale.unit, low, high), scale, messages.locale)


def figure_of(point: Point, scale: numbers.Scale, messages: Messages) -> str:
    """Return a point's value with its unit and interval as text."""
    shown = _figure(point, scale, messages)
    if shown is None:
        return NOTHING
    unit = messages.name("unit", scale.unit) if scale.unit else ""
    interval = f"[{shown.interval}]" if shown.interval else ""
    return " ".join(part for part in (shown.text, unit, interval) if part)


def bars(plot: Plot, messages: Messages, width: float) -> tuple[str, float]:
    """Return the marks of lying bars, and the height of the picture. A logarithmic axis has dots: a bar has no zero there."""
    points = [point for series in plot.series for point in series.points]
    spread = [each for p in points if p.y is not None for each in (p.y, p.low, p.high)]
    axis = replace(plot.y, from_zero=not plot.y.logarithmic)
    y = plot_axes.place(axis, spread, (level.at for level in plot.levels if level.across), messages)
    names = _names(plot, points, messages)
    several = len(plot.series) > 1 or any(series.nature != "measured" for series in plot.series)
    head, top = legend(plot, (), messages, width) if several else ("", 0.0)
    words = {id(p): _value(p, y.scale, messages) for p in points}
    left, right = 14.0, width - 12.0 - max((text_width(each, TICK) for each in words.values()), default=0.0)

    def x(value: float | None) -> float | None:
        share = y.share(value)
        return None if share is None else round(left + min(max(share, 0.0), 1.0) * (right - left), 1)

    named = [level for level in plot.levels if level.across and 0 <= (y.share(level.at) or -1.0) <= 1]
    start = top + 6 + (TICK + 6) * len(named)
    marks, at = [], start
    for place, name in names:
        marks.append(text((4.0, at + FONT + 1), shorten(name, width - 8), size=FONT, halo=True))
        at += _NAME
        for n, series in enumerate(plot.series):
            look, hollow = look_of(series, n), series.nature != "measured"
            for point in (p for p in series.points if p.x == place):
                marks += _bar(
                    point, look_of(series, n), series.nature != "measured", plot.y.logarithmic, (x, at, words[id(point)], left)
                )
                if several:
                    marks.append(marker(look, (left - 7, at + _BAR / 2), hollow=hollow))
                at += _BAR + 4
        at += _SPACE
    zero = x(0.0) if not plot.y.logarithmic else left
    ticks = apart([Tick(round(left + t.at * (right - left), 1), t.label) for t in y.ticks], right)
    back = [line((tick.at, start), (tick.at, at), LINE) for tick in ticks]
    foot = [text((tick.at, at + TICK + 5), tick.label, colour=SOFT, anchor="middle") for tick in ticks]
    back.append(line((zero or left, start), (zero or left, at), AXIS))
    foot.append(text((width - 6, at + TICK + 9 + FONT), shorten(y.title, width - 12), size=FONT, colour=SOFT, anchor="end"))
    lines = _levels([(x(level.at) or left, str(phrase(level.label, messages))) for level in named], top + 6, at, right)
    return "".join([head, *back, *lines, *marks, *foot]), at + TICK + FONT + 17


def _names(plot: Plot, points: Iterable[Point], messages: Messages) -> list[tuple[float, str]]:
    """Return the categories that bars stand at, or the values of a horizontal scale."""
    if plot.x.categories:
        return [(float(n), str(phrase(each, messages))) for n, each in enumerate(plot.x.categories)]
    places = sorted({p.x for p in points})
    scale = numbers.scale_for(places, plot.x.unit)
    unit = messages.name("unit", scale.unit) if scale.unit else ""
    return [(p, f"{numbers.number(p / scale.factor, messages.locale)} {unit}".strip()) for p in places]


def _value(point: Point, scale: numbers.Scale, messages: Messages) -> str:
    shown = _figure(point, scale, messages)
    if shown is None:
        return f"{NOTHING} {messages('document.no-value')}"
    return " ".join(part for part in (shown.text, point.label) if part)


def _bar(point: Point, look: Look, hollow: bool, dotted: bool, place: tuple[object, float, str, float]) -> Iterable[str]:
    """Yield one bar with its whisker and its value, which stands beyond both."""
    x, at, words, left = place
    assert callable(x)
    end = x(point.y)
    reach = left
    if end is not None:
        zero = left if dotted else x(0.0)
        reach = max(zero, end)
        if dotted:
            yield marker(look, (end, at + _BAR / 2), hollow=hollow)
            reach += 5
        else:
            yield bar(min(zero, end), at, abs(end - zero), _BAR, look, hollow=hollow)
        ends = [each for value in (point.low, point.high) if (each := x(value)) is not None]
        if ends:
            low, high, middle = min([*ends, end]), max([*ends, end]), at + _BAR / 2
            whisker = f"M{low:g} {middle:g}H{high:g}M{low:g} {middle - 3:g}v6M{high:g} {middle - 3:g}v6"
            yield element("path", d=whisker, fill="none", stroke=INK, stroke_width=1.2)
            reach = max(reach, high)
    yield text((reach + 6, at + _BAR - 2), words, halo=True, colour=INK if end is not None else SOFT)


def _levels(named: list[tuple[float, str]], top: float, bottom: float, right: float) -> Iterable[str]:
    """Yield named lines; each name has a line of its own above the bars."""
    taken: list[Box] = []
    for x, words in named:
        anchor = "start" if x + text_width(words, TICK) < right + 40 else "end"
        y = top + TICK
        while clash(boxed((x, y), words, anchor), taken):
            y += TICK + 6
        taken.append(boxed((x, y), words, anchor))
        yield line((x, y + 3), (x, bottom), ALARM, 1.5, "5 3")
        yield text((x, y), words, colour=ALARM, anchor=anchor)
