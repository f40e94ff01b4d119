"""A worker's memory is read from outside, at its own events, of all its processes; damage is told and nothing is guessed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.measure import memory
from npubench.measure.memory import MEMORY, NEVER, UNTOLD, MemoryWatch, held, members, read_memory

KIB = 1024


def process(root: Path, pid: int, parent: int, group: int, **sizes: int) -> None:
    """Make a process of a machine in a folder; sizes in kB."""
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(f"{pid} (odd) name) 1) S {parent} {group} {group} 0 -1\n")
    (folder / "status").write_text("Name:\tx\n" + "".join(f"{name}:\t{size:>8} kB\n" for name, size in sizes.items()))


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A worker 100 with a child in another group, a grandchild, an orphan in its group, and strangers."""
    process(tmp_path, 100, 1, 100, VmRSS=900, RssAnon=500, RssFile=300, RssShmem=100, VmSwap=7)
    process(tmp_path, 101, 100, 101, RssAnon=20, RssShmem=300, VmSwap=0)
    process(tmp_path, 102, 101, 101, RssAnon=3, RssShmem=0, VmSwap=0)
    process(tmp_path, 103, 1, 100, RssAnon=1, RssShmem=0, VmSwap=0)
    process(tmp_path, 200, 1, 200, RssAnon=10_000, RssShmem=10_000, VmSwap=0)
    (tmp_path / "proc" / "self").mkdir()
    return tmp_path


def test_what_a_process_holds_is_anonymous_swapped_and_shared_memory(machine: Path) -> None:
    assert held(100, machine) == (507 * KIB, 100 * KIB)
    assert held(999, machine) is None
    process(machine, 300, 1, 300, VmRSS=5)
    assert held(300, machine) is None


def test_own_processes_are_those_of_the_group_and_those_that_come_from_it(machine: Path) -> None:
    assert members(100, machine) == (101, 102, 103)
    assert members(200, machine) == ()


def test_readings_are_made_at_events_and_shared_memory_counts_once(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_BEAT_NS", 3600 * 10**9)
    watch = MemoryWatch(100, machine)
    watch.take({"event": "phase", "phase": "compile"})
    watch.take({"event": "sensors", "plugin": True})
    process(machine, 100, 1, 100, RssAnon=600, RssShmem=0)
    process(machine, 104, 100, 100, RssAnon=50)
    watch.take({"event": "progress", "done": 1})  # too soon after the one before
    watch.take({"event": "phase", "phase": "accuracy"})
    (machine / "proc/103/status").unlink()
    watch.take({"event": "finished"})
    watch.write(tmp_path)
    track = read_memory(tmp_path / MEMORY)
    assert track.phases == ("start", "compile", "accuracy")
    assert track.held.tolist() == [(507 + 20 + 3 + 1 + 300) * KIB, (600 + 20 + 3 + 1 + 50 + 300) * KIB, (600 + 73 + 300) * KIB]
    assert track.phase.tolist() == [0, 1, 2]
    assert track.processes.tolist() == [4, 5, 4]
    assert np.all(np.diff(track.times_ns) >= 0)
    assert track.reason == ""


def test_a_beat_is_read_once_it_is_due(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_BEAT_NS", 0)
    watch = MemoryWatch(100, machine)
    for done in range(3):
        watch.take({"event": "progress", "done": done})
    monkeypatch.setattr(memory, "MOST_READINGS", 4)
    for phase in ("accuracy", "warm-up", "measure"):
        watch.take({"event": "phase", "phase": phase})
    watch.write(tmp_path)
    assert len(read_memory(tmp_path / MEMORY).times_ns) == 4


def test_the_reason_stands_where_there_is_no_reading(tmp_path: Path) -> None:
    for events, reason in (([], NEVER), ([{"event": "phase", "phase": "compile"}], UNTOLD)):
        watch = MemoryWatch(100, tmp_path / "nothing")
        for event in events:
            watch.take(event)
        watch.write(tmp_path)
        track = read_memory(tmp_path / MEMORY)
        assert (track.reason, len(track.times_ns)) == (reason, 0)


def test_what_a_plugin_left_in_its_place_is_not_written_through(machine: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / MEMORY).symlink_to(victim)
    MemoryWatch(100, machine).write(run)
    assert victim.read_text() == "mine"
    assert read_memory(run / MEMORY).reason == NEVER
    MemoryWatch(100, machine).write(tmp_path / "gone")


def columns(**changes: Any) -> dict[str, Any]:
    header = {"version": 1, "phases": ["start"], "reason": "", **changes.pop("header", {})}
    base = {name: np.zeros(3, np.int64) for name in ("times_ns", "held", "phase", "processes")}
    return {"header": np.frombuffer(json.dumps(header).encode(), np.uint8), **base, **changes}


def test_nothing_is_looked_for_around_the_window(machine: Path, tmp_path: Path) -> None:
    watch = MemoryWatch(100, machine)
    watch.take({"event": "phase", "phase": "warm-up"})
    process(machine, 104, 100, 100, RssAnon=50)
    for phase in ("baseline", "measure", "audit"):
        watch.take({"event": "phase", "phase": phase})
    watch.write(tmp_path)
    assert set(read_memory(tmp_path / MEMORY).processes) == {4}


@pytest.mark.parametrize(
    "changes",
    [
        {"header": {"version": 2}},
        {"header": {"phases": []}},
        {"held": np.array([1, 2, -3])},
        {"held": np.zeros(2, np.int64)},
        {"held": np.zeros(3)},
        {"phase": np.array([0, 0, 1])},
        {"phase": np.array([0, 0, -1])},
        {"times_ns": np.array([3, 2, 1])},
        {"processes": np.zeros((3, 1), np.int64)},
    ],
    ids=str,
)
def test_damage_is_told(tmp_path: Path, changes: dict[str, Any]) -> None:
    np.savez(tmp_path / MEMORY, **columns())
    assert read_memory(tmp_path / MEMORY).held.tolist() == [0, 0, 0]
    np.savez(tmp_path / MEMORY, **columns(**changes))
    with pytest.raises(ValueError, match=r"memory\.npz: "):
        read_memory(tmp_path / MEMORY)
    (tmp_path / MEMORY).write_bytes(b"no archive")
    with pytest.raises(ValueError, match="damaged"):
        read_memory(tmp_path / MEMORY)


@pytest.mark.skipif(not held(os.getpid()), reason="this kernel does not tell")
def test_a_real_process_with_a_child_is_read() -> None:
    code = "import os, subprocess, sys; subprocess.Popen(['cat']) ; kept = b'1' * (64 << 20); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        worker.stdout.readline()
        own = held(worker.pid)
        children = members(worker.pid)
        worker.stdin.close()
    assert own is not None
    assert own[0] > 64 << 20
    assert len(children) == 1
