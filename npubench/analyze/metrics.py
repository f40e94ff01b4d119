"""Compute a run's metrics from its trace. Judges none of them; ``validity`` does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from npubench.analyze.certified import certified_percentiles
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.intervals import Drift, block_medians, drift, split_windows, throughput
from npubench.contract.runspec import Scenario
from npubench.measure.trace import Trace

#: Percentiles that are reported, where the run is long enough to certify them.
PERCENTILES = (0.5, 0.9, 0.95, 0.97, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Headline:
    """The metric a scenario is judged by (LoadGen, ``test_settings.h``: "Final performance result is")."""

    metric: str
    unit: str
    higher_is_better: bool


HEADLINE: dict[Scenario, Headline] = {
    Scenario.SINGLE_STREAM: Headline("latency_p90", "ns", False),
    Scenario.MULTI_STREAM: Headline("latency_p99", "ns", False),
    Scenario.SERVER: Headline("query_rate", "queries/s", True),
    Scenario.OFFLINE: Headline("throughput", "samples/s", True),
}


def compute_metrics(trace: Trace, scenario: Scenario) -> dict[str, Estimate]:
    """Return metric name → estimate.

    ``throughput`` is completed samples over the window, never one over a latency; ``query_rate`` the same in queries.
    Offline has one query, so it has no latencies.
    """
    ones = np.ones(trace.samples, np.int64)
    found = {"throughput": throughput(trace.done_ns, ones, trace.start_ns, trace.end_ns)}
    if scenario is Scenario.OFFLINE:
        return found
    latencies = trace.query_latencies_ns()
    if not len(latencies):
        return found
    share = trace.queries / trace.samples
    rate = found["throughput"]
    found["query_rate"] = replace(
        rate, unit="queries/s", value=_times(rate.value, share), low=_times(rate.low, share), high=_times(rate.high, share)
    )
    for percentile, estimate in zip(PERCENTILES, certified_percentiles(latencies, PERCENTILES), strict=True):
        found[percentile_key(percentile)] = estimate
    n = len(latencies)
    found["latency_mean"] = Estimate(value=float(latencies.mean()), unit="ns", n=n)
    found["latency_min"] = Estimate(value=float(latencies.min()), unit="ns", n=n)
    found["latency_max"] = Estimate(value=float(latencies.max()), unit="ns", n=n)
    return found


def find_drift(trace: Trace, scenario: Scenario) -> Drift | None:
    """Say whether the run changed in its course: by latency where there are queries, by rate in offline.

    In the server scenario latency follows the arrivals, so time in the executor is looked at instead.
    """
    if scenario is Scenario.OFFLINE:
        windows = split_windows(trace.done_ns, np.ones(trace.samples, np.int64), trace.start_ns, trace.end_ns)
        return None if windows is None else drift(windows.rates[1:-1])
    values = trace.done_ns - trace.started_ns if scenario is Scenario.SERVER else trace.query_latencies_ns()
    return drift(block_medians(np.maximum(values, 1)))


def percentile_key(percentile: float) -> str:
    """Return a percentile's metric name: ``latency_p99`` for 0.99, ``latency_p999`` for 0.999."""
    return "latency_p" + f"{percentile * 100:.10g}".replace(".", "")


def no_metrics(reason: str, scenario: Scenario) -> dict[str, Estimate]:
    """Return the headline as absent, for a run that has no number."""
    headline = HEADLINE[scenario]
    return {headline.metric: absent(headline.unit, reason)}


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
