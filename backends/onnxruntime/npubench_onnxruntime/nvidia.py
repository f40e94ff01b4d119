"""See NVIDIA's GPUs before ONNX Runtime is asked: the kernel says whether one is there, its driver says which.

``onnxruntime.get_available_providers()`` lists what a build was compiled with, on a machine without a GPU as well.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.contract import driver_loaded, pci_cards

#: The vendor id on the PCI bus.
VENDOR = 0x10DE
#: Kernel modules of discrete GPUs and of Jetson, and the device files beside them. A container may show the files alone.
_MODULES = ("nvidia", "nvgpu")
_DEVICE_FILES = ("nvidia[0-9]*", "nvhost-gpu", "dxg")
#: cuda.h: CUDA_ERROR_NO_DEVICE, which is also what an empty CUDA_VISIBLE_DEVICES leads to.
_NO_DEVICE = 100
#: Room for a GPU's name and its PCI address, bytes; both end in a zero.
_ROOM = 256


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as CUDA numbers it.

    Args:
        index: CUDA's ordinal, which is what a provider's ``device_id`` means; CUDA_VISIBLE_DEVICES renumbers.
        name: The driver's name of it, such as ``"NVIDIA H100 80GB HBM3"``.
        pci: Its PCI address; empty where the driver does not say.
    """

    index: int
    name: str
    pci: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is to see of NVIDIA.

    Args:
        gpus: The GPUs CUDA can use.
        reason: Why there is none; empty where there is one.
        advice: What to do about it; empty where there is one.
        cuda: The newest CUDA that the driver knows, such as ``"13.0"``; empty where it does not say.
    """

    gpus: tuple[Gpu, ...] = ()
    reason: str = ""
    advice: str = ""
    cuda: str = ""


def look_for_gpus(
    cards: Callable[[], tuple[str, ...]] = lambda: pci_cards(VENDOR),
    driver: Callable[[], bool] = lambda: driver_loaded(_MODULES, _DEVICE_FILES),
    libcuda: Callable[[], Any] = lambda: ctypes.CDLL("libcuda.so.1"),
) -> Sight:
    """Return the GPUs, or the step that is missing. Makes no CUDA context.

    Args:
        cards: Looks for cards on the PCI bus.
        driver: Looks for the kernel's driver.
        libcuda: Loads the driver's library.
    """
    if not driver():
        there = cards()
        if not there:
            return Sight(reason="no NVIDIA GPU is seen")
        return Sight(
            reason=f"an NVIDIA card is on the PCI bus at {there[0]}, and its driver is not loaded",
            advice="install NVIDIA's driver and load its kernel module",
        )
    try:
        library = libcuda()
    except OSError as error:
        return Sight(
            reason=f"NVIDIA's driver is loaded, and its library cannot be: {error}",
            advice="install the driver's libcuda.so.1, or let the container have the GPU",
        )
    code = library.cuInit(0)
    if code == _NO_DEVICE:
        return Sight(reason="NVIDIA's driver shows no GPU", advice="see nvidia-smi, and what CUDA_VISIBLE_DEVICES leaves")
    if code:
        return Sight(reason=f"NVIDIA's driver refuses with CUDA error {code}", advice="see nvidia-smi and the kernel's log")
    version, count = ctypes.c_int(), ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    library.cuDeviceGetCount(ctypes.byref(count))
    gpus = tuple(_gpu(library, index) for index in range(count.value))
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}" if version.value else ""
    return Sight(gpus, cuda=cuda) if gpus else Sight(reason="NVIDIA's driver shows no GPU", advice="see nvidia-smi", cuda=cuda)


def driver_version(file: Path = Path("/sys/module/nvidia/version")) -> str:
    """Return the kernel driver's version, such as ``"580.95.05"``; empty where it does not say."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _gpu(library: Any, index: int) -> Gpu:
    """Ask the driver for one GPU's name and address."""
    handle = ctypes.c_int()
    library.cuDeviceGet(ctypes.byref(handle), index)
    name, pci = ctypes.create_string_buffer(_ROOM), ctypes.create_string_buffer(_ROOM)
    library.cuDeviceGetName(name, _ROOM, handle)
    library.cuDeviceGetPCIBusId(pci, _ROOM, handle)
    return Gpu(index, name.value.decode(errors="replace"), pci.value.decode(errors="replace").lower())
