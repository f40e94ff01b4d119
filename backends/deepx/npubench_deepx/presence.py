"""Say how far a machine is from running on a DEEPX NPU: the package, the driver, the cards."""

from __future__ import annotations

import importlib
from typing import Any

from npubench.contract import Availability, Device, Rung, driver_loaded, pci_cards

#: DEEPX in the list of PCI vendors (a DX-M1 is 1ff4:0100); its kernel modules and device files.
PCI_VENDOR = 0x1FF4
MODULES = ("dxrt_driver", "dx_dma")
DEVICE_FILES = ("dxrt[0-9]*",)

#: The runtime names cards by number alone. A DX-H1 is a card of several DX-M1 chips.
KIND = "DX-M1"

#: Where releases keep the class that counts cards.
_STATUS_MODULES = ("dx_engine.device_status", "dx_engine.dev_status")

_GET_SDK = (
    "build dx_engine from DX-RT, which DEEPX gives to its customers, for the interpreter that the target names as python; "
    "the package dxrt of the public index is something else"
)
_GET_DRIVER = "install the DX-RT Linux driver of the vendor and start dxrtd, then see that 'dxrt-cli -s' lists the card"


def device_status(sdk: Any) -> Any:
    """Return the class ``DeviceStatus``, ``None`` where this release has none."""
    found = getattr(sdk, "DeviceStatus", None)
    for name in _STATUS_MODULES:
        if found is not None:
            break
        try:
            found = getattr(importlib.import_module(name), "DeviceStatus", None)
        except Exception:
            found = None
    return found


def look() -> Availability:
    """Climb the ladder; never raises."""
    try:
        sdk = importlib.import_module("dx_engine")
    except ModuleNotFoundError as error:
        if error.name == "dx_engine":
            return Availability(Rung.NOT_INSTALLED, "this interpreter has no package dx_engine (DX-RT)", _GET_SDK)
        reason = f"dx_engine cannot be imported: {error}"
        return Availability(Rung.SDK_BROKEN, reason, f"install {error.name} into the same interpreter")
    except Exception as error:
        return Availability(
            Rung.SDK_BROKEN,
            f"dx_engine cannot be imported: {type(error).__name__}: {error}",
            "build dx_engine again for this Python, with libdxrt.so where the loader finds it",
        )
    versions = _versions(sdk)
    count, problem = _count(sdk)
    loaded = driver_loaded(MODULES, DEVICE_FILES)
    if count:
        devices = tuple(Device(name=f"dx-m1:{n}", kind=KIND, details={"dx_rt_id": str(n)}) for n in range(count))
        return Availability(Rung.READY, versions=versions, devices=devices)
    why = f" ({problem})" if problem else ""
    if not loaded:
        cards = pci_cards(PCI_VENDOR)
        seen = f"the PCI bus has a card at {', '.join(cards)}" if cards else "no card is seen on the PCI bus"
        return Availability(Rung.DRIVER_MISSING, f"no DEEPX driver is loaded{why}; {seen}", _GET_DRIVER, versions)
    return Availability(
        Rung.NO_DEVICE,
        f"the driver is there and DX-RT counts no NPU{why}",
        "see that exactly one dxrtd runs, that this user may open /dev/dxrt*, and that 'dxrt-cli -s' lists the card",
        versions,
    )


def index_of(device: Device) -> int:
    """Return the number in a device's name, ``dx-m1:N``."""
    return int(device.name.partition(":")[2])


def _count(sdk: Any) -> tuple[int, str]:
    """Return how many NPUs DX-RT counts, and what it says where it cannot."""
    status = device_status(sdk)
    if status is None:
        return 0, "this release of dx_engine has no DeviceStatus to count NPUs with"
    try:
        return max(0, int(status.get_device_count())), ""
    except Exception as error:
        return 0, f"{type(error).__name__}: {error}"


def _versions(sdk: Any) -> dict[str, str]:
    """Return what can be told of versions; what cannot is left out."""
    found = {"dx_engine": str(getattr(sdk, "__version__", "")) or "unknown"}
    try:
        settings = sdk.Configuration()
    except Exception:
        return found
    for name, method in (("dx_rt", "get_version"), ("driver", "get_driver_version"), ("pcie driver", "get_pcie_driver_version")):
        try:
            found[name] = str(getattr(settings, method)())
        except Exception:
            continue  # an older release, or no card to ask
    return found
