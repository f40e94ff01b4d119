"""Every output is checked for name, dtype and shape, a subset for NaN and Inf; what is wrong is said by tensor."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from npubench.contract.tensors import TensorSpec
from npubench.measure.binding import bind
from npubench.measure.check import OutputCheck, OutputError

Y = TensorSpec("y", "float32", (None, 4))
Z = TensorSpec("z", "int64", (None,))
FREE = TensorSpec("y", "float32", (None, None, 2))


def check(*specs: TensorSpec) -> OutputCheck:
    return OutputCheck(bind(specs, specs, "output"))


def good(batch: int = 2) -> dict[str, Any]:
    return {"y": np.zeros((batch, 4), np.float32), "z": np.zeros(batch, np.int64)}


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_what_is_declared_passes(batch: int) -> None:
    check(Y, Z).full(good(batch), batch)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": None}, "output 'y' is NoneType, not a numpy array"),
        ({"y": [[0.0] * 4] * 2}, "output 'y' is list, not a numpy array"),
        ({"y": np.zeros((2, 4))}, "output 'y' has dtype float64, declared is float32"),
        ({"y": np.zeros((1, 4), np.float32)}, "output 'y' has shape [1, 4], declared is [2, 4]"),
        ({"y": np.zeros((4, 2), np.float32)}, "output 'y' has shape [4, 2], declared is [2, 4]"),
        ({"y": np.zeros(8, np.float32)}, "output 'y' has shape [8], declared is [2, 4]"),
        ({"z": np.zeros((2, 1), np.int64)}, "output 'z' has shape [2, 1], declared is [2]"),
        ({"w": np.zeros(2)}, "output 'w' is returned but not declared; declared are: y, z"),
    ],
)
def test_what_differs_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(OutputError, match=re.escape(words)):
        check(Y, Z).cheap({**good(), **changes}, 2)


@pytest.mark.parametrize("left", [("y",), ("y", "z")])
def test_what_is_left_out_is_named_with_what_came(left: tuple[str, ...]) -> None:
    outputs = {key: value for key, value in good().items() if key not in left}
    with pytest.raises(OutputError, match=f"output 'y' is left out; returned are: {', '.join(outputs) or 'none'}"):
        check(Y, Z).cheap(outputs, 2)


@pytest.mark.parametrize("outputs", [None, np.zeros((2, 4), np.float32), [np.zeros((2, 4), np.float32)], 3])
def test_anything_but_a_mapping_is_named_by_its_kind(outputs: Any) -> None:
    with pytest.raises(OutputError, match=f"execute returned {type(outputs).__name__}, not a mapping of tensors by name"):
        check(Y).cheap(outputs, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_counted_where_values_are_looked_at(bad: float) -> None:
    outputs = good()
    outputs["y"][1, 2] = bad
    check(Y, Z).cheap(outputs, 2)
    with pytest.raises(OutputError, match="output 'y' has 1 NaN or Inf of 8 values"):
        check(Y, Z).full(outputs, 2)


def test_a_number_too_large_for_float32_is_a_number() -> None:
    check(TensorSpec("y", "float64", (None, 1))).full({"y": np.array([[1e300]])}, 1)


def test_free_lengths_take_any_length_and_fixed_ones_do_not() -> None:
    check(FREE).full({"y": np.zeros((3, 9, 2), np.float32)}, 3)
    with pytest.raises(OutputError, match=re.escape("output 'y' has shape [3, 9, 1], declared is [3, any, 2]")):
        check(FREE).cheap({"y": np.zeros((3, 9, 1), np.float32)}, 3)


def test_an_output_without_a_name_is_expected_by_position() -> None:
    checked = OutputCheck(bind([Y], [TensorSpec("", "float32", (None, 4))], "output"))
    checked.full({"output0": np.zeros((1, 4), np.float32)}, 1)
    with pytest.raises(OutputError, match="output 'y' is returned but not declared; declared are: output0"):
        checked.cheap({"y": np.zeros((1, 4), np.float32)}, 1)
