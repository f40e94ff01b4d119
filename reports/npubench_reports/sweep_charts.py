"""Geometry of the plot of a power sweep: samples a joule above throughput, over the limit.

Like ``charts``: places things in user units, computes no figure and knows no language.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from babel.core import Locale

from npubench_reports.charts import WIDTH, Look, Tick, apart, linear_ticks
from npubench_reports.numbers import Scale, decimal

#: Height of each of the two plots.
PLOT = 92.0

#: The plots' sides in user units, and how far from them the first and the last tick stand, so that no mark is cut.
LEFT, RIGHT = 50.0, WIDTH - 14.0
_MARGIN = 12.0


@dataclass(frozen=True, slots=True)
class SweepInput:
    """One limit as it comes in: watts, and value, low and high end of a quantity in the record's unit."""

    look: Look
    watts: float
    asked: bool
    mark: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Dot:
    """One limit as it is drawn: its mark at ``x``, ``y``, and a whisker from ``low`` to ``high`` where there is an interval."""

    look: Look
    asked: bool
    mark: str
    x: float
    y: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Quantity:
    """One of the two plots: its dots, the line through those that were asked for, and its axis."""

    top: float
    bottom: float
    dots: tuple[Dot, ...]
    line: str
    up: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class SweepPanel:
    """Both plots over one axis of watts; either is ``None`` where nothing of it is known."""

    left: float
    right: float
    height: int
    efficiency: Quantity | None
    throughput: Quantity | None
    across: tuple[Tick, ...]
    across_y: float


def sweep(
    efficiency: Sequence[SweepInput], throughput: Sequence[SweepInput], scales: tuple[Scale, Scale], locale: Locale
) -> SweepPanel:
    """Place a sweep; one of the two has a limit at least. The axis of watts begins where the limits do, quantities at zero."""
    watts = [one.watts for one in (*efficiency, *throughput)]
    steps = linear_ticks(min(watts), max(watts), 5) or linear_ticks(0.0, max(watts), 5)
    first_step, end = steps[0][0], steps[-1][0]

    def x(value: float) -> float:
        return round(LEFT + _MARGIN + (value - first_step) / (end - first_step) * (RIGHT - LEFT - 2 * _MARGIN), 1)

    first = _quantity(efficiency, scales[0], 20.0, x, locale) if efficiency else None
    top = first.bottom + 26.0 if first else 20.0
    second = _quantity(throughput, scales[1], top, x, locale) if throughput else None
    bottom = (second or first).bottom if first or second else top  # type: ignore[union-attr]
    across = apart([Tick(x(v), decimal(v, d, locale)) for v, d in steps], RIGHT)
    return SweepPanel(LEFT, RIGHT, int(bottom) + 36, first, second, across, bottom)


def _quantity(given: Sequence[SweepInput], scale: Scale, top: float, x: object, locale: Locale) -> Quantity:
    assert callable(x)
    bottom = top + PLOT
    reach = max(max(one.value, one.high or 0.0) for one in given) / scale.factor
    steps = linear_ticks(0.0, reach, 3) or ((0.0, 0), (1.0, 0))
    end = steps[-1][0] * scale.factor

    def y(value: float | None) -> float | None:
        return None if value is None else round(bottom - value / end * PLOT, 1)

    ordered = sorted(given, key=lambda one: one.watts)
    dots = tuple(
        Dot(one.look, one.asked, one.mark, float(x(one.watts)), y(one.value) or bottom, y(one.low), y(one.high))
        for one in ordered
    )
    line = " ".join(f"{dot.x},{dot.y}" for dot in dots if dot.asked)
    up = tuple(Tick(y(v * scale.factor) or bottom, decimal(v, d, locale)) for v, d in steps)
    return Quantity(top, bottom, dots, line, up)
