"""Do the device's sensors say what they are, and read as they say? Read idle and, where it can be loaded, at work."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from npubench.contract.backend import Sensor
from npubench.contract.power_limit import PowerLimit, can_set
from npubench.measure.events import words
from npubench.testing.conformance.subject import Subject
from npubench.testing.conformance.verdict import Broken, Check, NotApplicable, Noted

_DOMAINS = ("chip", "card", "board", "host", "wall")


class _Kind(NamedTuple):
    """The unit of a kind, and what a value in another unit would look like: outside of these bounds."""

    unit: str
    least: int
    most: int
    suspicion: str


#: Kinds of sensors (contract). The bounds are those of hardware that fits into a host, whatever it is.
_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "energy": _Kind("µJ", 0, 1 << 63, "a counter in µJ is never below 0"),
        "power": _Kind("mW", 100, 5_000_000, "is it in W or in µW?"),
        "temperature": _Kind("m°C", 1_000, 150_000, "is it in °C?"),
        "clock": _Kind("Hz", 1_000_000, 20_000_000_000, "is it in MHz or in kHz?"),
        "utilisation": _Kind("ppm", 0, 1_000_000, "is it above one?"),
        "throttle": _Kind("", 0, 1, "it is 0 or 1"),
    }
)

#: How long sensors are read, s: a few updates of those that say how often they change, within bounds.
_SHORTEST_S, _LONGEST_S, _UPDATES = 0.3, 2.5, 3

#: How often they are read meanwhile, s.
_EVERY_S = 0.005


def _declared(subject: Subject) -> str:
    sensors = subject.sensors
    if not sensors:
        raise NotApplicable("it brings no sensors; energy comes from a meter of the host's, or not at all")
    names = [sensor.name for sensor in sensors]
    if len(set(names)) < len(names):
        raise Broken(f"two sensors have one name: {', '.join(sorted(names))}")
    for sensor in sensors:
        if not isinstance(sensor, Sensor) or not sensor.name:
            raise Broken(f"{sensor!r} is no Sensor with a name")
        if sensor.kind not in _KINDS:
            raise Broken(f"sensor '{sensor.name}': kind '{sensor.kind}' is none of {', '.join(_KINDS)}")
        if sensor.domain not in _DOMAINS:
            raise Broken(f"sensor '{sensor.name}': domain '{sensor.domain}' is none of {', '.join(_DOMAINS)}")
        for what in ("quantum", "wraps_at"):
            value = getattr(sensor, what)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise Broken(f"sensor '{sensor.name}': {what} is {value!r}")
    return ", ".join(f"{s.name}: {s.kind} of the {s.domain} in {_KINDS[s.kind].unit or '0 or 1'}" for s in sensors)


def _period(subject: Subject) -> str:
    silent = []
    for sensor in subject.sensors:
        period = sensor.update_period_ns
        if period is None:
            silent.append(sensor.name)
        elif not isinstance(period, int) or period < 1:
            raise Broken(f"sensor '{sensor.name}': update_period_ns is {period!r}")
    if silent:
        raise Noted(f"not said for {', '.join(silent)}: such a sensor is polled ten times a second")
    return ", ".join(f"{s.name} every {(s.update_period_ns or 0) / 1e6:g} ms" for s in subject.sensors)


def _read(subject: Subject) -> str:
    said = []
    for sensor, readings in _watched(subject, subject.sensors):
        bounds = _KINDS[sensor.kind]
        values = [value for value in readings if value is not None]
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int):
                raise Broken(f"sensor '{sensor.name}' reads {value!r} ({type(value).__name__}), not an int or None")
        if sensor.kind == "power" and values and not any(values):
            raise Broken(f"sensor '{sensor.name}' reads 0 mW, always; None is the word for no value")
        for value in values:
            if not (bounds.least <= value <= bounds.most or (sensor.kind == "power" and value == 0)):
                raise Broken(f"sensor '{sensor.name}' reads {value} {bounds.unit}: {bounds.suspicion}")
        span = f"{min(values)}…{max(values)} {bounds.unit}" if values else "no value"
        said.append(f"{sensor.name} {span.strip()}")
    if any(text.endswith("no value") for text in said):
        raise Noted("; ".join(said))
    return "; ".join(said)


def _monotone(subject: Subject) -> str:
    counters = [sensor for sensor in subject.sensors if sensor.kind == "energy"]
    if not counters:
        raise NotApplicable("it has no energy counter")
    said = []
    for sensor, readings in _watched(subject, counters):
        values = [value for value in readings if value is not None]
        for before, after in pairwise(values):
            if after < before and not (sensor.wraps_at and before - after > sensor.wraps_at // 2):
                raise Broken(f"sensor '{sensor.name}' falls from {before} to {after} µJ, and says no wraps_at")
            if sensor.wraps_at and after >= sensor.wraps_at:
                raise Broken(f"sensor '{sensor.name}' reads {after} µJ, and says that it wraps at {sensor.wraps_at}")
        if len(values) > 1 and len(set(values)) == 1:
            raise Noted(f"sensor '{sensor.name}' stood still at {values[0]} µJ while it was watched")
        said.append(f"{sensor.name}: {len(values)} readings, none below the one before")
    return "; ".join(said)


def _limit(subject: Subject) -> str:
    """Read a power limit and hold it against its own bounds; nothing is ever set here."""
    try:
        limit = subject.backend.power_limit(subject.device)
        if limit is None:
            raise NotApplicable("it shows no power limit")
        if not isinstance(limit, PowerLimit):
            raise Broken(f"power_limit returns {type(limit).__name__}, not PowerLimit")
        value, bounds = limit.read(), limit.bounds()
    except (NotApplicable, Broken):
        raise
    except Exception as error:
        raise Broken(f"its power limit cannot be read: {words(error)}") from error
    for milliwatts in (() if value is None else (value,)) + tuple(bounds or ()):
        if isinstance(milliwatts, bool) or not isinstance(milliwatts, int):
            raise Broken(f"its power limit says {milliwatts!r} ({type(milliwatts).__name__}), not an int or None")
    if bounds is not None and (len(bounds) != 2 or bounds[0] > bounds[1]):
        raise Broken(f"its bounds are {bounds!r}, not the least and the highest limit in mW")
    if value is None:
        raise Noted("it has a power limit that does not say its value: nothing can be measured under another one")
    least, most = _KINDS["power"].least, _KINDS["power"].most
    if not least <= value <= most:
        raise Broken(f"its power limit is {value} mW: {_KINDS['power'].suspicion}")
    if bounds is not None and not bounds[0] <= value <= bounds[1]:
        raise Broken(f"its power limit is {value} mW, and its bounds are {bounds[0]}…{bounds[1]} mW")
    within = f", of {bounds[0]}…{bounds[1]} mW" if bounds is not None else ""
    return f"{value} mW{within}; it can{'' if can_set(limit) else 'not'} be set"


def _watched(subject: Subject, sensors: Sequence[Sensor]) -> list[tuple[Sensor, list[int | None]]]:
    """Read sensors for a while, the first half idle, the second under load where an executor can be had."""
    periods = [sensor.update_period_ns for sensor in sensors if isinstance(sensor.update_period_ns, int)]
    seconds = min(_LONGEST_S, max([_SHORTEST_S, *(_UPDATES * period / 1e9 for period in periods)]))
    readings: list[tuple[Sensor, list[int | None]]] = [(sensor, []) for sensor in sensors]
    for load in (contextlib.nullcontext(), _working(subject)):
        with load:
            end = time.monotonic() + seconds / 2
            while time.monotonic() < end:
                for sensor, values in readings:
                    try:
                        values.append(sensor.read())
                    except Exception as error:
                        raise Broken(f"sensor '{sensor.name}': read raises {words(error)}") from error
                time.sleep(_EVERY_S)
    return readings


@contextlib.contextmanager
def _working(subject: Subject) -> Iterator[None]:
    """Keep the device at work while inside, if that is possible."""
    try:
        request = subject.inside.requests[0]
        executor = subject.open()
    except Exception:  # noqa: BLE001 - what is wrong there is told by the checks of it; sensors can be read idle
        yield
        return
    stop = threading.Event()

    def work() -> None:
        with contextlib.suppress(Exception):
            while not stop.is_set():
                executor.execute(request)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        executor.close()


CHECKS = (
    Check(
        "sensors/declared",
        "Every sensor has a name of its own, and a kind (which fixes its unit) and a domain that are known.",
        "See npubench.contract.Sensor for kinds, units and domains.",
        "device",
        _declared,
        gives="sensors",
    ),
    Check(
        "sensors/period",
        "Every sensor says how often its value changes.",
        "Set update_period_ns to what the vendor says or what was measured on a card; None only where nobody knows.",
        "sensors",
        _period,
    ),
    Check(
        "sensors/read",
        "read returns an int in the unit of its kind, or None for no value, and never raises.",
        "Convert to µJ, mW, m°C, Hz or ppm; return None where the tool says N/A, and never 0 for it.",
        "sensors",
        _read,
    ),
    Check(
        "sensors/monotone",
        "An energy counter never falls, unless it wraps where it says.",
        "Set wraps_at for a counter of few bits; a sum kept by the plug-in itself is no counter.",
        "sensors",
        _monotone,
    ),
    Check(
        "sensors/power-limit",
        "A power limit, where the device has one, reads as an int in mW within its own bounds.",
        "Convert to mW; return None from power_limit where the device has none.",
        "device",
        _limit,
    ),
)
