"""Look at many things side by side, each in a process of bounded memory and time that may die without taking anything along."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import FrameType
from typing import Any, TypeVar

#: The most address space of one process, bytes: an allocation that hostile content asks for fails instead of filling the machine.
MAX_ADDRESS_SPACE = 8 << 30
#: The most processor time one thing may take, s.
MAX_CPU_S = 300

#: How many things wait for a process; more would only fill memory.
_AHEAD = 2
#: How many things make a further process worth its start, a second or two of imports.
_WORTH = 16

Thing = TypeVar("Thing")
Found = TypeVar("Found")


def look_at(look: Callable[[Thing], Found], things: Iterable[Thing], processes: int) -> Iterator[tuple[Thing, Found | None]]:
    """Yield each thing with what ``look`` found, in the order they are done; ``None`` where its process died of it.

    Args:
        look: A function of a module, that a fresh interpreter can import.
        things: Looked at in order; taken as processes become free.
        processes: How many; 0 = here, one after the other, without bounds.
    """
    if processes < 1:
        for thing in things:
            yield thing, look(thing)
        return
    waiting = deque(things)
    while waiting:
        pending: dict[Future[Found], Thing] = {}
        with _pool(min(processes, -(-len(waiting) // _WORTH))) as pool:
            try:
                while waiting or pending:
                    while waiting and len(pending) < processes * _AHEAD:
                        pending[pool.submit(_bounded, look, waiting[0])] = waiting[0]
                        waiting.popleft()
                    for done in wait(pending, return_when=FIRST_COMPLETED).done:
                        found = done.result()
                        yield pending.pop(done), found
            except BrokenProcessPool:
                pass
        for thing in pending.values():
            # One of these ended its process, and with it those of the others: each gets one of its own.
            with _pool(1) as alone:
                try:
                    found_alone = alone.submit(_bounded, look, thing).result()
                except BrokenProcessPool:
                    yield thing, None
                else:
                    yield thing, found_alone


def _pool(processes: int) -> ProcessPoolExecutor:
    # Fresh interpreters: forking one that shows progress from a thread can lock up.
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _settle)


def _settle() -> None:
    """Bound a fresh process; an interrupt is its parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, _too_long)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MAX_ADDRESS_SPACE if hard == resource.RLIM_INFINITY else min(hard, MAX_ADDRESS_SPACE)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _bounded(look: Callable[[Any], Any], thing: Any) -> Any:
    signal.setitimer(signal.ITIMER_PROF, MAX_CPU_S)
    try:
        return look(thing)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"takes more than {MAX_CPU_S} s of processor time")
