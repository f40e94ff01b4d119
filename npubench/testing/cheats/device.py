"""Cheats about the device: who does the work, how much of a batch, and what power is called idle."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np

from npubench.contract import Tensors
from npubench.testing.cheats.base import CheatBackend, CheatExecutor

#: How many cores a fall-back keeps busy.
_CORES = 2


class _HostFallback(CheatExecutor):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._pool = ThreadPoolExecutor(_CORES)

    def execute(self, inputs: Tensors) -> Tensors:
        until = time.monotonic_ns() + int((self.law.fixed_us + self.law.per_sample_us) * 1e3)
        for part in [self._pool.submit(_compute, until) for _ in range(_CORES)]:
            part.result()
        return self._graph.compute(inputs)

    def close(self) -> None:
        self._pool.shutdown()
        super().close()


def _compute(until: int) -> None:
    """Keep a core busy, mostly outside of the interpreter."""
    matrix = np.ones(1 << 14, np.float32)
    while time.monotonic_ns() < until:
        np.sin(matrix, out=matrix)


class HostFallback(CheatBackend):
    """Fall back to the CPU while claiming a device, which draws no more than when it idles.

    Meant to be caught by ``host-work``.
    """

    executor: ClassVar[type[CheatExecutor]] = _HostFallback


class _CapsBatch(CheatExecutor):
    def execute(self, inputs: Tensors) -> Tensors:
        batch = len(next(iter(inputs.values())))
        worked = -(-batch // 2)
        outputs = super().execute({name: values[:worked] for name, values in inputs.items()})
        rows = np.minimum(np.arange(batch), worked - 1)
        return {name: np.ascontiguousarray(values[rows]) for name, values in outputs.items()}


class CapsBatch(CheatBackend):
    """Cap the batch: the first half of its rows is computed, the rest repeats the last of them.

    Meant to be caught by ``batch-work``: the rows of a batch drawn anew are not their samples' outputs.
    """

    executor: ClassVar[type[CheatExecutor]] = _CapsBatch


class _HurriesBatch(CheatExecutor):
    def execute(self, inputs: Tensors) -> Tensors:
        alone = len(next(iter(inputs.values()))) == 1
        return super().execute(inputs) if alone else self._graph.compute(inputs)


class HurriesBatch(CheatBackend):
    """Answer a batch out of a table, right and in less time than one sample takes. Meant to be caught by ``batch-work``."""

    executor: ClassVar[type[CheatExecutor]] = _HurriesBatch


class _HotIdle(CheatExecutor):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        with self._lock:
            self._meter.begin(time.monotonic_ns())


class HotIdle(CheatBackend):
    """Sleep through the idle baseline at high power, so that what is subtracted flatters the window.

    From load to close the device draws its active power without serving. Meant to be caught by ``idle-baseline``.
    """

    executor: ClassVar[type[CheatExecutor]] = _HotIdle
