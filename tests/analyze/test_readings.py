"""Readings become one energy figure a counter or gauge: counters first, damaged files none, no figure guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze.readings import EnergyAccount, account_energy

SECOND = 1_000_000_000
START, END = 10 * SECOND, 20 * SECOND
IDLE = (4 * SECOND, 9 * SECOND)
TIMES = np.arange(0, 25 * SECOND, SECOND // 50)


def account(path: Path, idle: tuple[int, int] | None = None, samples: int = 1000) -> tuple[EnergyAccount, ...]:
    return account_energy([path], (START, END), samples, idle=idle)


def sensor(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "domain": "card",
        "update_period_ns": SECOND // 50,
        "quantum": 1,
        "wraps_at": None,
        **more,
    }


def milliwatts() -> np.ndarray[Any, Any]:
    """40 W in the window, 10 W outside."""
    return np.where((TIMES >= START) & (TIMES <= END), 40_000, 10_000)


def microjoules() -> np.ndarray[Any, Any]:
    steps = milliwatts()[1:] * np.diff(TIMES) // 10**6
    return np.concatenate(([0], np.cumsum(steps)))


def write(path: Path, *tracks: tuple[dict[str, Any], np.ndarray[Any, Any]], **more: Any) -> Path:
    columns: dict[str, Any] = {"header": np.frombuffer(json.dumps([header for header, _ in tracks]).encode(), np.uint8)}
    for n, (_, values) in enumerate(tracks):
        columns |= {f"{n}_times_ns": TIMES, f"{n}_values": values, f"{n}_valid": np.ones(TIMES.size, bool)}
    np.savez(path, **{**columns, **more})
    return path


def test_counter_and_gauge_tell_the_same_and_the_counter_comes_first(tmp_path: Path) -> None:
    path = write(
        tmp_path / "readings.npz",
        (sensor("gauge", "power"), milliwatts()),
        (sensor("meter", "energy", domain="chip"), microjoules()),
    )
    counter, gauge = account(path, IDLE)
    assert (counter.sensor, counter.domain, counter.evidence) == ("meter", "chip", "device energy counter")
    assert (gauge.sensor, gauge.domain, gauge.evidence) == ("gauge", "card", "device power gauge")
    for found in (counter, gauge):
        assert found.joules.value == pytest.approx(400.0, rel=0.01)
        assert found.idle_watts.value == pytest.approx(10.0, rel=0.01)
        assert found.joules.unit == "J"
        assert found.readings == pytest.approx(500, abs=2)
        assert found.update_period_ns == SECOND // 50


def test_what_sees_the_same_watts_is_not_added(tmp_path: Path) -> None:
    """A wall meter that gives energy and power, and a card that both the plug-in and a meter of the host file read."""
    both = {"domain": "wall", "evidence": "wall meter"}
    meters = write(
        tmp_path / "meters.npz",
        (sensor("wall power", "power", **both), milliwatts()),
        (sensor("wall energy", "energy", **both), microjoules()),
        (sensor("nvml", "energy", evidence="device energy counter"), microjoules()),
    )
    plugin = write(tmp_path / "readings.npz", (sensor("card", "energy"), microjoules()))
    found = account_energy([plugin, meters], (START, END), 1000)
    assert [account.sensor for account in found] == ["wall energy", "wall power", "card", "nvml"]
    assert [account.watts.value for account in found] == [pytest.approx(40.0, rel=1e-3)] * 4


def test_parts_of_one_domain_are_added_and_one_that_is_named_twice_is_one(tmp_path: Path) -> None:
    parts = [(sensor(name, "energy", domain="chip"), microjoules()) for name in ("package-0", "package-1", "package-1")]
    (found,) = account(write(tmp_path / "meters.npz", *parts))
    assert found.sensor == "package-0 + package-1"
    assert found.watts.value == pytest.approx(80.0, rel=1e-3)
    assert found.peak_watts.value is None


def test_other_sensors_give_no_energy(tmp_path: Path) -> None:
    path = write(
        tmp_path / "readings.npz", (sensor("heat", "temperature"), milliwatts()), (sensor("gauge", "power"), milliwatts())
    )
    assert [found.sensor for found in account(path, IDLE)] == ["gauge"]


def test_without_a_baseline_there_is_no_idle_power(tmp_path: Path) -> None:
    (found,) = account(write(tmp_path / "readings.npz", (sensor("g", "power"), milliwatts())))
    assert (found.idle_watts.value, found.idle_watts.reason) == (None, "no idle baseline")
    assert found.joules.value is not None


def test_a_counter_that_wraps_goes_on(tmp_path: Path) -> None:
    top = 300_000_000
    path = write(tmp_path / "readings.npz", (sensor("meter", "energy", wraps_at=top), microjoules() % top))
    (found,) = account(path)
    assert found.joules.value == pytest.approx(400.0, rel=0.01)


def test_a_window_too_short_for_the_sensor_has_no_figure_but_a_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "readings.npz", (sensor("g", "power", update_period_ns=SECOND), milliwatts()))
    (found,) = account(path)
    assert found.joules.value is None
    assert found.joules.reason


def test_readings_without_a_value_are_no_zeros(tmp_path: Path) -> None:
    values, valid = milliwatts(), np.ones(TIMES.size, bool)
    values[600:610], valid[600:610] = 0, False
    (found,) = account(write(tmp_path / "r.npz", (sensor("g", "power"), values), **{"0_valid": valid}))
    assert found.joules.value is None or found.joules.value == pytest.approx(400.0, rel=0.05)


def test_no_readings_are_no_energy(tmp_path: Path) -> None:
    assert account(tmp_path / "readings.npz", IDLE) == ()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nonsense", b'{"header": 1}'])
def test_damaged_readings_are_no_energy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "readings.npz").write_bytes(content)
    assert account(tmp_path / "readings.npz", IDLE) == ()


def test_truncated_readings_are_no_energy(tmp_path: Path) -> None:
    path = write(tmp_path / "readings.npz", (sensor("g", "power"), milliwatts()))
    content = path.read_bytes()
    for share in (0.2, 0.5, 0.9, 0.99):
        path.write_bytes(content[: int(len(content) * share)])
        assert account(path, IDLE) == ()


@pytest.mark.parametrize("header", [{}, [{}], [{"name": "g"}], 3, ["g"]])
def test_a_damaged_header_is_no_energy(tmp_path: Path, header: Any) -> None:
    path = write(
        tmp_path / "r.npz", (sensor("g", "power"), milliwatts()), header=np.frombuffer(json.dumps(header).encode(), np.uint8)
    )
    assert account(path, IDLE) == ()


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        # Seen at every update, it is off by the chance of what was drawn: more draws help.
        ({"averages": False}, "a longer window narrows it"),
        # It moves ten times between two readings.
        ({"averages": False, "update_period_ns": SECOND // 500}, "the gauge was read more seldom than it changes"),
        ({"averages": True, "quantum": 5000}, "the sensor's step is too coarse"),
    ],
)
def test_a_longer_window_is_advised_only_where_it_helps(tmp_path: Path, said: dict[str, Any], remedy: str) -> None:
    watts = np.random.default_rng(1).integers(20_000, 60_000, TIMES.size)
    (found,) = account(write(tmp_path / "readings.npz", (sensor("gauge", "power", **said), watts)))
    assert found.joules.value is not None
    assert found.samples_per_joule.reason is not None
    assert f"allowed is ±0.5%; {remedy}" in found.samples_per_joule.reason
