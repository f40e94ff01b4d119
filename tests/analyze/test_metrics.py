"""Metrics follow from the trace alone, by one definition each; what cannot be said is absent with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.analyze.metrics import HEADLINE, PERCENTILES, compute_metrics, find_drift, no_metrics, percentile_key
from npubench.contract.runspec import Scenario
from npubench.measure.trace import Trace, read_trace

GOLDEN = Path(__file__).parent / "golden"

MakeTrace = Callable[..., Trace]

US, MS = 1_000, 1_000_000


def test_throughput_is_completed_samples_over_the_window_and_never_one_over_a_latency(make_trace: MakeTrace) -> None:
    """On a real card with nine requests in flight the two definitions gave 8.9 and 0.98 frames per joule for one run."""
    trace = make_trace([9 * MS] * 1000, every_ns=MS)
    found = compute_metrics(trace, Scenario.SERVER)
    window_s = (999 * MS + 9 * MS) / 1e9
    assert found["throughput"].value == 1000 / window_s
    assert found["latency_p50"].value == 9 * MS
    assert found["throughput"].value == pytest.approx(1e9 / (9 * MS) * 9, rel=0.01)


def test_throughput_counts_every_completed_sample_in_the_window_and_has_an_interval(make_trace: MakeTrace) -> None:
    rate = compute_metrics(make_trace([MS] * 1000), Scenario.OFFLINE)["throughput"]
    assert rate.value == pytest.approx(1000.0)
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low <= rate.value <= rate.high
    assert rate.unit == "samples/s"


def test_a_query_of_eight_samples_counts_once_in_queries_and_eight_times_in_samples(make_trace: MakeTrace) -> None:
    found = compute_metrics(make_trace([MS] * 500, per_query=8), Scenario.MULTI_STREAM)
    assert found["query_rate"].value == pytest.approx(1000.0)
    assert found["throughput"].value == pytest.approx(8000.0)
    assert found["query_rate"].unit == "queries/s"
    assert found["query_rate"].low == pytest.approx(found["throughput"].low / 8)  # type: ignore[operator]
    assert found["latency_p50"].n == 500


def test_percentiles_are_of_the_nearest_rank(make_trace: MakeTrace) -> None:
    found = compute_metrics(make_trace(np.random.default_rng(1).permutation(np.arange(1, 1001)) * US), Scenario.SINGLE_STREAM)
    assert {p: found[percentile_key(p)].value for p in (0.5, 0.9, 0.95, 0.97, 0.99)} == {
        0.5: 500 * US,
        0.9: 900 * US,
        0.95: 950 * US,
        0.97: 970 * US,
        0.99: 990 * US,
    }
    assert (found["latency_min"].value, found["latency_max"].value) == (1 * US, 1000 * US)
    assert found["latency_mean"].value == 500.5 * US


@pytest.mark.parametrize(
    ("queries", "percentile", "there"), [(63, 0.9, False), (64, 0.9, True), (661, 0.99, False), (662, 0.99, True)]
)
def test_a_percentile_the_run_is_too_short_for_is_absent_with_the_reason(
    make_trace: MakeTrace, queries: int, percentile: float, there: bool
) -> None:
    found = compute_metrics(make_trace([MS] * queries), Scenario.SINGLE_STREAM)[percentile_key(percentile)]
    assert (found.value is not None) is there
    if not there:
        assert found.reason == f"p{percentile * 100:g} needs {queries + 1} queries, the run has {queries}"
        assert (found.low, found.high, found.n) == (None, None, queries)


def test_offline_has_no_latencies(make_trace: MakeTrace) -> None:
    assert list(compute_metrics(make_trace([MS] * 1000), Scenario.OFFLINE)) == ["throughput"]


@pytest.mark.parametrize("scenario", Scenario)
def test_nothing_completed_is_no_number(make_trace: MakeTrace, scenario: Scenario) -> None:
    nothing = np.zeros(0, np.int64)
    trace = Trace(nothing, nothing, nothing, nothing, nothing, nothing, 0, 0, {})
    assert all(estimate.value is None and estimate.reason for estimate in compute_metrics(trace, scenario).values())


@pytest.mark.parametrize("scenario", Scenario)
def test_the_headline_is_among_the_metrics_and_in_its_unit(make_trace: MakeTrace, scenario: Scenario) -> None:
    headline = HEADLINE[scenario]
    assert compute_metrics(make_trace([MS] * 1000), scenario)[headline.metric].unit == headline.unit
    none = no_metrics("the device was lost", scenario)[headline.metric]
    assert (none.value, none.unit, none.reason) == (None, headline.unit, "the device was lost")


@given(
    latencies=st.lists(st.integers(1_000, 10**9), min_size=70, max_size=300),
    factor=st.integers(2, 1000),
    shift=st.integers(0, 10**15),
)
def test_stretched_time_stretches_latencies_and_shrinks_rates_and_a_later_start_changes_nothing(
    make_trace: MakeTrace, latencies: list[int], factor: int, shift: int
) -> None:
    def moved(trace: Trace, by: int) -> Trace:
        names = ("issued_ns", "started_ns", "done_ns", "scheduled_ns", "start_ns", "end_ns")
        return replace(trace, **{name: getattr(trace, name) + by for name in names})

    base = make_trace(latencies)
    plain = compute_metrics(base, Scenario.SINGLE_STREAM)
    assert compute_metrics(moved(base, shift), Scenario.SINGLE_STREAM) == plain
    slow = compute_metrics(make_trace(np.array(latencies) * factor), Scenario.SINGLE_STREAM)
    for name, estimate in plain.items():
        by = factor if name.startswith("latency") else 1 / factor
        for end in ("value", "low", "high"):
            one, other = getattr(estimate, end), getattr(slow[name], end)
            assert other == (None if one is None else pytest.approx(one * by, rel=1e-6, abs=1e-6))


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=800))
def test_percentiles_never_fall_and_lie_between_the_extremes(make_trace: MakeTrace, latencies: list[int]) -> None:
    found = compute_metrics(make_trace(latencies), Scenario.SINGLE_STREAM)
    values = [found[percentile_key(p)].value for p in PERCENTILES]
    known = [value for value in values if value is not None]
    assert known == sorted(known)
    assert all(min(latencies) <= value <= max(latencies) for value in known)


@pytest.mark.parametrize(
    ("percentile", "key"), [(0.5, "latency_p50"), (0.99, "latency_p99"), (0.999, "latency_p999"), (0.97, "latency_p97")]
)
def test_a_percentiles_key_says_which(percentile: float, key: str) -> None:
    assert percentile_key(percentile) == key


@pytest.mark.parametrize("scenario", [Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM, Scenario.OFFLINE])
def test_a_device_that_slows_down_drifts_and_a_steady_one_does_not(make_trace: MakeTrace, scenario: Scenario) -> None:
    noise = np.random.default_rng(3).normal(0, 0.01, 3000)
    steady = (MS * (1 + noise)).astype(np.int64)
    slowing = (MS * (1 + noise) * np.linspace(1, 1.3, 3000)).astype(np.int64)
    calm, hot = find_drift(make_trace(steady), scenario), find_drift(make_trace(slowing), scenario)
    assert calm is not None
    assert hot is not None
    assert not calm.drifts
    assert hot.drifts
    assert (hot.change > 0.1) is (scenario is not Scenario.OFFLINE)


def test_in_server_the_time_in_the_executor_drifts_and_not_the_queue_before_it(make_trace: MakeTrace) -> None:
    queueing = (MS * np.linspace(1, 3, 3000)).astype(np.int64)
    found = find_drift(make_trace(queueing, every_ns=MS, service_ns=MS), Scenario.SERVER)
    assert found is not None
    assert not found.drifts


def test_a_run_too_short_to_tell_has_no_drift(make_trace: MakeTrace) -> None:
    assert find_drift(make_trace([MS] * 20), Scenario.SINGLE_STREAM) is None
    assert find_drift(make_trace([MS] * 20), Scenario.OFFLINE) is None


@pytest.mark.parametrize("scenario", [Scenario.SERVER, Scenario.MULTI_STREAM, Scenario.OFFLINE])
def test_the_golden_trace_gives_the_golden_metrics(scenario: Scenario) -> None:
    """Made once by ``python tests/analyze/golden/make.py``; a change here changes published numbers."""
    expected: dict[str, dict[str, Any]] = json.loads((GOLDEN / "metrics.json").read_text())[scenario.value]
    found = {name: asdict(value) for name, value in compute_metrics(read_trace(GOLDEN / "trace.npz"), scenario).items()}
    assert list(found) == list(expected)
    for name, estimate in expected.items():
        assert found[name] == {
            key: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value for key, value in estimate.items()
        }
