"""Times of operators from OpenVINO's counters: of the requests that count, of what ran, and of the CPU alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npubench.contract import Device, Model, OperatorTime, TensorSpec, Unsupported, parse_options
from npubench_openvino import OpenVinoBackend, OpenVinoOptions
from npubench_openvino.profile import between

SPECS = ((TensorSpec("x", "float32", (None, 3, 32, 32)),), (TensorSpec("y", "float32", (None, 16, 32, 32)),))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A convolution, which takes longer than the microsecond that the counters have for a step."""
    weights = np.random.default_rng(1).standard_normal((16, 3, 3, 3), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16, 32, 32])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return Model(path, "sha256:" + "0" * 64, "w", "fp32", *SPECS)


@pytest.mark.parametrize("values", [{}, {"batches": [1, 8], "streams": 2}, {"batches": []}])
def test_operators_of_exported_blobs_are_timed(model: Model, values: dict[str, Any], tmp_path: Path) -> None:
    backend = OpenVinoBackend()
    cpu = next(device for device in backend.probe().devices if device.name == "cpu")
    options = parse_options(OpenVinoOptions, values)
    artefact = backend.compile(model, cpu, options, tmp_path)
    inputs = [{"x": np.zeros((2, 3, 32, 32) if 8 in values.get("batches", ()) else (1, 3, 32, 32), np.float32)}] * 6
    found = backend.profile(artefact, cpu, options, inputs)
    assert found
    assert "Convolution" in {each.kind for each in found}
    assert {each.calls for each in found} == {6}
    assert {each.where for each in found} == {"device"}
    assert sum(each.nanoseconds for each in found) > 0
    # The measured way is as it was: nothing counts there.
    with backend.load(artefact, cpu, options) as executor:
        assert set(executor.execute(inputs[0])) == {"y"}


def info(name: str, micros: int, status: str = "EXECUTED") -> Any:
    told = SimpleNamespace(name=status)
    return SimpleNamespace(node_name=name, node_type="Conv", status=told, real_time=timedelta(microseconds=micros))


def test_the_requests_that_warmed_up_are_taken_off_the_mean() -> None:
    # Three calls of 1000 µs on average, then ten of 100: a mean of 307 µs over thirteen, cut to whole µs.
    after = [info("slow", 307), info("quick", 0), info("fused", 0, "OPTIMIZED_OUT"), info("constant", 0, "NOT_RUN")]
    found = between({"slow": 1000, "quick": 1}, after, 10)
    assert found == [OperatorTime("slow", "Conv", 991_000, 10, "device"), OperatorTime("quick", "Conv", 0, 10, "device")]


def test_what_other_devices_count_is_not_known(model: Model) -> None:
    gpu = Device("gpu:0", "Intel Arc", {"openvino": "GPU.0"})
    for options in (OpenVinoOptions(), OpenVinoOptions(allow_host_operators=True)):
        with pytest.raises(Unsupported, match="on Intel Arc has not been tried"):
            OpenVinoBackend().profile(None, gpu, options, [])  # type: ignore[arg-type]
