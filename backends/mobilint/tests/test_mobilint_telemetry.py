"""Power and its kin, in both shapes of ``mbltml``, on stand-ins of both. They prove addressing and units, and no watt."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench_mobilint import telemetry

#: Two ARIES of revision rb and a REGULUS of revision rb, as each shape lists them.
NEW = [[3, "/dev/aries1"], [3, "/dev/aries0"], [4, "/dev/regulus-npu0"]]
OLD = [[2, "/dev/regulus-npu0"], [1, "/dev/aries0"], [1, "/dev/aries1"]]
SHAPES = pytest.mark.parametrize(("meter", "meters"), [("meter_new", NEW), ("meter_old", OLD)])


def readings(name: str, number: int) -> dict[str, int | None]:
    return {sensor.name: sensor.read() for sensor in telemetry.sensors(name, number)}


@SHAPES
@pytest.mark.parametrize(("number", "milliwatts"), [(0, 15_500), (1, 16_500)])
def test_an_aries_has_its_own_power(
    vendor: Callable[..., Any], meter: str, meters: list[Any], number: int, milliwatts: int
) -> None:
    vendor(meter=meter, meters=meters)
    assert readings("aries-rb", number) == {
        "card power": milliwatts,
        "chip temperature": 51_000,
        "chip utilisation": 250_000,
        "chip clock": 1_250_000_000,
    }


@SHAPES
def test_a_regulus_has_no_power_sensor(vendor: Callable[..., Any], meter: str, meters: list[Any]) -> None:
    """Type 4 is a REGULUS in one shape and a REGULUS on USB in the other."""
    vendor(meter=meter, meters=meters)
    assert set(readings("regulus-rb", 0)) == {"chip temperature", "chip utilisation", "chip clock"}


def test_what_the_old_shape_calls_4_is_on_usb(vendor: Callable[..., Any]) -> None:
    vendor(meter="meter_old", meters=[[4, "/dev/regulus-usb0"], [2, "/dev/regulus-npu0"]])
    module = importlib.import_module("mbltml")
    module.mbltmlInit()
    assert [(unit.name, unit.address) for unit in telemetry.units(module)] == [("regulus-usb", (0,)), ("regulus", (1,))]


def test_sensors_say_what_they_are(vendor: Callable[..., Any]) -> None:
    vendor(meters=NEW)
    power, *others = telemetry.sensors("aries-rb", 0)
    assert (power.kind, power.domain, power.update_period_ns) == ("power", "card", 1_000_000_000)
    assert [(sensor.kind, sensor.domain) for sensor in others] == [
        ("temperature", "chip"),
        ("utilisation", "chip"),
        ("clock", "chip"),
    ]


@pytest.mark.parametrize("nodes", [["/dev/aries", "/dev/aries"], ["/dev/aries0", "/dev/aries0"], ["/dev/aries2", "/dev/aries3"]])
def test_a_device_that_cannot_be_told_from_another_has_no_sensors(vendor: Callable[..., Any], nodes: list[str]) -> None:
    vendor(meters=[[3, node] for node in nodes])
    assert readings("aries-rb", 0) == {}


def test_the_only_device_of_a_family_needs_no_number(vendor: Callable[..., Any]) -> None:
    vendor(meters=[[3, "/dev/aries9"], [4, "/dev/regulus-npu0"]])
    assert readings("aries-rb", 0)["card power"] == 24_500


def gauge(kind: str, *values: Any) -> telemetry.Gauge:
    """Return a gauge on a meter that gives ``values`` one after the other; an exception is raised."""
    left = list(values)

    def answer(*_: int) -> Any:
        value = left.pop(0)
        if isinstance(value, Exception):
            raise value
        return value

    module = type("Meter", (), {telemetry.READS[kind]: staticmethod(answer)})
    return telemetry.Gauge(module, telemetry.Unit("aries-rb", (3, 0)), kind)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), RuntimeError("Not supported.")])
def test_a_meter_without_a_value_is_missing_and_not_zero(value: Any) -> None:
    assert gauge("power", value).read() is None


def test_one_value_above_one_settles_that_utilisation_is_per_cent() -> None:
    ratio = gauge("utilisation", 0.0, 0.5, 1.0)
    assert [ratio.read() for _ in range(3)] == [0, 500_000, 1_000_000]
    percent = gauge("utilisation", 40.0, 1.0, 0.0, -1.0)
    assert [percent.read() for _ in range(4)] == [400_000, 10_000, 0, None]


@pytest.mark.parametrize(
    ("value", "hertz"), [(1250, 1_250_000_000), (1_250_000, 1_250_000_000), (1_250_000_000, 1_250_000_000), (0, None)]
)
def test_a_clock_is_in_hertz_whatever_it_is_told_in(value: int, hertz: int | None) -> None:
    assert gauge("clock", value).read() == hertz


def test_with_both_distributions_nothing_is_read(vendor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    vendor(meters=NEW)
    monkeypatch.setattr(telemetry, "version", lambda name: {"mobilint-ml": "1.5.0", "mbltml": "0.0.0"}[name])
    assert telemetry.sensors("aries-rb", 0) == ()
    seen = telemetry.look()
    assert not seen.driver
    assert "mobilint-ml 1.5.0 and mbltml 0.0.0 are both installed" in seen.trouble
    assert seen.versions == {"mbltml": seen.trouble}


def test_with_two_libraries_in_the_package_nothing_is_read(
    vendor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What an uninstalled distribution left behind may be what the other's Python calls."""
    vendor(meters=NEW)
    module = importlib.import_module("mbltml")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "libmbltml.so.0.0.0").touch()
    assert len(telemetry.sensors("aries-rb", 0)) == 4
    (tmp_path / "libmbltml.so.1.5.0").touch()
    assert telemetry.sensors("aries-rb", 0) == ()
    assert "libmbltml.so.0.0.0 and libmbltml.so.1.5.0" in telemetry.look().trouble


def test_without_a_driver_the_library_does_not_start(vendor: Callable[..., Any]) -> None:
    vendor()
    seen = telemetry.look()
    assert not seen.driver
    assert "MBLTMLUninitializedError" in seen.trouble
    assert telemetry.sensors("aries-rb", 0) == ()


@SHAPES
def test_a_look_tells_the_driver_and_leaves_the_library_shut(vendor: Callable[..., Any], meter: str, meters: list[Any]) -> None:
    vendor(meter=meter, meters=meters)
    seen = telemetry.look()
    assert seen.driver
    assert seen.versions["aries driver"] == "1.13.0"
    module = importlib.import_module("mbltml")
    with pytest.raises(module.MBLTMLUninitializedError):
        module.mbltmlGetTemperature(*((3, 0) if meter == "meter_new" else (1,)))


def test_without_the_package_it_says_which(vendor: Callable[..., Any]) -> None:
    vendor(meter=None)
    assert telemetry.look().trouble == "no telemetry: mbltml is not installed; run: pip install mobilint-ml"
    assert json.dumps(telemetry.look().versions)
