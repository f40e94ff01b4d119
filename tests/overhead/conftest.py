"""Bundles and windows for measuring what the harness costs. Run by ``make overhead``; never part of the test suite's verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from npubench.contract.runspec import Scenario
from npubench.measure.runner import run_worker
from npubench.measure.trace import Trace, read_trace
from npubench.plan.bundles import prepare
from npubench.plan.wheels import npubench_cache
from npubench.verbs.calibrate import window_spec


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trace]:
    """Return a function that measures one window in a worker and gives its trace."""

    def measure(target: Any, scenario: Scenario, workload: str, seconds: float, folder: Path | None = None, **load: Any) -> Trace:
        place = folder or tmp_path_factory.mktemp("window") / "run"
        place.mkdir(parents=True)
        spec = window_spec(target, scenario, prepare(workload, npubench_cache()), seconds)
        spec = replace(spec, load=replace(spec.load, **load))
        outcome = run_worker(spec, place)
        assert outcome.kind == "finished", outcome.reason
        return read_trace(place / "trace.npz")

    return measure
