"""The contract a plug-in implements: Backend, Executor, Sensor.

Vendors execute, the harness measures: nothing here is handed a clock, and no plug-in reads one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np

from npubench.contract.artefact import Artefact, Model, Offload, Support
from npubench.contract.availability import Availability, Device
from npubench.contract.options import NoOptions
from npubench.contract.power_limit import PowerLimit
from npubench.contract.profile import OperatorTime
from npubench.contract.tensors import TensorSpec

#: The version of this contract. A plug-in built for another one is refused at load.
CONTRACT_VERSION = 1

#: Tensor name → array. Positional runtimes use the names of their own TensorSpecs, in order.
Tensors = Mapping[str, "np.ndarray[Any, Any]"]

#: What ``submit`` calls once per request: outputs, or the exception that ended it.
Done = Callable[["Tensors | None", "BaseException | None"], None]


class Sensor(ABC):
    """One quantity of a device that can be read while it works.

    Attributes:
        name: Unique among a device's sensors, such as ``"card power"``.
        kind: ``"energy"`` (a counter, µJ), ``"power"`` (mW), ``"temperature"`` (m°C),
            ``"clock"`` (Hz), ``"utilisation"`` (ppm) or ``"throttle"`` (0 or 1).
        domain: What it covers: ``"chip"``, ``"card"``, ``"board"``, ``"host"`` or ``"wall"``. Sensors of one kind and one
            domain are parts of it and are added up; one that every die of a card repeats has one name.
        update_period_ns: How often the value changes, ns; ``None`` where the vendor does not say.
        quantum: The smallest step of the value, in the unit of ``kind``; ``None`` if unknown.
        wraps_at: For a counter, the value at which it starts again from 0; ``None`` if it does not.
        averages: For a gauge, whether it shows the mean over its last update period (``True``) or the value at its last
            update (``False``); ``None`` where the vendor does not say.
    """

    name: str
    kind: str
    domain: str
    update_period_ns: int | None = None
    quantum: int | None = None
    wraps_at: int | None = None
    averages: bool | None = None

    @abstractmethod
    def read(self) -> int | None:
        """Return the value now, in the unit of ``kind``; ``None`` = no value now, never 0 for "unknown"."""


class Executor(ABC):
    """An artefact loaded on a device and ready to run; a context manager.

    Attributes:
        inputs: What ``execute`` takes, in the runtime's own order.
        outputs: What ``execute`` returns, in the runtime's own order.
        max_batch: The largest leading axis ``execute`` takes; ``None`` = any.
        max_in_flight: How many requests it can hold at once: threads in ``execute``, or accepted by
            ``submit`` and not yet done. The harness never exceeds it.
    """

    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    max_batch: int | None = None
    max_in_flight: int = 1

    @abstractmethod
    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request, host memory to host memory, and return when its outputs are there.

        Args:
            inputs: Every tensor of ``self.inputs`` by name; C-contiguous, of the declared dtype,
                leading axis 1…max_batch. They are read-only and may be reused after the return.

        Returns:
            Every tensor of ``self.outputs`` by name. The arrays belong to the caller: the
            executor must not write to them again.

        Raises:
            Exception: Any exception fails the run, with its class and text in the record.
        """

    def submit(self, inputs: Tensors, done: Done) -> None:
        """Hand in one request and return; call ``done(outputs, None)`` or ``done(None, error)`` once.

        Optional: implement it where the runtime completes natively, from a thread of its own. ``done`` may
        be called from any thread, also before ``submit`` returns. ``inputs`` stay valid until ``done`` is
        called; outputs must be the caller's to keep. The device slot is free before ``done`` is called.
        """
        raise NotImplementedError

    def offload(self) -> Offload | None:
        """Return which operators run on the device; ``None`` = cannot tell."""
        return None

    def notes(self) -> Mapping[str, str]:
        """Return what the runtime says of itself, such as device-side timings.

        Shown beside the harness's figures, never instead of them.
        """
        return {}

    def close(self) -> None:  # noqa: B027 - most executors have nothing to release
        """Release the device. Called once, after every request is done; a second call does nothing."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def submits(executor: Executor) -> bool:
    """Return whether ``executor`` brings its own ``submit``."""
    return type(executor).submit is not Executor.submit


class Backend(ABC):
    """The plug-in for one vendor runtime. Three methods are required: ``probe``, ``load`` and ``Executor.execute``."""

    #: The contract version this plug-in is written for.
    contract: ClassVar[int] = CONTRACT_VERSION
    #: A frozen dataclass of this backend's options; unknown keys are an error. A field ``allow_host_operators: bool = False``
    #: is how a user asks for operators on the host CPU; without it, a run with such operators is invalid.
    Options: ClassVar[type] = NoOptions

    @abstractmethod
    def probe(self) -> Availability:
        """Say how far this machine is from running. Never raises; cheap; opens no device for long."""

    @abstractmethod
    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        """Load an artefact on a device.

        Args:
            artefact: What ``compile`` returned, or a ready artefact from the vendor.
            device: One of the devices ``probe`` named.
            options: An instance of ``self.Options``.

        Raises:
            WrongArtefact: It is for another chip, of another compiler version, or no artefact of this runtime.
            Unsupported: A runtime that compiles at load refuses the model; the text is its own.
        """

    def supports(self, model: Model, device: Device) -> Support:
        """Say whether a model can run at all; asked before ``compile``."""
        return Support(True)

    def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
        """Compile a model into the empty folder ``work``. The default hands the ONNX file on.

        Raises:
            Unsupported: The compiler refuses the model; the text is the compiler's own.
        """
        return Artefact(path=model.path, format="onnx")

    def compile_key(self, device: Device, options: Any) -> str:
        """Return what, beside the model, decides the artefact: compiler, its version, options that matter to it.

        Artefacts are cached by this text, the model's digest, the calibration digest and the device kind.
        The default covers all options.
        """
        return repr(options)

    def sensors(self, device: Device) -> Sequence[Sensor]:
        """Return the device's sensors; called in the sampler's process, not in the worker's."""
        return ()

    def power_limit(self, device: Device) -> PowerLimit | None:
        """Return the limit on the device's power; ``None`` where it has none or the SDK does not show it.

        Called in the worker's process, and in a small one of its own where a worker died before it had put a limit back.
        """
        return None

    def profile(
        self, artefact: Artefact, device: Device, options: Any, inputs: Sequence[Tensors]
    ) -> Sequence[OperatorTime] | None:
        """Run requests with the runtime's profiler on, and say how long each operator took; ``None`` where it has none.

        Called in a process of its own, after a run whose user asked for it; its times stand beside the run's figures, never
        instead of them. Run a few requests first that count nowhere, since the first of all is a slow one; then each of
        ``inputs`` once, one after the other. Files that the runtime writes go where :mod:`tempfile` puts them.

        Args:
            artefact: What the run had.
            device: One of the devices ``probe`` named; no executor is open on it.
            options: An instance of ``self.Options``.
            inputs: Requests as ``execute`` takes them.

        Raises:
            Unsupported: The runtime has a profiler, and this device, model or option does without; the text says why.
            Exception: Any other one becomes the reason why there are no times; the run stays what it is.
        """
        return None
