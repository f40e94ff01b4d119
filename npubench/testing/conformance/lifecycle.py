"""Does it load, close, load again, and survive an end without warning? Does it keep what it should give back?"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from npubench.contract.backend import Executor, Tensors, submits
from npubench.measure.events import words
from npubench.testing.conformance.compare import OTHER, difference
from npubench.testing.conformance.fresh import end_abruptly
from npubench.testing.conformance.subject import Subject
from npubench.testing.conformance.verdict import Broken, Check, NotApplicable, Noted
from npubench.testing.conformance.waiting import Wait

#: Below this, growth is an allocator's own: arenas of the C library are 64 MiB apart, but fill page by page.
_GROWTH_BYTES = 16 << 20
_GROWTH_A_QUERY = 1024

#: How long the queries of the memory check may go on, s.
_LONGEST_S = 30.0

#: How often it is loaded and closed to see what stays behind.
_CYCLES = 4


def _notes(subject: Subject) -> str:
    request = subject.inside.requests[0]
    with subject.open() as executor:
        executor.execute(request)
        notes = executor.notes()
    if not isinstance(notes, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in notes.items()):
        raise Broken(f"notes returns {notes!r:.200}, not a mapping of texts")
    return ", ".join(notes) or "none"


def _close(subject: Subject) -> str:
    request = subject.inside.requests[0]
    executor = subject.open()
    executor.execute(request)
    executor.close()
    executor.close()
    unused = subject.open()
    unused.close()
    return "after a request twice, and at once after load"


def _reload(subject: Subject) -> str:
    inside = subject.inside
    for n in range(2):
        with subject.open() as executor:
            far = difference(executor.execute(inside.requests[0]), inside.answers[0])
            if far > OTHER:
                raise Broken(f"loaded for the {('second', 'third')[n]} time it answers {far:.3g} apart (relative L2)")
    return "loaded three times in one process, with the same answer"


def _leftovers(subject: Subject) -> str:
    request = subject.inside.requests[0]
    counts = []
    for _ in range(_CYCLES):
        with subject.open() as executor:
            executor.execute(request)
        del executor
        gc.collect()
        counts.append((_entries("task"), _entries("fd")))
    for n, what in enumerate(("threads", "open files")):
        growth = counts[-1][n] - counts[0][n]
        if growth >= _CYCLES - 1:
            raise Broken(f"{growth} more {what} after {_CYCLES - 1} more times of load and close")
    return f"{counts[-1][0]} threads and {counts[-1][1]} open files after {_CYCLES} times of load and close"


def _entries(of: str) -> int:
    try:
        return len(os.listdir(f"/proc/self/{of}"))  # noqa: PTH208 - /proc has no use for Path
    except OSError:
        raise NotApplicable("this system has no /proc to count by") from None


def _memory(subject: Subject) -> str:
    inside, queries = subject.inside, subject.order.queries
    third = max(1, queries // 4)
    begun = time.monotonic()
    with subject.open() as executor:
        wait = Wait(subject.order.patience_s) if submits(executor) else None
        sizes: list[int] = []
        served = 0
        for _ in range(4):
            for n in range(third):
                if n % 16 == 0 and time.monotonic() - begun > _LONGEST_S / 4 * (len(sizes) + 1):
                    break
                _serve(executor, inside.requests[n % len(inside.requests)], wait)
                served += 1
            gc.collect()
            sizes.append(_resident_bytes())
    steps = [after - before for before, after in pairwise(sizes)]
    growth = sizes[-1] - sizes[0]
    counted = max(1, served * 3 // 4)
    text = f"{growth / 2**20:.1f} MiB over {counted} queries after {served - counted} to warm up"
    if growth > _GROWTH_BYTES and growth > _GROWTH_A_QUERY * counted and min(steps) > growth / 10:
        raise Broken(f"{text}, still growing: {growth / counted / 1024:.1f} KiB a query")
    return text


def _serve(executor: Executor, request: Tensors, wait: Wait | None) -> None:
    if wait is None:
        executor.execute(request)
        return
    wait.submit(executor, request)
    wait.calls.clear()


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        raise NotApplicable("this system has no /proc to look at memory by") from None


def _restart(subject: Subject) -> str:
    if not subject.work.is_dir():
        raise NotApplicable("there is no folder to keep the answer in")
    subject.artefact  # noqa: B018 - without one there is nothing to load, here or there
    kept = subject.work / "abrupt.npz"
    try:
        before = end_abruptly(subject.order, kept)
    except RuntimeError as error:
        raise Broken(f"a fresh process does not get to an answer: {error}") from error
    finally:
        kept.unlink(missing_ok=True)
    try:
        request = subject.inside.requests[0]
        with subject.open() as executor:
            far = difference(executor.execute(request), before)
    except Exception as error:
        raise Broken(f"after a process that ended without closing, it no longer loads: {words(error)}") from error
    if far > OTHER:
        raise Broken(f"after a process that ended without closing, it answers {far:.3g} apart (relative L2)")
    if far:
        raise Noted(f"after a process that ended without closing, it loads; its answers differ in their last bits ({far:.2g})")
    return "a process ended in the middle of a request without closing; the next one loads and answers alike"


CHECKS = (
    Check(
        "lifecycle/notes",
        "notes returns a mapping of texts.",
        "Turn every value into text.",
        "executor",
        _notes,
    ),
    Check(
        "lifecycle/close",
        "close may be called twice, and before any request.",
        "Let the second close find nothing to do.",
        "executor",
        _close,
    ),
    Check(
        "lifecycle/reload",
        "After close the same process can load again, with the same answers.",
        "Release every handle of the device in close; keep nothing at module level.",
        "executor",
        _reload,
    ),
    Check(
        "lifecycle/leftovers",
        "Threads and open files go when an executor is closed.",
        "Join the threads and close the contexts that load made.",
        "executor",
        _leftovers,
    ),
    Check(
        "lifecycle/memory",
        "Memory does not grow with the number of queries.",
        "Free the runtime's requests and buffers; keep no list of what was answered.",
        "executor",
        _memory,
    ),
    Check(
        "lifecycle/restart",
        "After a process that ended without closing, a fresh one loads and answers the same.",
        "Depend on no lock file and no state of the device that only close puts right.",
        "executor",
        _restart,
        fresh=True,
        deadline_s=300.0,
    ),
)
