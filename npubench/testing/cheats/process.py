"""Cheats that reach for what is not theirs: clocks, LoadGen, files of the bundle, time after close.

They reach the harness's modules by name, as a plug-in that shares its process can, and import nothing of it.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from npubench.contract import Artefact, Device, Executor, Model, Support
from npubench.testing.cheats.base import CheatBackend, CheatExecutor

_WORKS_ON_S = 30.0


def _halved(clock: Callable[[], int]) -> Callable[[], int]:
    """Return a clock that runs at half the pace of another, and begins with it."""
    start = clock()
    return lambda: start + (clock() - start) // 2


class BendsClock(CheatBackend):
    """Patch Python's clock: ``time.monotonic_ns`` runs at half its pace. Meant to be caught by ``own-process``."""

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        """Load, and bend the clock."""
        executor = super().load(artefact, device, options)
        time.monotonic_ns = _halved(time.monotonic_ns)
        return executor


class BendsHarness(CheatBackend):
    """Patch the harness: what stamps the columns runs at half its pace. Meant to be caught by ``own-process``."""

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        """Load, and bend the harness's clock where it has one."""
        executor = super().load(artefact, device, options)
        dispatch: Any = sys.modules.get("npubench.measure.dispatch")
        if dispatch is not None:
            dispatch._now = _halved(dispatch._now)
        return executor


class BendsLoadGen(CheatBackend):
    """Patch LoadGen: a completion passes through the plug-in's hands. Meant to be caught by ``own-process``."""

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        """Load, and replace LoadGen's function where it is there."""
        executor = super().load(artefact, device, options)
        loadgen: Any = sys.modules.get("mlperf_loadgen")
        if loadgen is not None:
            complete = loadgen.QuerySamplesComplete
            loadgen.QuerySamplesComplete = lambda responses: complete(responses)
        return executor


class ReadsAnswers(CheatBackend):
    """Open the bundle's ``labels.npz`` and ``reference.npz``, which only the judge needs.

    Meant to be caught by ``own-process``.
    """

    def supports(self, model: Model, device: Device) -> Support:
        """Say yes, and look the answers up."""
        for path in (model.path.parents[1] / "labels.npz", model.path.parent / "reference.npz"):
            with contextlib.suppress(OSError):
                path.read_bytes()
        return Support(True)


class _WorksOn(CheatExecutor):
    def close(self) -> None:
        super().close()
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        until = time.monotonic() + _WORKS_ON_S
        while time.monotonic() < until:
            pass


class WorksOn(CheatBackend):
    """Go on working after ``close``. Meant to be caught by ``own-process``, which looks at the rest after it."""

    executor: ClassVar[type[CheatExecutor]] = _WorksOn
