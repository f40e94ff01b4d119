"""Counts against formulas written out by hand, one operator at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from npubench.errors import ModelError
from npubench.plan.operations import count_operations


def model(
    nodes: Sequence[NodeProto], inputs: dict[str, Sequence[Any]], weights: dict[str, tuple[int, ...]], **more: Any
) -> onnx.ModelProto:
    """Return a graph whose output is ``y``."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()] + more.get("stored", []),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("node", "inputs", "weights", "macs"),
    [
        # 8 maps of 16×16, each value from 3·3·3.
        (
            helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1]),
            {"x": ["n", 3, 32, 32]},
            {"w": (8, 3, 3, 3)},
            8 * 16 * 16 * 27,
        ),
        # Depthwise: each value from one map's 3·3.
        (helper.make_node("Conv", ["x", "w"], ["y"], group=6), {"x": ["n", 6, 10, 10]}, {"w": (6, 1, 3, 3)}, 6 * 8 * 8 * 9),
        (helper.make_node("Conv", ["x", "w"], ["y"]), {"x": ["n", 4, 20]}, {"w": (2, 4, 5)}, 2 * 16 * 20),
        # Each of 4·5·5 values is spread over 2·3·3.
        (
            helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
            {"x": ["n", 4, 5, 5]},
            {"w": (4, 2, 3, 3)},
            4 * 5 * 5 * 18,
        ),
        (helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1), {"x": ["n", 7]}, {"w": (5, 7), "b": (5,)}, 35),
        (helper.make_node("Gemm", ["w", "x"], ["y"], transA=1, transB=1), {"x": ["n", 7]}, {"w": (7, 5)}, 35),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": ["n", 6, 7]}, {"w": (7, 5)}, 6 * 35),
        (helper.make_node("MatMul", ["x", "z"], ["y"]), {"x": ["n", 2, 6, 7], "z": ["n", 2, 7, 5]}, {}, 2 * 6 * 35),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": ["n", 7]}, {"w": (7,)}, 7),
        (helper.make_node("Einsum", ["x", "w"], ["y"], equation="bij,jk->bik"), {"x": ["n", 6, 7]}, {"w": (7, 5)}, 6 * 35),
        # 9 steps; in each, 4 gates of 5 from 3 inputs and 5 states.
        (
            helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=5),
            {"x": [9, "n", 3]},
            {"w": (1, 20, 3), "r": (1, 20, 5)},
            9 * 20 * 8,
        ),
        (
            helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=5, direction="bidirectional"),
            {"x": [9, "n", 3]},
            {"w": (2, 15, 3), "r": (2, 15, 5)},
            9 * 2 * 15 * 8,
        ),
        (helper.make_node("Relu", ["x"], ["y"]), {"x": ["n", 9]}, {}, 0),
    ],
)
def test_an_operator_counts_as_its_definition_says(node: NodeProto, inputs: Any, weights: Any, macs: int) -> None:
    graph = model([node], inputs, weights)
    shapes = {name: tuple(1 if axis == "n" else axis for axis in shape) for name, shape in inputs.items()}
    assert count_operations(graph, shapes) == 2 * macs


def test_shapes_computed_in_the_graph_are_folded() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    stored = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in (("first", [0]), ("rest", [-1, 12]))]
    assert count_operations(model(nodes, {"x": ["n", 6, 4]}, {"w": (12, 5)}, stored=stored), {"x": (1, 6, 4)}) == 2 * 2 * 12 * 5


def test_the_batch_of_stored_shapes_does_not_count() -> None:
    graph = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [8, 7]}, {"w": (7, 5)})
    graph.graph.value_info.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 5]))
    assert count_operations(graph, {"x": (1, 7)}) == 70


def branch(name: str, width: int) -> onnx.GraphProto:
    weight = numpy_helper.from_array(np.zeros((7, width), np.float32), f"w{name}")
    out = helper.make_tensor_value_info(f"o{name}", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("MatMul", ["x", f"w{name}"], [f"p{name}"]),
        helper.make_node("ReduceSum", [f"p{name}"], [f"o{name}"]),
    ]
    return helper.make_graph(nodes, name, [], [out], [weight])


def test_of_two_branches_the_dearer_counts() -> None:
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("a", 5), else_branch=branch("b", 50))
    graph = model([node], {"x": ["n", 7]}, {})
    graph.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    assert count_operations(graph, {"x": (1, 7)}) == 2 * 7 * 50


def test_a_loop_around_products_is_an_error() -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["carried", "w"], ["next"], name="inside"),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    graph = model([helper.make_node("Loop", ["times", "", "x"], ["y"], name="again", body=body)], {"x": ["n", 7]}, {"w": (7, 7)})
    graph.graph.input.append(helper.make_tensor_value_info("times", TensorProto.INT64, []))
    with pytest.raises(ModelError, match=r"again.*\(Loop\)|shape of"):
        count_operations(graph, {"x": (1, 7)})


def test_a_shape_that_depends_on_data_is_an_error_and_named() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["found"]),
        helper.make_node("Cast", ["found"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["w", "real"], ["y"], name="product"),
    ]
    with pytest.raises(ModelError, match=r"the shape of 'y' at MatMul 'product' is unknown"):
        count_operations(model(nodes, {"x": ["n", 7]}, {"w": (3, 2)}), {"x": (1, 7)})


def test_an_operator_without_formula_is_an_error() -> None:
    node = helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft", name="fused")
    graph = model([node], {"x": ["n", 7]}, {"w": (7, 5)})
    graph.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ModelError, match="'fused' is a FusedMatMul, which has no formula"):
        count_operations(graph, {"x": (1, 7)})
