"""One window in each scenario: LoadGen's account and the trace tell one story, and no more comes than was planned for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.contract.backend import Done, Executor, Tensors
from npubench.contract.runspec import LoadSpec, Scenario, Seeds
from npubench.contract.tensors import TensorSpec
from npubench.measure.binding import bind
from npubench.measure.check import OutputCheck
from npubench.measure.dispatch import Dispatcher, InlineDispatcher, Sink, SubmitDispatcher, ThreadDispatcher
from npubench.measure.loadgen import Pace, Window, choose_rows, read_account, run_window, with_seed
from npubench.measure.samples import SampleSet

DURATION_NS = 150_000_000

SLOW = Pace(latency_ns=1e6, samples_per_s=2000.0)


class Sleeper(Executor):
    """Takes a millisecond, or no time at all."""

    def __init__(self, seconds: float = 0.001) -> None:
        self.seconds = seconds

    def execute(self, inputs: Tensors) -> Tensors:
        if self.seconds:
            time.sleep(self.seconds)
        return {"y": inputs["x"] * 2}

    def submit(self, inputs: Tensors, done: Done) -> None:
        done(self.execute(inputs), None)


def load_of(scenario: Scenario, **changes: Any) -> LoadSpec:
    server, many = scenario is Scenario.SERVER, scenario in (Scenario.MULTI_STREAM, Scenario.OFFLINE)
    load = LoadSpec(
        scenario=scenario,
        min_duration_ns=DURATION_NS,
        min_queries=20,
        samples_per_query=8 if scenario is Scenario.MULTI_STREAM else 1,
        batch=4 if many else 1,
        in_flight=1,
        coalesce_delay_ns=0,
        target_qps=300.0 if server else None,
        latency_bound_ns=10**9 if server else None,
        percentile=0.9,
        seeds=Seeds(1, 2, 3, 4),
    )
    return replace(load, **changes)


def never(reason: str, error: BaseException | None) -> None:
    raise AssertionError(reason) from error


@pytest.fixture
def run(
    tmp_path: Path, make_samples: Callable[[int], SampleSet], y: TensorSpec
) -> Callable[..., tuple[Window, Sink, dict[str, Any]]]:
    def run(load: LoadSpec, kind: str = "inline", executor: Executor | None = None, pace: Pace = SLOW, **more: Any) -> Any:
        check = OutputCheck(bind([y], [y], "output"))
        samples = make_samples(load.batch)
        common = (executor or Sleeper(), samples, check, load.batch, never)
        dispatcher: Dispatcher
        if kind == "inline":
            dispatcher = InlineDispatcher(*common)
        elif kind == "threads":
            dispatcher = ThreadDispatcher(*common, load.in_flight, load.coalesce_delay_ns)
        else:
            dispatcher = SubmitDispatcher(*common, load.in_flight)
        sinks: list[Sink] = []
        window = run_window(load, pace, dispatcher, samples, tmp_path / "logs", on_start=sinks.append, **more)
        dispatcher.close()
        return window, sinks[0], details(tmp_path / "logs")

    return run


def details(logs: Path) -> dict[str, Any]:
    """Return LoadGen's own log, key → value."""
    lines = (logs / "mlperf_log_detail.txt").read_text().splitlines()
    return {entry["key"]: entry["value"] for entry in (json.loads(line.removeprefix(":::MLLOG ")) for line in lines)}


@pytest.mark.parametrize("kind", ["inline", "threads", "submit"])
@pytest.mark.parametrize("scenario", Scenario)
def test_the_trace_is_loadgens_account(run: Callable[..., Any], scenario: Scenario, kind: str) -> None:
    load = load_of(scenario, in_flight=1 if kind == "inline" else 2)
    window, sink, log = run(load, kind, looked_at=lambda planned: frozenset(range(planned)))
    trace, account = window.trace, window.trace.details["loadgen"]
    assert log["result_query_count"] == trace.queries
    assert trace.samples == sink.finished == sink.columns.rows <= sink.columns.capacity
    assert trace.samples == (
        log["effective_min_sample_count"] if scenario is Scenario.OFFLINE else trace.queries * load.samples_per_query
    )
    assert (trace.issued_ns <= trace.started_ns).all()
    assert (trace.started_ns < trace.done_ns).all()
    assert (trace.scheduled_ns <= trace.issued_ns).all()
    if scenario is Scenario.OFFLINE:
        assert trace.queries == 1
        assert 0 < account["samples_per_s"] <= trace.samples / trace.window_ns * 1e9
        return
    assert trace.queries >= load.min_queries
    latencies = np.sort(trace.query_latencies_ns())
    # LoadGen's clock is read before the trace's and after it, and its rank is the same or the next: it never says less.
    for key, share in (("p50_ns", 0.5), ("p90_ns", 0.9)):
        ours = latencies[int(np.ceil(share * len(latencies))) - 1]
        assert ours <= account[key] <= latencies[-1] + 20_000_000
    assert latencies[0] <= account["min_ns"]
    assert latencies[-1] <= account["max_ns"]


@pytest.mark.parametrize("scenario", Scenario)
def test_rows_keep_the_sample_they_were_issued_for(run: Callable[..., Any], scenario: Scenario) -> None:
    window, _, _ = run(load_of(scenario), looked_at=lambda planned: frozenset(range(planned)))
    assert len(window.kept) > 1
    for rows, outputs in window.kept:
        np.testing.assert_array_equal(outputs["y"][:, 0], 2 * window.trace.sample[list(rows)])


@pytest.mark.parametrize("scenario", Scenario)
def test_a_window_that_is_cut_short_begins_like_the_whole_one(run: Callable[..., Any], scenario: Scenario) -> None:
    """An audit repeats the measured sequence by its seeds; LoadGen makes another one of another fewest number of queries."""
    load = load_of(scenario)
    whole, cut = (run(load, longest_ns=longest_ns)[0].trace.sample for longest_ns in (0, 40_000_000))
    # On a busy machine more may fit into the short one than into the long one.
    both = min(len(cut), len(whole))
    assert both > 0
    assert cut[:both].tolist() == whole[:both].tolist()


def test_a_window_of_unique_samples_takes_each_once(run: Callable[..., Any]) -> None:
    window, _, _ = run(load_of(Scenario.SINGLE_STREAM, min_duration_ns=1_000_000), issue="unique")
    assert sorted(window.trace.sample.tolist()) == list(range(10))


@pytest.mark.parametrize("scenario", [s for s in Scenario if s is not Scenario.SERVER])
def test_a_device_faster_than_thought_stays_within_the_plan(run: Callable[..., Any], scenario: Scenario) -> None:
    """The plan reckons with half the latency seen; LoadGen prepares no more than that, and the columns hold all of it."""
    window, sink, log = run(load_of(scenario, min_duration_ns=30_000_000), executor=Sleeper(0), pace=Pace(200_000.0, 10_000.0))
    assert window.trace.samples <= sink.columns.capacity
    per_query = log["effective_min_sample_count"] if scenario is Scenario.OFFLINE else load_of(scenario).samples_per_query
    assert log["generated_query_count"] * per_query <= sink.columns.capacity


def test_every_chosen_row_comes(run: Callable[..., Any]) -> None:
    planned: list[int] = []

    def choose(count: int) -> frozenset[int]:
        planned.append(count)
        return choose_rows(count, 5, 7)

    window, _, _ = run(load_of(Scenario.SERVER), looked_at=choose)
    assert sorted(row for rows, _ in window.kept for row in rows) == sorted(choose_rows(planned[0], 5, 7))


def test_the_server_schedule_of_the_plan_is_all_issued(run: Callable[..., Any]) -> None:
    window, sink, log = run(load_of(Scenario.SERVER, target_qps=2000.0), executor=Sleeper(0))
    assert log["generated_query_count"] == sink.columns.capacity == window.trace.queries


def test_other_seeds_bring_other_samples_at_other_times(run: Callable[..., Any]) -> None:
    load = load_of(Scenario.SERVER)
    (a, *_), (again, *_), (b, *_) = (run(some, executor=Sleeper(0)) for some in (load, load, with_seed(load, 5)))

    def gaps(window: Window) -> list[int]:
        return np.diff(window.trace.scheduled_ns).tolist()

    assert gaps(a) == gaps(again) != gaps(b)
    assert a.trace.sample.tolist() == again.trace.sample.tolist() != b.trace.sample.tolist()


def test_a_window_with_too_many_waiting_ends_early(run: Callable[..., Any]) -> None:
    load = load_of(Scenario.SERVER, target_qps=5000.0)
    window, sink, _ = run(load, "threads", executor=Sleeper(0.002), outstanding=20)
    assert window.trace.samples < sink.columns.capacity
    assert window.trace.details["loadgen"]["valid"] == "INVALID"


def test_a_stray_audit_file_changes_nothing(run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "audit.config").write_text("*.SingleStream.min_query_count = 25\n")
    monkeypatch.chdir(tmp_path)
    _, _, log = run(load_of(Scenario.SINGLE_STREAM, min_duration_ns=10_000_000), executor=Sleeper(0))
    assert log["effective_min_query_count"] == 20


def test_the_details_say_how_the_load_took_effect(run: Callable[..., Any]) -> None:
    window, _, _ = run(load_of(Scenario.OFFLINE, in_flight=2), "threads")
    found = {key: window.trace.details[key] for key in ("scenario", "path", "batch", "in_flight", "target_qps")}
    assert found == {"scenario": "offline", "path": "execute, 2 threads", "batch": 4, "in_flight": 2, "target_qps": None}


def test_no_logs_give_no_account(tmp_path: Path) -> None:
    assert read_account(tmp_path) == {}


@given(planned=st.integers(0, 5000), count=st.integers(0, 300), seed=st.integers(0, 2**32))
def test_chosen_rows_are_as_many_as_asked_for_and_the_same_again(planned: int, count: int, seed: int) -> None:
    rows = choose_rows(planned, count, seed)
    assert len(rows) == min(planned, count)
    assert all(0 <= row < planned for row in rows)
    assert rows == choose_rows(planned, count, seed)


def test_some_of_the_chosen_rows_are_reached_by_a_device_that_is_far_slower_than_its_pace() -> None:
    for seed in range(50):
        assert sum(row < 1000 for row in choose_rows(100_000, 16, seed)) >= 1


def test_moving_the_seeds_moves_all_of_loadgens_and_not_the_subset() -> None:
    seeds = with_seed(load_of(Scenario.SERVER), 10).seeds
    assert seeds == Seeds(11, 12, 13, 4)
