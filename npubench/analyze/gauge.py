"""Integrate a power gauge's readings over a window by the trapezoidal rule. A pure function of columns.

A gauge says nothing of the time between its readings: one without a value is a hole, never a zero. What it shows is of the
past: the mean over its last period, or the power at its last update, and is shown until the next one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.energy import (
    EDGE_PERIODS,
    MIN_PERIODS,
    Covered,
    Floats,
    Integers,
    Integral,
    Track,
    complete,
    implausible,
    inside,
    median_distance,
    nothing,
    step_of,
    unusable,
)

#: Between readings further apart than this many update periods (or median distances) a gauge's power is unknown.
_MAX_GAP = 3

#: Where a gauge neither says how often it changes nor moves enough to show it, it is taken for as slow as the slowest seen
#: on cards: once a second (Mobilint ARIES, RBLN-CA22).
ASSUMED_PERIOD_NS = 1_000_000_000

#: The percentile of the distances between moves that is taken for the update period.
_SHORT = 10

#: How many update periods beside an edge say what power the edge is filled in with.
_BESIDE = 3

#: 95 % of a normal distribution lie within so many standard deviations.
_Z95 = 1.96

#: The part of the scatter by which readings that are not drawn at random may be off. Beside a counter of the same power, a gauge
#: that changed every millisecond and was read every five on a busy machine was off by 0.13 of it; twice that is allowed for.
_NOT_DRAWN = 0.26

#: A gauge whose moves turn back at least this often wavers, and does not settle.
_TURNS = 0.2

#: Fewer readings do not say that a gauge stands still.
_FEW = 10

#: A gauge that used to move and then stands still for this part of the window has stalled.
_STALLED_PART = 0.25


def gauge_joules(track: Track, start_ns: int, end_ns: int, least: int = MIN_PERIODS) -> Integral:
    """Return the integral of a power gauge over a window.

    Args:
        track: Values in mW.
        start_ns: Start of the window.
        end_ns: End of the window.
        least: How many update periods it must hold.

    Returns:
        The integral; absent for a window too short for the sensor, too little coverage, a gauge that has stalled or shows
        what its domain cannot draw.
    """
    readings = inside(track, start_ns, end_ns)
    times, values = track.times_ns, track.values
    moves = track.times_ns[track.valid][1:][np.diff(values[track.valid]) != 0]
    spacing = median_distance(times) or 0
    period = track.update_period_ns or _seen_period(moves[(moves >= start_ns) & (moves <= end_ns)], spacing)
    why = unusable(track, start_ns, end_ns, period, least)
    if why:
        return nothing(why, readings, period)
    reach, lag, lag_error = _past(track, period)
    # What is shown from here on speaks of the window alone.
    low, high = start_ns + reach, end_ns - track.clock_error_ns
    left, right, known = _pairs(track, low, high, _MAX_GAP * max(period, spacing))
    if not np.any(known):
        return nothing("readings cover 0.0% of the window, needs 95%", readings, period)
    watts: Floats = values.astype(np.float64) * 1e-3
    first, last = watts[:-1][known], watts[1:][known]
    # A single reading of garbage spoils the sum as well as a wrong unit does.
    why = implausible(float(np.abs(np.append(first, last)).max()), track.domain) or _stall(track, moves, low, high)
    if why:
        return nothing(why, readings, period)
    widths = (right - left)[known] * 1e-9
    shown = np.append(first, last[-1])
    by_step = step_of(track) * 1e-3 / 2.0
    scattered, seldom = _sampling(track, low, high, period, spacing)
    near = _beside(left[known], first, low, period), _beside(right[known], last, high, period)
    # Shown times are moved back by the lag: what lacks at the start is shorter by it, what lacks at the end longer.
    edges = (max(0, int(left[known][0]) - lag - start_ns) * 1e-9, (end_ns - int(right[known][-1]) + lag) * 1e-9)
    total = (end_ns - start_ns) * 1e-9
    covered = Covered(
        joules=float(np.sum((first + last) / 2.0 * widths)),
        seconds=float(widths.sum()),
        holes_s=max(0.0, total - float(widths.sum()) - sum(edges)),
        edges_s=edges,
        usual_edge_s=(EDGE_PERIODS * max(period, spacing) + 2 * track.clock_error_ns) * 1e-9,
        edge_watts=(float(near[0].mean()), float(near[1].mean())),
        edge_spread_watts=(float(np.ptp(near[0])), float(np.ptp(near[1]))),
        spread_watts=float(np.ptp(shown)),
        peak_watts=float(shown.max()),
        error_joules=(by_step + scattered + seldom) * total
        + (lag_error + spacing) * 1e-9 * abs(float(near[0].mean() - near[1].mean())),
        step_joules=by_step * total,
        seldom_joules=seldom * total,
    )
    return complete(covered, readings, period)


def _seen_period(moves: Integers, spacing: int) -> int:
    """Return the update period that the moves of a gauge show, ns.

    Neighbouring updates may show the same value, so that it is the shorter distances which tell; few moves tell nothing.
    """
    if moves.size < MIN_PERIODS:
        return max(ASSUMED_PERIOD_NS, spacing)
    return max(int(np.percentile(np.diff(moves), _SHORT)), spacing)


def _past(track: Track, period: int) -> tuple[int, int, int]:
    """Return how far back a shown value speaks at most, how far on the whole, and how far that can be wrong, ns.

    A mean over the last period, shown for a period, is one period old on the whole and two at most; the power at the last
    update half a period and one. Where the sensor does not say which it is, it is between the two.
    """
    if track.averages is None:
        return 2 * period + track.clock_error_ns, period * 3 // 4, period // 4 + track.clock_error_ns
    if track.averages:
        return 2 * period + track.clock_error_ns, period, track.clock_error_ns
    return period + track.clock_error_ns, period // 2, track.clock_error_ns


def _pairs(track: Track, low: int, high: int, widest: int) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """Return the ends of neighbouring readings, cut to the window, and which of the pairs can be integrated."""
    left, right = track.times_ns[:-1], track.times_ns[1:]
    known = track.valid[:-1] & track.valid[1:] & (right - left <= widest) & (left >= low) & (right <= high)
    return left, right, known


def _beside(times: Integers, watts: Floats, edge: int, period: int) -> Floats:
    """Return the power shown within a few periods of an edge; the nearest reading where there is none."""
    found = watts[np.abs(times - edge) <= _BESIDE * period]
    return found if found.size else watts[[int(np.argmin(np.abs(times - edge)))]]


def _sampling(track: Track, low: int, high: int, period: int, spacing: int) -> tuple[float, float]:
    """Return how far the mean of the updates can be from the mean power, W: nothing where every update is a mean and is seen.

    Returns:
        What more readings make less, and what stays.
    """
    if track.averages and 4 * spacing <= period:
        return 0.0, 0.0
    chosen = track.valid & (track.times_ns >= low) & (track.times_ns <= high)
    every = max(1, round(period / spacing)) if spacing else 1
    updates = track.values[chosen][::every] * 1e-3
    if updates.size < 3:
        return 0.0, 0.0
    # From neighbours, so that a trend counts as what it is and not as scatter.
    scatter = float(np.sqrt(np.mean(np.diff(updates) ** 2) / 2.0))
    error = _Z95 * scatter / float(np.sqrt(updates.size))
    # Read more seldom than it changes, its values are no random draw: readings come when the machine lets them.
    return error, _NOT_DRAWN * scatter if spacing > period else 0.0


def _stall(track: Track, moves: Integers, low: int, high: int) -> str:
    """Return that a gauge which used to move by more than its step stands still, or ""."""
    within = moves[(moves >= low) & (moves <= high)]
    chosen = track.valid & (track.times_ns >= low) & (track.times_ns <= high)
    if within.size < 10 or float(np.std(track.values[chosen])) <= 3 * step_of(track):
        return ""
    turns = np.diff(np.sign(_moves(track.values[chosen]))) != 0
    if np.count_nonzero(turns) < _TURNS * turns.size:
        return ""  # power that settles stops moving as well
    edges = np.concatenate(([low], within, [high]))
    widest = int(np.argmax(np.diff(edges)))
    longest = int(edges[widest + 1] - edges[widest])
    between = chosen & (track.times_ns > edges[widest]) & (track.times_ns < edges[widest + 1])
    if np.count_nonzero(between) < _FEW:
        return ""  # without readings it is a hole, and said to be one
    if longest < _STALLED_PART * (high - low) or longest < 20 * float(np.median(np.diff(within))):
        return ""
    return f"the gauge stood still for {longest * 1e-9:.3g} s, though it moves otherwise: it has stalled"


def _moves(values: Integers) -> Integers:
    steps: Integers = np.diff(values)
    moves: Integers = steps[steps != 0]
    return moves
