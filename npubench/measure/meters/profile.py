"""What an instrument is told and asked: a profile, read from TOML. Those of ``profiles/`` are known by name, others by path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib

from npubench.contract.options import OptionError, nearest, parse_options
from npubench.measure.meters.sensor import MeterError
from npubench.measure.meters.units import unit

#: What a command may leave open: the instrument's input, its update rate, and the range that is set.
_PLACES = {"element", "rate", "value"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is read: a query whose answer is a number, or several with commas between.

    Args:
        query: The query.
        unit: The unit of the number, as in :mod:`npubench.measure.meters.units`.
        position: Which of the answer's numbers it is, from 0.
        numbers: How many numbers the answer has; one with another count is no reading.
        averages: For power: whether it is the mean over the update period; left out where the maker does not say.
        quantum: The smallest step in ``unit``; 0 = what the last digit of an answer is worth.
    """

    query: str
    unit: str
    position: int = 0
    numbers: int = 1
    averages: bool | None = None
    quantum: float = 0.0


@dataclass(frozen=True, slots=True)
class Range:
    """How a measuring range is fixed, left to the instrument, and read back.

    Args:
        fix: Commands that fix it; ``{value}`` is the range, in V or A.
        free: Commands that let the instrument choose.
        read: The query for the range in force.
        seen: The query for the voltage, V, or current, A, now; empty = a ranging run cannot choose the range.
        offered: The ranges there are, V or A; of a series of models, those of all: one that is refused is passed over.
    """

    fix: tuple[str, ...]
    free: tuple[str, ...]
    read: str
    seen: str = ""
    offered: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """An instrument's command set.

    Args:
        title: The instruments it is for.
        identity: A regular expression that the answer to ``identify`` holds.
        identify: The query for maker and model.
        write_terminator: What ends a command.
        read_terminator: What ends an answer.
        clear: Commands that end whatever the instrument was doing; errors after them are not looked at.
        setup: Commands that make it ready; ``{element}`` and ``{rate}`` are put in.
        start: Commands that start its energy counter.
        pause: Commands that stop it and set it to zero, where it refuses settings while it counts; ``start`` comes after.
        running: The query whose answer holds ``running_answer`` once it counts; empty = there is none.
        running_answer: A regular expression.
        stop: Commands that stop it and hand the front panel back.
        error: The query for the oldest error; empty = there is none.
        no_error: A regular expression that the answer to it matches where there is none.
        rates: Update period in ms → the instrument's word for it; the first one is used unless settings name another.
        energy: The energy counter, if it has one.
        power: The power gauge, if it has one.
        voltage_range: The voltage range.
        current_range: The current range.
    """

    title: str
    identity: str = ""
    identify: str = "*IDN?"
    write_terminator: str = "\n"
    read_terminator: str = "\n"
    clear: tuple[str, ...] = ("*CLS",)
    setup: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    pause: tuple[str, ...] = ()
    running: str = ""
    running_answer: str = ""
    stop: tuple[str, ...] = ()
    error: str = ""
    no_error: str = "^[+]?0"
    rates: dict[str, str] = field(default_factory=dict)
    energy: Quantity | None = None
    power: Quantity | None = None
    voltage_range: Range | None = None
    current_range: Range | None = None


_PARTS: dict[str, type] = {"energy": Quantity, "power": Quantity, "voltage_range": Range, "current_range": Range}


def shipped() -> dict[str, Path]:
    """Return the profiles that come with npubench: name → file."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "profiles").glob("*.toml"))}


def load_profile(name: str) -> Profile:
    """Return the profile of a name, or of a path that ends in ``.toml``.

    Raises:
        MeterError: There is none of that name, the file cannot be read, or it is no profile; the text names file and key.
    """
    known = shipped()
    if not name.endswith(".toml") and name not in known:
        raise MeterError(f"settings.profile: unknown profile '{name}'{nearest(name, known)}; or a path that ends in .toml")
    path = known.get(name, Path(name).expanduser())
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MeterError(f"settings.profile: {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MeterError(f"settings.profile: {path}: {error}") from error
    try:
        return _checked(parse_profile(values, path.name), path.name)
    except OptionError as error:
        raise MeterError(f"settings.profile: {error}") from error


def parse_profile(values: Mapping[str, Any], where: str) -> Profile:
    """Return the profile that a TOML document is; its tables are the quantities and ranges.

    Raises:
        OptionError: A key is unknown or missing, or of another type.
    """
    plain = {key: value for key, value in values.items() if key not in _PARTS}
    parts = {}
    for key, cls in _PARTS.items():
        if key in values:
            if not isinstance(values[key], Mapping):
                raise OptionError(f"{where}: {key} is not a table")
            parts[key] = parse_options(cls, values[key], f"{where}: {key}")
    try:
        # Unknown keys are named with the tables among the valid ones.
        for key in plain:
            if key not in Profile.__dataclass_fields__:
                raise OptionError(f"{where}: unknown key '{key}'{nearest(key, Profile.__dataclass_fields__)}")
        base: Profile = parse_options(Profile, plain, where)
    except TypeError as error:
        raise OptionError(f"{where}: {error}") from error
    return Profile(**{name: getattr(base, name) for name in Profile.__dataclass_fields__} | parts)


def _checked(profile: Profile, where: str) -> Profile:
    """Return a profile that can be used.

    Raises:
        MeterError: A unit, placeholder, rate or regular expression of it is wrong, or it reads nothing.
    """
    for kind, quantity in (("energy", profile.energy), ("power", profile.power)):
        if quantity is not None:
            unit(quantity.unit, f"settings.profile: {where}: {kind}.unit", (kind,))
            if not 0 <= quantity.position < quantity.numbers:
                raise MeterError(
                    f"settings.profile: {where}: {kind}.position is not among the answer's {quantity.numbers} numbers"
                )
    if profile.energy is None and profile.power is None:
        raise MeterError(f"settings.profile: {where}: neither [energy] nor [power]: it reads nothing")
    for key in ("voltage_range", "current_range"):
        how = getattr(profile, key)
        for value in how.offered if how is not None else ():
            if not 0.0 < value < float("inf"):
                raise MeterError(f"settings.profile: {where}: {key}.offered: {value:g} is no range")
    for key in profile.rates:
        if not key.isdecimal() or int(key) == 0:
            raise MeterError(f"settings.profile: {where}: rates: '{key}' is not a whole number of ms")
    for key in ("identity", "running_answer", "no_error"):
        try:
            re.compile(getattr(profile, key))
        except re.error as error:
            raise MeterError(f"settings.profile: {where}: {key}: {error}") from error
    for command in _commands(profile):
        for place in re.findall(r"\{(\w*)\}", command):
            if place not in _PLACES:
                raise MeterError(f"settings.profile: {where}: '{command}': unknown place '{place}'{nearest(place, _PLACES)}")
    return profile


def _commands(profile: Profile) -> list[str]:
    ranges = [each for each in (profile.voltage_range, profile.current_range) if each is not None]
    quantities = [each.query for each in (profile.energy, profile.power) if each is not None]
    listed = [*profile.clear, *profile.setup, *profile.start, *profile.pause, *profile.stop]
    return [*listed, *quantities, *(command for each in ranges for command in (*each.fix, *each.free, each.read, each.seen))]
