"""Bench and wall meters by SCPI: what is sent and asked stands in a profile, PyVISA carries it.

An instrument's own energy counter is read where it has one: it integrates many times faster than anybody can ask. Setting it up,
starting and stopping the counter are the profile's; ranges are fixed only where the settings say so, and are read back.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyvisa
from pyvisa.resources import MessageBasedResource
from pyvisa.rname import InvalidResourceName, ResourceName

from npubench.contract.runspec import MeterSpec
from npubench.measure.meters.clock import half_trip_ns
from npubench.measure.meters.profile import Profile, Quantity, Range, load_profile
from npubench.measure.meters.sensor import MeterError, MeterSensor
from npubench.measure.meters.units import number, scaled, step, unit

#: After a failed question an instrument is left alone for so long: one that is gone must not take the sampler's time.
_RETRY_NS = 2_000_000_000

#: How much of an answer an error text shows.
_SHOWN = 60

#: How far a range that is read back may be from the one set: instruments write three or four digits.
_RANGE_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Settings:
    """A bench or wall meter.

    Args:
        address: The VISA resource, such as ``"TCPIP::192.0.2.7::10001::SOCKET"``.
        profile: ``"yokogawa-wt300"``, ``"yokogawa-wt500"``, or the path of a profile in TOML.
        quantity: Which of the profile's quantities is read; the energy counter where it has one.
        element: The instrument's input, or its word for the sum of several, such as ``"SIGMA"``.
        update_period_ms: How often the instrument updates; one of the profile's rates.
        voltage_range: A fixed range, V; left out, the instrument chooses.
        current_range: A fixed range, A; left out, the instrument chooses.
        timeout_ms: How long an answer may take.
        visa: PyVISA's name of the VISA library; ``"@py"`` is the pure Python one.
    """

    address: str
    profile: str
    quantity: Literal["energy", "power"] | None = None
    element: int | str = 1
    update_period_ms: int | None = None
    voltage_range: float | None = None
    current_range: float | None = None
    timeout_ms: int = 1000
    visa: str = "@py"


class _Line:
    """The connection to an instrument. After any failure it is closed: a late answer must not be taken for the next one's."""

    def __init__(self, settings: Settings, profile: Profile) -> None:
        self._settings = settings
        self._profile = profile
        self._resource: MessageBasedResource | None = None
        self._retry_ns = 0

    def open(self) -> None:
        """Connect.

        Raises:
            MeterError: It cannot be reached, or the address is no VISA resource.
        """
        address = self._settings.address
        _resolve(address)
        try:
            found = pyvisa.ResourceManager(self._settings.visa).open_resource(address, open_timeout=self._settings.timeout_ms)
        except Exception as error:  # noqa: BLE001 - a VISA library raises what it likes
            raise MeterError(
                f"settings.address: {address} cannot be opened: {_words(error)}; is it on and on the network?"
            ) from None
        if not isinstance(found, MessageBasedResource):
            found.close()
            raise MeterError(f"settings.address: {address} takes no messages; a resource ends in ::SOCKET or ::INSTR")
        found.timeout = self._settings.timeout_ms
        found.write_termination = self._profile.write_terminator
        found.read_termination = self._profile.read_terminator
        self._resource = found

    def tell(self, command: str) -> None:
        """Send a command."""
        if self._resource is None:
            self.open()
        assert self._resource is not None
        try:
            self._resource.write(command)
        except Exception:
            self.close()
            raise

    def ask(self, query: str) -> str:
        """Return the answer to a query, without its end and the blanks around it."""
        self.tell(query)
        assert self._resource is not None
        try:
            return self._resource.read().strip()
        except Exception:
            self.close()
            raise

    def resting(self) -> bool:
        """Return whether the instrument failed a moment ago and is left alone."""
        return self._resource is None and time.monotonic_ns() < self._retry_ns

    def close(self) -> None:
        """Hang up."""
        resource, self._resource = self._resource, None
        self._retry_ns = time.monotonic_ns() + _RETRY_NS
        if resource is not None:
            with contextlib.suppress(Exception):
                resource.close()


class ScpiSensor(MeterSensor):
    """An instrument's energy counter or power gauge.

    Attributes:
        identity: What the instrument said it is.
        ranges: The measuring ranges that were in force at the start: ``"voltage_range"`` in V, ``"current_range"`` in A.
    """

    evidence = "wall meter"

    def __init__(
        self, spec: MeterSpec, line: _Line, profile: Profile, kind: str, identity: str, ranges: Mapping[str, float]
    ) -> None:
        quantity = profile.energy if kind == "energy" else profile.power
        assert quantity is not None
        self.name, self.kind, self.domain = spec.name, kind, spec.domain
        self.averages = quantity.averages if kind == "power" else None
        self.identity, self.ranges = identity, ranges
        self._line, self._quantity, self._stop = line, quantity, profile.stop
        _, self._factor = unit(quantity.unit, "unit", (kind,))
        if quantity.quantum:
            self.quantum = max(1, round(quantity.quantum * float(self._factor)))

    def read(self) -> int | None:
        """Return the value now; None for an answer that is no number, no answer, or none in time."""
        if self._line.resting():
            return None
        sent = time.monotonic_ns()
        try:
            answer = self._line.ask(self._quantity.query)
        except Exception:  # noqa: BLE001 - a reading without a value
            return None
        fields = answer.split(",")
        value = number(fields[self._quantity.position]) if len(fields) == self._quantity.numbers else None
        if value is None:
            return None
        self.clock_error_ns = max(self.clock_error_ns, half_trip_ns(sent, time.monotonic_ns()))
        if not self._quantity.quantum:
            # Answers have a fixed number of digits, so that the step grows with the value: the largest one holds.
            self.quantum = max(self.quantum or 1, step(value, self._factor))
        return scaled(value, self._factor)

    def close(self) -> None:
        """Stop the counter and hang up."""
        with contextlib.suppress(Exception):
            if not self._line.resting():
                for command in self._stop:
                    self._line.tell(command)
        self._line.close()


def open_meter(spec: MeterSpec, settings: Settings) -> Sequence[MeterSensor]:
    """Open, identify, set up and start an instrument, and wait for its first value.

    Raises:
        MeterError: The profile is wrong, the instrument cannot be reached, is another one, refuses a command or range, or
            gives no number.
    """
    profile = load_profile(settings.profile)
    kind = _kind(settings, profile)
    period_ms, rate = _rate(settings, profile)
    places = {"element": str(settings.element), "rate": rate}
    line = _Line(settings, profile)
    line.open()
    try:
        identity = _ask(line, settings, profile.identify)
        if not re.search(profile.identity, identity):
            raise MeterError(
                f"settings.profile: {settings.address} says it is '{identity[:_SHOWN]}', which '{settings.profile}' is not for; "
                "give the path of a profile made for it"
            )
        for command in profile.clear:
            _tell(line, settings, _fill(command, places))
        if profile.error:
            _drain(line, settings, profile)
        ranges = _set_ranges(line, settings, profile, places)
        for command in (*profile.setup, *profile.start):
            _tell(line, settings, _fill(command, places))
            _complain(line, settings, profile, command)
        if kind == "energy" and profile.running:
            state = _ask(line, settings, profile.running)
            if not re.search(profile.running_answer, state):
                raise MeterError(f"the instrument's energy counter does not run; it says '{state[:_SHOWN]}'")
        sensor = ScpiSensor(spec, line, _filled(profile, places), kind, identity, ranges)
        sensor.update_period_ns = period_ms * 1_000_000 if period_ms else None
        _await_first(sensor, line, settings, period_ms or 1000)
    except BaseException:
        line.close()
        raise
    return [sensor]


def _kind(settings: Settings, profile: Profile) -> str:
    has = [kind for kind, quantity in (("energy", profile.energy), ("power", profile.power)) if quantity is not None]
    if settings.quantity is not None and settings.quantity not in has:
        raise MeterError(f"settings.quantity: profile '{settings.profile}' has no {settings.quantity}; it has: {', '.join(has)}")
    return settings.quantity or has[0]


def _rate(settings: Settings, profile: Profile) -> tuple[int | None, str]:
    """Return the update period, ms, and the instrument's word for it."""
    if not profile.rates:
        return settings.update_period_ms, ""
    wanted = str(settings.update_period_ms or next(iter(profile.rates)))
    if wanted not in profile.rates:
        raise MeterError(
            f"settings.update_period_ms: {wanted} is not a rate of '{settings.profile}'; it has: {', '.join(profile.rates)}"
        )
    return int(wanted), profile.rates[wanted]


def _set_ranges(line: _Line, settings: Settings, profile: Profile, places: Mapping[str, str]) -> dict[str, float]:
    """Fix or free the measuring ranges, and return those in force."""
    ranges = {}
    for key in ("voltage_range", "current_range"):
        how: Range | None = getattr(profile, key)
        wanted: float | None = getattr(settings, key)
        if how is None:
            if wanted is not None:
                raise MeterError(f"settings.{key}: profile '{settings.profile}' has no [{key}]")
            continue
        filled = {**places, "value": f"{wanted:g}" if wanted is not None else ""}
        for command in how.free if wanted is None else how.fix:
            _tell(line, settings, _fill(command, filled))
            _complain(line, settings, profile, command, f"settings.{key}: ")
        # A range of an external sensor is answered with a word before it.
        answer = _ask(line, settings, _fill(how.read, filled))
        found = number(answer.split(",")[-1])
        if found is None:
            raise MeterError(f"settings.{key}: the range in force cannot be read: the instrument says '{answer[:_SHOWN]}'")
        if wanted is not None and abs(float(found) - wanted) > _RANGE_TOLERANCE * abs(wanted):
            raise MeterError(
                f"settings.{key}: the instrument took {float(found):g} instead of {wanted:g}; give a range that it has"
            )
        ranges[key] = float(found)
    return ranges


def _drain(line: _Line, settings: Settings, profile: Profile) -> None:
    """Read away what earlier work left in the error queue."""
    for _ in range(20):
        if re.search(profile.no_error, _ask(line, settings, profile.error)):
            return


def _complain(line: _Line, settings: Settings, profile: Profile, command: str, where: str = "") -> None:
    """Raise if the instrument refused a command."""
    if not profile.error:
        return
    answer = _ask(line, settings, profile.error)
    if not re.search(profile.no_error, answer):
        raise MeterError(f"{where}the instrument refuses '{command}': {answer[:_SHOWN]}")


def _await_first(sensor: ScpiSensor, line: _Line, settings: Settings, period_ms: int) -> None:
    """Wait for the first number: an instrument has none before its first update."""
    until = time.monotonic_ns() + (3 * period_ms + settings.timeout_ms) * 1_000_000
    while sensor.read() is None:
        if line.resting() or time.monotonic_ns() > until:
            raise MeterError(
                f"{settings.address} gives no number for '{sensor.kind}'; does the profile fit, is the load connected, "
                "and does the range suffice?"
            )
        time.sleep(period_ms / 4000)


def _ask(line: _Line, settings: Settings, query: str) -> str:
    try:
        return line.ask(query)
    except MeterError:
        raise
    except Exception as error:  # noqa: BLE001 - a VISA library raises what it likes
        raise MeterError(
            f"settings.address: {settings.address} does not answer '{query}' within {settings.timeout_ms} ms: {_words(error)}"
        ) from None


def _tell(line: _Line, settings: Settings, command: str) -> None:
    try:
        line.tell(command)
    except MeterError:
        raise
    except Exception as error:  # noqa: BLE001 - a VISA library raises what it likes
        raise MeterError(f"settings.address: {settings.address} does not take '{command}': {_words(error)}") from None


def _fill(command: str, places: Mapping[str, str]) -> str:
    for place, text in places.items():
        command = command.replace(f"{{{place}}}", text)
    return command


def _filled(profile: Profile, places: Mapping[str, str]) -> Profile:
    """Return a profile whose queries and last commands have nothing left open."""

    def closed(quantity: Quantity | None) -> Quantity | None:
        return None if quantity is None else replace(quantity, query=_fill(quantity.query, places))

    return replace(
        profile,
        energy=closed(profile.energy),
        power=closed(profile.power),
        stop=tuple(_fill(command, places) for command in profile.stop),
    )


def _resolve(address: str) -> None:
    """Raise MeterError for an address that is no VISA resource, or whose host is not known: libraries say neither clearly."""
    try:
        parsed = ResourceName.from_string(address)
    except InvalidResourceName:
        raise MeterError(
            f"settings.address: '{address}' is no VISA resource; one over the network is TCPIP::HOST::PORT::SOCKET or "
            "TCPIP::HOST::INSTR"
        ) from None
    host = getattr(parsed, "host_address", None)
    if host:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            raise MeterError(f"settings.address: {host} is not known: {error.strerror}") from None


def _words(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
