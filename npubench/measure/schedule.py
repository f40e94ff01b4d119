"""Regenerate the arrival times that LoadGen's server scenario schedules, from the seed alone.

It issues nothing and reads no log: what really happened stands in the trace, this is what it is held against.
Needs numpy alone, since the worker uses it too.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: Intervals drawn at once: bounds memory at about 30 MiB, large enough that the loop costs nothing.
_BLOCK = 1 << 20

#: How near to a whole nanosecond, relative to the interval, the last bits of a logarithm can decide its truncation.
#: Two libraries' logarithms and the two roundings after them differ by a few times 2⁻⁵³ = 1.1e-16 relative.
_DOUBTFUL = 1e-14


def server_schedule(seed: int, rate_qps: float, duration_ns: int, min_queries: int) -> NDArray[np.int64]:
    """Return when each query of a server run is scheduled, counted from the start of the run.

    The same values as LoadGen's ``GenerateQueries`` (``loadgen.cc``) with libstdc++: the first query is due at 0,
    each next one an exponential interval later, cut to whole nanoseconds. Generation ends once a query is due at or
    after ``duration_ns`` (that query is still issued) and there are ``min_queries``.

    Args:
        seed: LoadGen's ``schedule_rng_seed``. ``std::mt19937`` uses its lowest 32 bits.
        rate_qps: LoadGen's ``server_target_qps``: mean arrivals, 1/s.
        duration_ns: LoadGen's ``min_duration_ms``, in ns.
        min_queries: LoadGen's ``min_query_count``.

    Returns:
        int64, ns, ascending, one entry a query.

    Raises:
        ValueError: A rate that is not finite and above 0, or a negative duration or count.
    """
    if not (math.isfinite(rate_qps) and rate_qps > 0.0):
        raise ValueError(f"rate_qps must be finite and above 0, not {rate_qps!r}")
    if duration_ns < 0 or min_queries < 0:
        raise ValueError(f"duration_ns and min_queries must not be negative: {duration_ns}, {min_queries}")
    if duration_ns == 0 and min_queries == 0:
        return np.zeros(0, dtype=np.int64)
    # RandomState, not Generator: its stream is frozen by numpy's policy (NEP 19), and seeding it by one 32-bit
    # integer is the initialisation that std::mt19937 has.
    source = np.random.RandomState(seed & 0xFFFFFFFF)
    expected = rate_qps * duration_ns * 1e-9
    block = int(min(_BLOCK, max(expected + 5.0 * math.sqrt(expected), min_queries) + 16))
    blocks = [np.zeros(1, dtype=np.int64)]
    count, last = 1, 0
    while last < duration_ns or count < min_queries:
        deltas = last + np.cumsum(_intervals_ns(source, block, rate_qps))
        blocks.append(deltas)
        count, last = count + block, int(deltas[-1])
    deltas = np.concatenate(blocks)
    # The loop in LoadGen asks whether the query before was due at or after the end: one such query is kept.
    by_time = int(np.searchsorted(deltas, duration_ns, side="left")) + 1 if duration_ns else 0
    return deltas[: max(by_time, min_queries)]


def _intervals_ns(source: np.random.RandomState, count: int, rate_qps: float) -> NDArray[np.int64]:
    """Draw ``count`` intervals of ``std::exponential_distribution<double>(rate_qps)``, cut to whole ns.

    Source: libstdc++ ``bits/random.tcc``. ``generate_canonical<double, 53>`` takes two 32-bit draws, the low word
    first; the distribution is −log(1 − u) ÷ rate; LoadGen's ``duration_cast`` truncates.
    """
    words = source.randint(0, 1 << 32, size=(count, 2), dtype=np.uint32)
    # Summed as doubles in that order, so that the one rounding falls where libstdc++'s falls; the division is exact.
    uniform = (words[:, 0] + words[:, 1] * 2.0**32) * 2.0**-64
    np.minimum(uniform, np.nextafter(1.0, 0.0), out=uniform)
    exact = -np.log(1.0 - uniform) / rate_qps * 1e9
    intervals = exact.astype(np.int64)
    # numpy's vector logarithm may differ from libm's in the last bit. Where that could move an interval by 1 ns,
    # libm decides.
    for index in np.flatnonzero(np.abs(exact - np.rint(exact)) < exact * _DOUBTFUL):
        intervals[index] = int(-math.log(1.0 - float(uniform[index])) / rate_qps * 1e9)
    return intervals
