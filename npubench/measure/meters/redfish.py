"""A server's or chassis's power by its BMC, over Redfish.

New services have ``EnvironmentMetrics`` (power in W, energy in J or kWh), older ones ``Power`` with ``PowerControl``. Readings
are stamped here; where the service says when it took one, by its own clock, that clock is aligned and the delay taken off.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal

from npubench.contract.options import nearest
from npubench.contract.runspec import MeterSpec
from npubench.measure.meters.bmc import ROOT, Account, Bmc, BmcError, trust
from npubench.measure.meters.clock import ClockJumpedError, Exchange, Offset, align, half_trip_ns
from npubench.measure.meters.credentials import Secret, needed
from npubench.measure.meters.sensor import MeterError, MeterSensor
from npubench.measure.meters.units import number, scaled, step, unit

#: How often the service's clock is asked at the start: its stamps are cut to whole seconds on most.
_CLOCK_EXCHANGES = 5

#: Redfish writes units by UCUM; the only one that differs from ours.
_UCUM = {"kW.h": "kWh"}

#: After a failed request a service is left alone for so long.
_RETRY_NS = 2_000_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Settings:
    """A BMC. User and password are named, never written: by a variable or a file that has them.

    Args:
        host: The service's name or address; always by HTTPS.
        port: Its port.
        chassis: The chassis's id; left out, the one that reports power.
        quantity: What is read; left out, an energy counter in J where there is one, else power.
        control: Which entry of an older service's ``PowerControl``, from 0.
        update_period_ms: How often the service updates it, where that is known.
        user_env: The variable that has the user.
        user_file: The file that has the user.
        password_env: The variable that has the password.
        password_file: The file that has the password.
        ca_file: The certificate, in PEM, of the authority that signed the service's, or the service's own.
        insecure: Whether the service's certificate is not checked at all.
        timeout_ms: How long an answer may take.
    """

    host: str
    port: int = 443
    chassis: str | None = None
    quantity: Literal["energy", "power"] | None = None
    control: int = 0
    update_period_ms: int | None = None
    user_env: str | None = None
    user_file: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    insecure: bool = False
    timeout_ms: int = 3000


#: Finds a figure in a resource; None where it is not there.
Find = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a figure is: the resource, where in it, and its unit."""

    path: str
    find: Find
    unit: str


class RedfishSensor(MeterSensor):
    """A chassis's power or energy.

    Attributes:
        clock: How far the service's clock is ahead of this machine's monotonic one; None where it does not tell the time.
    """

    evidence = "BMC or PDU"

    def __init__(self, spec: MeterSpec, bmc: Bmc, source: _Source) -> None:
        self.kind, self._factor = unit(source.unit, "settings")
        self.name, self.domain, self.address = spec.name, spec.domain, bmc.where
        self.clock: Offset | None = None
        self._bmc, self._source = bmc, source
        self._retry_ns = 0
        self._trip_ns = 0
        self._stamp_ns: int | None = None
        self._stamp_error_ns = 0
        self._least_age_ns: int | None = None

    def read(self) -> int | None:
        """Return the value now; None without an answer in time, or where the service has no number."""
        if time.monotonic_ns() < self._retry_ns:
            return None
        sent = time.monotonic_ns()
        try:
            resource = self._bmc.get(self._source.path)
        except BmcError:
            self._retry_ns = time.monotonic_ns() + _RETRY_NS
            return None
        received = time.monotonic_ns()
        value = _decimal(self._source.find(resource))
        if value is None:
            return None
        self._trip_ns = max(self._trip_ns, half_trip_ns(sent, received))
        self._take_stamp(resource.get("ReadingTime"), sent + (received - sent) // 2)
        self.clock_error_ns = self._trip_ns + self._stamp_error_ns
        # JSON drops trailing zeros: the finest step seen is the step.
        found = step(value, self._factor)
        self.quantum = found if self.quantum is None else min(self.quantum, found)
        return scaled(value, self._factor)

    def close(self) -> None:
        """End the session."""
        self._bmc.close()

    def _take_stamp(self, said: Any, now_ns: int) -> None:
        """Take the service's own stamp: what the freshest reading is old is how long the service takes to publish one."""
        if self.clock is None or not isinstance(said, str):
            return
        try:
            stamp, resolution = parse_stamp(said)
        except ValueError:
            return
        if self._stamp_ns is not None and stamp < self._stamp_ns:
            # Its clock was set back: what was known of it no longer holds, by as much as it jumped.
            self.clock, self._stamp_error_ns = None, self._stamp_error_ns + self._stamp_ns - stamp
            return
        self._stamp_ns = stamp
        age = now_ns - self.clock.here(stamp)
        self._least_age_ns = age if self._least_age_ns is None else min(self._least_age_ns, age)
        self.clock_offset_ns = max(0, self._least_age_ns)
        self._stamp_error_ns = self.clock.error_ns + resolution


def open_meter(spec: MeterSpec, settings: Settings) -> Sequence[MeterSensor]:
    """Log in, find what the chassis reports, and read it once.

    Raises:
        MeterError: The service cannot be reached, is not trusted, refuses the account, or reports no such figure.
    """
    if "/" in settings.host or "@" in settings.host:
        raise MeterError(f"settings.host: '{settings.host.rpartition('@')[2]}' is more than a name or an address")
    if settings.update_period_ms is not None and settings.update_period_ms <= 0:
        raise MeterError(f"settings.update_period_ms: {settings.update_period_ms} is not above 0")
    account = Account(_of("user", settings), _of("password", settings))
    try:
        bmc = Bmc(settings.host, settings.port, account, trust(settings.ca_file, settings.insecure), settings.timeout_ms)
    except BmcError as error:
        raise MeterError(str(error)) from None
    try:
        bmc.login()
        source, resource = _find(bmc, settings)
        sensor = RedfishSensor(spec, bmc, source)
        sensor.update_period_ns = _update_period_ns(settings, resource)
        if "ReadingTime" in resource:
            sensor.clock = _clock(bmc)
        if sensor.read() is None:
            raise MeterError(f"{settings.host} has no number in {source.path} now")
    except BmcError as error:
        bmc.close()
        raise MeterError(str(error)) from None
    except BaseException:
        bmc.close()
        raise
    return [sensor]


def _of(key: str, settings: Settings) -> Secret:
    return needed(key, getattr(settings, f"{key}_env"), getattr(settings, f"{key}_file"))


def _find(bmc: Bmc, settings: Settings) -> tuple[_Source, dict[str, Any]]:
    """Return where the figure is, with the resource as it was found.

    Raises:
        MeterError: No chassis, or more than one, reports it.
        BmcError: The service fails.
    """
    members = [member["@odata.id"] for member in _links(bmc.get(f"{ROOT}/Chassis").get("Members"))]
    names = {path.rstrip("/").rpartition("/")[2]: path for path in members}
    if settings.chassis is not None:
        if settings.chassis not in names:
            raise MeterError(
                f"settings.chassis: {settings.host} has no chassis '{settings.chassis}'{nearest(settings.chassis, names)}"
            )
        names = {settings.chassis: names[settings.chassis]}
    found = {}
    for name, path in names.items():
        source = _of_chassis(bmc, bmc.get(path), settings)
        if source is not None:
            found[name] = source
    if not found:
        what = settings.quantity or "power"
        raise MeterError(f"settings: {settings.host} reports no {what} for: {', '.join(names) or 'any chassis'}")
    if len(found) > 1:
        raise MeterError(f"settings.chassis: several report power, and one may hold another; say which: {', '.join(found)}")
    return found.popitem()[1]


def _of_chassis(bmc: Bmc, chassis: dict[str, Any], settings: Settings) -> tuple[_Source, dict[str, Any]] | None:
    """Return where a chassis reports the figure; None where it does not."""
    for link in _links([chassis.get("EnvironmentMetrics")]):
        metrics = bmc.get(link["@odata.id"])
        for key, name, kinds in (
            ("EnergyJoules", "J", ("energy", None)),
            ("PowerWatts", "W", ("power", None)),
            ("EnergykWh", "kWh", ("energy",)),
        ):
            if settings.quantity in kinds and _decimal(_reading(metrics, key)) is not None:
                return _own_sensor(bmc, metrics[key], name) or (
                    _Source(link["@odata.id"], lambda resource, key=key: _reading(resource, key), name),  # type: ignore[misc]
                    metrics,
                )
    if settings.quantity == "energy":
        return None
    for link in _links([chassis.get("Power")]):
        power = bmc.get(link["@odata.id"])
        if _decimal(_consumed(power, settings.control)) is not None:
            return _Source(link["@odata.id"], lambda resource: _consumed(resource, settings.control), "W"), power
    return None


def _own_sensor(bmc: Bmc, excerpt: dict[str, Any], expected: str) -> tuple[_Source, dict[str, Any]] | None:
    """Return the sensor that an excerpt is taken from: unlike the excerpt, it says when it was read and how often it is."""
    path = excerpt.get("DataSourceUri")
    if not isinstance(path, str) or not path.startswith("/"):
        return None
    try:
        resource = bmc.get(path)
    except BmcError:
        return None
    said = resource.get("ReadingUnits")
    name = _UCUM.get(said, said) if isinstance(said, str) else expected
    if _decimal(resource.get("Reading")) is None:
        return None
    kind, _ = unit(expected, path)
    # A unit of another kind is refused here: watts that are volts.
    unit(name, f"settings: {path}: ReadingUnits", (kind,))
    return _Source(path, lambda found: found.get("Reading"), name), resource


def _update_period_ns(settings: Settings, resource: dict[str, Any]) -> int | None:
    if settings.update_period_ms is not None:
        return settings.update_period_ms * 1_000_000
    said = resource.get("SensingInterval")
    return parse_duration_ns(said) if isinstance(said, str) else None


def _clock(bmc: Bmc) -> Offset | None:
    """Return how far the service's clock is ahead; None where no manager tells the time, or its clock jumps meanwhile."""
    with contextlib.suppress(BmcError, ClockJumpedError, ValueError):
        for link in _links(bmc.get(f"{ROOT}/Managers").get("Members")):
            exchanges = []
            for _ in range(_CLOCK_EXCHANGES):
                sent = time.monotonic_ns()
                said = bmc.get(link["@odata.id"]).get("DateTime")
                received = time.monotonic_ns()
                if isinstance(said, str):
                    exchanges.append(Exchange(sent, received, *parse_stamp(said)))
            if exchanges:
                return align(exchanges)
    return None


def parse_stamp(text: str) -> tuple[int, int]:
    """Return a Redfish time stamp (ISO 8601; without an offset it is taken for UTC) in ns since 1970, and its resolution, ns.

    Raises:
        ValueError: It is none.
    """
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if found.tzinfo is None:
        found = found.replace(tzinfo=timezone.utc)
    fraction = re.search(r"\.(\d+)", text)
    digits = min(6, len(fraction[1])) if fraction else 0
    return (found - _EPOCH) // timedelta(microseconds=1) * 1000, 10 ** (9 - digits)


def parse_duration_ns(text: str) -> int | None:
    """Return a duration in hours, minutes and seconds by ISO 8601 (``PT1.5S``), ns; None for anything else and for zero."""
    found = re.fullmatch(r"P(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)", text)
    if not found:
        return None
    hours, minutes, seconds = (Decimal(part or 0) for part in found.groups())
    return int(((hours * 60 + minutes) * 60 + seconds) * 10**9) or None


def _links(found: Any) -> list[dict[str, str]]:
    """Return what of a list are links to resources of the service."""
    listed = found if isinstance(found, list) else []
    return [link for link in listed if isinstance(link, dict) and str(link.get("@odata.id", "")).startswith("/")]


def _reading(resource: dict[str, Any], key: str) -> Any:
    excerpt = resource.get(key)
    return excerpt.get("Reading") if isinstance(excerpt, dict) else None


def _consumed(resource: dict[str, Any], control: int) -> Any:
    listed = resource.get("PowerControl")
    if not isinstance(listed, list) or not 0 <= control < len(listed) or not isinstance(listed[control], dict):
        return None
    return listed[control].get("PowerConsumedWatts")


def _decimal(value: Any) -> Decimal | None:
    """Return a JSON number; None for anything else."""
    return number(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
