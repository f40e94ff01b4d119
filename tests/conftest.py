"""Factories for what more than one station's tests are built from: specs, bundles, traces, records."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.metrics import HEADLINE, compute_metrics
from npubench.contract.bundle import Bundle, bundle_digest, file_digest, read_bundle
from npubench.contract.runspec import LoadSpec, RunSpec, Scenario, Seeds, TargetSpec
from npubench.contract.tensors import TensorSpec
from npubench.measure.trace import Trace, write_trace
from npubench.record.schema import SCHEMA_VERSION, BundleReference, Provenance, Record, System
from npubench.record.store import Entry, Store

# The same examples every time, however busy the machine; --hypothesis-profile=default looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

SAMPLES = 12

DIGEST = "sha256:" + "0" * 64


def build_spec(
    scenario: Scenario = Scenario.SINGLE_STREAM, *, load: Mapping[str, Any] = {}, target: Mapping[str, Any] = {}, **changes: Any
) -> RunSpec:
    server = scenario is Scenario.SERVER
    loaded = LoadSpec(
        scenario=scenario,
        min_duration_ns=1_000_000_000,
        min_queries=64,
        samples_per_query=8 if scenario is Scenario.MULTI_STREAM else 1,
        batch=1,
        in_flight=1,
        coalesce_delay_ns=0,
        target_qps=1000.0 if server else None,
        latency_bound_ns=10_000_000 if server else None,
        percentile=0.9 if scenario is Scenario.SINGLE_STREAM else 0.99,
        seeds=Seeds(1, 2, 3, 4),
    )
    spec = RunSpec(
        schema_version=1,
        run_id="run-a",
        suite="night",
        grade="nightly",
        target=replace(TargetSpec("card", "acme", "npu0", "acme:Backend"), **target),
        workload="tiny",
        precision="fp32",
        bundle="/nowhere",
        bundle_digest=DIGEST,
        load=replace(loaded, **load),
        repeat=0,
        round="",
        warm_up_ns=1,
        baseline_ns=0,
        checked_queries=16,
        deadlines_s={"measure": 30.0},
        watchdog_s=5.0,
        cache="/nowhere/cache",
    )
    return replace(spec, **changes)


def build_bundle(root: Path, **changes: Any) -> Bundle:
    """Write a bundle of a model nobody loads: y = x @ w, twelve samples."""
    x = np.arange(SAMPLES * 4, dtype=np.float32).reshape(SAMPLES, 4)
    w = np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32)
    (root / "inputs").mkdir(parents=True)
    (root / "fp32").mkdir()
    np.save(root / "inputs" / "0.npy", x)
    np.savez(root / "labels.npz", y=x @ w)
    np.savez(root / "fp32" / "reference.npz", **{"0": x @ w})
    (root / "fp32" / "model.onnx").write_bytes(b"stands for a graph")
    manifest: dict[str, Any] = {
        "schema_version": 1,
        "workload": "tiny",
        "version": "1",
        "title": {"en": "Tiny", "ko": "작은 것"},
        "task": {"en": "None", "ko": "없음"},
        "licence": "Apache-2.0",
        "sources": [],
        "inputs": [TensorSpec("x", "float32", (None, 4)).to_dict()],
        "outputs": [TensorSpec("y", "float32", (None, 2)).to_dict()],
        "keep": ["all"],
        "samples": SAMPLES,
        "gate": {
            "metric": "exact",
            "unit": "ratio",
            "higher_is_better": True,
            "reference": 1.0,
            "required": 0.99,
            "rule": "99 % of the FP32 reference",
            "claim": "accuracy",
        },
        "latency_bound_ns": 10_000_000,
        "operations": 16,
        "variants": {
            "fp32": {
                "precision": "fp32",
                "model": "fp32/model.onnx",
                "digest": file_digest(root / "fp32" / "model.onnx"),
                "reference_score": 1.0,
            }
        },
        "calibration_digest": "",
        "files": {path.relative_to(root).as_posix(): file_digest(path) for path in sorted(root.rglob("*")) if path.is_file()},
        **changes,
    }
    manifest["digest"] = bundle_digest(manifest)
    (root / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    return read_bundle(root)


def build_trace(
    latencies_ns: Sequence[int] | np.ndarray[Any, Any],
    *,
    every_ns: int | None = None,
    per_query: int = 1,
    service_ns: int | None = None,
    details: Mapping[str, Any] = {},
) -> Trace:
    """Build a trace of queries: back to back, or one ``every_ns``; each ``per_query`` samples that end together."""
    latencies = np.asarray(latencies_ns, np.int64)
    n = len(latencies)
    due = np.concatenate([[0], np.cumsum(latencies)[:-1]]) if every_ns is None else np.arange(n) * every_ns
    due = due.astype(np.int64) + 1_000_000
    row = np.repeat(np.arange(n), per_query)
    done = (due + latencies)[row]
    return Trace(
        issued_ns=due[row],
        started_ns=due[row] if service_ns is None else done - service_ns,
        done_ns=done,
        scheduled_ns=due[row],
        sample=np.arange(n * per_query) % SAMPLES,
        query=row.astype(np.int64),
        start_ns=int(due[0]),
        end_ns=int(done.max()),
        details=dict(details),
    )


def build_record(
    spec: RunSpec | None = None,
    trace: Trace | None = None,
    *,
    status: str = "ok",
    reason: str | None = None,
    simulated: bool = False,
    system_id: str = "node-1",
    started_at: str = "2026-08-01T00:00:00+00:00",
    metrics: Mapping[str, Estimate] | None = None,
    work_digest: str = DIGEST,
    **changes: Any,
) -> Record:
    spec = spec or build_spec()
    scenario = spec.load.scenario
    headline = HEADLINE[scenario]
    if metrics is None and status in ("ok", "invalid") and trace is not None:
        metrics = {**compute_metrics(trace, scenario), "accuracy": Estimate(1.0, "ratio", n=SAMPLES)}
    return Record(
        **{
            "schema_version": SCHEMA_VERSION,
            "run_id": spec.run_id,
            "status": status,
            "reason": reason if reason is not None or status == "ok" else f"because it is {status}",
            "spec": spec,
            "system": System(
                system_id=system_id,
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
                device={"name": spec.target.device, "kind": "ACME-1"},
                versions={"sdk": "1.0"},
                packages={"numpy": "2.0"},
                python="3.11.7",
                environment={},
                simulated=simulated,
                declared={},
                stable={},
                volatile={},
            ),
            "bundle": BundleReference(
                workload=spec.workload,
                version="1",
                digest=spec.bundle_digest,
                work_digest=work_digest,
                model_digest=DIGEST,
                title={"en": "Tiny"},
                task={"en": "None"},
                licence="Apache-2.0",
                samples=SAMPLES,
                operations=16,
                metric="exact",
                metric_unit="ratio",
                higher_is_better=True,
                reference=1.0,
                required=0.99,
                rule="99 % of the FP32 reference",
                claim="accuracy",
            ),
            "artefact": None,
            "phases": (),
            "metrics": metrics if metrics is not None else {headline.metric: absent(headline.unit, reason or "nothing measured")},
            "findings": (),
            "energy": (),
            "ranging": (),
            "audits": (),
            "client": None,
            "stability": None,
            "operators": None,
            "memory": None,
            "provenance": Provenance(
                harness="0.1.0",
                contract=1,
                plugin={"backend": spec.target.backend},
                loadgen="5.1",
                started_at=started_at,
                interpreter="python",
                settings={"batch": spec.load.batch, "in_flight": spec.load.in_flight},
                calibration=None,
                files={},
                worker_exit=0,
                log_tail="",
            ),
            "exclusions": (),
            **changes,
        }
    )


def publish_run(store: Store, record: Record, trace: Trace | None = None) -> Entry:
    """Put a run into a store as a worker and its supervisor would."""
    folder = store.open_run(record.run_id)
    if trace is not None:
        write_trace(trace, folder / "trace.npz")
    return Entry(store.publish(folder, record), record)


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., RunSpec]:
    return build_spec


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Bundle]:
    return build_bundle


@pytest.fixture(scope="session")
def make_trace() -> Callable[..., Trace]:
    return build_trace


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    return build_record


@pytest.fixture(scope="session")
def publish() -> Callable[..., Entry]:
    return publish_run
