"""A vendor's environment, a workload small enough for a fake of its SDK, and a night in both.

What these prove: the plug-in, its process, its interpreter and its record, with every call a real SDK would get. They prove
no number and no answer of a real chip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent

CHANNELS, HEIGHT, WIDTH, CLASSES = 3, 8, 6, 5

_MANIFEST = """
schema_version = 1
name = "toy"
version = "1"
precisions = ["fp32"]
licence = "Apache-2.0"
latency_bound_ms = 100.0

[title]
en = "A small image classifier"
ko = "작은 이미지 분류기"

[task]
en = "None"
ko = "없음"

[layout]
image = "NCHW"

[gate]
metric = "top-1"
unit = "ratio"
claim = "accuracy"
"""

_MODULE = """
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from npubench.plan.workload import Draft


def build(sources):
    image = np.load(FOLDER + "/image.npy")
    weight = np.load(FOLDER + "/weight.npy")
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["flat"], axis=1), helper.make_node("MatMul", ["flat", "weight"], ["scores"])],
        "toy",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *image.shape[1:]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", weight.shape[1]])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    truth = (image.reshape(len(image), -1) @ weight).argmax(axis=1)
    return Draft(model, {"image": image[:24]}, {"class": truth[:24]}, {"image": image[24:]})


def score(outputs, labels, reference):
    return float(np.mean(outputs["scores"].argmax(axis=1) == labels["class"]))
"""


@dataclass(frozen=True)
class Toy:
    """The workload ``toy``: float32 ``image`` [n, 3, 8, 6] (NCHW, whole multiples of 1/255 in 0…1) → ``scores`` [n, 5].

    Args:
        site: A folder for PYTHONPATH that has the workload as a distribution.
        image: All images.
        weight: float32 [144, 5]: scores = flattened NCHW image @ weight.
    """

    site: Path
    image: np.ndarray[Any, Any]
    weight: np.ndarray[Any, Any]

    def artefact(self, path: Path, **facts: Any) -> Path:
        """Write what a fake SDK takes for a compiled artefact: an ``.npz`` of ``weight`` and ``facts`` (JSON), under any name."""
        with path.open("wb") as file:
            np.savez(file, weight=self.weight, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8))
        return path


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The workload ``toy``, written as a distribution out of tree."""
    site = tmp_path_factory.mktemp("toy")
    generator = np.random.default_rng(11)
    image = (generator.integers(0, 256, (32, CHANNELS, HEIGHT, WIDTH)) / 255).astype(np.float32)
    weight = generator.integers(-8, 9, (CHANNELS * HEIGHT * WIDTH, CLASSES)).astype(np.float32)
    np.save(site / "image.npy", image)
    np.save(site / "weight.npy", weight)
    package = site / "toy_workload"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "toy.toml").write_text(_MANIFEST, encoding="utf-8")
    (package / "toy.py").write_text(f"FOLDER = {str(site)!r}\n{_MODULE}")
    info = site / "toy_workload-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy_workload\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[npubench.workloads]\ntoy = toy_workload.toy\n")
    return Toy(site, image, weight)


@pytest.fixture(scope="session")
def vendor_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return ``make(backend, *requirements)``: an environment with npubench at its base level, that plug-in, and what is named.

    It is the environment a vendor's user has: no onnx, no onnxruntime, no pydantic.
    """
    made: dict[tuple[str, ...], Path] = {}

    def make(backend: str, *requirements: str) -> Path:
        key = (backend, *requirements)
        if key not in made:
            folder = tmp_path_factory.mktemp("vendor") / backend
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            python = folder / "bin" / "python"
            install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*install, "-e", ROOT, "-e", ROOT / "backends" / backend, *requirements], check=True)
            made[key] = python
        return made[key]

    return make


@dataclass(frozen=True)
class Said:
    """How an ``npubench`` command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """A folder to run ``npubench`` in, with a cache, a store and a TMPDIR of its own, which knows the workload ``toy``."""

    folder: Path
    toy: Toy
    cache: Path

    def __call__(self, *arguments: Any, env: Mapping[str, str] = {}) -> Said:
        """Run ``npubench ARGUMENTS``."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NPUBENCH_", "XDG_"))}
        own = {
            "NPUBENCH_CACHE": str(self.cache),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TMPDIR": str(temporary),
            "COLUMNS": "160",
            "PYTHONPATH": str(self.toy.site),
        }
        command = [sys.executable, "-m", "npubench", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**kept, **own, **env}, cwd=self.folder, timeout=300
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def suite(self, targets: Mapping[str, Mapping[str, Any]], runs: Sequence[Mapping[str, Any]], **top: Any) -> Path:
        """Write a suite of grade smoke; returns its path."""
        path = self.folder / "suite.toml"
        lines = [
            f"{key} = {_toml(value)}" for key, value in {"schema_version": 1, "name": "toy", "grade": "smoke", **top}.items()
        ]
        for name, target in targets.items():
            lines += [f"[target.{name}]", *(f"{key} = {_toml(value)}" for key, value in target.items())]
        for run in runs:
            lines += ["[[run]]", *(f"{key} = {_toml(value)}" for key, value in run.items())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def records(self, store: str = "store") -> list[dict[str, Any]]:
        """Return every record of a store of this folder."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((self.folder / store).glob("*/*/record.json"))]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, toy: Toy) -> Callable[[str], Place]:
    """Return ``place(name)``: a folder to run ``npubench`` in."""
    cache = tmp_path_factory.mktemp("cache")
    return lambda name: Place(tmp_path_factory.mktemp(name), toy, cache)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)
