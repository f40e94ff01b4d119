"""Intervals cover the truth as often as they say, and the functions obey the laws of what they compute."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from scipy.stats import t as student

from npubench.analyze import block_bootstrap
from npubench.analyze.intervals import (
    MAX_WINDOWS,
    MIN_COMPLETIONS,
    MIN_WINDOWS,
    block_medians,
    drift,
    over_repeats,
    rank_test,
    ratio_of_blocks,
    ratio_of_percentiles,
    split_windows,
    throughput,
)

#: A busy machine is no reason to fail.
UNHURRIED = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])

Array = np.ndarray


def stream(seed: int, count: int, mean_ns: float = 1e6) -> tuple[Array, Array, int]:
    """Return completions one gamma-distributed interval apart, one sample each, and the end of the last."""
    completions = np.cumsum(np.random.default_rng(seed).gamma(4.0, mean_ns / 4.0, count)).astype(np.int64)
    return completions, np.ones(count, dtype=np.int64), int(completions[-1])


def correlated(generator: np.random.Generator, count: int, reach: int) -> Array:
    """Return latencies of which neighbours within ``reach`` are alike: a moving average, put into an exponential."""
    noise = np.convolve(generator.standard_normal(count + reach - 1), np.ones(reach) / reach**0.5, "valid")
    return (1e6 * np.exp(0.1 * noise)).astype(np.int64)


# ---------------------------------------------------------------- throughput


def test_windows_hold_every_sample_once() -> None:
    completions, samples, end = stream(1, 5000)
    windows = split_windows(completions, samples * 8, 0, end)
    assert windows is not None
    assert windows.samples.size == MAX_WINDOWS
    assert windows.samples.sum() == 8 * 5000
    assert windows.rates.mean() == pytest.approx(8 * 5000 / (end * 1e-9))


def test_a_batch_counts_where_it_completes() -> None:
    times = np.arange(1, 401) * 1_000_000
    windows = split_windows(times, np.full(400, 32), 0, 400_000_000)
    assert windows is not None
    # Each of the 20 windows ends with a completion, which opens the next one; the last edge belongs to the last.
    assert windows.samples.tolist() == [19 * 32] + [20 * 32] * 18 + [21 * 32]


def test_what_completes_outside_the_window_is_left_out() -> None:
    completions, samples, _ = stream(2, 5000)
    inside = int(((completions >= 10**9) & (completions <= 3 * 10**9)).sum())
    windows = split_windows(completions, samples, 10**9, 3 * 10**9)
    assert windows is not None
    assert windows.samples.sum() == inside
    assert throughput(completions, samples, 10**9, 3 * 10**9).value == pytest.approx(inside / 2.0)


def test_too_few_completions_make_no_windows() -> None:
    least = MIN_WINDOWS * MIN_COMPLETIONS
    completions, samples, end = stream(3, least)
    assert split_windows(completions, samples, 0, end) is not None
    assert split_windows(completions[:-1], samples[:-1], 0, end) is None
    # 1000 samples in 50 batches, listed one by one, are 50 completions.
    assert split_windows(np.repeat(np.arange(1, 51) * 10**6, 20), np.ones(1000, dtype=np.int64), 0, 10**8) is None
    assert split_windows(completions, samples, end, end) is None


def test_without_windows_the_value_stands_without_an_interval() -> None:
    estimate = throughput(np.array([10**9]), np.array([50]), 0, 2 * 10**9)
    assert (estimate.value, estimate.low, estimate.high, estimate.confidence) == (25.0, None, None, None)
    assert estimate.reason is not None
    assert estimate.reason.startswith("no interval")


def test_nothing_completed_is_no_throughput() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    for estimate in (throughput(nothing, nothing, 0, 10**9), throughput(np.array([5]), np.array([1]), 0, 0)):
        assert estimate.value is None
        assert estimate.reason == "nothing completed in the window"


def test_filling_and_draining_widen_no_interval() -> None:
    """Completions are steady but for a lag of 20 ms at the start: the value feels it, the interval does not."""
    completions = np.arange(200, 10_001) * 100_000
    estimate = throughput(completions, np.ones(completions.size, dtype=np.int64), 0, 10**9)
    assert estimate.value == pytest.approx(9801.0)
    assert estimate.low is not None and estimate.high is not None
    assert estimate.high - estimate.low < 0.003 * 9801.0


def test_throughput_covers_the_truth() -> None:
    """400 seeded runs of 1000/s: a 95 % interval holds it in about 380 of them (standard deviation 4.4)."""
    covered = 0
    for seed in range(400):
        estimate = throughput(*stream_of_fixed_length(seed))
        assert estimate.low is not None and estimate.high is not None
        covered += estimate.low <= 1000.0 <= estimate.high
    assert 362 <= covered <= 398


def stream_of_fixed_length(seed: int) -> tuple[Array, Array, int, int]:
    completions, samples, _ = stream(seed, 4000)
    return completions, samples, 0, 3 * 10**9


@UNHURRIED
@given(seed=st.integers(0, 2**32), count=st.integers(200, 2000), scale=st.integers(1, 1000), batch=st.integers(1, 64))
def test_throughput_scales_and_ignores_order(seed: int, count: int, scale: int, batch: int) -> None:
    completions, samples, end = stream(seed, count)
    plain = throughput(completions, samples, 0, end)
    order = np.random.default_rng(seed).permutation(count)
    assert throughput(completions[order], samples[order], 0, end) == plain
    # Time stretched by `scale` and samples multiplied by `batch`.
    scaled = throughput(completions * scale, samples * batch, 0, end * scale)
    for name in ("value", "low", "high"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name) * batch / scale, rel=1e-9)


# ---------------------------------------------------------------- repeats


def test_repeats_have_students_interval() -> None:
    estimate = over_repeats([10.0, 11.0, 12.0], "samples/s")
    half = student.ppf(0.975, 2) * 1.0 / 3**0.5
    assert estimate.value == pytest.approx(11.0)
    assert estimate.low == pytest.approx(11.0 - half)
    assert estimate.high == pytest.approx(11.0 + half)
    assert (estimate.confidence, estimate.n, estimate.reason) == (0.95, 3, None)


def test_one_repeat_has_no_interval_and_none_no_value() -> None:
    one = over_repeats([10.0], "J")
    assert (one.value, one.low, one.reason) == (10.0, None, "no interval: needs 2 repeats, there is 1")
    assert over_repeats([], "J").value is None


# ---------------------------------------------------------------- ratios


def test_a_ratio_covers_the_truth() -> None:
    """100 seeded pairs of alike, autocorrelated series: about 95 intervals hold 1, some fewer as blocks are finite."""
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(100):
        pair = correlated(generator, 2000, 8), correlated(generator, 2000, 8)
        estimate = ratio_of_percentiles(*pair, resamples=300)
        assert estimate.low is not None and estimate.high is not None
        covered += estimate.low <= 1.0 <= estimate.high
    assert 86 <= covered <= 99


def test_neighbours_that_are_alike_widen_the_interval() -> None:
    generator = np.random.default_rng(6)
    alike, other = correlated(generator, 5000, 50), correlated(generator, 5000, 50)
    shuffled = generator.permutation(alike), generator.permutation(other)
    wide, narrow = ratio_of_percentiles(alike, other), ratio_of_percentiles(*shuffled)
    assert None not in (wide.low, wide.high, narrow.low, narrow.high)
    assert wide.high - wide.low > 2.0 * (narrow.high - narrow.low)  # type: ignore[operator]
    assert wide.value == narrow.value


def test_a_real_difference_is_seen() -> None:
    generator = np.random.default_rng(7)
    slow, fast = correlated(generator, 20_000, 8) * 11 // 10, correlated(generator, 20_000, 8)
    for percentile in (0.5, 0.9, 0.99):
        estimate = ratio_of_percentiles(slow, fast, percentile)
        assert estimate.low is not None and estimate.high is not None
        assert 1.05 < estimate.low < 1.1 < estimate.high < 1.15


def test_the_seed_fixes_the_interval() -> None:
    generator = np.random.default_rng(8)
    pair = correlated(generator, 1000, 4), correlated(generator, 1000, 4)
    assert ratio_of_percentiles(*pair, seed=1) == ratio_of_percentiles(*pair, seed=1)
    assert ratio_of_percentiles(*pair, seed=1) != ratio_of_percentiles(*pair, seed=2)


def test_short_or_empty_series_have_no_interval() -> None:
    short = np.arange(1, 200)
    assert ratio_of_percentiles(short, short).reason == "no interval: needs 200 values, there are 199"
    assert ratio_of_percentiles(short, short).value == 1.0
    assert ratio_of_percentiles(short, short, 0.99).reason == "no interval: needs 2000 values, there are 199"
    assert ratio_of_percentiles(short, short[:0]).value is None
    assert ratio_of_percentiles(short, np.zeros(200, dtype=np.int64)).value is None
    with pytest.raises(ValueError, match="percentile"):
        ratio_of_percentiles(short, short, 1.0)


@UNHURRIED
@given(seed=st.integers(0, 2**32), scale=st.integers(2, 100), percentile=st.sampled_from([0.5, 0.9]))
def test_a_ratio_scales_and_of_the_same_is_1(seed: int, scale: int, percentile: float) -> None:
    generator = np.random.default_rng(seed)
    one, two = correlated(generator, 400, 4), correlated(generator, 400, 4)
    plain = ratio_of_percentiles(one, two, percentile, resamples=100, seed=seed)
    scaled = ratio_of_percentiles(one * scale, two, percentile, resamples=100, seed=seed)
    for name in ("value", "low", "high"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name) * scale)
    same = ratio_of_percentiles(one, one, percentile, resamples=100)
    assert same.low is not None and same.high is not None
    assert same.low <= 1.0 <= same.high


@pytest.mark.parametrize("percentile", [0.5, 0.99])
def test_resampling_without_resamples_is_resampling(percentile: float) -> None:
    """The weights of blocks give what building each resample would give."""
    generator = np.random.default_rng(9)
    values = correlated(generator, 1000, 4)
    series = block_bootstrap.cut(values, percentile)
    blocks = np.array_split(values, block_bootstrap.MAX_BLOCKS)
    chosen = np.random.default_rng(10).integers(0, len(blocks), size=(50, len(blocks)))
    for got, row in zip(series.resampled_first(50, 10), chosen, strict=True):
        drawn = np.sort(np.concatenate([blocks[n] for n in row]))
        assert got == drawn[block_bootstrap.nearest_rank(drawn.size, percentile) - 1]


def test_a_series_cut_once_gives_what_it_gives_anew() -> None:
    """What is kept of a reference, and what is drawn, do not depend on whom it was compared with before."""
    generator = np.random.default_rng(3)
    reference, *others = (correlated(generator, size, 5) for size in (900, 700, 300, 700))
    kept = block_bootstrap.cut(reference, 0.9)
    for other in others:
        assert ratio_of_blocks(kept, block_bootstrap.cut(other, 0.9)) == ratio_of_percentiles(reference, other, 0.9)


# ---------------------------------------------------------------- rank test and drift


@given(
    st.lists(st.integers(0, 30), min_size=5, max_size=40),
    st.lists(st.integers(0, 30), min_size=5, max_size=40),
)
def test_the_rank_test_is_scipys(first: list[int], second: list[int]) -> None:
    """With ties and without, of groups on either side of where scipy takes another method."""
    ours = rank_test(np.array(first, np.float64), np.array(second, np.float64), alpha=1.0)
    theirs = mannwhitneyu(second, first, alternative="two-sided")
    assert ours is not None
    assert ours.superiority == pytest.approx(theirs.statistic / (len(first) * len(second)))
    if np.isfinite(theirs.pvalue):
        assert ours.p == pytest.approx(float(theirs.pvalue), rel=1e-9)
    assert 0.0 <= ours.p <= 1.0


def test_a_rank_test_that_cannot_reject_is_none() -> None:
    low, high = np.arange(4.0), np.arange(10.0, 14.0)
    # Complete separation of 4 and 4: p = 2 ÷ 70 = 0.029.
    assert rank_test(low, high, alpha=0.01) is None
    test = rank_test(low, high, alpha=0.05)
    assert test is not None
    assert test.p == pytest.approx(2 / 70)
    assert test.superiority == 1.0
    assert rank_test(low, np.zeros(0)) is None


@UNHURRIED
@given(seed=st.integers(0, 2**32), scale=st.floats(0.01, 100.0))
def test_a_rank_test_knows_only_ranks(seed: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    one, two = generator.normal(10.0, 1.0, 12), generator.normal(10.5, 1.0, 12)
    plain, scaled = rank_test(one, two), rank_test(generator.permutation(one) * scale, two * scale)
    swapped = rank_test(two, one)
    assert plain is not None and scaled is not None and swapped is not None
    assert scaled.p == pytest.approx(plain.p)
    assert swapped.p == pytest.approx(plain.p)
    assert swapped.superiority == pytest.approx(1.0 - plain.superiority)


def test_drift_needs_certainty_and_size() -> None:
    generator = np.random.default_rng(11)
    noise = generator.normal(0.0, 0.001, 30)
    ramp = np.linspace(0.0, 1.0, 30)
    steady, slight, clear = drift(1.0 + noise), drift(1.0 + 0.01 * ramp + noise), drift(1.0 - 0.1 * ramp + noise)
    assert steady is not None and slight is not None and clear is not None
    assert not steady.drifts
    assert slight.p < 0.01
    assert not slight.drifts
    assert clear.drifts
    assert clear.change == pytest.approx(-0.069, abs=0.005)
    assert clear.trend == pytest.approx(-0.105, abs=0.005)
    # One wild window is neither.
    wild = 1.0 + noise
    wild[25] = 5.0
    told = drift(wild)
    assert told is not None
    assert not told.drifts


def test_drift_says_nothing_of_few_windows_or_of_zeros() -> None:
    assert drift(np.linspace(1.0, 2.0, 14)) is None
    assert drift(np.linspace(1.0, 2.0, 15)) is not None
    assert drift(np.zeros(30)) is None


def test_a_steady_device_seldom_drifts() -> None:
    """300 seeded runs without drift but with scatter well above the threshold: the rank test alone holds its 1 %."""
    generator = np.random.default_rng(12)
    told = [drift(generator.normal(1.0, 0.1, 30)) for _ in range(300)]
    assert sum(d is not None and d.drifts for d in told) <= 9  # 1 % of 300 is 3, standard deviation 1.7


@UNHURRIED
@given(seed=st.integers(0, 2**32), scale=st.floats(1e-3, 1e3))
def test_drift_is_relative(seed: int, scale: float) -> None:
    values = np.random.default_rng(seed).normal(10.0, 1.0, 30)
    plain, scaled = drift(values), drift(values * scale)
    assert plain is not None and scaled is not None
    assert scaled.change == pytest.approx(plain.change)
    assert scaled.trend == pytest.approx(plain.trend)
    assert scaled.p == pytest.approx(plain.p)


def test_block_medians() -> None:
    assert block_medians(np.repeat([1, 2, 3], 10), 3).tolist() == [1.0, 2.0, 3.0]
    assert block_medians(np.arange(25)).size == 2
    assert block_medians(np.arange(5)).size == 0
