"""Put an interval on the ratio of two loads that were measured in turn. A pure function of pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from npubench.analyze.estimate import Estimate, absent

#: Of the interval: a run has several such audits and a suite hundreds of runs, and none of them may be accused by noise.
CONFIDENCE = 0.999

#: How much faster is too fast (MLPerf's TEST04 and TEST05 allow 10 %).
MOST_FASTER = 0.10

#: An audit whose interval reaches this many times beyond what is allowed has seen nothing.
_HIDDEN = 1.8

#: A difference below this is none: the harness itself adds some µs to a request, and caches of a CPU make up for one or two.
FLOOR_NS = 5_000.0


def paired_ratio(pairs: Sequence[Sequence[float]]) -> Estimate:
    """Return how many times as large the first of two quantities is as the second, from pairs measured next to each other.

    The mean of the logarithms of the pairs' ratios, ± t · s ÷ √n with Student's quantile for n - 1 degrees of freedom, as a
    ratio: whatever slows both of a pair alike falls out of it.

    Args:
        pairs: ``[[first, second], …]``, above 0.

    Returns:
        A ratio with its interval; absent with fewer than two pairs or a value that is not above 0.
    """
    values = np.asarray(pairs, np.float64).reshape(-1, 2)
    n = len(values)
    if n < 2 or not np.all(np.isfinite(values)) or np.any(values <= 0.0):
        return absent("ratio", f"no ratio: {n} pairs of windows", n)
    from scipy.special import stdtrit

    logs = np.log(values[:, 0] / values[:, 1])
    mean = float(logs.mean())
    half = float(stdtrit(n - 1, (1.0 + CONFIDENCE) / 2.0) * logs.std(ddof=1) / math.sqrt(n))
    return Estimate(math.exp(mean), "ratio", math.exp(mean - half), math.exp(mean + half), CONFIDENCE, n)


def blind(ratio: Estimate, pairs: Sequence[Sequence[float]], allowed: float = MOST_FASTER) -> bool:
    """Return whether noise hides what is looked for: the interval does not even exclude a speed far above what is allowed."""
    slower = float(np.median([pair[0] for pair in pairs]))
    return ratio.high is None or (ratio.high >= _HIDDEN * (1.0 + allowed) and slower > FLOOR_NS)


def too_fast(ratio: Estimate, pairs: Sequence[Sequence[float]], allowed: float = MOST_FASTER) -> bool:
    """Return whether the second of each pair is faster than the first by more than is allowed, beyond the interval."""
    slower, faster = (float(np.median([pair[side] for pair in pairs])) for side in (0, 1))
    return ratio.low is not None and ratio.low > 1.0 + allowed and slower - faster > FLOOR_NS
