"""Find the highest server rate that meets the latency bound: bracket, bisect, certify with a fresh seed.

Pure decisions over a function that probes a rate; starts nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

#: The bracket is narrow enough when its ends differ by this share.
RESOLUTION = 0.03
#: A bracket that is not found in this many probes says so instead of going on.
MOST_PROBES = 16
#: Below this share of the first guess nothing is searched: latency at such a rate is that of a query alone.
_HOPELESS = 0.1
#: How far a rate that failed certification steps back, a near miss and a far one, and how often it is tried.
STEP_BACK, LEAP_BACK = 0.95, 0.8
MOST_CERTIFICATIONS = 6


@dataclass(frozen=True, slots=True)
class Step:
    """One probe: the rate, what came of it, and whether it was a full-length certification."""

    target_qps: float
    queries: int
    percentile_ns: float | None
    met: bool
    certifying: bool


def find_rate(
    probe: Callable[[float, int], Step], guess_qps: float, enough: Callable[[], bool] = lambda: False
) -> tuple[float | None, list[Step]]:
    """Return the highest rate seen to meet the bound, and every step on the way.

    Args:
        probe: ``probe(rate, n)`` runs the n-th short window at ``rate`` under its own seed.
        guess_qps: Where to begin; the device's capacity times a share.
        enough: Says that the time for searching is spent; what is known by then has to do.

    Returns:
        The rate in queries/s, or ``None`` if no probed rate meets the bound.
    """
    steps: list[Step] = []
    good: float | None = None
    bad: float | None = None
    rate = guess_qps
    while len(steps) < MOST_PROBES and not (enough() and good is not None):
        step = probe(rate, len(steps))
        steps.append(step)
        if step.met:
            good = rate
        else:
            bad = rate
        if good is not None and bad is not None:
            if bad / good <= 1 + RESOLUTION:
                break
            rate = (good * bad) ** 0.5
        elif good is not None:
            rate = good * 1.3
        else:
            assert bad is not None
            if bad < guess_qps * _HOPELESS:
                break
            rate = bad * 0.7
    return good, steps


def step_back(over: int, n: int, percentile: float) -> float:
    """Return by what to multiply a rate that failed certification with ``over`` of ``n`` latencies above the bound."""
    return STEP_BACK if over <= 3 * n * (1.0 - percentile) else LEAP_BACK


def outstanding_queries(rate_qps: float, bound_ns: int) -> int:
    """Return how many queries may wait before a window has surely missed the bound and may end early.

    With more than the bound's worth of arrivals in the queue, every query that joins it comes too late (Little's law);
    four times that, and some for short bursts at low rates, leaves no doubt.
    """
    return int(rate_qps * bound_ns / 1e9 * 4) + 100


def percentile_ns(latencies_ns: np.ndarray[Any, np.dtype[np.int64]], percentile: float) -> float:
    """Return the empirical percentile by nearest rank, ns."""
    rank = min(len(latencies_ns) - 1, max(0, math.ceil(percentile * len(latencies_ns)) - 1))
    return float(np.partition(latencies_ns, rank)[rank])


def looks_good(over: int, n: int, percentile: float) -> bool:
    """Return whether a short window speaks for a rate: no larger a share over the bound than the percentile leaves.

    One query over it is forgiven in any window: short windows only choose a rate, the measured window certifies it.
    """
    return over <= max(1, int(n * (1.0 - percentile)))


def meets_bound(over: int, n: int, percentile: float, confidence: float = 0.99) -> bool:
    """Return whether ``over`` of ``n`` latencies above the bound certify the percentile.

    The criterion of LoadGen's early stopping (early_stopping.cc, d = 0): P[X ≤ over] ≤ 1 − confidence for
    X ~ Binomial(n, 1 − percentile). Summed in log space from the largest term, so that it neither under- nor overflows.
    """
    p = 1.0 - percentile
    if over >= n * p:
        return False
    log_p, log_q = math.log(p), math.log1p(-p)
    total, term = 0.0, 1.0
    for k in range(over, -1, -1):
        total += term
        # P[X = k−1] ÷ P[X = k]
        term *= k / (n - k + 1) * (1 - p) / p
        if term < 1e-18 * total:
            break
    log_top = math.lgamma(n + 1) - math.lgamma(over + 1) - math.lgamma(n - over + 1) + over * log_p + (n - over) * log_q
    return log_top + math.log(total) <= math.log(1 - confidence)
