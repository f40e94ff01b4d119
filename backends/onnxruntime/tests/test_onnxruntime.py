"""ONNX Runtime as a backend: what it says of itself, what it loads, and what it computes."""

from __future__ import annotations

import sys
import threading
import types
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from npubench.contract import (
    Artefact,
    Device,
    Executor,
    Model,
    OptionError,
    Rung,
    TensorSpec,
    Unsupported,
    WrongArtefact,
    parse_options,
)
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
    assert (found.rung, found.reason) == (Rung.NOT_INSTALLED, "onnxruntime is not installed")
    assert "npubench-onnxruntime[cpu]" in found.advice


def test_what_two_builds_leave_of_each_other_is_a_broken_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    found = OnnxRuntimeBackend().probe()
    assert found.rung is Rung.SDK_BROKEN
    assert "AttributeError" in found.reason
    assert "overwrite each other" in found.advice


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


@pytest.mark.parametrize("bound", [False, True])
def test_a_returned_output_is_not_written_to_again(tmp_path: Path, bound: bool) -> None:
    """ONNX Runtime writes into a binding's outputs again; what is returned must be out of its reach."""
    executor = load(model_file(tmp_path / "m.onnx"), io_binding=bound)
    first = executor.execute({"x": np.ones((1, 2), np.float32)})["y"]
    executor.execute({"x": np.zeros((1, 2), np.float32)})
    np.testing.assert_array_equal(first, [[2, 2, 2]])


def test_bound_requests_of_any_batch_are_answered(tmp_path: Path) -> None:
    """ONNX Runtime refuses a binding whose outputs have another shape than the request before."""
    executor = load(model_file(tmp_path / "m.onnx"), io_binding=True)
    assert executor.notes()["io binding"] == "outputs on cpu"
    for rows in (1, 3, 3, 2, 1):
        values = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
        values.setflags(write=False)
        np.testing.assert_array_equal(executor.execute({"x": values})["y"], values.sum(1, keepdims=True).repeat(3, 1))


def test_a_bound_output_whose_shape_hangs_on_the_values_is_answered(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1, "found"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    executor = load(tmp_path / "m.onnx", io_binding=True)
    for values, found in (([0, 1, 1], [[1, 2]]), ([0, 0, 1], [[2]]), ([1, 1, 1], [[0, 1, 2]])):
        np.testing.assert_array_equal(executor.execute({"x": np.array(values, np.float32)})["y"], found)


def test_bound_requests_in_flight_do_not_mix(tmp_path: Path) -> None:
    executor = load(model_file(tmp_path / "m.onnx"), io_binding=True, streams=4, threads=1)
    answers: dict[float, list[float]] = {}

    def ask(value: float) -> None:
        x = np.full((1, 2), value, np.float32)
        answers[value] = [float(executor.execute({"x": x})["y"].mean()) for _ in range(200)]

    threads = [threading.Thread(target=ask, args=(float(n),)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {float(n): [2.0 * n] * 200 for n in range(1, 5)}


GOOD = np.ones((1, 2), np.float32)


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "input 'x' is missing"),
        ({"z": GOOD}, "unknown input 'z'; valid are: x"),
        ({"x": GOOD, "z": GOOD}, "unknown input 'z'; valid are: x"),
        ({"x": GOOD.astype(np.float64)}, "input 'x' is float64 .*; declared is float32"),
        ({"x": np.ones((1, 3), np.float32)}, r"input 'x' is float32 of shape \[1, 3\]; declared is float32 of shape \[any, 2\]"),
        ({"x": np.ones(2, np.float32)}, r"input 'x' is float32 of shape \[2\]"),
    ],
)
def test_a_wrong_request_is_refused_in_the_callers_terms(
    tmp_path: Path, inputs: dict[str, np.ndarray], said: str, bound: bool
) -> None:
    executor = load(model_file(tmp_path / "m.onnx"), io_binding=bound)
    with pytest.raises(ValueError, match=said):
        executor.execute(inputs)
    np.testing.assert_array_equal(executor.execute({"x": GOOD})["y"], [[2, 2, 2]])


def test_a_closed_session_says_so(tmp_path: Path) -> None:
    executor = load(model_file(tmp_path / "m.onnx"))
    executor.close()
    with pytest.raises(RuntimeError, match="closed"):
        executor.execute({"x": GOOD})


def test_a_fixed_batch_is_the_largest(tmp_path: Path) -> None:
    assert load(model_file(tmp_path / "m.onnx", batch=4)).max_batch == 4


def test_streams_are_requests_in_flight(tmp_path: Path) -> None:
    assert load(model_file(tmp_path / "m.onnx"), streams=3).max_in_flight == 3


def test_offload_counts_every_operator_on_the_provider(tmp_path: Path) -> None:
    account = load(model_file(tmp_path / "m.onnx"), graph="off").offload()
    assert account is not None
    assert (account.device_operators, account.host_operators) == (2, 0)


def test_a_file_that_is_no_model_is_the_wrong_artefact(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(WrongArtefact, match=r"onnxruntime \d.*cannot read it.*m\.onnx.*hand in an \.onnx or \.ort file"):
        load(tmp_path / "m.onnx")


def test_a_model_of_a_newer_format_is_the_wrong_artefact(tmp_path: Path) -> None:
    model = onnx.load(model_file(tmp_path / "m.onnx"))
    model.ir_version = 1000
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(WrongArtefact, match="IR version: 1000"):
        load(tmp_path / "m.onnx")


def test_an_operator_that_nothing_has_a_kernel_for_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="MatMul"):
        load(model_file(tmp_path / "m.onnx", element=TensorProto.BFLOAT16), graph="off")


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
