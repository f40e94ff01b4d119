"""Name the devices of this machine: the CPU, GPUs, whatever else the build was compiled for, and plug-in providers.

A device's name is ``family:index`` in lower case (``cuda:0``, ``tensorrt:0``, ``openvino:0``); the CPU is ``cpu``, and a
provider of the build that says nothing of its devices has one, without a number.
"""

from __future__ import annotations

from typing import Any

from npubench.contract import Availability, Device, Rung
from npubench_onnxruntime.nvidia import Sight, driver_version, look_for_gpus
from npubench_onnxruntime.plugins import compiled_in, find_plugins

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
#: Providers that need an NVIDIA GPU, by the name of their devices.
ON_GPU = {"cuda": CUDA, "tensorrt": TENSORRT}
#: A remote service: no device of this machine.
_NOT_DEVICES = {"AzureExecutionProvider"}
_SUFFIX = "ExecutionProvider"
#: Runs on the host's own cores.
_HOST = "CPUExecutionProvider"


def list_devices(ort: Any) -> Availability:
    """Return what a working ONNX Runtime can use here. The advice says why a provider that is installed has no device.

    Args:
        ort: The module ``onnxruntime``.
    """
    build = {"build": str(ort.get_device())}
    versions = {"onnxruntime": str(ort.__version__)}
    own = [name for name in compiled_in(ort) if name not in _NOT_DEVICES]
    devices = [
        Device(name.removesuffix(_SUFFIX).lower(), name, {"provider": name, **build}, host=name == _HOST)
        for name in own
        if name not in ON_GPU.values()
    ]
    advice = []
    for_gpu = {family: name for family, name in ON_GPU.items() if name in own}
    if for_gpu:
        sight = look_for_gpus()
        devices += _gpu_devices(sight, for_gpu, build)
        versions |= {key: value for key, value in (("cuda driver", sight.cuda), ("nvidia driver", driver_version())) if value}
        if sight.reason:
            advice.append("; ".join(filter(None, (f"{' and '.join(for_gpu.values())}: {sight.reason}", sight.advice))))
    plugins = find_plugins(ort)
    taken = {device.name for device in devices}
    devices += [
        device if device.name not in taken else Device(f"plugin-{device.name}", device.kind, device.details)
        for device in plugins.devices
    ]
    return Availability(
        Rung.READY,
        advice=". ".join((*advice, *plugins.complaints)),
        versions=versions | dict(plugins.versions),
        devices=tuple(devices),
    )


def _gpu_devices(sight: Sight, families: dict[str, str], build: dict[str, str]) -> list[Device]:
    """Return a device for every GPU and every provider that can drive it."""
    return [
        Device(
            f"{family}:{gpu.index}",
            gpu.name or provider,
            {"provider": provider, "device_id": str(gpu.index), **({"pci": gpu.pci} if gpu.pci else {}), **build},
        )
        for family, provider in families.items()
        for gpu in sight.gpus
    ]
