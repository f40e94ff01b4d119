"""Axes of a document's plot: where a value stands, and the ticks beside it.

Like ``charts``: places things in user units and computes no figure; words come from the catalogues through ``spoken``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from npubench.report.document import Axis
from npubench_reports import numbers
from npubench_reports.charts import FAR, TICK, Tick, apart, linear_ticks, log_ticks, shorten, text_width
from npubench_reports.messages import Messages
from npubench_reports.spoken import phrase

#: A value's place on an axis, from 0 at its start to 1 at its end; None where it has none.
Share = Callable[[float | None], float | None]
#: A category's label is not cut shorter than this many user units.
_LABEL = 54.0


@dataclass(frozen=True, slots=True)
class Placed:
    """An axis as it is drawn: the places of values, its ticks by share of its length, its title, and its unit's scale."""

    share: Share
    ticks: tuple[Tick, ...]
    title: str
    scale: numbers.Scale
    low: float
    high: float


def finite(values: Iterable[float | None], *, logarithmic: bool) -> list[float]:
    """Return the values that have a place on the axis."""
    return [v for v in values if v is not None and math.isfinite(v) and (v > 0 or not logarithmic)]


def place(axis: Axis, values: Iterable[float | None], levels: Iterable[float], messages: Messages, about: int = 4) -> Placed:
    """Place an axis over ``values`` and those ``levels`` that are not far beyond them."""
    label = str(phrase(axis.label, messages))
    if axis.categories:
        return _categories(axis, label, messages)
    known = finite(values, logarithmic=axis.logarithmic)
    reach = FAR * max(0.0, *known) if known and not axis.logarithmic else math.inf
    known += [v for v in finite(levels, logarithmic=axis.logarithmic) if v <= reach]
    scale = numbers.scale_for(known, axis.unit)
    low, high = (min(known), max(known)) if known else (1.0, 1.0)
    ends, steps = (_logarithmic if axis.logarithmic else _linear)(low / scale.factor, high / scale.factor, axis.from_zero, about)
    start, end = ends

    def share(value: float | None) -> float | None:
        if value is None or not math.isfinite(value):
            return None
        scaled = value / scale.factor
        if axis.logarithmic:
            return None if scaled <= 0 else math.log(scaled / start) / math.log(end / start)
        return (scaled - start) / (end - start)

    marks = [(share(value * scale.factor), numbers.decimal(value, digit, messages.locale)) for value, digit in steps]
    ticks = tuple(Tick(at, words) for at, words in marks if at is not None)
    unit = messages.name("unit", scale.unit) if scale.unit else ""
    title = f"{label} ({unit})" if unit else label
    return Placed(share, ticks, title, scale, start * scale.factor, end * scale.factor)


def _categories(axis: Axis, label: str, messages: Messages) -> Placed:
    count = len(axis.categories)

    def share(value: float | None) -> float | None:
        return None if value is None or not 0 <= value < count else (value + 0.5) / count

    ticks = tuple(Tick((n + 0.5) / count, str(phrase(each, messages))) for n, each in enumerate(axis.categories))
    return Placed(share, ticks, label, numbers.Scale(1.0, ""), 0.0, float(count - 1))


def _linear(low: float, high: float, from_zero: bool, about: int) -> tuple[tuple[float, float], tuple[tuple[float, int], ...]]:
    """Return an axis' ends and its ticks; it ends at ticks, so that the last point can be read off against one."""
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if not high > low:
        around = abs(low) * 0.1 or 1.0
        low, high = (low, low + around) if from_zero else (low - around, high + around)
    steps = linear_ticks(low, high, about)
    return (steps[0][0], steps[-1][0]), steps


def _logarithmic(low: float, high: float, _: bool, __: int) -> tuple[tuple[float, float], tuple[tuple[float, int], ...]]:
    pad = max((high / low) ** 0.05, 1.05)
    low, high = low / pad, high * pad
    steps = log_ticks(low, high)
    if len(steps) < 2:
        low, high = 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))
        steps = log_ticks(low, high)
    return (low, high), steps


def across(placed: Placed, left: float, right: float, categories: bool) -> tuple[Tick, ...]:
    """Return the ticks of a horizontal axis in user units, as many as stand apart; long names of categories are cut."""
    ticks = [Tick(round(left + tick.at * (right - left), 1), tick.label) for tick in placed.ticks]
    if not categories:
        return apart(ticks, right)
    pitch = (right - left) / max(len(ticks), 1)
    widest = max((text_width(tick.label, TICK) for tick in ticks), default=0.0)
    every = max(1, math.ceil((min(widest, _LABEL) + TICK) / pitch))
    return tuple(Tick(tick.at, shorten(tick.label, every * pitch - TICK / 2)) for tick in ticks[::every])
