"""ONNX Runtime as a backend: what it says of itself, what it loads, and what it computes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from npubench.contract import Artefact, Device, Executor, Model, OptionError, Rung, TensorSpec, parse_options
from npubench_onnxruntime import OnnxRuntimeBackend, SessionOptions

CPU = Device("cpu", "CPUExecutionProvider")
DIGEST = "sha256:" + "0" * 64


def model_file(path: Path, batch: int | str = "n", element: int = TensorProto.FLOAT) -> Path:
    """A product with two rows of ones, then Relu: y[k] = relu(x[0] + x[1])."""
    weights = helper.make_tensor("w", element, [2, 3], [1] * 6)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Relu", ["z"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", element, [batch, 2])],
        [helper.make_tensor_value_info("y", element, [batch, 3])],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def load(path: Path, **options: object) -> Executor:
    return OnnxRuntimeBackend().load(Artefact(path, "onnx"), CPU, parse_options(SessionOptions, options))


def test_it_is_ready_with_a_device_a_provider() -> None:
    found = OnnxRuntimeBackend().probe()
    assert found.rung is Rung.READY
    assert CPU.name in {device.name for device in found.devices}
    assert not any(device.kind.startswith("Azure") for device in found.devices)
    assert found.versions["onnxruntime"]


def test_without_the_runtime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = OnnxRuntimeBackend().probe()
    assert found.rung is Rung.NOT_INSTALLED
    assert "npubench-onnxruntime[cpu]" in found.reason


def test_it_computes_what_the_graph_says_for_any_batch(tmp_path: Path) -> None:
    executor = load(model_file(tmp_path / "m.onnx"), threads=1)
    assert executor.inputs == [TensorSpec("x", "float32", (None, 2))]
    assert executor.outputs == [TensorSpec("y", "float32", (None, 3))]
    assert executor.max_batch is None
    values = np.array([[1, 2], [-5, 1]], np.float32)
    values.setflags(write=False)
    outputs = executor.execute({"x": values})
    np.testing.assert_array_equal(outputs["y"], [[3, 3, 3], [0, 0, 0]])
    executor.close()
    executor.close()


def test_a_returned_output_is_not_written_to_again(tmp_path: Path) -> None:
    executor = load(model_file(tmp_path / "m.onnx"))
    first = executor.execute({"x": np.ones((1, 2), np.float32)})["y"]
    executor.execute({"x": np.zeros((1, 2), np.float32)})
    np.testing.assert_array_equal(first, [[2, 2, 2]])


def test_a_fixed_batch_is_the_largest(tmp_path: Path) -> None:
    assert load(model_file(tmp_path / "m.onnx", batch=4)).max_batch == 4


def test_streams_are_requests_in_flight(tmp_path: Path) -> None:
    assert load(model_file(tmp_path / "m.onnx"), streams=3).max_in_flight == 3


def test_offload_counts_every_operator_on_the_provider(tmp_path: Path) -> None:
    account = load(model_file(tmp_path / "m.onnx"), graph="off").offload()
    assert account is not None
    assert (account.device_operators, account.host_operators) == (2, 0)


def test_a_damaged_file_is_refused_at_load(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(Exception, match=r"m\.onnx"):
        load(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"thread": 1}, "did you mean 'threads'"), ({"graph": "most"}, "is not valid"), ({"threads": "1"}, "not of type int")],
)
def test_wrong_options_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        parse_options(SessionOptions, options)


def test_it_has_no_quantiser_of_its_own(tmp_path: Path) -> None:
    def asked(precision: str) -> bool:
        spec = TensorSpec("x", "float32", (None, 2))
        return OnnxRuntimeBackend().supports(Model(tmp_path, DIGEST, "w", precision, (spec,), (spec,)), CPU).supported

    assert asked("fp32")
    assert asked("int8")
    assert not asked("vendor")
