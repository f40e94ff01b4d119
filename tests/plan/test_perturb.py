"""Changing a model's weights: one tensor permuted, or all of them rounded."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npubench.plan.perturb import permuted, rounded, rounded_values, weight_tensors
from npubench.plan.reference import run_reference

WEIGHTS = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)


def model(*, quantised: bool = False, constant: bool = False) -> onnx.ModelProto:
    """Return ``y = x · w + b`` with ``w`` stored in one of three ways."""
    stored = [numpy_helper.from_array(np.zeros(8, np.float32), "b")]
    nodes = []
    if quantised:
        stored += [
            numpy_helper.from_array(np.clip(np.rint(WEIGHTS * 40), -128, 127).astype(np.int8), "w_q"),
            numpy_helper.from_array(np.float32(0.025), "scale"),
            numpy_helper.from_array(np.int8(0), "zero"),
        ]
        nodes.append(helper.make_node("DequantizeLinear", ["w_q", "scale", "zero"], ["w"]))
    elif constant:
        nodes.append(helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(WEIGHTS)))
    else:
        stored.append(numpy_helper.from_array(WEIGHTS, "w"))
    nodes += [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    "made, name",
    [(model(), "w"), (model(quantised=True), "w_q"), (model(constant=True), "w")],
    ids=["stored", "int8", "constant"],
)
def test_a_weight_is_found_and_its_permutation_changes_the_outputs(made: onnx.ModelProto, name: str) -> None:
    before = made.SerializeToString()
    assert weight_tensors(made, 3) == (name,)
    other = permuted(made, name, 3)
    assert made.SerializeToString() == before
    old, new = (run_reference(each, {"x": X}, {}).outputs["y"] for each in (made, other))
    assert np.linalg.norm(new - old) > 0.3 * np.linalg.norm(old)
    assert permuted(made, name, 3) == other
    assert permuted(made, name, 4) != other


def test_a_permutation_keeps_the_values() -> None:
    values = numpy_helper.to_array(permuted(model(), "w", 3).graph.initializer[1])
    assert values.shape == WEIGHTS.shape
    assert np.array_equal(np.sort(values.reshape(-1)), np.sort(WEIGHTS.reshape(-1)))


def test_a_bias_and_a_tensor_of_one_value_are_no_weights_to_permute() -> None:
    made = model()
    made.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.ones((6, 8), np.float32), "w"))
    assert weight_tensors(made, 3) == ()
    with pytest.raises(KeyError):
        permuted(made, "nothing", 3)


def test_rounding_to_ten_bits_is_what_float16_does() -> None:
    assert np.array_equal(rounded_values(WEIGHTS, 10), WEIGHTS.astype(np.float16).astype(np.float32))


def test_rounding_keeps_biases_and_whole_numbers() -> None:
    made = rounded(model(), 7)
    assert np.array_equal(numpy_helper.to_array(made.graph.initializer[1]), rounded_values(WEIGHTS, 7))
    assert np.array_equal(numpy_helper.to_array(made.graph.initializer[0]), np.zeros(8))
    tokens = np.arange(5, dtype=np.int64)
    assert rounded_values(tokens, 7) is tokens
    assert np.array_equal(rounded_values(np.array([3.0, -8.0], np.float32), 7), [3.0, -8.0])
