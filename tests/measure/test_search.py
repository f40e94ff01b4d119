"""The rate search ends near the highest rate that meets the bound, or says there is none; its criterion is the binomial one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from npubench.analyze.certified import overlatency_allowed
from npubench.measure.search import (
    LEAP_BACK,
    MOST_PROBES,
    STEP_BACK,
    Step,
    find_rate,
    meets_bound,
    outstanding_queries,
    percentile_ns,
    step_back,
)


class Device:
    """Meets the bound up to ``capacity``; keeps what it was asked."""

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.asked: list[tuple[float, int]] = []

    def __call__(self, rate: float, n: int) -> Step:
        self.asked.append((rate, n))
        return Step(rate, 100, 1.0, rate <= self.capacity, False)


@given(capacity=st.floats(1.0, 1e6), share=st.floats(0.15, 8.0))
def test_the_search_ends_within_its_resolution_below_the_true_rate(capacity: float, share: float) -> None:
    device = Device(capacity)
    rate, steps = find_rate(device, capacity / share)
    assert rate is not None
    assert capacity / 1.031 <= rate <= capacity
    assert len(steps) <= MOST_PROBES
    assert [step.target_qps for step in steps] == [asked for asked, _ in device.asked]


def test_every_probe_has_a_seed_of_its_own() -> None:
    device = Device(100.0)
    find_rate(device, 60.0)
    assert [n for _, n in device.asked] == list(range(len(device.asked)))


def test_a_hopeless_device_ends_the_search_without_a_rate() -> None:
    device = Device(0.0)
    rate, steps = find_rate(device, 1000.0)
    assert rate is None
    assert len(steps) < MOST_PROBES
    assert not any(step.met for step in steps)


def test_a_device_without_a_limit_ends_the_search_at_the_last_rate_it_met() -> None:
    rate, steps = find_rate(Device(math.inf), 10.0)
    assert len(steps) == MOST_PROBES
    assert rate == steps[-1].target_qps == max(step.target_qps for step in steps)


def test_spent_time_ends_the_search_with_what_is_known() -> None:
    device = Device(100.0)
    rate, steps = find_rate(device, 60.0, lambda: True)
    assert (rate, len(steps)) == (60.0, 1)


def test_spent_time_does_not_end_it_before_some_rate_is_known() -> None:
    rate, steps = find_rate(Device(30.0), 100.0, lambda: True)
    assert rate is not None
    assert rate <= 30.0
    assert [step.met for step in steps] == [False] * (len(steps) - 1) + [True]


@given(
    n=st.integers(1, 20_000),
    over_share=st.floats(0.0, 1.2),
    percentile=st.sampled_from([0.5, 0.9, 0.95, 0.97, 0.99, 0.999]),
    confidence=st.sampled_from([0.9, 0.99, 0.999]),
)
def test_the_bound_is_met_exactly_where_the_binomial_criterion_holds(
    n: int, over_share: float, percentile: float, confidence: float
) -> None:
    over = min(n, int(over_share * n * (1 - percentile)))
    probability = binom.cdf(over, n, 1 - percentile)
    if math.isclose(probability, 1 - confidence, rel_tol=1e-9):
        return
    assert meets_bound(over, n, percentile, confidence) is bool(probability <= 1 - confidence)


@given(n=st.integers(1, 1_000_000), percentile=st.sampled_from([0.9, 0.99, 0.999]))
def test_worker_and_analysis_draw_the_line_at_the_same_query(n: int, percentile: float) -> None:
    allowed = overlatency_allowed(n, percentile)
    if allowed is None:
        assert not meets_bound(0, n, percentile)
    else:
        assert meets_bound(allowed, n, percentile)
        assert not meets_bound(allowed + 1, n, percentile)


def test_no_queries_meet_no_bound() -> None:
    assert not meets_bound(0, 0, 0.99)


@pytest.mark.parametrize(
    ("values", "percentile", "expected"),
    [
        ([5], 0.99, 5),
        ([1, 2, 3, 4], 0.5, 2),
        ([4, 3, 2, 1], 0.75, 3),
        (range(1, 101), 0.99, 99),
        (range(1, 101), 0.9, 90),
        ([1, 2], 0.9, 2),
    ],
)
def test_the_percentile_is_of_the_nearest_rank(values: list[int], percentile: float, expected: float) -> None:
    assert percentile_ns(np.array(values, np.int64), percentile) == expected


def test_a_near_miss_steps_back_less_than_a_far_one() -> None:
    assert step_back(20, 1000, 0.99) == STEP_BACK
    assert step_back(500, 1000, 0.99) == LEAP_BACK
    assert LEAP_BACK < STEP_BACK < 1


@given(rate=st.floats(1, 1e6), bound=st.integers(1, 10**10))
def test_a_window_is_never_ended_early_by_fewer_queries_than_the_bound_holds(rate: float, bound: int) -> None:
    assert outstanding_queries(rate, bound) > rate * bound / 1e9
