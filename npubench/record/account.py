"""Make the record of a run from what stands in its folder. Pure: the same folder gives the same record, here or years later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npubench.analyze.audits.verdict import Audit
from npubench.analyze.client import Client, ClientFacts, account_client, holders, judge_client, working
from npubench.analyze.courses import Course, read_courses
from npubench.analyze.declaration import compare_declared
from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding, by_gravity
from npubench.analyze.memory import DAMAGED, Kept, Memory, account_memory, judge_memory
from npubench.analyze.metrics import compute_metrics, find_drift, no_metrics
from npubench.analyze.operators import Operators, account_operators
from npubench.analyze.outputs import Score, compare_checked, score_outputs
from npubench.analyze.power_rules import PowerFacts, judge_power
from npubench.analyze.ranging import Ranging, account_ranging, unfixed_ranges
from npubench.analyze.readings import EnergyAccount, account_energy
from npubench.analyze.stability import Stability, find_stability
from npubench.analyze.stability_rules import judge_stability
from npubench.analyze.validity import Facts, issue_lag_ns, judge
from npubench.contract.backend import CONTRACT_VERSION
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import Phase, RunSpec, Scenario, from_plain
from npubench.measure.memory import MEMORY, MemoryTrack, read_memory
from npubench.measure.profiled import OPERATORS
from npubench.measure.sampler import METERS, READINGS
from npubench.measure.trace import Trace, read_arrays, read_trace
from npubench.record.audited import Checked, audit_run
from npubench.record.machine import device_rows, stable_facts, volatile_facts
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
from npubench.record.store import file_digests
from npubench.record.supervised import Supervised, read_supervised

#: What no figure counts, beside what the worker adds.
EXCLUSIONS = ("model-load", "compile")


def build_record(folder: Path, bundle: Bundle, score: Score) -> Record:
    """Make the record of a run.

    Args:
        folder: The run's: ``spec.json``, ``supervisor.json`` and what worker and samplers left.
        bundle: Its workload; of its files, labels and reference outputs are read.
        score: The workload's metric.

    Raises:
        ValueError, TypeError, LookupError, ArithmeticError, AttributeError: What the worker left is damaged.
        OSError: ``spec.json`` or ``supervisor.json`` cannot be read.
    """
    spec: RunSpec = from_plain(RunSpec, json.loads((folder / "spec.json").read_text(encoding="utf-8")), "spec")
    supervised = read_supervised(folder)
    observed = _observed(folder) if supervised.heeded else {}
    judged = _verdict(folder, spec, bundle, score, supervised, observed)
    artefact = observed.get("artefact") or None
    return Record(
        schema_version=SCHEMA_VERSION,
        run_id=spec.run_id,
        status=judged.status,
        reason=judged.reason,
        spec=spec,
        system=_system(supervised, observed, judged),
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
        ranging=judged.ranging,
        audits=judged.audits,
        client=judged.client,
        stability=judged.stability,
        operators=_operators(folder, spec, judged.status),
        memory=judged.memory or _memory(folder, None),
        provenance=Provenance(
            harness=supervised.harness,
            contract=CONTRACT_VERSION,
            plugin=observed.get("plugin", {"backend": spec.target.backend, "entry": spec.target.entry}),
            loadgen=observed.get("loadgen", ""),
            started_at=supervised.started_at,
            interpreter=supervised.interpreter,
            settings=observed.get("settings", {}),
            calibration=supervised.calibration,
            files=file_digests(folder),
            worker_exit=supervised.outcome.exit_code,
            log_tail="" if judged.status in ("ok", "invalid") else supervised.outcome.log_tail,
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
    ranging: tuple[Ranging, ...] = ()
    audits: tuple[Audit, ...] = ()
    client: Client | None = None
    stability: Stability | None = None
    memory: Memory | None = None
    courses: tuple[Course, ...] = ()
    window: tuple[int, int] | None = None


def _operators(folder: Path, spec: RunSpec, status: Status) -> Operators | None:
    """Return the profile that was asked for; ``None`` where none was, or where the run has no number that it could explain."""
    return account_operators(folder / OPERATORS) if spec.profile and status in ("ok", "invalid") else None


def _verdict(
    folder: Path,
    spec: RunSpec,
    bundle: Bundle,
    score: Score,
    supervised: Supervised,
    observed: Mapping[str, Any],
) -> _Judged:
    """Decide what came of a run from what it left; a run without a number has its reason in the headline's place."""
    scenario, outcome, machine = spec.load.scenario, supervised.outcome, supervised.machine

    def none(status: Status, reason: str) -> _Judged:
        return _Judged(status, reason, no_metrics(reason, scenario))

    if outcome.kind == "skipped":
        return none("skipped", outcome.reason)
    # What ends a worker with the perturbed model costs no measured figure: it is that audit's to judge.
    if outcome.kind != "finished" and not (spec.audits and outcome.phase == Phase.PERTURBED.value):
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
    unsettled = int(stored["unsettled"][0]) if "unsettled" in stored else 0
    checked = Checked(kept, compare_checked(sample, timed, kept, bundle.keep), unsettled)
    metrics = compute_metrics(trace, scenario)
    accounts = _accounts(folder, trace, observed, spec.baseline_ns)
    audits, on_audits, accounts = audit_run(folder, spec, bundle, trace, metrics, observed, checked, accounts)
    if garbage := _garbage(checked, f"{spec.target.backend}:{spec.target.device} on {spec.workload}"):
        return none("failed", garbage)._replace(audits=audits)
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
            calibrated=supervised.calibration is not None,
        )
    )
    paths = [folder / READINGS, folder / METERS]
    courses, ranging = read_courses(paths), account_ranging(paths, _ranging_span(observed))
    client, on_client = _client(spec, trace, supervised, observed)
    differing = compare_declared(supervised.declared, stable_facts(supervised.captured, observed), spec.grade)
    power = judge_power(PowerFacts(spec.grade, accounts, courses, trace, ranging, unfixed_ranges(paths)))
    stability = find_stability(trace, scenario, observed.get("warm_up", {}))
    steady = judge_stability(stability, spec.grade)
    memory = _memory(folder, trace, _kept(trace, stored, observed))
    grown = judge_memory(memory) if memory is not None else ()
    findings = by_gravity((*findings, *steady, *on_audits, *on_client, *differing, *power, *grown))
    grave = [finding for finding in findings if finding.severity == "invalid"]
    window = (trace.start_ns, trace.end_ns)
    simulated = bool(observed["device"].get("simulated"))
    energy = tuple(Energy(**asdict(account), simulated=simulated) for account in accounts)
    if grave:
        reason = f"{grave[0].rule}: {grave[0].observed}; required: {grave[0].required}"
        return _Judged("invalid", reason, metrics, findings, energy, ranging, audits, client, stability, memory, courses, window)
    return _Judged("ok", None, metrics, findings, energy, ranging, audits, client, stability, memory, courses, window)


def _garbage(checked: Checked, name: str) -> str:
    """Return why the outputs under load are not those that were scored, or ""."""
    canary = checked.canary
    if canary.garbage:
        return (
            f"{name}: outputs under load differ from the accuracy phase's for the same samples: relative distance "
            f"{canary.worst:.3g}, allowed {canary.tolerance:g}, over {canary.checked} checked samples"
        )
    if checked.unsettled:
        return f"{name}: outputs of {checked.unsettled} checked requests changed after they had been handed over"
    return ""


def _client(
    spec: RunSpec, trace: Trace, supervised: Supervised, observed: Mapping[str, Any]
) -> tuple[Client, tuple[Finding, ...]]:
    """Account for the harness's own health in the window, and judge it."""
    scenario, counted, foreign = spec.load.scenario, observed.get("client", {}), supervised.outcome.foreign
    lag = float(np.percentile(issue_lag_ns(trace), 99)) if scenario is Scenario.SERVER else None
    client = account_client(counted, trace, scenario, foreign, lag)
    return client, judge_client(ClientFacts(spec.grade, client, trace.window_ns, working(holders(counted, foreign))))


def _kept(trace: Trace, stored: Mapping[str, Any], observed: Mapping[str, Any]) -> Kept | None:
    """Return what the harness kept of outputs; ``None`` where the worker does not tell, as one of an older npubench."""
    size = int(observed.get("kept_bytes") or 0)
    return Kept(trace.done_ns[stored["rows"]], size) if size and "rows" in stored else None


def _memory(folder: Path, trace: Trace | None, kept: Kept | None = None) -> Memory | None:
    """Account for the worker's memory; ``None`` where none was read, as in folders of an older npubench."""
    try:
        track = read_memory(folder / MEMORY)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        track = MemoryTrack(*(np.zeros(0, np.int64),) * 4, phases=(), reason=DAMAGED)
    return account_memory(track, trace, kept)


def _ranging_span(observed: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return start and end of the ranging run's load, ns; None where there was none."""
    span = observed.get("ranging")
    return (int(span["start_ns"]), int(span["end_ns"])) if span else None


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


def _system(supervised: Supervised, observed: Mapping[str, Any], judged: _Judged) -> System:
    return System(
        **asdict(supervised.machine),
        device=device_rows(observed.get("device", {})),
        versions=observed.get("versions", {}),
        packages=observed.get("packages", {}),
        python=observed.get("python", ""),
        environment=observed.get("environment", {}),
        simulated=bool(observed.get("device", {}).get("simulated", False)),
        declared=supervised.declared,
        stable=stable_facts(supervised.captured, observed),
        volatile=volatile_facts(supervised.captured, observed, judged.courses, judged.window),
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
