"""Every rule of power is silent on a run that was measured well and speaks up on the one made for it; none fails a run."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze import power_rules
from npubench.analyze.courses import Course, read_courses
from npubench.analyze.energy import Track
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.gauge import gauge_joules
from npubench.analyze.power_rules import PowerFacts, judge_power
from npubench.analyze.ranging import Ranging
from npubench.analyze.readings import EnergyAccount
from npubench.measure.trace import Trace

MS = 1_000_000
SECOND = 1_000_000_000
Change = Callable[[PowerFacts], PowerFacts]
NONE = absent("W", "no idle baseline")


def joules(value: float | None, share: float = 0.001, reason: str | None = None) -> Estimate:
    if value is None:
        return absent("J", reason or "")
    return Estimate(value, "J", value * (1 - share), value * (1 + share), n=100)


GOOD = EnergyAccount(
    sensor="card energy",
    domain="card",
    evidence="device energy counter",
    joules=joules(80.0),
    watts=Estimate(40.0, "W", 39.9, 40.1),
    peak_watts=Estimate(44.0, "W"),
    idle_watts=Estimate(10.0, "W", 9.9, 10.1),
    above_idle_joules=Estimate(60.0, "J", 59.0, 61.0),
    joules_per_sample=NONE,
    samples_per_joule=NONE,
    accuracy_joules=NONE,
    warm_up_joules=NONE,
    readings=100,
    coverage=1.0,
    update_period_ns=MS,
    clock_offset_ns=0,
)


@pytest.fixture
def clean(make_trace: Callable[..., Trace]) -> PowerFacts:
    """A window of 2 s: 2,000 queries of 1 ms, all of it in the executor."""
    return PowerFacts("official", (GOOD,), (), make_trace(np.full(2000, MS)))


def course(kind: str, values: Sequence[float] | np.ndarray[Any, Any]) -> Course:
    """Return readings spread over the window of 2 s."""
    shown = np.asarray(values).astype(np.int64)
    return Course(f"card {kind}", kind, "card", np.linspace(MS, 2 * SECOND, shown.size).astype(np.int64), shown)


def slower(facts: PowerFacts, by: float = 0.2) -> PowerFacts:
    """Have every query of the second half take longer in the executor."""
    took = np.where(np.arange(facts.trace.samples) < facts.trace.samples // 2, MS, int(MS * (1 + by)))
    return replace(facts, trace=replace(facts.trace, started_ns=facts.trace.done_ns - took))


def gradually(facts: PowerFacts, by: float = 0.2) -> PowerFacts:
    took = np.linspace(MS, MS * (1 + by), facts.trace.samples).astype(np.int64)
    return replace(facts, trace=replace(facts.trace, started_ns=facts.trace.done_ns - took))


def account(**changes: Any) -> Change:
    return lambda facts: replace(facts, accounts=(replace(GOOD, **changes),))


def courses(*found: Course, then: Change = lambda facts: facts) -> Change:
    return lambda facts: then(replace(facts, courses=found))


def real_reason() -> str:
    """What the integration itself says of a card at 17,521,800 W."""
    times = np.arange(0, 4 * SECOND, 10 * MS)
    track = Track(times, np.full(times.size, 17_521_800_000), np.ones(times.size, bool), update_period_ns=10 * MS)
    return gauge_joules(track, SECOND, 3 * SECOND).joules.reason or ""


def ranged(watts: float) -> Change:
    seen = Ranging("card energy", "card", Estimate(watts, "W"), Estimate(231.0, "V"), Estimate(0.4, "A"))
    return lambda facts: replace(facts, ranging=(seen,))


FALLING = [1.4e9] * 50 + [1.2e9] * 50
WARMING = np.linspace(60_000, 84_000, 100)

FIRES: list[tuple[str, str, Change]] = [
    ("power-missing", "note", lambda f: replace(f, accounts=())),
    ("power-missing", "note", account(joules=joules(None, reason="the counter does not move"))),
    ("power-implausible", "warning", account(joules=joules(None, reason=real_reason()))),
    ("power-uncertain", "warning", account(joules=joules(80.0, 0.011))),
    ("power-uncertain", "note", account(joules=joules(80.0, 0.006))),
    ("power-uncertain", "note", lambda f: account(joules=joules(80.0, 0.011))(replace(f, grade="nightly"))),
    ("clock-offset", "warning", account(clock_offset_ns=801 * MS)),
    ("idle-not-idle", "note", account(idle_watts=Estimate(37.0, "W", 36.9, 37.1))),
    (
        "idle-not-idle",
        "warning",
        account(idle_watts=Estimate(42.0, "W", 41.9, 42.1), above_idle_joules=Estimate(-4.0, "J", -5.0, -3.0)),
    ),
    ("below-ranging", "warning", ranged(42.2)),
    ("ranges-not-fixed", "warning", lambda f: replace(f, unfixed={"wall": "no ranging run was made"})),
    ("throttled", "warning", courses(course("throttle", [0] * 60 + [1] * 40))),
    ("throttled", "warning", courses(course("clock", FALLING), then=slower)),
    ("throttled", "warning", courses(course("temperature", WARMING), then=gradually)),
]


def test_a_run_that_was_measured_well_has_no_finding(clean: PowerFacts) -> None:
    assert judge_power(clean) == ()


@pytest.mark.parametrize(("rule", "severity", "change"), FIRES, ids=[f"{n}-{fires[0]}" for n, fires in enumerate(FIRES)])
def test_a_rule_fires_on_what_it_is_for_and_alone(clean: PowerFacts, rule: str, severity: str, change: Change) -> None:
    (finding,) = judge_power(change(clean))
    assert (finding.rule, finding.severity) == (rule, severity)
    assert finding.observed
    assert finding.required
    assert finding.advice.endswith(".")
    json.dumps(dict(finding.evidence), allow_nan=False)


def test_every_rule_in_the_source_is_fired_above_and_none_makes_a_run_invalid() -> None:
    calls = [node for node in ast.walk(ast.parse(Path(power_rules.__file__).read_text())) if isinstance(node, ast.Call)]
    found = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Finding"]
    assert {part.value for call in found for part in [call.args[0]] if isinstance(part, ast.Constant)} == {r for r, *_ in FIRES}
    assert "invalid" not in {severity for _, severity, _ in FIRES}


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("power-missing", lambda f: replace(f, accounts=(replace(GOOD, joules=joules(None, reason="no")), GOOD))),
        ("power-uncertain", account(joules=joules(80.0, 0.005))),
        ("clock-offset", account(clock_offset_ns=800 * MS)),
        ("idle-not-idle", account(idle_watts=Estimate(35.9, "W", 35.0, 36.0))),
        ("idle-not-idle", account(idle_watts=absent("W", "no idle baseline"))),
        ("below-ranging", ranged(42.1)),
        ("ranges-not-fixed", lambda f: replace(f, grade="nightly", unfixed={"wall": "no ranging run was made"})),
        ("throttled", courses(course("throttle", [0] * 100))),
        # A clock that falls with the load, and requests that take as long as before.
        ("throttled", courses(course("clock", FALLING))),
        ("throttled", courses(course("clock", [1.4e9] * 50 + [1.27e9] * 50), then=slower)),
        ("throttled", courses(course("temperature", np.linspace(60_000, 64_000, 100)), then=gradually)),
        ("throttled", courses(course("temperature", np.tile([60_000, 66_000], 50)), then=gradually)),
        ("throttled", courses(course("utilisation", [10**6] * 100), then=slower)),
    ],
)
def test_a_rule_is_silent_just_within_its_bound(clean: PowerFacts, rule: str, change: Change) -> None:
    assert rule not in {finding.rule for finding in judge_power(change(clean))}


def test_what_a_throttle_flag_says_outside_the_window_does_not_count(clean: PowerFacts) -> None:
    flag = course("throttle", [1] * 100)
    early = replace(flag, times_ns=flag.times_ns - 10 * SECOND)
    assert judge_power(replace(clean, courses=(early,))) == ()


def test_a_clock_fell_by_as_much_as_is_said(clean: PowerFacts) -> None:
    (finding,) = judge_power(courses(course("clock", FALLING), then=slower)(clean))
    assert finding.evidence["before"] == pytest.approx(1400)
    assert finding.evidence["after"] == pytest.approx(1200)
    assert finding.evidence["slower"] == pytest.approx(0.2)


def test_the_graver_come_first(clean: PowerFacts) -> None:
    change = account(idle_watts=Estimate(37.0, "W", 36.9, 37.1), clock_offset_ns=SECOND)
    assert [finding.severity for finding in judge_power(change(clean))] == ["warning", "note"]


def test_conditions_are_read_from_what_samplers_left(tmp_path: Path) -> None:
    header = [{"name": "hot", "kind": "temperature", "domain": "chip", "clock_offset_ns": 5}, {"name": "w", "kind": "power"}]
    np.savez(
        tmp_path / "readings.npz",
        header=np.frombuffer(json.dumps(header).encode(), np.uint8),
        **{"0_times_ns": np.array([10, 20]), "0_values": np.array([61_000, 0]), "0_valid": np.array([True, False])},
    )
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 no archive")
    (found,) = read_courses([tmp_path / "damaged.npz", tmp_path / "none.npz", tmp_path / "readings.npz"])
    assert (found.name, found.kind, found.domain) == ("hot", "temperature", "chip")
    assert (found.times_ns.tolist(), found.values.tolist()) == ([5], [61_000])
