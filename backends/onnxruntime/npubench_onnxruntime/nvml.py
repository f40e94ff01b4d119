"""The power limit of an NVIDIA GPU, by the driver's own management library; no package is needed for it.

Functions and codes are those of nvml.h (NVML API reference). The limit is the whole card's, whoever shares it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from npubench.contract import PowerLimit

#: nvmlReturn_t. An integrated GPU or a virtual one does not support limits.
_SUCCESS, _NOT_SUPPORTED, _NO_PERMISSION = 0, 3, 4


class NvmlError(RuntimeError):
    """NVML refuses; the text is its own."""


class NvmlPowerLimit(PowerLimit):
    """The power management limit of one GPU."""

    def __init__(self, library: Any, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle

    def read(self) -> int | None:
        """Return the limit that is set, mW; ``None`` where the GPU has none.

        Raises:
            NvmlError: NVML refuses otherwise.
        """
        limit = ctypes.c_uint()
        return limit.value if self._ask("nvmlDeviceGetPowerManagementLimit", ctypes.byref(limit)) else None

    def bounds(self) -> tuple[int, int] | None:
        """Return the least and the highest limit, mW; ``None`` where the GPU does not say.

        Raises:
            NvmlError: NVML refuses otherwise.
        """
        low, high = ctypes.c_uint(), ctypes.c_uint()
        known = self._ask("nvmlDeviceGetPowerManagementLimitConstraints", ctypes.byref(low), ctypes.byref(high))
        return (low.value, high.value) if known else None

    def set(self, milliwatts: int) -> None:
        """Set the limit, mW; root alone may.

        Raises:
            PermissionError: This user is not root, or the container may not.
            NvmlError: NVML refuses otherwise.
        """
        if not self._ask("nvmlDeviceSetPowerManagementLimit", ctypes.c_uint(milliwatts)):
            raise NvmlError("NVML: this GPU's power limit cannot be set")

    def _ask(self, name: str, *arguments: Any) -> bool:
        """Call NVML for this GPU; ``False`` where the GPU has no such thing."""
        code = getattr(self._library, name)(self._handle, *arguments)
        if code == _NO_PERMISSION:
            raise PermissionError("NVML: setting a GPU's power limit is root's alone")
        if code not in (_SUCCESS, _NOT_SUPPORTED):
            raise NvmlError(f"NVML: {name}: {_text(self._library, code)}")
        return bool(code == _SUCCESS)


def power_limit(pci: str, libnvml: Callable[[], Any] = lambda: ctypes.CDLL("libnvidia-ml.so.1")) -> NvmlPowerLimit | None:
    """Return the power limit of the GPU at a PCI address; ``None`` without the library, or where the GPU has no limit.

    Args:
        pci: Such as ``"0000:01:00.0"``.
        libnvml: Loads the management library.

    Raises:
        NvmlError: NVML refuses.
    """
    try:
        library = libnvml()
    except OSError:
        return None
    library.nvmlErrorString.restype = ctypes.c_char_p
    _must(library, library.nvmlInit_v2(), "nvmlInit")
    handle = ctypes.c_void_p()
    _must(library, library.nvmlDeviceGetHandleByPciBusId_v2(pci.encode(), ctypes.byref(handle)), f"no GPU at {pci}")
    found = NvmlPowerLimit(library, handle)
    return found if found.read() is not None else None


def _must(library: Any, code: int, what: str) -> None:
    if code != _SUCCESS:
        raise NvmlError(f"NVML: {what}: {_text(library, code)}")


def _text(library: Any, code: int) -> str:
    said = library.nvmlErrorString(code)
    return said.decode(errors="replace") if isinstance(said, bytes) else f"error {code}"
