"""The rules a run must hold to be valid; each that does not hold is a finding with observed, required, advice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npubench.analyze.certified import CONFIDENCE, overlatency_allowed
from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding, Severity, by_gravity
from npubench.analyze.intervals import MATERIAL, Drift
from npubench.analyze.metrics import percentile_key
from npubench.analyze.outputs import passes
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import RunSpec, Scenario
from npubench.measure.trace import Trace

#: LoadGen's percentiles and the trace's may differ by the clock reads between them and by one rank.
_ACCOUNT_SHARE, _ACCOUNT_NS = 0.01, 100_000
#: How long LoadGen may take to hand over one sample of an offline query (measured: 66 ns on a virtual machine of 2026), ns.
_HANDING_NS = 250
#: The generator may be this late at its p99, as a share of the latency bound, before it is the one being measured.
_LAG_SHARE = 0.1
#: How much longer the trace may say the window was than the supervisor's clock, s.
_CLOCK_S = 0.25


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules look at.

    Args:
        spec, bundle, trace, metrics: Of the run.
        observed: What the worker wrote down (``worker.json``).
        drift: First against last third of the window, or ``None`` where too short to say.
        supervised_ns: How long the supervisor saw the phase ``measure`` last.
        governor, virtualisation: Of the host, or ``None``.
        calibrated: Whether this system has a calibration.
    """

    spec: RunSpec
    bundle: Bundle
    trace: Trace
    metrics: Mapping[str, Estimate]
    observed: Mapping[str, Any]
    drift: Drift | None
    supervised_ns: int
    governor: str | None
    virtualisation: str | None
    calibrated: bool


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Return every finding of a run, the grave ones first."""
    return by_gravity(finding for rule in RULES for finding in rule(facts))


def _strict(facts: Facts) -> Severity:
    """Return how a doubt counts that a run of a second cannot be held to."""
    return "warning" if facts.spec.grade == "smoke" else "invalid"


def _duration(facts: Facts) -> Iterator[Finding]:
    required = facts.spec.load.min_duration_ns
    # The last of a Poisson schedule is due a little before its end. Elsewhere LoadGen measures the duration it holds to from
    # some µs before the first query is issued here to some µs after the last is done.
    slack = 0.02 if facts.spec.load.scenario is Scenario.SERVER else 0.001
    if facts.trace.window_ns < required * (1 - slack):
        yield Finding(
            "duration",
            "invalid",
            f"{facts.trace.window_ns / 1e9:.3f} s",
            f"at least {required / 1e9:g} s",
            "The device sped up after warm-up; measure again, with a longer warm-up if it happens twice.",
            {"window_s": facts.trace.window_ns / 1e9, "required_s": required / 1e9},
        )


def _query_count(facts: Facts) -> Iterator[Finding]:
    offline = facts.spec.load.scenario is Scenario.OFFLINE
    count = facts.trace.samples if offline else facts.trace.queries
    if count < facts.spec.load.min_queries:
        yield Finding(
            "query-count",
            "invalid",
            f"{count} {'samples' if offline else 'queries'}",
            f"at least {facts.spec.load.min_queries}",
            "Measure longer, so that enough queries fit into the window.",
            {"count": count, "of": "samples" if offline else "queries", "required": facts.spec.load.min_queries},
        )


def _latency_bound(facts: Facts) -> Iterator[Finding]:
    load = facts.spec.load
    if load.scenario is not Scenario.SERVER or load.latency_bound_ns is None:
        return
    latencies = facts.trace.query_latencies_ns()
    over = int((latencies > load.latency_bound_ns).sum())
    allowed = overlatency_allowed(len(latencies), load.percentile)
    if allowed is None or over > allowed:
        searched = load.target_qps is None
        yield Finding(
            "rate-not-certified" if searched else "latency-bound",
            "invalid",
            f"{over} of {len(latencies)} queries over {load.latency_bound_ns / 1e6:g} ms",
            f"at most {allowed or 0}, so that p{load.percentile * 100:g} holds with 99 % confidence",
            "Lower target_qps, or measure longer."
            if not searched
            else "No rate near the one found holds for a whole window; measure longer.",
            {
                "over": over,
                "queries": len(latencies),
                "allowed": allowed or 0,
                "bound_ms": load.latency_bound_ns / 1e6,
                "percentile": load.percentile,
                "confidence": CONFIDENCE,
            },
        )


def _certified_tail(facts: Facts) -> Iterator[Finding]:
    if facts.spec.load.scenario is Scenario.OFFLINE:
        return
    tail = facts.metrics.get(percentile_key(facts.spec.load.percentile))
    if tail is not None and tail.value is None:
        yield Finding(
            "certified-tail",
            _strict(facts),
            tail.reason or "",
            "a certified tail percentile",
            "Measure longer.",
            {"queries": facts.trace.queries},
        )


def _accuracy_gate(facts: Facts) -> Iterator[Finding]:
    gate, accuracy = facts.bundle.gate, facts.metrics["accuracy"]
    if not passes(gate, accuracy):
        observed = accuracy.reason if accuracy.value is None else f"{gate.metric} {accuracy.value:.5g}"
        side = "at least" if gate.higher_is_better else "at most"
        yield Finding(
            "accuracy-gate",
            "invalid",
            observed or "",
            f"{side} {gate.required:.5g} ({gate.rule})",
            "Look at the precision and the calibration; then at layout, channel order and preprocessing of the artefact.",
            {
                "metric": gate.metric,
                "accuracy": accuracy.value,
                "required": gate.required,
                "reference": gate.reference,
                "higher_is_better": gate.higher_is_better,
                "rule": gate.rule,
            },
        )


def _offload(facts: Facts) -> Iterator[Finding]:
    artefact = facts.observed["artefact"]
    on_host, on_device = artefact.get("host_operators"), artefact.get("device_operators")
    if on_host is None:
        yield Finding(
            "offload",
            "warning",
            "the runtime cannot tell which operators ran on the device",
            "an account of the operators by the runtime",
            "Implement Executor.offload, from the compiler's or the runtime's own information.",
        )
    elif on_host:
        allowed = artefact.get("host_allowed", False)
        yield Finding(
            "host-operators",
            "warning" if allowed else "invalid",
            f"{on_host} of {on_host + (on_device or 0)} operators ran on the host CPU",
            "all operators on the device",
            "Such a run is never ranked."
            if allowed
            else "Set allow_host_operators to measure it all the same, labelled and unranked.",
            {"host": on_host, "device": on_device, "operators": on_host + (on_device or 0)},
        )


def _client(facts: Facts) -> Iterator[Finding]:
    """The harness must not be what is measured: in server, LoadGen's thread issues on time."""
    load = facts.spec.load
    if load.scenario is not Scenario.SERVER or not facts.trace.samples:
        return
    lag = float(np.percentile(issue_lag_ns(facts.trace), 99))
    bound = load.latency_bound_ns or 10_000_000
    if lag > _LAG_SHARE * bound:
        yield Finding(
            "client-lag",
            _strict(facts),
            f"queries were issued up to {lag / 1e6:.3g} ms late (p99)",
            f"at most {_LAG_SHARE * bound / 1e6:.3g} ms",
            "Keep a core free for the harness (free_cores in the host file), or give the target fewer threads.",
            {"lag_p99_ms": lag / 1e6, "allowed_ms": _LAG_SHARE * bound / 1e6},
        )


def issue_lag_ns(trace: Trace) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return how late the harness issued each sample, ns: since it was due, or since the device was free to take it.

    Where LoadGen's thread executes, it can only issue once the query before is done; that wait is the device's.
    """
    due = trace.scheduled_ns
    if trace.details.get("inline"):
        due = np.maximum(due, np.concatenate((due[:1], trace.done_ns[:-1])))
    return np.asarray(trace.issued_ns - due, dtype=np.int64)


def _accounts(facts: Facts) -> Iterator[Finding]:
    """LoadGen, the trace and the supervisor's wall clock must tell the same story."""
    account: Mapping[str, Any] = facts.trace.details.get("loadgen", {})
    if facts.spec.load.scenario is Scenario.OFFLINE:
        seen, said = facts.trace.samples / facts.trace.window_ns * 1e9, account.get("samples_per_s")
        # LoadGen's clock starts before the query is handed over, which Python makes an object of for each sample.
        handed = facts.trace.samples * _HANDING_NS + _ACCOUNT_NS
        off = said is not None and (
            not said
            or said > seen * (1 + _ACCOUNT_SHARE)
            or facts.trace.samples / said * 1e9 > facts.trace.window_ns * (1 + _ACCOUNT_SHARE) + handed
        )
        text = f"{seen:.6g} samples/s in the trace, {said} by LoadGen"
        evidence: dict[str, float | int | str | bool | None] = {"trace_samples_per_s": seen, "loadgen_samples_per_s": said}
    else:
        latencies = np.sort(facts.trace.query_latencies_ns())
        n = len(latencies)
        off, text, evidence = False, "", {}
        for name, share in (("p50_ns", 0.5), ("p90_ns", 0.9)):
            said = account.get(name)
            if said is None or n < 64:
                continue
            low, high = latencies[max(0, int(share * n) - 2)], latencies[min(n - 1, int(share * n) + 2)]
            if said < low * (1 - _ACCOUNT_SHARE) - _ACCOUNT_NS or said > high * (1 + _ACCOUNT_SHARE) + _ACCOUNT_NS:
                off = True
                text = f"{name.removesuffix('_ns')} is {low / 1e6:.4g} ms in the trace, {said / 1e6:.4g} ms by LoadGen"
                evidence = {"percentile": share, "trace_ms": float(low) / 1e6, "loadgen_ms": said / 1e6}
    if not account:
        off, text = True, "LoadGen left no account of the window"
    if off:
        yield Finding(
            "loadgen-disagrees",
            "invalid",
            text,
            f"within {_ACCOUNT_SHARE:.0%}",
            "The clock was stepped or the host stalled; measure again.",
            {**evidence, "allowed": _ACCOUNT_SHARE},
        )
    if facts.supervised_ns and facts.trace.window_ns > facts.supervised_ns + _CLOCK_S * 1e9:
        yield Finding(
            "clock-disagrees",
            "invalid",
            f"the window lasted {facts.trace.window_ns / 1e9:.3f} s by the worker, "
            f"{facts.supervised_ns / 1e9:.3f} s by the supervisor",
            "the worker's window within the supervisor's",
            "A plug-in must not touch the process's clock; look at what the SDK does.",
            {"window_s": facts.trace.window_ns / 1e9, "supervised_s": facts.supervised_ns / 1e9},
        )


def _drift(facts: Facts) -> Iterator[Finding]:
    if facts.drift is not None and facts.drift.drifts:
        yield Finding(
            "drift",
            _strict(facts),
            f"{facts.drift.change:+.1%} from the first to the last third of the window",
            f"within ±{MATERIAL:.0%}",
            "Let the device reach its steady temperature first, and look for throttling and other load on the host.",
            {"change": facts.drift.change, "allowed": MATERIAL, "p_value": facts.drift.p},
        )


def _surroundings(facts: Facts) -> Iterator[Finding]:
    settings: Mapping[str, Any] = facts.observed["settings"]
    slack = settings.get("timer_slack_ns")
    if slack != 1:
        yield Finding(
            "timer-slack",
            "warning",
            "timer slack is not known" if slack is None else f"timer slack is {slack} ns",
            "1 ns",
            "Run on Linux without a filter on prctl; sleeps end late otherwise.",
            {"timer_slack_ns": slack},
        )
    if facts.governor not in (None, "performance"):
        yield Finding(
            "governor",
            "note",
            f"CPU governor is {facts.governor}",
            "performance",
            "Set the governor to performance before official runs.",
            {"governor": facts.governor},
        )
    if facts.virtualisation is not None:
        yield Finding(
            "virtual-machine",
            "note",
            f"the host is a virtual machine ({facts.virtualisation})",
            "bare metal for official figures",
            "Neighbours on the same host may show in the tail.",
            {"virtualisation": facts.virtualisation},
        )
    if not facts.calibrated:
        yield Finding(
            "calibration-missing",
            "note",
            "this system has no calibration",
            "npubench calibrate, once a system",
            "Run 'npubench calibrate'.",
        )
    residue: Sequence[str] = facts.observed.get("residue", ())
    if residue:
        yield Finding(
            "residue",
            "warning",
            f"after close there were still {', '.join(residue)}",
            "nothing left",
            "Executor.close must release the device and end its threads.",
            {"left": ", ".join(residue)},
        )


def _labels(facts: Facts) -> Iterator[Finding]:
    if facts.observed["device"].get("simulated"):
        yield Finding("simulated", "note", "SIMULATED: the device is no hardware", "hardware", "Never ranked, never published.")
    # Samples that come from somewhere name their sources; those of a model of one's own are drawn.
    if facts.bundle.gate.claim == "fidelity" and not facts.bundle.sources:
        yield Finding(
            "generated-inputs",
            "note",
            "inputs are generated from a seed",
            "real samples with labels for an accuracy claim",
            "Make a workload of it to have its accuracy gated.",
        )


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _duration,
    _query_count,
    _latency_bound,
    _certified_tail,
    _accuracy_gate,
    _offload,
    _client,
    _accounts,
    _drift,
    _surroundings,
    _labels,
)
