"""Look for a vendor's cards and driver as the kernel shows them: presence is never what an ``is_available()`` says.

Plug-ins ask here before they ask their SDK, so that "no card" and "no driver" are told apart on every machine alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

#: Where Linux lists PCI functions and loaded modules (Documentation/ABI/testing/sysfs-bus-pci, sysfs-module).
PCI = Path("/sys/bus/pci/devices")
MODULES = Path("/sys/module")
DEV = Path("/dev")


def pci_cards(vendor: int, root: Path = PCI) -> tuple[str, ...]:
    """Return the PCI addresses of a vendor's functions, such as ``"0000:03:00.0"``; empty where there is no PCI bus.

    Args:
        vendor: The PCI vendor id, such as ``0x1EFF``.
        root: The kernel's list of functions.
    """
    found = []
    for entry in _entries(root):
        try:
            if int((entry / "vendor").read_text(encoding="ascii"), 16) == vendor:
                found.append(entry.name)
        except (OSError, ValueError):
            continue  # a function that goes away while one looks
    return tuple(found)


def driver_loaded(modules: Sequence[str] = (), device_files: Sequence[str] = (), root: Path = MODULES, dev: Path = DEV) -> bool:
    """Return whether one of the kernel modules is loaded or one of the device files is there.

    Args:
        modules: Module names as ``lsmod`` has them.
        device_files: Glob patterns below ``/dev``, such as ``"aries*"``.
        root: The kernel's list of modules.
        dev: The folder of device files.
    """
    return any((root / name).exists() for name in modules) or any(next(dev.glob(p), None) is not None for p in device_files)


def _entries(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir())
    except OSError:
        return []
