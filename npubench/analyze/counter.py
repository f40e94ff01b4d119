"""Take the energy over a window from an energy counter's readings. A pure function of columns.

What a counter drew between two readings is in the second one, however far apart they are: a missing reading costs it
nothing. A counter that goes back has wrapped, where it is said to, or was reset, and then that step is unknown.
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

#: A counter that stands still for so many of its update periods, and for a second, has stalled: devices never draw nothing.
_STALLED_PERIODS = 20
_STALLED_NS = 1_000_000_000

#: A reading that came late makes the next step look this much steeper, and not more; beyond it a value is garbage.
_SPIKE = 10.0

#: A counter's power is told over no less, ns: on a busy machine a reading may be held up by milliseconds.
_PEAK_NS = 100_000_000

#: How many times the delay of a reading a span must last whose power is told.
_TIMELY = 20

#: How many update periods beside an edge say what power the edge is filled in with.
_BESIDE = 6


def counter_joules(track: Track, start_ns: int, end_ns: int, least: int = MIN_PERIODS) -> Integral:
    """Return what an energy counter counted in a window.

    Only the first reading of each new value is used: a counter that was read between two updates shows the energy of a
    while ago, but at the moment it moves it shows that of now, late by at most the distance of two readings.

    Args:
        track: Values in µJ, ascending but for wraps and resets.
        start_ns: Start of the window.
        end_ns: End of the window.
        least: How many update periods it must hold.

    Returns:
        The integral; absent for a window too short for the sensor, too little coverage, a counter that does not move, has
        stalled, or counts what its domain cannot draw.
    """
    times, values = track.times_ns[track.valid], track.values[track.valid]
    readings = inside(track, start_ns, end_ns)
    steps, unknown = _steps(values, track.wraps_at)
    moved = np.flatnonzero((steps != 0) | unknown) + 1
    period = track.update_period_ns or median_distance(times[moved])
    why = unusable(track, start_ns, end_ns, period, least)
    if why:
        return nothing(why, readings, period)
    if moved.size < 2:
        return nothing("the counter does not move", readings, period)
    late = min(period or 0, median_distance(times) or 0)
    first = start_ns + late + track.clock_error_ns
    kept = moved[(times[moved] >= first) & (times[moved] <= end_ns - track.clock_error_ns)]
    if kept.size < 2:
        return nothing("the counter does not move", readings, period)
    at = times[kept]
    widths = np.diff(at)
    if widths.max(initial=0) > max(_STALLED_PERIODS * (period or 0), _STALLED_NS) or _stalled(at, end_ns, period):
        longest = max(int(widths.max(initial=0)), end_ns - int(at[-1])) * 1e-9
        if _gave_values(track, at, end_ns):
            return nothing(f"the counter stood still for {longest:.3g} s: it has stalled", readings, period)
    counted = np.concatenate(([0.0], np.cumsum(np.where(unknown, 0, steps), dtype=np.float64)))
    joules = np.diff(counted[kept]) * 1e-6
    lost = np.diff(np.concatenate(([0], np.cumsum(unknown)))[kept]) > 0
    watts = joules / (widths * 1e-9)
    if not np.any(~lost):
        return nothing("the counter was reset in the window", readings, period)
    highest = float(watts[~lost].max())
    why = implausible(float(np.median(watts[~lost])), track.domain)
    if not why and implausible(highest / _SPIKE, track.domain):
        why = implausible(highest, track.domain)
    if why:
        return nothing(why, readings, period)
    edges = (int(at[0]) - start_ns) * 1e-9, (end_ns - int(at[-1])) * 1e-9
    near = _near(watts[~lost])
    covered = Covered(
        joules=float(joules[~lost].sum()),
        seconds=float(widths[~lost].sum()) * 1e-9,
        holes_s=float(widths[lost].sum()) * 1e-9,
        edges_s=edges,
        usual_edge_s=(EDGE_PERIODS * max(period or 0, int(np.median(widths))) + 2 * track.clock_error_ns) * 1e-9,
        edge_watts=(float(near[0].mean()), float(near[1].mean())),
        edge_spread_watts=(float(np.ptp(near[0])), float(np.ptp(near[1]))),
        spread_watts=float(np.ptp(watts[~lost])),
        peak_watts=_peak(at, counted[kept], lost, late),
        # Two ends, each wrong by a step of the counter, and late by what passes between two readings.
        error_joules=step_of(track) * 1e-6 + late * 1e-9 * max(float(near[0].max()), float(near[1].max())),
    )
    return complete(covered, readings, period)


def _steps(values: Integers, wraps_at: int | None) -> tuple[Integers, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Return the counted steps, and which of them are unknown since the counter was reset."""
    steps = np.diff(values)
    back = steps < 0
    if wraps_at is not None:
        steps = np.where(back, steps + wraps_at, steps)
        # After a wrap the counter has counted on as before; a reset looks like a wrap of nearly a whole turn.
        usual = np.median(steps[steps > 0]) if np.any(steps > 0) else 0
        back &= steps > max(100 * usual, wraps_at // 2)
    return np.where(back, 0, steps), back


def _peak(at: Integers, counted_uj: Floats, lost: NDArray[np.bool_], late: int) -> float:
    """Return the highest power, W, over spans so long that a reading which comes late is a twentieth of them at most."""
    span = max(_TIMELY * late, _PEAK_NS)
    every = max(1, -(-span // max(1, int(np.median(np.diff(at))))))
    every = min(every, at.size - 1)
    joules = (counted_uj[every:] - counted_uj[:-every]) * 1e-6
    seconds = (at[every:] - at[:-every]) * 1e-9
    unknown = np.concatenate(([0], np.cumsum(lost)))
    sound = unknown[every:] == unknown[:-every]
    return float((joules / seconds)[sound].max()) if np.any(sound) else float(joules.sum() / seconds.sum())


def _near(watts: Floats) -> tuple[Floats, Floats]:
    return watts[:_BESIDE], watts[-_BESIDE:]


def _stalled(at: Integers, end_ns: int, period: int | None) -> bool:
    return end_ns - int(at[-1]) > max(_STALLED_PERIODS * (period or 0), _STALLED_NS)


def _gave_values(track: Track, at: Integers, end_ns: int) -> bool:
    """Return whether readings came while the counter stood still: without them it is a gap, which costs a counter nothing."""
    edges = np.append(at, end_ns)
    widest = int(np.argmax(np.diff(edges)))
    between = (track.times_ns > edges[widest]) & (track.times_ns < edges[widest + 1]) & track.valid
    return int(np.count_nonzero(between)) > _STALLED_PERIODS // 2
