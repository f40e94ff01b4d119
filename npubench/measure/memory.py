"""Look from outside how much memory a worker holds, whenever it tells something anyhow. Standard library and numpy.

The supervisor wakes for a worker's events: a phase begins, and once a second it says how far it is. Those wake-ups are used and
no other, the worker does nothing for it, and a plug-in in the worker cannot touch what was read. One reading takes the supervisor
one or two tenths of a millisecond.

Counted is what a process holds for itself: ``RssAnon``, ``RssShmem`` and ``VmSwap`` of ``/proc/PID/status`` (proc(5)). Mapped
files are not, since samples and models are mapped and their pages come and go with the kernel's page cache. ``status`` and not
``smaps_rollup``, though it is rougher: it takes no lock that the worker's own page faults wait for. Its counters may be off by
some pages a thread or core, which does not add up over time.

A plug-in may have processes of its own. Those that belong to the worker's process group or come from it are looked for as each
phase up to warm-up begins, since that reads all of ``/proc``: nothing of it falls into the window, or delays the hearing of where
the window begins. What is started later is therefore missing, and so are those beyond :data:`MOST_MEMBERS`. What processes hold
anonymously is added up (pages shared by fork count twice); of shared memory the largest holder's counts, as processes share it
with each other. Memory on the device is not among it: no process of the host holds that.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.runspec import Phase
from npubench.measure.surroundings import ROOT, text_of
from npubench.measure.trace import Column, read_arrays

#: The file beside a record, and its version.
MEMORY = "memory.npz"
MEMORY_VERSION = 1

#: Why there is no reading.
NEVER = "the worker ended before its memory was read"
UNTOLD = "the kernel does not tell how much memory of its own the worker holds"

#: Events that come when something has just been done, and the one that comes once a second.
_TURNS, _BEAT = ("phase", "finished", "failed"), "progress"
#: As these begin, processes of the worker's own are looked for.
_LOOKED = {phase.value for phase in (Phase.COMPILE, Phase.LOAD_EXECUTOR, Phase.ACCURACY, Phase.WARM_UP)}

#: A worker that sends more than it should is not followed: at least so long between two beats, and at most so many readings.
_BEAT_NS = 500_000_000
MOST_READINGS = 20_000
#: More processes than this take too long to read once a second.
MOST_MEMBERS = 64

_HELD = re.compile(r"^(RssAnon|RssShmem|VmSwap):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MemoryTrack:
    """A worker's memory over time, in order.

    Args:
        times_ns: When it was read, monotonic clock, ``int64[n]``.
        held: What was held then, bytes, ``int64[n]``.
        phase: Index into ``phases``: what it was doing until then, ``int64[n]``.
        processes: How many processes that was, ``int64[n]``.
        phases: Names of phases; ``start`` before the first.
        reason: Why there is no reading; empty where there is one.
    """

    times_ns: Column
    held: Column
    phase: Column
    processes: Column
    phases: tuple[str, ...]
    reason: str = ""


@dataclass(slots=True)
class MemoryWatch:
    """Reads a worker's memory at its events.

    Args:
        worker: The worker's process id, which is its process group's as well.
        root: The machine.
    """

    worker: int
    root: Path = ROOT
    _phases: list[str] = field(default_factory=lambda: ["start"])
    _members: tuple[int, ...] = ()
    _tried: bool = False
    _columns: tuple[array[int], ...] = field(default_factory=lambda: tuple(array("q") for _ in range(4)))

    def take(self, event: Mapping[str, Any]) -> None:
        """Read, where the event is one to read at."""
        kind = event["event"]
        times = self._columns[0]
        now = time.monotonic_ns()
        if (kind not in _TURNS and kind != _BEAT) or len(times) >= MOST_READINGS:
            return
        if kind == _BEAT and times and now - times[-1] < _BEAT_NS:
            return
        if kind == "phase" and event["phase"] in _LOOKED:
            self._members = members(self.worker, self.root)
        self._tried = True
        found = [each for pid in (self.worker, *self._members) if (each := held(pid, self.root)) is not None]
        if found:
            whole = sum(own for own, _ in found) + max(shared for _, shared in found)
            for column, value in zip(self._columns, (now, whole, len(self._phases) - 1, len(found)), strict=True):
                column.append(value)
        if kind == "phase":
            self._phases.append(str(event["phase"])[:40])

    def write(self, folder: Path) -> None:
        """Write ``memory.npz``; a folder that takes nothing more costs the figures, not the run."""
        reason = "" if len(self._columns[0]) else UNTOLD if self._tried else NEVER
        header = json.dumps({"version": MEMORY_VERSION, "phases": self._phases, "reason": reason})
        arrays = dict(zip(("times_ns", "held", "phase", "processes"), self._columns, strict=True))
        stored: dict[str, np.ndarray[Any, Any]] = {name: np.array(values, dtype=np.int64) for name, values in arrays.items()}
        with contextlib.suppress(OSError):
            # What a plug-in left under that name is not written through.
            (folder / MEMORY).unlink(missing_ok=True)
            stored["header"] = np.frombuffer(header.encode(), dtype=np.uint8)
            np.savez_compressed(folder / MEMORY, **stored)  # type: ignore[arg-type]  # allow_pickle is not among them


def held(pid: int, root: Path = ROOT) -> tuple[int, int] | None:
    """Return what a process holds for itself, swapped out included, and of shared memory, bytes; ``None`` where untold."""
    found = {name: int(kilobytes) << 10 for name, kilobytes in _HELD.findall(text_of(root / f"proc/{pid}/status") or "")}
    if "RssAnon" not in found:
        return None
    return found["RssAnon"] + found.get("VmSwap", 0), found.get("RssShmem", 0)


def members(worker: int, root: Path = ROOT) -> tuple[int, ...]:
    """Return the processes that belong to a worker's process group or come from it, the lowest ids first, without the worker."""
    parents: dict[int, int] = {}
    found = {worker}
    with contextlib.suppress(OSError):
        for name in os.listdir(root / "proc"):  # noqa: PTH208 - some thousand names
            # The command's name stands in parentheses and may hold any character; parent and group are fields 4 and 5.
            fields = (text_of(root / f"proc/{name}/stat") or "").rpartition(")")[2].split() if name.isdigit() else []
            if len(fields) > 2:
                parents[int(name)] = int(fields[1])
                if int(fields[2]) == worker:
                    found.add(int(name))
    grown = True
    while grown:
        there = {pid for pid, parent in parents.items() if parent in found} - found
        found |= there
        grown = bool(there)
    return tuple(sorted(found - {worker}))[:MOST_MEMBERS]


def read_memory(path: Path) -> MemoryTrack:
    """Read ``memory.npz``.

    Raises:
        ValueError: It is damaged, or of a newer version.
        OSError: It cannot be opened.
    """
    stored = read_arrays(path)
    try:
        header = json.loads(bytes(stored["header"]).decode())
        if header["version"] != MEMORY_VERSION:
            raise ValueError(f"{path}: memory version {header['version']}, this npubench reads {MEMORY_VERSION}")
        times, amounts, phase, count = columns = tuple(stored[name] for name in ("times_ns", "held", "phase", "processes"))
        phases, reason = tuple(map(str, header["phases"])), str(header["reason"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged ({error})") from error
    if any(column.ndim != 1 or column.dtype != np.int64 or column.shape != times.shape for column in columns):
        raise ValueError(f"{path}: damaged (its columns contradict each other)")
    if len(times) and (np.any(np.diff(times) < 0) or amounts.min() < 0 or not 0 <= phase.min() <= phase.max() < len(phases)):
        raise ValueError(f"{path}: damaged (a column holds what no supervisor wrote)")
    return MemoryTrack(times, amounts, phase, count, phases, reason)
