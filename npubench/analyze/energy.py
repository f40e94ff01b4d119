"""What energy over a window is, with how far it can be wrong, or why there is none. The sums are in ``counter`` and ``gauge``.

A sensor tells of the past: a counter of the energy up to its last update, a gauge of the power at or before it. Near the
window's edges its readings speak of what happened outside, so that only what was drawn wholly inside is taken, and the rest,
a few update periods, is taken at the power beside it. How much that, the sensor's step, its period and its clock can be wrong
by is added up as bounds, not in quadrature: an energy figure's interval is meant to hold the truth, not to look narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.estimate import Estimate, absent

#: How many of a sensor's update periods a window must hold: a sensor that moves once a second says nothing of a second.
MIN_PERIODS = 30

#: How many of them the idle baseline must hold: power that does not change needs few readings, and its interval says how few.
MIN_IDLE_PERIODS = 4

#: How much of the window readings must cover.
MIN_COVERAGE = 0.95

#: Power that a domain cannot draw, W: a reading beyond it is in another unit than the sensor says. The largest accelerator
#: cards draw 1 kW and the largest air-cooled servers some 15 kW; a decimal order above that is no accident.
IMPLAUSIBLE_WATTS = {"chip": 10_000.0, "card": 10_000.0, "board": 10_000.0, "host": 150_000.0, "wall": 150_000.0}

#: At either edge of the window a working sensor leaves out at most this many of its update periods.
EDGE_PERIODS = 4

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Track:
    """What one sensor said: columns of readings, and what is known of the sensor.

    Args:
        times_ns: int64 ``[readings]``, ns of the window's clock.
        values: int64 ``[readings]``: µJ of a counter, mW of a gauge.
        valid: bool ``[readings]``: False where the sensor gave no value.
        domain: What it covers; decides which power is implausible.
        update_period_ns: How often the value changes, as the sensor states it; None = take it from the readings.
        quantum: The smallest step of the value; None = the largest power of ten that divides all values.
        wraps_at: The value, µJ, at which a counter starts again from 0; None = it does not.
        averages: Whether a gauge shows the mean over its last period (True) or the power at its last update (False).
        clock_error_ns: How far the readings' clock may be from the window's.
    """

    times_ns: Integers
    values: Integers
    valid: NDArray[np.bool_]
    domain: str = "card"
    update_period_ns: int | None = None
    quantum: int | None = None
    wraps_at: int | None = None
    averages: bool | None = None
    clock_error_ns: int = 0


@dataclass(frozen=True, slots=True)
class Integral:
    """Energy over a window, with what it stands on.

    Args:
        joules: The energy, J, with the interval that holds the truth, or the reason why there is none.
        peak_watts: The highest power over one update period in the window, W.
        coverage: The part of the window that readings cover, 0…1.
        readings: How many readings with a value lie in the window.
        update_period_ns: The sensor's own, or the one seen in the readings; None where neither is known.
        standing: The part of the energy by which it stays uncertain however long the window is; ``0.0`` = none of it.
        undersampled: Whether most of that is a gauge's that was read more seldom than it changes, and not its step.
    """

    joules: Estimate
    peak_watts: Estimate
    coverage: float
    readings: int
    update_period_ns: int | None
    standing: float = 0.0
    undersampled: bool = False

    @property
    def uncertainty(self) -> float | None:
        """Half the interval ÷ the value; None where there is no energy."""
        joules = self.joules
        if joules.value is None or joules.low is None or joules.high is None or joules.value <= 0:
            return None
        return (joules.high - joules.low) / 2.0 / joules.value


@dataclass(frozen=True, slots=True)
class Covered:
    """What was found inside a window, before its edges and holes are filled in.

    Args:
        joules: Energy over the covered part, J.
        seconds: How long the covered part is, s.
        holes_s: What lacks between covered parts, s.
        edges_s: What lacks at the window's start and end, s.
        usual_edge_s: How long an edge is where the sensor works, s; a longer one is a meter that came late or went away.
        edge_watts: The power beside either edge, W.
        edge_spread_watts: Highest less lowest power near either edge, W.
        spread_watts: Highest less lowest power in the window, W.
        peak_watts: The highest power over one update period, W.
        error_joules: What the sensor's step, period, sampling and clock can be wrong by, J.
        step_joules: The part of it that grows with the window because of the sensor's step, J.
        seldom_joules: The part of it that grows with the window because a gauge was read too seldom, J.
    """

    joules: float
    seconds: float
    holes_s: float
    edges_s: tuple[float, float]
    usual_edge_s: float
    edge_watts: tuple[float, float]
    edge_spread_watts: tuple[float, float]
    spread_watts: float
    peak_watts: float
    error_joules: float
    step_joules: float = 0.0
    seldom_joules: float = 0.0


def complete(found: Covered, readings: int, period_ns: int | None) -> Integral:
    """Fill edges and holes in, and say how far the sum can be wrong; absent where too much would be filled in."""
    edges = [min(edge, found.usual_edge_s) for edge in found.edges_s]
    holes = found.holes_s + sum(found.edges_s) - sum(edges)
    coverage = found.seconds / (found.seconds + holes) if found.seconds > 0 else 0.0
    if coverage < MIN_COVERAGE:
        return nothing(f"readings cover {coverage:.1%} of the window, needs {MIN_COVERAGE:.0%}", readings, period_ns, coverage)
    mean = found.joules / found.seconds
    filled = mean * holes + sum(w * s for w, s in zip(found.edge_watts, edges, strict=True))
    error = (
        found.error_joules + holes * found.spread_watts + sum(w * s for w, s in zip(found.edge_spread_watts, edges, strict=True))
    )
    joules = found.joules + filled
    return Integral(
        joules=Estimate(value=joules, unit="J", low=max(0.0, joules - error), high=joules + error, n=readings),
        peak_watts=Estimate(value=found.peak_watts, unit="W", n=readings),
        coverage=coverage,
        readings=readings,
        update_period_ns=period_ns,
        standing=(found.step_joules + found.seldom_joules) / joules if joules > 0 else 0.0,
        undersampled=found.seldom_joules > found.step_joules,
    )


def nothing(reason: str, readings: int = 0, period_ns: int | None = None, coverage: float = 0.0) -> Integral:
    """Return that there is no energy, for ``reason``."""
    return Integral(absent("J", reason, readings), absent("W", reason, readings), coverage, readings, period_ns)


def unusable(track: Track, start_ns: int, end_ns: int, period_ns: int | None, least: int) -> str:
    """Return why a track cannot be integrated over a window, or ""."""
    if end_ns <= start_ns:
        return "the window is empty"
    if np.any(np.diff(track.times_ns) < 0):
        return "the readings' clock went back in time"
    if not inside(track, start_ns, end_ns):
        return "the sensor gave no value in the window"
    if period_ns is not None and end_ns - start_ns < least * period_ns:
        needed, has = least * period_ns * 1e-9, (end_ns - start_ns) * 1e-9
        return f"the sensor changes every {period_ns * 1e-6:.6g} ms: needs a window of {needed:.6g} s, it has {has:.6g} s"
    return ""


def implausible(watts: float, domain: str) -> str:
    """Return that a domain cannot draw ``watts``, or ""."""
    limit = IMPLAUSIBLE_WATTS.get(domain)
    if limit is None or watts <= limit:
        return ""
    return f"a {domain} at {watts:,.0f} W cannot be right: the sensor's unit is another one than it says"


def inside(track: Track, start_ns: int, end_ns: int) -> int:
    """Return how many readings with a value lie in a window."""
    return int(np.count_nonzero(track.valid & (track.times_ns >= start_ns) & (track.times_ns <= end_ns)))


def median_distance(times: Integers) -> int | None:
    """Return the median distance of readings, ns; None where there are fewer than two."""
    return int(np.median(np.diff(times))) if times.size >= 2 else None


def step_of(track: Track) -> int:
    """Return the sensor's quantum: as it says, else the largest power of ten that divides every value."""
    if track.quantum is not None:
        return track.quantum
    values = np.unique(track.values[track.valid])
    step = 1
    while values.size and step < 10**9 and np.any(values) and not np.any(values % (step * 10)):
        step *= 10
    return step
