"""SCPI meters over a real loopback socket; the instrument is a stand-in that keeps the WT300's rules."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyvisa_py")

from npubench.contract.runspec import MeterSpec
from npubench.measure.meters import open_meter, open_meters
from npubench.measure.meters.profile import load_profile, shipped
from npubench.measure.meters.scpi import ScpiSensor
from npubench.measure.meters.sensor import MeterError, MeterSensor
from npubench.measure.sampler import sample
from tests.instrument import HANG_UP, SILENT, STEP_WH, Instrument


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    made = Instrument()
    yield made
    made.close()


def spec(port: int, **settings: Any) -> MeterSpec:
    # Nothing waits for it but what is silent: a busy machine may take a while to answer.
    known = {"address": f"TCPIP::127.0.0.1::{port}::SOCKET", "profile": "yokogawa-wt300", "timeout_ms": 3_000}
    return MeterSpec("wall", "scpi", "wall", known | settings)


def hurry(sensor: ScpiSensor) -> None:
    """Have the connection that is open wait for an answer no longer than 0.2 s; the next one waits as long as it should."""
    assert sensor._line._resource is not None
    sensor._line._resource.timeout = 200


@pytest.fixture
def opened(instrument: Instrument, request: pytest.FixtureRequest) -> Iterator[ScpiSensor]:
    (sensor,) = open_meter(spec(instrument.port, **getattr(request, "param", {})))
    assert isinstance(sensor, ScpiSensor)
    yield sensor
    sensor.close()


def test_the_energy_counter_is_set_up_started_and_read(instrument: Instrument, opened: ScpiSensor) -> None:
    assert (opened.kind, opened.domain, opened.evidence, opened.update_period_ns) == ("energy", "wall", "wall meter", 100_000_000)
    assert opened.identity.startswith("YOKOGAWA,WT310E")
    assert opened.ranges.in_force == {"voltage_range": 600.0, "current_range": 20.0}
    assert instrument.settings[":RATE"] == "100MS"
    assert instrument.items["1"] == "WH,1"
    assert (first := opened.read()) is not None
    assert (second := opened.read()) is not None
    assert second - first == STEP_WH * 3_600_000_000
    # The last of six digits of some thousandths of a Wh.
    assert opened.quantum == 36
    assert 0 < opened.clock_error_ns < 30_000_000_000
    opened.close()
    # Nothing answers these: the stand-in may hear them a moment later.
    instrument.wait_until_heard(":COMM:REM OFF")
    assert instrument.heard[-2:] == [":INTEG:STOP", ":COMM:REM OFF"]


@pytest.mark.parametrize(
    "opened", [{"quantity": "power", "voltage_range": 300, "current_range": 2, "update_period_ms": 500}], indirect=True
)
def test_power_with_fixed_ranges_that_are_read_back(instrument: Instrument, opened: ScpiSensor) -> None:
    assert (opened.kind, opened.read(), opened.averages, opened.update_period_ns) == ("power", 123_450, True, 500_000_000)
    assert opened.ranges.in_force == {"voltage_range": 300.0, "current_range": 2.0}
    assert instrument.settings[":INP:VOLT:AUTO"] == "OFF"


def test_a_meter_left_running_by_somebody_else_is_taken_over(instrument: Instrument) -> None:
    instrument.state, instrument.watt_hours, instrument.errors = "STAR", 7.0, ["800,old"]
    with open_meters([spec(instrument.port)]) as (sensor,):
        assert (value := sensor.read()) is not None
        assert value < 3_600_000_000


#: What is no reading: words of instruments, several numbers for one, garbage, a header that was switched off, and nothing.
NO_READING = [
    "NAN",
    "INF",
    "-INF",
    "OF",
    "9.91E+37",
    "----O---",
    "1.0E+00,2.0E+00",
    "",
    "\xff\xfe\x00",
    ":NUM:NORM:VAL 1.0E+00",
    SILENT,
]


@pytest.mark.parametrize("said", NO_READING)
def test_what_is_no_number_is_a_reading_without_a_value(instrument: Instrument, opened: ScpiSensor, said: str) -> None:
    instrument.instead[":NUM:NORM:VAL? 1"] = said
    if said == SILENT:
        hurry(opened)
    assert opened.read() is None


def test_an_answer_in_pieces_is_one_answer(instrument: Instrument, opened: ScpiSensor) -> None:
    instrument.pieces = 1
    assert opened.read() is not None


def test_half_an_answer_is_no_value_and_spoils_no_later_one(
    instrument: Instrument, opened: ScpiSensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of a late answer must not be taken for the next one: after a failure the line is opened anew."""
    monkeypatch.setattr("npubench.measure.meters.line._RETRY_NS", 0)
    instrument.instead[":NUM:NORM:VAL? 1"] = "1.2<cut>"
    hurry(opened)
    assert opened.read() is None
    del instrument.instead[":NUM:NORM:VAL? 1"]
    before = instrument.watt_hours
    assert opened.read() == round((before + STEP_WH) * 1_000_000) * 3600
    # The counter went on: it was not set up again.
    assert instrument.heard.count(":INTEG:STAR") == 1


def test_a_meter_that_goes_away_is_left_alone_and_found_again(
    instrument: Instrument, opened: ScpiSensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument.instead[":NUM:NORM:VAL? 1"] = HANG_UP
    hurry(opened)
    assert opened.read() is None
    asked = len(instrument.heard)
    assert [opened.read() for _ in range(20)] == [None] * 20
    assert len(instrument.heard) == asked
    instrument.instead.clear()
    monkeypatch.setattr(opened._line, "_retry_ns", 0)
    assert opened.read() is not None


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what must come; a minute without it fails the test."""
    until = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_through_the_sampler_a_hang_up_is_a_gap(instrument: Instrument, tmp_path: Path) -> None:
    stop, end = os.pipe()
    told, ready = os.pipe()
    with open_meters([spec(instrument.port)]) as sensors:
        thread = threading.Thread(target=sample, args=(sensors, tmp_path / "meters.npz", stop, ready))
        thread.start()
        os.read(told, 16)
        before = len(instrument.heard)
        # So many were answered in any case; only then may one that is late be given up.
        wait_for(lambda: len(instrument.heard) >= before + 6)
        hurry(sensors[0])  # type: ignore[arg-type]
        instrument.close()
        # Hung up after a failure: it rests for two seconds then, which a busy machine may sleep through.
        wait_for(lambda: sensors[0]._line._retry_ns > 0)  # type: ignore[attr-defined]
        os.close(end)
        thread.join(60)
    for descriptor in (stop, told, ready):
        os.close(descriptor)
    with np.load(tmp_path / "meters.npz") as stored:
        valid, values = stored["0_valid"], stored["0_values"]
        assert valid[:4].all()
        assert not valid[-1]
        assert (np.diff(values[valid]) > 0).all()


def refused(port: int, **settings: Any) -> str:
    with pytest.raises(MeterError) as caught:
        open_meter(spec(port, **settings))
    return str(caught.value)


def test_a_closed_port_a_host_without_name_and_a_wrong_resource_are_said() -> None:
    # Bound, so that nobody else has the port, and listening to nobody.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        assert refused(port).startswith(f"meter.wall: settings.address: TCPIP::127.0.0.1::{port}::SOCKET ")
    assert "settings.address: 'not a resource' is no VISA resource; one over the network" in refused(1, address="not a resource")
    assert "no-such-host.invalid is not known" in refused(1, address="TCPIP::no-such-host.invalid::1::SOCKET")


def test_an_instrument_that_says_nothing(instrument: Instrument) -> None:
    instrument.instead["*IDN?"] = SILENT
    assert "does not answer '*IDN?' within 1000 ms" in refused(instrument.port, timeout_ms=1000)


def test_another_instrument_is_not_touched(instrument: Instrument) -> None:
    instrument.identity = "ACME,Power supply,1,1"
    said = refused(instrument.port)
    assert "says it is 'ACME,Power supply,1,1', which 'yokogawa-wt300' is not for" in said
    assert instrument.heard == ["*IDN?"]


def test_a_refused_command_is_named(instrument: Instrument) -> None:
    instrument.refuses.add(":RATE 100MS")
    assert "the instrument refuses ':RATE {rate}': 113" in refused(instrument.port)


def test_a_range_the_instrument_does_not_have_is_not_taken_silently(instrument: Instrument) -> None:
    assert "settings.voltage_range: the instrument took 300 instead of 250" in refused(instrument.port, voltage_range=250)


def test_a_counter_that_does_not_start(instrument: Instrument) -> None:
    instrument.instead[":INTEG:STAT?"] = "ERR"
    assert "energy counter does not run; it says 'ERR'" in refused(instrument.port)


def test_an_instrument_without_a_first_number(instrument: Instrument) -> None:
    instrument.instead[":NUM:NORM:VAL? 1"] = "NAN"
    assert "gives no number for 'energy'" in refused(instrument.port, timeout_ms=1000)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"profile": "yokogawa-wt310"}, "unknown profile 'yokogawa-wt310'; did you mean 'yokogawa-wt300'?"),
        ({"profil": "x"}, "meter.wall.settings: unknown key 'profil'; did you mean 'profile'?"),
        ({"update_period_ms": 123}, "settings.update_period_ms: 123 is not a rate of 'yokogawa-wt300'; it has: 100, 250"),
        ({"profile": "/nowhere/at-all.toml"}, "settings.profile: /nowhere/at-all.toml cannot be read: No such file"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_sent(settings: dict[str, Any], said: str) -> None:
    assert said in refused(9, **settings)


GENERIC = """
title = "A meter of the house"
identity = "ACME"
read_terminator = "\\r\\n"
clear = []

[power]
query = "MEAS:POW{element}?"
unit = "kW"
position = 1
numbers = 2
quantum = 0.001
"""


def test_a_profile_of_ones_own(tmp_path: Path, instrument: Instrument) -> None:
    path = tmp_path / "house.toml"
    path.write_text(GENERIC)
    instrument.identity = "ACME,House meter\r\n"
    instrument.instead["MEAS:POW2?"] = "230.0,1.234\r\n"
    sensors: list[MeterSensor] = list(open_meter(spec(instrument.port, profile=str(path), element=2)))
    assert [(s.kind, s.read(), s.quantum, s.update_period_ns) for s in sensors] == [("power", 1_234_000, 1000, None)]
    sensors[0].close()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('unit = "kW"', 'unit = "kw"', "house.toml: power.unit: unknown unit 'kw'; did you mean 'kW'?"),
        ('unit = "kW"', 'unit = "Wh"', "power.unit: unknown unit 'Wh'"),
        ("{element}", "{elemnt}", "unknown place 'elemnt'; did you mean 'element'?"),
        ("title", "titel", "unknown key 'titel'; did you mean 'title'?"),
        ("[power]", "[pwer]", "unknown key 'pwer'; did you mean 'power'?"),
        ("position = 1", "position = 2", "power.position is not among the answer's 2 numbers"),
        ('identity = "ACME"', 'identity = "("', "identity: missing )"),
        ("[power]", "[power", "house.toml"),
        ('query = "MEAS:POW{element}?"', "", "key 'query' is missing"),
        ("clear = []", 'clear = "*CLS"', "'*CLS' is not of type"),
        (
            "[power]",
            '[current_range]\nfix = []\nfree = []\nread = "R?"\noffered = [1, -2]\n[power]',
            "current_range.offered: -2 is no range",
        ),
    ],
)
def test_a_wrong_profile_names_file_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GENERIC
    path = tmp_path / "house.toml"
    path.write_text(GENERIC.replace(old, new))
    assert said in refused(9, profile=str(path))


def test_a_profile_that_reads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "house.toml"
    path.write_text('title = "nothing"\n')
    assert "neither [energy] nor [power]" in refused(9, profile=str(path))


def test_shipped_profiles_are_whole() -> None:
    assert set(shipped()) == {"yokogawa-wt300", "yokogawa-wt500"}
    for name in shipped():
        profile = load_profile(name)
        assert profile.energy is not None
        assert profile.power is not None
        assert profile.voltage_range is not None
        assert profile.current_range is not None
        assert next(iter(profile.rates)) == "100"
        for how in (profile.voltage_range, profile.current_range):
            assert how.seen
            assert list(how.offered) == sorted(how.offered)


# ---------------------------------------------------------------- evidence


@pytest.mark.parametrize(
    ("domain", "settings", "said"),
    [
        ("chip", {}, "a meter of domain 'chip' is no wall meter: it does not see the whole machine; say 'device energy counter'"),
        ("card", {"quantity": "power", "evidence": "BMC or PDU"}, "is no BMC or PDU: it does not see the whole machine"),
        ("card", {"quantity": "power", "evidence": "device energy counter"}, "say 'device power gauge'"),
        ("wall", {"evidence": "wall metre"}, "'wall metre' is not valid; did you mean 'wall meter'?"),
    ],
)
def test_evidence_is_no_better_than_what_the_meter_sees(domain: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(MeterError) as caught:
        open_meter(replace(spec(9, **settings), domain=domain))
    assert "settings" in str(caught.value)
    assert said in str(caught.value)


def test_a_bench_meter_on_a_card_is_what_it_is_said_to_be(instrument: Instrument) -> None:
    card = replace(spec(instrument.port, evidence="device energy counter"), domain="card")
    with open_meters([card]) as (sensor,):
        assert (sensor.domain, sensor.evidence) == ("card", "device energy counter")
