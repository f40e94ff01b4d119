"""npubench's figure for OpenVINO against that of OpenVINO's own ``benchmark_app``: same work on the same threads.

The same work is the same model, batch and precision, and the bundle's samples in turn: left alone, benchmark_app computes
on one image again and again, and gives every image to the network as 8-bit integers with a conversion in front.

Windows stand in turn, each of npubench's between two of benchmark_app's, as in ``test_bare_loop.py``. benchmark_app times
its requests inside the binding; npubench from host memory to host memory, with outputs that are the caller's to keep.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from npubench.contract.runspec import Scenario, TargetSpec
from npubench.measure.trace import Trace
from npubench.plan.bundles import prepare
from npubench.plan.wheels import npubench_cache

pytest.importorskip("openvino", reason="needs npubench-openvino[runtime]")

#: numpy's dtype → benchmark_app's word for it.
_PRECISION = {"float32": "f32", "int32": "i32"}

ROUNDS = 7
SECONDS = 2

#: What benchmark_app prints; latencies in ms.
_MEDIAN = re.compile(r"Median:\s+([\d.]+) ms")
_THROUGHPUT = re.compile(r"Throughput:\s+([\d.]+) FPS")


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives a folder with a workload's samples, one file each, as benchmark_app reads them."""

    def write(workload: str) -> Path:
        folder = tmp_path_factory.mktemp(workload)
        (array,) = prepare(workload, npubench_cache()).load_inputs()
        for n in range(len(array)):
            np.save(folder / f"{n:05}.npy", array[n : n + 1])
        return folder

    return write


def benchmark_app(workload: str, inputs: Path, threads: int) -> dict[str, float]:
    """Return median latency and throughput of benchmark_app in a process of its own."""
    bundle = prepare(workload, npubench_cache())
    (spec,) = bundle.inputs
    shape = f"{spec.name}[{','.join(str(n or 1) for n in (1, *spec.shape[1:]))}]"
    work = ["-m", bundle.model("fp32").path, "-shape", shape, "-ip", _PRECISION[spec.dtype]]
    work += ["-i", inputs, "-inference_only", "false"]
    pinned = ["-api", "sync", "-hint", "none", "-nstreams", "1", "-nthreads", str(threads), "-infer_precision", "f32"]
    command = [Path(sys.executable).with_name("benchmark_app"), "-d", "CPU", *work, *pinned, "-t", str(SECONDS)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    latency, rate = _MEDIAN.search(said), _THROUGHPUT.search(said)
    assert latency, said
    assert rate, said
    return {"p50_ns": float(latency[1]) * 1e6, "samples_per_s": float(rate[1])}


def target(threads: int) -> TargetSpec:
    options = {"threads": threads, "streams": 1, "hint": "none"}
    return TargetSpec("cpu", "openvino", "cpu", "npubench_openvino:OpenVinoBackend", options)


@pytest.mark.parametrize("workload", ["doc-orientation", "file-type", "image-classification", "ocr-line", "resnet50"])
def test_same_figure(benchmark, window: Callable[..., Trace], samples: Callable[[str], Path], workload: str) -> None:
    """Reach: p50 and throughput within 2 % of benchmark_app's."""
    latency: list[float] = []
    rate: list[float] = []
    inputs = samples(workload)

    def both() -> None:
        before = benchmark_app(workload, inputs, 1)
        trace = window(target(1), Scenario.SINGLE_STREAM, workload, float(SECONDS))
        after = benchmark_app(workload, inputs, 1)
        here = float(np.median(trace.query_latencies_ns()))
        latency.append(here / ((before["p50_ns"] + after["p50_ns"]) / 2))
        rate.append(trace.samples / trace.window_ns * 1e9 / ((before["samples_per_s"] + after["samples_per_s"]) / 2))

    benchmark.pedantic(both, rounds=ROUNDS)
    benchmark.extra_info |= {"p50_ratio": median(latency), "throughput_ratio": median(rate)}
    each = ", ".join(f"{ratio:.3f}" for ratio in sorted(latency))
    print(f"\n{workload}: p50 ÷ benchmark_app = {median(latency):.4f} (of {each}); throughput ÷ = {median(rate):.4f}")  # noqa: T201
    assert all(ratio > 0 for ratio in (*latency, *rate))
