"""Certified percentiles are LoadGen's own, and bound what they say they bound."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from npubench.analyze.certified import (
    certified_percentile,
    certified_percentiles,
    overlatency_allowed,
    percentile_name,
    queries_needed,
)

#: A busy machine is no reason to fail.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PERCENTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)

#: Runs LoadGen in single-stream and multi-stream and leaves summary and trace of each in a folder.
LOADGEN = """
import os
import sys
import mlperf_loadgen as lg

def run(folder, scenario, queries):
    os.mkdir(folder)
    settings = lg.TestSettings()
    settings.scenario, settings.mode = scenario, lg.TestMode.PerformanceOnly
    settings.single_stream_expected_latency_ns = settings.multi_stream_expected_latency_ns = 1000
    settings.min_duration_ms, settings.min_query_count, settings.max_query_count = 0, queries, queries
    settings.schedule_rng_seed, settings.sample_index_rng_seed, settings.qsl_rng_seed = 1, 1, 2
    issue = lambda queries: lg.QuerySamplesComplete([lg.QuerySampleResponse(q.id, 0, 0) for q in queries])
    sut, qsl = lg.ConstructSUT(issue, lambda: None), lg.ConstructQSL(8, 8, lambda _: None, lambda _: None)
    output, logs = lg.LogOutputSettings(), lg.LogSettings()
    output.outdir, output.copy_summary_to_stdout = folder, False
    logs.log_output, logs.enable_trace = output, True
    lg.StartTestWithLogSettings(sut, qsl, settings, logs)
    lg.DestroySUT(sut)
    lg.DestroyQSL(qsl)

for queries in (64, 661, 662, 1000, 5000):
    run(f"single-{queries}", lg.TestScenario.SingleStream, queries)
for queries in (662, 2000):
    run(f"multi-{queries}", lg.TestScenario.MultiStream, queries)
"""


@pytest.mark.parametrize(
    ("percentile", "floor"),
    [
        (0.5, 11),
        (0.75, 24),
        (0.8, 31),
        (0.9, 64),
        (0.95, 130),
        (0.97, 219),
        (0.99, 662),
        (0.999, 6_636),
        (0.9999, 66_381),
    ],
)
def test_the_floors_are_mlperfs(percentile: float, floor: int) -> None:
    assert queries_needed(percentile) == floor
    assert overlatency_allowed(floor, percentile) == 1
    assert overlatency_allowed(floor - 1, percentile) == 0


def test_without_any_overlatency_p99_needs_459() -> None:
    assert queries_needed(0.99, overlatency=0) == 459
    assert overlatency_allowed(458, 0.99) is None
    assert overlatency_allowed(0, 0.99) is None


@pytest.mark.parametrize("percentile", PERCENTILES)
def test_the_allowance_is_exact_beyond_1024(percentile: float) -> None:
    """Where LoadGen's own series breaks (mlcommons/inference#1083): against scipy's binomial distribution."""
    for n in (10_000, 1_000_000, 300_000_000):
        allowed = overlatency_allowed(n, percentile)
        assert allowed is not None
        # 1 − p loses bits that the floor of a run of 3e8 queries can see; the two may differ in the last query.
        assert binom.cdf(allowed - 1, n, 1.0 - percentile) <= 0.01 < binom.cdf(allowed + 2, n, 1.0 - percentile)
        assert queries_needed(percentile, allowed) <= n < queries_needed(percentile, allowed + 1)


def test_estimates_are_loadgens(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LOADGEN], cwd=tmp_path, check=True, timeout=300)
    compared = 0
    for folder in sorted(tmp_path.iterdir()):
        latencies = _latencies(folder)
        assert latencies.size == int(folder.name.split("-")[1])
        summary = (folder / "mlperf_log_summary.txt").read_text()
        for name, printed in re.findall(r"Early stopping ([\d.]+)th percentile estimate: (\d+)", summary):
            assert certified_percentile(latencies, float(name) / 100.0).high == float(printed), folder.name
            compared += 1
        missing = re.search(r"would need to process at\n least (\d+) total queries", summary)
        if missing:
            reason = certified_percentile(latencies, 0.99).reason
            assert reason == f"p99 needs {missing[1]} queries, the run has {latencies.size}"
    # p90 and p99 of single-stream where there are 662 queries, else p90 alone; p99 of multi-stream.
    assert compared == 2 + 3 * 2 + 2


def _latencies(folder: Path) -> np.ndarray:
    """Return the latency of each query: in a query of several samples, that of the last."""
    trace = (folder / "mlperf_log_trace.json").read_text()
    event = re.compile(r'"name":"Sample","cat":"default","ph":"b".*?"query_seq":(\d+).*?"complete_ns":(\d+)')
    last: dict[int, int] = {}
    for query, complete in event.findall(trace):
        last[int(query)] = max(last.get(int(query), 0), int(complete))
    return np.array(list(last.values()), dtype=np.int64)


def test_a_short_run_has_no_estimate() -> None:
    estimate = certified_percentile(np.arange(417), 0.99)
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert estimate.reason == "p99 needs 662 queries, the run has 417"
    assert certified_percentile(np.arange(0), 0.5).reason == "p50 needs 11 queries, the run has 0"


def test_the_value_is_the_nearest_rank() -> None:
    ranks = np.random.default_rng(0).permutation(np.arange(1, 1001))
    assert certified_percentile(ranks, 0.5).value == 500.0
    assert certified_percentile(ranks, 0.9).value == 900.0
    assert certified_percentile(ranks, 0.901).value == 901.0
    assert certified_percentile(ranks, 0.07).value == 70.0  # 0.07 · 1000 rounds to above 70


def test_ties_are_values_like_others() -> None:
    latencies = np.full(1000, 7, dtype=np.int64)
    latencies[0] = 9  # with 1000 queries the second largest bounds p99
    estimate = certified_percentile(latencies, 0.99)
    assert (estimate.value, estimate.low, estimate.high) == (7.0, 7.0, 7.0)


@UNHURRIED
@given(
    latencies=arrays(np.int64, st.integers(0, 900), elements=st.integers(0, 10**10)),
    percentiles=st.lists(st.floats(0.01, 0.999), min_size=1, max_size=4).map(sorted),
    scale=st.integers(1, 1000),
    seed=st.integers(0, 2**32),
)
def test_they_behave_as_percentiles(latencies: np.ndarray, percentiles: list[float], scale: int, seed: int) -> None:
    before = latencies.copy()
    estimates = certified_percentiles(latencies, percentiles)
    np.testing.assert_array_equal(latencies, before)
    there = [estimate for estimate in estimates if estimate.value is not None]
    for one, next_one in itertools.pairwise(there):
        assert one.value is not None and next_one.value is not None
        assert one.value <= next_one.value
        assert one.high is not None and next_one.high is not None
        assert one.high <= next_one.high
    for estimate in there:
        assert estimate.value is not None and estimate.high is not None
        assert (estimate.low if estimate.low is not None else 0.0) <= estimate.value <= estimate.high
    shuffled = np.random.default_rng(seed).permutation(latencies)
    assert certified_percentiles(shuffled, percentiles) == estimates
    for estimate, scaled in zip(estimates, certified_percentiles(latencies * scale, percentiles), strict=True):
        assert (estimate.value is None) == (scaled.value is None)
        if estimate.value is not None:
            assert scaled.value == estimate.value * scale


@UNHURRIED
@given(n=st.integers(0, 10**6), percentile=st.floats(0.01, 0.9999), confidence=st.floats(0.5, 0.999))
def test_more_queries_never_allow_fewer_over(n: int, percentile: float, confidence: float) -> None:
    allowed, more = overlatency_allowed(n, percentile, confidence), overlatency_allowed(n + 1, percentile, confidence)
    assert (-1 if allowed is None else allowed) <= (-1 if more is None else more)


@pytest.mark.parametrize("percentile", [0.9, 0.99])
def test_the_bounds_cover_the_truth(percentile: float) -> None:
    """2000 seeded runs of 700 exponential latencies: each bound fails in at most 1 % of runs."""
    generator = np.random.default_rng(20240229)
    truth = -np.log(1.0 - percentile) * 1e6
    above = below = 0
    for _ in range(2000):
        estimate = certified_percentile(generator.exponential(1e6, 700).astype(np.int64), percentile)
        assert estimate.low is not None and estimate.high is not None
        above += estimate.low > truth
        below += estimate.high < truth
    # 1 % of 2000 is 20, with a standard deviation of 4.5.
    assert above <= 34
    assert below <= 34


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 90.0])
def test_percentiles_are_between_0_and_1(bad: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        certified_percentile(np.arange(100), bad)
    with pytest.raises(ValueError, match="confidence"):
        overlatency_allowed(100, 0.9, bad)
    with pytest.raises(ValueError, match="percentile"):
        queries_needed(bad)


def test_names() -> None:
    assert [percentile_name(p) for p in (0.5, 0.9, 0.99, 0.999, 0.9999)] == ["p50", "p90", "p99", "p99.9", "p99.99"]
