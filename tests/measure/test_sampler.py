"""The sampler keeps every reading with its time; no value is never 0, and a sensor's error takes nothing else with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze.readings import account_energy
from npubench.contract import Sensor
from npubench.measure.live import read_live
from npubench.measure.meters.sensor import MeterSensor
from npubench.measure.sampler import DEFAULT_PERIOD_NS, SHORTEST_PERIOD_NS, poll_period_ns, sample


class Counting(Sensor):
    name, kind, domain = "meter", "energy", "card"
    update_period_ns = 10_000_000

    def __init__(self, fault: Any = None) -> None:
        self.read_so_far = 0
        self._fault = fault

    def read(self) -> int | None:
        self.read_so_far += 1
        if self._fault is not None and self.read_so_far % 2:
            if isinstance(self._fault, Exception):
                raise self._fault
            return None
        return self.read_so_far * 1000


def sampled(tmp_path: Path, *sensors: Sensor, readings: int = 5) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Sample until the first sensor has been read so often."""
    stop, end = os.pipe()
    told, ready = os.pipe()
    path = tmp_path / "readings.npz"
    thread = threading.Thread(target=sample, args=(sensors, path, stop, ready))
    thread.start()
    try:
        assert os.read(told, 100) == b"ready\n"
        assert all(sensor.read_so_far >= 1 for sensor in sensors)  # type: ignore[attr-defined]
        while thread.is_alive() and sensors and sensors[0].read_so_far < readings:  # type: ignore[attr-defined]
            thread.join(0.005)
    finally:
        os.close(end)
        thread.join(20)
        for descriptor in (stop, told, ready):
            os.close(descriptor)
    assert not thread.is_alive()
    with np.load(path) as stored:
        columns = {name: stored[name] for name in stored.files}
    return json.loads(bytes(columns.pop("header")).decode()), columns


def test_every_reading_is_kept_in_order_with_its_time(tmp_path: Path) -> None:
    sensor = Counting()
    (header,), columns = sampled(tmp_path, sensor)
    assert (header["name"], header["kind"], header["domain"], header["poll_period_ns"]) == ("meter", "energy", "card", 5_000_000)
    assert columns["0_values"].tolist() == [1000 * (n + 1) for n in range(sensor.read_so_far)]
    assert columns["0_valid"].all()
    assert (np.diff(columns["0_times_ns"]) > 0).all()


@pytest.mark.parametrize("fault", [RuntimeError("bus error"), "none"])
def test_a_reading_without_a_value_is_no_zero_but_invalid(tmp_path: Path, fault: Any) -> None:
    _, columns = sampled(tmp_path, Counting(fault), readings=6)
    assert columns["0_valid"].tolist()[:4] == [False, True, False, True]
    assert columns["0_values"][columns["0_valid"]].all()


@pytest.mark.parametrize("garbage", ["40 W", float("nan"), float("inf"), 1 << 70, -(1 << 70), b"", object()])
def test_garbage_is_no_value_and_costs_no_other_reading(tmp_path: Path, garbage: Any) -> None:
    class Garbled(Counting):
        def read(self) -> Any:
            value = super().read()
            return garbage if self.read_so_far == 3 else value

    headers, columns = sampled(tmp_path, Garbled(), Counting())
    assert len(headers) == 2
    assert columns["0_valid"].tolist()[:4] == [True, True, False, True]
    assert columns["1_valid"].all()


def test_when_it_was_in_utc_is_known_to_a_hundredth_of_a_second(tmp_path: Path) -> None:
    (header,), _ = sampled(tmp_path, Counting())
    began, ended = header["utc_offsets_ns"]
    # The shortest of many looks: a busy machine may stop between the two clocks.
    looks = [(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(100)]
    before, utc, after = min(looks, key=lambda look: look[2] - look[0])
    now = utc - (before + after) // 2
    assert abs(began - now) < 10_000_000
    assert abs(ended - now) < 10_000_000
    assert not (tmp_path / "readings.live").exists()


def test_each_sensor_has_columns_of_its_own(tmp_path: Path) -> None:
    headers, columns = sampled(tmp_path, Counting(), Counting("none"))
    assert len(headers) == 2
    assert set(columns) == {f"{n}_{name}" for n in (0, 1) for name in ("times_ns", "values", "valid")}


def test_no_sensors_leave_an_empty_file_that_can_be_read(tmp_path: Path) -> None:
    headers, columns = sampled(tmp_path)
    assert (headers, columns) == ([], {})
    assert account_energy([tmp_path / "readings.npz"], (0, 10**9), 1) == ()


@pytest.mark.parametrize(
    ("update_ns", "cost_ns", "poll_ns"),
    [
        (None, 0, DEFAULT_PERIOD_NS),
        (0, 0, DEFAULT_PERIOD_NS),
        (10**9, 0, 50_000_000),
        (10**10, 0, DEFAULT_PERIOD_NS),
        (200_000_000, 0, 10_000_000),
        (1, 0, SHORTEST_PERIOD_NS),
        # A program to start for every reading: 4.6 ms of 230 ms.
        (10**9, 4_600_000, 230_000_000),
    ],
)
def test_a_sensor_is_read_twenty_times_an_update_unless_that_costs_too_much(
    update_ns: int | None, cost_ns: int, poll_ns: int
) -> None:
    assert poll_period_ns(update_ns, cost_ns) == poll_ns


class Remote(MeterSensor):
    """A meter over the network that answers only while it is let."""

    kind, domain, evidence = "power", "wall", "wall meter"
    update_period_ns = 10_000_000

    def __init__(self, address: str, lets: threading.Event | None = None) -> None:
        self.name = self.address = address
        self.read_so_far = self.looks = 0
        self.fixed_after: int | None = None
        self._lets = lets

    def read(self) -> int | None:
        self.read_so_far += 1
        # The first readings, of which the sampler learns what it costs, come at once.
        if self._lets is not None and self.read_so_far > 4:
            self._lets.wait()
        return 40_000

    def look(self) -> None:
        self.looks += 1
        raise OSError("no answer")

    def fix_ranges(self) -> None:
        self.fixed_after = self.looks
        raise OSError("no answer")

    def ranging(self) -> dict[str, Any]:
        return {"reason": "" if self.fixed_after is not None else "no ranging run was made"}


def until(done: Callable[[], bool]) -> None:
    """Wait for what must come; a minute without it fails the test that needs it."""
    late = time.monotonic() + 60.0
    while not done():
        assert time.monotonic() < late
        time.sleep(0.005)


def test_a_meter_that_hangs_holds_no_meter_of_another_address_back(tmp_path: Path) -> None:
    lets = threading.Event()
    slow, other, local = Remote("slow", lets), Remote("other"), Counting()
    stop, end = os.pipe()
    told, ready = os.pipe()
    thread = threading.Thread(target=sample, args=([slow, other, local], tmp_path / "meters.npz", stop, ready))
    thread.start()
    try:
        assert os.read(told, 100) == b"ready\n"
        until(lambda: slow.read_so_far > 4 and other.read_so_far > 30 and local.read_so_far > 30)
        assert slow.read_so_far == 5
        shown = {reading.name: reading.value for reading in read_live(tmp_path / "meters.live")}
        assert (shown["slow"], shown["other"]) == (40_000, 40_000)
    finally:
        lets.set()
        os.close(end)
        thread.join(20)
    for descriptor in (stop, told, ready):
        os.close(descriptor)
    assert not thread.is_alive()
    with np.load(tmp_path / "meters.npz") as stored:
        assert [each["name"] for each in json.loads(bytes(stored["header"]).decode())] == ["slow", "other", "meter"]
        assert [stored[f"{n}_values"].size for n in range(3)] == [slow.read_so_far, other.read_so_far, local.read_so_far]


def test_meters_look_from_the_order_to_range_until_the_order_to_fix(tmp_path: Path) -> None:
    """Whatever a meter raises meanwhile takes no reading with it."""
    first, second, local = Remote("first"), Remote("second"), Counting()
    stop, end = os.pipe()
    told, ready = os.pipe()
    thread = threading.Thread(target=sample, args=([first, second, local], tmp_path / "meters.npz", stop, ready))
    thread.start()
    try:
        assert os.read(told, 100) == b"ready\n"
        until(lambda: first.read_so_far > 10)
        assert first.looks == second.looks == 0
        os.write(end, b"r")
        until(lambda: min(first.looks, second.looks) > 2)
        os.write(end, b"f")
        assert os.read(told, 100) == b"fixed\n"
        assert (first.fixed_after, second.fixed_after) == (first.looks, second.looks)
        before, looks = first.read_so_far, first.looks
        until(lambda: first.read_so_far > before + 5)
        assert first.looks == looks
    finally:
        os.close(end)
        thread.join(20)
    for descriptor in (stop, told, ready):
        os.close(descriptor)
    assert not thread.is_alive()
    with np.load(tmp_path / "meters.npz") as stored:
        header = json.loads(bytes(stored["header"]).decode())
        assert [each["ranging"] for each in header] == [{"reason": ""}, {"reason": ""}, None]
        assert stored["0_valid"].all() and stored["2_valid"].all()


LEAVES = """
import os, threading
from pathlib import Path
from npubench.measure import sampler
from npubench.measure.meters.sensor import MeterSensor

class Gauge(MeterSensor):
    kind, domain, evidence, update_period_ns = "power", "wall", "wall meter", 10_000_000
    def __init__(self, address, hangs):
        self.name, self.address, self.hangs, self.count = address, address, hangs, 0
    def read(self):
        self.count += 1
        if self.hangs and self.count > 4:
            os.write(1, b"hangs\\n")
            threading.Event().wait()
        return 40_000

sampler._GRACE_S = 0.2
sampler.sample([Gauge("good", False), Gauge("hung", True)], Path({path!r}), 0, 1)
"""


@pytest.mark.parametrize("hangs", ["good", "hung"])
def test_leaving_works_with_one_that_hangs_whichever_is_read_by_the_first_thread(tmp_path: Path, hangs: str) -> None:
    path = tmp_path / "meters.npz"
    text = LEAVES.format(path=str(path))
    if hangs == "good":
        text = text.replace('Gauge("good", False), Gauge("hung", True)', 'Gauge("hung", True), Gauge("good", False)')
    process = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    with process.stdin, process.stdout:
        assert process.stdout.readline() == b"ready\n"
        assert process.stdout.readline() == b"hangs\n"
        process.stdin.close()
        assert process.wait(60) == 0
    with np.load(path) as stored:
        names = [each["name"] for each in json.loads(bytes(stored["header"]).decode())]
        columns = {name: stored[f"{n}_values"] for n, name in enumerate(names)}
    assert columns["hung"].tolist() == [40_000] * 4
    assert columns["good"].size >= 4
    assert not path.with_suffix(".live").exists()
