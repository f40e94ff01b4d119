"""Whether a run held still: warm-up, change-points, modes, outliers. Pure functions of a trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.changes import Change, find_changes
from npubench.analyze.estimate import RECORD_CONFIG
from npubench.analyze.intervals import MATERIAL, block_medians, split_windows
from npubench.analyze.shape import count_modes, outlier_share
from npubench.contract.runspec import Scenario
from npubench.measure.trace import Trace

#: Into how many stretches a run is cut to look for a change of level. Four times as many as windows for an interval: the test
#: allows for what neighbours have in common, a spell of a fifth of the run takes that many to be certain of by ranks, and a
#: change's place is then known to a hundredth of the run.
STRETCHES = 120


@dataclass(frozen=True, slots=True)
class Stability:
    """How still a run held; null where the run is too short to say."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    warm_up_windows: int | None
    """How many warm-up windows were run before the rule held, or before the limit."""
    warmed_up: bool | None
    """Whether the rule held: the last two warm-up windows differ by less than is material, or by no more than chance."""
    change_points: tuple[float, ...] = ()
    """Where the level of latency (of rate, in offline) changed: seconds since the window's start."""
    modes: int | None = None
    """How many humps the distribution of latency has."""
    outlier_share: float | None = None
    """The part of queries that took far longer than the rest."""
    warm_up_change: float | None = None
    """By how much the last warm-up window's level differed from the one before, as a ratio minus 1."""
    changes: tuple[float, ...] = ()
    """How large each change of level was: the level after ÷ before, minus 1; in the order of change_points."""
    queries: int | None = None
    """How many queries modes and outliers were looked for in."""


def find_stability(trace: Trace, scenario: Scenario, warm_up: Mapping[str, Any]) -> Stability:
    """Say how still a run held.

    Args:
        trace: Of the measured window.
        scenario: Of the run. In server latency follows the arrivals, so that time in the executor is looked at; where requests
            are batched there, that follows the arrivals as well, and has no shape of its own. Offline has no latencies.
        warm_up: What the worker wrote down of the warm-up: ``windows``, ``held`` and ``change``; may be empty.
    """
    series, times_ns = _levels(trace, scenario)
    changes: tuple[Change, ...] = find_changes(series, effect=MATERIAL) if series.size else ()
    batched = scenario is Scenario.OFFLINE or (scenario is Scenario.SERVER and int(trace.details.get("batch", 1)) > 1)
    latencies = None if batched else _latencies(trace, scenario)
    share = None if latencies is None else outlier_share(latencies)
    return Stability(
        warm_up_windows=warm_up.get("windows"),
        warmed_up=warm_up.get("held"),
        change_points=tuple(round((int(times_ns[change.index]) - trace.start_ns) / 1e9, 6) for change in changes),
        modes=None if latencies is None else count_modes(latencies),
        outlier_share=share,
        warm_up_change=warm_up.get("change"),
        changes=tuple(change.change for change in changes),
        queries=None if latencies is None else len(latencies),
    )


def _levels(trace: Trace, scenario: Scenario) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the level in each stretch of a run, in order, and when each stretch begins, ns."""
    if scenario is Scenario.OFFLINE:
        ones = np.ones(trace.samples, np.int64)
        windows = split_windows(trace.done_ns, ones, trace.start_ns, trace.end_ns, limit=STRETCHES)
        if windows is None:
            return np.zeros(0), np.zeros(0, np.int64)
        starts = trace.start_ns + np.arange(windows.samples.size) * windows.width_ns
        return windows.rates[1:-1], np.asarray(starts[1:-1], dtype=np.int64)
    values = _latencies(trace, scenario)
    medians = block_medians(values, STRETCHES)
    if not medians.size:
        return medians, np.zeros(0, np.int64)
    due = trace.scheduled_ns
    if len(values) != trace.samples:
        due = due[np.flatnonzero(np.diff(trace.query, prepend=-1))]
    return medians, np.array([block[0] for block in np.array_split(due, medians.size)], dtype=np.int64)


def _latencies(trace: Trace, scenario: Scenario) -> NDArray[np.int64]:
    """Return what a run's level is seen by, ns: latency, or in the server scenario the time in the executor."""
    values = trace.done_ns - trace.started_ns if scenario is Scenario.SERVER else trace.query_latencies_ns()
    return np.asarray(np.maximum(values, 1), dtype=np.int64)
