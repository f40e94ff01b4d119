"""Runs that nobody measured, whole enough to be made again from their folders; and seals of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import npubench
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import RunSpec, to_plain
from npubench.measure.observed import Observed
from npubench.measure.runner import Outcome
from npubench.measure.trace import Trace, write_trace
from npubench.plan.usermodel import fidelity
from npubench.record.account import build_record
from npubench.record.machine import Machine
from npubench.record.store import Store
from npubench.record.supervised import Supervised, write_supervised

#: A gate that every npubench knows how to score, as that of a model of the user's own.
GATE = {
    "metric": "fidelity",
    "unit": "ratio",
    "higher_is_better": True,
    "reference": 1.0,
    "required": 0.99,
    "rule": "fidelity at least 0.99",
    "claim": "fidelity",
}

PHASES = ("load-plugin", "compile", "load-executor", "accuracy", "warm-up", "baseline", "measure", "audit", "close")

MACHINE = Machine(
    system_id="node-1",
    hostname="node",
    operating_system="Linux",
    kernel="6.1",
    architecture="x86_64",
    cpu="A CPU",
    physical_cores=4,
    logical_cores=8,
    memory_bytes=2**34,
    governor=None,
    virtualisation=None,
)


@dataclass(frozen=True)
class Maker:
    """Puts runs into a store; each has a trace of its own."""

    store: Store
    bundle: Bundle
    spec: Callable[..., RunSpec]
    trace: Callable[..., Trace]

    def __call__(self, run_id: str = "run-a", start: int = 0, score: Any = fidelity, harness: str = npubench.__version__) -> Path:
        """Publish a run and return its folder."""
        with self.store.writing():
            folder = self.store.open_run(run_id)
            self.fill(folder, self.spec(run_id=run_id, bundle=str(self.bundle.root), bundle_digest=self.bundle.digest), start)
            outcome = Outcome("finished", "", "close", 0, 3_000_000_000, {"measure": 1_000_000, "audit": 2_000_000_000})
            write_supervised(folder, Supervised(harness, "2026-08-01T00:00:00+00:00", "python", None, {}, MACHINE, outcome))
            return self.store.publish(folder, build_record(folder, self.bundle, score))

    def fill(self, folder: Path, spec: RunSpec, start: int) -> None:
        """Write what a worker leaves."""
        (folder / "spec.json").write_text(json.dumps(to_plain(spec)), encoding="utf-8")
        latencies = 5_000_000 + np.random.default_rng(start).integers(0, 500_000, 300)
        write_trace(_moved(self.trace(latencies, details={"loadgen": {}}), start), folder / "trace.npz")
        outputs = self.bundle.load_reference()[0]
        np.savez(folder / "accuracy.npz", **{"0": outputs})
        chosen = np.arange(4)
        np.savez(folder / "checked.npz", rows=chosen, sample=chosen, **{"0": outputs[chosen]})
        observed = Observed(
            phases=[{"phase": name, "start_ns": n * 1000, "end_ns": n * 1000 + 900} for n, name in enumerate(PHASES)],
            device={"name": "npu0", "kind": "ACME-1", "simulated": True},
            plugin={"backend": "acme", "entry": "acme:Backend"},
            settings={"batch": 1, "in_flight": 1},
        )
        (folder / "worker.json").write_text(json.dumps(asdict(observed)), encoding="utf-8")
        (folder / "worker.log").write_text("said the device\n" * 20, encoding="utf-8")
        (folder / "loadgen" / "measure").mkdir(parents=True)
        (folder / "loadgen" / "measure" / "mlperf_log_detail.txt").write_text(":::MLLOG\n" * 50, encoding="utf-8")


def _moved(trace: Trace, by_ns: int) -> Trace:
    columns = {name: getattr(trace, name) + by_ns for name in ("issued_ns", "started_ns", "done_ns", "scheduled_ns")}
    return replace(trace, **columns, start_ns=trace.start_ns + by_ns, end_ns=trace.end_ns + by_ns)
