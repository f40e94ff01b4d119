"""Two runs are better, worse or not to be told apart; what is not alike is not compared, and says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npubench.report.ratio as module
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.intervals import RankTest
from npubench.contract.runspec import Scenario
from npubench.record.store import Entry
from npubench.report.ratio import ALPHA, compare, headline_of, read_measured, worst

Add = Callable[..., Entry]


def against(a: Entry | list[Entry], b: Entry | list[Entry]) -> Any:
    left, right = ([side] if isinstance(side, Entry) else side for side in (a, b))
    return compare(read_measured(left), read_measured(right))


@pytest.mark.parametrize("scenario", Scenario)
def test_two_runs_of_the_same_cannot_be_told_apart(add: Add, scenario: Scenario) -> None:
    ratio = against(add("a", seed=1, scenario=scenario), add("b", seed=2, scenario=scenario))
    assert ratio.verdict == "indistinguishable"
    assert ratio.value == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("scenario", Scenario)
def test_a_fifth_faster_is_better_and_the_other_way_round_worse(add: Add, scenario: Scenario) -> None:
    fast, slow = add("a", 1.0, seed=1, scenario=scenario), add("b", 1.2, seed=2, scenario=scenario)
    ratio, back = against(fast, slow), against(slow, fast)
    assert (ratio.verdict, back.verdict) == ("better", "worse")
    assert ratio.value == pytest.approx(1.2, rel=0.02)
    assert ratio.low <= ratio.value <= ratio.high
    assert ratio.low > 1 > back.high
    assert ratio.value * back.value == pytest.approx(1.0)
    assert ratio.p_value is not None
    assert ratio.p_value < ALPHA


@pytest.mark.parametrize(("other", "verdict"), [(1.01, "indistinguishable"), (2.0, "better")])
def test_few_queries_are_held_apart_by_their_certified_bounds(add: Add, other: float, verdict: str) -> None:
    a, b = add("a", 1.0, queries=150, seed=1), add("b", other, queries=150, seed=2)
    ratio = against(a, b)
    first, second = (entry.record.metrics["latency_p90"] for entry in (a, b))
    assert ratio.verdict == verdict
    assert (ratio.low, ratio.high) == (second.low / first.high, second.high / first.low)


@pytest.mark.parametrize("test", [None, RankTest(p=ALPHA, superiority=0.9)])
def test_an_interval_alone_makes_nothing_better(add: Add, monkeypatch: pytest.MonkeyPatch, test: RankTest | None) -> None:
    a, b = add("a", 1.0), add("b", 2.0)
    monkeypatch.setattr(module, "rank_test", lambda *_: test)
    found = against(a, b)
    assert found.low > 1
    assert found.verdict == "indistinguishable"


def test_queries_too_few_for_the_headline_are_not_compared(add: Add) -> None:
    assert against(add("a", queries=60), add("b", 2.0, queries=60)).reason == "no-headline"


def test_an_offline_run_too_short_for_windows_cannot_be_told_apart_and_says_so(add: Add) -> None:
    ratio = against(*(add(name, ms, queries=150, scenario=Scenario.OFFLINE) for name, ms in (("a", 1.0), ("b", 1.2))))
    assert ratio.verdict == "indistinguishable"
    assert "no interval" in ratio.reason


OTHER: list[tuple[str, dict[str, Any]]] = [
    ("simulated", {"simulated": True}),
    ("different-work", {"work_digest": "sha256:other"}),
    ("different-grade", {"spec": {"grade": "official"}}),
    ("different-bound", {"scenario": Scenario.SERVER, "load": {"latency_bound_ns": 5_000_000}}),
    ("failed", {"status": "failed"}),
    ("skipped", {"status": "skipped"}),
    ("invalid", {"status": "invalid"}),
]


@pytest.mark.parametrize(("reason", "changes"), OTHER, ids=[case[0] for case in OTHER])
def test_what_is_not_alike_is_not_compared_and_says_why(add: Add, reason: str, changes: dict[str, Any]) -> None:
    plain = add("a", scenario=changes.get("scenario", Scenario.SINGLE_STREAM))
    odd = add("b", **changes)
    for ratio in (against(plain, odd), against(odd, plain)):
        assert (ratio.verdict, ratio.reason) == ("not-comparable", reason)
        assert (ratio.value, ratio.low, ratio.high, ratio.p_value) == (None, None, None, None)


def test_two_simulated_devices_are_not_compared_either(add: Add) -> None:
    assert against(add("a", simulated=True), add("b", simulated=True)).reason == "simulated"


@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_damaged_trace_takes_the_comparison_and_not_the_record(add: Add, how: str) -> None:
    a, b = add("a"), add("b")
    path = b.folder / "trace.npz"
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    ratio = against(a, b)
    assert (ratio.verdict, ratio.reason) == ("not-comparable", "damaged-trace")
    assert read_measured([b]).records == (b.record,)


def test_a_run_without_its_headline_is_not_compared(add: Add) -> None:
    a = add("a")
    b = add("b", metrics={"latency_p90": absent("ns", "p90 needs 64 queries, the run has 12")})
    assert against(a, b).reason == "no-headline"


def repeats(add: Add, target: str, ms: list[float]) -> list[Entry]:
    return [add(target, each, seed=n, spec={"grade": "official", "repeat": n}) for n, each in enumerate(ms)]


def test_repeats_are_compared_by_their_spread(add: Add) -> None:
    fast, slow = repeats(add, "a", [1.0, 1.01, 0.99]), repeats(add, "b", [1.2, 1.21, 1.19])
    ratio = against(fast, slow)
    assert ratio.verdict == "better"
    assert ratio.value == pytest.approx(1.2, rel=0.01)
    assert ratio.low <= ratio.value <= ratio.high


def test_repeats_that_scatter_as_much_as_they_differ_cannot_be_told_apart(add: Add) -> None:
    wide, also = repeats(add, "a", [0.8, 1.0, 1.3]), repeats(add, "b", [0.9, 1.2, 1.4])
    assert against(wide, also).verdict == "indistinguishable"


def test_one_failed_repeat_takes_the_comparison(add: Add) -> None:
    good = repeats(add, "a", [1.0, 1.0])
    bad = [*repeats(add, "b", [1.0]), add("b", status="failed", spec={"grade": "official", "repeat": 1})]
    assert against(good, bad).reason == "failed"
    assert worst([entry.record for entry in bad]).status == "failed"


def test_the_headline_of_repeats_is_their_mean_with_an_interval(add: Add) -> None:
    records = [entry.record for entry in repeats(add, "a", [1.0, 1.1, 1.2])]
    found = headline_of(records)
    assert found is not None
    assert found.value == pytest.approx(np.mean([record.metrics["latency_p90"].value for record in records]))
    assert found.low is not None
    assert found.low < found.value


def test_the_headline_of_a_failed_repeat_is_no_number(add: Add) -> None:
    good = repeats(add, "a", [1.0])[0].record
    failed = add("a", status="failed", spec={"grade": "official", "repeat": 1}).record
    found = headline_of([good, failed])
    assert found is not None
    assert found.value is None
    assert found.reason


def test_a_headline_absent_in_one_repeat_is_absent(add: Add) -> None:
    good = repeats(add, "a", [1.0])[0].record
    short = add("a", spec={"grade": "official", "repeat": 1}, metrics={"latency_p90": absent("ns", "short")}).record
    assert headline_of([good, short]) == Estimate(None, "ns", reason="absent in some repeats")
