"""Hold what the harness reports against what the simulated device knows to be true. Pure functions of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.estimate import Estimate
from npubench.measure.trace import Trace

#: Percentiles that are held against the truth, and how far they may be from it (design §12).
PERCENTILES = (0.5, 0.9, 0.99)
LATENCY_ERROR = 0.01
ENERGY_ERROR = 0.005


@dataclass(frozen=True, slots=True)
class Error:
    """One reported figure against its truth."""

    what: str
    unit: str
    reported: float
    true: float
    allowed: float

    @property
    def relative(self) -> float:
        """Reported ÷ true − 1."""
        return self.reported / self.true - 1.0

    @property
    def within(self) -> bool:
        """Whether it is as near as design §12 asks."""
        return abs(self.relative) <= self.allowed


def latency_errors(trace: Trace, truth: Mapping[str, NDArray[np.int64]]) -> list[Error]:
    """Compare reported latency percentiles and throughput with the device's own log.

    Args:
        trace: A single-stream window.
        truth: The device's log: ``start_ns``, ``done_ns``, int64, of all requests since load.
    """
    inside = (truth["start_ns"] >= trace.start_ns) & (truth["done_ns"] <= trace.end_ns)
    true = (truth["done_ns"] - truth["start_ns"])[inside]
    reported = trace.query_latencies_ns()
    errors = [
        Error(
            f"latency p{percentile * 100:g}",
            "ns",
            _nearest_rank(reported, percentile),
            _nearest_rank(true, percentile),
            LATENCY_ERROR,
        )
        for percentile in PERCENTILES
    ]
    span = int(truth["done_ns"][inside].max() - truth["start_ns"][inside].min())
    errors.append(
        Error("throughput", "samples/s", trace.samples / trace.window_ns * 1e9, int(inside.sum()) / span * 1e9, LATENCY_ERROR)
    )
    return errors


def energy_error(reported: Estimate, true_joules: float) -> Error | None:
    """Compare reported energy with the truth; ``None`` where none was reported."""
    if reported.value is None:
        return None
    return Error("energy", "J", reported.value, true_joules, ENERGY_ERROR)


def _nearest_rank(values: NDArray[np.int64], percentile: float) -> float:
    return float(np.sort(values)[max(0, math.ceil(percentile * len(values)) - 1)])
