from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npubench.errors import ModelError
from npubench.plan.quantise import quantise
from npubench.plan.reference import run_reference
from npubench.plan.workload import Array, Int8


def network(opset: int = 13, batch: object = "batch") -> onnx.ModelProto:
    random = np.random.default_rng(1)
    weights = {
        "w": random.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "b": random.standard_normal(8).astype(np.float32),
        "v": random.standard_normal((8, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("MatMul", ["f", "v"], ["y"], name="product"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


@pytest.fixture
def samples() -> dict[str, Array]:
    return {"x": np.random.default_rng(2).standard_normal((24, 3, 8, 8), dtype=np.float32)}


def count(model: onnx.ModelProto, operator: str) -> int:
    return sum(node.op_type == operator for node in model.graph.node)


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_the_quantised_model_stays_close(samples: dict[str, Array], opset: int) -> None:
    quantised = quantise(network(opset), samples, Int8())
    onnx.checker.check_model(quantised, full_check=True)
    exact = run_reference(network(opset), samples, {}).outputs["y"]
    near = run_reference(quantised, samples, {}).outputs["y"]
    assert np.linalg.norm(near - exact) / np.linalg.norm(exact) < 0.05
    assert count(quantised, "QuantizeLinear") > 0


def test_weights_are_int8_and_per_channel_where_asked(samples: dict[str, Array]) -> None:
    channels = {}
    for per_channel in (True, False):
        stored = {t.name: t for t in quantise(network(), samples, Int8(per_channel=per_channel)).graph.initializer}
        (weight,) = [tensor for tensor in stored.values() if list(tensor.dims) == [8, 3, 3, 3]]
        assert weight.data_type == TensorProto.INT8
        channels[per_channel] = int(np.prod(stored[weight.name.replace("_quantized", "_scale")].dims))
    assert channels == {True: 8, False: 1}


def test_the_same_model_comes_out_twice(samples: dict[str, Array]) -> None:
    first, second = (quantise(network(), samples, Int8()).SerializeToString(deterministic=True) for _ in "ab")
    assert first == second


def test_excluded_nodes_and_other_operators_stay_fp32(samples: dict[str, Array]) -> None:
    everything = count(quantise(network(), samples, Int8()), "QuantizeLinear")
    assert count(quantise(network(), samples, Int8(exclude_nodes=("conv",))), "QuantizeLinear") < everything
    only = quantise(network(), samples, Int8(operators=("MatMul",)))
    assert count(only, "QuantizeLinear") == 2


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_calibration_prints_nothing(samples: dict[str, Array], method: str, capfd: pytest.CaptureFixture[str]) -> None:
    quantise(network(), samples, Int8.model_validate({"method": method}))
    assert capfd.readouterr() == ("", "")


def test_a_fixed_batch_is_calibrated_in_that_batch(samples: dict[str, Array]) -> None:
    assert count(quantise(network(batch=4), samples, Int8()), "QuantizeLinear") > 0


@pytest.mark.parametrize(
    ("calibration", "options", "text"),
    [
        ({}, Int8(), "calibration samples"),
        ({"x": np.zeros((0, 3, 8, 8), np.float32)}, Int8(), "calibration samples"),
        ({"x": np.zeros((2, 3, 8, 9), np.float32)}, Int8(), "ONNX Runtime cannot quantise the model"),
        ({"x": np.zeros((2, 3, 8, 8), np.float32)}, Int8(exclude_nodes=("konv",)), "exclude_nodes names konv"),
    ],
)
def test_what_cannot_be_quantised_is_said(calibration: dict[str, Array], options: Int8, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        quantise(network(), calibration, options)
