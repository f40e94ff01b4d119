"""Plug-ins out of tree, as texts that tests write into folders for PYTHONPATH."""

from __future__ import annotations

from pathlib import Path

#: A vendor's plug-in and a workload, as a distribution of its own. What it does wrong is asked for by an option.
BACKEND = """
import multiprocessing, os, signal, subprocess, sys, time
from dataclasses import dataclass
from typing import Any

import numpy as np

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Rung, TensorSpec


@dataclass(frozen=True)
class Options:
    mode: str = ""
    after: int = 30


class Loaded(Executor):
    inputs = (TensorSpec("x", "float32", (None, 4)),)
    outputs = (TensorSpec("y", "float32", (None, 2)),)
    max_batch = 8

    def __init__(self, options: Options) -> None:
        self.options = options
        self.count = 0

    def execute(self, inputs: Any) -> Any:
        time.sleep(0.001)
        self.count += 1
        y = inputs["x"] @ np.tile(np.array([1, 2], np.float32), (4, 1))
        if self.count <= self.options.after:
            return {"y": y}
        mode = self.options.mode
        if mode == "exit0":
            os._exit(0)
        if mode == "sys-exit":
            sys.exit(5)
        if mode == "interrupt":
            raise KeyboardInterrupt
        if mode == "orphans":
            subprocess.Popen(["sleep", "300"])
            # A forked child holds every descriptor, the worker's pipe to its supervisor among them.
            multiprocessing.get_context("fork").Process(target=time.sleep, args=(300,)).start()
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "list":
            return [y]
        if mode == "noise":
            for n in range(20_000):
                print("the SDK says", n)
            raise RuntimeError("ACME error 77")
        if mode == "pipe":
            for descriptor in range(3, 30):
                try:
                    os.write(descriptor, b'junk\\n{"event": "progress"}\\n{"event": 7}\\n{"event": "phase", "phase": null}\\n')
                except OSError:
                    pass
        return {"y": y}


class Acme(Backend):
    Options = Options

    def probe(self) -> Availability:
        return Availability(Rung.READY, versions={"prefix": sys.prefix}, devices=(Device("npu0", "ACME-1"),))

    def load(self, artefact: Artefact, device: Device, options: Options) -> Executor:
        return Loaded(options)
"""

WORKLOAD = """
schema_version = 1
name = "acme-sum"
version = "1"
precisions = ["fp32"]
licence = "Apache-2.0"
latency_bound_ms = 50.0

[title]
en = "A weighted sum"
ko = "가중합"

[task]
en = "None"
ko = "없음"

[gate]
metric = "closeness"
unit = "ratio"
claim = "accuracy"
"""

MODULE = """
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from npubench.plan.workload import Draft


def build(sources):
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.tile(np.array([1, 2], np.float32), (4, 1)), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = np.random.default_rng(7).standard_normal((20, 4), dtype=np.float32)
    return Draft(model, {"x": x[:12]}, {"sum": x[:12].sum(axis=1)}, {"x": x[12:]})


def score(outputs, labels, reference):
    error = np.abs(np.nan_to_num(outputs["y"][:, 0], nan=1e9) - labels["sum"])
    return float(np.mean(error < 1e-3))
"""

#: Plug-ins broken before anything is measured with them; the last one's probe never ends.
BROKEN = {
    "broken_import": "raise ImportError('libvendor.so.4: cannot open shared object file')\n",
    "broken_crash": "import ctypes\n\nctypes.string_at(0)\n",
    "broken_probe": """
import time

from npubench.contract import Backend


class Plugin(Backend):
    def probe(self):
        time.sleep(600)

    def load(self, artefact, device, options):
        raise NotImplementedError
""",
}


def write_distribution(site: Path, name: str, entries: str) -> None:
    """Write a distribution's metadata, so that its entry points are found."""
    info = site / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(entries)
    (info / "top_level.txt").write_text(f"{name}\n")


def write_acme(site: Path) -> Path:
    """Write the distribution ``acme_npu``, a backend and a workload, into a folder for PYTHONPATH."""
    package = site / "acme_npu"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "backend.py").write_text(BACKEND)
    (package / "acme_sum.toml").write_text(WORKLOAD, encoding="utf-8")
    (package / "acme_sum.py").write_text(MODULE)
    entries = "[npubench.backends]\nacme = acme_npu.backend:Acme\n\n[npubench.workloads]\nacme-sum = acme_npu.acme_sum\n"
    write_distribution(site, "acme_npu", entries)
    return site


def write_broken(site: Path) -> Path:
    """Write the plug-ins that break at once into a folder for PYTHONPATH."""
    return _write_plugins(site, "broken_npus", ["broken_import", "broken_crash"])


def write_sleeping(site: Path) -> Path:
    """Write the plug-in whose probe never ends into a folder for PYTHONPATH of its own: it is asked with a short deadline."""
    return _write_plugins(site, "sleeping_npu", ["broken_probe"])


def _write_plugins(site: Path, distribution: str, modules: list[str]) -> Path:
    for module in modules:
        (site / f"{module}.py").write_text(BROKEN[module])
    entries = "".join(f"{module.replace('_', '-')} = {module}:Plugin\n" for module in modules)
    write_distribution(site, distribution, f"[npubench.backends]\n{entries}")
    return site
