"""Describe the shape of a run's latencies: how many modes they have, and what part of them is far out.

Both look at logarithms: latencies are positive, scatter in proportion, and are skewed to the right where nothing is wrong.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.dependence import autocorrelation

#: Fewer values than this show no shape: a mode of the smallest share would stand on a dozen.
FEWEST = 256
#: Nor do values that are worth fewer independent ones than this: a slow wander lingers here and there, and draws modes.
FEWEST_INDEPENDENT = 64

#: Two modes count as two if each holds at least this part of the values …
SMALLEST_MODE = 0.05
#: … if the density between them falls to this part of the lower one's peak or less (Akinshin 2020, "Lowland multimodality
#: detection", has the same 0.5) …
VALLEY = 0.5
#: … by more than this many standard deviations of both, so that a thin tail's clumps are none …
CERTAIN = 4.0
#: … if the lower peak is at least this part of the highest, so that a broad tail's are none …
LOWEST_PEAK = 0.05
#: … and if they are at least this far apart; nearer ones change no decision. It is twice what is material.
APART = 0.04

#: The density is smoothed by Silverman's rule (1986, *Density Estimation*, section 3.4.2), but by no less than this:
#: steps of a timer are no modes.
_SMOOTHEST = 0.005
#: Where in the values the density is drawn; beyond lies less than the smallest mode.
_ENDS = (0.005, 0.995)
_MOST_BINS = 4000

#: A value is far out if its logarithm is this many times as far above the median as the 90th percentile is. Of a lognormal law
#: that is no value at all (1 in 10^10), of an exponential one, or of a Pareto law, 1.6 in 10,000.
SPREADS = 5.0
#: And that distance is taken to be at least this: what is within 10 % of the median is not far out.
_NARROWEST = 0.02


def count_modes(values: NDArray[np.int64]) -> int | None:
    """Return how many modes a distribution has; None where there are too few values, or too few independent ones, to see one.

    The density of the logarithms is drawn with a Gaussian kernel; a peak counts if it holds at least
    :data:`SMALLEST_MODE` of the values between the valleys beside it, and if both valleys are deep and far enough.

    Args:
        values: ``[values]``, above 0, in order of time.
    """
    if values.size < FEWEST:
        return None
    logs = np.log(np.maximum(values, 1).astype(np.float64))
    rho = max(autocorrelation(logs), 0.0)
    if values.size * (1.0 - rho) < FEWEST_INDEPENDENT * (1.0 + rho):
        return None
    low, high = np.quantile(logs, _ENDS)
    quarter, three = np.quantile(logs, (0.25, 0.75))
    scatter = min(float(logs.std()), float(three - quarter) / 1.34) or float(logs.std())
    width = max(0.9 * scatter * values.size**-0.2, _SMOOTHEST)
    bins = math.ceil((float(high - low) + 8 * width) / (width / 4))
    if bins > _MOST_BINS:
        width *= bins / _MOST_BINS
        bins = _MOST_BINS
    counts, _ = np.histogram(logs, bins=bins, range=(float(low) - 4 * width, float(high) + 4 * width))
    kernel = np.exp(-0.5 * (np.arange(-16, 17) / 4.0) ** 2)
    density = np.convolve(counts, kernel / kernel.sum(), mode="same")
    return len(_modes(density, counts, APART / (width / 4)))


def _modes(density: NDArray[np.float64], counts: NDArray[np.int64], apart: float) -> list[int]:
    """Return the bins of the modes: peaks, less those that a valley is not deep enough beside, the lowest first."""
    peaks = [n for n in range(1, density.size - 1) if density[n] > density[n - 1] and density[n] >= density[n + 1]]
    held = np.concatenate(([0], np.cumsum(counts)))
    while len(peaks) > 1:
        valleys = [a + int(np.argmin(density[a : b + 1])) for a, b in pairwise(peaks)]
        edges = [0, *valleys, counts.size]
        share = [float(held[b] - held[a]) / float(held[-1]) for a, b in pairwise(edges)]
        poor = {n for n, part in enumerate(share) if part < SMALLEST_MODE}
        for n, valley in enumerate(valleys):
            lower = n if density[peaks[n]] <= density[peaks[n + 1]] else n + 1
            peak, floor = float(density[peaks[lower]]), float(density[valley])
            # A kernel sum of counts c has the variance Σ w² c, and Σ w² = 1 ÷ (2 √π · 4) for a deviation of four bins.
            deep = peak - floor > CERTAIN * math.sqrt((peak + floor) / (8.0 * math.sqrt(math.pi)))
            if floor > VALLEY * peak or not deep or peaks[n + 1] - peaks[n] < apart:
                poor.add(lower)
        poor |= {n for n, peak in enumerate(peaks) if density[peak] < LOWEST_PEAK * max(density[p] for p in peaks)}
        if not poor:
            break
        del peaks[min(poor, key=lambda n: float(density[peaks[n]]))]
    return peaks


def outlier_share(values: NDArray[np.int64]) -> float | None:
    """Return which part of the values is far out: median · (p90 ÷ median)^k and more, k = :data:`SPREADS`.

    The spread is taken on the side where the tail is, so that a fixed time with an exponential one on top has no outliers by
    its skewness alone. None where there are too few values to say.

    Args:
        values: ``[values]``, above 0, in any order.
    """
    if values.size < FEWEST:
        return None
    logs = np.log(np.maximum(values, 1).astype(np.float64))
    middle, upper = np.quantile(logs, (0.5, 0.9))
    limit = float(middle) + SPREADS * max(float(upper - middle), _NARROWEST)
    return float(np.count_nonzero(logs > limit)) / values.size
