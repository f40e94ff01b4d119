"""How long ``npubench verify`` takes over a bundle of many runs, and how much memory. Reach: 1,000 runs < 60 s on two cores."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from npubench.contract.bundle import read_bundle
from npubench.contract.runspec import RunSpec, from_plain, to_plain
from npubench.measure.trace import read_trace, write_trace
from npubench.plan.workload import find_workload
from npubench.record.account import build_record
from npubench.record.seal import seal_runs
from npubench.record.store import Store

SUITE = """
schema_version = 1
name = "verify"
grade = "smoke"
[target.sim]
backend = "simulated"
device = "sim:plain"
[[run]]
workloads = ["probe"]
targets = ["sim"]
precisions = ["fp32"]
scenarios = ["single-stream"]
"""


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run that was really carried out."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")
    command = [sys.executable, "-m", "npubench", "run", str(folder / "suite.toml"), "--store", str(folder / "store")]
    subprocess.run(command, check=False, capture_output=True, env={**os.environ, "TMPDIR": str(folder)}, timeout=300)
    (run,) = Store(folder / "store").folders()
    return run


def multiply(run: Path, root: Path, count: int, samples: int = 0) -> Store:
    """Make a store of ``count`` runs out of one: other ids and seeds, and traces that begin at other times.

    Args:
        run: The folder of a run.
        root: The new store.
        count: How many runs.
        samples: Lengthen each trace to at least this many samples by repeating it; 0 = as it is.
    """
    spec: RunSpec = from_plain(RunSpec, json.loads((run / "spec.json").read_text(encoding="utf-8")), "spec")
    bundle, score = read_bundle(Path(spec.bundle)), find_workload(spec.workload).load().score
    store, trace = Store(root), _lengthened(read_trace(run / "trace.npz"), samples)
    with store.writing():
        for n in range(count):
            seeds = replace(spec.load.seeds, subset=spec.load.seeds.subset + n)
            own = replace(spec, run_id=f"{spec.run_id}.{n:04}", load=replace(spec.load, seeds=seeds))
            folder = store.open_folder(own.run_id)
            shutil.copytree(run, folder)
            (folder / "record.json").unlink()
            (folder / "spec.json").write_text(json.dumps(to_plain(own), indent=1), encoding="utf-8")
            moved = {name: getattr(trace, name) + n for name in ("issued_ns", "started_ns", "done_ns", "scheduled_ns")}
            moved |= {"start_ns": trace.start_ns + n, "end_ns": trace.end_ns + n}
            write_trace(replace(trace, **moved), folder / "trace.npz")
            store.publish(folder, build_record(folder, bundle, score))
    return store


def _lengthened(trace, samples: int):  # type: ignore[no-untyped-def]
    import numpy as np

    while trace.samples < samples:
        moved = trace.end_ns - trace.start_ns
        trace = replace(
            trace,
            **{
                name: np.concatenate([getattr(trace, name), getattr(trace, name) + moved])
                for name in ("issued_ns", "started_ns", "done_ns", "scheduled_ns")
            },
            sample=np.concatenate([trace.sample, trace.sample]),
            query=np.concatenate([trace.query, trace.query + trace.queries]),
            end_ns=trace.end_ns + moved,
        )
    return trace


class Watched:
    """A command and the most memory that it and its processes took, bytes."""

    def __init__(self, command: list[str]) -> None:
        self.peak = self.largest = 0
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._ended = threading.Event()
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        self.out = self._process.communicate()[0]
        self.code = self._process.returncode
        self._ended.set()
        watcher.join()

    def _watch(self) -> None:
        root = psutil.Process(self._process.pid)
        while not self._ended.wait(0.05):
            try:
                sizes = [process.memory_info().rss for process in (root, *root.children(recursive=True))]
            except psutil.Error:
                continue
            self.peak, self.largest = max(self.peak, sum(sizes)), max(self.largest, *sizes)


@pytest.mark.parametrize(
    ("count", "samples"), [(10, 0), (100, 0), (1000, 0), (100, 100_000)], ids=["10", "100", "1000", "100 of 100,000 samples"]
)
def test_verify(benchmark: Callable[..., None], measured: Path, tmp_path: Path, count: int, samples: int) -> None:
    """Memory must not grow with the number of runs."""
    store = multiply(measured, tmp_path / "store", count, samples)
    sealed = seal_runs(store, store.folders(), tmp_path / "evidence.zip", None, tmp_path)
    shutil.rmtree(store.root)
    command = [sys.executable, "-m", "npubench", "verify", str(sealed.path), "--json", "--allow-untrusted"]
    seen: list[Watched] = []
    benchmark.pedantic(lambda: seen.append(Watched(command)), rounds=1)  # type: ignore[attr-defined]
    (watched,) = seen
    verdict = json.loads(watched.out)
    size = sealed.path.stat().st_size / 1e6
    text = f"{count} runs, {size:.1f} MB: peak {watched.peak / 1e6:.0f} MB in all, {watched.largest / 1e6:.0f} MB in one process"
    print(f"\n{text}")  # noqa: T201
    assert (watched.code, len(verdict["runs"]), verdict["problems"]) == (0, count, []), watched.out[:2000]
