"""Read an NVIDIA GPU by NVML: energy, power, clock, temperature, and whether its clocks are held down.

What each call returns is as NVIDIA documents it. Power on Ampere and later (but for GA100) is a mean over a second, on
others a momentary value, and NVML does not say which: period and manner are left to be seen in the readings. Everything is
of the whole card, so that a partition of one has no power of its own.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from npubench.contract.runspec import MeterSpec
from npubench.measure.meters.sensor import MeterError, MeterSensor

#: Reasons that slow a card down against the will of whoever runs it, by what holds it. An idle card, and clocks that were
#: set or are kept equal among cards, are no throttling.
_HEAT = (
    "nvmlClocksEventReasonHwSlowdown",
    "nvmlClocksEventReasonSwThermalSlowdown",
    "nvmlClocksEventReasonHwThermalSlowdown",
    "nvmlClocksEventReasonHwPowerBrakeSlowdown",
)
_LIMIT = ("nvmlClocksEventReasonSwPowerCap",)

_MHZ = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of an NVML meter; one of them where there are several GPUs.

    Args:
        index: The GPU as ``nvidia-smi`` counts; CUDA may count otherwise.
        uuid: The GPU's own name, such as ``"GPU-5c0b…"``, as ``nvidia-smi -L`` lists it.
    """

    index: int | None = None
    uuid: str = ""

    def __post_init__(self) -> None:
        if self.index is not None and self.uuid:
            raise ValueError("give either index or uuid")
        if self.index is not None and self.index < 0:
            raise ValueError(f"index: must be 0 or more, not {self.index}")


class NvmlSensor(MeterSensor):
    """One quantity of a GPU; ``close`` lets go of the library, which counts how often it was opened."""

    def __init__(self, name: str, kind: str, domain: str, value: Callable[[], int], close: Callable[[], None]) -> None:
        self.name, self.kind, self.domain = name, kind, domain
        self.evidence = "device energy counter" if kind == "energy" else "device power gauge"
        self._value = value
        self._close: Callable[[], None] | None = close

    def read(self) -> int:
        """Return the value now.

        Raises:
            Exception: NVML's own error, such as that the GPU is lost.
        """
        return self._value()

    def close(self) -> None:
        """Let go of the library; a second call does nothing."""
        close, self._close = self._close, None
        if close is not None:
            close()


def open_meter(spec: MeterSpec, settings: Settings) -> Sequence[MeterSensor]:
    """Open the GPU and return a sensor of each quantity that it has.

    Raises:
        MeterError: The package or the driver is missing, there is no such GPU, it is a partition, or shows no power.
    """
    nvml = _library()
    try:
        return _sensors(nvml, spec, _gpu(nvml, settings))
    except nvml.NVMLError as error:
        raise MeterError(f"NVML refuses: {error}; see nvidia-smi") from error
    finally:
        # Each sensor has opened the library once more for itself.
        _shut(nvml)


def _library() -> Any:
    """Return the package ``pynvml`` with the library opened once."""
    try:
        nvml = importlib.import_module("pynvml")
    except ModuleNotFoundError as error:
        raise MeterError("the package nvidia-ml-py is missing; pip install 'npubench[meters]'") from error
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise MeterError(
            f"NVIDIA's driver is missing or not loaded ({error}); install it, or give the container the GPU; see nvidia-smi"
        ) from error
    return nvml


def _shut(nvml: Any) -> None:
    with contextlib.suppress(nvml.NVMLError):
        nvml.nvmlShutdown()


def _gpu(nvml: Any, settings: Settings) -> Any:
    """Return the handle of the GPU that is meant."""
    count = nvml.nvmlDeviceGetCount()
    if count == 0:
        raise MeterError("NVIDIA's driver shows no GPU; see nvidia-smi")
    if settings.uuid.startswith("MIG-"):
        raise MeterError(f"settings: uuid: {_no_partition(settings.uuid)}")
    if settings.uuid:
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(settings.uuid)
        except (nvml.NVMLError_NotFound, nvml.NVMLError_InvalidArgument) as error:
            raise MeterError(f"settings: uuid: there is no GPU '{settings.uuid}'; there are {_listed(nvml, count)}") from error
    elif settings.index is None and count > 1:
        raise MeterError(f"settings: index: there are {count} GPUs; name the one that is measured, of {_listed(nvml, count)}")
    else:
        index = settings.index or 0
        if index >= count:
            raise MeterError(f"settings: index: there is no GPU {index}; there are {_listed(nvml, count)}")
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    # Cards that cannot be split have no such mode.
    with contextlib.suppress(nvml.NVMLError):
        if nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE:
            raise MeterError(_no_partition(_text(nvml.nvmlDeviceGetUUID(handle))))
    return handle


def _no_partition(name: str) -> str:
    return (
        f"'{name}' is a GPU that MIG splits, or a part of one: NVML has the energy and power of the whole card alone, which "
        f"others may share; switch MIG off (sudo nvidia-smi -i GPU -mig 0) to measure it"
    )


def _listed(nvml: Any, count: int) -> str:
    handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(count)]
    return ", ".join(f"{n} ({_text(nvml.nvmlDeviceGetUUID(handle))})" for n, handle in enumerate(handles))


def _text(value: str | bytes) -> str:
    """Return NVML's text: older packages leave it as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _sensors(nvml: Any, spec: MeterSpec, handle: Any) -> list[MeterSensor]:
    """Return a sensor of each quantity that the GPU has."""
    reasons = _reasons(nvml, handle)

    def held_by(names: Sequence[str]) -> Callable[[], int]:
        mask = 0
        for name in names:
            mask |= int(getattr(nvml, name))
        return lambda: int(bool(reasons() & mask))

    offered: list[tuple[str, str, Callable[[], int], int | None]] = [
        # mJ since the driver was loaded, 64 bits.
        ("energy", "energy", lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) * 1000, 1000),
        ("power", "power", lambda: nvml.nvmlDeviceGetPowerUsage(handle), None),
        ("clock", "clock", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM) * _MHZ, _MHZ),
        ("temperature", "temperature", lambda: _temperature(nvml, handle) * 1000, 1000),
        ("held down by heat or hardware", "throttle", held_by(_HEAT), 1),
        ("held down by its power limit", "throttle", held_by(_LIMIT), 1),
    ]
    opened: list[MeterSensor] = []
    for name, kind, value, quantum in offered:
        # What this card or driver does not have is no sensor; any other error is one to tell.
        with contextlib.suppress(nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
            value()
            nvml.nvmlInit()
            offer = NvmlSensor(f"{spec.name} {name}", kind, spec.domain, value, lambda: _shut(nvml))
            offer.quantum = quantum
            opened.append(offer)
    if not any(sensor.kind in ("energy", "power") for sensor in opened):
        for sensor in opened:
            sensor.close()
        raise MeterError("this GPU shows neither energy nor power: a virtual one, or too old")
    return opened


def _temperature(nvml: Any, handle: Any) -> int:
    return int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))


def _reasons(nvml: Any, handle: Any) -> Callable[[], int]:
    """Return what reads the reasons for the clocks: by the name that drivers before 535 know, where they know no other."""
    try:
        nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
    except nvml.NVMLError_FunctionNotFound:
        return lambda: int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    except nvml.NVMLError_NotSupported:
        pass
    return lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
