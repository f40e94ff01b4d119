"""Where int8 loses most, on a small model with one delicate tensor."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npubench.contract.bundle import Variant
from npubench.contract.tensors import TensorSpec
from npubench.errors import ModelError
from npubench.plan.layer_loss import NOISELESS_DB, layer_loss, write_losses
from npubench.report.feedback_accuracy import read_layers


def model(step: float | None) -> onnx.ModelProto:
    """Return y = relu(a + 1), a = 2x; with ``step``, a is quantised by it on the way to the relu."""
    nodes = [helper.make_node("Mul", ["x", "two"], ["a"])]
    weights = [numpy_helper.from_array(np.float32(2), "two"), numpy_helper.from_array(np.float32(1), "one")]
    read = "a"
    if step is not None:
        weights += [numpy_helper.from_array(np.float32(step), "s"), numpy_helper.from_array(np.int8(0), "z")]
        nodes += [
            helper.make_node("QuantizeLinear", ["a", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        ]
        read = "d"
    nodes += [helper.make_node("Add", [read, "one"], ["b"]), helper.make_node("Relu", ["b"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(made)
    return made


@pytest.fixture
def bundle(tmp_path: Path) -> Any:
    for name, made in (("fp32", model(None)), ("int8", model(0.5))):
        (tmp_path / name).mkdir()
        onnx.save_model(made, tmp_path / name / "model.onnx")
    variants = {name: Variant(name, f"{name}/model.onnx", "", None) for name in ("fp32", "int8")}
    samples = np.random.default_rng(0).normal(0, 3, (12, 4)).astype(np.float32)
    return SimpleNamespace(
        root=tmp_path,
        workload="tiny",
        digest="sha256:0",
        samples=12,
        variants=variants,
        inputs=(TensorSpec("x", "float32", (None, 4)),),
        load_inputs=lambda: [samples],
    )


def test_the_loss_is_found_where_it_is_made(bundle: Any, tmp_path: Path) -> None:
    losses = {loss.tensor: loss for loss in layer_loss(bundle)}
    assert [*losses] == ["a", "b", "y"]
    assert losses["a"].sqnr_db == NOISELESS_DB
    a = 2 * bundle.load_inputs()[0][:8]
    lost = np.square(np.round(a * 2) / 2 - a).sum() / np.square(a + 1).sum()
    assert losses["b"].added == pytest.approx(lost, rel=1e-3)
    assert max(losses.values(), key=lambda loss: loss.added).tensor == "b"
    write_losses(tmp_path / "layers" / "tiny.json", bundle, [*losses.values()], 8)
    found, broken = read_layers(tmp_path)
    assert broken == {}
    assert [loss.tensor for loss in found[0].losses] == ["a", "b", "y"]


def test_a_bundle_without_int8_is_told(bundle: Any) -> None:
    bundle.variants = {"fp32": bundle.variants["fp32"]}
    with pytest.raises(ModelError, match="workload 'tiny' has no int8 variant"):
        layer_loss(bundle)


def test_models_without_a_tensor_in_common_are_told(bundle: Any) -> None:
    other = model(0.5)
    for node in other.graph.node:
        for n, name in enumerate(node.output):
            node.output[n] = "o_" + name
        for n, name in enumerate(node.input):
            node.input[n] = name if name in ("x", "two", "one", "s", "z") else "o_" + name
    other.graph.output[0].name = "o_y"
    onnx.save_model(other, bundle.root / "int8" / "model.onnx")
    with pytest.raises(ModelError, match="no tensor of the FP32 model's names"):
        layer_loss(bundle)
