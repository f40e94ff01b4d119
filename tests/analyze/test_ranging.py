"""A ranging run: what meters saw in it, whose ranges it fixed, and what the testing run may draw beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.ranging import account_ranging, below_ranging, unfixed_ranges

SECOND = 1_000_000_000
PERIOD = 10_000_000
SPAN = (SECOND, 2 * SECOND)
SAID: dict[str, Any] = {
    "volts": 229.8,
    "amps": 1.93,
    "looks": 31,
    "ranges": {"voltage_range": 300.0, "current_range": 2.0},
    "reason": "",
}


def readings(path: Path, *sensors: tuple[str, str, Any], watts: tuple[float, float] = (100.0, 60.0)) -> Path:
    """Write gauges of so many watts up to the ranging run's end and after it, each with what it tells of its ranging."""
    times = np.arange(0, 4 * SECOND, PERIOD, dtype=np.int64)
    values = np.where(times < SPAN[1] + PERIOD * 3, *(round(each * 1000) for each in watts)).astype(np.int64)
    header = [
        {
            "name": name,
            "kind": "power",
            "domain": domain,
            "update_period_ns": PERIOD,
            "quantum": 1,
            "wraps_at": None,
            "averages": True,
            "evidence": "wall meter" if domain == "wall" else None,
            "ranging": told,
        }
        for name, domain, told in sensors
    ]
    columns: dict[str, Any] = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for n in range(len(sensors)):
        columns |= {f"{n}_times_ns": times, f"{n}_values": values, f"{n}_valid": np.ones(times.size, bool)}
    np.savez(path, **columns)
    return path


def test_a_meter_has_watts_volts_and_amps_of_its_ranging_run_alone(tmp_path: Path) -> None:
    path = readings(tmp_path / "meters.npz", ("wall", "wall", SAID))
    (seen,) = account_ranging([path], SPAN)
    assert (seen.sensor, seen.domain) == ("wall", "wall")
    assert seen.watts.value == pytest.approx(100.0)
    assert seen.volts == Estimate(229.8, "V", n=31)
    assert seen.amps == Estimate(1.93, "A", n=31)
    assert unfixed_ranges([path]) == {}


def test_a_sensor_without_volts_and_amps_has_watts_and_a_reason(tmp_path: Path) -> None:
    (seen,) = account_ranging([readings(tmp_path / "readings.npz", ("card power", "card", None))], SPAN)
    assert seen.watts.value == pytest.approx(100.0)
    assert (seen.volts.value, seen.volts.reason) == (None, "the sensor shows no voltage")
    assert (seen.amps.value, seen.amps.reason) == (None, "the sensor shows no current")


def test_several_meters_of_one_domain_have_no_voltage_in_common(tmp_path: Path) -> None:
    (seen,) = account_ranging([readings(tmp_path / "meters.npz", ("left", "wall", SAID), ("right", "wall", SAID))], SPAN)
    assert (seen.sensor, seen.watts.value) == ("left + right", pytest.approx(200.0))
    assert seen.volts.reason == seen.amps.reason == "several sensors, and each has ranges of its own"


def test_no_ranging_run_saw_nothing_and_says_so(tmp_path: Path) -> None:
    told = {**SAID, "volts": None, "amps": None, "looks": 0, "reason": "no ranging run was made"}
    path = readings(tmp_path / "meters.npz", ("wall", "wall", told), ("rail", "card", None))
    assert account_ranging([path], None) == ()
    assert unfixed_ranges([path]) == {"wall": "no ranging run was made"}
    volts = [seen.volts.reason for seen in account_ranging([path], SPAN)]
    assert volts == ["no voltage was seen in the ranging run", "the sensor shows no voltage"]


@pytest.mark.parametrize("volts", ["229", float("inf"), float("nan"), True, None, [1]])
def test_what_is_no_number_is_no_voltage(tmp_path: Path, volts: Any) -> None:
    (seen,) = account_ranging([readings(tmp_path / "meters.npz", ("wall", "wall", {**SAID, "volts": volts}))], SPAN)
    assert (seen.volts.value, seen.volts.reason) == (None, "no voltage was seen in the ranging run")
    assert seen.amps.value == 1.93


def test_a_missing_or_damaged_file_tells_nothing(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 and no more")
    for path in (damaged, tmp_path / "missing.npz"):
        assert account_ranging([path], SPAN) == ()
        assert unfixed_ranges([path]) == {}


def test_a_testing_run_may_not_draw_5_percent_less_than_its_ranging_run() -> None:
    hundred = Estimate(100.0, "W")
    assert below_ranging(hundred, Estimate(95.1, "W")) is None
    assert below_ranging(hundred, Estimate(120.0, "W")) is None
    assert below_ranging(hundred, Estimate(94.9, "W")) == pytest.approx(0.051)
    assert below_ranging(absent("W", "none"), hundred) is None
    assert below_ranging(hundred, absent("W", "none")) is None
