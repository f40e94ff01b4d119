"""Which devices OpenVINO offers here, under which names, and what each can do."""

from __future__ import annotations

import importlib
from typing import Any

from npubench.contract import Availability, Device, Rung

_INSTALL = "pip install 'npubench-openvino[runtime]'"

#: OpenVINO's word for a device's number formats → the option ``precision``.
_CAPABILITIES = {"f32": "FP32", "f16": "FP16", "bf16": "BF16"}


def probe() -> Availability:
    """Say which devices the installed OpenVINO offers: ``cpu``, ``gpu:0``, ``npu``.

    A GPU or an NPU is listed once OpenVINO's plugin has opened its driver, so what is listed is there.
    """
    try:
        ov = importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            return Availability(Rung.SDK_BROKEN, f"openvino cannot be imported: {error}", f"reinstall it: {_INSTALL}")
        return Availability(Rung.NOT_INSTALLED, "the Python package openvino is not installed", _INSTALL)
    except Exception as error:
        return _broken(error)
    try:
        core = ov.Core()
        devices = tuple(_device(core, ours) for ours in core.available_devices)
        versions = {"openvino": str(ov.get_version())}
    except Exception as error:
        return _broken(error)
    if not devices:
        return Availability(
            Rung.NO_DEVICE,
            "OpenVINO lists no device, not even the CPU",
            f"its device plugins are missing from the installation; reinstall it: {_INSTALL}",
            versions,
        )
    return Availability(Rung.READY, versions=versions, devices=devices)


def openvino_name(name: str) -> str:
    """Return what OpenVINO calls a device: ``cpu`` → ``CPU``, ``gpu:1`` → ``GPU.1``."""
    return name.upper().replace(":", ".")


def can_compute(device: Device, precision: str) -> bool:
    """Return whether a device says that it computes in ``f32``, ``f16`` or ``bf16``; True where it says nothing."""
    said = device.details.get("capabilities", "").split()
    return not said or _CAPABILITIES[precision] in said


def _device(core: Any, ours: str) -> Device:
    family, _, index = ours.partition(".")
    name = family.lower()
    if family == "GPU":
        name = f"gpu:{index or 0}"
    elif index:
        name = f"{name}:{index}"
    details = {"openvino": ours}
    for key, title in (("OPTIMIZATION_CAPABILITIES", "capabilities"), ("DEVICE_ARCHITECTURE", "architecture")):
        value = ask(core, ours, key)
        if value:
            details[title] = " ".join(sorted(map(str, value))) if isinstance(value, list | tuple | set) else str(value)
    return Device(name=name, kind=str(ask(core, ours, "FULL_DEVICE_NAME") or ours).strip(), details=details, host=family == "CPU")


def ask(core: Any, device: str, key: str) -> Any:
    """Return a property of a device; ``None`` where it has none of that name."""
    try:
        return core.get_property(device, key)
    except Exception:
        return None


def _broken(error: Exception) -> Availability:
    return Availability(
        Rung.SDK_BROKEN,
        f"openvino cannot be used: {type(error).__name__}: {' '.join(str(error).split())}",
        f"reinstall it: {_INSTALL}",
    )
