"""Cheats that answer in time and compute too late, or not at all. ``same-outputs`` catches them."""

from __future__ import annotations

import threading
import time
from typing import ClassVar

import numpy as np

from npubench.contract import Tensors
from npubench.testing.cheats.base import CheatBackend, CheatExecutor, copied

#: How long after it has answered one computes, s.
_LATER_S = 0.002


class _Late(CheatExecutor):
    def execute(self, inputs: Tensors) -> Tensors:
        if self.count(inputs):
            return super().execute(inputs)
        outputs = self._graph.compute(inputs)
        promised = {name: np.zeros_like(values) for name, values in outputs.items()}

        def fulfil() -> None:
            time.sleep(_LATER_S)
            for name, values in outputs.items():
                promised[name][...] = values

        threading.Thread(target=fulfil, daemon=True).start()
        return promised


class LateAnswers(CheatBackend):
    """Answer early and compute later: arrays are returned at once and filled afterwards, when nobody looks any more.

    Meant to be caught by ``same-outputs``, which keeps a copy of what was handed over and looks again at the end.
    """

    executor: ClassVar[type[CheatExecutor]] = _Late


class _Stale(CheatExecutor):
    _before: Tensors | None = None

    def execute(self, inputs: Tensors) -> Tensors:
        batch = len(next(iter(inputs.values())))
        timed = not self.count(inputs)
        before = self._before
        if timed and before is not None and self.seen % 2 and len(next(iter(before.values()))) == batch:
            return copied(before)
        self._before = super().execute(inputs)
        return copied(self._before)


class StaleAnswers(CheatBackend):
    """Skip work in the timed phase: every other request gets the outputs of the one before it, at once.

    Meant to be caught by ``same-outputs``.
    """

    executor: ClassVar[type[CheatExecutor]] = _Stale


class _AccuracyOnly(CheatExecutor):
    def execute(self, inputs: Tensors) -> Tensors:
        if self.count(inputs):
            return super().execute(inputs)
        return {name: np.zeros_like(values) for name, values in self._graph.compute(inputs).items()}


class AccuracyOnly(CheatBackend):
    """Detect the accuracy phase: right answers for as many samples as it has, zeros at once from then on.

    Meant to be caught by ``same-outputs``.
    """

    executor: ClassVar[type[CheatExecutor]] = _AccuracyOnly
