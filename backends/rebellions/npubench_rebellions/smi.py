"""Ask ``rbln-smi``, the vendor's command, what it sees, and read its payload: strings with units become integers.

The command comes with the driver and not with Python, so it answers where ``rebel`` is absent, and is absent in many
containers. The payload's shape is that of RBLN-CA22 hosts, drivers 3.0 to 3.2; keys that other drivers leave out are ``None``.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The command, and the name older drivers give it.
COMMANDS = ("rbln-smi", "rbln-stat")

#: How long a listing may take, s, and a reading: the command answers in 5 ms (p99) on an idle host.
LISTING_S = 10.0
READING_S = 2.0

#: What a card can draw, mW. Drivers have changed the unit of this value; whatever falls outside is no value.
_POWER_MW = (500, 2_000_000)
#: What a die can be warm, m°C.
_TEMPERATURE_MC = (-40_000, 150_000)

_QUANTITY = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµμ°]+)\s*")
_POWER_UNITS = {"uW": 1e-3, "µW": 1e-3, "μW": 1e-3, "mW": 1.0, "W": 1e3}
_TEMPERATURE_UNITS = {"C": 1e3, "°C": 1e3, "mC": 1.0}
_PSTATE = re.compile(r"P[0-9]+")

#: The performance state of a card that slows down because it is hot, by the vendor's table of states.
_THERMAL = "P10"


@dataclass(frozen=True, slots=True)
class Npu:
    """One NPU (a die) as ``rbln-smi`` lists it. Text is ``""`` and a number ``None`` where the driver does not say.

    Args:
        index: The number of its device file ``/dev/rblnN``; what ``rebel`` counts by.
        name: The chip, such as ``RBLN-CA22``.
        sid: The serial of the card it sits on; the same for every die of one card.
        power_mw: What the whole card draws, mW; repeated on every die.
        temperature_mc: m°C.
        pstate: Performance state, such as ``P14`` (idle).
        details: The rest of what it tells, for the record.
    """

    index: int
    name: str
    sid: str = ""
    power_mw: int | None = None
    temperature_mc: int | None = None
    pstate: str = ""
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def throttled(self) -> int | None:
        """1 in the state of thermal throttling, 0 in another; ``None`` where the state is not told."""
        return int(self.pstate == _THERMAL) if _PSTATE.fullmatch(self.pstate) else None


@dataclass(frozen=True, slots=True)
class Listing:
    """An answer of the command.

    Args:
        driver: The kernel driver's version, ``""`` where it is not told.
        npus: What it sees.
        problem: Why there is no answer, ``""`` where there is one.
    """

    driver: str = ""
    npus: tuple[Npu, ...] = ()
    problem: str = ""


def command() -> str | None:
    """Return the command's path, or ``None`` where there is none on PATH."""
    return next((path for name in COMMANDS if (path := shutil.which(name))), None)


def ask(index: int | None = None) -> Listing:
    """Run the command for all NPUs, or for one; whatever goes wrong is the answer's ``problem``."""
    program = command()
    if program is None:
        return Listing(problem=f"there is no {COMMANDS[0]} on PATH")
    arguments = ["-j"] if index is None else ["-b", "-j", "-d", str(index)]
    limit = LISTING_S if index is None else READING_S
    try:
        done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return Listing(problem=f"{COMMANDS[0]} gave no answer within {limit:g} s")
    except OSError as error:
        return Listing(problem=f"{program} cannot be started: {error.strerror or error}")
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        return Listing(problem=f"{COMMANDS[0]} ended with code {done.returncode}" + (f": {said[-1][:300]}" if said else ""))
    return read(done.stdout.decode(errors="replace"))


def read(text: str) -> Listing:
    """Read the command's JSON; a payload of another shape is the answer's ``problem``."""
    try:
        payload = json.loads(text)
        entries = payload["devices"]
        npus = tuple(_npu(entry, position) for position, entry in enumerate(entries))
        driver = payload.get("driver_version") or payload.get("KMD_version") or ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return Listing(problem=f"{COMMANDS[0]} answered what is no listing: {text.strip()[:80]!r}")
    return Listing(str(driver), npus)


def power_mw(text: Any) -> int | None:
    """Return mW from such as ``"17521800uW"``; ``None`` without a known unit, or for what no card draws."""
    return _within(_scaled(text, _POWER_UNITS), _POWER_MW)


def temperature_mc(text: Any) -> int | None:
    """Return m°C from such as ``"31C"``; ``None`` without a known unit, or for what no die has."""
    return _within(_scaled(text, _TEMPERATURE_UNITS), _TEMPERATURE_MC)


def _npu(entry: Mapping[str, Any], position: int) -> Npu:
    pci = entry.get("pci") or {}
    memory = entry.get("memory") or {}
    details = {
        "sid": entry.get("sid"),
        "uuid": entry.get("uuid"),
        "firmware": entry.get("fw_ver"),
        "status": entry.get("status"),
        "pci": pci.get("bus_id"),
        "numa_node": pci.get("numa_node"),
        "link": " x".join(str(pci[key]) for key in ("link_speed", "link_width") if pci.get(key)),
        "memory_bytes": memory.get("total"),
    }
    return Npu(
        index=_index(entry, position),
        name=str(entry.get("name") or "RBLN"),
        sid=str(entry.get("sid") or ""),
        power_mw=power_mw(entry.get("card_power")),
        temperature_mc=temperature_mc(entry.get("temperature")),
        pstate=str(entry.get("pstate") or ""),
        details={key: str(value) for key, value in details.items() if value not in (None, "")},
    )


def _index(entry: Mapping[str, Any], position: int) -> int:
    """Return the number of the device file: the key ``npu`` is an int or a string, and repeats on cards of several dies."""
    file = re.fullmatch(r"rbln([0-9]+)", str(entry.get("device") or ""))
    if file:
        return int(file[1])
    number = str(entry.get("npu", ""))
    return int(number) if number.isdecimal() else position


def _scaled(text: Any, units: Mapping[str, float]) -> int | None:
    parts = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if parts is None or parts[2] not in units:
        return None
    value = float(parts[1]) * units[parts[2]]
    return round(value) if math.isfinite(value) else None


def _within(value: int | None, limits: tuple[int, int]) -> int | None:
    return value if value is not None and limits[0] <= value <= limits[1] else None
