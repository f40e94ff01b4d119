"""Run one window of MLPerf LoadGen: settings in, a trace out. Decides nothing about the load."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import mlperf_loadgen as lg
import numpy as np

from npubench.contract.backend import Tensors
from npubench.contract.runspec import LoadSpec, Scenario
from npubench.measure.dispatch import Complete, Dispatcher, Sink
from npubench.measure.samples import SampleSet
from npubench.measure.schedule import server_schedule
from npubench.measure.trace import Column, Columns, Trace, freeze

_SCENARIOS = {
    Scenario.SINGLE_STREAM: lg.TestScenario.SingleStream,
    Scenario.MULTI_STREAM: lg.TestScenario.MultiStream,
    Scenario.SERVER: lg.TestScenario.Server,
    Scenario.OFFLINE: lg.TestScenario.Offline,
}

#: LoadGen ends early when it runs out of prepared queries; it prepares for twice the duration at the expected
#: latency (loadgen.cc, GenerateQueries). Half the latency seen leaves room for a device that speeds up.
_EXPECTED_LATENCY_SHARE = 0.5

#: No query passes LoadGen and this harness faster, whatever a device does; bounds what LoadGen prepares for a null device.
_FASTEST_QUERY_NS = 4_000
_FASTEST_SAMPLES_PER_S = 1_000_000

#: A server window ends early when working off its schedule takes this many times the schedule's length, and 5 s.
_LONGEST_BACKLOG = 2

#: Offline sends one query sized for the expected rate; the margin keeps a slightly faster device above the minimum duration.
_OFFLINE_MARGIN = 1.15


#: Which samples a window asks for.
Issue = Literal["", "same", "unique"]


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of the device's speed before a window: bounds how many queries LoadGen prepares.

    Args:
        latency_ns: The shortest time a query took so far.
        samples_per_s: The highest rate seen so far.
    """

    latency_ns: float
    samples_per_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """One finished window: its trace, and the outputs that were looked at with the rows they belong to.

    ``unsettled`` counts the requests whose outputs were others at the window's end than when they were handed over.
    """

    trace: Trace
    kept: list[tuple[Sequence[int], Tensors]]
    unsettled: int = 0


def completion() -> Complete:
    """Return the function that reports response ids to LoadGen as complete, without data."""
    report, response = lg.QuerySamplesComplete, lg.QuerySampleResponse

    def complete(ids: Sequence[int]) -> None:
        report([response(i, 0, 0) for i in ids])

    return complete


def run_window(
    load: LoadSpec,
    pace: Pace,
    dispatcher: Dispatcher,
    samples: SampleSet,
    logs: Path,
    *,
    looked_at: Callable[[int], frozenset[int]] = lambda planned: frozenset(),
    outstanding: int = 0,
    on_start: Callable[[Sink], None] = lambda sink: None,
    issue: Issue = "",
    longest_ns: int = 0,
) -> Window:
    """Run LoadGen once.

    Args:
        load: The load; ``target_qps`` must be a number in the server scenario.
        pace: How fast the device is thought to be.
        dispatcher: The way to the executor.
        samples: The samples; they are laid out in LoadGen's order before the window opens.
        logs: Folder for ``mlperf_log_*``; made if it is missing.
        looked_at: Planned samples → the rows whose outputs are kept.
        outstanding: End early with more than this many queries waiting (server search); 0 = never.
        on_start: Called with the window's sink before the first query, for progress.
        issue: Which samples LoadGen asks for: "" as in any measured window, "same" one and the same query over and over,
            "unique" no sample twice (LoadGen's ``performance_issue_same`` and ``performance_issue_unique``).
        longest_ns: End after this long, whatever the load asks for; 0 = never.
    """
    logs.mkdir(parents=True, exist_ok=True)
    schedule = _schedule(load)
    settings = _settings(load, pace, outstanding, schedule)
    settings.performance_issue_same = issue == "same"
    settings.performance_issue_unique = issue == "unique"
    if longest_ns:
        settings.max_duration_ms = max(1, longest_ns // 1_000_000)
    planned = _planned_samples(load, pace, schedule)
    sink = Sink(Columns(planned), looked_at(_certain_samples(load, pace, schedule)), completion())
    dispatcher.open(sink)
    on_start(sink)

    log = lg.LogSettings()
    log.log_output.outdir = str(logs)
    log.enable_trace = False
    sut = lg.ConstructFastSUT(dispatcher.issue, lambda: None)
    library = lg.ConstructQSL(samples.count, samples.count, samples.order, lambda indices: None)
    try:
        # The file name of audit settings is one that does not exist: LoadGen would pick up a stray audit.config.
        lg.StartTestWithLogSettings(sut, library, settings, log, str(logs / "no-audit.config"))
        dispatcher.drain()
    finally:
        lg.DestroyQSL(library)
        lg.DestroyFastSUT(sut)
    details: dict[str, Any] = {
        "scenario": load.scenario.value,
        "path": dispatcher.path,
        "inline": dispatcher.inline,
        "batch": load.batch,
        "in_flight": load.in_flight,
        "coalesce_delay_ns": load.coalesce_delay_ns,
        "samples_per_query": load.samples_per_query,
        "target_qps": load.target_qps,
        "min_duration_ns": load.min_duration_ns,
        "min_queries": load.min_queries,
        "loadgen": read_account(logs),
    }
    return Window(freeze(sink.columns, schedule, details), sink.kept, sink.unsettled())


def read_account(logs: Path) -> dict[str, float | str]:
    """Read LoadGen's own figures from ``mlperf_log_summary.txt``, for the comparison with the trace.

    Returns:
        ``p50_ns``, ``p90_ns``, ``p99_ns``, ``mean_ns``, ``min_ns``, ``max_ns``, ``valid`` … as far as the file has them.
    """
    account: dict[str, float | str] = {}
    try:
        text = (logs / "mlperf_log_summary.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return account
    for name, value in re.findall(r"^(\d+\.\d+) percentile latency \(ns\)\s*:\s*(\d+)", text, re.MULTILINE):
        account["p" + f"{float(name):g}".replace(".", "") + "_ns"] = float(value)
    for name, key in (("Min", "min_ns"), ("Max", "max_ns"), ("Mean", "mean_ns")):
        if found := re.search(rf"^{name} latency \(ns\)\s*:\s*(\d+)", text, re.MULTILINE):
            account[key] = float(found[1])
    if found := re.search(r"^Samples per second\s*:\s*([\d.eE+]+)", text, re.MULTILINE):
        account["samples_per_s"] = float(found[1])
    if found := re.search(r"^Result is\s*:\s*(\w+)", text, re.MULTILINE):
        account["valid"] = found[1]
    return account


def with_seed(load: LoadSpec, offset: int) -> LoadSpec:
    """Return ``load`` with every seed moved by ``offset``: another arrival of other samples."""
    seeds = load.seeds
    return replace(
        load,
        seeds=replace(seeds, qsl=seeds.qsl + offset, sample_index=seeds.sample_index + offset, schedule=seeds.schedule + offset),
    )


def choose_rows(planned: int, count: int, seed: int) -> frozenset[int]:
    """Choose ``count`` of the first ``planned`` rows by ``seed``: half of all alike, half the denser the earlier they come.

    A device may turn out slower than its pace was, and the later rows are then never reached: a plug-in that is fast at some
    requests could choose that. Some of the early ones always are.
    """
    if planned <= count:
        return frozenset(range(planned))
    generator = np.random.default_rng(seed)
    early = np.exp(generator.uniform(0.0, np.log(planned), size=count // 2)).astype(np.int64)
    rows = {min(int(row), planned - 1) for row in early}
    rest = generator.choice(planned, size=min(planned, count + len(rows)), replace=False)
    return frozenset([*rows, *[int(row) for row in rest if int(row) not in rows][: count - len(rows)]])


def _settings(load: LoadSpec, pace: Pace, outstanding: int, schedule: Column | None) -> Any:
    settings = lg.TestSettings()
    settings.scenario = _SCENARIOS[load.scenario]
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = -(-load.min_duration_ns // 1_000_000)
    settings.min_query_count = max(1, load.min_queries)
    settings.qsl_rng_seed = load.seeds.qsl
    settings.sample_index_rng_seed = load.seeds.sample_index
    settings.schedule_rng_seed = load.seeds.schedule
    expected_ns = _expected_ns(pace)
    settings.single_stream_expected_latency_ns = expected_ns
    settings.single_stream_target_latency_percentile = load.percentile
    settings.multi_stream_expected_latency_ns = expected_ns
    settings.multi_stream_target_latency_percentile = load.percentile
    settings.multi_stream_samples_per_query = load.samples_per_query
    settings.server_target_qps = load.target_qps or 1.0
    settings.server_target_latency_percentile = load.percentile
    settings.server_target_latency_ns = load.latency_bound_ns or 10**12
    settings.server_max_async_queries = outstanding
    if schedule is not None:
        # A rate far above what the device serves would hold the run for hours; it is over long before that.
        settings.max_duration_ms = int(schedule[-1] / 1e6 * _LONGEST_BACKLOG) + 5_000
    settings.offline_expected_qps = _expected_rate(pace)
    return settings


def _expected_ns(pace: Pace) -> int:
    """Return the latency LoadGen is told to expect, ns."""
    return max(_FASTEST_QUERY_NS, int(pace.latency_ns * _EXPECTED_LATENCY_SHARE))


def _expected_rate(pace: Pace) -> float:
    """Return the rate LoadGen is told to expect in offline, samples/s."""
    return min(_FASTEST_SAMPLES_PER_S, pace.samples_per_s * _OFFLINE_MARGIN)


def _schedule(load: LoadSpec) -> Column | None:
    if load.scenario is not Scenario.SERVER:
        return None
    assert load.target_qps is not None
    duration_ns = -(-load.min_duration_ns // 1_000_000) * 1_000_000
    return server_schedule(load.seeds.schedule, load.target_qps, duration_ns, load.min_queries)


def _planned_samples(load: LoadSpec, pace: Pace, schedule: Column | None) -> int:
    """Return how many samples LoadGen can issue at most, with its own arithmetic and a little room."""
    if schedule is not None:
        return len(schedule)
    seconds = load.min_duration_ns / 1e9 + 0.001
    if load.scenario is Scenario.OFFLINE:
        return max(load.min_queries, int(1.1 * seconds * _expected_rate(pace))) + 64
    queries = max(load.min_queries, int(2e9 * seconds / _expected_ns(pace)) + 2)
    return (queries + 64) * load.samples_per_query


def _certain_samples(load: LoadSpec, pace: Pace, schedule: Column | None) -> int:
    """Return how many samples surely come, so that every chosen row exists."""
    if schedule is not None:
        return len(schedule)
    if load.scenario is Scenario.OFFLINE:
        return max(load.min_queries, int(load.min_duration_ns / 1e9 * _expected_rate(pace)))
    return load.samples_per_query * max(load.min_queries, int(load.min_duration_ns / _expected_ns(pace) / 8))
