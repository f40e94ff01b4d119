"""Run the windows of one run through one dispatcher: accuracy, warm-up, the search for a rate, and the measured window.

Loads no plug-in and computes no metric; the worker calls it phase by phase.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from npubench.contract.runspec import LoadSpec, RunSpec, Scenario
from npubench.measure import client
from npubench.measure.dispatch import Dispatcher, Sink
from npubench.measure.loadgen import Issue, Pace, Window, choose_rows, run_window, with_seed
from npubench.measure.samples import SampleSet
from npubench.measure.search import (
    MOST_CERTIFICATIONS,
    Step,
    find_rate,
    looks_good,
    meets_bound,
    outstanding_queries,
    percentile_ns,
    step_back,
)
from npubench.measure.settling import Settled, compare_levels, levels
from npubench.measure.trace import Columns, Trace
from npubench.plan.grades import GRADES

#: Seeds move by these, so that no window repeats the arrivals of another.
_WARM_UP_SEEDS, _RANGING_SEEDS, _SEARCH_SEEDS, _CERTIFY_SEEDS = 101, 701, 1001, 5001

#: The search may take as long as this many measured windows, and ten seconds.
_SEARCH_WINDOWS = 3
#: A search window is this part of the measured one, but not shorter than half a second and 64 queries.
_SEARCH_SHARE, _SEARCH_NS, _SEARCH_QUERIES = 12, 500_000_000, 64

#: How often an offline window is measured afresh that was over before its time because the device had sped up.
_MOST_OFFLINE = 3


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How the warm-up went.

    Args:
        windows: How many were run.
        held: Whether the last two agree; None where they hold too few queries to tell.
        change: Level of the last ÷ level of the one before, minus 1; None likewise.
    """

    windows: int
    held: bool | None
    change: float | None


@dataclass(slots=True)
class Windows:
    """One run's way to its device.

    Args:
        spec: The run.
        load: Its load, as the executor can hold it.
        dispatcher: The way to the executor.
        samples: The samples.
        logs: Folder for LoadGen's logs, one folder a window.
        on_start: Told of each window's sink before its first query, for progress.
        on_step: Told of each step of the search.
    """

    spec: RunSpec
    load: LoadSpec
    dispatcher: Dispatcher
    samples: SampleSet
    logs: Path
    on_start: Callable[[Sink], None]
    on_step: Callable[[Step], None]
    pace: Pace = field(init=False)
    cpu: dict[str, float] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    kept_bytes: int = 0

    def accuracy(self) -> Sink:
        """Run every sample once through the path that will be measured, and return the sink with all outputs."""
        sink = Sink(Columns(self.samples.count), None, lambda ids: None)
        self.on_start(sink)
        self.dispatcher.open(sink)
        start = time.monotonic_ns()
        for at in range(0, self.samples.count, self.load.batch):
            indices = list(range(at, min(at + self.load.batch, self.samples.count)))
            self.dispatcher.issue(indices, indices)
        self.dispatcher.drain()
        elapsed = time.monotonic_ns() - start
        columns = sink.columns
        shortest = min(columns.done[row] - columns.started[row] for row in range(columns.rows))
        self.pace = Pace(float(max(1, shortest)), self.samples.count / elapsed * 1e9)
        return sink

    def warm_up(self) -> WarmUp:
        """Run the measured load under other seeds, by the same path, until its level has settled; learn the pace from it.

        Windows of the grade's length are run until the last two agree, and at most as many as the grade allows. Where they
        hold too few queries to be compared, two are run.
        """
        most, before = GRADES[self.spec.grade].most_warm_ups, None
        settled: Settled | None = None
        for n in range(most):
            trace = self._warm_up_window(n)
            after = levels(trace, self.load.scenario)
            settled = None if before is None else compare_levels(before, after)
            if before is not None and (settled is None or settled.held):
                break
            before = after
        return WarmUp(n + 1, None if settled is None else settled.held, None if settled is None else settled.change)

    def _warm_up_window(self, n: int) -> Trace:
        load, pace = self.load, self.pace
        warm = replace(
            with_seed(load, _WARM_UP_SEEDS + n),
            min_duration_ns=self.spec.warm_up_ns,
            min_queries=max(1, load.in_flight, load.batch if load.scenario is Scenario.OFFLINE else 1),
            target_qps=load.target_qps or pace.samples_per_s * 0.5,
        )
        trace = self._window(warm, _numbered("warm-up", n)).trace
        if load.scenario is Scenario.OFFLINE:
            self.pace = replace(pace, samples_per_s=trace.samples / trace.window_ns * 1e9)
        elif load.scenario is not Scenario.SERVER:
            self.pace = replace(pace, latency_ns=float(max(1, trace.query_latencies_ns().min())))
        return trace

    def search(self) -> bool:
        """Find the highest rate that meets the bound in short windows; the measured window then certifies it.

        Returns:
            Whether there is such a rate; it is then the load's.
        """
        bound = self.load.latency_bound_ns
        assert bound is not None, "a plan that searches has a bound"
        short = replace(
            self.load,
            min_duration_ns=max(self.load.min_duration_ns // _SEARCH_SHARE, _SEARCH_NS),
            min_queries=_SEARCH_QUERIES,
        )

        def attempt(rate: float, n: int) -> Step:
            probing = replace(with_seed(short, _SEARCH_SEEDS + n), target_qps=rate)
            window = self._window(probing, f"search-{n:02}", outstanding_queries(rate, bound))
            latencies = window.trace.query_latencies_ns()
            seen, over = percentile_ns(latencies, short.percentile), int((latencies > bound).sum())
            step = Step(rate, len(latencies), seen, looks_good(over, len(latencies), short.percentile), False)
            self.on_step(step)
            return step

        spent = time.monotonic() + _SEARCH_WINDOWS * self.load.min_duration_ns / 1e9 + 10.0
        rate, _ = find_rate(attempt, self.pace.samples_per_s * 0.7, lambda: time.monotonic() > spent)
        self.load = replace(self.load, target_qps=rate)
        return rate is not None

    def ranging(self) -> tuple[int, int]:
        """Run the measured load for a while under other seeds, for meters to choose their ranges by; return its span, ns."""
        load = self.load
        again = replace(
            with_seed(load, _RANGING_SEEDS),
            min_duration_ns=self.spec.ranging_ns,
            min_queries=max(1, load.in_flight, load.batch if load.scenario is Scenario.OFFLINE else 1),
        )
        trace = self._window(again, "ranging").trace
        return trace.start_ns, trace.end_ns

    def measure(self) -> Window:
        """Run the measured window, afresh where it could not become what the plan asks for."""
        if self.load.scenario is Scenario.OFFLINE:
            return self._long_enough()
        if self.load.scenario is Scenario.SERVER and self.spec.load.target_qps is None:
            return self._certified()
        return self._timed("measure")

    def _long_enough(self) -> Window:
        """Measure offline: its one query is sized beforehand, so a device that has sped up is done before its time."""
        for n in range(_MOST_OFFLINE):
            window = self._timed(_numbered("measure", n))
            if window.trace.window_ns >= self.load.min_duration_ns:
                break
            self.pace = replace(self.pace, samples_per_s=window.trace.samples / window.trace.window_ns * 1e9)
        return window

    def _certified(self) -> Window:
        """Measure a rate that was searched for: it must hold in a whole window, else a lower one is measured afresh."""
        bound, rate = self.load.latency_bound_ns, self.load.target_qps
        assert bound is not None and rate is not None, "the search has left a rate, and had a bound"
        for n in range(MOST_CERTIFICATIONS):
            window = self._timed(_numbered("measure", n), outstanding_queries(rate, bound))
            latencies = window.trace.query_latencies_ns()
            over = int((latencies > bound).sum())
            met = len(latencies) >= self.load.min_queries and meets_bound(over, len(latencies), self.load.percentile)
            self.on_step(Step(rate, len(latencies), percentile_ns(latencies, self.load.percentile), met, True))
            if met:
                break
            rate *= step_back(over, len(latencies), self.load.percentile)
            self.load = replace(with_seed(self.load, _CERTIFY_SEEDS), target_qps=rate)
        return window

    def _timed(self, name: str, outstanding: int = 0) -> Window:
        """Run one window with a checked subset, and account for this process's CPU time over it."""
        before, wall, counted = os.times(), time.monotonic_ns(), client.take()
        window = self._window(self.load, name, outstanding, self.spec.checked_queries)
        self.client = client.account(counted, client.take(), client.harness_threads())
        after = os.times()
        # A copy, and the outputs themselves until the window is over (see Sink.keep).
        self.kept_bytes = 2 * sum(values.nbytes for _, outputs in window.kept for values in outputs.values())
        self.cpu = {
            "wall_s": (time.monotonic_ns() - wall) / 1e9,
            "user_s": after.user - before.user,
            "system_s": after.system - before.system,
        }
        return window

    def apart(self, load: LoadSpec, name: str, *, issue: Issue = "", longest_ns: int = 0, checked: int = 0) -> Window:
        """Run a window apart from the measured one, by its path: another length, other seeds or samples, the same batch."""
        return self._window(load, name, checked=checked, issue=issue, longest_ns=longest_ns)

    def _window(
        self, load: LoadSpec, name: str, outstanding: int = 0, checked: int = 0, issue: Issue = "", longest_ns: int = 0
    ) -> Window:
        seed = load.seeds.subset
        return run_window(
            load,
            self.pace,
            self.dispatcher,
            self.samples,
            self.logs / name,
            looked_at=lambda planned: choose_rows(planned, checked, seed),
            outstanding=outstanding,
            on_start=self.on_start,
            issue=issue,
            longest_ns=longest_ns,
        )


def _numbered(name: str, n: int) -> str:
    """Return a window's name: plain for the first attempt."""
    return f"{name}-{n}" if n else name
