"""Lay a run out over time for a plot: power and latency in equal steps, the phases, and where the device was held back.

Thins columns out and judges nothing; energy and findings are in the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.courses import read_courses
from npubench.analyze.energy import Track
from npubench.analyze.readings import EVIDENCE, read_tracks
from npubench.contract.runspec import Phase
from npubench.measure.sampler import METERS, READINGS
from npubench.measure.trace import Trace, read_trace
from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.page import Band, PowerCourse, Series

#: Into how many steps the time from the first phase to the end of the window is divided.
STEPS = 240

#: Phases that are shown: those from the sampler's start on in which the device works or rests.
SHOWN = (Phase.ACCURACY, Phase.WARM_UP, Phase.SEARCH, Phase.RANGING, Phase.BASELINE, Phase.MEASURE)

#: A clock this far below the window's highest counts as held back; power management moves it by less.
CLOCK_DROP = 0.9

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def power_course(entry: Entry, subject: str) -> PowerCourse | None:
    """Return a run's power and latency over time; ``None`` where no power was read or its files are not whole.

    Args:
        entry: The run with its folder.
        subject: The key it has on the page.
    """
    record = entry.record
    if record.status not in ("ok", "invalid"):
        return None
    paths = [entry.folder / READINGS, entry.folder / METERS]
    tracks = _best([found for path in paths for found in read_tracks(path)])
    if not tracks:
        return None
    try:
        trace = read_trace(entry.folder / "trace.npz")
    except (OSError, ValueError):
        return None
    phases = _phases(record, trace)
    first = min((start for _, start, _ in phases), default=trace.start_ns)
    edges = np.linspace(first, trace.end_ns, STEPS + 1)
    kind, evidence, domain = tracks[0][1], tracks[0][2], tracks[0][3].domain
    shown = [_power(kind_of, track, edges) for _, kind_of, _, track in tracks]
    values = np.sum([each[0] for each in shown], axis=0)
    if not np.any(np.isfinite(values)):
        return None
    # What several sensors had at their highest was not at one moment.
    low, high = shown[0][1:] if len(shown) == 1 and kind == "power" else (np.zeros(0), np.zeros(0))
    step = float(edges[1] - edges[0]) * 1e-9

    def seconds(at: float) -> float:
        return (at - trace.start_ns) * 1e-9

    start = seconds(first)
    return PowerCourse(
        scenario=record.spec.load.scenario.value,
        workload=record.spec.workload,
        title=record.bundle.title,
        subject=subject,
        run_id=record.run_id,
        domain=domain,
        evidence=evidence,
        power=Series("power", "W", start, step, _known(values), _known(low), _known(high)),
        latency=_latency(trace, edges, start, step),
        phases=tuple(Band(name, seconds(begin), seconds(end)) for name, begin, end in phases),
        throttled=tuple(Band(name, seconds(begin), seconds(end)) for name, begin, end in _throttled(entry, trace)),
    )


def _best(found: Sequence[tuple[str, str, str, Track]]) -> list[tuple[str, str, str, Track]]:
    """Return the sensors of the best evidence and its first domain, each once, and of one kind."""
    if not found:
        return []
    best = min(found, key=lambda each: (EVIDENCE.index(each[2]), each[3].domain))
    same = [each for each in found if each[1:3] == best[1:3] and each[3].domain == best[3].domain]
    return list({each[0]: each for each in reversed(same)}.values())[::-1]


def _phases(record: Record, trace: Trace) -> list[tuple[str, int, int]]:
    wanted = {phase.value for phase in SHOWN}
    found = [(p.phase, p.start_ns, min(p.end_ns, trace.end_ns)) for p in record.phases if p.phase in wanted]
    return [(name, start, end) for name, start, end in found if start < end]


def _power(kind: str, track: Track, edges: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean, least and highest power in each step, W; NaN where the sensor gave no value."""
    times, values = track.times_ns[track.valid], track.values[track.valid].astype(np.float64)
    step = np.digitize(times, edges) - 1
    if kind == "power":
        return _binned(step, values * 1e-3, np.mean)
    rises = np.diff(values)
    if track.wraps_at is not None:
        rises = np.where(rises < 0, rises + track.wraps_at, rises)
    counted = np.concatenate(([0.0], np.cumsum(np.maximum(rises, 0.0))))
    # Between two moves the counter stands; only where it moves does it say what was drawn until then.
    moved = np.concatenate(([True], rises != 0)) if values.size else np.zeros(0, np.bool_)
    if np.count_nonzero(moved) < 2:
        return (np.full(STEPS, np.nan),) * 3
    at = np.interp(edges, times[moved], counted[moved], left=np.nan, right=np.nan)
    watts = np.diff(at) * 1e-6 / (np.diff(edges) * 1e-9)
    # A counter that was not read for several steps says the mean over them, which is not what happened in each.
    watts[~np.isin(np.arange(STEPS), step) & (np.diff(edges) > 3 * float(np.median(np.diff(times))))] = np.nan
    return watts, watts, watts


def _binned(step: Integers, values: Floats, middle: Any) -> tuple[Floats, Floats, Floats]:
    """Return ``middle``, least and most of the values in each step; NaN where there is none."""
    made = np.full((3, STEPS), np.nan)
    inside = (step >= 0) & (step < STEPS)
    order = np.argsort(step[inside], kind="stable")
    where, sorted_values = step[inside][order], values[inside][order]
    if where.size:
        starts = np.flatnonzero(np.diff(where, prepend=-1))
        for n, part in zip(where[starts], np.split(sorted_values, starts[1:]), strict=True):
            made[:, n] = middle(part), part.min(), part.max()
    return made[0], made[1], made[2]


def _latency(trace: Trace, edges: Floats, start: float, step: float) -> Series | None:
    """Return the latency of what was completed in each step; the time in the executor where there is one query only."""
    if not trace.samples:
        return None
    if trace.queries > 1:
        first = np.flatnonzero(np.diff(trace.query, prepend=-1))
        done, took, name = np.maximum.reduceat(trace.done_ns, first), trace.query_latencies_ns(), "latency"
    else:
        done, took, name = trace.done_ns, trace.done_ns - trace.started_ns, "service-time"
    places = np.minimum(np.digitize(done, edges) - 1, STEPS - 1)
    middle, low, high = _binned(places, took.astype(np.float64), np.median)
    return Series(name, "ns", start, step, _known(middle), _known(low), _known(high))


def _throttled(entry: Entry, trace: Trace) -> list[tuple[str, int, int]]:
    """Return where a throttle flag was set or a clock was well below its highest in the window."""
    found: list[tuple[str, int, int]] = []
    for course in read_courses([entry.folder / READINGS, entry.folder / METERS], ("throttle", "clock")):
        chosen = (course.times_ns >= trace.start_ns) & (course.times_ns <= trace.end_ns)
        times, values = course.times_ns[chosen], course.values[chosen]
        if times.size < 2:
            continue
        held = values > 0 if course.kind == "throttle" else values < CLOCK_DROP * values.max()
        turns = np.flatnonzero(np.diff(np.concatenate(([False], held, [False])).astype(np.int8)))
        for begin, end in zip(turns[::2], turns[1::2], strict=True):
            found.append((course.kind, int(times[begin]), int(times[min(int(end), times.size - 1)])))
    return found


def _known(values: Floats) -> tuple[float | None, ...]:
    return tuple(float(value) if np.isfinite(value) else None for value in values)


def power_courses(
    groups: Mapping[str, Mapping[tuple[str, str], Sequence[Entry]]], most: int | None = None
) -> tuple[PowerCourse, ...]:
    """Return the course of one run of every cell that has one: the first of its repeats.

    Args:
        groups: Subject key → (workload, scenario) → the entries of its repeats.
        most: Up to so many of one place, where no more are shown: each has files of its own to be read; all for ``None``.
    """
    places = dict.fromkeys(place for group in groups.values() for place in group)
    found: list[PowerCourse] = []
    for place in sorted(places, key=lambda place: (place[1], place[0])):
        made = (power_course(group[place][0], key) for key, group in groups.items() if place in group)
        found += islice((course for course in made if course is not None), most)
    return tuple(found)
