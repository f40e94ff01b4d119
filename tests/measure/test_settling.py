"""Warm-up is over when two windows agree, and is said not to be when the limit is reached first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze import intervals
from npubench.contract.runspec import RunSpec, Scenario
from npubench.measure import settling, windows
from npubench.measure.loadgen import Pace
from npubench.measure.settling import compare_levels, levels
from npubench.measure.trace import Trace
from npubench.measure.windows import WarmUp, Windows
from npubench.plan.grades import GRADES

MS = 1_000_000


def level(mean: float, count: int = 200, scatter: float = 0.01, seed: int = 0) -> np.ndarray:
    return (MS * mean * (1 + scatter * np.random.default_rng(seed).standard_normal(count))).astype(np.int64)


def test_what_is_material_is_the_same_in_and_before_the_window() -> None:
    assert settling.MATERIAL == intervals.MATERIAL


@pytest.mark.parametrize(
    ("second", "held"),
    [
        (level(1.0, seed=1), True),
        (level(1.015, seed=1), True),  # certain, and of no consequence
        (level(1.05, seed=1), False),
        (level(0.9, seed=1), False),
        (level(1.05, count=4, scatter=0.2, seed=1), True),  # large, and no more than chance
    ],
)
def test_a_change_must_be_certain_and_matter(second: np.ndarray, held: bool) -> None:
    found = compare_levels(level(1.0), second)
    assert found is not None
    assert found.held is held


def test_a_single_query_says_nothing_of_its_scatter() -> None:
    assert compare_levels(level(1.0, count=1), level(1.0)) is None
    assert compare_levels(level(1.0), level(1.0, count=0)) is None


def test_quantiles_are_students() -> None:
    from scipy.special import stdtrit

    assert pytest.approx([stdtrit(n, 0.995) for n in range(1, 10)], abs=5e-4) == list(settling._STUDENT)


def test_levels_are_latencies_or_times_in_the_executor(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([2 * MS, 4 * MS, 6 * MS], per_query=2, service_ns=MS)
    assert levels(trace, Scenario.MULTI_STREAM).tolist() == [2 * MS, 4 * MS, 6 * MS]
    # Batches and not samples, less the last.
    assert levels(trace, Scenario.OFFLINE).tolist() == [MS, MS]
    assert levels(trace, Scenario.SERVER).tolist() == [MS, MS]


@pytest.fixture
def warm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_spec: Callable[..., RunSpec], make_trace: Callable[..., Trace]
) -> Callable[..., tuple[WarmUp, list[Any]]]:
    """Run the warm-up on windows of given levels, without a device."""

    def warm(means: list[float], grade: str = "nightly", count: int = 200) -> tuple[WarmUp, list[Any]]:
        spec = make_spec(grade=grade)
        asked: list[Any] = []

        def run(load: Any, pace: Any, dispatcher: Any, samples: Any, logs: Path, **_: Any) -> Any:
            asked.append((logs.name, load.seeds.schedule))
            found = type("Window", (), {})()
            found.trace = make_trace(level(means[len(asked) - 1], count, seed=len(asked)))
            return found

        monkeypatch.setattr(windows, "run_window", run)
        nothing: Any = None
        run_of = Windows(spec, spec.load, nothing, nothing, tmp_path, lambda sink: None, lambda step: None)
        run_of.pace = Pace(float(MS), 1000.0)
        return run_of.warm_up(), asked

    return warm


def test_where_the_level_is_the_same_at_once_two_windows_do(warm: Callable[..., tuple[WarmUp, list[Any]]]) -> None:
    found, asked = warm([1.0, 1.0])
    assert (found.windows, found.held) == (2, True)
    assert [name for name, _ in asked] == ["warm-up", "warm-up-1"]
    assert len({seed for _, seed in asked}) == 2


def test_it_goes_on_until_two_agree(warm: Callable[..., tuple[WarmUp, list[Any]]]) -> None:
    found, _ = warm([1.0, 1.3, 1.5, 1.5])
    assert (found.windows, found.held) == (4, True)


@pytest.mark.parametrize("grade", GRADES)
def test_it_ends_at_the_grades_limit_and_says_that_it_does_not_hold(
    warm: Callable[..., tuple[WarmUp, list[Any]]], grade: str
) -> None:
    most = GRADES[grade].most_warm_ups
    found, asked = warm([1.1**n for n in range(most)], grade)
    assert (found.windows, found.held) == (len(asked), False) == (most, False)
    assert found.change == pytest.approx(0.1, abs=0.01)


def test_too_few_queries_to_tell_end_it_without_a_verdict(warm: Callable[..., tuple[WarmUp, list[Any]]]) -> None:
    found, _ = warm([1.0, 2.0], count=1)
    assert found == WarmUp(2, None, None)
