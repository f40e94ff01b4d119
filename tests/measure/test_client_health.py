"""Competitors are seen and named; what the harness itself does is not held against others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from npubench.measure import client, foreign, neighbours
from npubench.measure.foreign import Foreign, Onlooker

#: Far more CPU time than a test needs; the process is killed at its end.
BUSY = "import os\nos.sched_setaffinity(0, {%d})\nprint('ready', flush=True)\nwhile True: pass"


@pytest.fixture
def competitor() -> Iterator[subprocess.Popen[bytes]]:
    """Keep one core of this process's own busy, from a process that is no child of the harness."""
    core = min(os.sched_getaffinity(0))
    process = subprocess.Popen([sys.executable, "-c", BUSY % core], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def ticks(process: subprocess.Popen[bytes]) -> int:
    return neighbours.count().processes[process.pid][1]


def wait_for_ticks(process: subprocess.Popen[bytes], wanted: int) -> None:
    """Wait until a process has had so many more clock ticks of CPU time, however busy the machine is."""
    until = ticks(process) + wanted
    while ticks(process) < until:
        time.sleep(0.01)


def test_a_competing_process_is_seen_on_the_cores_and_named(
    competitor: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The supervisor would not be this process, whose child the competitor is.
    monkeypatch.setattr(foreign.os, "getpid", lambda: -1)
    before, looked = client.take(), neighbours.count()
    wait_for_ticks(competitor, 30)
    after, again = client.take(), neighbours.count()
    counted = client.account(before, after, client.harness_threads())
    others = counted["work_ns"] - counted["cpu_ns"]
    assert others >= 0.2e9, "30 ticks of 10 ms, less what is read between them"
    seen = foreign.describe(looked, again, counted["wall_ns"], worker=-2)
    named = next(busy for busy in seen.busiest if busy.pid == competitor.pid)
    assert named.name.startswith("python")
    assert named.cores * counted["wall_ns"] >= 0.2e9


def test_the_harnesss_own_processes_are_no_competitors(competitor: subprocess.Popen[bytes]) -> None:
    looked = neighbours.count()
    wait_for_ticks(competitor, 10)
    for worker in (competitor.pid, -2):  # as the worker, and as a child of the supervisor, such as a sampler
        seen = foreign.describe(looked, neighbours.count(), 1_000_000_000, worker)
        assert competitor.pid not in [busy.pid for busy in seen.busiest]
    assert seen.harness_cores > 0.05


def test_own_cpu_time_is_counted_as_ones_own() -> None:
    before = client.take()
    used = time.process_time() + 0.2
    while time.process_time() < used:
        pass
    counted = client.account(before, client.take(), client.harness_threads())
    assert counted["cpu_ns"] >= 0.19e9
    assert counted["wall_ns"] > 0
    assert counted["major_faults"] >= 0
    assert counted["cores"] == len(os.sched_getaffinity(0))


def test_the_onlooker_looks_when_the_phase_begins_and_when_it_is_over(competitor: subprocess.Popen[bytes]) -> None:
    onlooker = Onlooker(worker=-2)
    onlooker.take({"event": "phase", "phase": "warm-up"})
    onlooker.take({"event": "progress", "done": 1})
    assert onlooker.seen == Foreign()
    onlooker.take({"event": "phase", "phase": "measure"})
    wait_for_ticks(competitor, 3)
    onlooker.take({"event": "phase", "phase": "audit"})
    seen = onlooker.seen
    assert seen.wall_ns > 0
    onlooker.take({"event": "phase", "phase": "close"})
    assert onlooker.seen is seen


def test_what_the_kernel_does_not_count_is_not_known(tmp_path: Path) -> None:
    before, after = client.take(tmp_path), client.take(tmp_path)
    counted = client.account(before, after, client.harness_threads())
    unknown = ("run_delay_ns", "all_run_delay_ns", "work_ns", "steal_ns", "pressure_ns")
    assert [counted[name] for name in unknown] == [None] * len(unknown)


def test_who_holds_a_device_is_found_by_its_file(tmp_path: Path) -> None:
    for pid, target in ((7, "/dev/rbln0"), (8, "/dev/null")):
        (tmp_path / f"proc/{pid}/fd").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/fd/3").symlink_to(target)
        (tmp_path / f"proc/{pid}/stat").write_text(f"{pid} (smi d) S 1 {pid} " + "0 " * 8 + "5 5 0 0")
    looked = neighbours.count(tmp_path)
    seen = foreign.describe(looked, looked, 1_000_000_000, worker=99, root=tmp_path)
    assert [(holder.device, holder.name, holder.pid) for holder in seen.holders] == [("/dev/rbln0", "smi d", 7)]
    assert foreign.describe(looked, looked, 1_000_000_000, worker=7, root=tmp_path).holders == ()
