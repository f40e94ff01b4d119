"""A ranging run: the highest voltage and current are noted, and the smallest ranges that hold them are fixed and read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("pyvisa_py")

from npubench.contract.runspec import MeterSpec
from npubench.measure.meters import open_meter
from npubench.measure.meters.ranges import pick_range
from npubench.measure.meters.scpi import ScpiSensor
from tests.instrument import HANG_UP, Instrument

VOLTS, AMPS = ":NUM:NORM:VAL? 3", ":NUM:NORM:VAL? 4"


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    made = Instrument()
    yield made
    made.close()


@pytest.fixture
def open_it(instrument: Instrument) -> Iterator[Callable[..., ScpiSensor]]:
    opened: list[ScpiSensor] = []

    def open_it(**settings: Any) -> ScpiSensor:
        known = {"address": f"TCPIP::127.0.0.1::{instrument.port}::SOCKET", "profile": "yokogawa-wt300", "timeout_ms": 3_000}
        (sensor,) = open_meter(MeterSpec("wall", "scpi", "wall", known | settings))
        assert isinstance(sensor, ScpiSensor)
        opened.append(sensor)
        return sensor

    yield open_it
    for sensor in opened:
        sensor.close()


def test_the_highest_that_was_seen_decides(instrument: Instrument, open_it: Callable[..., ScpiSensor]) -> None:
    sensor = open_it()
    assert instrument.settings[":INP:CURR:AUTO"] == "ON"
    assert sensor.ranging() == {
        "volts": None,
        "amps": None,
        "looks": 0,
        "ranges": {"voltage_range": 600.0, "current_range": 20.0},
        "reason": "no ranging run was made",
    }
    for amps in ("0.8", "1.93", "NAN", "1.2"):
        instrument.amps = amps
        sensor.look()
    sensor.fix_ranges()
    told = sensor.ranging()
    assert told == {
        "volts": 229.8,
        "amps": 1.93,
        "looks": 3,
        "ranges": {"voltage_range": 300.0, "current_range": 2.0},
        "reason": "",
    }
    assert instrument.settings[":INP:VOLT:AUTO"] == instrument.settings[":INP:CURR:AUTO"] == "OFF"
    # Nothing was refused, and it counts again, from zero.
    assert (instrument.state, instrument.errors) == ("STAR", [])
    assert instrument.heard.count(":INTEG:STAR") == 2
    first, second = sensor.read(), sensor.read()
    assert first is not None and second is not None and first < second


def test_a_range_that_this_model_refuses_is_passed_over(instrument: Instrument, open_it: Callable[..., ScpiSensor]) -> None:
    instrument.amps = "0.03"
    sensor = open_it()
    sensor.look()
    sensor.fix_ranges()
    assert (sensor.ranging()["ranges"]["current_range"], sensor.ranging()["reason"]) == (0.5, "")
    assert (instrument.state, instrument.errors) == ("STAR", [])


def test_what_the_host_file_fixes_stays_and_is_checked(instrument: Instrument, open_it: Callable[..., ScpiSensor]) -> None:
    sensor = open_it(voltage_range=600, current_range=5)
    sensor.look()
    sensor.fix_ranges()
    assert sensor.ranging()["reason"] == ""
    assert sensor.ranging()["ranges"] == {"voltage_range": 600.0, "current_range": 5.0}
    assert instrument.heard.count(":INTEG:STAR") == 1
    instrument.amps = "5.5"
    sensor.look()
    sensor.fix_ranges()
    assert sensor.ranging()["reason"] == "the range of 5 A that the host file fixes does not hold the 5.5 A seen"


def test_one_range_fixed_and_the_other_chosen(instrument: Instrument, open_it: Callable[..., ScpiSensor]) -> None:
    sensor = open_it(voltage_range=600)
    sensor.look()
    sensor.fix_ranges()
    assert (sensor.ranging()["ranges"], sensor.ranging()["reason"]) == ({"voltage_range": 600.0, "current_range": 1.0}, "")


@pytest.mark.parametrize(
    ("settings", "answers", "reason"),
    [
        ({"element": "SIGMA"}, {}, "it reads several inputs together, and each has ranges of its own"),
        ({}, {AMPS: "NAN"}, "it showed no current in the ranging run"),
        ({}, {VOLTS: "700"}, "none of its ranges holds the 700 V seen in the ranging run"),
        ({}, {":INP:CURR:RANG?": "0.1E+00"}, "it took none of the ranges that hold the 0.97 A seen"),
        ({}, {":INP:CURR:RANG?": "?"}, "it failed while its ranges were being fixed: the range in force cannot be read"),
        ({}, {":INP:CURR:RANG?": HANG_UP}, "it failed while its ranges were being fixed: settings.address: "),
        ({}, {":NUM:NORM:VAL? 1": "NAN"}, "it gave no number after its ranges were fixed"),
    ],
)
def test_ranges_that_cannot_be_fixed_have_a_reason(
    instrument: Instrument, open_it: Callable[..., ScpiSensor], settings: dict[str, Any], answers: dict[str, str], reason: str
) -> None:
    sensor = open_it(timeout_ms=1000, **settings)
    instrument.instead |= {query: answer for query, answer in answers.items() if query in (VOLTS, AMPS)}
    sensor.look()
    instrument.instead |= answers
    sensor.fix_ranges()
    assert sensor.ranging()["reason"].startswith(reason)
    # Whatever went wrong, it counts again.
    instrument.instead.clear()
    instrument.wait_until(lambda: instrument.state == "STAR")
    assert instrument.state == "STAR"


@pytest.mark.parametrize(("highest", "picked"), [(0.97, 1.0), (1.0, 1.0), (1.01, 2.0), (0.0, 0.5), (20.0, 20.0), (20.1, None)])
def test_the_smallest_range_that_holds_what_was_seen(highest: float, picked: float | None) -> None:
    assert pick_range(highest, (20, 0.5, 1, 2)) == picked
