"""A device that does nothing: what is then measured is the harness itself. Computes no outputs and reads no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Rung, Tensors, TensorSpec

#: How a target names it. It is no entry point: nobody runs a suite on it.
ENTRY = "npubench.testing.null:NullBackend"
DEVICE = "null"


@dataclass(frozen=True, slots=True)
class NullOptions:
    """Options of the null device: how many requests it takes at once."""

    in_flight: int = 1


class NullExecutor(Executor):
    """Return the same zeros for every request, in the shape of the probe workload's output."""

    inputs = (TensorSpec("x", "float32", (None, 16)),)
    outputs = (TensorSpec("y", "float32", (None, 8)),)

    def __init__(self, options: NullOptions) -> None:
        self.max_in_flight = options.in_flight
        self._ready: dict[int, dict[str, np.ndarray[Any, Any]]] = {}

    def execute(self, inputs: Tensors) -> Tensors:
        """Return zeros for the batch, made once a batch size."""
        batch = len(inputs["x"])
        if batch not in self._ready:
            self._ready[batch] = {"y": np.zeros((batch, 8), np.float32)}
        return self._ready[batch]


class NullBackend(Backend):
    """The plug-in of the null device."""

    Options: ClassVar[type] = NullOptions

    def probe(self) -> Availability:
        """Always ready."""
        return Availability(Rung.READY, devices=(Device(DEVICE, "SIMULATED null", simulated=True, host=True),))

    def load(self, artefact: Artefact, device: Device, options: NullOptions) -> Executor:
        """Load nothing."""
        return NullExecutor(options)
