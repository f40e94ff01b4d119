"""OpenVINO on this CPU for real: what it says of itself, what it compiles, and what it computes."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
from npubench_openvino import OpenVinoBackend, OpenVinoOptions, devices

DIGEST = "sha256:" + "0" * 64
SPECS = ((TensorSpec("x", "float32", (None, 2)),), (TensorSpec("y", "float32", (None, 3)),))


def model_file(path: Path, batch: int | str = "n") -> Path:
    """y[k] = relu(x[0] + x[1]), three times."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Relu", ["z"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor("w", TensorProto.FLOAT, [2, 3], [1] * 6)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def failing_file(path: Path) -> Path:
    """y = x in the shape that the values of s say: a request with a wrong one fails while it is computed."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["s", "two"], ["t"]), helper.make_node("Reshape", ["x", "t"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4]),
            helper.make_tensor_value_info("s", TensorProto.INT64, ["n", 2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"])],
        [helper.make_tensor("two", TensorProto.INT64, [1], [2])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def cpu() -> Device:
    return next(device for device in OpenVinoBackend().probe().devices if device.name == "cpu")


def options(**values: Any) -> OpenVinoOptions:
    return parse_options(OpenVinoOptions, values)


def compiled(path: Path, cpu: Device, precision: str = "fp32", **values: Any) -> Artefact:
    work = path.parent / f"work-{len(list(path.parent.iterdir()))}"
    work.mkdir()
    return OpenVinoBackend().compile(Model(path, DIGEST, "w", precision, *SPECS), cpu, options(**values), work)


def load(path: Path, cpu: Device, **values: Any) -> Executor:
    return OpenVinoBackend().load(Artefact(path, path.suffix[1:]), cpu, options(**values))


def ones(count: int) -> dict[str, Any]:
    values = np.arange(1, 2 * count + 1, dtype=np.float32).reshape(count, 2)
    values.setflags(write=False)
    return {"x": values}


def answer(count: int) -> Any:
    return np.repeat(ones(count)["x"].sum(axis=1, keepdims=True), 3, axis=1)


# -- what it says of itself -------------------------------------------------------------------------------------------


def test_it_is_ready_with_the_cpu() -> None:
    found = OpenVinoBackend().probe()
    assert found.rung is Rung.READY
    assert "cpu" in {device.name for device in found.devices}
    assert found.versions["openvino"]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'openvino'", name="openvino")

    monkeypatch.setattr(devices.importlib, "import_module", absent)
    found = OpenVinoBackend().probe()
    assert found.rung is Rung.NOT_INSTALLED
    assert "npubench-openvino[runtime]" in found.advice


@pytest.mark.parametrize("error", [ImportError("libopenvino.so: cannot open"), ModuleNotFoundError("No module", name="numpy.x")])
def test_a_package_that_does_not_import_is_broken(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(name: str) -> Any:
        raise error

    monkeypatch.setattr(devices.importlib, "import_module", broken)
    found = OpenVinoBackend().probe()
    assert found.rung is Rung.SDK_BROKEN
    assert str(error) in found.reason


def fake(*names: str) -> SimpleNamespace:
    """What the probe asks of OpenVINO, with other devices than this machine's."""
    said = {"FULL_DEVICE_NAME": "Intel(R) Thing", "OPTIMIZATION_CAPABILITIES": ["FP16", "INT8"]}
    core = SimpleNamespace(available_devices=list(names), get_property=lambda device, key: said[key])
    return SimpleNamespace(Core=lambda: core, get_version=lambda: "2026.9")


def test_gpus_and_the_npu_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for OpenVINO's list of devices: it proves the names, and nothing of a GPU."""
    monkeypatch.setitem(sys.modules, "openvino", fake("CPU", "GPU", "GPU.1", "NPU"))
    found = OpenVinoBackend().probe()
    assert [device.name for device in found.devices] == ["cpu", "gpu:0", "gpu:1", "npu"]
    assert [device.details["openvino"] for device in found.devices] == ["CPU", "GPU", "GPU.1", "NPU"]
    assert {device.kind for device in found.devices} == {"Intel(R) Thing"}


def test_an_installation_without_device_plugins_has_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", fake())
    assert OpenVinoBackend().probe().rung is Rung.NO_DEVICE


# -- compiling --------------------------------------------------------------------------------------------------------


def test_a_blob_computes_what_the_onnx_file_does(tmp_path: Path, cpu: Device) -> None:
    artefact = compiled(model_file(tmp_path / "m.onnx"), cpu, batches=[1, 4])
    assert artefact.compiler.startswith("openvino 20")
    executor = OpenVinoBackend().load(artefact, cpu, options(batches=[1, 4]))
    np.testing.assert_array_equal(executor.execute(ones(3))["y"], answer(3))


def test_the_key_follows_what_matters_to_a_blob(cpu: Device) -> None:
    backend = OpenVinoBackend()
    plain = backend.compile_key(cpu, options())
    assert plain == backend.compile_key(cpu, options(requests=4, asynchronous=False))
    for other in ({"precision": "bf16"}, {"batches": [8]}, {"threads": 1}, {"hint": "throughput"}):
        assert backend.compile_key(cpu, options(**other)) != plain


def test_fp32_means_fp32(tmp_path: Path, cpu: Device) -> None:
    executor = load(model_file(tmp_path / "m.onnx"), cpu)
    notes = executor.notes()
    assert notes["inference_precision_hint"] == "f32"
    assert "f32" in notes["operators by precision"]
    assert "bf16" not in notes["operators by precision"]


def test_a_precision_that_the_device_has_not_is_refused(tmp_path: Path, cpu: Device) -> None:
    other = replace(cpu, details={**cpu.details, "capabilities": "FP16 INT8 EXPORT_IMPORT"})
    path = model_file(tmp_path / "m.onnx")
    with pytest.raises(Unsupported, match=r'does not compute in f32.*precision = "f16"'):
        compiled(path, other)
    with pytest.raises(WrongArtefact, match="does not compute in f32"):
        load(path, other)


def test_a_model_that_openvino_refuses_is_unsupported_in_its_words(tmp_path: Path, cpu: Device) -> None:
    path = model_file(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.node[1].op_type = "Frobnicate"
    onnx.save(model, path)
    with pytest.raises(Unsupported, match="Frobnicate"):
        compiled(path, cpu)


def test_a_device_that_exports_nothing_is_handed_the_onnx_file(tmp_path: Path, cpu: Device) -> None:
    path = model_file(tmp_path / "m.onnx")
    artefact = compiled(path, replace(cpu, details={**cpu.details, "capabilities": "FP32 INT8"}))
    assert (artefact.path, artefact.format) == (path, "onnx")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("openvino", "2020.1", "was made for openvino 2020.1"),
        ("device", "Xe", "was made for device Xe"),
        ("blobs", 3, "no folder"),
    ],
)
def test_blobs_of_another_version_or_device_are_refused(tmp_path: Path, cpu: Device, key: str, value: Any, said: str) -> None:
    artefact = compiled(model_file(tmp_path / "m.onnx"), cpu)
    manifest = artefact.path / "blobs.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), key: value}))
    with pytest.raises(WrongArtefact, match=f"{said}.*compile the model again"):
        OpenVinoBackend().load(artefact, cpu, options())


@pytest.mark.parametrize("name", ["m.blob", "m.onnx", "m.xml"])
def test_junk_is_refused(tmp_path: Path, cpu: Device, name: str) -> None:
    (tmp_path / name).write_bytes(b"no model" * 100)
    with pytest.raises(WrongArtefact, match="OpenVINO 20"):
        load(tmp_path / name, cpu)


def test_a_blob_alone_can_be_handed_in(tmp_path: Path, cpu: Device) -> None:
    artefact = compiled(model_file(tmp_path / "m.onnx"), cpu)
    executor = load(next(artefact.path.glob("*.blob")), cpu)
    assert executor.max_batch == 1
    np.testing.assert_array_equal(executor.execute(ones(1))["y"], answer(1))


# -- computing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batches", "most"), [([1], 1), ([1, 4], 4), ([], None)])
def test_any_batch_up_to_the_largest(tmp_path: Path, cpu: Device, batches: list[int], most: int | None) -> None:
    executor = load(model_file(tmp_path / "m.onnx"), cpu, batches=batches)
    assert executor.max_batch == most
    assert list(executor.inputs) == list(SPECS[0])
    assert list(executor.outputs) == list(SPECS[1])
    for count in range(1, (most or 5) + 1):
        np.testing.assert_array_equal(executor.execute(ones(count))["y"], answer(count))


def test_a_fixed_batch_of_the_model_is_kept(tmp_path: Path, cpu: Device) -> None:
    executor = load(model_file(tmp_path / "m.onnx", batch=4), cpu)
    assert executor.max_batch == 4
    np.testing.assert_array_equal(executor.execute(ones(2))["y"], answer(2))


def test_requests_are_what_openvino_calls_optimal_or_what_is_asked(tmp_path: Path, cpu: Device) -> None:
    path = model_file(tmp_path / "m.onnx")
    import openvino

    core = openvino.Core()
    # One on most machines; one a socket where there are several.
    optimal = core.compile_model(path, "CPU", {"PERFORMANCE_HINT": "LATENCY"}).get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    assert load(path, cpu).max_in_flight == optimal
    assert load(path, cpu, requests=optimal + 2).max_in_flight == optimal + 2
    assert load(path, cpu, requests=3).max_in_flight == 3


def test_submit_answers_each_request(tmp_path: Path, cpu: Device) -> None:
    executor = load(model_file(tmp_path / "m.onnx"), cpu, requests=2, batches=[1, 4])
    got: dict[int, Any] = {}
    left = threading.Semaphore(0)

    def done(number: int) -> Any:
        def call(outputs: Any, error: BaseException | None) -> None:
            got[number] = error or outputs["y"]
            left.release()

        return call

    for count in (1, 2, 3, 4):
        executor.submit(ones(count), done(count))
    for _ in range(4):
        assert left.acquire(timeout=30)
    for count in (1, 2, 3, 4):
        np.testing.assert_array_equal(got[count], answer(count))
    executor.close()


def test_a_request_that_fails_is_reported_though_openvino_calls_nobody(tmp_path: Path, cpu: Device) -> None:
    executor = load(failing_file(tmp_path / "m.onnx"), cpu, requests=2)
    ended = threading.Event()
    got: list[Any] = []

    def done(outputs: Any, error: BaseException | None) -> None:
        got.append((outputs, error))
        ended.set()

    executor.submit({"x": np.ones((1, 4), np.float32), "s": np.array([[3, 2]])}, done)
    assert ended.wait(30)
    executor.close()
    assert len(got) == 1
    assert got[0][0] is None
    assert "reshape" in str(got[0][1])


def test_without_the_queue_there_is_no_submit(tmp_path: Path, cpu: Device) -> None:
    executor = load(model_file(tmp_path / "m.onnx"), cpu, asynchronous=False)
    assert type(executor).submit is Executor.submit
    np.testing.assert_array_equal(executor.execute(ones(1))["y"], answer(1))


def test_every_operator_runs_on_the_cpu(tmp_path: Path, cpu: Device) -> None:
    account = load(model_file(tmp_path / "m.onnx"), cpu).offload()
    assert account is not None
    assert account.device_operators > 0
    assert account.host_operators == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"prec": "f32"}, "did you mean 'precision'"),
        ({"precision": "fp32"}, "did you mean 'f32'"),
        ({"batches": [0]}, "below 1"),
        ({"threads": -1}, "negative"),
        ({"threads": "1"}, "not of type int"),
    ],
)
def test_wrong_options_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        options(**values)


@pytest.mark.parametrize("precision", ["vendor", "int8"])
def test_it_has_no_quantiser_of_its_own(tmp_path: Path, cpu: Device, precision: str) -> None:
    model = Model(tmp_path, DIGEST, "w", precision, *SPECS)
    assert OpenVinoBackend().supports(model, cpu).supported is (precision == "int8")


def test_the_readme_lists_every_option() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)
    assert listed == [field.name for field in dataclasses.fields(OpenVinoOptions)]
