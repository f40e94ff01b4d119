"""Calibration holds what was reported against what the device knows, and says by how much it is off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from npubench.analyze.calibration import ENERGY_ERROR, LATENCY_ERROR, Error, energy_error, latency_errors
from npubench.analyze.estimate import Estimate, absent
from npubench.measure.trace import Trace

MS = 1_000_000


@pytest.fixture
def trace(make_trace: Callable[..., Trace]) -> Trace:
    return make_trace(np.random.default_rng(2).integers(MS, 2 * MS, 1000))


def truth_of(trace: Trace, longer_ns: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    return {"start_ns": trace.scheduled_ns + 1000, "done_ns": trace.done_ns - 1000 - longer_ns}


def test_what_is_reported_is_held_against_the_truth_figure_by_figure(trace: Trace) -> None:
    errors = {error.what: error for error in latency_errors(trace, truth_of(trace))}
    assert list(errors) == ["latency p50", "latency p90", "latency p99", "throughput"]
    for what in ("latency p50", "latency p90", "latency p99"):
        assert errors[what].reported - errors[what].true == pytest.approx(2000, abs=1)
        assert errors[what].within
    assert errors["throughput"].relative == pytest.approx(0, abs=1e-4)
    assert errors["throughput"].unit == "samples/s"


def test_a_harness_that_adds_too_much_is_not_within(trace: Trace) -> None:
    errors = latency_errors(trace, truth_of(trace, longer_ns=50_000))
    assert [error.within for error in errors if error.what.startswith("latency")] == [False, False, False]


def test_requests_before_and_after_the_window_do_not_count(trace: Trace) -> None:
    truth = truth_of(trace)
    more = {
        "start_ns": np.concatenate(([0], truth["start_ns"], [trace.end_ns + 1])),
        "done_ns": np.concatenate(([trace.start_ns - 1], truth["done_ns"], [trace.end_ns + 10**12])),
    }
    assert latency_errors(trace, more) == latency_errors(trace, truth)


def test_an_error_is_within_up_to_what_is_allowed_on_both_sides() -> None:
    for share, within in ((LATENCY_ERROR * 0.99, True), (LATENCY_ERROR * 1.01, False)):
        for sign in (1, -1):
            assert Error("x", "ns", 100 * (1 + sign * share), 100, LATENCY_ERROR).within is within


def test_energy_is_held_against_the_truth_where_there_is_a_figure() -> None:
    error = energy_error(Estimate(100.4, "J"), 100.0)
    assert error is not None
    assert (error.unit, error.allowed) == ("J", ENERGY_ERROR)
    assert error.relative == pytest.approx(0.004)
    assert error.within
    assert energy_error(absent("J", "the window is too short"), 100.0) is None
