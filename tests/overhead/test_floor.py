"""What the harness and LoadGen add to a device that does nothing, by LoadGen's own clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from npubench.contract.runspec import Scenario, TargetSpec
from npubench.measure.trace import Trace
from npubench.testing import null
from npubench.verbs.calibrate import SERVER_BOUND_NS, SERVER_RATE

TARGET = TargetSpec(name="null", backend="null", device=null.DEVICE, entry=null.ENTRY)


@pytest.mark.parametrize("scenario", [Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM])
def test_added_latency(benchmark, window: Callable[..., Trace], scenario: Scenario) -> None:
    """Reach: single-stream ≤ 5 µs p50."""
    traces = []
    benchmark.pedantic(lambda: traces.append(window(TARGET, scenario, "probe", 2.0)), rounds=3)
    p50 = sorted(trace.details["loadgen"]["p50_ns"] for trace in traces)
    benchmark.extra_info["added_p50_us"] = [value / 1e3 for value in p50]
    print(f"\n{scenario.value}: added p50 {p50[0] / 1e3:.2f} … {p50[-1] / 1e3:.2f} µs")  # noqa: T201
    assert all(value > 0 for value in p50)


def test_server_at_20000_queries_a_second(benchmark, window: Callable[..., Trace]) -> None:
    """Reach: valid at a p99 bound of 10 ms; p50 added ≤ 60 µs."""
    traces = []
    benchmark.pedantic(
        lambda: traces.append(
            window(TARGET, Scenario.SERVER, "probe", 2.0, target_qps=SERVER_RATE, latency_bound_ns=SERVER_BOUND_NS)
        ),
        rounds=3,
    )
    for trace in traces:
        over = float((trace.query_latencies_ns() > SERVER_BOUND_NS).mean())
        p50 = trace.details["loadgen"]["p50_ns"] / 1e3
        print(f"\nserver: {trace.queries / trace.window_ns * 1e9:,.0f} queries/s, p50 {p50:.1f} µs, over the bound {over:.3%}")  # noqa: T201
        assert trace.queries > 0.9 * 2.0 * SERVER_RATE


@pytest.mark.parametrize("seconds", [0.01, 0.1, 1.0, 5.0])
def test_cost_a_query_is_flat(benchmark, window: Callable[..., Trace], seconds: float) -> None:
    """From 10³ to 10⁶ queries the mean time between queries is the same."""
    traces = []
    benchmark.pedantic(lambda: traces.append(window(TARGET, Scenario.SINGLE_STREAM, "probe", seconds)), rounds=1)
    trace = traces[0]
    print(f"\n{trace.queries:,} queries: {trace.window_ns / trace.queries / 1e3:.2f} µs each")  # noqa: T201
    assert trace.queries > 0
