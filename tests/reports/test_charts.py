"""Plots stay inside their panels, tell subjects apart, and leave nothing out."""

from __future__ import annotations

import math

import pytest
from babel.core import Locale

from npubench.report.page import Curve
from npubench_reports import charts
from npubench_reports.numbers import Scale

EN = Locale.parse("en")
MS = Scale(1e6, "ms")


def bar(label: str, value: float | None, high: float | None = None) -> charts.BarInput:
    low = None if high is None or value is None else 2 * value - high
    return charts.BarInput(label, "words", charts.Look(0, 0), "solid" if value is not None else "absent", value, low, high)


def test_bars_start_at_zero_and_keep_their_proportions() -> None:
    panel = charts.bars([bar("a", 100.0, 110.0), bar("b", 50.0), bar("c", None)], Scale(1.0, "x"), EN)
    a, b, c = panel.bars
    assert a.length == pytest.approx(2 * b.length, abs=0.2)
    assert c.length == 0
    assert a.low is not None
    assert a.high is not None
    assert a.low < a.length + 4 < a.high <= charts.WIDTH
    assert panel.ticks[0].label == "0"
    assert panel.ticks[-1].at <= charts.WIDTH


@pytest.mark.parametrize("values", [[], [None], [0.0], [1e-9, 1e12]])
def test_odd_bars_are_drawn_too(values: list[float | None]) -> None:
    panel = charts.bars([bar("a", v) for v in values], Scale(1.0, "x"), EN)
    assert all(math.isfinite(b.length) and b.length >= 0 for b in panel.bars)


def test_more_subjects_than_colours_still_look_different() -> None:
    looks = charts.looks([str(i) for i in range(charts.LOOKS**2)])
    assert len(set(looks.values())) == charts.LOOKS**2


def curve(*latencies: float) -> Curve:
    quantiles = (0.0, 0.5, 0.9, 0.99, 1.0)[: len(latencies)]
    return Curve("s", quantiles, latencies)


def place(curves: list[Curve], bound: float | None = None) -> charts.CurvePanel:
    return charts.curves(curves, bound, {"s": charts.Look(0, 0)}, MS, EN, "max")


def test_a_curve_rises_to_the_right_and_the_slowest_query_is_on_it() -> None:
    panel = place([curve(1e6, 2e6, 3e6, 5e6, 40e6)])
    points = [tuple(map(float, point.split(","))) for point in panel.lines[0].points.split()]
    assert len(points) == 5
    assert points == sorted(points, key=lambda p: (p[0], -p[1]))
    assert all(panel.left <= x <= panel.right and panel.top <= y <= panel.bottom for x, y in points)
    assert panel.up[-1].label == "max"
    assert len(panel.lines[0].markers) == 3


@pytest.mark.parametrize("curves", [[], [curve()], [curve(5e6)], [curve(5e6, 5e6, 5e6)], [curve(1.0, 1e3, 1e6, 1e9, 1e12)]])
@pytest.mark.parametrize("bound", [None, 10e6])
def test_odd_curves_are_drawn_too(curves: list[Curve], bound: float | None) -> None:
    panel = place(curves, bound)
    assert all(panel.left <= tick.at <= panel.right for tick in panel.across)


def test_a_bound_far_from_every_curve_is_named_and_not_drawn() -> None:
    near, far = place([curve(1e6, 2e6)], 5e6), place([curve(1e6, 2e6)], 500e6)
    assert near.bound is not None
    assert not near.beyond
    assert far.bound is None
    assert far.beyond


@pytest.mark.parametrize("span", [(1.0, 1.01), (1.0, 3.0), (1.0, 80.0), (1.0, 1e9), (0.02, 0.5)])
def test_log_ticks_are_few_round_and_inside(span: tuple[float, float]) -> None:
    ticks = charts.log_ticks(*span)
    assert 2 <= len(ticks) <= 10
    assert all(span[0] <= value <= span[1] for value, _ in ticks)


def test_labels_are_shortened_only_where_they_must() -> None:
    assert charts.shorten("짧은 이름", 100) == "짧은 이름"
    long = charts.shorten("아주 아주 긴 비교 대상의 이름 · fp32", 100)
    assert long.endswith("…")
    assert charts.text_width(long) <= 100
