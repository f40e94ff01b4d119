"""Say how far this machine is from an ARIES or REGULUS, and which there are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from npubench.contract import Availability, Device, Rung, driver_loaded, pci_cards
from npubench_mobilint import telemetry
from npubench_mobilint.sdk import PACKAGES, Runtime, family_of, import_runtime, words_of

#: Mobilint's PCI vendor id.
VENDOR = 0x209F
#: The kernel module of ARIES as ``lsmod`` shows it, and the device files of both families.
MODULES = ("aries",)
DEVICE_FILES = ("aries*", "regulus*")
#: Where the device files are.
DEV = Path("/dev")

_FILE = re.compile(r"(aries|regulus-npu|regulus-usb)(\d+)")
_FAMILIES = {"aries": "aries", "regulus-npu": "regulus", "regulus-usb": "regulus-usb"}


class Found(NamedTuple):
    """A device as the runtime names it (``"aries-rb"``) and numbers it."""

    name: str
    number: int

    @property
    def family(self) -> str:
        """The name without the chip's revision: ``"aries"``, ``"regulus"`` or ``"regulus-usb"``."""
        return family_of(self.name)


def availability() -> Availability:
    """Climb the ladder: package, import, driver, device. Opens no device."""
    try:
        runtime = import_runtime()
    except ModuleNotFoundError as error:
        if error.name in PACKAGES:
            return Availability(
                Rung.NOT_INSTALLED,
                "Mobilint's runtime is not installed: there is neither qbruntime nor maccel in this environment",
                "Use CPython 3.8 to 3.12 and run: pip install mobilint-qb-runtime",
            )
        return _broken("qbruntime or maccel", error, {})
    except Exception as error:
        return _broken("qbruntime or maccel", error, {})
    seen = telemetry.look()
    versions = {runtime.name: runtime.version or "not told", **seen.versions}
    if not (seen.driver or driver_loaded(MODULES, DEVICE_FILES)):
        return _driverless(versions)
    try:
        found = devices(runtime)
    except Exception as error:
        return _broken(runtime.words, error, versions)
    if not found:
        return _deviceless(runtime, versions)
    return Availability(Rung.READY, versions=versions, devices=tuple(_device(each, seen) for each in found))


def devices(runtime: Runtime, dev: Path | None = None) -> tuple[Found, ...]:
    """Return the devices the runtime lists; for a runtime without such a list, those with a device file.

    Args:
        runtime: The imported runtime.
        dev: The folder of device files, for a runtime without a list.
    """
    if hasattr(runtime.module, "get_available_devices"):
        names = dict.fromkeys(str(name) for name in runtime.module.get_available_devices())
        numbers = runtime.module.get_available_device_numbers
        return tuple(Found(name, int(number)) for name in names for number in numbers(name))
    files = sorted(path.name for path in (dev or DEV).glob("*"))
    matches = [match for match in map(_FILE.fullmatch, files) if match]
    return tuple(Found(_FAMILIES[match[1]], int(match[2])) for match in matches)


def _device(found: Found, seen: telemetry.Seen) -> Device:
    details = {"runtime name": found.name, "number": str(found.number)}
    if seen.trouble:
        details["telemetry"] = seen.trouble
    return Device(name=f"{found.family}:{found.number}", kind=found.name.upper(), details=details)


def _broken(what: str, error: BaseException, versions: Mapping[str, str]) -> Availability:
    return Availability(
        Rung.SDK_BROKEN,
        f"{what} cannot be used: {words_of(error)}",
        "Import it by hand in this environment, and install it anew: pip install --force-reinstall mobilint-qb-runtime",
        versions,
    )


def _driverless(versions: Mapping[str, str]) -> Availability:
    cards = pci_cards(VENDOR)
    seen = f"a Mobilint card is seen on the PCI bus at {', '.join(cards)}" if cards else "no Mobilint card is seen on the PCI bus"
    return Availability(
        Rung.DRIVER_MISSING,
        f"Mobilint's driver is missing: there is no /dev/aries* or /dev/regulus*, and no module aries; {seen}",
        "Install Mobilint's driver (mobilint-aries-driver) and run: sudo modprobe aries; in a container, hand /dev/aries0 in",
        versions,
    )


def _deviceless(runtime: Runtime, versions: Mapping[str, str]) -> Availability:
    shut = [str(path) for pattern in DEVICE_FILES for path in sorted(DEV.glob(pattern)) if not os.access(path, os.R_OK | os.W_OK)]
    if shut:
        reason = f"the driver is there, and this user may not open {', '.join(shut)}"
        advice = f"Allow this user to read and write {shut[0]}"
    else:
        reason = f"the driver is there, and {runtime.words} lists no device"
        advice = "Look at mobilint-cli status and the kernel's log; qbruntime 1.5 passes over ARIES of the revision ra"
    return Availability(Rung.NO_DEVICE, reason, advice, versions)
