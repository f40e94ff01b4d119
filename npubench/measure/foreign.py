"""Look from outside who else worked while a worker measured, and who held its device. Standard library only.

The supervisor looks twice: when the phase ``measure`` begins and when it is over. What a process did in between is the
difference; nothing is read inside the window, and a plug-in in the worker cannot touch it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from npubench.contract.runspec import Phase
from npubench.measure import neighbours
from npubench.measure.client import open_accelerators
from npubench.measure.surroundings import ROOT, text_of

#: So many of the busiest are named, and none that used less than this share of one core.
_NAMED, _LEAST = 5, 0.02

#: The process that all threads of the kernel are children of.
_KTHREADD = 2


@dataclass(frozen=True, slots=True)
class Busy:
    """A process that is none of the harness's.

    Args:
        name: Its name, as the kernel has it.
        pid: Its id.
        cores: CPU time over the time between the looks: 1 is one core kept busy.
    """

    name: str
    pid: int
    cores: float


@dataclass(frozen=True, slots=True)
class Holder:
    """Another process that has an accelerator's device file open.

    Args:
        device: The device file.
        name, pid, cores: Of the process, as in :class:`Busy`.
    """

    device: str
    name: str
    pid: int
    cores: float


@dataclass(frozen=True, slots=True)
class Foreign:
    """What was seen of others between the two looks.

    Args:
        wall_ns: Time between the looks; 0 where there were not two.
        harness_cores: CPU time of supervisor and samplers over it, in cores.
        kernel_cores: CPU time of the kernel's own threads over it, in cores; a driver's work for its device is among it.
        busiest: The busiest processes that are neither, the busiest first.
        holders: Processes that hold an accelerator, at the second look.
    """

    wall_ns: int = 0
    harness_cores: float = 0.0
    kernel_cores: float = 0.0
    busiest: tuple[Busy, ...] = ()
    holders: tuple[Holder, ...] = ()


@dataclass(slots=True)
class Onlooker:
    """Looks at every process at the beginning and at the end of the phase ``measure``.

    Args:
        worker: The worker's process id, which is its process group's as well.
        root: The machine.
    """

    worker: int
    root: Path = ROOT
    seen: Foreign = field(default_factory=Foreign)
    _begun: tuple[int, neighbours.Counters] | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        """Note one of the worker's events; look where it begins or ends the measured phase."""
        if event["event"] != "phase":
            return
        if event["phase"] == Phase.MEASURE.value:
            self._begun = (time.monotonic_ns(), neighbours.count(self.root))
        elif self._begun is not None:
            since, before = self._begun
            self._begun = None
            self.seen = describe(before, neighbours.count(self.root), time.monotonic_ns() - since, self.worker, self.root)


def describe(before: neighbours.Counters, after: neighbours.Counters, wall_ns: int, worker: int, root: Path = ROOT) -> Foreign:
    """Return who worked between two counts.

    Args:
        before, after: The counts.
        wall_ns: The time between them.
        worker: The worker's process id.
        root: The machine.
    """
    second = wall_ns / 1e9 * os.sysconf("SC_CLK_TCK")
    # A process that began meanwhile has counted from 0.
    cores = {pid: max(0, ticks - before.processes.get(pid, ("", 0))[1]) / second for pid, (_, ticks) in after.processes.items()}
    parents = {pid: _parent_and_group(pid, root) for pid in after.processes}
    workers = {pid for pid in cores if pid == worker or parents[pid][1] == worker or worker in _ancestors(pid, parents)}
    harness = {pid for pid in cores if pid == os.getpid() or os.getpid() in _ancestors(pid, parents)} - workers
    kernel = {pid for pid in cores if pid == _KTHREADD or parents[pid][0] == _KTHREADD}
    others = [pid for pid in cores if pid not in harness | workers | kernel]
    busiest = sorted((pid for pid in others if cores[pid] >= _LEAST), key=lambda pid: -cores[pid])[:_NAMED]
    return Foreign(
        wall_ns=wall_ns,
        harness_cores=sum(cores[pid] for pid in harness),
        kernel_cores=sum(cores[pid] for pid in kernel),
        busiest=tuple(Busy(after.processes[pid][0], pid, cores[pid]) for pid in busiest),
        holders=tuple(
            Holder(device, after.processes[pid][0], pid, cores[pid]) for pid in others for device in open_accelerators(pid, root)
        ),
    )


def _parent_and_group(pid: int, root: Path) -> tuple[int, int]:
    """Return a process's parent and process group; zeros where it has ended."""
    fields = (text_of(root / f"proc/{pid}/stat") or "").rpartition(")")[2].split()
    return (int(fields[1]), int(fields[2])) if len(fields) > 2 else (0, 0)


def _ancestors(pid: int, parents: Mapping[int, tuple[int, int]]) -> set[int]:
    """Return the processes that a process comes from, as far as they are known."""
    found: set[int] = set()
    while (pid := parents.get(pid, (0, 0))[0]) and pid not in found:
        found.add(pid)
    return found
