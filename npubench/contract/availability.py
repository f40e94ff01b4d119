"""Say how far a backend got towards a usable device, and why no further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Rung(IntEnum):
    """A rung of the availability ladder; a higher one includes all lower ones."""

    NOT_INSTALLED = 0
    SDK_BROKEN = 1
    DRIVER_MISSING = 2
    NO_DEVICE = 3
    READY = 4

    @property
    def word(self) -> str:
        """The rung as written in records and tables, such as ``"no_device"``."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator a backend sees.

    Args:
        name: What a target's ``device`` says, such as ``"cpu"`` or ``"aries:0"``; unique in a backend.
        kind: The chip, such as ``"RBLN-CA22"``. Artefacts compiled for one kind are shared.
        details: What the SDK tells: ``serial``, ``firmware``, ``pci`` (its PCIe address), ``memory_bytes``. A record's facts of
            the device are found by these keys; ``npubench.measure.capture_device`` lists them with their other spellings.
        simulated: True for a device that is no hardware. Whatever it yields is labelled
            SIMULATED and never ranked.
        host: True for the processor of the host itself: its work keeps the host's cores busy, and is no fallback.
    """

    name: str
    kind: str
    details: Mapping[str, str] = field(default_factory=dict)
    simulated: bool = False
    host: bool = False


@dataclass(frozen=True, slots=True)
class Availability:
    """What :meth:`Backend.probe` found.

    Args:
        rung: How far it got.
        reason: One sentence that says what is missing; empty only when ready.
        advice: How to get to the next rung: what to install, plug in or allow; empty only when ready.
        versions: SDK, driver and firmware versions by name, as far as they could be read.
        devices: The devices found; empty below ``READY``.
    """

    rung: Rung
    reason: str = ""
    advice: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[Device, ...] = ()
