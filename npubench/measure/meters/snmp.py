"""Rack PDUs and other agents by SNMP (v2c and v3): one object is read, as power or as an energy counter.

Datagrams get lost: an answer that does not come in time is a reading without a value, and nothing is asked twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pysnmp.hlapi.v3arch import asyncio as snmp
from pysnmp.proto import rfc1902, rfc1905

from npubench.contract.options import nearest
from npubench.contract.runspec import MeterSpec
from npubench.measure.meters.clock import half_trip_ns
from npubench.measure.meters.credentials import needed
from npubench.measure.meters.sensor import MeterError, MeterSensor
from npubench.measure.meters.units import number, scaled, unit


@dataclass(frozen=True, slots=True)
class _Object:
    """Where a well-known agent keeps a figure: ``{index}`` is the PDU, outlet or inlet; one count is ``scale`` units."""

    oid: str
    unit: str
    scale: Decimal = Decimal(1)


#: Well-known objects. APC and Schneider by PowerNet-MIB (power in hundredths of a kW, energy in tenths of a kWh; −1 = not
#: measured), Raritan by PDU2-MIB (inlet of the first PDU; digits after the point are the object's own, most have none).
#: None of them was tried on a PDU here.
PRESETS = {
    "apc-rpdu2-power": _Object("1.3.6.1.4.1.318.1.1.26.4.3.1.5.{index}", "W", Decimal(10)),
    "apc-rpdu2-energy": _Object("1.3.6.1.4.1.318.1.1.26.4.3.1.9.{index}", "kWh", Decimal("0.1")),
    "apc-rpdu2-outlet-power": _Object("1.3.6.1.4.1.318.1.1.26.9.4.3.1.7.{index}", "W"),
    "raritan-inlet-power": _Object("1.3.6.1.4.1.13742.6.5.2.3.1.4.1.{index}.5", "W"),
    "raritan-inlet-energy": _Object("1.3.6.1.4.1.13742.6.5.2.3.1.4.1.{index}.8", "Wh"),
    "raritan-outlet-power": _Object("1.3.6.1.4.1.13742.6.5.4.3.1.4.1.{index}.5", "W"),
}

#: The preset of ENTITY-SENSOR-MIB (RFC 3433): the agent itself says unit, scale, digits and update rate.
ENTITY_SENSOR = "entity-sensor"
_ENTITY = "1.3.6.1.2.1.99.1.1.1.{column}.{index}"
_TYPE, _SCALE, _PRECISION, _VALUE, _STATUS, _RATE = 1, 2, 3, 4, 5, 8
_WATTS, _OK = 6, 1
#: EntitySensorDataScale: 1 = 10⁻²⁴ … 9 = units … 17 = 10²⁴, three decades a step.
_UNITS_SCALE, _DECADES = 9, 3

_AUTH = {
    "md5": snmp.USM_AUTH_HMAC96_MD5,
    "sha1": snmp.USM_AUTH_HMAC96_SHA,
    "sha224": snmp.USM_AUTH_HMAC128_SHA224,
    "sha256": snmp.USM_AUTH_HMAC192_SHA256,
    "sha384": snmp.USM_AUTH_HMAC256_SHA384,
    "sha512": snmp.USM_AUTH_HMAC384_SHA512,
}
_PRIVACY = {
    "des": snmp.USM_PRIV_CBC56_DES,
    "aes128": snmp.USM_PRIV_CFB128_AES,
    "aes192": snmp.USM_PRIV_CFB192_AES,
    "aes256": snmp.USM_PRIV_CFB256_AES,
}

#: USM refuses shorter ones (RFC 3414, 11.2).
_SHORTEST_KEY = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """An SNMP agent and the object that is read. Secrets are named, never written: by a variable or a file that has them.

    Args:
        host: The agent's name or address.
        port: Its UDP port.
        version: ``"2c"`` (the community goes over the network in clear) or ``"3"``.
        preset: A well-known object, instead of ``oid`` and ``unit``.
        index: Which PDU, outlet, inlet or entity of the preset.
        oid: The object, with its instance.
        unit: Its unit.
        scale: How many units one count is, such as 0.1.
        wraps: Whether a counter of 32 bits starts again at 0; left out, by the object's type.
        update_period_ms: How often the agent updates it, where that is known.
        community_env: The variable that has the community, for 2c.
        community_file: The file that has it.
        user: The user, for 3.
        auth: The protocol of authentication.
        auth_env: The variable that has its pass phrase.
        auth_file: The file that has it.
        privacy: The protocol of encryption.
        privacy_env: The variable that has its pass phrase; without it nothing is encrypted.
        privacy_file: The file that has it.
        context: The SNMP context.
        timeout_ms: How long an answer may take.
    """

    host: str
    port: int = 161
    version: Literal["2c", "3"] = "3"
    preset: str | None = None
    index: int = 1
    oid: str | None = None
    unit: str | None = None
    scale: float = 1.0
    wraps: bool | None = None
    update_period_ms: int | None = None
    community_env: str | None = None
    community_file: str | None = None
    user: str | None = None
    auth: Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"] = "sha256"
    auth_env: str | None = None
    auth_file: str | None = None
    privacy: Literal["des", "aes128", "aes192", "aes256"] = "aes128"
    privacy_env: str | None = None
    privacy_file: str | None = None
    context: str = ""
    timeout_ms: int = 1000


class _RefusalError(Exception):
    """The agent answered, or did not, with words that hold no secret."""


class _Agent:
    """An agent that can be asked, with an event loop of its own: the library speaks asyncio alone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._auth = _credentials(settings)
        self._loop = asyncio.new_event_loop()
        self._engine = snmp.SnmpEngine()
        self._target: Any = None

    def get(self, *oids: str) -> list[Any]:
        """Return the values of objects; None for one that the agent does not have.

        Raises:
            _RefusalError: No answer in time, an error of the agent's, or the credentials are refused.
        """
        return self._loop.run_until_complete(self._get(oids))

    async def _get(self, oids: Sequence[str]) -> list[Any]:
        settings = self._settings
        if self._target is None:
            try:
                self._target = await snmp.UdpTransportTarget.create(
                    (settings.host, settings.port), timeout=settings.timeout_ms / 1000, retries=0
                )
            except Exception as error:  # noqa: BLE001 - the library's own, and the resolver's
                raise _RefusalError(f"settings.host: {settings.host} is not known: {type(error).__name__}") from None
        try:
            wrong, status, _, found = await snmp.get_cmd(
                self._engine,
                self._auth,
                self._target,
                snmp.ContextData(contextName=settings.context.encode()),
                *(snmp.ObjectType(snmp.ObjectIdentity(oid)) for oid in oids),
                lookupMib=False,
            )
        except Exception as error:  # noqa: BLE001 - its words may hold the credentials it was given
            raise _RefusalError(f"{settings.host}:{settings.port} cannot be asked: {type(error).__name__}") from None
        if wrong:
            raise _RefusalError(_why(settings, type(wrong).__name__))
        if status:
            raise _RefusalError(f"{settings.host}:{settings.port} answers with SNMP error {int(status)}")
        values = [value for _, value in found]
        return [None if isinstance(value, _NOTHING) else value for value in values]

    def close(self) -> None:
        """Let go of socket and loop; a second call does nothing."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(Exception):
            self._engine.close_dispatcher()
        # What the dispatcher cancelled ends in the loop's next turn.
        with contextlib.suppress(Exception):
            self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


_NOTHING = (rfc1905.NoSuchObject, rfc1905.NoSuchInstance, rfc1905.EndOfMibView, rfc1902.Null)


class SnmpSensor(MeterSensor):
    """One object of an agent."""

    evidence = "BMC or PDU"

    def __init__(
        self, spec: MeterSpec, agent: _Agent, oid: str, kind: str, factor: Decimal, status_oid: str | None = None
    ) -> None:
        self.name, self.kind, self.domain = spec.name, kind, spec.domain
        self.quantum = max(1, round(factor))
        self._agent, self._oid, self._factor, self._status_oid = agent, oid, factor, status_oid

    def read(self) -> int | None:
        """Return the value now; None without an answer, for an object that is gone, and for −1 (not measured)."""
        sent = time.monotonic_ns()
        try:
            found = self._agent.get(self._oid, *([self._status_oid] if self._status_oid else []))
        except _RefusalError:
            return None
        if len(found) == 2 and _count(found[1]) != _OK:
            return None
        value = _count(found[0]) if found else None
        if value is None:
            return None
        self.clock_error_ns = max(self.clock_error_ns, half_trip_ns(sent, time.monotonic_ns()))
        return scaled(value, self._factor)

    def close(self) -> None:
        """Let go of the agent."""
        self._agent.close()


def open_meter(spec: MeterSpec, settings: Settings) -> Sequence[MeterSensor]:
    """Find the object and read it once.

    Raises:
        MeterError: Preset, unit or credentials are wrong, the agent does not answer or refuses, or has no such object.
    """
    if settings.update_period_ms is not None and settings.update_period_ms <= 0:
        raise MeterError(f"settings.update_period_ms: {settings.update_period_ms} is not above 0")
    named = None if settings.preset == ENTITY_SENSOR else _named(settings)
    agent = _Agent(settings)
    try:
        sensor = _entity_sensor(spec, settings, agent) if named is None else _object(spec, settings, agent, named)
    except _RefusalError as refusal:
        agent.close()
        raise MeterError(str(refusal)) from None
    except BaseException:
        agent.close()
        raise
    sensor.address = f"{settings.host}:{settings.port}"
    if settings.update_period_ms is not None:
        sensor.update_period_ns = settings.update_period_ms * 1_000_000
    return [sensor]


def _named(settings: Settings) -> _Object:
    """Return the object that the settings name, by preset or by OID, unit and scale."""
    if settings.preset is not None:
        if settings.oid is not None or settings.unit is not None:
            raise MeterError("settings: preset and oid or unit are both given; a preset knows its object and unit")
        if settings.preset not in PRESETS:
            raise MeterError(
                f"settings.preset: unknown preset '{settings.preset}'{nearest(settings.preset, [*PRESETS, ENTITY_SENSOR])}"
            )
        return PRESETS[settings.preset]
    if settings.oid is None or settings.unit is None:
        raise MeterError(f"settings: give oid and unit, or a preset: {', '.join([*PRESETS, ENTITY_SENSOR])}")
    if not all(part.isdecimal() for part in settings.oid.strip(".").split(".")):
        raise MeterError(f"settings.oid: '{settings.oid}' is not numbers with points between; names of a MIB are not resolved")
    unit(settings.unit, "settings.unit")
    if settings.scale <= 0:
        raise MeterError(f"settings.scale: {settings.scale} is not above 0")
    return _Object(settings.oid.strip("."), settings.unit, Decimal(str(settings.scale)))


def _object(spec: MeterSpec, settings: Settings, agent: _Agent, named: _Object) -> SnmpSensor:
    oid = named.oid.replace("{index}", str(settings.index))
    kind, factor = unit(named.unit, "settings.unit")
    (value,) = agent.get(oid)
    if value is None:
        raise MeterError(f"settings: {settings.host} has no object {oid}; look at preset, index or oid")
    if _count(value) is None:
        raise MeterError(f"settings: {settings.host} has no number in {oid} now: '{value.prettyPrint()[:40]}'")
    sensor = SnmpSensor(spec, agent, oid, kind, factor * named.scale)
    # A Counter32 wraps by its type; what else holds a counter says nothing of its end.
    wraps = isinstance(value, rfc1902.Counter32) if settings.wraps is None else settings.wraps
    if kind == "energy" and wraps:
        sensor.wraps_at = scaled(Decimal(2**32), factor * named.scale)
    return sensor


def _entity_sensor(spec: MeterSpec, settings: Settings, agent: _Agent) -> SnmpSensor:
    """Return a sensor of ENTITY-SENSOR-MIB, in the unit that the agent says."""
    columns = (_TYPE, _SCALE, _PRECISION, _VALUE, _STATUS, _RATE)
    oids = {column: _ENTITY.format(column=column, index=settings.index) for column in columns}
    found = dict(zip(columns, agent.get(*oids.values()), strict=True))
    if found[_TYPE] is None or found[_VALUE] is None:
        raise MeterError(f"settings.index: {settings.host} has no entity sensor {settings.index}")
    if _count(found[_TYPE]) != _WATTS:
        raise MeterError(f"settings.index: entity sensor {settings.index} is of type {found[_TYPE].prettyPrint()}, not watts (6)")
    scale, digits, rate = (int(_count(found[column]) or 0) for column in (_SCALE, _PRECISION, _RATE))
    decades = _DECADES * ((scale or _UNITS_SCALE) - _UNITS_SCALE) - max(0, digits)
    kind, factor = unit("W", "settings")
    sensor = SnmpSensor(spec, agent, oids[_VALUE], kind, factor * Decimal(10) ** decades, oids[_STATUS])
    # Milliseconds; 0 = on demand, or not known.
    if rate > 0:
        sensor.update_period_ns = rate * 1_000_000
    return sensor


def _count(value: Any) -> Decimal | None:
    """Return an object's number, also one that the agent writes as text; None for −1, which PDUs say for "not measured"."""
    if value is None:
        return None
    found = number(value.prettyPrint())
    return None if found == -1 else found


def _credentials(settings: Settings) -> Any:
    """Return the library's credentials. It is handed the secrets; its objects are never shown."""
    if settings.version == "2c":
        return snmp.CommunityData(needed("community", settings.community_env, settings.community_file).reveal(), mpModel=1)
    if settings.user is None:
        raise MeterError('settings: user is missing; SNMP version 3 has users (version = "2c" has a community)')
    auth = needed("auth", settings.auth_env, settings.auth_file)
    keys = {"authKey": auth.reveal(), "authProtocol": _AUTH[settings.auth]}
    if settings.privacy_env is not None or settings.privacy_file is not None:
        privacy = needed("privacy", settings.privacy_env, settings.privacy_file)
        keys |= {"privKey": privacy.reveal(), "privProtocol": _PRIVACY[settings.privacy]}
    for key, name in (("authKey", "auth"), ("privKey", "privacy")):
        if key in keys and len(keys[key]) < _SHORTEST_KEY:
            raise MeterError(
                f"settings: the pass phrase of {name} has less than {_SHORTEST_KEY} characters; version 3 refuses it"
            )
    return snmp.UsmUserData(settings.user, **keys)


def _why(settings: Settings, name: str) -> str:
    """Return what an indication of the library means and what to do."""
    where = f"{settings.host}:{settings.port}"
    if name == "RequestTimedOut":
        silent = "; agents are silent on a wrong community" if settings.version == "2c" else ""
        return f"settings.host: {where} does not answer in {settings.timeout_ms} ms{silent}; look at address, port and firewall"
    if name == "UnknownUserName":
        return f"settings.user: {where} does not know the user '{settings.user}'"
    if name in ("WrongDigest", "UnsupportedSecurityLevel", "AuthenticationFailure"):
        return f"settings.auth: {where} refuses the credentials ({name}); look at auth and at what auth_env or auth_file names"
    if name in ("DecryptionError", "UnsupportedPrivProtocol", "EncryptionError"):
        return f"settings.privacy: {where} cannot decrypt ({name}); look at privacy and at what privacy_env or privacy_file names"
    return f"{where} refuses: {name}"
