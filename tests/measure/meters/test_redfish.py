"""Redfish against a local HTTPS server with a certificate of its own: sessions, both generations of resources, and faults.

The server is a stand-in made from the published schemas; it proves the protocol, and not what a given BMC reports where.
"""

from __future__ import annotations

import base64
import json
import logging
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from npubench.contract.runspec import MeterSpec
from npubench.measure.meters import open_meter
from npubench.measure.meters.redfish import RedfishSensor, parse_duration_ns, parse_stamp
from npubench.measure.meters.sensor import MeterError

USER, PASSWORD, TOKEN = "meter-us3r", 'pa55-w0rd:with"quotes', "t0ken-t0ken"
SECRETS = (USER, PASSWORD, TOKEN, "wr0ng", base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())

ROOT = "/redfish/v1"


class Service(ThreadingHTTPServer):
    """A BMC: resources by path, and what it does instead of answering."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.resources: dict[str, Any] = {}
        self.sessions: set[str] = set()
        self.logins = 0
        self.session_service = True
        #: Path → status and body, or "hang up", or "silent" until the test wakes it.
        self.instead: dict[str, Any] = {}
        self.awake = threading.Event()
        self.asked: list[str] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is not the server's error."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.server.session_service:
            self._answer(404, {})
        elif (asked["UserName"], asked["Password"]) != (USER, PASSWORD):
            self._answer(401, {"error": f"{asked['Password']} is wrong"})
        else:
            self.server.logins += 1
            self.server.sessions.add(TOKEN)
            self._answer(201, {}, {"X-Auth-Token": TOKEN, "Location": f"{ROOT}/SessionService/Sessions/1"})

    def do_DELETE(self) -> None:
        self.server.sessions.discard(self.headers.get("X-Auth-Token", ""))
        self._answer(204, None)

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        instead = self.server.instead.get(self.path)
        if instead == "hang up":
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if instead == "silent":
            assert self.server.awake.wait(60)
        if isinstance(instead, tuple):
            self._answer(*instead)
        elif not self._known():
            self._answer(401, {})
        elif self.path in self.server.resources:
            found = self.server.resources[self.path]
            self._answer(200, found() if callable(found) else found)
        else:
            self._answer(404, {})

    def _known(self) -> bool:
        if self.server.session_service:
            return self.headers.get("X-Auth-Token") in self.server.sessions
        return self.headers.get("Authorization") == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("certificate")
    key, made = folder / "key.pem", folder / "made.pem"
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc")])
    now = datetime.now(timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    made.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(secret.private_bytes(serialization.Encoding.PEM, *plain))
    return made, key


@pytest.fixture
def service(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    made = Service(context)
    made.resources = {
        f"{ROOT}/Chassis": {"Members": [{"@odata.id": f"{ROOT}/Chassis/1U"}]},
        f"{ROOT}/Chassis/1U": {"EnvironmentMetrics": {"@odata.id": f"{ROOT}/Chassis/1U/EnvironmentMetrics"}},
        f"{ROOT}/Chassis/1U/EnvironmentMetrics": {"PowerWatts": {"Reading": 374.5}, "EnergykWh": {"Reading": 325675.123}},
    }
    monkeypatch.setenv("TEST_BMC_USER", USER)
    monkeypatch.setenv("TEST_BMC_PASSWORD", PASSWORD)
    monkeypatch.setenv("TEST_BMC_WRONG", "wr0ng")
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join(10)
    made.server_close()


@pytest.fixture
def settings(service: Service, certificate: tuple[Path, Path]) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": service.server_port,
        "user_env": "TEST_BMC_USER",
        "password_env": "TEST_BMC_PASSWORD",
        "ca_file": str(certificate[0]),
        # Nothing waits for it but what is silent: a busy machine may take a while to answer.
        "timeout_ms": 30_000,
    }


def opened(settings: dict[str, Any]) -> RedfishSensor:
    (sensor,) = open_meter(MeterSpec("bmc", "redfish", "host", settings))
    assert isinstance(sensor, RedfishSensor)
    return sensor


def refused(settings: dict[str, Any]) -> str:
    """Return the error's text, after looking for secrets in all that would be logged of it."""
    with pytest.raises(MeterError) as caught:
        opened(settings)
    shown = "".join(traceback.TracebackException.from_exception(caught.value).format())
    for secret in SECRETS:
        assert secret not in shown
    return str(caught.value)


def test_power_of_a_new_service(service: Service, settings: dict[str, Any]) -> None:
    sensor = opened(settings)
    assert (sensor.kind, sensor.domain, sensor.evidence) == ("power", "host", "BMC or PDU")
    assert (sensor.read(), sensor.quantum, sensor.clock_offset_ns, sensor.update_period_ns) == (374_500, 100, 0, None)
    assert 0 < sensor.clock_error_ns < 30_000_000_000
    assert service.logins == 1
    sensor.close()
    sensor.close()
    assert service.sessions == set()


def test_energy_in_kwh_where_it_is_asked_for(settings: dict[str, Any]) -> None:
    sensor = opened(settings | {"quantity": "energy", "update_period_ms": 1000})
    assert (sensor.kind, sensor.read(), sensor.quantum) == ("energy", 325_675_123 * 3_600_000_000, 3_600_000_000)
    assert sensor.update_period_ns == 1_000_000_000
    sensor.close()


def test_energy_in_joules_comes_first(service: Service, settings: dict[str, Any]) -> None:
    service.resources[f"{ROOT}/Chassis/1U/EnvironmentMetrics"]["EnergyJoules"] = {"Reading": 12345.6}
    sensor = opened(settings)
    assert (sensor.kind, sensor.read()) == ("energy", 12_345_600_000)
    sensor.close()


def test_power_of_an_older_service(service: Service, settings: dict[str, Any]) -> None:
    service.resources[f"{ROOT}/Chassis/1U"] = {"Power": {"@odata.id": f"{ROOT}/Chassis/1U/Power"}}
    service.resources[f"{ROOT}/Chassis/1U/Power"] = {"PowerControl": [{"PowerConsumedWatts": 590}, {"PowerConsumedWatts": 61}]}
    first, second = opened(settings), opened(settings | {"control": 1})
    assert (first.read(), second.read()) == (590_000, 61_000)
    first.close()
    second.close()
    assert "reports no power for: 1U" in refused(settings | {"control": 2})
    assert "reports no energy for: 1U" in refused(settings | {"quantity": "energy"})


def test_a_service_without_sessions_gets_the_account_each_time(service: Service, settings: dict[str, Any]) -> None:
    service.session_service = False
    sensor = opened(settings)
    assert sensor.read() == 374_500
    sensor.close()


def test_a_session_that_ended_is_opened_again(service: Service, settings: dict[str, Any]) -> None:
    sensor = opened(settings)
    service.sessions.clear()
    assert sensor.read() == 374_500
    assert service.logins == 2
    sensor.close()


def stamped(service: Service, ahead_s: float = 3600.0, old_s: float = 0.0) -> dict[str, Any]:
    """Make the power a sensor that tells its time, by a clock that is ahead; return what a test can turn."""
    turn = {"ahead": ahead_s, "old": old_s}
    sensor = f"{ROOT}/Chassis/1U/Sensors/Power"

    def at(seconds: float) -> str:
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_700_000_000 + int(seconds)))
        return f"{whole}.{int(seconds % 1 * 1000):03d}+00:00"

    service.resources[f"{ROOT}/Chassis/1U/EnvironmentMetrics"]["PowerWatts"]["DataSourceUri"] = sensor
    service.resources[f"{ROOT}/Managers"] = {"Members": [{"@odata.id": f"{ROOT}/Managers/BMC"}]}
    service.resources[f"{ROOT}/Managers/BMC"] = lambda: {"DateTime": at(time.monotonic() + turn["ahead"])}
    service.resources[sensor] = lambda: {
        "Reading": 375.25,
        "ReadingUnits": "W",
        "SensingInterval": "PT0.5S",
        "ReadingTime": at(time.monotonic() + turn["ahead"] - turn["old"]),
    }
    return turn


def test_the_services_own_clock_is_aligned_and_its_delay_taken_off(service: Service, settings: dict[str, Any]) -> None:
    stamped(service, ahead_s=3600.0, old_s=2.0)
    sensor = opened(settings)
    assert (sensor.read(), sensor.update_period_ns) == (375_250, 500_000_000)
    assert sensor.clock is not None
    assert abs(sensor.clock.offset_ns - 1_700_003_600 * 10**9) <= sensor.clock.error_ns
    assert abs(sensor.clock_offset_ns - 2_000_000_000) <= sensor.clock_error_ns
    sensor.close()


def test_a_clock_that_is_set_back_widens_the_error_by_the_jump(service: Service, settings: dict[str, Any]) -> None:
    turn = stamped(service)
    sensor = opened(settings)
    turn["ahead"] -= 100.0
    assert sensor.read() == 375_250
    assert sensor.clock is None
    assert sensor.clock_error_ns > 90_000_000_000
    sensor.close()


def test_a_sensor_in_another_unit_is_refused(service: Service, settings: dict[str, Any]) -> None:
    stamped(service)
    service.resources[f"{ROOT}/Chassis/1U/Sensors/Power"] = {"Reading": 12.1, "ReadingUnits": "V"}
    assert "Sensors/Power: ReadingUnits: unknown unit 'V'" in refused(settings)


@pytest.mark.parametrize(
    "instead",
    [(500, {}), (404, {}), (401, {}), (200, b"<html>login</html>"), (200, [1]), (200, {"PowerWatts": None}), "hang up", "silent"]
    + [(200, {"PowerWatts": {"Reading": reading}}) for reading in (None, "374", True, {})],
    ids=str,
)
def test_whatever_is_no_number_is_a_reading_without_a_value(
    service: Service, settings: dict[str, Any], instead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("npubench.measure.meters.redfish._RETRY_NS", 0)
    sensor = opened(settings)
    path = f"{ROOT}/Chassis/1U/EnvironmentMetrics"
    service.instead[path] = instead
    if instead == "silent":
        # Only the connection that is open is short of patience; the next one has all of it.
        sensor._bmc._connection.sock.settimeout(0.2)
    assert sensor.read() is None
    service.instead.clear()
    service.awake.set()
    assert sensor.read() == 374_500
    sensor.close()


def test_a_service_that_fails_is_left_alone_for_a_while(service: Service, settings: dict[str, Any]) -> None:
    sensor = opened(settings)
    service.instead[f"{ROOT}/Chassis/1U/EnvironmentMetrics"] = (500, {})
    assert sensor.read() is None
    asked = len(service.asked)
    assert [sensor.read() for _ in range(10)] == [None] * 10
    assert len(service.asked) == asked
    sensor.close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password_env": "TEST_BMC_WRONG"}, "refuses the account (HTTP 401); look at what user_env and password_env"),
        ({"password_env": "TEST_BMC_NOT_SET"}, "the environment variable TEST_BMC_NOT_SET is not set"),
        ({"password_env": None}, "password is missing; name the variable (password_env)"),
        ({"ca_file": None}, "is not trusted: self-signed certificate; name its authority (ca_file), or say insecure = true"),
        ({"ca_file": "/nowhere/ca.pem"}, "settings.ca_file: /nowhere/ca.pem cannot be read: No such file"),
        ({"ca_file": __file__}, "holds no certificate"),
        ({"host": "https://127.0.0.1"}, "settings.host: 'https://127.0.0.1' is more than a name or an address"),
        ({"host": "no-such-host.invalid"}, "settings.host: no-such-host.invalid:"),
        ({"port": 1}, "settings.host: 127.0.0.1:1 cannot be reached: Connection refused"),
        ({"host": "localhost"}, "is not trusted: Hostname mismatch"),
        ({"chassis": "2U"}, "settings.chassis: 127.0.0.1 has no chassis '2U'; did you mean '1U'?"),
        ({"quantity": "watts"}, "settings: quantity: 'watts' is not one of"),
        ({"password": PASSWORD}, "unknown key 'password'; did you mean 'password_env'?"),
        ({"pasword_env": "X"}, "unknown key 'pasword_env'; did you mean 'password_env'?"),
    ],
)
def test_what_is_wrong_names_key_and_way_out(settings: dict[str, Any], changed: dict[str, Any], said: str) -> None:
    assert said in refused({key: value for key, value in (settings | changed).items() if value is not None})


def test_a_certificate_is_not_checked_only_where_that_is_said(settings: dict[str, Any]) -> None:
    del settings["ca_file"]
    sensor = opened(settings | {"insecure": True})
    assert sensor.read() == 374_500
    sensor.close()


def test_a_web_page_is_no_service(service: Service, settings: dict[str, Any]) -> None:
    service.instead[f"{ROOT}/Chassis"] = (200, b"<html>")
    assert "something that is not JSON; is it a Redfish service?" in refused(settings)


def test_several_chassis_with_power_must_be_told_apart(service: Service, settings: dict[str, Any]) -> None:
    service.resources[f"{ROOT}/Chassis"]["Members"].append({"@odata.id": f"{ROOT}/Chassis/Enclosure"})
    service.resources[f"{ROOT}/Chassis/Enclosure"] = service.resources[f"{ROOT}/Chassis/1U"]
    assert "several report power, and one may hold another; say which: 1U, Enclosure" in refused(settings)
    sensor = opened(settings | {"chassis": "1U"})
    assert sensor.read() == 374_500
    sensor.close()


def test_no_secret_is_shown_by_sensor_or_log(settings: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        sensor = opened(settings)
    shown = f"{sensor!r} {vars(sensor)!r} {vars(sensor._bmc)['_account']!r} {caplog.text}"
    sensor.close()
    assert not [secret for secret in SECRETS if secret in shown]


def test_stamps_and_durations() -> None:
    assert parse_stamp("2023-11-14T22:13:20Z") == (1_700_000_000 * 10**9, 10**9)
    assert parse_stamp("2023-11-15T07:13:20.125+09:00") == (1_700_000_000_125_000_000, 10**6)
    assert parse_stamp("2023-11-14T22:13:20") == parse_stamp("2023-11-14T22:13:20+00:00")
    with pytest.raises(ValueError, match="Invalid isoformat"):
        parse_stamp("soon")
    assert [parse_duration_ns(text) for text in ("PT1S", "PT0.1S", "PT1M30S", "PT0S", "P1D", "1s")] == [
        10**9,
        10**8,
        90 * 10**9,
        None,
        None,
        None,
    ]
