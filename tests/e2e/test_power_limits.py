"""A sweep of power limits on the simulated device: measured under each, recorded, and put back whatever happens."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil

from .world import PLAIN, World, nobody_left, one_by_target, wait_until

#: Where the simulated plain device keeps its limit, below a world's TMPDIR.
LIMIT = f"tmp/npubench-simulated-{os.getuid()}/sim-plain-limit.account"

#: The highest limit of the plain device, mW: what is in force where none was ever set.
HIGHEST = 160_000

SWEEP = [{"targets": ["dev"], "workloads": ["probe"], "power_limits_w": [20, 40, 500]}]


def host(world: World) -> Path:
    path = world.folder / "testbed.toml"
    path.write_text("schema_version = 1\n[target.dev]\nallow_power_limit = true\n")
    return path


def in_force(world: World) -> int:
    """Return the limit of the world's plain device, mW; 0 is none."""
    return int.from_bytes((world.folder / LIMIT).read_bytes()[:8], "little")


def workers(world: World) -> list[psutil.Process]:
    found = [
        p
        for p in psutil.process_iter()
        if str(world.folder) in " ".join(_command(p)) and "npubench.measure.worker" in _command(p)
    ]
    # What a worker starts bears its command line until it has become something else.
    ids = {p.pid for p in found}
    return [p for p in found if _parent(p) not in ids]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


def limit_of(record: dict[str, Any]) -> Any:
    return record["provenance"]["settings"].get("power_limit_mw")


def test_a_sweep_is_measured_recorded_and_put_back(world: World) -> None:
    suite = world.suite({"dev": PLAIN}, [*SWEEP, {"targets": ["dev"], "workloads": ["probe"]}])
    done = world("run", suite, "--host", host(world), "--store", world.store())
    records = one_by_target(world.store())
    assert set(records) == {"dev", "dev@20W", "dev@40W", "dev@500W"}, done.err
    assert {name: limit_of(record) for name, record in records.items() if name != "dev@500W"} == {
        "dev": HIGHEST,
        "dev@20W": 20_000,
        "dev@40W": 40_000,
    }
    refused = records["dev@500W"]
    assert refused["status"] == "skipped"
    assert refused["reason"] == "power limit of 500 W: the device takes 10 to 160 W"
    # The law under a limit is in the device's own notes: half the power, twice the time.
    notes = {
        name: json.loads(next(world.store().glob(f"*/{records[name]['run_id']}/worker.json")).read_text())["notes"]["law"]
        for name in ("dev", "dev@20W")
    }
    assert "active_mw=40000" in notes["dev"] and "fixed_us=2000.0" in notes["dev"]
    assert "active_mw=20000" in notes["dev@20W"] and "fixed_us=4000.0" in notes["dev@20W"]
    assert in_force(world) == 0


def test_a_suite_alone_does_not_change_the_machine(world: World) -> None:
    done = world("run", world.suite({"dev": PLAIN}, SWEEP), "--store", world.store())
    assert done.code == 2
    assert "allow_power_limit = true under [target.dev]" in " ".join(done.err.split())
    assert not (world.folder / LIMIT).exists()


def long_sweep(world: World) -> Any:
    run = {**SWEEP[0], "power_limits_w": [20], "duration_s": 120}
    started = world.start("run", world.suite({"dev": PLAIN}, [run]), "--host", host(world), "--store", world.store())
    assert wait_until(lambda: (world.folder / LIMIT).exists() and in_force(world) == 20_000)
    return started


def test_when_the_worker_is_killed_the_limit_is_put_back(world: World) -> None:
    started = long_sweep(world)
    (worker,) = workers(world)
    os.kill(worker.pid, signal.SIGKILL)
    assert started.wait().code == 1
    assert in_force(world) == 0
    (record,) = one_by_target(world.store()).values()
    assert record["status"] == "failed"
    assert "killed by SIGKILL" in record["reason"]
    assert "by hand" not in record["reason"]


def test_when_all_is_killed_the_next_run_puts_it_back(world: World) -> None:
    started = long_sweep(world)
    started.kill()
    assert nobody_left(world.folder)
    assert in_force(world) == 20_000
    again = world.suite({"dev": PLAIN}, [{"targets": ["dev"], "workloads": ["probe"]}], name="again")
    done = world("run", again, "--store", world.store())
    assert limit_of(one_by_target(world.store())["dev"]) == HIGHEST, done.err
    assert in_force(world) == 0
