"""Conduct one run: start the worker, analyse what it left, and publish the record. Decides neither load nor verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import npubench
from npubench.analyze.courses import read_courses
from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding, by_gravity
from npubench.analyze.metrics import compute_metrics, find_drift, no_metrics
from npubench.analyze.outputs import Score, compare_checked, score_outputs
from npubench.analyze.power_rules import PowerFacts, judge_power
from npubench.analyze.readings import EnergyAccount, account_energy
from npubench.analyze.validity import Facts, judge
from npubench.contract.backend import CONTRACT_VERSION
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import Phase, RunSpec
from npubench.errors import StoreError
from npubench.measure.runner import OnEvent, Outcome, interpreter, run_worker
from npubench.measure.sampler import METERS, READINGS
from npubench.measure.trace import Trace, read_arrays, read_trace
from npubench.record.machine import Machine, device_rows
from npubench.record.schema import (
    SCHEMA_VERSION,
    ArtefactReference,
    BundleReference,
    Energy,
    PhaseTime,
    Provenance,
    Record,
    SearchStep,
    Status,
    System,
)
from npubench.record.store import Store, file_digests

#: What no figure counts, beside what the worker adds.
EXCLUSIONS = ("model-load", "compile")


def conduct(
    spec: RunSpec,
    bundle: Bundle,
    score: Score,
    store: Store,
    machine: Machine,
    calibration: str | None,
    declared: Mapping[str, str],
    on_event: OnEvent = lambda event: None,
) -> Record:
    """Carry out one run and publish its record, whatever came of it.

    Args:
        spec: The run.
        bundle: Its workload.
        score: The workload's metric.
        store: Held for writing by the caller.
        machine: This host.
        calibration: The digest of this system's calibration, or ``None``.
        declared: The operator's declaration of the system.
        on_event: Told of the worker's events, for progress.

    Raises:
        StoreError: The record cannot be written.
    """
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    folder = store.open_run(spec.run_id)
    outcome = run_worker(spec, folder, on_event)
    if outcome.kind == "store":
        # Nothing is known of the run, so nothing is kept of it: the same command measures it once there is room.
        raise StoreError(
            f"{folder}: cannot be written: {outcome.reason}; finished runs are kept, make room or choose another --store"
        )
    observed = _observed(folder)
    try:
        record = build_record(folder, spec, bundle, score, machine, outcome, observed, started_at, calibration, declared)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        # A plug-in shares the worker's process and may have spoilt what it wrote; the run is then failed, not lost.
        damage = f"the worker left a damaged account: {' '.join(str(error).split())[:500]}"
        kind = "harness" if outcome.kind == "finished" else outcome.kind
        spoilt = replace(outcome, kind=kind, reason=f"{outcome.reason}; {damage}" if outcome.reason else damage)
        record = build_record(folder, spec, bundle, score, machine, spoilt, {}, started_at, calibration, declared)
    store.publish(folder, record)
    return record


def build_record(
    folder: Path,
    spec: RunSpec,
    bundle: Bundle,
    score: Score,
    machine: Machine,
    outcome: Outcome,
    observed: Mapping[str, Any],
    started_at: str,
    calibration: str | None,
    declared: Mapping[str, str],
) -> Record:
    """Make the record of what stands in ``folder``: a pure function of it and of the arguments."""
    judged = _verdict(folder, spec, bundle, score, machine, outcome, observed, calibration)
    artefact = observed.get("artefact") or None
    return Record(
        schema_version=SCHEMA_VERSION,
        run_id=spec.run_id,
        status=judged.status,
        reason=judged.reason,
        spec=spec,
        system=_system(machine, observed, declared),
        bundle=_bundle_reference(bundle, spec),
        artefact=None
        if artefact is None
        else ArtefactReference(**{k: v for k, v in artefact.items() if k not in ("host_allowed",)}),
        phases=tuple(
            PhaseTime(**phase, steps=_steps(observed) if phase["phase"] == Phase.SEARCH.value else ())
            for phase in observed.get("phases", ())
        ),
        metrics=judged.metrics,
        findings=judged.findings,
        energy=judged.energy,
        ranging=(),  # no ranging run is carried out yet
        provenance=Provenance(
            harness=npubench.__version__,
            contract=CONTRACT_VERSION,
            plugin=observed.get("plugin", {"backend": spec.target.backend, "entry": spec.target.entry}),
            loadgen=observed.get("loadgen", ""),
            started_at=started_at,
            interpreter=interpreter(spec),
            settings=observed.get("settings", {}),
            calibration=calibration,
            files=file_digests(folder),
            worker_exit=outcome.exit_code,
            log_tail="" if judged.status in ("ok", "invalid") else outcome.log_tail,
        ),
        exclusions=tuple(sorted({*EXCLUSIONS, *observed.get("exclusions", ())})),
    )


class _Judged(NamedTuple):
    """What came of a run: the part of its record that is decided and not only described."""

    status: Status
    reason: str | None
    metrics: Mapping[str, Estimate]
    findings: tuple[Finding, ...] = ()
    energy: tuple[Energy, ...] = ()


def _verdict(
    folder: Path,
    spec: RunSpec,
    bundle: Bundle,
    score: Score,
    machine: Machine,
    outcome: Outcome,
    observed: Mapping[str, Any],
    calibration: str | None,
) -> _Judged:
    """Decide what came of a run from what it left; a run without a number has its reason in the headline's place."""
    scenario = spec.load.scenario

    def none(status: Status, reason: str) -> _Judged:
        return _Judged(status, reason, no_metrics(reason, scenario))

    if outcome.kind == "skipped":
        return none("skipped", outcome.reason)
    if outcome.kind != "finished":
        return none("failed", outcome.reason)
    try:
        trace = read_trace(folder / "trace.npz")
        kept = _arrays(folder / "accuracy.npz", len(bundle.outputs))
        stored = read_arrays(folder / "checked.npz")
        sample = stored["sample"]
        timed = [stored[str(n)] for n in range(len(bundle.outputs))] if len(sample) else []
    except (OSError, ValueError, KeyError) as error:
        return none("failed", f"the worker left a damaged trace: {error}")
    if not trace.samples:
        return none("failed", "no sample completed in the window")
    canary = compare_checked(sample, timed, kept, bundle.keep)
    if canary.garbage:
        name = f"{spec.target.backend}:{spec.target.device} on {spec.workload}"
        return none(
            "failed",
            f"{name}: outputs under load differ from the accuracy phase's for the same samples: relative distance "
            f"{canary.worst:.3g}, allowed {canary.tolerance:g}, over {canary.checked} checked samples",
        )
    metrics = compute_metrics(trace, scenario)
    names = [output.name for output in bundle.outputs]
    metrics["accuracy"] = score_outputs(bundle.gate, names, kept, bundle.load_labels(), bundle.load_reference(), score)
    findings = judge(
        Facts(
            spec=spec,
            bundle=bundle,
            trace=trace,
            metrics=metrics,
            observed=observed,
            drift=find_drift(trace, scenario),
            supervised_ns=outcome.phases.get(Phase.AUDIT.value, 0) - outcome.phases.get(Phase.MEASURE.value, 0),
            governor=machine.governor,
            virtualisation=machine.virtualisation,
            calibrated=calibration is not None,
        )
    )
    accounts = _accounts(folder, trace, observed, spec.baseline_ns)
    courses = read_courses([folder / READINGS, folder / METERS])
    findings = by_gravity((*findings, *judge_power(PowerFacts(spec.grade, accounts, courses, trace))))
    grave = [finding for finding in findings if finding.severity == "invalid"]
    simulated = bool(observed["device"].get("simulated"))
    energy = tuple(Energy(**asdict(account), simulated=simulated) for account in accounts)
    if grave:
        reason = f"{grave[0].rule}: {grave[0].observed}; required: {grave[0].required}"
        return _Judged("invalid", reason, metrics, findings, energy)
    return _Judged("ok", None, metrics, findings, energy)


def _accounts(folder: Path, trace: Trace, observed: Mapping[str, Any], baseline_ns: int) -> tuple[EnergyAccount, ...]:
    """Account for energy over the measured window and the phases before it."""
    spans = {p["phase"]: (int(p["start_ns"]), int(p["end_ns"])) for p in observed["phases"]}
    return account_energy(
        [folder / READINGS, folder / METERS],
        (trace.start_ns, trace.end_ns),
        trace.samples,
        idle=spans.get(Phase.BASELINE.value) if baseline_ns else None,
        accuracy=spans.get(Phase.ACCURACY.value),
        warm_up=spans.get(Phase.WARM_UP.value),
    )


def _system(machine: Machine, observed: Mapping[str, Any], declared: Mapping[str, str]) -> System:
    return System(
        **machine._asdict(),
        device=device_rows(observed.get("device", {})),
        versions=observed.get("versions", {}),
        packages=observed.get("packages", {}),
        python=observed.get("python", ""),
        environment=observed.get("environment", {}),
        simulated=bool(observed.get("device", {}).get("simulated", False)),
        declared=declared,
    )


def _bundle_reference(bundle: Bundle, spec: RunSpec) -> BundleReference:
    gate = bundle.gate
    return BundleReference(
        workload=bundle.workload,
        version=bundle.version,
        digest=bundle.digest,
        work_digest=bundle.work_digest,
        model_digest=bundle.model(spec.precision).digest,
        title=bundle.title,
        task=bundle.task,
        licence=bundle.licence,
        samples=bundle.samples,
        operations=bundle.operations,
        metric=gate.metric,
        metric_unit=gate.unit,
        higher_is_better=gate.higher_is_better,
        reference=gate.reference,
        required=gate.required,
        rule=gate.rule,
        claim="accuracy" if gate.claim == "accuracy" else "fidelity",
    )


def _steps(observed: Mapping[str, Any]) -> tuple[SearchStep, ...]:
    return tuple(SearchStep(**step) for step in observed.get("steps", ()))


def _observed(folder: Path) -> Mapping[str, Any]:
    """Return what the worker wrote down; empty where it did not get that far."""
    try:
        data = json.loads((folder / "worker.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _arrays(path: Path, count: int) -> list[np.ndarray[Any, Any]]:
    stored = read_arrays(path)
    return [stored[str(n)] for n in range(count)]
