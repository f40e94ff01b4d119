"""A figure that the client set is invalid and says so; a clean run is never accused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.analyze import client as module
from npubench.analyze.client import Client, ClientFacts, account_client, harness_share, holders, judge_client, working
from npubench.contract.runspec import Scenario
from npubench.measure.foreign import Busy, Foreign, Holder
from npubench.measure.trace import Trace

SECOND = 1_000_000_000
CLEAN = Client(
    lag_p99_ns=None,
    cpu_share=1.0,
    run_delay_share=0.001,
    major_faults=0,
    foreign_cpu_share=0.02,
    cores=4,
    harness_share=0.005,
    steal_share=0.0,
)


def found(grade: str = "nightly", working_holders: tuple[str, ...] = (), **changes: Any) -> dict[str, str]:
    facts = ClientFacts(grade, replace(CLEAN, **changes), 60 * SECOND, working_holders)
    return {finding.rule: finding.severity for finding in judge_client(facts)}


def test_a_clean_client_has_no_finding() -> None:
    assert found() == {}


#: Rule → what breaks it just so, and what just holds.
BOUNDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("client-cpu", {"harness_share": 0.101}, {"harness_share": 0.1}),
    ("run-queue", {"run_delay_share": 0.051}, {"run_delay_share": 0.05}),
    ("page-faults", {"major_faults": 601}, {"major_faults": 600}),
    ("foreign-load", {"foreign_cpu_share": 0.5, "cpu_share": 3.2}, {"foreign_cpu_share": 0.4, "cpu_share": 3.6}),
    ("stolen-time", {"steal_share": 0.051}, {"steal_share": 0.05}),
]


@pytest.mark.parametrize(("rule", "broken", "held"), BOUNDS, ids=[case[0] for case in BOUNDS])
def test_each_rule_has_its_bound(rule: str, broken: dict[str, Any], held: dict[str, Any]) -> None:
    assert found(**broken) == {rule: "invalid"}
    assert found(grade="official", **broken) == {rule: "invalid"}
    assert found(grade="smoke", **broken) == {rule: "warning"}
    assert found(**held) == {}


def test_others_on_cores_that_are_not_full_are_said_and_no_more() -> None:
    assert found(foreign_cpu_share=0.8, cpu_share=1.0) == {"foreign-load": "warning"}


def test_a_thread_that_waits_for_its_own_process_is_said_and_no_more() -> None:
    assert found(run_delay_share=0.3, cpu_share=3.9) == {"run-queue": "warning"}


def test_a_device_that_another_works_with_is_shared_and_one_that_is_only_held_is_noted() -> None:
    assert found(device_holders=("persistenced (7)",)) == {"device-shared": "note"}
    assert found(device_holders=("train (8)",), working_holders=("train (8)",)) == {"device-shared": "invalid"}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none()
            for name in (
                "cpu_share",
                "run_delay_share",
                "major_faults",
                "foreign_cpu_share",
                "cores",
                "harness_share",
                "steal_share",
            )
        },
    )
)
def test_what_is_not_known_is_held_against_nobody(unknown: dict[str, None]) -> None:
    assert found(**unknown) == {}


COUNTED = {
    "wall_ns": 10 * SECOND,
    "cores": 4,
    "cpu_ns": 20 * SECOND,
    "run_delay_ns": SECOND,
    "major_faults": 3,
    "involuntary_switches": 9,
    "work_ns": 29 * SECOND,
    "steal_ns": 2 * SECOND,
    "pressure_ns": 5 * SECOND,
    "accelerators": ["/dev/rbln0"],
}
OTHERS = Foreign(
    wall_ns=10 * SECOND,
    harness_cores=0.1,
    kernel_cores=0.2,
    busiest=(Busy("loop", 7, 0.6),),
    holders=(Holder("/dev/rbln0", "train", 8, 0.5), Holder("/dev/rbln0", "idle", 9, 0.0), Holder("/dev/rbln1", "other", 10, 1.0)),
)


def test_shares_are_of_the_window_and_others_are_what_is_nobodys_own(make_trace: Callable[..., Trace]) -> None:
    client = account_client(COUNTED, make_trace([SECOND]), Scenario.SERVER, OTHERS, 5.0)
    assert client == Client(
        lag_p99_ns=5.0,
        cpu_share=2.0,
        run_delay_share=0.1,
        major_faults=3,
        foreign_cpu_share=pytest.approx(0.6),
        foreign=("loop (7) 0.60",),
        cores=4,
        harness_share=None,
        steal_share=0.05,
        pressure_share=0.5,
        involuntary_switches=9,
        device_holders=("train (8)", "idle (9)"),
    )
    assert working(holders(COUNTED, OTHERS)) == ("train (8)",)


@pytest.mark.parametrize("counted", [{}, {"wall_ns": 0}, {"wall_ns": None, "cores": None}, {"wall_ns": "x", "cpu_ns": "y"}])
def test_a_worker_that_counted_nothing_has_nothing_known(counted: dict[str, Any], make_trace: Callable[..., Trace]) -> None:
    client = account_client(counted, make_trace([SECOND]), Scenario.SERVER, Foreign(), None)
    assert (client.cpu_share, client.run_delay_share, client.major_faults, client.foreign_cpu_share) == (None,) * 4


def test_the_harnesss_share_of_latencies_is_what_is_not_the_executors(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([SECOND] * 10, service_ns=SECOND * 9 // 10)
    assert harness_share(trace, Scenario.SINGLE_STREAM) == pytest.approx(0.1)
    assert harness_share(trace, Scenario.OFFLINE) == pytest.approx(0.1)
    assert harness_share(trace, Scenario.SERVER) is None


def test_a_single_stream_latency_is_loadgens_where_it_says_more(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([SECOND] * 10, details={"loadgen": {"mean_ns": SECOND * 1.25}})
    assert harness_share(trace, Scenario.SINGLE_STREAM) == pytest.approx(0.2)


def test_requests_that_overlap_in_the_executor_are_no_harness_time(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([SECOND] * 4, every_ns=SECOND // 4, service_ns=SECOND)
    assert harness_share(trace, Scenario.OFFLINE) == pytest.approx(0.0)


def test_the_bounds_stand_with_their_reasons() -> None:
    """Whoever moves a bound moves this line."""
    bounds = (module.HARNESS_SHARE, module.RUN_DELAY_SHARE, module.FOREIGN_SHARE, module.SATURATED, module.STEAL_SHARE)
    assert np.allclose(bounds, (0.10, 0.05, 0.10, 0.90, 0.05))
