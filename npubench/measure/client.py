"""Count what the harness's own process does and waits for over a window. Standard library only; judges nothing.

Everything is read right before the window and right after it, never inside: proc(5), getrusage(2), and
Documentation/scheduler/sched-stats for ``schedstat``. The counters are the worker's own; those of other processes are read
from outside, by :mod:`npubench.measure.foreign`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from npubench.measure.neighbours import ACCELERATORS
from npubench.measure.surroundings import ROOT, text_of

#: Columns of a ``cpu`` row in ``/proc/stat`` that are work of processes: user, nice, system. Interrupts are not: a device
#: raises them for its owner.
_WORK = (0, 1, 2)
_STEAL = 7


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counters at one moment.

    Args:
        at_ns: The moment, by the monotonic clock.
        cpu_ns: CPU time of this process, with all its threads.
        delay_ns: Thread id → time it was ready to run and waited for a core; empty where the kernel does not count it.
        major_faults: Page faults of this process that went to a disk.
        involuntary_switches: How often a thread of it had to leave a core.
        work_ticks: CPU time that all processes had on the cores of this one, in clock ticks; ``None`` where unknown.
        steal_ticks: CPU time that a hypervisor gave to others meanwhile, in clock ticks; ``None`` where unknown.
        pressure_us: Time in which some process of the machine waited for a core; ``None`` where the kernel does not count it.
    """

    at_ns: int
    cpu_ns: int
    delay_ns: Mapping[int, int] = field(default_factory=dict)
    major_faults: int = 0
    involuntary_switches: int = 0
    work_ticks: int | None = None
    steal_ticks: int | None = None
    pressure_us: int | None = None


def take(root: Path = ROOT) -> Snapshot:
    """Read the counters now."""
    cores = _own_cores()
    work, steal = _ticks(root, cores)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Snapshot(
        at_ns=time.monotonic_ns(),
        cpu_ns=round((used.ru_utime + used.ru_stime) * 1e9),
        delay_ns=_delays(root),
        major_faults=used.ru_majflt,
        involuntary_switches=used.ru_nivcsw,
        work_ticks=work,
        steal_ticks=steal,
        pressure_us=_pressure(root),
    )


def account(before: Snapshot, after: Snapshot, harness_threads: Iterable[int]) -> dict[str, Any]:
    """Return what passed between two snapshots, as it stands in ``worker.json``; what is not known is ``None``.

    Args:
        before: Right before the window.
        after: Right after it.
        harness_threads: Threads that issue, dispatch or execute; the others are the plug-in's own.
    """
    wall = after.at_ns - before.at_ns
    ticks = os.sysconf("SC_CLK_TCK")
    # A thread that began meanwhile has counted from 0; one that has ended has taken its counter along.
    delays = {thread: delay - before.delay_ns.get(thread, 0) for thread, delay in after.delay_ns.items()}
    ours = [delays[thread] for thread in harness_threads if thread in delays]

    def passed(one: int | None, other: int | None, unit_ns: float) -> int | None:
        return None if one is None or other is None else round(max(0, other - one) * unit_ns)

    return {
        "wall_ns": wall,
        "cores": len(_own_cores()),
        "cpu_ns": after.cpu_ns - before.cpu_ns,
        "run_delay_ns": max(ours) if ours else None,
        "all_run_delay_ns": sum(delays.values()) if delays else None,
        "major_faults": after.major_faults - before.major_faults,
        "involuntary_switches": after.involuntary_switches - before.involuntary_switches,
        "work_ns": passed(before.work_ticks, after.work_ticks, 1e9 / ticks),
        "steal_ns": passed(before.steal_ticks, after.steal_ticks, 1e9 / ticks),
        "pressure_ns": passed(before.pressure_us, after.pressure_us, 1e3),
        "accelerators": open_accelerators(),
    }


def harness_threads() -> tuple[int, ...]:
    """Return the kernel's ids of the threads that issue, dispatch and execute: this one and those the harness named."""
    named = [t.native_id for t in threading.enumerate() if t.name.startswith("npubench") and t.name != "npubench-beat"]
    return (threading.get_native_id(), *(thread for thread in named if thread is not None))


def open_accelerators(process: int | str = "self", root: Path = ROOT) -> list[str]:
    """Return the device files of accelerators that a process has open; empty where it may not be looked into."""
    folder = root / f"proc/{process}/fd"
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - /proc has no use for Path
            with contextlib.suppress(OSError):
                found.add(os.readlink(folder / name))  # noqa: PTH115 - links into nowhere
    return sorted(each for each in found if ACCELERATORS.fullmatch(each))


def _own_cores() -> set[int]:
    """Return the logical CPUs this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _ticks(root: Path, cores: set[int]) -> tuple[int | None, int | None]:
    """Return the work of all processes on these cores and the time a hypervisor took from them, clock ticks."""
    work = steal = 0
    seen = False
    for row in (text_of(root / "proc/stat") or "").splitlines():
        name, *rest = row.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores and all(part.isdigit() for part in rest):
            counts = [int(part) for part in rest]
            if len(counts) > _STEAL:
                seen = True
                work += sum(counts[column] for column in _WORK)
                steal += counts[_STEAL]
    return (work, steal) if seen else (None, None)


def _delays(root: Path) -> dict[int, int]:
    """Return each thread's time on a run queue, ns: the second number of its ``schedstat``."""
    found = {}
    folder = root / "proc/self/task"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208
            counts = (text_of(folder / name / "schedstat") or "").split()
            if len(counts) == 3 and name.isdigit() and counts[1].isdigit():
                found[int(name)] = int(counts[1])
    return found


def _pressure(root: Path) -> int | None:
    for row in (text_of(root / "proc/pressure/cpu") or "").splitlines():
        total = row.rpartition("total=")[2]
        if row.startswith("some") and total.isdigit():
            return int(total)
    return None
