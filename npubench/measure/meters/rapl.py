"""Read the energy counters of x86 processors by the kernel's powercap interface, as Intel and AMD have them.

The files are those of Documentation/power/powercap/powercap.rst: a folder a zone with ``name``, ``energy_uj`` and
``max_energy_range_uj``. Zones nest: ``core`` and ``uncore`` are parts of their package, ``psys`` is the whole platform;
``dram`` lies below its package in the tree and is no part of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from npubench.contract.options import nearest
from npubench.contract.runspec import MeterSpec
from npubench.measure.meters.sensor import MeterError, MeterSensor
from npubench.measure.meters.sysfs import natural, read_integer, read_word

#: A zone's folder: package, then part. ``intel-rapl-mmio`` and the like show the same energy by another way, once more.
_ZONE = re.compile(r"intel-rapl:(\d+)(:\d+)?")

#: The register counts 32 bits of a unit that the processor states; the kernel's range is the highest count in µJ.
_COUNTS = 2**32

#: The register is updated about once a millisecond (Intel SDM volume 3B, 16.10.1).
_UPDATE_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a RAPL meter.

    Args:
        root: Where the kernel shows its power zones.
        zones: Names of the zones that together are the domain, such as ``"package-0"``, ``"dram"`` of every package, or
            ``"package-0/dram"`` of one; none = every package.
    """

    root: str = "/sys/class/powercap"
    zones: tuple[str, ...] = ()


class RaplCounter(MeterSensor):
    """The energy counter of one zone, µJ."""

    kind = "energy"
    evidence = "device energy counter"
    update_period_ns = _UPDATE_NS

    def __init__(self, name: str, domain: str, folder: Path) -> None:
        highest = read_integer(folder / "max_energy_range_uj")
        self.name, self.domain = name, domain
        self.quantum = max(1, round(highest / (_COUNTS - 1)))
        # After the highest count comes 0, one unit further on.
        self.wraps_at = highest + self.quantum
        self._file = folder / "energy_uj"

    def read(self) -> int:
        """Return the counter.

        Raises:
            OSError, ValueError: It cannot be read now.
        """
        return read_integer(self._file)


@dataclass(frozen=True, slots=True)
class _Zone:
    folder: Path
    name: str
    package: str

    @property
    def label(self) -> str:
        return f"{self.package}/{self.name}" if self.package else self.name


def open_meter(spec: MeterSpec, settings: Settings) -> Sequence[MeterSensor]:
    """Open the counters of the zones that are the domain.

    Raises:
        MeterError: There is no RAPL here, no such zone, a zone named with a part of it, or this user may not read it.
    """
    found = _zones(Path(settings.root))
    if not found:
        raise MeterError(
            f"there is no RAPL counter below {settings.root}: this is a virtual machine, a container, no x86 processor, or the "
            f"kernel's driver is not loaded (sudo modprobe intel_rapl_msr)"
        )
    opened = []
    for zone in _chosen(found, settings.zones):
        try:
            sensor = RaplCounter(f"{spec.name} {zone.label}", spec.domain, zone.folder)
            sensor.read()
        except PermissionError as error:
            file = zone.folder / "energy_uj"
            raise MeterError(
                f"{file} is not this user's to read, which the kernel keeps to root since 5.10: sudo chmod a+r "
                f"{Path(settings.root)}/intel-rapl:*/energy_uj, at every start of the machine"
            ) from error
        except (OSError, ValueError) as error:
            why = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
            raise MeterError(f"{zone.folder}: cannot be read: {why}") from error
        opened.append(sensor)
    return opened


def _zones(root: Path) -> list[_Zone]:
    """Return every zone that counts energy, packages before their parts."""
    names: dict[str, str] = {}
    found = []
    for folder in sorted(root.glob("intel-rapl:*"), key=natural):
        matched = _ZONE.fullmatch(folder.name)
        if not matched or not (folder / "energy_uj").exists():
            continue
        name = names[folder.name] = read_word(folder / "name") or folder.name
        package = names.get(folder.name.rpartition(":")[0], "") if matched[2] else ""
        found.append(_Zone(folder, name, package))
    return found


def _chosen(found: Sequence[_Zone], wanted: Sequence[str]) -> list[_Zone]:
    """Return the zones that are the domain, none of them a part of another."""
    labels = [zone.label for zone in found]
    if not wanted:
        packages = [zone for zone in found if zone.name.startswith("package-") and not zone.package]
        if not packages:
            raise MeterError(f"settings: zones: no zone here is a package; name those that are the domain: {', '.join(labels)}")
        return packages
    chosen: list[_Zone] = []
    for name in wanted:
        matching = [zone for zone in found if name in (zone.name, zone.label)]
        if not matching:
            raise MeterError(f"settings: zones: there is no zone '{name}'{nearest(name, labels)}")
        chosen.extend(zone for zone in matching if zone not in chosen)
    for zone in chosen:
        whole = next((other for other in chosen if other is not zone and _is_part(zone, other)), None)
        if whole is not None:
            raise MeterError(
                f"settings: zones: '{zone.label}' is a part of '{whole.label}', whose energy has it already; leave one out"
            )
    return chosen


def _is_part(zone: _Zone, whole: _Zone) -> bool:
    """Return whether a zone's energy is counted in another's."""
    return whole.name == "psys" or (zone.package != "" and zone.package == whole.label and zone.name != "dram")
