"""Every scenario once on the simulated device, in one suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .world import PLAIN, Result, World, read_records

#: Of the rate that is searched for, ns: no stall of a busy machine is as long.
BOUND_NS = 100_000_000


@dataclass(frozen=True)
class Scenes:
    """What came of it; ``records`` are by target and scenario, as in ``"plain offline"``."""

    world: World
    suite: Path
    store: Path
    result: Result
    records: dict[str, dict[str, Any]]


def with_energy(scenes: Scenes, scenario: str) -> dict[str, Any]:
    """Return a run of a scenario that has energy; where a busy machine kept the samplers of all from reading, skip."""
    runs = [record for name, record in sorted(scenes.records.items()) if name.endswith(scenario)]
    found = [record for record in runs if record["energy"][0]["watts"]["value"]]
    reasons = {record["energy"][0]["watts"]["reason"] for record in runs}
    if not found and all((reason or "").startswith("readings cover") for reason in reasons):
        pytest.skip(f"the machine is too busy for any energy: {', '.join(sorted(reasons))}")
    return found[0]


class BeginningScenes:
    """The suite, started."""

    def __init__(self, new_world: Callable[[str], World]) -> None:
        self._world = world = new_world("scenes")
        twin = {**PLAIN, "options": {"max_in_flight": 2, "asynchronous": True}}
        self._suite = world.suite(
            {"plain": PLAIN, "twin": twin, "threads": {**PLAIN, "options": {"max_in_flight": 2}}},
            [
                {"targets": ["plain"], "workloads": ["probe"], "scenarios": ["single-stream", "multi-stream", "offline"]},
                {
                    "targets": ["plain"],
                    "workloads": ["probe"],
                    "scenarios": ["server"],
                    "target_qps": "auto",
                    "latency_bound_ms": BOUND_NS / 1e6,
                },
                {
                    "targets": ["threads", "twin"],
                    "workloads": ["probe"],
                    "scenarios": ["server"],
                    "target_qps": 300,
                    "latency_bound_ms": 1000,
                    "batch": 4,
                    "in_flight": 2,
                    "coalesce_delay_ms": 20,
                },
                {"targets": ["twin"], "workloads": ["probe"], "scenarios": ["offline"], "in_flight": 2},
            ],
            name="scenes",
        )
        self.started = [world.start("run", self._suite, "--store", world.store())]

    def end(self) -> Scenes:
        """Wait for it."""
        world, result = self._world, self.started[0].wait()
        records = {
            f"{r['spec']['target']['name']} {r['spec']['load']['scenario']}": r for r in read_records(world.store()).values()
        }
        return Scenes(world, self._suite, world.store(), result, records)
