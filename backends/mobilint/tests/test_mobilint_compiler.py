"""Compiling, with a stand-in for ``qbcompiler`` that has its documented arguments. Proves what is handed over, and no MXQ."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from npubench.contract import Device, Model, TensorSpec, Unsupported
from npubench_mobilint import MobilintBackend, MobilintOptions, compiler

ARIES, REGULUS = Device("aries:0", "ARIES-RB", {"runtime name": "aries-rb"}), Device("regulus:0", "REGULUS-RB")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    image = np.arange(2 * 3 * 8 * 6, dtype=np.float32).reshape(2, 3, 8, 6)
    np.save(tmp_path / "image.npy", image)
    return Model(
        path=tmp_path / "toy.onnx",
        digest="sha256:0",
        workload="toy",
        precision="vendor",
        inputs=(TensorSpec("image", "float32", (None, 3, 8, 6), "NCHW"),),
        outputs=(TensorSpec("scores", "float32", (None, 5)),),
        calibration={"image": tmp_path / "image.npy"},
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put a stand-in for the compiler in place; returns what it is called with."""
    made: list[dict[str, Any]] = []

    def mxq_compile(
        *,
        model: str,
        calib_data_path: str,
        save_path: str,
        backend: str,
        device: str,
        target_device: str,
        inference_scheme: str,
        **more: Any,
    ) -> None:
        samples = [np.load(path) for path in sorted(Path(calib_data_path).glob("*.npy"))]
        made.append({"samples": samples, "target": target_device, "scheme": inference_scheme, "device": device, **more})
        if "refuse" in model:
            raise ValueError("Unsupported operator: GridSample\nsecond line")
        if "silent" not in model:
            Path(save_path).write_bytes(b"MXQ")

    module = ModuleType("qbcompiler")
    module.mxq_compile = mxq_compile  # type: ignore[attr-defined]
    module.Uint8InputConfig = lambda apply, inputs: ("uint8", apply, inputs)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "qbcompiler", module)
    return made


def renamed(model: Model, **change: Any) -> Model:
    return replace(model, **change)


def test_the_compiler_gets_samples_in_hwc_and_the_chip(calls: list[dict[str, Any]], model: Model, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    artefact = MobilintBackend().compile(model, ARIES, MobilintOptions(core_mode="global8"), work)
    (call,) = calls
    samples = call.pop("samples")
    assert call == {"target": "aries-rb", "scheme": "all", "device": "cpu", "uint8_input_config": ("uint8", False, [])}
    np.testing.assert_array_equal(samples[1], np.moveaxis(np.load(tmp_path / "image.npy")[1], 0, -1))
    assert [path.name for path in work.iterdir()] == ["toy.mxq"], "the calibration samples are no part of the artefact"
    assert (artefact.format, artefact.path.name) == ("mxq", "toy.mxq")


def test_regulus_has_one_core_and_the_host_is_asked_for_by_name(
    calls: list[dict[str, Any]], model: Model, tmp_path: Path
) -> None:
    options = MobilintOptions(core_mode="multi", allow_host_operators=True, compile_on="gpu")
    MobilintBackend().compile(model, REGULUS, options, tmp_path)
    assert calls[0]["scheme"] == "single"
    assert (calls[0]["target"], calls[0]["device"], calls[0]["cpu_offload"]) == ("regulus-rb", "gpu", True)


@pytest.mark.parametrize(
    ("name", "words"),
    [("refuse.onnx", r"^qbcompiler .*: ValueError: Unsupported operator: GridSample$"), ("silent.onnx", "wrote no toy.mxq")],
)
def test_what_the_compiler_refuses_is_told_in_its_words(
    calls: list[dict[str, Any]], model: Model, tmp_path: Path, name: str, words: str
) -> None:
    with pytest.raises(Unsupported, match=words):
        MobilintBackend().compile(renamed(model, path=Path(name)), ARIES, MobilintOptions(), tmp_path)
    assert not (tmp_path / "calibration").exists()


@pytest.mark.parametrize(
    ("change", "words"), [({"precision": "fp32"}, "makes no fp32"), ({"calibration": {}}, "one input alone")]
)
def test_what_is_not_tried_says_how_to_hand_an_mxq_in(
    calls: list[dict[str, Any]], model: Model, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(Unsupported, match=rf'{words}.*artefacts = {{ toy = "FILE.mxq" }}'):
        MobilintBackend().compile(renamed(model, **change), ARIES, MobilintOptions(), tmp_path)
    assert calls == []


def test_without_the_compiler_it_says_how_to_hand_an_mxq_in(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "qbcompiler", None)
    with pytest.raises(Unsupported, match=r'qbcompiler is not in this environment; .*artefacts = { toy = "FILE.mxq" }'):
        MobilintBackend().compile(model, ARIES, MobilintOptions(), tmp_path)


def test_artefacts_are_keyed_by_compiler_chip_and_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    key = MobilintBackend().compile_key
    keys = [
        key(ARIES, MobilintOptions()),
        key(ARIES, MobilintOptions(core_mode="global8")),
        key(REGULUS, MobilintOptions()),
        key(ARIES, MobilintOptions(compile_on="gpu")),
        key(ARIES, MobilintOptions(allow_host_operators=True)),
    ]
    assert len(set(keys)) == len(keys)
    assert key(ARIES, MobilintOptions(slots=3, asynchronous=True)) == keys[0]
    assert key(REGULUS, MobilintOptions(core_mode="multi")) == keys[2]
    monkeypatch.setattr(compiler, "version", lambda name: "1.2.0")
    assert key(ARIES, MobilintOptions()) not in keys
