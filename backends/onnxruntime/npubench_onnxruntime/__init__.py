"""ONNX Runtime as a backend: the CPU, NVIDIA's GPUs, and whichever execution providers are compiled in or plugged in.

A provider other than the CPU runs every operator itself, or the session is refused, unless ``allow_host_operators`` is set;
which operators ran where is taken from the session's own graph assignment.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import ClassVar

from npubench.contract import (
    Artefact,
    Availability,
    Backend,
    Device,
    Executor,
    Model,
    OperatorTime,
    PowerLimit,
    Rung,
    Support,
    Tensors,
)
from npubench_onnxruntime.devices import ON_GPU, list_devices
from npubench_onnxruntime.executor import OnnxRuntimeExecutor
from npubench_onnxruntime.nvml import power_limit
from npubench_onnxruntime.options import SessionOptions
from npubench_onnxruntime.profile import operator_times
from npubench_onnxruntime.session import open_session

__all__ = ["OnnxRuntimeBackend", "OnnxRuntimeExecutor", "SessionOptions"]


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime, whichever build is installed."""

    Options: ClassVar[type] = SessionOptions

    def probe(self) -> Availability:
        """Say which devices the installed build and the plug-in providers have."""
        try:
            return list_devices(importlib.import_module("onnxruntime"))
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime":
                return Availability(
                    Rung.NOT_INSTALLED,
                    "onnxruntime is not installed",
                    "pip install 'npubench-onnxruntime[cpu]', or [cuda] for a GPU",
                )
            return Availability(
                Rung.SDK_BROKEN,
                f"onnxruntime cannot be used: {type(error).__name__}: {error}",
                "keep one build of onnxruntime in this environment and install it again: they overwrite each other",
            )

    def supports(self, model: Model, device: Device) -> Support:
        """Say that ORT runs what it is given: it has no quantiser of its own for the precision ``vendor``."""
        if model.precision == "vendor":
            return Support(False, "ONNX Runtime has no quantiser of its own; int8 is the variant made with its tools")
        return Support(True)

    def load(self, artefact: Artefact, device: Device, options: SessionOptions) -> Executor:
        """Open a session on one device."""
        return OnnxRuntimeExecutor(open_session(artefact, device, options), device, options)

    def power_limit(self, device: Device) -> PowerLimit | None:
        """Return the limit of the GPU behind a ``cuda`` or ``tensorrt`` device; other devices have none that is known here."""
        pci = device.details.get("pci", "")
        return power_limit(pci) if pci and device.details.get("provider") in ON_GPU.values() else None

    def profile(
        self, artefact: Artefact, device: Device, options: SessionOptions, inputs: Sequence[Tensors]
    ) -> Sequence[OperatorTime] | None:
        """Return operators with their times from ONNX Runtime's own trace.

        Raises:
            Unsupported: The device's provider queues its work: what the trace has of it is no time of the device.
        """
        return operator_times(artefact, device, options, inputs)
