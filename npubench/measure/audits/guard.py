"""Watch over the worker's process from before the plug-in is loaded: what is the harness's own stays as it was.

Three watches: functions of Python's clocks, of LoadGen and of the harness, by identity and by code; files of the bundle that
Python code opens, by an audit hook; and files of the bundle that anything in this process opens, by the kernel's fanotify.
A plug-in shares the process and could undo any one of them; it would have to undo all at once, and LoadGen's clock besides.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlperf_loadgen

from npubench.contract.bundle import Bundle
from npubench.measure.audits import kernel_clock
from npubench.measure.audits.opened import OpenedFiles

#: Python's functions that tell or take time. What stamps the columns is looked at among the harness's own names.
_CLOCKS = ("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "time", "time_ns", "sleep", "process_time")

#: Whose functions are the harness's own.
_OWN = ("npubench.measure", "npubench.contract")

#: How many opened paths are kept: a plug-in that opens more has been told of often enough.
_MOST_OPENED = 100_000

#: Names the audit's verdict shows; more do not help.
MOST_NAMES = 20

#: Values that are the same where they are equal.
_PLAIN = (bool, int, float, str, bytes, tuple, frozenset)


class Guard:
    """The watches of one worker. Make it before any plug-in code is imported.

    Attributes:
        changed: Names that were found replaced so far.
    """

    def __init__(self) -> None:
        self.changed: dict[str, None] = {}
        self._before = snapshot()
        self._opened: list[tuple[str, int]] = []
        self._harness = 0
        self._bundle: Bundle | None = None
        self._kernel: OpenedFiles | None = None
        self._measured: dict[str, int] = {}
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note a file that Python code opens; called for every audited event of the interpreter, so most leave at once."""
        if event == "open" and len(self._opened) < _MOST_OPENED and isinstance(arguments[0], str | bytes):
            thread = threading.get_ident()
            if thread != self._harness:
                self._opened.append((os.fsdecode(arguments[0]), thread))

    @contextlib.contextmanager
    def own(self) -> Iterator[None]:
        """Leave out what this thread opens meanwhile: it is the harness that opens it."""
        before, self._harness = self._harness, threading.get_ident()
        paused = self._kernel.pause() if self._kernel else contextlib.nullcontext()
        try:
            with paused:
                yield
        finally:
            self._harness = before

    def watch(self, bundle: Bundle) -> None:
        """Watch the files of a bundle that a plug-in has no need to open."""
        self._bundle = bundle
        self._kernel = OpenedFiles([bundle.root / name for name in foreign_files(bundle)])

    def begin(self) -> None:
        """Look before the measured window."""
        self.look()
        self._measured = {"kernel_start_ns": kernel_clock.monotonic_ns() or 0}

    def end(self) -> None:
        """Look after the measured window."""
        self._measured["kernel_end_ns"] = kernel_clock.monotonic_ns() or 0
        self.look()

    def look(self) -> None:
        """Note what is no longer as it was."""
        after = snapshot()
        for name, value in self._before.items():
            if not _same(value, after.get(name)):
                self.changed[name] = None

    def observations(self) -> dict[str, Any]:
        """Return what the watches saw, as plain JSON values."""
        self.look()
        return {
            "looked_at": len(self._before),
            "changed": list(self.changed)[:MOST_NAMES],
            "clock_off_ns": kernel_clock.clock_off_ns(),
            **self._measured,
            "opened": self._opened_of_bundle()[:MOST_NAMES],
            "opens_watched": "kernel" if self._kernel and self._kernel.watching else "python",
        }

    def _opened_of_bundle(self) -> list[str]:
        """Return the bundle's files that were opened without need, by their names in it."""
        if self._bundle is None:
            return []
        root = os.path.realpath(self._bundle.root)
        foreign = set(foreign_files(self._bundle))
        found: dict[str, None] = {}
        for path, _ in self._opened:
            name = os.path.relpath(os.path.realpath(path), root)
            if name in foreign:
                found[name] = None
        for path in self._kernel.opened() if self._kernel else ():
            found[os.path.relpath(os.path.realpath(path), root)] = None
        return list(found)


def foreign_files(bundle: Bundle) -> list[str]:
    """Return the files of a bundle that no plug-in needs: samples, labels, and what the reference answers.

    It is handed the model and the calibration samples by path, and every other sample by ``execute``.
    """
    return [
        name for name in bundle.files if name == "labels.npz" or name.startswith("inputs/") or Path(name).name == "reference.npz"
    ]


def snapshot() -> dict[str, object]:
    """Return every name that must stay what it is: Python's clocks, LoadGen's functions, the harness's own."""
    found: dict[str, object] = {f"time.{name}": getattr(time, name, None) for name in _CLOCKS}
    found |= {f"mlperf_loadgen.{name}": value for name, value in vars(mlperf_loadgen).items() if callable(value)}
    for name, module in list(sys.modules.items()):
        if name.startswith(_OWN) and isinstance(module, types.ModuleType):
            for key, value in list(vars(module).items()):
                if not key.startswith("__"):
                    found |= _parts(f"{name}.{key}", value, name)
    return found


def _parts(name: str, value: object, module: str) -> dict[str, object]:
    """Return a name's value; of a function its code beside it, of a class of this module its members as well."""
    if isinstance(value, types.FunctionType):
        return {name: value, f"{name}()": value.__code__}
    if isinstance(value, type) and value.__module__ == module:
        found: dict[str, object] = {name: value}
        for key, member in list(vars(value).items()):
            inner = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(inner, types.FunctionType):
                found |= {f"{name}.{key}": inner, f"{name}.{key}()": inner.__code__}
        return found
    # A constant counts by its value; what changes in the course of a run, such as a cache, does not count at all.
    steady = callable(value) or isinstance(value, (*_PLAIN, types.ModuleType))
    return {name: value} if steady else {}


def _same(before: object, after: object) -> bool:
    """Return whether a name still stands for the same thing: itself, or an equal constant."""
    if before is after:
        return True
    return isinstance(before, _PLAIN) and type(before) is type(after) and before == after
