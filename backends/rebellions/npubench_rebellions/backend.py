"""The backend: options, and the way from a model or a ready file to an executor."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Model, Sensor
from npubench_rebellions import artefact as rbln
from npubench_rebellions import presence
from npubench_rebellions.compiler import compile_onnx
from npubench_rebellions.executor import AsyncExecutor, SyncExecutor
from npubench_rebellions.sensors import sensors

#: The runtime takes its time-out as a C int.
_LONGEST_S = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RebellionsOptions:
    """Options of compiler and runtime.

    Args:
        asynchronous: Run by ``AsyncRuntime``, which alone takes several requests at once.
        in_flight: Requests at once; above 1 with ``asynchronous``.
        parallel: Threads that prepare inputs in ``AsyncRuntime``; not how many requests are in flight.
        batch: The batch the compiler fixes; a smaller one is filled up with zeros. 1 with ``asynchronous``.
        num_devices: NPUs that run one artefact together, counted from the target's device.
        timeout_s: After how long the runtime gives a request up, s.
        any_compiler: Take a ready artefact of another rebel-compiler release.
    """

    asynchronous: bool = False
    in_flight: int = 1
    parallel: Literal[1, 2] = 1
    batch: int = 1
    num_devices: int = 1
    timeout_s: int = 60
    any_compiler: bool = False

    def __post_init__(self) -> None:
        for name in ("in_flight", "batch", "num_devices", "timeout_s"):
            if not 1 <= getattr(self, name) <= _LONGEST_S:
                raise ValueError(f"{name}: {getattr(self, name)} is not at least 1")
        if not self.asynchronous and (self.in_flight > 1 or self.parallel > 1):
            raise ValueError("in_flight and parallel above 1 need asynchronous = true: rebel.Runtime takes one request at a time")
        if self.asynchronous and self.batch > 1:
            raise ValueError(f"batch: {self.batch}; rebel.AsyncRuntime takes one sample a request, so set batch = 1")


class RebellionsBackend(Backend):
    """Rebellions ATOM and REBEL NPUs, by ``rebel-compiler``."""

    Options: ClassVar[type] = RebellionsOptions

    def probe(self) -> Availability:
        """Say which NPUs ``rbln-smi`` lists, or what is missing."""
        return presence.look()

    def compile(self, model: Model, device: Device, options: RebellionsOptions, work: Path) -> Artefact:
        """Compile the ONNX file for the device's chip."""
        rebel = importlib.import_module("rebel")
        return compile_onnx(rebel, model, device, options.batch, options.num_devices, work)

    def compile_key(self, device: Device, options: RebellionsOptions) -> str:
        """Return compiler, version, chip, batch and number of NPUs: what else there is matters to the runtime alone."""
        version = presence.sdk_version(importlib.import_module("rebel"))
        return f"rebel-compiler {version}; npu {device.kind}; batch {options.batch}; num_devices {options.num_devices}"

    def load(self, artefact: Artefact, device: Device, options: RebellionsOptions) -> Executor:
        """Check what the file was made for, then open a runtime on the device."""
        rebel = importlib.import_module("rebel")
        found = rbln.describe(rebel, artefact.path)
        version = presence.sdk_version(rebel)
        rbln.check(found, device, version, options.num_devices, options.any_compiler, options.asynchronous)
        first = presence.index_of(device)
        settings: dict[str, Any] = {
            "device": first if options.num_devices == 1 else list(range(first, first + options.num_devices)),
            "tensor_type": "np",
            "timeout": options.timeout_s,
        }
        path = str(artefact.path)
        notes = rbln.as_dict(found, artefact)
        if options.asynchronous:
            notes["runtime"] = f"AsyncRuntime, parallel {options.parallel}"
            return AsyncExecutor(
                lambda: rebel.AsyncRuntime(path, parallel=options.parallel, **settings),
                found,
                options.in_flight,
                options.timeout_s,
                notes,
            )
        return SyncExecutor(lambda: rebel.Runtime(path, **settings), found, notes | {"runtime": "Runtime"})

    def sensors(self, device: Device) -> Sequence[Sensor]:
        """Return card power, die temperature and thermal throttling, as ``rbln-smi`` tells them."""
        return sensors(device, presence.index_of(device))
