"""Say how far a machine is from running on a Rebellions NPU: the package, the driver, the cards.

Cards are those that ``rbln-smi`` lists. Where there is no such command, as in many containers, the device files and the
runtime's own count stand in; ``npu_is_available`` is never asked, because it cannot tell a missing driver from a missing card.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

from npubench.contract import Availability, Device, Rung, driver_loaded, pci_cards
from npubench_rebellions import smi

#: Rebellions Inc. in the list of PCI vendors; the kernel module and its device files.
PCI_VENDOR = 0x1EFF
MODULES = ("rebellions",)
DEVICE_FILES = ("rbln[0-9]*",)

_GET_SDK = (
    "install rebel-compiler from the vendor's own package index (an account of the RBLN portal) into the interpreter that the "
    "target names as python"
)
_GET_DRIVER = "install the RBLN driver package of the vendor, then see that rbln-smi lists the card"


def sdk_version(rebel: Any) -> str:
    """Return the version of the compiler and runtime; ``"unknown"`` where the package does not say."""
    try:
        return importlib.metadata.version("rebel-compiler")
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(rebel, "__version__", "unknown"))


def look() -> Availability:
    """Climb the ladder; never raises."""
    listing = smi.ask()
    versions = {"driver": listing.driver} if listing.driver else {}
    try:
        rebel = importlib.import_module("rebel")
    except ModuleNotFoundError as error:
        if error.name != "rebel":
            return Availability(
                Rung.SDK_BROKEN, f"rebel cannot be imported: {error}", f"install {error.name} beside it", versions
            )
        seen = f", although rbln-smi sees {_count(listing.npus)}" if listing.npus else ""
        return Availability(
            Rung.NOT_INSTALLED, f"this interpreter has no package rebel (rebel-compiler){seen}", _GET_SDK, versions
        )
    except Exception as error:
        return Availability(
            Rung.SDK_BROKEN,
            f"rebel cannot be imported: {type(error).__name__}: {error}",
            "install the rebel-compiler that fits this Python and this system's libraries",
            versions,
        )
    versions["rebel-compiler"] = sdk_version(rebel)
    loaded = driver_loaded(MODULES, DEVICE_FILES)
    npus = listing.npus or (_counted(rebel) if listing.problem and loaded else ())
    if npus:
        return Availability(Rung.READY, versions=versions, devices=tuple(_device(npu) for npu in npus))
    if not (loaded or listing.driver):
        cards = pci_cards(PCI_VENDOR)
        seen = f"the PCI bus has a card at {', '.join(cards)}" if cards else "no card is seen on the PCI bus"
        return Availability(
            Rung.DRIVER_MISSING, f"no Rebellions driver is loaded ({listing.problem}); {seen}", _GET_DRIVER, versions
        )
    why = f" ({listing.problem})" if listing.problem else ""
    return Availability(
        Rung.NO_DEVICE,
        f"the driver is there and lists no NPU{why}",
        "see that the card is seated and powered, that 'dmesg' has no error of module rebellions, and that /dev/rbln* is passed "
        "into the container",
        versions,
    )


def index_of(device: Device) -> int:
    """Return the number in a device's name, ``rbln:N``."""
    return int(device.name.partition(":")[2])


def _device(npu: smi.Npu) -> Device:
    return Device(name=f"rbln:{npu.index}", kind=npu.name, details=npu.details)


def _counted(rebel: Any) -> tuple[smi.Npu, ...]:
    """Return what the runtime counts, where the driver is there and its command is not."""
    try:
        names = [(index, rebel.get_npu_name(index)) for index in range(rebel.device_count())]
    except Exception:
        return ()
    return tuple(smi.Npu(index, str(name)) for index, name in names if name)


def _count(npus: tuple[smi.Npu, ...]) -> str:
    kinds = ", ".join(sorted({npu.name for npu in npus}))
    return f"{len(npus)} NPU{'s' if len(npus) > 1 else ''} ({kinds})"
