"""Every rule is silent on a clean run and speaks up on the one made for it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze import validity
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.intervals import Drift
from npubench.analyze.metrics import compute_metrics, find_drift
from npubench.analyze.validity import Facts, judge
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import RunSpec, Scenario
from npubench.measure.trace import Trace

MS = 1_000_000

Change = Callable[[Facts], Facts]


def account(trace: Trace, scenario: Scenario) -> dict[str, float]:
    """Return what LoadGen would say of a trace."""
    if scenario is Scenario.OFFLINE:
        return {"samples_per_s": trace.samples / trace.window_ns * 1e9}
    latencies = trace.query_latencies_ns()
    return {f"p{p}_ns": float(np.percentile(latencies, p)) + 2_000 for p in (50, 90)}


@pytest.fixture
def clean(
    tmp_path: Path, make_spec: Callable[..., RunSpec], make_bundle: Callable[..., Bundle], make_trace: Callable[..., Trace]
) -> Callable[[Scenario], Facts]:
    def build(scenario: Scenario) -> Facts:
        latencies = (MS * np.random.default_rng(11).normal(1, 0.01, 2000)).astype(np.int64)
        every = 1_200_000 if scenario is Scenario.SERVER else None
        trace = make_trace(latencies, every_ns=every, per_query=8 if scenario is Scenario.MULTI_STREAM else 1)
        trace = replace(trace, details={"loadgen": account(trace, scenario)})
        return Facts(
            spec=make_spec(scenario),
            bundle=make_bundle(tmp_path / "bundle"),
            trace=trace,
            metrics={**compute_metrics(trace, scenario), "accuracy": Estimate(1.0, "ratio")},
            observed={
                "artefact": {"device_operators": 10, "host_operators": 0, "host_allowed": False},
                "settings": {"timer_slack_ns": 1},
                "device": {"simulated": False},
                "residue": [],
            },
            drift=find_drift(trace, scenario),
            supervised_ns=trace.window_ns + 100 * MS,
            governor="performance",
            virtualisation=None,
            calibrated=True,
        )

    return build


@pytest.mark.parametrize("scenario", Scenario)
def test_a_clean_run_has_no_finding(clean: Callable[[Scenario], Facts], scenario: Scenario) -> None:
    assert judge(clean(scenario)) == ()


def load(**changes: Any) -> Change:
    return lambda facts: replace(facts, spec=replace(facts.spec, load=replace(facts.spec.load, **changes)))


def trace(**changes: Callable[[Trace], Any]) -> Change:
    return lambda facts: replace(
        facts, trace=replace(facts.trace, **{name: change(facts.trace) for name, change in changes.items()})
    )


def observed(part: str, **changes: Any) -> Change:
    return lambda facts: replace(facts, observed={**facts.observed, part: {**facts.observed[part], **changes}})


def facts(**changes: Any) -> Change:
    return lambda facts: replace(facts, **changes)


def metric(name: str, estimate: Estimate) -> Change:
    return lambda facts: replace(facts, metrics={**facts.metrics, name: estimate})


def generated(facts: Facts) -> Facts:
    return replace(
        facts, bundle=replace(facts.bundle, task={"ko": "", "en": ""}, gate=replace(facts.bundle.gate, claim="fidelity"))
    )


def said(**values: float) -> Change:
    return trace(details=lambda t: {"loadgen": {**t.details["loadgen"], **values}})


def late(share: float) -> Change:
    """Have two in a hundred queries issued ``share`` of the bound late."""

    def change(t: Trace) -> Any:
        lag = np.zeros(t.samples, np.int64)
        lag[::50] = int(share * 10 * MS)
        return t.scheduled_ns + lag

    return trace(issued_ns=change)


ONE, MULTI, SERVER, OFFLINE = Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM, Scenario.SERVER, Scenario.OFFLINE

FIRES: list[tuple[str, str, Scenario, Change]] = [
    ("duration", "invalid", ONE, load(min_duration_ns=3_000_000_000)),
    ("duration", "invalid", OFFLINE, load(min_duration_ns=3_000_000_000)),
    ("duration", "invalid", SERVER, load(min_duration_ns=2_600_000_000)),
    ("query-count", "invalid", ONE, load(min_queries=2001)),
    ("query-count", "invalid", MULTI, load(min_queries=2001)),
    ("query-count", "invalid", OFFLINE, load(min_queries=2001)),
    ("latency-bound", "invalid", SERVER, load(latency_bound_ns=int(1.015 * MS))),
    ("rate-not-certified", "invalid", SERVER, load(latency_bound_ns=int(1.015 * MS), target_qps=None)),
    ("certified-tail", "invalid", ONE, metric("latency_p90", absent("ns", "p90 needs 64 queries, the run has 30"))),
    ("certified-tail", "invalid", MULTI, metric("latency_p99", absent("ns", "p99 needs 662 queries, the run has 30"))),
    ("accuracy-gate", "invalid", ONE, metric("accuracy", Estimate(0.98, "ratio"))),
    ("accuracy-gate", "invalid", ONE, metric("accuracy", absent("ratio", "not a number"))),
    ("offload", "warning", ONE, observed("artefact", host_operators=None, device_operators=None)),
    ("host-operators", "invalid", ONE, observed("artefact", host_operators=1)),
    ("host-operators", "warning", ONE, observed("artefact", host_operators=1, host_allowed=True)),
    ("client-lag", "invalid", SERVER, late(0.11)),
    ("loadgen-disagrees", "invalid", ONE, said(p50_ns=1.2 * MS)),
    ("loadgen-disagrees", "invalid", SERVER, said(p90_ns=0.8 * MS)),
    ("loadgen-disagrees", "invalid", OFFLINE, said(samples_per_s=980.0)),
    ("loadgen-disagrees", "invalid", ONE, trace(details=lambda t: {"loadgen": {}})),
    ("clock-disagrees", "invalid", ONE, facts(supervised_ns=1_700_000_000)),
    ("drift", "invalid", ONE, facts(drift=Drift(change=0.05, trend=0.05, p=1e-6, drifts=True))),
    ("timer-slack", "warning", ONE, observed("settings", timer_slack_ns=50_000)),
    ("governor", "note", ONE, facts(governor="powersave")),
    ("virtual-machine", "note", ONE, facts(virtualisation="KVM")),
    ("calibration-missing", "note", ONE, facts(calibrated=False)),
    ("residue", "warning", ONE, lambda f: replace(f, observed={**f.observed, "residue": ["2 threads"]})),
    ("simulated", "note", ONE, observed("device", simulated=True)),
    ("generated-inputs", "note", ONE, generated),
]


@pytest.mark.parametrize(
    ("rule", "severity", "scenario", "change"), FIRES, ids=[f"{n}-{fires[0]}" for n, fires in enumerate(FIRES)]
)
def test_a_rule_fires_on_what_it_is_for_and_alone(
    clean: Callable[[Scenario], Facts], rule: str, severity: str, scenario: Scenario, change: Change
) -> None:
    (finding,) = judge(change(clean(scenario)))
    assert (finding.rule, finding.severity) == (rule, severity)
    assert finding.observed
    assert finding.required
    assert finding.advice.endswith(".")
    assert all(value is None or isinstance(value, str | bool | int | float) for value in finding.evidence.values())


def test_every_rule_in_the_source_is_fired_above() -> None:
    source = ast.parse(Path(validity.__file__).read_text())
    known: set[str] = set()
    for node in ast.walk(source):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
            known |= {part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)}
    assert known == {rule for rule, *_ in FIRES}


@pytest.mark.parametrize(
    ("rule", "scenario", "change"),
    [
        ("duration", SERVER, load(min_duration_ns=2_420_000_000)),
        ("latency-bound", ONE, load(latency_bound_ns=1)),
        ("latency-bound", SERVER, load(latency_bound_ns=None)),
        ("certified-tail", OFFLINE, load(percentile=0.999)),
        ("client-lag", SERVER, late(0.09)),
        ("client-lag", ONE, late(10)),
        ("loadgen-disagrees", ONE, said(p50_ns=1.0 * MS + 100_000)),
        ("clock-disagrees", ONE, facts(supervised_ns=0)),
        ("drift", ONE, facts(drift=None)),
        ("drift", ONE, facts(drift=Drift(change=0.05, trend=0.05, p=0.5, drifts=False))),
        ("governor", ONE, facts(governor=None)),
    ],
)
def test_a_rule_is_silent_just_within_its_bound(
    clean: Callable[[Scenario], Facts], rule: str, scenario: Scenario, change: Change
) -> None:
    assert rule not in {finding.rule for finding in judge(change(clean(scenario)))}


@pytest.mark.parametrize(
    "change", [late(0.11), facts(drift=Drift(0.05, 0.05, 1e-6, True)), metric("latency_p99", absent("ns", "short"))]
)
def test_what_a_run_of_a_second_cannot_be_held_to_is_a_warning_in_smoke(
    clean: Callable[[Scenario], Facts], change: Change
) -> None:
    smoke = clean(SERVER)
    (finding,) = judge(change(replace(smoke, spec=replace(smoke.spec, grade="smoke"))))
    assert finding.severity == "warning"


def test_where_loadgens_thread_executes_the_wait_for_the_device_is_not_its_lag(clean: Callable[[Scenario], Facts]) -> None:
    """Each query takes 1.5 ms and one comes every 1.2 ms: the queue grows, and that is the device's doing."""
    base = clean(SERVER)
    n = base.trace.samples
    done = base.trace.scheduled_ns[0] + np.arange(1, n + 1) * 3 * MS // 2
    issued = np.concatenate((base.trace.scheduled_ns[:1], done[:-1])) + 5_000
    crowded = replace(
        base.trace, issued_ns=issued, started_ns=issued, done_ns=done, details={"inline": True, "loadgen": {"p50_ns": 0.0}}
    )
    found = {
        inline: judge(replace(base, trace=replace(crowded, details={**crowded.details, "inline": inline})))
        for inline in (True, False)
    }
    assert "client-lag" not in {finding.rule for finding in found[True]}
    assert "client-lag" in {finding.rule for finding in found[False]}


def test_the_gravest_come_first(clean: Callable[[Scenario], Facts]) -> None:
    bad = clean(ONE)
    for change in (facts(governor="powersave"), observed("settings", timer_slack_ns=0), load(min_queries=10**6)):
        bad = change(bad)
    assert [finding.severity for finding in judge(bad)] == ["invalid", "warning", "note"]
