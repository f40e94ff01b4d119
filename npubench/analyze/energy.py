"""Integrate a sensor's readings to the energy drawn in a window, or say why that cannot be done.

Pure functions of columns of readings; they choose no sensor, subtract no idle power and mix no domains.

A counter is trusted over a gauge: what it drew between two readings is in the second one, however far apart they are,
whereas a gauge says nothing of the time between. Readings without a value are gaps and never zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.estimate import Estimate, absent

#: How many of a sensor's update periods a window must hold: a sensor that moves once a second says nothing of a second.
MIN_PERIODS = 30

#: How much of the window readings must cover.
MIN_COVERAGE = 0.95

#: Between readings further apart than this many update periods (or median distances) a gauge's power is unknown.
_MAX_GAP = 3


@dataclass(frozen=True, slots=True)
class Integral:
    """Energy over a window, with what it stands on.

    Args:
        joules: The energy, J, or the reason why there is none. Where coverage is below 1, the uncovered rest is taken at
            the mean power of the covered part.
        coverage: The part of the window that readings cover, 0…1.
        readings: How many readings with a value lie in the window.
        update_period_ns: The sensor's own, or the one seen in the readings; None where neither is known.
    """

    joules: Estimate
    coverage: float
    readings: int
    update_period_ns: int | None


def counter_joules(
    times_ns: NDArray[np.int64],
    values_uj: NDArray[np.int64],
    valid: NDArray[np.bool_],
    start_ns: int,
    end_ns: int,
    *,
    update_period_ns: int | None = None,
    wraps_at: int | None = None,
) -> Integral:
    """Return what an energy counter counted in a window.

    Only the first reading of each new value is used: a counter that was read between two updates shows the energy of a
    while ago, but at the moment it moves it shows that of now. Between these readings it is interpolated.

    Args:
        times_ns: int64 ``[readings]``, ascending, ns of the window's clock.
        values_uj: int64 ``[readings]``, µJ.
        valid: bool ``[readings]``: False where the sensor gave no value.
        start_ns: Start of the window.
        end_ns: End of the window.
        update_period_ns: As the sensor states it; None = take it from the readings.
        wraps_at: The value, µJ, at which the counter starts again from 0; None = it does not.

    Returns:
        The integral; absent for a window too short for the sensor, too little coverage, a counter that does not move, or
        one that goes back.
    """
    times, values = times_ns[valid], values_uj[valid]
    inside = _inside(times, start_ns, end_ns)
    steps = np.diff(values)
    if np.any(steps < 0):
        if wraps_at is None:
            return _absent(
                f"the counter went back by {-int(steps.min())} µJ and is not said to wrap", 0.0, inside, update_period_ns
            )
        steps = np.where(steps < 0, steps + wraps_at, steps)
    moved = np.flatnonzero(steps) + 1
    period = update_period_ns or _median_distance(times[moved])
    too_short = _too_short(start_ns, end_ns, period, inside)
    if too_short:
        return _absent(too_short, 0.0, inside, period)
    if moved.size < 2:
        return _absent("the counter does not move", 0.0, inside, period)
    # Relative to the first: exact in float64 up to 2⁵³ µJ, 9 GJ.
    counted = np.concatenate(([0], np.cumsum(steps)))[moved].astype(np.float64)
    low, high = max(start_ns, int(times[moved[0]])), min(end_ns, int(times[moved[-1]]))
    coverage = max(high - low, 0) / (end_ns - start_ns)
    at = np.interp([low - start_ns, high - start_ns], (times[moved] - start_ns).astype(np.float64), counted)
    return _integral((float(at[1]) - float(at[0])) * 1e-6, coverage, inside, period)


def gauge_joules(
    times_ns: NDArray[np.int64],
    values_mw: NDArray[np.int64],
    valid: NDArray[np.bool_],
    start_ns: int,
    end_ns: int,
    *,
    update_period_ns: int | None = None,
) -> Integral:
    """Return the integral of a power gauge over a window by the trapezoidal rule.

    Power at the window's edges is interpolated between the readings around them. Nothing is integrated across a reading
    without a value, nor across a hole of more than three update periods.

    Args:
        times_ns: int64 ``[readings]``, ascending, ns of the window's clock.
        values_mw: int64 ``[readings]``, mW.
        valid: bool ``[readings]``: False where the sensor gave no value.
        start_ns: Start of the window.
        end_ns: End of the window.
        update_period_ns: As the sensor states it; None = take it from the readings.

    Returns:
        The integral; absent for a window too short for the sensor, or too little coverage.
    """
    inside = _inside(times_ns[valid], start_ns, end_ns)
    moved = np.flatnonzero(np.diff(values_mw[valid])) + 1
    period = update_period_ns or _median_distance(times_ns[valid][moved]) or _median_distance(times_ns)
    too_short = _too_short(start_ns, end_ns, period, inside)
    if too_short:
        return _absent(too_short, 0.0, inside, period)
    spacing = _median_distance(times_ns) or 0
    left, right = times_ns[:-1], times_ns[1:]
    known = valid[:-1] & valid[1:] & (right - left <= _MAX_GAP * max(period or 0, spacing))
    left, right = left[known], right[known]
    first, last = values_mw[:-1][known].astype(np.float64), values_mw[1:][known].astype(np.float64)
    low, high = np.clip(left, start_ns, end_ns), np.clip(right, start_ns, end_ns)
    slope = (last - first) / np.maximum(right - left, 1)
    middle = first + slope * ((low - left) + (high - left)) / 2.0
    width = (high - low).astype(np.float64)
    # 1 mW · 1 ns = 10⁻¹² J.
    return _integral(float(np.sum(middle * width)) * 1e-12, float(width.sum()) / (end_ns - start_ns), inside, period)


def mean_watts(integral: Integral, start_ns: int, end_ns: int) -> Estimate:
    """Return the mean power over the window of an integral, W, or the reason why there is none."""
    joules = integral.joules
    if joules.value is None:
        return absent("W", joules.reason or "", joules.n)
    return Estimate(value=joules.value / ((end_ns - start_ns) * 1e-9), unit="W", n=joules.n)


def _inside(times: NDArray[np.int64], start_ns: int, end_ns: int) -> int:
    return int(np.count_nonzero((times >= start_ns) & (times <= end_ns)))


def _median_distance(times: NDArray[np.int64]) -> int | None:
    return int(np.median(np.diff(times))) if times.size >= 2 else None


def _too_short(start_ns: int, end_ns: int, period: int | None, inside: int) -> str:
    """Return why a window is too short for its sensor, or ""."""
    if end_ns <= start_ns:
        return "the window is empty"
    if not inside:
        return "the sensor gave no value in the window"
    if period is not None and end_ns - start_ns < MIN_PERIODS * period:
        needed, has = MIN_PERIODS * period * 1e-9, (end_ns - start_ns) * 1e-9
        return f"the sensor changes every {period * 1e-6:.6g} ms: needs a window of {needed:.6g} s, it has {has:.6g} s"
    return ""


def _integral(covered_joules: float, coverage: float, readings: int, period: int | None) -> Integral:
    """Return the integral with the uncovered rest filled in, or none where that is too much."""
    if coverage < MIN_COVERAGE:
        reason = f"readings cover {coverage:.1%} of the window, needs {MIN_COVERAGE:.0%}"
        return _absent(reason, coverage, readings, period)
    return Integral(Estimate(value=covered_joules / coverage, unit="J", n=readings), coverage, readings, period)


def _absent(reason: str, coverage: float, readings: int, period: int | None) -> Integral:
    return Integral(absent("J", reason, readings), coverage, readings, period)
