"""Runs in a store, as a night on a testbed leaves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.contract.runspec import RunSpec, Scenario
from npubench.measure.trace import Trace
from npubench.plan.decide import run_id
from npubench.record.schema import Record
from npubench.record.store import Entry, Store

MS = 1_000_000

Add = Callable[..., Entry]


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
