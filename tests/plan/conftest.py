"""A workload package made for a test: a tiny linear model, found by entry point like any other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MANIFEST = """\
schema_version = 1
name = "tiny-line"
version = "3"
precisions = ["fp32"]
licence = "Apache-2.0"
latency_bound_ms = 2.5

[title]
en = "A line"
ko = "선"

[task]
en = "None"
ko = "없음"

[gate]
metric = "closeness"
unit = "ratio"
claim = "accuracy"
"""

MODULE = """\
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from npubench.plan.workload import Draft
from tiny_workloads.weights import WEIGHTS


def build(sources):
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "line",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array(WEIGHTS, np.float32).reshape(4, 2), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = np.random.default_rng(7).standard_normal((20, 4), dtype=np.float32)
    return Draft(model, {"x": x[:12]}, {"sum": x[:12].sum(axis=1)}, {"x": x[12:]})


def score(outputs, labels, reference):
    error = np.abs(np.nan_to_num(outputs["y"][:, 0], nan=1e9) - labels["sum"])
    return float(np.mean(error < 1e-3))
"""

WEIGHTS = "WEIGHTS = [1, 2, 1, 2, 1, 2, 1, 2]\n"


@dataclass
class Tiny:
    """The package's folder and texts; ``write`` puts (other) texts in place and forgets what was imported."""

    folder: Path
    manifest: str = MANIFEST
    module: str = MODULE
    weights: str = WEIGHTS

    def write(self, *, manifest: str = MANIFEST, module: str = MODULE, weights: str = WEIGHTS) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "__init__.py").write_text("")
        (self.folder / "tiny_line.toml").write_text(manifest, encoding="utf-8")
        (self.folder / "tiny_line.py").write_text(module)
        (self.folder / "weights.py").write_text(weights)
        info = self.folder.parent / "tiny_workloads-1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-workloads\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[npubench.workloads]\ntiny-line = tiny_workloads.tiny_line\n")
        self.forget()

    def forget(self) -> None:
        for name in [name for name in sys.modules if name.startswith("tiny_workloads")]:
            del sys.modules[name]
        importlib.invalidate_caches()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    made = Tiny(tmp_path / "site" / "tiny_workloads")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made.write()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield made
    made.forget()
