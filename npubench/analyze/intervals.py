"""Put intervals on throughput and on ratios, and say whether two stretches of measurement differ.

Pure functions of arrays; they know nothing of runs, and what a difference means is decided elsewhere.

Consecutive queries are alike: what disturbs one disturbs its neighbours. Nothing here therefore treats single queries as
independent; windows and blocks take their place (batch means, block bootstrap), and what these still have in common with
their neighbours widens the interval (:func:`npubench.analyze.dependence.dependence`). ``docs/statistics.md`` has how often
each interval holds the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.block_bootstrap import MIN_BLOCK_LENGTH, MIN_BLOCKS, Blocks, cut
from npubench.analyze.changes import scatter_dependence
from npubench.analyze.dependence import dependence
from npubench.analyze.estimate import Estimate, absent

#: Between how many windows a run is split: fewer leave the spread unknown, more make neighbours dependent. (Schmeiser
#: 1982, "Batch size effects in the analysis of simulation output", Operations Research 30(3): 10 to 30 batches.)
MIN_WINDOWS, MAX_WINDOWS = 10, 30

#: A window's edge cuts a batch somewhere, which moves its count by up to one completion; with 20 a window that is 5 %
#: of one window, and below 1 % of their mean.
MIN_COMPLETIONS = 20

#: Up to so many values in one of two groups, none of them twice, the rank test is exact.
_EXACT = 8

#: Confidence of intervals, unless a caller says otherwise.
CONFIDENCE = 0.95

#: Where repeats are added until their interval is narrow, the one that stopped it is more often than not too narrow by chance.
#: With this part of the error alone, Student's interval still covers at its stated level (``docs/statistics.md``).
_STOPPED = 0.4

#: MLPerf's submission rules may waive differences below 2 %: the field's working line for "materially different".
MATERIAL = 0.02


@dataclass(frozen=True, slots=True)
class Windows:
    """A run's measured window split into equal times.

    Args:
        width_ns: The length of each.
        samples: float64 ``[windows]``: samples completed in each.
    """

    width_ns: float
    samples: NDArray[np.float64]

    @property
    def rates(self) -> NDArray[np.float64]:
        """Throughput in each, samples/s."""
        return self.samples / (self.width_ns * 1e-9)


@dataclass(frozen=True, slots=True)
class RankTest:
    """What a rank test says of two groups.

    Args:
        p: Two-sided p-value: how probable so large a difference is where there is none.
        superiority: How probable it is that a value of the second group is above one of the first; 0.5 = alike.
    """

    p: float
    superiority: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How a quantity changed from the first third of a run to its last.

    Args:
        change: Median of the last third ÷ median of the first, minus 1.
        trend: Theil–Sen slope over the whole run, as change from its start to its end ÷ its median.
        p: Of the rank test between the two thirds, with their neighbours' likeness allowed for.
        drifts: Whether the change is both certain (p below the stated alpha) and large enough to matter.
    """

    change: float
    trend: float
    p: float
    drifts: bool


def split_windows(
    completions_ns: NDArray[np.int64], samples: NDArray[np.int64], start_ns: int, end_ns: int, *, limit: int = MAX_WINDOWS
) -> Windows | None:
    """Split a measured window into equal times and count the samples completed in each.

    A batch's samples count where the batch completes. What completes outside the window is left out.

    Args:
        completions_ns: int64 ``[batches]``: when each completed, in any order.
        samples: int64 ``[batches]``: how many samples each holds.
        start_ns: Start of the window.
        end_ns: End of the window.
        limit: The most windows.

    Returns:
        Between :data:`MIN_WINDOWS` and ``limit`` windows that hold :data:`MIN_COMPLETIONS` completions on average, or
        None where the run is too short for that.
    """
    if end_ns <= start_ns:
        return None
    inside = (completions_ns >= start_ns) & (completions_ns <= end_ns)
    times, weights = completions_ns[inside], samples[inside]
    # Samples of one batch may be listed one by one: what completes at one instant is one completion.
    distinct = int(np.count_nonzero(np.diff(np.sort(times)))) + 1
    count = min(limit, distinct // MIN_COMPLETIONS)
    if count < MIN_WINDOWS:
        return None
    index = np.minimum((times - start_ns) * count // (end_ns - start_ns), count - 1)
    counts = np.asarray(np.bincount(index, weights=weights, minlength=count), dtype=np.float64)
    return Windows((end_ns - start_ns) / count, counts)


def throughput(
    completions_ns: NDArray[np.int64],
    samples: NDArray[np.int64],
    start_ns: int,
    end_ns: int,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return completed samples over the window, with an interval from windows within it.

    The interval is ± t · s ÷ √m around the value, with s the standard deviation of the k inner windows, m = k ÷ f the number
    of independent windows they are worth (f is their :func:`~npubench.analyze.dependence.dependence`) and t Student's quantile
    for m − 1 degrees of freedom (batch means; Law, *Simulation Modeling and Analysis*, 5th ed., section 9.5.3). The first and
    the last window give no spread: the device fills in one and runs dry in the other. They do count in the value.

    Args:
        completions_ns: int64 ``[batches]``: when each completed.
        samples: int64 ``[batches]``: how many samples each holds.
        start_ns: Start of the window, when the first query was issued or scheduled.
        end_ns: End of the window.
        confidence: Of the interval.

    Returns:
        Samples/s, with ``n`` the number of inner windows. Without an interval, and with the reason, where the run is too
        short for windows; absent where nothing completed.
    """
    inside = (completions_ns >= start_ns) & (completions_ns <= end_ns)
    done = int(samples[inside].sum())
    if end_ns <= start_ns or not done:
        return absent("samples/s", "nothing completed in the window", 0)
    value = done / ((end_ns - start_ns) * 1e-9)
    windows = split_windows(completions_ns, samples, start_ns, end_ns)
    if windows is None:
        reason = f"no interval: needs {MIN_WINDOWS * MIN_COMPLETIONS} completions in the window, there are too few"
        return Estimate(value=value, unit="samples/s", reason=reason)
    inner = windows.rates[1:-1]
    half = _half_width(inner, confidence, dependence(inner))
    low = max(value - half, 0.0)
    return Estimate(value=value, unit="samples/s", low=low, high=value + half, confidence=confidence, n=int(inner.size))


def over_repeats(values: Sequence[float], unit: str, confidence: float = CONFIDENCE, *, stopped: bool = False) -> Estimate:
    """Return the mean over repeats with Student's interval: one value a process, so they are independent.

    Args:
        values: One estimate a repeat.
        unit: Of the values.
        confidence: Of the interval.
        stopped: Whether how many there are was decided by how narrow their interval is; it is then wider, so that it holds
            the truth as often as it says all the same.

    Returns:
        The mean, ± t · s ÷ √n with n − 1 degrees of freedom; the single value without an interval, and with the reason,
        where there is one repeat; absent where there is none.
    """
    n = len(values)
    if not n:
        return absent(unit, "no repeat has a value", 0)
    observed = np.asarray(values, dtype=np.float64)
    if n == 1:
        return Estimate(value=float(observed[0]), unit=unit, n=1, reason="no interval: needs 2 repeats, there is 1")
    mean, half = float(observed.mean()), _half_width(observed, level(confidence, stopped))
    return Estimate(value=mean, unit=unit, low=mean - half, high=mean + half, confidence=confidence, n=n)


def level(confidence: float, stopped: bool) -> float:
    """Return the level to take Student's quantile at, so that an interval over repeats covers with ``confidence``.

    Args:
        confidence: What the interval is stated to cover with.
        stopped: Whether repeats were added until it was narrow. (Chow and Robbins 1965, Annals of Mathematical Statistics
            36(2), show that the plain one covers then only as the width goes to 0.)
    """
    return 1.0 - (1.0 - confidence) * (_STOPPED if stopped else 1.0)


def ratio_of_percentiles(
    numerator: NDArray[np.int64],
    denominator: NDArray[np.int64],
    percentile: float = 0.5,
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    resamples: int = 2000,
) -> Estimate:
    """Return the ratio of two series' percentiles with a block-bootstrap interval.

    Each series is cut into blocks of consecutive values, blocks are drawn with replacement, and the interval is spanned
    by percentiles of the resampled ratios. (Carlstein 1986, Annals of Statistics 14(3), for blocks; Efron and Tibshirani
    1993, *An Introduction to the Bootstrap*, chapter 13, for the percentile interval.) It is then widened about the ratio, on
    the logarithms, by t ÷ z · √(b ÷ (b − 1)) for b blocks, as Student's interval is wider than the normal one, and by √f for
    what neighbouring blocks have in common: f is the :func:`~npubench.analyze.dependence.dependence` of the blocks' own
    percentiles, in the series where it is larger.

    Args:
        numerator: ``[values]``, in order of time, above 0.
        denominator: The same for the other series.
        percentile: Between 0 and 1; by nearest rank.
        confidence: Of the interval.
        seed: The same seed gives the same interval.
        resamples: How often blocks are drawn.

    Returns:
        A ratio, with ``n`` the number of values in the shorter series; without an interval, and with the reason, where
        that is too short; absent where a series is empty or its percentile is 0.

    Raises:
        ValueError: A percentile or confidence that is not between 0 and 1.
    """
    for name, value in (("percentile", percentile), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must be between 0 and 1, not {value!r}")
    n = int(min(numerator.size, denominator.size))
    if not n:
        return absent("ratio", "one of the two has no values", 0)
    above, below = cut(numerator, percentile), cut(denominator, percentile)
    return ratio_of_blocks(above, below, confidence=confidence, seed=seed, resamples=resamples)


def ratio_of_blocks(
    numerator: Blocks, denominator: Blocks, *, confidence: float = CONFIDENCE, seed: int = 0, resamples: int = 2000
) -> Estimate:
    """Return what :func:`ratio_of_percentiles` does, of series that were cut before, by one percentile."""
    percentile = numerator.percentile
    n = min(numerator.n, denominator.n)
    if denominator.value <= 0.0:
        return absent("ratio", "the denominator is not above 0", n)
    value = numerator.value / denominator.value
    needed = max(MIN_BLOCKS * MIN_BLOCK_LENGTH, math.ceil(1.0 / min(percentile, 1.0 - percentile)) * MIN_BLOCKS)
    if n < needed:
        return Estimate(value=value, unit="ratio", n=n, reason=f"no interval: needs {needed} values, there are {n}")
    ratios = numerator.resampled_first(resamples, seed)
    ratios = ratios / denominator.resampled_second(resamples, seed, len(numerator.parts))
    low, high = np.quantile(ratios, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    wider = _widening(numerator.parts, denominator.parts, confidence)
    return Estimate(
        value=value,
        unit="ratio",
        low=value * (min(float(low), value) / value) ** wider,
        high=value * (max(float(high), value) / value) ** wider,
        confidence=confidence,
        n=n,
    )


def rank_test(first: NDArray[np.float64], second: NDArray[np.float64], alpha: float = 0.01) -> RankTest | None:
    """Test whether values of one group tend to be above those of the other (Mann and Whitney 1947, by scipy).

    Args:
        first: ``[values]``: window means or block medians, nearly independent.
        second: The same for the other group.
        alpha: The level the caller will hold the p-value against.

    Returns:
        The test, or None where there are so few values that even complete separation, of two-sided p-value
        2 ÷ C(n + m, n), could not go below ``alpha``.
    """
    n, m = int(first.size), int(second.size)
    if not n or not m or 2.0 / math.comb(n + m, n) >= alpha:
        return None
    both = np.concatenate((second, first))
    if np.unique(both).size < both.size or min(n, m) > _EXACT:
        return _asymptotic(both, m)
    from scipy.stats import mannwhitneyu  # a second to import, which a wrong key in a suite need not wait for

    test = mannwhitneyu(second, first, alternative="two-sided")
    return RankTest(p=float(test.pvalue), superiority=float(test.statistic) / (n * m))


def _asymptotic(both: NDArray[np.float64], m: int) -> RankTest:
    """Return the test by the normal approximation with ties and continuity allowed for, as scipy does, in a tenth of its time.

    Args:
        both: The ``m`` values of the second group, then those of the first.
        m: See there.
    """
    from scipy.special import ndtr

    size = both.size
    n = size - m
    _, place, times = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(times) - (times - 1) / 2.0)[place]
    above = float(ranks[:m].sum()) - m * (m + 1) / 2.0
    ties = float((times.astype(np.float64) ** 3 - times).sum())
    spread = math.sqrt(n * m / 12.0 * ((size + 1) - ties / (size * (size - 1))))
    distance = max(above, n * m - above) - n * m / 2.0 - 0.5
    p = 1.0 if spread == 0.0 else min(2.0 * float(ndtr(-distance / spread)), 1.0)
    return RankTest(p=p, superiority=above / (n * m))


def block_medians(values: NDArray[np.int64], blocks: int = MAX_WINDOWS) -> NDArray[np.float64]:
    """Return the medians of ``blocks`` equal stretches of a series in order of time; fewer where it is short."""
    count = min(blocks, values.size // MIN_BLOCK_LENGTH)
    if not count:
        return np.zeros(0)
    # As np.array_split cuts: the first few are longer by one. All of one length go through numpy at once.
    short, longer = divmod(values.size, count)
    edge = longer * (short + 1)
    stretches = (values[:edge].reshape(longer, short + 1), values[edge:].reshape(count - longer, short))
    return np.concatenate([np.median(each, axis=1) for each in stretches if each.size])


def drift(values: NDArray[np.float64], *, alpha: float = 0.01, effect: float = MATERIAL) -> Drift | None:
    """Say whether a quantity changed in the course of a run.

    Both are asked for, a rank test between the first and the last third and a change of at least ``effect``: over
    many queries a change of no consequence becomes certain, and over few a large one may be chance. What neighbours have in
    common beside the run's course makes the test less certain. The trend (Theil–Sen: the median slope over all pairs; Sen 1968,
    Journal of the American Statistical Association 63) stands beside for the report.

    Args:
        values: ``[windows]`` in order of time, such as window rates or block medians; above 0.
        alpha: Level of the rank test.
        effect: The smallest change that counts, as a ratio; 0.02 = 2 %.

    Returns:
        The drift, or None where there are too few windows to tell or the quantity is not above 0.
    """
    from scipy.stats import theilslopes

    third = int(values.size) // 3
    first, last = values[:third], values[values.size - third :]
    test = rank_test(first, last, alpha)
    if test is None or float(np.median(first)) <= 0.0 or float(np.median(values)) <= 0.0:
        return None
    change = float(np.median(last)) / float(np.median(first)) - 1.0
    slope = float(theilslopes(values).slope)
    trend = slope * (values.size - 1) / float(np.median(values))
    p = _allowing_for(scatter_dependence(values), test.p)
    return Drift(change=change, trend=trend, p=p, drifts=p < alpha and abs(change) >= effect)


def _allowing_for(dependent: float, p: float) -> float:
    """Return a rank test's p-value where neighbours are alike: its z, divided by √f (see ``dependence``)."""
    from scipy.special import ndtr, ndtri

    return p if dependent <= 1.0 else float(2.0 * ndtr(ndtri(p / 2.0) / math.sqrt(dependent)))


def _half_width(values: NDArray[np.float64], confidence: float, dependent: float = 1.0) -> float:
    """Return t · s ÷ √m for the mean of ``values``, which are worth m = n ÷ ``dependent`` independent ones."""
    from scipy.special import stdtrit

    worth = values.size / dependent
    freedom = max(worth - 1.0, 2.0) if dependent > 1.0 else worth - 1.0
    return float(stdtrit(freedom, (1.0 + confidence) / 2.0) * values.std(ddof=1) / math.sqrt(worth))


def _widening(first: NDArray[np.float64], second: NDArray[np.float64], confidence: float) -> float:
    """Return the power that both ends of a bootstrap interval are taken to; see :func:`ratio_of_percentiles`."""
    from scipy.special import ndtri, stdtrit

    dependent = max(dependence(part) for part in (first, second))
    count, at = min(first.size, second.size), (1.0 + confidence) / 2.0
    return float(stdtrit(count - 1, at) / ndtri(at) * math.sqrt(count / (count - 1) * dependent))
