"""Measure what the sampler costs the measured cores: the null device with a sensor that is read as often as any, and without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from npubench.contract.runspec import MeterSpec, RunSpec
from npubench.measure.trace import Trace

#: A window with the sampler stands between two without, so often: neighbours share what else the machine does.
ROUNDS = 3


def sampler_cost(spec: RunSpec, window: Callable[[RunSpec, Path], Trace], folder: Path) -> dict[str, float]:
    """Return single-stream p50 of the null device with a sampler and without, ns, and the median ratio of neighbours.

    Args:
        spec: A window of the null device without a baseline, so that nothing is sampled.
        window: Measures one.
        folder: An empty folder.
    """
    meter = MeterSpec("stand-in", "rapl", "chip", {"root": str(_counter(folder / "powercap"))})
    sampled = replace(spec, baseline_ns=100_000_000, meters=(meter,))
    without = [_p50(window(spec, folder / "without-0"))]
    with_sampler = []
    for n in range(1, ROUNDS + 1):
        with_sampler.append(_p50(window(sampled, folder / f"with-{n}")))
        without.append(_p50(window(spec, folder / f"without-{n}")))
    beside = [(a + b) / 2 for a, b in pairwise(without)]
    return {
        "p50_without_ns": median(without),
        "p50_with_ns": median(with_sampler),
        "ratio": median(w / o for w, o in zip(with_sampler, beside, strict=True)),
    }


def _p50(trace: Trace) -> float:
    return float(trace.details["loadgen"]["p50_ns"])


def _counter(root: Path) -> Path:
    """Write what the kernel shows of one RAPL package, a counter that is read every 5 ms."""
    zone = root / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, value in (("name", "package-0"), ("energy_uj", "1000"), ("max_energy_range_uj", "262143328850")):
        (zone / name).write_text(f"{value}\n", encoding="ascii")
    return root
