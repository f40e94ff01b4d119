"""Make the golden trace and its metrics afresh; look at what changed before committing it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from npubench.analyze.metrics import compute_metrics
from npubench.contract.runspec import Scenario
from npubench.measure.trace import Trace, write_trace

HERE = Path(__file__).parent


def golden_trace() -> Trace:
    """Return 700 queries of two samples on a device of one server with lognormal service times."""
    generator = np.random.default_rng(20260815)
    queries = 700
    due = np.cumsum(generator.exponential(2.0e6, queries)).astype(np.int64) + 5_000_000_000
    service = (1.2e6 * generator.lognormal(0, 0.3, queries)).astype(np.int64)
    started, free = np.zeros(queries, np.int64), 0
    for n in range(queries):
        started[n] = max(int(due[n]) + 20_000, free)
        free = int(started[n] + service[n])
    row = np.repeat(np.arange(queries), 2)
    done = (started + service)[row] - np.tile([150_000, 0], queries)
    return Trace(
        issued_ns=due[row] + 15_000,
        started_ns=started[row],
        done_ns=done,
        scheduled_ns=due[row],
        sample=np.arange(2 * queries) % 12,
        query=row.astype(np.int64),
        start_ns=int(due[0]),
        end_ns=int(done.max()),
        details={"scenario": "server", "batch": 2},
    )


if __name__ == "__main__":
    trace = golden_trace()
    write_trace(trace, HERE / "trace.npz")
    metrics = {
        scenario.value: {name: asdict(estimate) for name, estimate in compute_metrics(trace, scenario).items()}
        for scenario in (Scenario.SERVER, Scenario.MULTI_STREAM, Scenario.OFFLINE)
    }
    (HERE / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
