"""Power, temperature, utilisation and clock from ``mbltml``, in both shapes that package has.

Two distributions own the one module ``mbltml``: ``mbltml`` 0.0.0 addresses a device by its number among all,
``mobilint-ml`` 1.5.0 by its type and its number among that type. With both installed, Python and native code may be of
different ones, so that a number is read as a type: then nothing is read at all. The shape is told by a function's name, never by
an exception, because the wrong shape may answer.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from npubench.contract import Sensor
from npubench_mobilint.sdk import family_of

#: The distributions that own the module ``mbltml``.
DISTRIBUTIONS = ("mobilint-ml", "mbltml")

#: Device type → name as ``qbruntime`` has it, of ``mobilint-ml`` 1.5. Value 4 is REGULUS_RB here and REGULUS_USB below.
TARGETS = {
    "MBLTML_TARGET_DEVICE_ARIES_RA": "aries",
    "MBLTML_TARGET_DEVICE_ARIES_RB": "aries-rb",
    "MBLTML_TARGET_DEVICE_REGULUS_RA": "regulus-ra",
    "MBLTML_TARGET_DEVICE_REGULUS_RB": "regulus-rb",
    "MBLTML_TARGET_DEVICE_REGULUS_RA_USB": "regulus-ra-usb",
    "MBLTML_TARGET_DEVICE_REGULUS_RB_USB": "regulus-rb-usb",
}
#: Device type → family, of ``mbltml`` 0.0.0.
FAMILIES = {
    "MBLTML_DEVICE_ARIES": "aries",
    "MBLTML_DEVICE_REGULUS": "regulus",
    "MBLTML_DEVICE_REGULUS_USB": "regulus-usb",
}
#: Drivers with a version of their own: 1.5 names them anew, 0.0.0 takes the device type.
DRIVERS = {
    "aries": ("MBLTML_DRIVER_ARIES", "MBLTML_DEVICE_ARIES"),
    "regulus": ("MBLTML_DRIVER_REGULUS", "MBLTML_DEVICE_REGULUS"),
    "regulus-usb": ("MBLTML_DRIVER_REGULUS_USB", "MBLTML_DEVICE_REGULUS_USB"),
}

#: The value changed about once in 1,000 ms on ARIES (SDK 1.3.2), however fast it was read.
UPDATE_PERIOD_NS = 1_000_000_000

#: The functions that this file calls by an address, by what they tell. Only ARIES has a power meter.
READS = {
    "power": "mbltmlGetTotalPower",
    "temperature": "mbltmlGetTemperature",
    "utilisation": "mbltmlGetTotalUtilization",
    "clock": "mbltmlGetNPUClock",
    "node": "mbltmlGetNodeName",
}


@dataclass(frozen=True)
class Seen:
    """What telemetry says before any device is addressed.

    Args:
        driver: Whether ``mbltml`` found a driver; False also where it could not be asked.
        versions: Of the package and of the drivers it found.
        trouble: Why there is no telemetry; empty if there is.
    """

    driver: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""


@dataclass(frozen=True)
class Unit:
    """One device as ``mbltml`` addresses it: the arguments that come first in every call."""

    name: str
    address: tuple[int, ...]


def look() -> Seen:
    """Ask whether there is a driver, and its version; leaves the library shut again."""
    found, trouble = _import()
    if found is None:
        return Seen(versions={"mbltml": trouble}, trouble=trouble)
    versions = {"mbltml": _distribution()}
    try:
        found.mbltmlInit()
    except Exception as error:
        # Without a driver the library says that it is not initialised, from its initialisation.
        return Seen(versions=versions, trouble=f"mbltml does not start: {type(error).__name__}: {error}")
    try:
        for family, names in DRIVERS.items():
            driver = next((getattr(found, name) for name in names if hasattr(found, name)), None)
            with contextlib.suppress(Exception):
                versions[f"{family} driver"] = str(found.mbltmlGetDriverVersion(driver))
        return Seen(True, {name: text for name, text in versions.items() if text})
    finally:
        with contextlib.suppress(Exception):
            found.mbltmlShutdown()


def sensors(name: str, number: int) -> Sequence[Sensor]:
    """Return the sensors of a device, empty where it cannot be addressed beyond doubt.

    Args:
        name: The device as the runtime names it, such as ``"aries-rb"``.
        number: Its number, as in ``/dev/aries0``.
    """
    found, _ = _import()
    if found is None:
        return ()
    try:
        found.mbltmlInit()
        unit = choose(units(found), name, number, lambda unit: str(getattr(found, READS["node"])(*unit.address)))
    except Exception:  # a device without telemetry is a device all the same
        return ()
    return () if unit is None else [Gauge(found, unit, kind) for kind in _kinds(name)]


def units(module: Any) -> tuple[Unit, ...]:
    """Return every device an initialised ``mbltml`` sees; its shape is told by whether types have a count."""
    if hasattr(module, "mbltmlGetTargetDeviceCount"):
        types = [(getattr(module, constant), name) for constant, name in TARGETS.items()]
        return tuple(
            Unit(name, (target, n)) for target, name in types for n in range(int(module.mbltmlGetTargetDeviceCount(target)))
        )
    families = {int(getattr(module, constant)): name for constant, name in FAMILIES.items()}
    return tuple(
        Unit(families.get(int(module.mbltmlGetDeviceType(n)), "unknown"), (n,)) for n in range(int(module.mbltmlGetDeviceCount()))
    )


def choose(found: Sequence[Unit], name: str, number: int, node: Callable[[Unit], str]) -> Unit | None:
    """Return the one unit that is the device ``name`` ``number``, ``None`` if that is in doubt.

    The number a node name ends in decides; a unit alone in its family needs none.
    """
    family = family_of(name)
    mates = [unit for unit in found if family_of(unit.name) == family]
    if len(mates) == 1:
        return mates[0]
    numbered = [unit for unit in mates if (at := re.search(r"(\d+)$", node(unit).strip())) and int(at[1]) == number]
    return numbered[0] if len(numbered) == 1 else None


class Gauge(Sensor):
    """One quantity of one device.

    ``power`` is the card's, from W; ``temperature`` from °C; ``utilisation`` from a ratio or per cent; ``clock`` from a
    value whose unit the vendor does not write down and which is taken for MHz, kHz or Hz by its size.
    """

    update_period_ns = UPDATE_PERIOD_NS

    def __init__(self, module: Any, unit: Unit, kind: str) -> None:
        self.kind = kind
        self.domain = "card" if kind == "power" else "chip"
        self.name = f"{self.domain} {kind}"
        self._ask = getattr(module, READS[kind])
        self._address = unit.address
        self._percent = False

    def read(self) -> int | None:
        """Return mW, m°C, ppm or Hz; ``None`` where the library has no value."""
        try:
            value = float(self._ask(*self._address))
        except Exception:  # whatever the library raises, there is no value now
            return None
        if not math.isfinite(value):
            return None
        if self.kind == "power":
            # A powered card takes more than nothing: 0 is what a meter says that does not answer.
            return round(value * 1000) if value > 0 else None
        if self.kind == "temperature":
            return round(value * 1000)
        if value < 0:
            return None
        if self.kind == "clock":
            return _hertz(value)
        # Both a ratio and per cent are documented. One value above 1 settles it for good.
        self._percent = self._percent or value > 1
        return round(value * (10_000 if self._percent else 1_000_000))


def _hertz(value: float) -> int | None:
    """Return Hz: no clock of these chips is below 10 MHz or above 10 GHz, in whatever unit it is told."""
    if value == 0:
        return None
    return round(value * next(factor for factor, least in ((1, 1e7), (1_000, 1e4), (1_000_000, 0)) if value >= least))


def _kinds(name: str) -> Iterator[str]:
    if family_of(name) == "aries":
        yield "power"
    yield from ("temperature", "utilisation", "clock")


def _import() -> tuple[Any, str]:
    """Return the module, or ``None`` with why it is not to be used."""
    if len([name for name in DISTRIBUTIONS if _version(name)]) > 1:
        both = " and ".join(f"{name} {_version(name)}" for name in DISTRIBUTIONS)
        return None, f"no telemetry: {both} are both installed and overwrite each other; uninstall both, then install mobilint-ml"
    try:
        module = importlib.import_module("mbltml")
    except ModuleNotFoundError:
        return None, "no telemetry: mbltml is not installed; run: pip install mobilint-ml"
    except Exception as error:
        return None, f"no telemetry: mbltml cannot be imported: {type(error).__name__}: {error}"
    libraries = sorted(path.name for path in Path(str(module.__file__)).parent.glob("libmbltml.so*"))
    if len(libraries) > 1:
        return None, f"no telemetry: mbltml has {' and '.join(libraries)} beside each other; install mobilint-ml anew"
    return module, ""


def _distribution() -> str:
    return next((f"{name} {_version(name)}" for name in DISTRIBUTIONS if _version(name)), "no distribution")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
