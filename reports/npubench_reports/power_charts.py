"""Geometry of the plots of power: ratios beside the policy's line, and a run's power and latency over time.

Like ``charts``: places things in user units, computes no figure and knows no language.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from babel.core import Locale

from npubench.report.page import Band, PowerCourse, Series
from npubench_reports.charts import FONT, TICK, WIDTH, Look, Tick, apart, linear_ticks, shorten, text_width
from npubench_reports.numbers import Scale, decimal

#: Height of one line of ratios, and of each of the two plots over time.
PITCH, PLOT = 38, 84

#: Room at the right for what a plot over time shows; the names of phases stand before it.
_TITLE = 120


@dataclass(frozen=True, slots=True)
class RatioInput:
    """One ratio as it comes in, with the words beside it."""

    label: str
    words: str
    look: Look
    simulated: bool
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RatioMark:
    """One ratio as it is drawn: a mark at ``at``, a whisker from ``low`` to ``high``."""

    source: RatioInput
    label: str
    y: float
    at: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RatioPanel:
    """Ratios of one workload, with the lines of the baseline (1) and of policy."""

    height: int
    marks: tuple[RatioMark, ...]
    ticks: tuple[Tick, ...]
    axis: float
    even: float
    policy: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase, or a stretch of throttling, as a rectangle; ``label`` is empty where there is no room for it."""

    name: str
    x: float
    width: float
    label: str


@dataclass(frozen=True, slots=True)
class Trail:
    """A quantity over time: its lines, broken where it is unknown, the areas from least to most, and its axis."""

    top: float
    bottom: float
    lines: tuple[str, ...]
    areas: tuple[str, ...]
    up: tuple[Tick, ...]
    unit: str


@dataclass(frozen=True, slots=True)
class CoursePanel:
    """Power above latency over one axis of time."""

    left: float
    right: float
    height: int
    power: Trail
    latency: Trail | None
    across: tuple[Tick, ...]
    across_y: float
    phases: tuple[Stretch, ...]
    throttled: tuple[Stretch, ...]


def ratios(inputs: Sequence[RatioInput], policy: float, locale: Locale) -> RatioPanel:
    """Place one workload's ratios on an axis from zero that reaches beyond ``policy``."""
    margin = 8
    steps = linear_ticks(0.0, max([policy * 1.1, *(i.high for i in inputs)]))
    end = steps[-1][0]

    def x(value: float) -> float:
        return round(margin + value / end * (WIDTH - 2 * margin), 1)

    axis = len(inputs) * PITCH + 4
    marks = tuple(
        RatioMark(
            source=i,
            label=shorten(i.label, WIDTH - 34 - text_width(i.words)),
            y=n * PITCH + PITCH - 10.0,
            at=x(i.value),
            low=x(i.low),
            high=x(i.high),
        )
        for n, i in enumerate(inputs)
    )
    ticks = tuple(Tick(x(v), decimal(v, d, locale)) for v, d in steps)
    return RatioPanel(axis + 20, marks, ticks, axis, x(1.0), x(policy))


def course(
    given: PowerCourse, watts: Scale, times: Scale, units: tuple[str, str], names: dict[str, str], locale: Locale
) -> CoursePanel:
    """Place a run's power and latency over time.

    Args:
        given: The run.
        watts: The scale of power.
        times: The scale of latency.
        units: What the two axes' units are called.
        names: Phase → its label.
        locale: Of the numbers.
    """
    left, right, top = 46.0, WIDTH - 8.0, 18.0
    first = given.power.start_s
    last = first + given.power.step_s * len(given.power.values)

    def x(second: float) -> float:
        share = (min(max(second, first), last) - first) / ((last - first) or 1.0)
        return round(left + share * (right - left), 1)

    power = _trail(given.power, watts, units[0], top, x, locale)
    latency = _trail(given.latency, times, units[1], top + PLOT + 22.0, x, locale) if given.latency is not None else None
    bottom = (latency or power).bottom
    ticks = [Tick(x(v), decimal(v, d, locale)) for v, d in linear_ticks(first, last, 5) if first <= v <= last]
    return CoursePanel(
        left=left,
        right=right,
        height=int(bottom + 34),
        power=power,
        latency=latency,
        across=apart(ticks, right),
        across_y=bottom,
        phases=tuple(_stretches(given.phases, names, x)),
        throttled=tuple(_stretches(given.throttled, {}, x)),
    )


def _trail(series: Series, scale: Scale, unit: str, top: float, x: object, locale: Locale) -> Trail:
    """Place one quantity below ``top``, from zero."""
    assert callable(x)
    bottom = top + PLOT
    known = [v for v in (*series.values, *series.high) if v is not None]
    reach = max(known, default=0.0) / scale.factor
    steps = linear_ticks(0.0, reach, 3) or ((0.0, 0), (1.0, 0))
    end = steps[-1][0] * scale.factor or 1.0

    def y(value: float) -> float:
        return round(bottom - value / end * PLOT, 1)

    def at(n: int) -> float:
        return float(x(series.start_s + (n + 0.5) * series.step_s))

    lines, areas = [], []
    for run in _runs(series.values):
        points = [(at(n), y(value)) for n in run if (value := series.values[n]) is not None]
        # A lone point would draw nothing.
        points = points if len(points) > 1 else [points[0], (points[0][0] + 1.0, points[0][1])]
        lines.append(" ".join(f"{a},{b}" for a, b in points))
        if series.high:
            upper = [f"{at(n)},{y(value)}" for n in run if (value := series.high[n]) is not None]
            lower = [f"{at(n)},{y(value)}" for n in reversed(run) if (value := series.low[n]) is not None]
            areas.append(" ".join([*upper, *lower]))
    up = tuple(Tick(y(v * scale.factor), decimal(v, d, locale)) for v, d in steps)
    return Trail(top, bottom, tuple(lines), tuple(areas), up, unit)


def _runs(values: Sequence[float | None]) -> list[list[int]]:
    """Return the places of values in stretches without a hole."""
    found: list[list[int]] = []
    for n, value in enumerate(values):
        if value is not None:
            if found and found[-1][-1] == n - 1:
                found[-1].append(n)
            else:
                found.append([n])
    return found


def _stretches(bands: Iterable[Band], names: dict[str, str], x: object) -> Iterable[Stretch]:
    assert callable(x)
    for band in bands:
        start, end = float(x(band.start_s)), float(x(band.end_s))
        label = names.get(band.name, "")
        half = text_width(label, TICK) / 2
        fits = 2 * half < end - start - FONT / 2 and (start + end) / 2 + half < WIDTH - _TITLE
        yield Stretch(band.name, start, round(max(end - start, 1.0), 1), label if fits else "")
