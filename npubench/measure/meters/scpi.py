"""Bench and wall meters by SCPI: what is sent and asked stands in a profile, PyVISA carries it.

An instrument's own energy counter is read where it has one: it integrates many times faster than anybody can ask. Setting it up,
starting and stopping the counter are the profile's; ranges are the host file's, a ranging run's, or the instrument's own.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from npubench.contract.runspec import MeterSpec
from npubench.measure.meters.clock import half_trip_ns
from npubench.measure.meters.line import SHOWN, Line, fill
from npubench.measure.meters.profile import Profile, Quantity, load_profile
from npubench.measure.meters.ranges import Ranges
from npubench.measure.meters.sensor import MeterError, MeterSensor
from npubench.measure.meters.units import number, scaled, step, unit

#: What can be a wall meter: what sees a whole machine. A bench meter on a card's rails is worth what the card's own sensor is.
_WHOLE = ("wall", "host")


@dataclass(frozen=True, slots=True)
class Settings:
    """A bench or wall meter. Its answers are stamped here, halfway between question and answer: its own clock is not used.

    Args:
        address: The VISA resource, such as ``"TCPIP::192.0.2.7::10001::SOCKET"``.
        profile: ``"yokogawa-wt300"``, ``"yokogawa-wt500"``, or the path of a profile in TOML.
        quantity: Which of the profile's quantities is read; the energy counter where it has one.
        element: The instrument's input, or its word for the sum of several, such as ``"SIGMA"``.
        evidence: What its watts are worth. Only what sees a whole machine, domain wall or host, is a wall meter.
        update_period_ms: How often the instrument updates; one of the profile's rates.
        voltage_range: A fixed range, V; left out, the ranging run of grade official or else the instrument chooses.
        current_range: A fixed range, A; left out, the ranging run of grade official or else the instrument chooses.
        timeout_ms: How long an answer may take.
        visa: PyVISA's name of the VISA library; ``"@py"`` is the pure Python one.
    """

    address: str
    profile: str
    quantity: Literal["energy", "power"] | None = None
    element: int | str = 1
    evidence: Literal["wall meter", "BMC or PDU", "device energy counter", "device power gauge"] = "wall meter"
    update_period_ms: int | None = None
    voltage_range: float | None = None
    current_range: float | None = None
    timeout_ms: int = 1000
    visa: str = "@py"


class ScpiSensor(MeterSensor):
    """An instrument's energy counter or power gauge.

    Attributes:
        identity: What the instrument said it is.
        ranges: Its measuring ranges.
    """

    def __init__(
        self, spec: MeterSpec, settings: Settings, line: Line, profile: Profile, kind: str, identity: str, ranges: Ranges
    ) -> None:
        quantity = profile.energy if kind == "energy" else profile.power
        assert quantity is not None
        self.name, self.kind, self.domain = spec.name, kind, spec.domain
        self.evidence, self.address = settings.evidence, settings.address
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
        except MeterError:
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

    def look(self) -> None:
        """Note the highest voltage and current.

        Raises:
            MeterError: The instrument cannot be asked.
        """
        self.ranges.look()

    def fix_ranges(self) -> None:
        """Fix the ranges by what was noted, and wait until the instrument shows a number again."""
        self.ranges.fix()
        if not self.await_number():
            self.ranges.reason = self.ranges.reason or "it gave no number after its ranges were fixed"

    def ranging(self) -> Mapping[str, Any]:
        """Return what came of the ranging run."""
        return self.ranges.told()

    def await_number(self) -> bool:
        """Wait for a number: an instrument has none before its next update. Return whether it came."""
        period_ns = self.update_period_ns or 1_000_000_000
        until = time.monotonic_ns() + 3 * period_ns + self._line.timeout_ms * 1_000_000
        while self.read() is None:
            if self._line.resting() or time.monotonic_ns() > until:
                return False
            time.sleep(period_ns / 4e9)
        return True

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
        MeterError: The profile is wrong, the evidence is better than the domain allows, the instrument cannot be reached, is
            another one, refuses a command or range, or gives no number.
    """
    profile = load_profile(settings.profile)
    kind = _kind(settings, profile)
    _check_evidence(spec, settings, kind)
    period_ms, rate = _rate(settings, profile)
    places = {"element": str(settings.element), "rate": rate, "value": ""}
    line = Line(settings.address, settings.timeout_ms, settings.visa, profile)
    line.open()
    try:
        identity = line.ask(profile.identify)
        if not re.search(profile.identity, identity):
            raise MeterError(
                f"settings.profile: {settings.address} says it is '{identity[:SHOWN]}', which '{settings.profile}' is not for; "
                "give the path of a profile made for it"
            )
        for command in profile.clear:
            line.tell(fill(command, places))
        line.forget_errors()
        wanted = {"voltage_range": settings.voltage_range, "current_range": settings.current_range}
        ranges = Ranges(line, profile, places, wanted, str(settings.element).isdecimal())
        ranges.begin()
        for command in (*profile.setup, *profile.start):
            line.order(command, places)
        if kind == "energy" and profile.running:
            state = line.ask(profile.running)
            if not re.search(profile.running_answer, state):
                raise MeterError(f"the instrument's energy counter does not run; it says '{state[:SHOWN]}'")
        sensor = ScpiSensor(spec, settings, line, _filled(profile, places), kind, identity, ranges)
        sensor.update_period_ns = period_ms * 1_000_000 if period_ms else None
        if not sensor.await_number():
            raise MeterError(
                f"{settings.address} gives no number for '{kind}'; does the profile fit, is the load connected, "
                "and does the range suffice?"
            )
    except BaseException:
        line.close()
        raise
    return [sensor]


def _check_evidence(spec: MeterSpec, settings: Settings, kind: str) -> None:
    """Raise MeterError for evidence that is better than what the meter sees."""
    own = "device energy counter" if kind == "energy" else "device power gauge"
    said = settings.evidence
    if spec.domain not in _WHOLE and said in ("wall meter", "BMC or PDU"):
        raise MeterError(
            f"settings.evidence: a meter of domain '{spec.domain}' is no {said}: it does not see the whole machine; say '{own}'"
        )
    if said == "device energy counter" and kind == "power":
        raise MeterError(f"settings.evidence: a meter whose power is read is no {said}; say '{own}'")


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


def _filled(profile: Profile, places: Mapping[str, str]) -> Profile:
    """Return a profile whose queries and last commands have nothing left open."""

    def closed(quantity: Quantity | None) -> Quantity | None:
        return None if quantity is None else replace(quantity, query=fill(quantity.query, places))

    return replace(
        profile,
        energy=closed(profile.energy),
        power=closed(profile.power),
        stop=tuple(fill(command, places) for command in profile.stop),
    )
