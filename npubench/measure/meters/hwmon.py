"""Read power sensors by the kernel's hwmon interface: boards' INA rails, ACPI power meters, drivers of cards.

The files and their units are those of Documentation/hwmon/sysfs-interface.rst: ``energy*_input`` µJ, ``power*_average`` and
``power*_input`` µW, ``in*_input`` mV, ``curr*_input`` mA, ``*_label``, ``power*_average_interval`` and ``update_interval`` ms.
A chip with voltage and current alone, such as the INA3221, has its power as their product, read one after the other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from npubench.contract.options import nearest
from npubench.contract.runspec import MeterSpec
from npubench.measure.meters.sensor import MeterError, MeterSensor
from npubench.measure.meters.sysfs import natural, read_integer, read_word

_MS = 1_000_000

_COUNTER, _GAUGE = "device energy counter", "device power gauge"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a hwmon meter.

    Args:
        chip: The chip's name as its file ``name`` has it, such as ``"ina3221"``.
        rails: Labels or channels that together are the domain, such as ``"VDD_IN"`` or ``"power1"``; none = the only one.
        device: The device's own name, such as ``"1-0040"`` on an I2C bus, where several chips have one name.
        root: Where the kernel shows its sensors.
    """

    chip: str
    rails: tuple[str, ...] = ()
    device: str = ""
    root: str = "/sys/class/hwmon"


class Rail(MeterSensor):
    """One quantity of a chip; ``value`` reads it and turns it into the unit of ``kind``."""

    def __init__(self, name: str, kind: str, domain: str, value: Callable[[], int]) -> None:
        self.name, self.kind, self.domain = name, kind, domain
        self.evidence = _COUNTER if kind == "energy" else _GAUGE
        self._value = value

    def read(self) -> int:
        """Return the value now.

        Raises:
            OSError, ValueError: It cannot be read now.
        """
        return self._value()


@dataclass(frozen=True, slots=True)
class _Channel:
    """One rail of a chip: its label, the number its files carry, and what they show."""

    folder: Path
    label: str
    what: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.what}{self.number}"

    @property
    def shown(self) -> str:
        return self.label or self.name


def open_meter(spec: MeterSpec, settings: Settings) -> Sequence[MeterSensor]:
    """Open the rails of a chip that together are the domain.

    Raises:
        MeterError: No such chip or rail, several to choose from, or one that cannot be read.
    """
    folder = _chip(settings)
    channels = _channels(folder)
    if not channels:
        raise MeterError(f"settings: chip: '{settings.chip}' shows neither energy nor power, nor a voltage with its current")
    opened = [_rail(channel, spec) for channel in _chosen(channels, settings)]
    for sensor in opened:
        try:
            sensor.read()
        except (OSError, ValueError) as error:
            why = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
            raise MeterError(f"{folder}: {sensor.name}: cannot be read: {why}") from error
    return opened


def _chip(settings: Settings) -> Path:
    """Return the folder of the chip that is meant."""
    root = Path(settings.root)
    chips = [(read_word(folder / "name"), folder) for folder in sorted(root.glob("hwmon*"), key=natural)]
    named = [folder for name, folder in chips if name == settings.chip]
    if not named:
        names = [name for name, folder in chips if name and _channels(folder)]
        hint = nearest(settings.chip, names) if names else "; no chip here shows power: a driver is not loaded, or there is none"
        raise MeterError(f"settings: chip: there is no '{settings.chip}' below {settings.root}{hint}")
    devices = {_device(folder): folder for folder in named}
    if settings.device:
        if settings.device not in devices:
            raise MeterError(
                f"settings: device: no chip '{settings.chip}' is '{settings.device}'{nearest(settings.device, devices)}"
            )
        return devices[settings.device]
    if len(named) > 1:
        raise MeterError(f"settings: device: there are {len(named)} chips '{settings.chip}'; name one of {', '.join(devices)}")
    return named[0]


def _device(folder: Path) -> str:
    """Return the name of the device that a chip's folder belongs to, such as ``1-0040``."""
    device = folder / "device"
    return device.resolve().name if device.exists() else folder.name


def _channels(folder: Path) -> list[_Channel]:
    """Return what a chip shows: energy, power, and power by voltage and current where nothing better has that number."""
    found: list[_Channel] = []
    for what, end in (("energy", "input"), ("power", "average"), ("power", "input"), ("in", "input")):
        for file in sorted(folder.glob(f"{what}*_{end}"), key=natural):
            matched = re.fullmatch(rf"{what}(\d+)_{end}", file.name)
            number = int(matched[1]) if matched else -1
            taken = [("power", number), ("in", number)] if what == "in" else [(what, number)]
            lacks_current = what == "in" and not (folder / f"curr{number}_input").exists()
            if matched is None or lacks_current or any((each.what, each.number) in taken for each in found):
                continue
            found.append(_Channel(folder, read_word(folder / f"{what}{number}_label"), what, number))
    return found


def _chosen(channels: Sequence[_Channel], settings: Settings) -> list[_Channel]:
    """Return the channels that are the domain: as named, or the only rail there is."""
    if not settings.rails:
        rails = {channel.label or str(channel.number) for channel in channels}
        if len(rails) > 1:
            shown = ", ".join(dict.fromkeys(channel.shown for channel in channels))
            raise MeterError(
                f"settings: rails: '{settings.chip}' has several and one may be a part of another; name those that together are "
                f"the domain: {shown}"
            )
        return list(channels)
    chosen: list[_Channel] = []
    for rail in settings.rails:
        matching = [channel for channel in channels if rail in (channel.label, channel.name)]
        if not matching:
            raise MeterError(
                f"settings: rails: '{settings.chip}' has no rail '{rail}'{nearest(rail, {each.shown for each in channels})}"
            )
        chosen.extend(channel for channel in matching if channel not in chosen)
    return chosen


def _rail(channel: _Channel, spec: MeterSpec) -> Rail:
    """Return the sensor of a channel, with what the chip says of its pace."""
    folder, number = channel.folder, channel.number
    kind = "energy" if channel.what == "energy" else "power"
    name = f"{spec.name} {channel.label} {kind}" if channel.label else f"{spec.name} {channel.name}"
    update = _milliseconds(folder / "update_interval")
    if channel.what == "energy":
        counter = Rail(name, kind, spec.domain, lambda: read_integer(folder / f"energy{number}_input"))
        counter.update_period_ns = update
        return counter
    if channel.what == "in":
        volts, amperes = folder / f"in{number}_input", folder / f"curr{number}_input"
        # mV × mA = µW.
        product = Rail(name, kind, spec.domain, lambda: round(read_integer(volts) * read_integer(amperes) / 1000))
        product.update_period_ns = update
        return product
    average = folder / f"power{number}_average"
    shows_mean = average.exists()
    file = average if shows_mean else folder / f"power{number}_input"
    gauge = Rail(name, kind, spec.domain, lambda: round(read_integer(file) / 1000))
    gauge.update_period_ns = (_milliseconds(folder / f"power{number}_average_interval") or update) if shows_mean else update
    gauge.averages = True if shows_mean else None
    return gauge


def _milliseconds(file: Path) -> int | None:
    """Return a file's milliseconds as ns; ``None`` where it does not say, or says 0."""
    try:
        return read_integer(file) * _MS or None
    except (OSError, ValueError):
        return None
