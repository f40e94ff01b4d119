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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
        {"plain": PLAIN, "twin": twin},
        [
            {"targets": ["plain"], "workloads": ["probe"], "scenarios": ["single-stream", "multi-stream", "offline"]},
            {"targets": ["plain"], "workloads": ["probe"], "scenarios": ["server"], "target_qps": "auto", "latency_bound_ms": 30},
            {
                "targets": ["twin"],
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


@contextmanager
def ended(*started: Started) -> Iterator[None]:
    """Kill what is still running at the end of a test that failed."""
    try:
        yield
    finally:
        for one in started:
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()
