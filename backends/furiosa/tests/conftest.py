"""Fakes of the SDKs for tests in this process, and models to hand them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npubench.contract import Model, TensorSpec

FAKE = Path(__file__).parent / "fake"

#: Packages that a fake brings, and which a later test may want from another fake.
_TOPS = ("furiosa", "furiosa_smi", "furiosa_smi_py", "torch", "onnx2torch")


@pytest.fixture(scope="session")
def smi_python(vendor_python) -> Path:
    """An environment with the plug-in and the vendor's two SMI wheels, and nothing else of the vendor."""
    found: Path = vendor_python("furiosa", "furiosa-smi==2026.4.0", "furiosa-smi-py==2026.1.2")
    return found


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, toy, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Return ``fakes("warboy", "smi_py")``: from then on these are importable here, and in processes started from here."""

    def forget() -> None:
        for name in [n for n in sys.modules if n.partition(".")[0] in _TOPS]:
            del sys.modules[name]

    def put(*names: str) -> None:
        folders = [str(FAKE / name) for name in names]
        for folder in folders:
            monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))

    forget()
    monkeypatch.setenv("FAKE_WEIGHT", str(toy.site / "weight.npy"))
    monkeypatch.setenv("FAKE_COMPILES", str(tmp_path / "compiles"))
    yield put
    forget()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Return a function that puts the fake ``furiosa-compiler`` on the path, with an interpreter that has numpy."""

    def put() -> None:
        folder = tmp_path / "commands"
        folder.mkdir()
        command = folder / "furiosa-compiler"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE / "commands" / "furiosa-compiler"} "$@"\n')
        command.chmod(0o755)
        monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))

    return put


@pytest.fixture
def model(tmp_path: Path, toy) -> Callable[..., Model]:
    """Return ``model(precision, operator="")``: toy's graph as a backend gets it, with one more operator if wanted."""

    def make(precision: str, operator: str = "", calibrated: bool = True) -> Model:
        nodes = [
            helper.make_node("Flatten", ["image"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
        ]
        if operator:
            nodes.append(helper.make_node(operator, ["image"], ["more"], name=operator))
        graph = helper.make_graph(
            nodes,
            "toy",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *toy.image.shape[1:]])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 5])],
            [numpy_helper.from_array(toy.weight, "weight")],
        )
        path = tmp_path / "model.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
        samples = tmp_path / "image.npy"
        np.save(samples, toy.image[24:])
        return Model(
            path,
            "sha256:" + "0" * 64,
            "toy",
            precision,
            (TensorSpec("image", "float32", (None, 3, 8, 6), "NCHW"),),
            (TensorSpec("scores", "float32", (None, 5)),),
            {"image": samples} if calibrated else {},
        )

    return make
