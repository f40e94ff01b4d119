"""The changed model is compiled, loaded and run past the cache; whatever a plug-in raises is an observation."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Model, Rung, Support, TensorSpec, Unsupported
from npubench.measure.audits import perturbed_weights
from npubench.measure.audits.bench import NotCarriedOut
from npubench.measure.audits.perturbed_weights import CHALLENGE, MODEL, PerturbedWeights

X = np.arange(24, dtype=np.float32).reshape(6, 4)
SPECS = (TensorSpec("x", "float32", (None, 4)),), (TensorSpec("y", "float32", (None, 4)),)


class Doubling(Executor):
    inputs, outputs = SPECS
    max_batch = 2
    closed = False

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def execute(self, inputs: Any) -> Any:
        assert len(inputs["x"]) <= 2
        if self.fault == "execute":
            raise SystemExit(3)
        return {"y": inputs["x"] * 2}

    def close(self) -> None:
        type(self).closed = True
        if self.fault == "close":
            raise RuntimeError("stuck")


class Plugin(Backend):
    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def probe(self) -> Availability:
        return Availability(Rung.READY, devices=(Device("npu0", "ACME-1"),))

    def supports(self, model: Model, device: Device) -> Support:
        return Support(self.fault != "supports", "another network")

    def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
        assert (model.path.name, list(work.iterdir())) == (MODEL, [])
        (work / "compiled").write_bytes(model.path.read_bytes())
        if self.fault == "compile":
            raise Unsupported("E42")
        return Artefact(work / "compiled", "acme")

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        if self.fault == "load":
            raise RuntimeError("no")
        return Doubling(self.fault)


def bench(folder: Path, fault: str = "") -> Any:
    model = Model(Path("fp32/model.onnx"), "sha256:0", "tiny", "fp32", *SPECS)
    return SimpleNamespace(
        folder=folder,
        backend=Plugin(fault),
        device=Device("npu0", "ACME-1"),
        options=None,
        spec=SimpleNamespace(precision="fp32"),
        load=SimpleNamespace(batch=4),
        bundle=SimpleNamespace(inputs=SPECS[0], outputs=SPECS[1], model=lambda precision: model),
        inputs_of=lambda samples: [X[list(samples)]],
        guard=SimpleNamespace(own=contextlib.nullcontext),
        arrays={},
    )


@pytest.fixture
def handed_over(tmp_path: Path) -> Path:
    (tmp_path / MODEL).write_bytes(b"onnx")
    (tmp_path / CHALLENGE).write_text(json.dumps({"samples": [5, 0, 3]}), encoding="utf-8")
    return tmp_path


def test_the_changed_model_is_run_and_leaves_only_what_it_answered(handed_over: Path) -> None:
    made = bench(handed_over)
    seen = PerturbedWeights().carry_out(made)
    assert (seen["refused"], seen["step"], seen["batch"]) == ("", "close", 2)
    assert np.array_equal(made.arrays["perturbed-weights/0"], X[[5, 0, 3]] * 2)
    assert len(seen["answer_ns"]) == 5 * 2
    assert sorted(path.name for path in handed_over.iterdir()) == [CHALLENGE, MODEL]
    json.dumps(seen, allow_nan=False)


@pytest.mark.parametrize(
    "fault, step, words",
    [
        ("supports", "compile", "another network"),
        ("compile", "compile", "E42"),
        ("load", "load", "no"),
        ("execute", "execute", "SystemExit"),
        ("close", "close", "stuck"),
    ],
)
def test_what_a_plug_in_raises_is_written_down(handed_over: Path, fault: str, step: str, words: str) -> None:
    seen = PerturbedWeights().carry_out(bench(handed_over, fault))
    assert seen["step"] == step
    assert words in seen["refused"]
    assert seen["unsupported"] is (step == "compile")
    assert not (handed_over / MODEL.removesuffix(".onnx")).exists()
    if fault in ("execute", "close"):
        assert Doubling.closed


def test_a_supervisor_that_has_no_model_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / CHALLENGE).write_text(json.dumps({"not_carried_out": "the model has 900 MiB"}), encoding="utf-8")
    with pytest.raises(NotCarriedOut, match="900 MiB"):
        PerturbedWeights().carry_out(bench(tmp_path))
    (tmp_path / CHALLENGE).unlink()
    monkeypatch.setattr(perturbed_weights, "_PATIENCE_S", 0.05)
    with pytest.raises(NotCarriedOut, match="handed over"):
        PerturbedWeights().carry_out(bench(tmp_path))
