"""Whatever ends ``npubench run``, finished runs stay as they are, and the same command goes on from there."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from npubench.record.store import Store

from .world import PLAIN, World, came_through, code_of, fingerprint, nobody_left, read_records, survivors, wait_until


def in_progress(store: Path, what: str) -> bool:
    """Return whether the run in progress has come as far as ``what``."""
    try:
        return any(store.glob(f".open/*/{what}"))
    except FileNotFoundError:  # the folder was removed or published while it was looked at
        return False


def finished(store: Path) -> int:
    return len(Store(store).folders())


#: When to kill: a name, and whether the moment has come by what is to be seen in the store, where so many were finished.
MOMENTS: dict[str, Callable[[Path, int], bool]] = {
    "while it prepares": lambda store, before: (store / ".lock").exists(),
    "in the window": lambda store, before: in_progress(store, "loadgen/measure/mlperf_log_detail.txt"),
    "when a record is written": lambda store, before: in_progress(store, "record.json") or finished(store) > before,
    "when a run has been published": lambda store, before: finished(store) > before,
}


def test_killed_at_any_moment_it_loses_the_run_in_progress_at_most(world: World) -> None:
    targets = {"a": PLAIN, "b": PLAIN}
    suite = world.suite(targets, [{"targets": list(targets), "workloads": ["probe"]}])
    store = world.store()
    before: dict[str, tuple[str, int]] = {}
    for moment, has_come in MOMENTS.items():
        running = world.start("run", suite, "--store", store)
        assert wait_until(partial(has_come, store, len(before)), every_s=0.001), moment
        running.signal(signal.SIGKILL)
        assert running.wait().code == -signal.SIGKILL, moment
        # Worker, sampler and prober die with it.
        assert nobody_left(world.folder), (moment, survivors(world.folder))
        after = fingerprint(store)
        assert before.items() <= after.items(), moment
        assert len(after) <= len(before) + 1, moment
        assert all(came_through(record) for record in read_records(store).values())
        before = after
    assert before

    done = world("run", suite, "--store", store)
    assert done.code == code_of(store), done.err
    assert f"{len(before)} of 2 runs are in the store already" in done.err
    after = fingerprint(store)
    assert len(after) == 2
    assert all(came_through(record) for record in read_records(store).values())
    assert before.items() <= after.items()
    assert not list(store.glob(".open/*"))


def test_an_interrupt_or_a_polite_kill_keeps_what_is_finished(new_world: Callable[[str], World]) -> None:
    worlds = {signal.SIGINT: new_world("interrupt"), signal.SIGTERM: new_world("terminate")}
    running = {}
    # The second run is far longer than it takes to look at both, one after the other.
    runs = [{"targets": [name], "workloads": ["probe"], "duration_s": seconds} for name, seconds in (("a", 1), ("b", 600))]
    for number, world in worlds.items():
        running[number] = world.start("run", world.suite({"a": PLAIN, "b": PLAIN}, runs), "--store", world.store())
    for number, world in worlds.items():
        store = world.store()
        assert wait_until(lambda store=store: finished(store) == 1 and in_progress(store, "spec.json"))
        before = fingerprint(store)
        running[number].signal(number)
        result = running[number].wait()
        assert result.code == 130
        assert result.sentence == "npubench: interrupted; every finished run is kept, the same command goes on from there"
        assert "Traceback" not in result.err
        assert nobody_left(world.folder)
        assert fingerprint(store) == before


def test_an_interrupt_while_it_prepares_says_the_same(world: World) -> None:
    suite = world.suite({"a": PLAIN}, [{"targets": ["a"], "workloads": ["probe"]}])
    running = world.start("run", suite, "--store", world.store())
    assert wait_until(lambda: (world.store() / ".lock").exists(), every_s=0.001)
    running.signal(signal.SIGINT)
    result = running.wait()
    assert (result.code, result.err.count("interrupted;")) == (130, 1)
    assert nobody_left(world.folder)


@dataclass
class Resumed:
    world: World
    suite: Path
    first: Any
    beside: Any
    records: dict[str, tuple[str, int]]


@pytest.fixture(scope="module")
def resumed(new_world: Callable[[str], World]) -> Resumed:
    """One run in a store, and a second command that wanted to write there at the same time."""
    world = new_world("resume")
    twice = [{"targets": ["a", "a"], "workloads": ["probe"]}, {"targets": ["a"], "workloads": ["probe"]}]
    suite = world.suite({"a": PLAIN}, twice)
    running = world.start("run", suite, "--store", world.store())
    assert wait_until(lambda: in_progress(world.store(), "spec.json"))
    # It holds the store while it is stopped, however long the other takes to come to it.
    running.signal(signal.SIGSTOP)
    beside = world("run", suite, "--store", world.store())
    running.signal(signal.SIGCONT)
    return Resumed(world, suite, running.wait(), beside, fingerprint(world.store()))


def test_two_at_once_do_not_write_to_one_store(resumed: Resumed) -> None:
    assert resumed.beside.code == 2
    assert "another npubench is writing to this store" in resumed.beside.sentence


def test_what_is_asked_for_twice_is_one_run(resumed: Resumed) -> None:
    assert resumed.first.code == code_of(resumed.world.store()), resumed.first.err
    assert all(came_through(record) for record in read_records(resumed.world.store()).values())
    assert len(resumed.records) == 1


def test_a_second_run_does_nothing_and_says_so(resumed: Resumed) -> None:
    world, suite, before = resumed.world, resumed.suite, resumed.records
    again = world("run", suite, "--store", world.store())
    assert again.code == code_of(world.store())
    kept, *rest = again.err.strip().splitlines()
    assert kept == "1 of 1 runs are in the store already and are kept; measure again with --round NAME"
    assert (rest == []) == (again.code == 0)
    assert fingerprint(world.store()) == before


def test_a_round_measures_again_and_keeps_both(resumed: Resumed) -> None:
    world, suite, before = resumed.world, resumed.suite, resumed.records
    again = world("run", suite, "--store", world.store(), "--round", "2026-08-01")
    assert again.code == code_of(world.store()), again.err
    after = fingerprint(world.store())
    assert before.items() < after.items()
    assert sorted(r["spec"]["round"] for r in read_records(world.store()).values()) == ["", "2026-08-01"]


def test_a_truncated_record_is_said_and_hides_no_other(resumed: Resumed) -> None:
    world, suite = resumed.world, resumed.suite
    store = world.store("damaged")
    shutil.copytree(world.store(), store)
    folder = next(store.glob(f"*/{next(iter(resumed.records))}"))
    text = (folder / "record.json").read_text(encoding="utf-8")
    (folder / "record.json").write_text(text[: len(text) // 2], encoding="utf-8")
    again = world("run", suite, "--store", store)
    assert again.code == 1
    assert f"{folder}/record.json: truncated or damaged" in again.err
    assert "Traceback" not in again.err
    # Nothing is put in its place: what is there stays there until a person has looked.
    assert (folder / "record.json").read_text(encoding="utf-8") == text[: len(text) // 2]
    data = json.loads(text)
    (folder / "record.json").write_text(json.dumps({**data, "schema_version": 99}), encoding="utf-8")
    newer = world("run", suite, "--store", store)
    assert newer.code == 1
    assert "schema_version is 99, this npubench reads up to" in newer.err
    assert "install a newer npubench" in newer.err
