"""Geometry of the roofline plot: operations a byte against operations a second, both logarithmic, below a declared roof.

Like ``charts``: places things in user units, computes no figure and knows no language.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from babel.core import Locale

from npubench_reports.charts import WIDTH, Look, Tick, apart, log_ticks
from npubench_reports.numbers import Scale, decimal

#: The plot's box in user units.
LEFT, RIGHT, TOP, BOTTOM = 52.0, WIDTH - 12.0, 20.0, 204.0

#: How far apart the numbers of two points must stand, across and down.
_APART = (16.0, 12.0)


@dataclass(frozen=True, slots=True)
class PointInput:
    """One run as it comes in: operations a byte and operations a second, both above 0."""

    look: Look
    intensity: float
    rate: float


@dataclass(frozen=True, slots=True)
class Point:
    """One run as it is drawn: its mark, and where its number stands."""

    look: Look
    x: float
    y: float
    number: str
    number_x: float
    number_y: float


@dataclass(frozen=True, slots=True)
class RooflinePanel:
    """The runs of one device in one precision; ``roof`` are the points of the declared roof, empty where there is none."""

    left: float
    right: float
    top: float
    bottom: float
    height: int
    roof: str
    points: tuple[Point, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def roofline(
    given: Sequence[PointInput], peak: float | None, bandwidth: float | None, scale: Scale, locale: Locale
) -> RooflinePanel:
    """Place runs below min(peak, bandwidth × operations a byte).

    Args:
        given: At least one run.
        peak: Declared operations/s, or ``None``.
        bandwidth: Declared bytes/s, or ``None``.
        scale: Of the axis of operations/s.
        locale: Of the numbers.
    """
    ridge = [peak / bandwidth] if peak is not None and bandwidth is not None else []
    low_x, high_x = _reach([*(p.intensity for p in given), *ridge])
    roofs = [_roof(low_x, peak, bandwidth), _roof(high_x, peak, bandwidth)] if peak or bandwidth else []
    low_y, high_y = _reach([*(p.rate for p in given), *roofs])

    def x(value: float) -> float:
        return round(LEFT + math.log(value / low_x) / math.log(high_x / low_x) * (RIGHT - LEFT), 1)

    def y(value: float) -> float:
        return round(BOTTOM - math.log(value / low_y) / math.log(high_y / low_y) * (BOTTOM - TOP), 1)

    bends = [low_x, *(r for r in ridge if low_x < r < high_x), high_x]
    up = log_ticks(low_y / scale.factor, high_y / scale.factor)
    return RooflinePanel(
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
        height=int(BOTTOM) + 38,
        roof=" ".join(f"{x(v)},{y(_roof(v, peak, bandwidth))}" for v in bends) if roofs else "",
        points=_numbered([(p.look, x(p.intensity), y(p.rate)) for p in given]),
        across=apart([Tick(x(v), decimal(v, d, locale)) for v, d in log_ticks(low_x, high_x)], RIGHT),
        up=tuple(Tick(y(v * scale.factor), decimal(v, d, locale)) for v, d in up),
    )


def _roof(intensity: float, peak: float | None, bandwidth: float | None) -> float:
    return min(each for each in (peak, None if bandwidth is None else bandwidth * intensity) if each is not None)


def _reach(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis: a little beyond all values, and a decade at least."""
    low, high = min(values) / 1.6, max(values) * 1.6
    short = math.sqrt(10.0 / (high / low)) if high / low < 10.0 else 1.0
    return low / short, high * short


def _numbered(places: Sequence[tuple[Look, float, float]]) -> tuple[Point, ...]:
    """Give every point its number, right of it or left at the edge, and below where one stands there already."""
    taken: list[tuple[float, float]] = []
    points = []
    for n, (look, x, y) in enumerate(places, start=1):
        number_x = x + 11.0 if x + 22.0 < RIGHT else x - 11.0
        number_y = y + 4.0
        while any(abs(number_x - a) < _APART[0] and abs(number_y - b) < _APART[1] for a, b in taken):
            number_y += 1.0
        taken.append((number_x, number_y))
        points.append(Point(look, x, y, str(n), round(number_x, 1), round(number_y, 1)))
    return tuple(points)
