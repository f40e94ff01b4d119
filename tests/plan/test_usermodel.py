from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npubench.contract.bundle import read_bundle
from npubench.errors import ModelError
from npubench.plan.usermodel import bundle_for_model, fidelity


def save(path: Path, shape: list[Any], kind: int = TensorProto.FLOAT, nodes: Any = None) -> Path:
    weight = np.random.default_rng(3).standard_normal((4, 2)).astype(np.float32)
    chain = nodes or [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["real", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        chain,
        "graph",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_a_model_gets_generated_inputs_and_a_fidelity_gate(tmp_path: Path) -> None:
    bundle = bundle_for_model(save(tmp_path / "My Net (v2).onnx", ["n", 4]), tmp_path, samples=10)
    bundle = read_bundle(bundle.root, check_files=True)
    assert bundle.workload == "my-net-v2"
    assert bundle.samples == 10
    assert bundle.operations == 16
    assert (bundle.gate.claim, bundle.gate.metric, bundle.gate.required, bundle.gate.reference) == (
        "fidelity",
        "fidelity",
        0.99,
        1.0,
    )
    assert "no claim of accuracy" in bundle.title["en"]
    assert bundle.load_labels() == {}
    assert list(bundle.variants) == ["fp32"]


def test_the_same_question_gives_the_same_bundle(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", ["n", 4])
    first = bundle_for_model(path, tmp_path / "a")
    assert bundle_for_model(path, tmp_path / "b").digest == first.digest
    assert bundle_for_model(path, tmp_path / "a", seed=1).digest != first.digest
    assert bundle_for_model(path, tmp_path / "a", samples=8).digest != first.digest


def test_int8_comes_where_asked(tmp_path: Path) -> None:
    bundle = bundle_for_model(save(tmp_path / "net.onnx", ["n", 4]), tmp_path, precisions=["int8"])
    assert list(bundle.variants) == ["fp32", "int8"]
    score = bundle.variants["int8"].reference_score
    assert score is not None
    assert 0.9 < score < 1


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_is_kept(tmp_path: Path, batch: int) -> None:
    bundle = bundle_for_model(save(tmp_path / "net.onnx", [batch, 4]), tmp_path, samples=6)
    assert bundle.inputs[0].shape == (batch, 4)
    assert bundle.outputs[0].shape == (batch, 2)
    assert bundle.load_reference()[0].shape == (6, 2)


def test_a_batch_that_is_free_in_name_only_becomes_1(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["flat"], value_ints=[1, 4]),
        helper.make_node("Reshape", ["x", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    bundle = bundle_for_model(save(tmp_path / "net.onnx", ["n", 4], nodes=nodes), tmp_path)
    assert bundle.inputs[0].shape == (1, 4)


@pytest.mark.parametrize(
    "kind", [TensorProto.INT64, TensorProto.UINT8, TensorProto.FLOAT16, TensorProto.BOOL, TensorProto.DOUBLE]
)
def test_inputs_of_other_types_are_generated(tmp_path: Path, kind: int) -> None:
    bundle = bundle_for_model(save(tmp_path / "net.onnx", ["n", 4], kind), tmp_path)
    (x,) = bundle.load_inputs()
    assert x.dtype == helper.tensor_dtype_to_np_dtype(kind)
    assert x.min() != x.max()
    if x.dtype.kind in "iu":
        assert 0 <= x.min() <= x.max() < 10


def test_a_free_axis_needs_a_shape_and_the_text_says_how(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", ["n", "time", 4])
    with pytest.raises(ModelError, match=r"net\.onnx: input 'x' takes \?×\?×4.* --shape x=1x224x4"):
        bundle_for_model(path, tmp_path)
    assert bundle_for_model(path, tmp_path, shapes={"x": (1, 5, 4)}).inputs[0].shape == (None, 5, 4)


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"z": (1, 4)}, "has no input 'z'"),
        ({"x": (1, 5)}, "takes \\?×4, the shape given is 1×5"),
        ({"x": (1, 4, 4)}, "the shape given is 1×4×4"),
        ({"x": (0, 4)}, "the shape given is"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(tmp_path: Path, shapes: dict[str, tuple[int, ...]], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        bundle_for_model(save(tmp_path / "net.onnx", ["n", 4]), tmp_path, shapes=shapes)


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x08", b"PK\x03\x04 a wheel"])
def test_a_file_that_is_no_model_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        bundle_for_model(path, tmp_path)
    assert str(caught.value).startswith(f"{path}: not an ONNX model, or a damaged one")
    assert "\n" not in str(caught.value)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", ["n", 4])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ModelError, match=r"net\.onnx"):
        bundle_for_model(path, tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: no such file"):
        bundle_for_model(tmp_path / "none.onnx", tmp_path)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    model = onnx.load_model(save(tmp_path / "net.onnx", ["n", 4]))
    onnx.save_model(model, tmp_path / "split.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(ModelError, match="save it as one file"):
        bundle_for_model(tmp_path / "split.onnx", tmp_path)


def test_an_output_without_batch_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("ReduceSum", ["p"], ["y"], keepdims=0)]
    with pytest.raises(ModelError, match="output 'y' has shape 1 for a batch of"):
        bundle_for_model(save(tmp_path / "net.onnx", ["n", 4], nodes=nodes), tmp_path)


def test_a_variant_of_another_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no variant 'int9'; did you mean 'int8'"):
        bundle_for_model(save(tmp_path / "net.onnx", ["n", 4]), tmp_path, precisions=["int9"])


REFERENCE = {"y": np.array([[3.0, 4.0], [0.0, 1.0]])}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (REFERENCE["y"], 1.0),
        (REFERENCE["y"] * 1.02, 0.98),
        (REFERENCE["y"] * 2, 0.0),
        (REFERENCE["y"] * -1, 0.0),
        (REFERENCE["y"] * 0, 0.0),
        (np.array([[3.0, 4.0], [0.0, np.nan]]), 0.0),
        (np.array([[np.inf, 4.0], [0.0, 1.0]]), 0.0),
        (REFERENCE["y"][::-1], 0.0),
        (REFERENCE["y"][:1], 0.0),
        (np.array([[3.0, 4.0], [0.0, 0.9]]), 0.9),
    ],
)
def test_fidelity_is_that_of_the_worst_sample(seen: Any, expected: float) -> None:
    assert fidelity({"y": seen}, {}, REFERENCE) == pytest.approx(expected)


def test_fidelity_to_zero_is_exact_or_none() -> None:
    zero = {"y": np.zeros((2, 3))}
    assert fidelity(zero, {}, zero) == 1.0
    assert fidelity({"y": np.full((2, 3), 1e-9)}, {}, zero) == 0.0
    assert fidelity({}, {}, zero) == 0.0
