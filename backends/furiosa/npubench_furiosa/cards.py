"""The cards of this machine, as the vendor's SMI or the kernel shows them; never as an ``is_available()`` says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from npubench.contract import Device, driver_loaded, pci_cards

#: FuriosaAI's PCI vendor id.
VENDOR = 0x1ED2

#: Where the drivers publish their cards: ``npu_mgmt/npu0_mgmt`` (Warboy), ``rngd_mgmt/rngd!npu0mgmt`` (RNGD). Source: the
#: paths that furiosa-native-runtime 0.10.4 and furiosa-smi 2026.4.0 read.
CLASSES = Path("/sys/class")

_NUMBER = re.compile(r"npu(\d+)")

#: What a card's folder has, by the name it gets in a record.
_FILES = {"serial": "device_sn", "uuid": "device_uuid", "pci": "busname", "firmware": "fw_version"}


@dataclass(frozen=True, slots=True)
class Card:
    """One card.

    Args:
        name: As the driver calls it, such as ``"npu0"``.
        kind: The chip, such as ``"RNGD"``.
        details: Serial, firmware, PCI address, as far as they can be read.
    """

    name: str
    kind: str
    details: Mapping[str, str] = field(default_factory=dict)

    def device(self, family: str, index: int) -> Device:
        """Return the card as the contract's device ``family:index``."""
        return Device(f"{family}:{index}", self.kind, {"card": self.name, **self.details})


def order(name: str) -> tuple[int, str]:
    """Return what cards are sorted by: the number in ``npu10``, so that it comes after ``npu9``."""
    found = _NUMBER.search(name)
    return (int(found.group(1)) if found else 1 << 30, name)


def kernel_cards(folder: str, kind: str, root: Path = CLASSES) -> tuple[Card, ...]:
    """Return the cards below ``root/folder``, in the driver's order; empty where the driver is not loaded.

    Args:
        folder: ``"npu_mgmt"`` or ``"rngd_mgmt"``.
        kind: The chip that this driver drives.
        root: The kernel's list of device classes.
    """
    cards: dict[str, Card] = {}
    try:
        entries = sorted((root / folder).iterdir())
    except OSError:
        return ()
    for entry in entries:
        found = _NUMBER.search(entry.name)
        if found and "mgmt" in entry.name:
            details = {key: text for key, file in _FILES.items() if (text := _text(entry / file))}
            cards[found.group()] = Card(found.group(), kind, details)
    return tuple(cards[name] for name in sorted(cards, key=order))


def missing_card(folder: str, files: str, chip: str, root: Path = CLASSES) -> tuple[bool, str]:
    """Return whether the driver is there, and a sentence that says what is missing where no card is listed.

    Args:
        folder: As in :func:`kernel_cards`.
        files: Glob pattern of the driver's device files below ``/dev``.
        chip: The chip's name for the sentence.
        root: The kernel's list of device classes.
    """
    loaded = driver_loaded((folder,), (files,), root=root)
    seen = pci_cards(VENDOR)
    bus = f"the PCI bus has FuriosaAI cards at {', '.join(seen)}" if seen else "the PCI bus has no FuriosaAI card"
    if loaded:
        return True, f"the {chip} driver is loaded and lists no card; {bus}"
    return False, f"the {chip} driver is not loaded; {bus}"


def attempt(call: Callable[[], Any]) -> Any:
    """Return ``call()``, or ``None`` where it raises: a detail that cannot be read is left out."""
    try:
        return call()
    except Exception:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
