"""Measure two loads in turn, in short windows of one process, so that whatever else the machine does befalls both alike."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from npubench.measure.process import quiet_interpreter
from npubench.measure.trace import Trace

#: Pairs of windows: enough for an interval of their ratio, and no more than a long audit needs.
FEWEST_PAIRS, MOST_PAIRS = 10, 30


def in_pairs(first: Callable[[int], Trace], second: Callable[[int], Trace], budget_ns: int) -> list[list[float]]:
    """Run pairs of windows, first-second then second-first and so on, until both together took twice the budget.

    Args:
        first: Runs the n-th window of one load.
        second: The same of the other.
        budget_ns: How long each load is measured at least.

    Returns:
        A pair each: the median time a request spent in the executor, ns, in the first load's window and in the second's.
    """
    pairs: list[list[float]] = []
    with quiet_interpreter():
        until = time.monotonic_ns() + 2 * budget_ns
        while len(pairs) < FEWEST_PAIRS or (len(pairs) < MOST_PAIRS and time.monotonic_ns() < until):
            n = len(pairs)
            if n % 2:
                later = service_ns(second(n))
                pairs.append([service_ns(first(n)), later])
            else:
                pairs.append([service_ns(first(n)), service_ns(second(n))])
    return pairs


def service_ns(trace: Trace) -> float:
    """Return the median time in the executor over a window's samples, ns: what waiting in the harness adds is not in it."""
    return float(np.median(trace.done_ns - trace.started_ns))


def seen_rate(trace: Trace) -> float:
    """Return the rate of a window, samples/s."""
    return trace.samples / max(1, trace.window_ns) * 1e9
