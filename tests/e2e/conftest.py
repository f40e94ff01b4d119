"""The command as its user runs it: a process of its own, a store of its own, the simulated device to measure.

Nothing here asserts that a machine is fast. The simulated device allows one executor a device and user, told apart by TMPDIR,
so that every world below has its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

#: No command here takes nearly as long; one that does has hung.
PATIENCE_S = 240.0

PLAIN = {"backend": "simulated", "device": "sim:plain"}


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line on standard error: what a person is left with."""
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""


class Started:
    """A command that runs."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self._out, self._err = out, err

    def wait(self) -> Result:
        """Wait for its end; one that hangs is killed and fails the test."""
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        return Result(code, self._out.read_text(encoding="utf-8"), self._err.read_text(encoding="utf-8"))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and nobody else."""
        self.process.send_signal(number)


class World:
    """A folder with a TMPDIR, a cache and whatever a test writes; commands run in it."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self._calls = 0
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NPUBENCH_", "XDG_"))}
        self.env = {
            **kept,
            "TMPDIR": str(folder / "tmp"),
            "NPUBENCH_CACHE": str(cache),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "COLUMNS": "200",
        }

    def start(self, *arguments: Any, env: Mapping[str, str] = {}, preexec: Callable[[], None] | None = None) -> Started:
        """Start ``npubench ARGUMENTS``."""
        self._calls += 1
        out, err = (self.folder / f"{self._calls}.{end}" for end in ("out", "err"))
        with out.open("wb") as said, err.open("wb") as complained:
            process = subprocess.Popen(
                [sys.executable, "-m", "npubench", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                env={**self.env, **env},
                cwd=self.folder,
                preexec_fn=preexec,
            )
        return Started(process, out, err)

    def __call__(self, *arguments: Any, env: Mapping[str, str] = {}, preexec: Callable[[], None] | None = None) -> Result:
        """Run ``npubench ARGUMENTS`` to its end."""
        return self.start(*arguments, env=env, preexec=preexec).wait()

    def all(self, calls: Sequence[Sequence[Any]]) -> list[Result]:
        """Run commands that measure nothing, two at a time."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda call: self(*call), calls))

    def suite(self, targets: Mapping[str, Mapping[str, Any]], runs: Sequence[Mapping[str, Any]], name: str = "suite", **top: Any) -> Path:
        """Write a suite file of grade smoke."""
        path = self.folder / f"{name}.toml"
        content = {"schema_version": 1, "name": name, "grade": "smoke", **top}
        lines = [f"{key} = {_toml(value)}" for key, value in content.items()]
        for target, entry in targets.items():
            lines += [f"[target.{target}]", *(f"{key} = {_toml(value)}" for key, value in entry.items())]
        for run in runs:
            lines += ["[[run]]", *(f"{key} = {_toml(value)}" for key, value in run.items())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def store(self, name: str = "store") -> Path:
        """Return a store's folder."""
        return self.folder / name


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def read_records(store: Path) -> dict[str, dict[str, Any]]:
    """Return run id → record of everything finished in a store; each must be whole JSON."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(store.glob("*/*/record.json"))
        if not path.parent.parent.name.startswith(".")
    }


def one_by_target(store: Path) -> dict[str, dict[str, Any]]:
    """Return target → record, for stores with one run a target."""
    records = read_records(store)
    found = {record["spec"]["target"]["name"]: record for record in records.values()}
    assert len(found) == len(records)
    return found


def fingerprint(store: Path) -> dict[str, tuple[str, int]]:
    """Return run id → digest and time of change of its record, to tell that it was not touched."""
    return {
        path.parent.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in store.glob("*/*/record.json")
        if not path.parent.parent.name.startswith(".")
    }


def survivors(folder: Path, mark: str = "") -> list[psutil.Process]:
    """Return the processes that speak of ``folder`` in their command line or environment, or were started with ``mark``."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                if str(folder) in words or (mark and mark in words) or process.environ().get("TMPDIR", "").startswith(str(folder)):
                    found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def nobody_left(folder: Path, within_s: float = 20.0) -> bool:
    """Return whether every process of a world is gone, at once or within a while."""
    return wait_until(lambda: not survivors(folder), within_s)


def wait_until(condition: Callable[[], Any], within_s: float = PATIENCE_S, every_s: float = 0.02) -> bool:
    """Wait for a condition; returns whether it came."""
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(every_s)
    return True


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the probe workload."""
    folder = tmp_path_factory.mktemp("cache")
    world = World(tmp_path_factory.mktemp("prepare"), folder)
    done = world("workloads", "prepare", "probe")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def world(tmp_path: Path, cache: Path) -> World:
    """A world for one test."""
    return World(tmp_path, cache)


@pytest.fixture(scope="session")
def new_world(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Callable[[str], World]:
    """Worlds that several tests look at."""
    return lambda name: World(tmp_path_factory.mktemp(name), cache)


@pytest.fixture(scope="session")
def tools() -> type:
    """The functions above, which test files cannot import."""

    class Tools:
        plain = PLAIN
        records = staticmethod(read_records)
        by_target = staticmethod(one_by_target)
        fingerprint = staticmethod(fingerprint)
        survivors = staticmethod(survivors)
        nobody_left = staticmethod(nobody_left)
        wait_until = staticmethod(wait_until)

    return Tools


@dataclass(frozen=True)
class Finished:
    """A suite that was run."""

    world: World
    suite: Path
    store: Path
    result: Result
    records: dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def scenes(new_world: Callable[[str], World]) -> Finished:
    """Every scenario once on the simulated device, in one suite; looked at by many tests and changed by none."""
    world = new_world("scenes")
    twin = {**PLAIN, "options": {"max_in_flight": 2, "asynchronous": True}}
    suite = world.suite(
        {"plain": PLAIN, "twin": twin, "threads": {**PLAIN, "options": {"max_in_flight": 2}}},
        [
            {"targets": ["plain"], "workloads": ["probe"], "scenarios": ["single-stream", "multi-stream", "offline"]},
            {"targets": ["plain"], "workloads": ["probe"], "scenarios": ["server"], "target_qps": "auto", "latency_bound_ms": 30},
            {
                "targets": ["threads", "twin"],
                "workloads": ["probe"],
                "scenarios": ["server"],
                "target_qps": 300,
                "latency_bound_ms": 1000,
                "batch": 4,
                "in_flight": 2,
                "coalesce_delay_ms": 20,
            },
            {"targets": ["twin"], "workloads": ["probe"], "scenarios": ["offline"], "in_flight": 2},
        ],
        name="scenes",
    )
    result = world("run", suite, "--store", world.store())
    records = {f"{r['spec']['target']['name']} {r['spec']['load']['scenario']}": r for r in read_records(world.store()).values()}
    return Finished(world, suite, world.store(), result, records)


#: A vendor's plug-in and a workload, as a distribution of its own. What it does wrong is asked for by an option.
ACME = '''
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
'''

ACME_WORKLOAD = """
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

ACME_MODULE = '''
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
'''

#: A plug-in broken in three ways before anything is measured with it.
BROKEN = {
    "broken_import": "raise ImportError('libvendor.so.4: cannot open shared object file')\n",
    "broken_crash": "import ctypes\n\nctypes.string_at(0)\n",
    "broken_probe": '''
import time

from npubench.contract import Backend


class Plugin(Backend):
    def probe(self):
        time.sleep(600)

    def load(self, artefact, device, options):
        raise NotImplementedError
''',
}


def write_distribution(site: Path, name: str, entries: str) -> None:
    """Write a distribution's metadata, so that its entry points are found."""
    info = site / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(entries)
    (info / "top_level.txt").write_text(f"{name}\n")


@pytest.fixture(scope="session")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the distribution ``acme_npu``: a backend and a workload."""
    site = tmp_path_factory.mktemp("acme")
    package = site / "acme_npu"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "backend.py").write_text(ACME)
    (package / "acme_sum.toml").write_text(ACME_WORKLOAD, encoding="utf-8")
    (package / "acme_sum.py").write_text(ACME_MODULE)
    entries = "[npubench.backends]\nacme = acme_npu.backend:Acme\n\n[npubench.workloads]\nacme-sum = acme_npu.acme_sum\n"
    write_distribution(site, "acme_npu", entries)
    return site


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with three broken plug-ins."""
    site = tmp_path_factory.mktemp("broken")
    for module, text in BROKEN.items():
        (site / f"{module}.py").write_text(text)
    entries = "".join(f"{module.replace('_', '-')} = {module}:Plugin\n" for module in BROKEN)
    write_distribution(site, "broken_npus", f"[npubench.backends]\n{entries}")
    return site
