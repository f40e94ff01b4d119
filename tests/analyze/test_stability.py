"""A run that changed in its course is told so, with where; one that held still is told nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from npubench.analyze.changes import find_changes, pettitt, scatter_dependence
from npubench.analyze.dependence import autocorrelation, dependence
from npubench.analyze.repeats import half_width, mean_over_repeats, wants_another, wide_interval
from npubench.analyze.shape import count_modes, outlier_share
from npubench.analyze.stability import Stability, find_stability
from npubench.analyze.stability_rules import judge_stability
from npubench.contract.runspec import Scenario
from npubench.measure.trace import Trace
from npubench.plan.grades import GRADES

MS = 1_000_000
Make = Callable[..., Trace]


def noise(count: int, seed: int = 1, scatter: float = 0.01) -> np.ndarray:
    return 1.0 + scatter * np.random.default_rng(seed).standard_normal(count)


STEADY = Stability(2, True)


def test_independent_values_are_worth_what_they_are_and_alike_ones_less() -> None:
    assert dependence(noise(2000)) == pytest.approx(1.0, abs=0.1)
    wander = np.convolve(np.random.default_rng(2).standard_normal(2000), np.ones(20))
    assert dependence(wander) > 10
    assert autocorrelation(np.ones(50)) == 0.0
    assert dependence(np.ones(2)) == 1.0


@pytest.mark.parametrize("course", [np.linspace(1, 1.3, 40), 1 - 0.1 * np.exp(-np.arange(40) / 4), np.repeat([1.0, 1.1], 20)])
def test_a_course_is_no_dependence_of_the_scatter(course: np.ndarray) -> None:
    assert dependence(course * noise(40, scatter=0.001)) > 4
    assert scatter_dependence(course * noise(40, scatter=0.001)) < 2.5


def test_a_step_is_found_where_it_is() -> None:
    values = noise(60)
    values[20:] *= 1.08
    (change,) = find_changes(values, effect=0.02)
    assert change.index == 20
    assert change.change == pytest.approx(0.08, abs=0.01)
    assert change.p < 1e-4


def test_two_steps_are_two_and_one_below_what_matters_is_none() -> None:
    values = noise(90)
    values[30:60] *= 1.1
    assert [change.index for change in find_changes(values, effect=0.02)] == [30, 60]
    slight = noise(60, scatter=0.001)
    slight[30:] *= 1.01
    assert pettitt(slight)[1] < 1e-4
    assert find_changes(slight, effect=0.02) == ()


def test_few_values_and_values_of_zero_say_nothing() -> None:
    assert find_changes(np.array([1.0] * 3 + [2.0] * 4), effect=0.02) == ()
    assert find_changes(np.concatenate([np.zeros(20), np.ones(20)]), effect=0.02) == ()


def test_modes_are_counted_and_clumps_of_a_thin_tail_are_none() -> None:
    generator = np.random.default_rng(4)
    two = MS * noise(1000) * np.where(generator.random(1000) < 0.3, 1.2, 1.0)
    assert count_modes(two.astype(np.int64)) == 2
    tail = np.concatenate([MS * noise(360), MS * generator.uniform(1.2, 3, 40)])
    assert count_modes(generator.permutation(tail).astype(np.int64)) == 1
    assert count_modes(np.full(1000, MS)) == 1
    assert count_modes((MS * noise(200)).astype(np.int64)) is None
    # One level and then another is a change, not two modes: such a run is worth few independent queries.
    assert count_modes(np.repeat([MS, 2 * MS], 500)) is None


def test_outliers_are_what_a_heavy_tail_does_not_explain() -> None:
    generator = np.random.default_rng(5)
    for law in (generator.exponential(1, 5000), np.exp(generator.standard_normal(5000)), 1 + generator.pareto(3, 5000)):
        assert (outlier_share((MS * law).astype(np.int64)) or 0.0) < 0.001
    hiccups = MS * noise(5000) * np.where(np.arange(5000) % 100 == 7, 3.0, 1.0)
    assert outlier_share(hiccups.astype(np.int64)) == 0.01
    assert outlier_share(np.full(100, MS)) is None


@pytest.mark.parametrize("scenario", [Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM, Scenario.OFFLINE])
def test_a_run_that_slows_down_half_way_says_when(make_trace: Make, scenario: Scenario) -> None:
    latencies = MS * noise(3000)
    latencies[1500:] *= 1.2
    per_query = 8 if scenario is Scenario.MULTI_STREAM else 1
    found = find_stability(make_trace(latencies, per_query=per_query), scenario, {"windows": 2, "held": True, "change": 0.001})
    (at,), (change,) = found.change_points, found.changes
    assert at == pytest.approx(1.5, abs=0.1)
    assert change == pytest.approx(1 / 1.2 - 1 if scenario is Scenario.OFFLINE else 0.2, abs=0.03)
    assert (found.warm_up_windows, found.warmed_up, found.warm_up_change) == (2, True, 0.001)
    assert (found.queries is None) == (scenario is Scenario.OFFLINE)


def test_in_server_the_executor_is_looked_at_and_batches_have_no_shape(make_trace: Make) -> None:
    queueing = MS * np.where(np.arange(3000) < 1500, 1.0, 3.0) * noise(3000)
    trace = make_trace(queueing, every_ns=MS, service_ns=MS)
    found = find_stability(trace, Scenario.SERVER, {})
    assert (found.change_points, found.modes) == ((), 1)
    batched = find_stability(replace(trace, details={"batch": 4}), Scenario.SERVER, {})
    assert (batched.modes, batched.outlier_share) == (None, None)


def test_a_run_too_short_has_neither_changes_nor_shape(make_trace: Make) -> None:
    for scenario in (Scenario.SINGLE_STREAM, Scenario.OFFLINE):
        assert find_stability(make_trace([MS] * 9), scenario, {}) == Stability(
            None, None, queries=None if scenario is Scenario.OFFLINE else 9
        )


@pytest.mark.parametrize(
    ("changed", "rule", "severity"),
    [
        ({"warmed_up": False, "warm_up_windows": 10, "warm_up_change": 0.05}, "not-warmed-up", "invalid"),
        ({"change_points": (3.0, 9.0), "changes": (0.03, -0.2)}, "change-point", "invalid"),
        ({"modes": 2, "queries": 1000}, "several-modes", "warning"),
        ({"outlier_share": 0.02, "queries": 1000}, "outliers", "warning"),
        ({"outlier_share": 0.005, "queries": 1000}, "outliers", "note"),
    ],
)
def test_each_rule_speaks_up(changed: dict[str, object], rule: str, severity: str) -> None:
    unsteady = replace(STEADY, **changed)  # type: ignore[arg-type]
    (finding,) = judge_stability(unsteady, "official")
    assert (finding.rule, finding.severity) == (rule, severity)
    (spared,) = judge_stability(unsteady, "smoke")
    assert spared.severity == ("warning" if severity == "invalid" else severity)
    if rule == "change-point":
        assert (finding.evidence["at_s"], finding.evidence["change"]) == (9.0, -0.2)


@pytest.mark.parametrize(
    "changed",
    [{}, {"warmed_up": None}, {"modes": 1, "queries": 1000}, {"outlier_share": 0.004, "queries": 1000}, {"outlier_share": 0.0}],
)
def test_a_run_that_held_still_is_told_nothing(changed: dict[str, object]) -> None:
    assert list(judge_stability(replace(STEADY, **changed), "official")) == []  # type: ignore[arg-type]


OFFICIAL, NIGHTLY = GRADES["official"], GRADES["nightly"]
NARROW, WIDE = [100.0, 100.1, 99.9], [100.0, 103.0, 97.0]


def test_only_a_wide_official_cell_wants_another_and_none_beyond_the_limit() -> None:
    assert not wants_another(NARROW, OFFICIAL)
    assert wants_another(WIDE, OFFICIAL)
    assert wants_another([*WIDE, *WIDE, 100.0], OFFICIAL)
    assert not wants_another([*WIDE, *WIDE, 100.0, 90.0], OFFICIAL)
    assert not wants_another(WIDE[:2], OFFICIAL)
    assert not wants_another([100.0], NIGHTLY)


def test_what_is_still_wide_is_said() -> None:
    finding = wide_interval([*WIDE, *WIDE, 100.0, 90.0], OFFICIAL)
    assert finding is not None
    assert finding.observed.endswith("after 8 repeats")
    assert finding.evidence["repeats"] == 8
    assert wide_interval(NARROW, OFFICIAL) is None
    assert wide_interval([100.0], OFFICIAL) is None
    assert wide_interval(WIDE, NIGHTLY) is None
    assert half_width([0.0, 0.0, 0.0]) is None


def test_an_interval_that_decided_its_own_repeats_is_wider() -> None:
    stopped, fixed = mean_over_repeats(WIDE, "ns", OFFICIAL), mean_over_repeats(WIDE, "ns", NIGHTLY)
    assert stopped.value == fixed.value
    assert stopped.confidence == fixed.confidence == 0.95
    assert stopped.high > fixed.high  # type: ignore[operator]
