"""The harness against a bare loop over the same session, model and samples, window by window in turn.

A shared machine changes speed from second to second, so each harness window stands between two bare ones of the same
length, and the ratio is of neighbours: what is printed is the median of these ratios.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from statistics import median

import numpy as np
import pytest

from npubench.contract.runspec import Scenario, TargetSpec
from npubench.measure.trace import Trace
from npubench.plan.bundles import prepare
from npubench.plan.wheels import npubench_cache

ROUNDS = 5
SECONDS = 3.0

#: The bare loop in a process of its own, like the worker's: warm-up, then ``session.run`` over the samples in turn.
BARE = """
import gc, json, sys, time
import numpy as np, onnxruntime as ort
from npubench.contract.bundle import read_bundle
from npubench.measure.process import prepare
from pathlib import Path
root, batch, threads, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
prepare(())
bundle = read_bundle(root)
options = ort.SessionOptions(); options.intra_op_num_threads = threads
session = ort.InferenceSession(str(bundle.model("fp32").path), options, providers=["CPUExecutionProvider"])
names = [o.name for o in session.get_outputs()]
arrays = [np.ascontiguousarray(a) for a in bundle.load_inputs()]
count = len(arrays[0])
feeds = [
    {s.name: a[k:k + batch] for s, a in zip(bundle.inputs, arrays)} for k in range(0, count - batch + 1, batch)
]
gc.disable()
until = time.monotonic_ns() + 500_000_000
while time.monotonic_ns() < until:
    session.run(names, feeds[0])
times = []
begun = time.monotonic_ns(); until = begun + int(seconds * 1e9); n = 0
while (start := time.monotonic_ns()) < until:
    session.run(names, feeds[n % len(feeds)]); times.append(time.monotonic_ns() - start); n += 1
span = time.monotonic_ns() - begun
print(json.dumps({"p50_ns": float(np.median(times)), "samples_per_s": n * batch / span * 1e9}))
"""


def bare(workload: str, batch: int, threads: int) -> dict[str, float]:
    root = prepare(workload, npubench_cache()).root
    answer = subprocess.run(
        [sys.executable, "-c", BARE, str(root), str(batch), str(threads), str(SECONDS)],
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return figures


def target(threads: int) -> TargetSpec:
    return TargetSpec("cpu", "onnxruntime", "cpu", "npubench_onnxruntime:OnnxRuntimeBackend", {"threads": threads})


@pytest.mark.parametrize("workload", ["doc-orientation", "file-type", "image-classification", "ocr-line", "resnet50"])
def test_single_stream_p50(benchmark, window: Callable[..., Trace], workload: str) -> None:
    """Reach: p50 in npubench ÷ p50 of the bare loop ≤ 1.01."""
    ratios: list[float] = []

    def both() -> None:
        before = bare(workload, 1, 1)["p50_ns"]
        here = float(np.median(window(target(1), Scenario.SINGLE_STREAM, workload, SECONDS).query_latencies_ns()))
        after = bare(workload, 1, 1)["p50_ns"]
        ratios.append(here / ((before + after) / 2))

    benchmark.pedantic(both, rounds=ROUNDS)
    benchmark.extra_info["p50_ratio"] = median(ratios)
    print(f"\n{workload}: p50 ÷ bare p50 = {median(ratios):.4f} (of {', '.join(f'{r:.3f}' for r in sorted(ratios))})")  # noqa: T201
    assert all(ratio > 0 for ratio in ratios)


@pytest.mark.parametrize("workload", ["doc-orientation", "image-classification", "resnet50"])
def test_offline_throughput(benchmark, window: Callable[..., Trace], workload: str) -> None:
    """Reach: offline throughput ÷ best bare batched loop ≥ 0.99."""
    ratios: list[float] = []

    def both() -> None:
        before = bare(workload, 8, 0)["samples_per_s"]
        trace = window(target(0), Scenario.OFFLINE, workload, SECONDS, batch=8)
        after = bare(workload, 8, 0)["samples_per_s"]
        ratios.append(trace.samples / trace.window_ns * 1e9 / ((before + after) / 2))

    benchmark.pedantic(both, rounds=ROUNDS)
    benchmark.extra_info["throughput_ratio"] = median(ratios)
    print(f"\n{workload}: offline ÷ bare = {median(ratios):.4f} (of {', '.join(f'{r:.3f}' for r in sorted(ratios))})")  # noqa: T201
    assert all(ratio > 0 for ratio in ratios)
