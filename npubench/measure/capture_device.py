"""Capture how a device hangs on the host: its PCIe link, its NUMA node, its driver, and what the plug-in tells of it.

``Device.details`` is free text by key. Keys by which a fact is found, whatever their case, with ``_``, ``-`` or a space:
address ``pci``, ``bus_id``, ``pci_bus_id``, ``pcie``, ``pci_address``; serial ``serial``, ``serial_number``, ``sid``,
``board_serial``, ``uuid``; firmware ``firmware``, ``firmware_version``, ``fw``, ``fw_version``; memory ``memory_bytes``;
driver ``driver``, ``driver_version``, ``kernel_driver``; power cap ``power_limit_w``, ``power_cap_w``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from npubench.measure.surroundings import text_of

#: Fact id → the keys of ``Device.details`` and of a probe's versions that tell it, best first.
KEYS: Mapping[str, tuple[str, ...]] = {
    "pcie-address": ("pci", "bus_id", "pci_bus_id", "pcie", "pci_address", "pcie_address"),
    "device-serial": ("serial", "serial_number", "sid", "board_serial", "uuid"),
    "device-firmware": ("firmware", "firmware_version", "fw", "fw_version"),
    "device-driver": ("driver", "driver_version", "kernel_driver"),
    "device-memory": ("memory_bytes",),
    "device-power-cap": ("power_limit_w", "power_cap_w"),
}

#: A PCI address with or without its domain; NVIDIA's has eight digits of domain.
_ADDRESS = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)


def facts(details: Mapping[str, str], root: Path) -> dict[str, str]:
    """Return fact id → text; what cannot be read is left out."""
    address = address_of(details)
    if address is None:
        return {}
    place = root / "sys/bus/pci/devices" / address
    ids = [text_of(place / name) for name in ("vendor", "device", "subsystem_vendor", "subsystem_device")]
    node = text_of(place / "numa_node")
    found = {
        "pcie-address": address,
        "pcie-id": ":".join(each.removeprefix("0x") for each in ids if each),
        "pcie-width": _lanes(text_of(place / "current_link_width")),
        "pcie-width-max": _lanes(text_of(place / "max_link_width")),
        "pcie-speed": _speed(text_of(place / "current_link_speed")),
        "pcie-speed-max": _speed(text_of(place / "max_link_speed")),
        # -1 is the kernel's word for a machine whose firmware does not say.
        "device-numa-node": node if node and node != "-1" else None,
        "device-driver": _driver(place),
    }
    return {key: value for key, value in found.items() if value}


def told(details: Mapping[str, str]) -> dict[str, str]:
    """Return what ``Device.details`` or a probe's versions tell of a device, as fact id → text."""
    plain = {re.sub(r"[\s_-]+", "_", str(key).strip().lower()): str(value).strip() for key, value in details.items()}
    found = {fact: next((plain[key] for key in keys if plain.get(key)), "") for fact, keys in KEYS.items()}
    if found["device-memory"]:
        found["device-memory"] = f"{int(found['device-memory']) / 2**30:.1f} GiB" if found["device-memory"].isdigit() else ""
    if found["device-power-cap"]:
        cap = found["device-power-cap"].removesuffix("W").strip()
        found["device-power-cap"] = f"{float(cap):g} W" if re.fullmatch(r"\d+(\.\d+)?", cap) else ""
    return {fact: value for fact, value in found.items() if value}


def address_of(details: Mapping[str, str]) -> str | None:
    """Return the device's PCI address as the kernel writes it, ``0000:03:00.0``; ``None`` where none is told."""
    matched = _ADDRESS.fullmatch(told(details).get("pcie-address", ""))
    if matched is None:
        return None
    domain, bus, slot, function = matched.groups()
    return f"{int(domain or '0', 16):04x}:{bus}:{slot}.{function}".lower()


def _lanes(text: str | None) -> str | None:
    # A function without a link of its own says 0, and a link that is down 63.
    return f"x{text}" if text and text.isdigit() and 0 < int(text) <= 32 else None


def _speed(text: str | None) -> str | None:
    matched = re.match(r"(\d+(?:\.\d+)?) GT/s", text or "")
    return f"{float(matched[1]):g} GT/s" if matched else None


def _driver(place: Path) -> str | None:
    """Return name and version of the kernel driver that has the device."""
    try:
        name = (place / "driver").resolve(strict=True).name
    except OSError:
        return None
    version = text_of(place / "driver/module/version")
    return f"{name} {version}" if version else name
