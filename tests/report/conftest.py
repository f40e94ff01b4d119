"""Runs in a store, as a night on a testbed leaves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.contract.runspec import RunSpec, Scenario
from npubench.measure.trace import Trace
from npubench.plan.decide import run_id
from npubench.record.schema import Energy, Record
from npubench.record.store import Entry, Store

MS = 1_000_000

Add = Callable[..., Entry]


@pytest.fixture(scope="session")
def make_energy() -> Callable[..., Energy]:
    """Make energy of a card by its counter: ``per_joule`` samples/J, uncertain by ``half`` of it, at ``watts`` over ``idle``."""

    def make(
        per_joule: float = 10.0, watts: float = 50.0, idle: float | None = 20.0, half: float = 0.004, **changes: Any
    ) -> Energy:
        def around(value: float, unit: str) -> Estimate:
            return Estimate(value, unit, value * (1 - half), value * (1 + half), 0.99)

        return Energy(
            **{
                "sensor": "counter",
                "domain": "card",
                "evidence": "device energy counter",
                "joules": around(3000.0, "J"),
                "watts": around(watts, "W"),
                "peak_watts": Estimate(watts * 1.1, "W"),
                "idle_watts": absent("W", "no idle baseline") if idle is None else around(idle, "W"),
                "above_idle_joules": absent("J", "no idle baseline"),
                "joules_per_sample": around(1 / per_joule, "J/sample"),
                "samples_per_joule": around(per_joule, "samples/J"),
                "accuracy_joules": absent("J", "no accuracy phase"),
                "warm_up_joules": absent("J", "no warm-up phase"),
                "readings": 600,
                "coverage": 1.0,
                "update_period_ns": 10_000_000,
                "clock_offset_ns": 0,
                "simulated": False,
                **changes,
            }
        )

    return make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def add(
    store: Store,
    make_spec: Callable[..., RunSpec],
    make_trace: Callable[..., Trace],
    make_record: Callable[..., Record],
    publish: Callable[..., Entry],
) -> Add:
    """Publish a run that takes ``ms`` a query, give or take a tenth, under ``seed``."""

    def add(
        target: str = "card",
        ms: float = 1.0,
        *,
        scenario: Scenario = Scenario.SINGLE_STREAM,
        seed: int = 0,
        queries: int = 2000,
        into: Store | None = None,
        load: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
        on: dict[str, Any] | None = None,
        **record: Any,
    ) -> Entry:
        made = make_spec(scenario, target={"name": target, **(on or {})}, load=load or {}, **(spec or {}))
        made = make_spec(
            scenario, target={"name": target, **(on or {})}, load=load or {}, **{**(spec or {}), "run_id": run_id(made)}
        )
        status = record.get("status", "ok")
        trace = None
        if status in ("ok", "invalid"):
            latencies = (ms * MS * np.random.default_rng(seed).normal(1, 0.1, queries)).astype(np.int64)
            every = int(ms * MS) if scenario is Scenario.SERVER else None
            trace = make_trace(latencies, every_ns=every, per_query=made.load.samples_per_query)
        return publish(into or store, make_record(made, trace, **record), trace)

    return add
