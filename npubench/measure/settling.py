"""Say whether warm-up is over: whether the level of the last two windows is the same, as far as they can tell.

The rule is fixed: neither a suite nor a plug-in can loosen it. It asks of a change what the rule on drift within the measured
window asks, that it is both certain and large enough to matter, so that a run that passes it begins where it goes on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from npubench.contract.runspec import Scenario
from npubench.measure.trace import Column, Trace

#: A change below this is not material; the same 2 % as ``npubench.analyze.intervals.MATERIAL``, which the base level lacks.
MATERIAL = 0.02

#: A window is cut into this many stretches, whose medians tell of its scatter.
STRETCHES = 10

#: Student's quantile at 99.5 %, so that an interval holds with 99 %, for 1 to 9 degrees of freedom (scipy's ``stdtrit``).
_STUDENT = (63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250)


@dataclass(frozen=True, slots=True)
class Settled:
    """What two windows say of each other.

    Args:
        change: Level of the second ÷ level of the first, minus 1.
        held: Whether it is less than is material, or no more than chance.
    """

    change: float
    held: bool


def compare_levels(before: Column, after: Column) -> Settled | None:
    """Compare two windows by the medians of their stretches, with Welch's interval on the difference of the means of these.

    Args:
        before: ``int64[n]``, ns, in order of time, above 0: latencies, or times in the executor.
        after: The same of the next window.

    Returns:
        What they say; None where one of them has fewer than two values, and nothing is known of its scatter.
    """
    if min(before.size, after.size) < 2:
        return None
    first, second = _stretches(before), _stretches(after)
    change = float(np.mean(second) / np.mean(first)) - 1.0
    # The smaller one's freedom: Welch's own is never less.
    student = _STUDENT[min(first.size, second.size) - 2]
    scatter = math.sqrt(float(first.var(ddof=1)) / first.size + float(second.var(ddof=1)) / second.size)
    certain = abs(change) > student * scatter / float(np.mean(first))
    return Settled(change, not certain or abs(change) < MATERIAL)


def levels(trace: Trace, scenario: Scenario) -> Column:
    """Return what a window's level is seen by, in order of time: ``int64[queries]``, or of batches, ns.

    Latency where one query follows the other. In the server scenario latency follows the arrivals, and offline has one query:
    there it is the time of each batch in the executor, less the last, which may be smaller.
    """
    if scenario in (Scenario.SERVER, Scenario.OFFLINE):
        spans = np.stack([trace.started_ns, trace.done_ns], axis=1)
        first = np.flatnonzero(np.any(np.diff(spans, axis=0, prepend=spans[:1] - 1), axis=1))[: -1 if len(spans) > 1 else None]
        values = (trace.done_ns - trace.started_ns)[first]
    else:
        values = trace.query_latencies_ns()
    return np.asarray(np.maximum(values, 1), dtype=np.int64)


def _stretches(values: Column) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.median(part) for part in np.array_split(values, min(STRETCHES, values.size))])
