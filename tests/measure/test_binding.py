"""Workload and executor tensors are paired by name or position; what no layout explains is refused with both sides named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.contract.tensors import Quantisation, TensorSpec
from npubench.measure.binding import BindingError, bind, from_executor, to_executor

X = TensorSpec("x", "float32", (None, 3, 4, 5), "NCHW")
PLAIN = TensorSpec("y", "float32", (None, 6))


def one(workload: TensorSpec, executor: TensorSpec, what: str = "input"):
    (binding,) = bind([workload], [executor], what)
    return binding


def test_all_names_alike_pair_by_name() -> None:
    a, b = TensorSpec("a", "float32", (None, 2)), TensorSpec("b", "float32", (None, 3))
    found = bind([a, b], [b, a], "input")
    assert [(f.workload.name, f.executor.name, f.key) for f in found] == [("a", "a", "a"), ("b", "b", "b")]


def test_other_names_pair_by_position() -> None:
    a, b = TensorSpec("a", "float32", (None, 2)), TensorSpec("b", "float32", (None, 3))
    found = bind([a, b], [TensorSpec("p", "float32", (1, 2)), TensorSpec("q", "float32", (1, 3))], "output")
    assert [(f.workload.name, f.key) for f in found] == [("a", "p"), ("b", "q")]


def test_tensors_without_names_get_one_by_position() -> None:
    a, b = TensorSpec("a", "float32", (None, 2)), TensorSpec("b", "float32", (None, 3))
    found = bind([a, b], [TensorSpec("", "float32", (1, 2)), TensorSpec("", "float32", (1, 3))], "input")
    assert [f.key for f in found] == ["input0", "input1"]


def test_one_spec_object_used_twice_still_is_two_tensors() -> None:
    a, b = TensorSpec("a", "float32", (None, 2)), TensorSpec("b", "float32", (None, 2))
    nameless = TensorSpec("", "float32", (1, 2))
    assert [f.key for f in bind([a, b], [nameless, nameless], "output")] == ["output0", "output1"]


def test_two_tensors_of_one_name_are_refused() -> None:
    a, b = TensorSpec("a", "float32", (None, 2)), TensorSpec("b", "float32", (None, 2))
    with pytest.raises(BindingError, match=r"\(t, t\) have one name; the workload's are \(a, b\)"):
        bind([a, b], [TensorSpec("t", "float32", (1, 2))] * 2, "input")


def test_another_number_of_tensors_names_both_sides() -> None:
    with pytest.raises(BindingError, match=r"the executor has 2 inputs \(p, unnamed\), the workload 1 \(y\)"):
        bind([PLAIN], [TensorSpec("p", "float32", (1, 6)), TensorSpec("", "float32", (1, 6))], "input")


@pytest.mark.parametrize("shape", [(None, 7), (None, 6, 2), (None, 2, 3), (None,)])
def test_another_shape_names_both_sides(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(
        BindingError, match=r"output 'y': the workload has shape \[None, 6\] \(no layout\), the executor \[None.*"
    ):
        bind([PLAIN], [TensorSpec("y", "float32", shape)], "output")


def test_a_shape_that_only_a_declared_layout_would_explain_is_refused() -> None:
    with pytest.raises(BindingError, match=r"\(NCHW\), the executor \[None, 4, 5, 3\] \(no layout\)"):
        bind([X], [TensorSpec("x", "float32", (None, 4, 5, 3))], "input")


@pytest.mark.parametrize("there", ["NHWC", "NCHW"])
def test_a_sample_is_transposed_to_the_other_layout_and_back(there: str) -> None:
    here, shape, axes = ("NCHW", (4, 5, 3), (0, 2, 3, 1)) if there == "NHWC" else ("NHWC", (5, 3, 4), (0, 3, 1, 2))
    workload = TensorSpec("x", "float32", (None, 3, 4, 5), here)
    binding = one(workload, TensorSpec("x", "float32", (None, *shape), there))
    values = np.arange(2 * 60, dtype=np.float32).reshape(2, 3, 4, 5)
    laid = to_executor(values, binding)
    np.testing.assert_array_equal(laid, values.transpose(axes))
    assert laid.flags.c_contiguous
    assert binding.exclusions == ("host-transpose",)
    back = from_executor(laid, one(workload, binding.executor, "output"))
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [((None, 6), (1, 1, 6)), ((None, 1, 6), (None, 6)), ((None, 6, 1), (None, 1, 6)), ((None, 6), (None, 6, 1, 1))],
)
def test_axes_of_length_one_are_added_or_dropped_both_ways(mine: tuple[int | None, ...], theirs: tuple[int | None, ...]) -> None:
    workload, executor = TensorSpec("y", "float32", mine), TensorSpec("y", "float32", theirs)
    values = np.arange(12, dtype=np.float32).reshape(2, *mine[1:])  # type: ignore[arg-type]
    laid = to_executor(values, one(workload, executor))
    assert laid.shape == (2, *theirs[1:])
    back = from_executor(laid, one(workload, executor))
    assert back.shape == values.shape
    np.testing.assert_array_equal(back, values)


def test_lengths_that_are_free_bind_to_any() -> None:
    binding = one(TensorSpec("y", "float32", (None, None, 4)), TensorSpec("y", "float32", (1, 9, 4)))
    assert to_executor(np.zeros((2, 9, 4), np.float32), binding).shape == (2, 9, 4)


def test_another_dtype_is_a_cast_and_says_so() -> None:
    binding = one(PLAIN, TensorSpec("y", "float16", (None, 6)))
    assert binding.exclusions == ("host-cast",)
    assert to_executor(np.ones((1, 6), np.float32), binding).dtype == np.float16
    assert from_executor(np.ones((1, 6), np.float16), binding).dtype == np.float32


def test_what_the_executor_takes_is_contiguous_and_read_only() -> None:
    laid = to_executor(np.ones((4, 6), np.float32)[::2], one(PLAIN, PLAIN))
    assert laid.flags.c_contiguous
    assert not laid.flags.writeable


SCALES = st.floats(1e-3, 10.0)


@given(
    scale=st.lists(SCALES, min_size=3, max_size=3).map(tuple),
    zero=st.lists(st.integers(-20, 20), min_size=3, max_size=3).map(tuple),
    per_axis=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_quantised_values_come_back_within_half_a_step(
    scale: tuple[float, ...], zero: tuple[int, ...], per_axis: bool, seed: int
) -> None:
    quantisation = Quantisation(scale, zero, axis=1) if per_axis else Quantisation(scale[:1], zero[:1])
    workload = TensorSpec("x", "float32", (None, 3, 2))
    binding = one(workload, TensorSpec("x", "int8", (None, 3, 2), quantisation=quantisation))
    steps = np.asarray(scale if per_axis else [scale[0]] * 3, np.float32).reshape(1, 3, 1)
    values = (np.random.default_rng(seed).uniform(-100, 100, (5, 3, 2)) * steps).astype(np.float32)
    stored = to_executor(values, binding)
    assert stored.dtype == np.int8
    back = from_executor(stored, binding)
    assert back.dtype == np.float32
    assert (np.abs(back - values) <= steps * 0.5001).all()
    assert binding.exclusions == ("host-quantise",)


def test_values_beyond_the_range_are_held_at_its_ends() -> None:
    binding = one(PLAIN, TensorSpec("y", "uint8", (None, 6), quantisation=Quantisation((1.0,), (10,))))
    stored = to_executor(np.array([[-1e6, -11.0, -10.0, 0.0, 245.0, 1e6]], np.float32), binding)
    np.testing.assert_array_equal(stored, [[0, 0, 0, 10, 255, 255]])


def test_the_axis_of_a_quantisation_counts_the_executors_axes_after_a_transposition() -> None:
    quantisation = Quantisation((1.0, 10.0, 100.0), (0, 0, 0), axis=3)
    binding = one(X, TensorSpec("x", "int8", (None, 4, 5, 3), "NHWC", quantisation))
    stored = to_executor(np.full((1, 3, 4, 5), 100.0, np.float32), binding)
    np.testing.assert_array_equal(stored[0, 0, 0], [100, 10, 1])
    np.testing.assert_array_equal(from_executor(stored, one(X, binding.executor, "output")), np.full((1, 3, 4, 5), 100.0))


def test_the_axis_of_a_quantisation_counts_axes_of_length_one_too() -> None:
    quantisation = Quantisation((1.0, 10.0), (0, 0), axis=2)
    workload = TensorSpec("x", "float32", (None, 2, 2))
    binding = one(workload, TensorSpec("x", "int8", (None, 1, 2, 2), quantisation=quantisation))
    stored = to_executor(np.full((1, 2, 2), 100.0, np.float32), binding)
    np.testing.assert_array_equal(stored, [[[[100, 100], [10, 10]]]])


def test_values_that_are_quantised_already_are_left_alone() -> None:
    workload = TensorSpec("x", "uint8", (None, 2))
    binding = one(workload, TensorSpec("x", "uint8", (None, 2), quantisation=Quantisation((0.5,), (3,))))
    np.testing.assert_array_equal(to_executor(np.array([[7, 9]], np.uint8), binding), [[7, 9]])
    assert binding.exclusions == ()
