"""Outputs are scored against the gate, and timed ones against the accuracy phase: garbage never passes, noise does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.outputs import TOLERANCE, compare_checked, passes, score_outputs
from npubench.contract.bundle import Gate

GATE = Gate("top1", "ratio", True, 1.0, 0.99, "99 % of the FP32 reference", "accuracy")

#: What the accuracy phase kept: 40 samples, no two alike.
KNOWN = np.random.default_rng(5).normal(size=(40, 3, 5)).astype(np.float32)
SAMPLE = np.array([3, 17, 3, 39, 0, 22])


def compared(timed: np.ndarray[Any, Any], keep: str = "all", known: np.ndarray[Any, Any] = KNOWN) -> Any:
    return compare_checked(SAMPLE, [timed], [known], [keep])


def test_the_same_outputs_are_no_garbage() -> None:
    found = compared(KNOWN[SAMPLE])
    assert (found.checked, found.worst, found.garbage) == (6, 0.0, False)


@given(st.integers(0, 2**32 - 1))
def test_noise_of_a_thousandth_is_no_garbage(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(6, 3, 5)) * 1e-3
    assert not compared((KNOWN[SAMPLE] + noise).astype(np.float32)).garbage


def swapped(outputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    outputs[[0, 1]] = outputs[[1, 0]]
    return outputs


def stale(outputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    outputs[1:] = outputs[:-1]
    return outputs


def one_stale(outputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    outputs[4] = outputs[3]
    return outputs


def zeros(outputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.zeros_like(outputs)


def one_nan(outputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    outputs[2, 1, 1] = np.nan
    return outputs


def transposed(outputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(outputs.transpose(0, 2, 1)).reshape(outputs.shape)


def too_short(outputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return outputs[:, :, :4]


@pytest.mark.parametrize("fault", [swapped, stale, one_stale, zeros, one_nan, transposed, too_short])
def test_outputs_of_another_sample_buffer_or_shape_are_garbage(fault: Any) -> None:
    assert compared(fault(KNOWN[SAMPLE].copy())).garbage


def test_one_bad_output_of_several_is_enough() -> None:
    good = KNOWN[SAMPLE]
    assert compare_checked(SAMPLE, [good, swapped(good.copy())], [KNOWN, KNOWN], ["all", "all"]).garbage


def test_outputs_that_are_all_zero_are_compared_by_their_distance() -> None:
    nothing = np.zeros_like(KNOWN)
    assert not compared(nothing[SAMPLE] + np.float32(1e-4), known=nothing).garbage
    assert compared(nothing[SAMPLE] + np.float32(1.0), known=nothing).garbage


def test_the_size_of_the_values_does_not_matter() -> None:
    for scale in (1e-6, 1.0, 1e6):
        known = (KNOWN * scale).astype(np.float32)
        assert not compared(known[SAMPLE] * np.float32(1.001), known=known).garbage
        assert compared(known[SAMPLE] * np.float32(1.2), known=known).garbage


def test_of_indices_one_in_fifty_may_differ() -> None:
    known = np.arange(400, dtype=np.int32).reshape(4, 100)
    sample = np.arange(4)
    for differing, garbage in ((8, False), (9, True), (400, True)):
        timed = known.copy()
        timed.reshape(-1)[:differing] += 1
        assert compare_checked(sample, [timed], [known], ["argmax"]).garbage is garbage


def test_a_window_that_reached_no_chosen_row_has_nothing_to_compare() -> None:
    found = compare_checked(np.zeros(0, np.int64), [], [KNOWN], ["all"])
    assert (found.checked, found.garbage) == (0, False)


def test_the_worst_distance_is_what_is_told() -> None:
    timed = KNOWN[SAMPLE].copy()
    timed[3] *= 1.03
    found = compared(timed)
    assert found.worst == pytest.approx(0.03, rel=1e-3)
    assert found.tolerance == TOLERANCE


def test_the_score_gets_names_labels_and_reference() -> None:
    seen: list[Any] = []

    def score(outputs: Any, labels: Any, reference: Any) -> float:
        seen.append((outputs, labels, reference))
        return 0.995

    labels = {"y": np.arange(40)}
    estimate = score_outputs(GATE, ["y"], [KNOWN], labels, [KNOWN + 1], score)
    assert estimate == Estimate(0.995, "ratio", n=40)
    outputs, given_labels, reference = seen[0]
    assert outputs["y"] is KNOWN
    assert given_labels is labels
    np.testing.assert_array_equal(reference["y"], KNOWN + 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_absent_with_the_reason(value: float) -> None:
    estimate = score_outputs(GATE, ["y"], [KNOWN], {}, [KNOWN], lambda *_: value)
    assert estimate == absent("ratio", "top1 of these outputs is not a number", 40)
    assert not passes(GATE, estimate)


@pytest.mark.parametrize(
    ("higher", "value", "held"), [(True, 0.99, True), (True, 0.9899, False), (False, 0.99, True), (False, 0.9901, False)]
)
def test_the_gate_holds_at_its_bound_and_on_its_side(higher: bool, value: float, held: bool) -> None:
    gate = Gate("m", "K", higher, 1.0, 0.99, "", "accuracy")
    assert passes(gate, Estimate(value, "K")) is held
