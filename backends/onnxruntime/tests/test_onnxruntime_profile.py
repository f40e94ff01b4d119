"""Times of operators from ONNX Runtime's own trace: each microsecond once, and only where the trace is a time of the device."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from npubench.contract import Artefact, Device, Unsupported, parse_options
from npubench_onnxruntime import OnnxRuntimeBackend, SessionOptions
from npubench_onnxruntime.devices import CPU
from npubench_onnxruntime.profile import from_trace

HOST = Device("cpu", CPU, {"provider": CPU}, host=True)
TURNS = 5


def looping_file(path: Path) -> Path:
    """y = x times two, TURNS times over, in a Loop; then Relu."""
    body = helper.make_graph(
        [helper.make_node("Add", ["v", "v"], ["w"], name="inner"), helper.make_node("Identity", ["c"], ["d"], name="going")],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, []), helper.make_tensor_value_info("w", TensorProto.FLOAT, None)],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["turns", "go", "x"], ["z"], name="outer", body=body),
            helper.make_node("Relu", ["z"], ["y"], name="last"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        [
            helper.make_tensor("turns", TensorProto.INT64, [], [TURNS]),
            helper.make_tensor("go", TensorProto.BOOL, [], [True]),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def profile(path: Path, requests: int, **options: Any) -> dict[str, Any]:
    inputs = [{"x": np.full((2, 64), n, np.float32)} for n in range(requests)]
    told = OnnxRuntimeBackend().profile(Artefact(path, "onnx"), HOST, parse_options(SessionOptions, options), inputs)
    assert told is not None
    return {each.kind: each for each in told}


@pytest.mark.parametrize("parallel", [False, True])
def test_warm_up_counts_nowhere_and_operators_in_a_loop_by_themselves(
    tmp_path: Path, parallel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.chdir(scratch)
    found = profile(looping_file(tmp_path / "model.onnx"), 7, graph="off", parallel=parallel, inter_threads=2)
    assert {"Loop", "Add", "Relu"} <= set(found)
    assert (found["Loop"].calls, found["Relu"].calls, found["Add"].calls) == (7, 7, 7 * TURNS)
    assert {each.where for each in found.values()} == {"device"}
    assert all(type(each.nanoseconds) is int and each.nanoseconds >= 0 for each in found.values())
    # Its trace is gone, and none lies where the process stands.
    assert list(scratch.iterdir()) == []


def event(name: str, ts: int, dur: int, kind: str = "Add", provider: str = CPU, tid: int = 1) -> dict[str, Any]:
    said = {"op_name": kind, "provider": provider, "node_index": "3"}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "tid": tid, "args": said}


def run(ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur, "tid": 1}


def test_what_runs_inside_of_another_is_taken_off_it() -> None:
    events = [
        event("warm", 10, 80),
        run(0, 100),
        event("inner", 110, 20),
        event("inner", 130, 30),
        event("outer", 105, 70, "Loop"),
        event("beside", 105, 50, tid=2),
        event("after", 175, 5),
        run(100, 100),
    ]
    found = {each.name: each for each in from_trace(events, CPU, 1)}
    assert set(found) == {"inner", "outer", "beside", "after"}
    assert (found["outer"].nanoseconds, found["outer"].kind) == (20_000, "Loop")
    assert (found["inner"].nanoseconds, found["inner"].calls) == (50_000, 2)
    assert found["beside"].nanoseconds == 50_000


def test_two_loops_deep_and_events_without_length() -> None:
    events = [
        event("outermost", 0, 100, "Loop"),
        event("middle", 10, 50, "If"),
        event("inner", 10, 40),
        event("short", 60, 0),
        event("short", 100, 0),
        run(0, 101),
    ]
    found = {each.name: each.nanoseconds // 1000 for each in from_trace(events, CPU, 1)}
    assert found == {"outermost": 50, "middle": 10, "inner": 40, "short": 0}


def test_who_ran_it_says_where() -> None:
    events = [event("a", 1, 2, provider="AcmeExecutionProvider"), event("b", 3, 4), event("c", 8, 1, provider=""), run(0, 10)]
    found = {each.name: each.where for each in from_trace(events, "AcmeExecutionProvider", 1)}
    assert found == {"a": "device", "b": "host", "c": ""}


def test_a_trace_that_was_cut_off_is_not_believed() -> None:
    with pytest.raises(RuntimeError, match="has 1 requests of 2: it was cut off"):
        from_trace([run(0, 10)], CPU, 2)


@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "TensorrtExecutionProvider"])
def test_a_provider_that_queues_work_has_no_times(provider: str, tmp_path: Path) -> None:
    device = Device("gpu:0", "GPU", {"provider": provider})
    with pytest.raises(Unsupported, match="returns before the device is done"):
        OnnxRuntimeBackend().profile(Artefact(tmp_path / "none.onnx", "onnx"), device, SessionOptions(), [{}])
