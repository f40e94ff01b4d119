"""Bound percentiles with 99 % confidence by order statistics: LoadGen's early stopping, and the same from below.

It assumes queries that are independent and alike, as LoadGen does, and does not test whether they are.

LoadGen (``early_stopping.cc``, tolerance 0) passes ``t`` over-latency queries out of ``n`` at percentile ``p`` if

    BinomialCDF(t; n, 1 − p) = I_p(n − t, t + 1) ≤ 1 − c,    c = 0.99

and takes the ``t``-th largest latency, for the largest such ``t``, as its estimate. Here the regularised incomplete beta
function I is scipy's, which works in log space at any ``t``; LoadGen's own series loses its precision beyond t of
about 1024 (mlcommons/inference#1083).

Why the estimate is an upper bound: it is below the true percentile only if fewer than ``t`` of ``n`` queries reach the
percentile, each of which does with a probability of at least 1 − p; ties only add to that. LoadGen's rule counts ``t``
where ``t − 1`` would do, so the confidence is a little above 99 %. (David and Nagaraja, *Order Statistics*, 3rd ed.,
section 7.1.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.estimate import Estimate, absent

#: LoadGen's confidence (``results.cc``, ``EarlyStopping``).
CONFIDENCE = 0.99

#: Takes back what rounding adds to a whole ``p · n``, such as 0.07 · 100 = 7.000000000000001.
_WHOLE = 1.0 - 1e-12


def overlatency_allowed(n: int, percentile: float, confidence: float = CONFIDENCE) -> int | None:
    """Return the largest number of over-latency queries with which a run of ``n`` queries still passes.

    Args:
        n: Queries of the run.
        percentile: Between 0 and 1, such as 0.99.
        confidence: Between 0 and 1.

    Returns:
        The largest t ≥ 0 with BinomialCDF(t; n, 1 − percentile) ≤ 1 − confidence, or None where not even 0 passes.

    Raises:
        ValueError: A percentile or confidence that is not between 0 and 1.
    """
    _check(percentile, confidence)
    return _largest_passing(n, percentile, confidence)


def queries_needed(percentile: float, overlatency: int = 1, confidence: float = CONFIDENCE) -> int:
    """Return how many queries a run needs to pass with ``overlatency`` of them over.

    With 1, the default, this is the floor for giving any estimate: 64 for p90, 662 for p99.

    Raises:
        ValueError: A percentile or confidence that is not between 0 and 1, or a negative count.
    """
    _check(percentile, confidence)
    if overlatency < 0:
        raise ValueError(f"overlatency must be 0 or more, not {overlatency}")
    enough = overlatency + 1
    while not _passes(overlatency, enough, percentile, confidence):
        enough *= 2
    short = overlatency
    while enough - short > 1:
        middle = (short + enough) // 2
        if _passes(overlatency, middle, percentile, confidence):
            enough = middle
        else:
            short = middle
    return enough


def certified_percentile(latencies_ns: NDArray[np.int64], percentile: float, confidence: float = CONFIDENCE) -> Estimate:
    """Return one percentile of latencies with its certified bounds; see :func:`certified_percentiles`."""
    return certified_percentiles(latencies_ns, (percentile,), confidence)[0]


def certified_percentiles(
    latencies_ns: NDArray[np.int64], percentiles: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[Estimate, ...]:
    """Return percentiles of latencies with their certified bounds.

    The value is the empirical percentile by nearest rank: the ⌈p · n⌉-th smallest. (LoadGen's summary prints the
    ⌊p · n⌋ + 1-th: the next one where p · n is whole.) ``high`` is LoadGen's early-stopping estimate. ``low`` is the
    (j + 1)-th smallest for the largest j with BinomialCDF(j; n, p) ≤ 1 − confidence: it is above the true percentile
    only if at most j queries do not exceed that. Each bound holds with ``confidence`` on its own; both together with at
    least 2 · confidence − 1.

    Args:
        latencies_ns: int64 ``[queries]``, ns, in any order; not written to.
        percentiles: Each between 0 and 1, such as ``(0.5, 0.9, 0.99)``.
        confidence: Of each bound.

    Returns:
        One estimate a percentile, in ns; absent with a reason where the run is too short for it.

    Raises:
        ValueError: A percentile or confidence that is not between 0 and 1.
    """
    n = int(latencies_ns.size)
    planned = [_ranks(n, percentile, confidence) for percentile in percentiles]
    wanted = sorted({rank for ranks in planned if ranks is not None for rank in ranks if rank is not None})
    # A partition places all wanted order statistics in one pass, several times faster than a sort.
    placed = np.partition(latencies_ns, wanted) if wanted else latencies_ns
    estimates = []
    for percentile, ranks in zip(percentiles, planned, strict=True):
        if ranks is None:
            needed = queries_needed(percentile, confidence=confidence)
            estimates.append(absent("ns", f"{percentile_name(percentile)} needs {needed} queries, the run has {n}", n))
            continue
        value, low, high = ranks
        estimates.append(
            Estimate(
                value=float(placed[value]),
                unit="ns",
                low=None if low is None else float(placed[low]),
                high=float(placed[high]),
                confidence=confidence,
                n=n,
            )
        )
    return tuple(estimates)


def percentile_name(percentile: float) -> str:
    """Return a percentile's usual name, such as ``"p99.9"`` for 0.999."""
    return f"p{percentile * 100.0:.10g}"


def _ranks(n: int, percentile: float, confidence: float) -> tuple[int, int | None, int] | None:
    """Return the ranks, counted from 0, of value, low and high; None where the run is too short."""
    _check(percentile, confidence)
    over = _largest_passing(n, percentile, confidence)
    if not over:
        return None
    nearest = max(math.ceil(percentile * n * _WHOLE), 1) - 1
    return nearest, _largest_passing(n, 1.0 - percentile, confidence), n - over


def _passes(t: int, n: int, percentile: float, confidence: float) -> bool:
    """Return whether BinomialCDF(t; n, 1 − percentile) ≤ 1 − confidence, for 0 ≤ t < n."""
    from scipy.special import betainc

    return bool(betainc(n - t, t + 1, percentile) <= 1.0 - confidence)


def _largest_passing(n: int, percentile: float, confidence: float) -> int | None:
    """Return the largest passing t by bisection: the distribution function grows with t."""
    if n < 1 or not _passes(0, n, percentile, confidence):
        return None
    passing, failing = 0, n  # all n over never passes: the distribution function is 1 there
    while failing - passing > 1:
        middle = (passing + failing) // 2
        if _passes(middle, n, percentile, confidence):
            passing = middle
        else:
            failing = middle
    return passing


def _check(percentile: float, confidence: float) -> None:
    for name, value in (("percentile", percentile), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must be between 0 and 1, not {value!r}")
