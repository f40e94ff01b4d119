"""SNMP meters against an agent that speaks the real protocol over loopback UDP: v2c, and v3 with authentication and encryption.

The agent is the library's own; it proves credentials, objects and units end to end, and not what a given PDU keeps where.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("pysnmp")
pytest.importorskip("cryptography")

from pysnmp.carrier.asyncio.dgram import udp
from pysnmp.entity import config, engine
from pysnmp.entity.rfc3413 import cmdrsp
from pysnmp.entity.rfc3413.context import SnmpContext
from pysnmp.proto import rfc1902, rfc1905

from npubench.contract.runspec import MeterSpec
from npubench.measure.meters import open_meter
from npubench.measure.meters.sensor import MeterError, MeterSensor
from npubench.measure.meters.snmp import PRESETS

COMMUNITY, AUTH, PRIVACY = "c0mmunity-s3cret", "auth-s3cret-pass", "privacy-s3cret-pass"
SECRETS = (COMMUNITY, AUTH, PRIVACY, "wrong-s3cret-pass")

POWER = "1.3.6.1.4.1.99999.1.0"
ENERGY = "1.3.6.1.4.1.99999.2.0"
SENSOR = "1.3.6.1.2.1.99.1.1.1"


class Agent:
    """An agent in a thread, with objects that a test can change."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.silent = False
        self.asked = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)

    def read_variables(self, *asked: Any, **_: Any) -> list[Any]:
        self.asked += 1
        if self.silent:
            raise RuntimeError("no answer")
        return [(name, self.objects.get(str(name), rfc1905.noSuchObject)) for name, _ in asked]

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._engine = engine.SnmpEngine()
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()
        self._engine.close_dispatcher()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _listen(self) -> None:
        made = self._engine
        config.add_transport(made, udp.DOMAIN_NAME, udp.UdpTransport().open_server_mode(("127.0.0.1", 0)))
        config.add_v1_system(made, "reader", COMMUNITY)
        config.add_v3_user(made, "meter", config.USM_AUTH_HMAC192_SHA256, AUTH, config.USM_PRIV_CFB128_AES, PRIVACY)
        config.add_vacm_user(made, 2, "reader", "noAuthNoPriv", (1, 3, 6))
        config.add_vacm_user(made, 3, "meter", "authPriv", (1, 3, 6))
        context = SnmpContext(made)
        context.unregister_context_name(b"")
        context.register_context_name(b"", self)
        cmdrsp.GetCommandResponder(made, context)
        transport = config.get_transport(made, udp.DOMAIN_NAME)
        while transport.transport is None or transport.transport.get_extra_info("sockname") is None:
            await asyncio.sleep(0.005)
        self.port = transport.transport.get_extra_info("sockname")[1]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture(scope="module")
def running() -> Iterator[Agent]:
    made = Agent()
    yield made
    made.close()
    gc.collect()


@pytest.fixture
def agent(running: Agent, monkeypatch: pytest.MonkeyPatch) -> Agent:
    running.objects = {POWER: rfc1902.Gauge32(613), ENERGY: rfc1902.Counter32(4_000_000_000)}
    running.silent = False
    held = {"COMMUNITY": COMMUNITY, "AUTH": AUTH, "PRIVACY": PRIVACY, "WRONG": SECRETS[-1], "SHORT": "s3cret"}
    for name, value in held.items():
        monkeypatch.setenv(f"TEST_SNMP_{name}", value)
    return running


V2 = {"version": "2c", "community_env": "TEST_SNMP_COMMUNITY"}
V3 = {"version": "3", "user": "meter", "auth_env": "TEST_SNMP_AUTH", "privacy_env": "TEST_SNMP_PRIVACY"}


def opened(agent: Agent, **settings: Any) -> MeterSensor:
    # Nothing waits for it but what is silent: a busy machine may take a while to answer.
    known = {"host": "127.0.0.1", "port": agent.port, "timeout_ms": 30_000}
    (sensor,) = open_meter(MeterSpec("rack", "snmp", "wall", known | settings))
    return sensor


def refused(agent: Agent, **settings: Any) -> str:
    """Return the error's text, after looking for secrets in all that would be logged of it."""
    with pytest.raises(MeterError) as caught:
        opened(agent, **settings)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=False).format())
    for secret in SECRETS:
        assert secret not in shown
    return str(caught.value)


@pytest.mark.parametrize("credentials", [V2, V3], ids=["2c", "3"])
def test_power_in_tens_of_watts(agent: Agent, credentials: dict[str, Any]) -> None:
    sensor = opened(agent, oid=POWER, unit="W", scale=10, **credentials)
    assert (sensor.kind, sensor.domain, sensor.evidence) == ("power", "wall", "BMC or PDU")
    assert (sensor.read(), sensor.quantum) == (6_130_000, 10_000)
    assert 0 < sensor.clock_error_ns < 30_000_000_000
    sensor.close()
    sensor.close()


def test_another_thread_than_the_one_that_opened_it_reads_it(agent: Agent) -> None:
    """As the sampler does, with a thread an address."""
    sensor = opened(agent, oid=POWER, unit="W", scale=10, **V3)
    assert sensor.address == f"127.0.0.1:{agent.port}"
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(sensor.read).result() == 6_130_000
    sensor.close()


def test_a_counter_of_32_bits_wraps(agent: Agent) -> None:
    sensor = opened(agent, oid=f".{ENERGY}", unit="kWh", scale=0.1, update_period_ms=1000, **V2)
    assert (sensor.kind, sensor.read()) == ("energy", 4_000_000_000 * 360_000_000_000)
    assert (sensor.wraps_at, sensor.update_period_ns) == (2**32 * 360_000_000_000, 1_000_000_000)
    sensor.close()


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_name_an_object_and_a_unit(agent: Agent, preset: str) -> None:
    agent.objects[PRESETS[preset].oid.replace("{index}", "3")] = rfc1902.Integer32(250)
    sensor = opened(agent, preset=preset, index=3, **V2)
    expected = {"apc-rpdu2-power": 2_500_000, "apc-rpdu2-energy": 25 * 3_600_000_000_000}
    plain = 250_000 if sensor.kind == "power" else 250 * 3_600_000_000
    assert sensor.read() == expected.get(preset, plain)
    sensor.close()


def entity(
    agent: Agent, *, kind: int = 6, scale: int = 9, digits: int = 1, value: int = 1234, status: int = 1, rate: int = 500
) -> None:
    for column, what in {1: kind, 2: scale, 3: digits, 4: value, 5: status, 8: rate}.items():
        agent.objects[f"{SENSOR}.{column}.7"] = rfc1902.Integer32(what)


def test_an_entity_sensor_says_its_own_unit_and_rate(agent: Agent) -> None:
    entity(agent)
    sensor = opened(agent, preset="entity-sensor", index=7, **V3)
    assert (sensor.read(), sensor.quantum, sensor.update_period_ns) == (123_400, 100, 500_000_000)
    entity(agent, status=2)
    assert sensor.read() is None
    sensor.close()
    entity(agent, scale=10, digits=0, value=2, rate=0)
    kilo = opened(agent, preset="entity-sensor", index=7, **V3)
    assert (kilo.read(), kilo.update_period_ns) == (2_000_000, None)
    kilo.close()


def test_an_entity_sensor_that_is_no_wattmeter(agent: Agent) -> None:
    entity(agent, kind=8)
    assert "entity sensor 7 is of type 8, not watts (6)" in refused(agent, preset="entity-sensor", index=7, **V2)
    assert "has no entity sensor 8" in refused(agent, preset="entity-sensor", index=8, **V2)


def test_silence_minus_one_words_and_an_object_that_is_gone_are_no_value(agent: Agent) -> None:
    sensor = opened(agent, oid=POWER, unit="W", **V2)
    for what in (rfc1902.Integer32(-1), rfc1902.OctetString("n/a"), rfc1902.OctetString(b"\xff\x00"), rfc1902.Null("")):
        agent.objects[POWER] = what
        assert sensor.read() is None
    del agent.objects[POWER]
    assert sensor.read() is None
    agent.objects[POWER] = rfc1902.OctetString("61.5")
    assert sensor.read() == 61_500
    sensor.close()


@pytest.mark.parametrize("wrong", ["2c", "dead port"])
def test_silence_says_what_may_be_wrong(agent: Agent, wrong: str) -> None:
    settings = V2 | ({"community_env": "TEST_SNMP_WRONG"} if wrong == "2c" else {"port": 9})
    said = refused(agent, oid=POWER, unit="W", timeout_ms=400, **settings)
    assert "does not answer in 400 ms; agents are silent on a wrong community" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"user": "nobody"}, "settings.user: 127.0.0.1"),
        ({"auth_env": "TEST_SNMP_WRONG"}, "settings.auth: 127.0.0.1"),
        ({"privacy_env": "TEST_SNMP_WRONG"}, "settings.privacy: 127.0.0.1"),
        ({"auth_env": "TEST_SNMP_SHORT"}, "the pass phrase of auth has less than 8 characters"),
        ({"auth_env": None}, "auth is missing; name the variable (auth_env) or the file (auth_file)"),
        ({"auth_env": "TEST_SNMP_NOT_SET"}, "settings.auth_env: the environment variable TEST_SNMP_NOT_SET is not set"),
        ({"user": None}, "user is missing"),
        ({"auth": "sha-256"}, "settings: auth: 'sha-256' is not valid; did you mean 'sha256'?"),
    ],
)
def test_wrong_credentials_of_version_3(agent: Agent, changed: dict[str, Any], said: str) -> None:
    settings = {key: value for key, value in (V3 | changed).items() if value is not None}
    assert said in refused(agent, oid=POWER, unit="W", **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"preset": "apc-rpdu-power"}, "unknown preset 'apc-rpdu-power'; did you mean 'apc-rpdu2-power'?"),
        ({"preset": "apc-rpdu2-power", "oid": POWER}, "preset and oid or unit are both given"),
        ({"oid": POWER}, "give oid and unit, or a preset"),
        ({"oid": POWER, "unit": "w"}, "settings.unit: unknown unit 'w'; valid are: J, W, Wh, dW"),
        ({"oid": "PowerNet-MIB::power", "unit": "W"}, "names of a MIB are not resolved"),
        ({"oid": POWER, "unit": "W", "scale": 0}, "settings.scale: 0.0 is not above 0"),
        ({"oid": POWER, "unit": "W", "update_period_ms": 0}, "update_period_ms: 0 is not above 0"),
        ({"oid": POWER + ".9", "unit": "W"}, "has no object 1.3.6.1.4.1.99999.1.0.9"),
        ({"oid": POWER, "unit": "W", "host": "no-such-host.invalid"}, "settings.host: no-such-host.invalid is not known"),
        ({"community": COMMUNITY}, "unknown key 'community'; did you mean 'community_env'?"),
        ({"oids": POWER}, "unknown key 'oids'; did you mean 'oid'?"),
    ],
)
def test_wrong_settings_name_the_key(agent: Agent, settings: dict[str, Any], said: str) -> None:
    assert said in refused(agent, **(V2 | settings))


def test_no_secret_is_shown_by_sensor_or_log(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        sensor = opened(agent, oid=POWER, unit="W", **V3)
        sensor.read()
    shown = f"{sensor!r} {vars(sensor)!r} {caplog.text}"
    sensor.close()
    assert not [secret for secret in SECRETS if secret in shown]
