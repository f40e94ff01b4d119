"""The two Python bindings of Furiosa's SMI: ``furiosa_smi`` (2026.4) and the older ``furiosa_smi_py`` (2026.1).

They differ in nearly every name. Each is turned into handles with the same few readings; what cannot be read is ``None``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from types import ModuleType
from typing import Any, Literal

from npubench_furiosa.cards import Card, attempt, order

Binding = Literal["furiosa_smi", "furiosa_smi_py"]

#: Newest first.
BINDINGS: tuple[Binding, ...] = ("furiosa_smi", "furiosa_smi_py")

#: ``str(Arch)`` in either binding → the chip as the vendor writes it.
_KINDS = {"rngd": "RNGD", "rngd_max": "RNGD-Max", "rngd+": "RNGD+", "rngd_s": "RNGD-S", "warboy": "Warboy"}


@dataclass(frozen=True, slots=True)
class Handle:
    """A card as one binding lists it; ``raw`` is the binding's own ``Device``."""

    card: Card
    binding: Binding
    raw: Any
    module: ModuleType


@dataclass(frozen=True, slots=True)
class Listing:
    """What the installed bindings said.

    Args:
        handles: Every card of every installed binding, in the driver's order.
        versions: Version of each binding, and of the driver where it answered.
        complaint: The words of a binding that is installed and cannot be used; ``""`` if there is none.
        installed: Whether there is any binding at all.
    """

    handles: tuple[Handle, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    complaint: str = ""
    installed: bool = False

    def cards(self, warboy: bool) -> tuple[Card, ...]:
        """Return Warboys or all others, each once though two bindings list it."""
        found: dict[str, Card] = {}
        for handle in self.handles:
            if (handle.card.kind == "Warboy") == warboy:
                found.setdefault(handle.card.name, handle.card)
        return tuple(found[name] for name in sorted(found, key=order))


def listing() -> Listing:
    """Ask every installed binding for its cards. Never raises."""
    handles: list[Handle] = []
    versions: dict[str, str] = {}
    complaints = []
    installed = False
    for binding in BINDINGS:
        try:
            module = importlib.import_module(binding)
        except ModuleNotFoundError as error:
            if error.name == binding:
                continue
            complaints.append(f"{binding}: {error}")
            continue
        except Exception as error:
            complaints.append(f"{binding}: {type(error).__name__}: {error}")
            continue
        installed = True
        versions[binding] = str(getattr(module, "__version__", "") or _distribution_version(binding))
        try:
            if binding == "furiosa_smi_py":
                module.init()
            devices = module.list_devices()
        except Exception as error:
            complaints.append(f"{binding}: {type(error).__name__}: {error}")
            continue
        handles += [Handle(_card(binding, device), binding, device, module) for device in devices]
        if devices and (driver := attempt(module.driver_info)) is not None:
            versions["driver"] = version_text(driver)
    handles.sort(key=lambda handle: order(handle.card.name))
    return Listing(tuple(handles), versions, "; ".join(complaints), installed)


def version_text(value: Any) -> str:
    """Return a binding's ``VersionInfo`` as ``major.minor.patch``; a text as it is."""
    parts = [attempt(getattr(value, part)) if hasattr(value, part) else None for part in ("major", "minor", "patch")]
    return str(value) if None in parts else ".".join(map(str, parts))


def power(handle: Handle) -> Any:
    """Return what the binding gives as power, in the binding's own unit."""
    return handle.raw.power_consumption()


def temperature(handle: Handle) -> Any:
    """Return the highest temperature of the chip, °C."""
    return handle.raw.device_temperature().soc_peak()


def clocks(handle: Handle) -> list[Any]:
    """Return the clock of every PE that the binding names: MHz in ``furiosa_smi_py``, not stated in ``furiosa_smi``."""
    found = handle.raw.core_frequency()
    if handle.binding == "furiosa_smi_py":
        return [core.frequency() for core in found.pe_frequency()]
    if isinstance(found, Mapping):
        return list(found.values())
    return list(found) if isinstance(found, Iterable) else [found]


def throttled(handle: Handle) -> bool | None:
    """Return whether the card is held back; ``None`` where the binding does not know. Idling is not throttling."""
    reason = handle.raw.throttle_reason()
    if reason is None:
        return None
    if handle.binding == "furiosa_smi_py":
        return bool(int(reason) & ~int(handle.module.THROTTLE_REASON_IDLE))
    reasons = handle.module.ThrottleReason
    if reason == reasons.Unknown:
        return None
    return bool(reason != reasons.Idle)


def _card(binding: Binding, device: Any) -> Card:
    about = attempt(device.device_info) if binding == "furiosa_smi_py" else device
    name = attempt(about.name if binding == "furiosa_smi_py" else about.device_name)
    arch = str(attempt(about.arch)).lower()
    details = {
        "serial": attempt(about.serial),
        "uuid": attempt(about.uuid),
        "pci": _address(attempt(about.bdf)),
        "numa node": attempt(about.numa_node),
        "cores": attempt(about.core_num),
        "firmware": _maybe_version(attempt(about.firmware_version)),
    }
    known = {key: str(value) for key, value in details.items() if value not in (None, "")}
    return Card(str(name), _KINDS.get(arch, arch.upper()), known)


def _address(value: Any) -> Any:
    """Return a PCI address as text: the newer binding gives an object."""
    if value is None or isinstance(value, str):
        return value
    parts = [attempt(getattr(value, part)) for part in ("domain", "bus", "device", "function")]
    if not all(isinstance(part, int) for part in parts):
        return str(value)
    return "{:04x}:{:02x}:{:02x}.{:x}".format(*parts)


def _maybe_version(value: Any) -> Any:
    return None if value is None else version_text(value)


def _distribution_version(binding: str) -> str:
    return attempt(lambda: metadata.version(binding.replace("_", "-"))) or ""
