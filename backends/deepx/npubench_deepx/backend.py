"""The backend: options, and the way from a ready ``.dxnn`` file to an executor."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from npubench.contract import (
    Artefact,
    Availability,
    Backend,
    Device,
    Executor,
    Model,
    Sensor,
    Support,
    Unsupported,
    WrongArtefact,
)
from npubench_deepx import presence
from npubench_deepx.executor import AsyncDxnnExecutor, DxnnExecutor, count_tasks
from npubench_deepx.sensors import sensors
from npubench_deepx.tensors import input_slots, output_slots

#: What ``InferenceOption.buffer_count`` is by itself, and at most (DX-RT 3).
_BUFFERS, _MOST_BUFFERS = 6, 100

_VERSION = re.compile(r"Model Ver\.?\s*:\s*(\S+)")


@dataclass(frozen=True, slots=True)
class DeepxOptions:
    """Options of the engine.

    Args:
        bound: Cores that run the model: all three, one, or two.
        buffers: Buffers of the engine, 1…100. With ``asynchronous``, one fewer requests are in flight.
        asynchronous: Run by ``run_async``, which alone takes several requests at once.
        allow_host_operators: Let ONNX Runtime run, on the host CPU, what the file leaves to it. Such a run is labelled and
            never ranked.
        batch_axis: Whether the axis of length one is dropped from inputs; ``auto`` by what the file says.
        layout: Layout of image inputs; ``auto`` by where the colour channels are.
        input_scale: What one step of the input stands for in the workload's values, such as 0.00392156862745098 for bytes of
            an image in 0…1; one, or one a channel. Empty: samples are handed over as they are.
        input_zero_point: The step that stands for 0; one, or one a channel. Empty: 0.
    """

    bound: Literal["NPU_ALL", "NPU_0", "NPU_1", "NPU_2", "NPU_01", "NPU_12", "NPU_02"] = "NPU_ALL"
    buffers: int = _BUFFERS
    asynchronous: bool = False
    allow_host_operators: bool = False
    batch_axis: Literal["auto", "drop", "keep"] = "auto"
    layout: Literal["auto", "NHWC", "NCHW"] = "auto"
    input_scale: tuple[float, ...] = ()
    input_zero_point: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.buffers <= _MOST_BUFFERS:
            raise ValueError(f"buffers: {self.buffers} is not within 1…{_MOST_BUFFERS}")
        if self.asynchronous and self.buffers < 2:
            raise ValueError("buffers: asynchronous takes 2 or more, since one is held until its callback has returned")
        if not all(scale > 0 for scale in self.input_scale):
            raise ValueError("input_scale: a step stands for more than 0")
        if self.input_zero_point and len(self.input_zero_point) != len(self.input_scale):
            raise ValueError("input_zero_point: as many as input_scale")


class DeepxBackend(Backend):
    """DEEPX DX-M1 and cards made of it, by DX-RT."""

    Options: ClassVar[type] = DeepxOptions

    def probe(self) -> Availability:
        """Say how many NPUs DX-RT counts, or what is missing."""
        return presence.look()

    def supports(self, model: Model, device: Device) -> Support:
        """Say that the chip computes INT8: a file handed in for FP32 would be measured as what it is not."""
        if model.precision in ("vendor", "int8"):
            return Support(True)
        return Support(
            False,
            f"{device.kind} computes in INT8, not {model.precision}; ask for the precision vendor, and hand a .dxnn file in",
        )

    def compile(self, model: Model, device: Device, options: DeepxOptions, work: Path) -> Artefact:
        """Refuse: the compiler is given to DEEPX's customers alone, and its output is handed in."""
        raise Unsupported(
            "the DEEPX compiler (DX-COM) is licensed to the vendor's customers and is not run from here; compile "
            f'{model.workload} with it and hand the file in with artefacts = {{ "{model.workload}" = "FILE.dxnn" }} in the target'
        )

    def load(self, artefact: Artefact, device: Device, options: DeepxOptions) -> Executor:
        """Open an engine on the device."""
        sdk = importlib.import_module("dx_engine")
        notes = {"bound": options.bound} | dict(artefact.notes) | _parsed(sdk, artefact)
        settings = _settings(sdk, device, options)
        engine = sdk.InferenceEngine(str(artefact.path), settings)
        try:
            tasks = _tasks(engine)
            notes["tasks"] = ", ".join(tasks) if tasks else "unknown"
            found = count_tasks(tasks)
            if found and found.host_operators and not options.allow_host_operators:
                raise WrongArtefact(
                    f"it leaves {', '.join(found.host_types)} to the host CPU; compile it for the NPU alone, or set "
                    "allow_host_operators to measure it all the same, labelled and unranked"
                )
            inputs = input_slots(
                engine.get_input_tensors_info(), options.batch_axis, options.layout, options.input_scale, options.input_zero_point
            )
            outputs = output_slots(engine.get_output_tensors_info())
            if options.asynchronous:
                # A buffer is free only after the callback: one is kept for the request that follows a completion at once.
                return AsyncDxnnExecutor(engine, inputs, outputs, tasks, notes, options.buffers - 1)
            return DxnnExecutor(engine, inputs, outputs, tasks, notes)
        except BaseException:
            engine.dispose()
            raise

    def sensors(self, device: Device) -> Sequence[Sensor]:
        """Return temperature and clock of the cores. DX-RT tells no power: it takes a meter outside."""
        status = presence.device_status(importlib.import_module("dx_engine"))
        index = presence.index_of(device)
        return () if status is None else sensors(lambda: status.get_current_status(index))


def _parsed(sdk: Any, artefact: Artefact) -> dict[str, str]:
    """Return the version of a file, having had DX-RT read it without a device.

    Raises:
        WrongArtefact: There is no such file, or DX-RT cannot read it, such as one of another compiler's format.
    """
    if not artefact.path.is_file() or artefact.format != "dxnn":
        raise WrongArtefact(
            "there is no such file" if not artefact.path.exists() else f"it is no .dxnn file but '{artefact.format}'"
        )
    parse = getattr(sdk, "parse_model", None)
    if parse is None:
        return {}
    try:
        said = str(parse(str(artefact.path)))
    except Exception as error:
        raise WrongArtefact(
            f"DX-RT cannot read it: {type(error).__name__}: {str(error)[:300]}; "
            "compile it with the DX-COM that goes with this DX-RT"
        ) from error
    version = _VERSION.search(said)
    return {"file version": version[1]} if version else {}


def _settings(sdk: Any, device: Device, options: DeepxOptions) -> Any:
    """Return the ``InferenceOption``; releases take values by method, by property, or both."""
    settings = sdk.InferenceOption()
    _set(settings, "devices", [presence.index_of(device)])
    _set(settings, "bound_option", getattr(sdk.InferenceOption.BOUND_OPTION, options.bound))
    _set(settings, "use_ort", options.allow_host_operators)
    if hasattr(settings, "set_buffer_count") or hasattr(settings, "buffer_count"):
        _set(settings, "buffer_count", options.buffers)
    elif options.buffers != _BUFFERS:
        raise ValueError(f"option buffers: this release of dx_engine has no buffer_count; leave it at {_BUFFERS}")
    return settings


def _set(settings: Any, name: str, value: Any) -> None:
    setter = getattr(settings, f"set_{name}", None)
    if setter is not None:
        setter(value)
    else:
        setattr(settings, name, value)


def _tasks(engine: Any) -> tuple[str, ...] | None:
    """Return the file's tasks in order, ``None`` where the runtime does not say."""
    try:
        return tuple(str(task) for task in engine.get_task_order()) or None
    except Exception:
        return None
