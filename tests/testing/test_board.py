"""The executor's process writes the account, sensors of another process show it; neither is led astray by the other's end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from npubench.contract import Device
from npubench.testing import board
from npubench.testing.account import opened
from npubench.testing.executor import wait_until
from npubench.testing.laws import Law
from npubench.testing.meter import NAMES, Meter, SimulatedSensor
from npubench.testing.simulated import SENSORS_VARIABLE, SimulatedBackend

BACKEND = SimulatedBackend()
DEVICE = "sim:plain"
OTHER = Law(
    course="square",
    sensor_period_ns=250_000_000,
    energy_quantum_uj=15_000,
    energy_wraps_uj=1_000_000,
    power_quantum_mw=100,
    power_averages=False,
)


@pytest.fixture(autouse=True)
def own_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(SENSORS_VARIABLE, raising=False)


def plain() -> Device:
    return next(device for device in BACKEND.probe().devices if device.name == DEVICE)


def test_an_account_is_read_as_it_was_written() -> None:
    memory = memoryview(bytearray(board.SIZE))
    assert board.read(memory) is None
    account = opened(OTHER, 1000, 7)
    board.write(memory, account)
    assert board.read(memory) == account
    later = replace(account, busy_ns=5, change_ns=2000, edge_serving=1)
    board.write_state(memory, later)
    assert board.read(memory) == later


@pytest.mark.parametrize("at", [0, 9, 50, 110, 120])
def test_an_account_that_is_being_written_is_none(at: int) -> None:
    memory = memoryview(bytearray(board.SIZE))
    board.write(memory, opened(OTHER, 1000))
    memory[at] ^= 0xFF
    assert board.read(memory) is None


@pytest.mark.parametrize("text", [b'{"course":"zigzag"}', b'{"gravity":9.81}', b"[]", b"", b"\xff"])
def test_a_law_that_this_version_does_not_know_is_none(text: bytes) -> None:
    memory = memoryview(bytearray(board.SIZE))
    account = opened(OTHER, 1000)
    board.write(memory, account)
    memory[board.LAW_AT : board.LAW_AT + len(text)] = text
    board.write_state(memory, account, zlib.crc32(text), len(text))
    assert board.read(memory) is None


def test_a_sensor_says_what_the_executors_law_has_it_say() -> None:
    counter, gauge = BACKEND.sensors(plain())
    assert (counter.update_period_ns, counter.quantum, counter.wraps_at) == (1_000_000, 1, None)
    with closing(Meter(DEVICE, OTHER)):
        counter.read(), gauge.read()
        assert (counter.update_period_ns, counter.quantum, counter.wraps_at) == (250_000_000, 15_000, 1_000_000)
        assert (gauge.update_period_ns, gauge.quantum, gauge.averages) == (250_000_000, 100, False)


def test_what_the_last_executor_had_it_say_is_forgotten_by_the_next_sensor() -> None:
    with closing(Meter(DEVICE, OTHER)):
        (counter, _) = BACKEND.sensors(plain())
        counter.read()
    counter.read()
    assert counter.update_period_ns == 250_000_000  # it was measured so; the executor being gone changes nothing of that
    (fresh, _) = BACKEND.sensors(plain())
    fresh.read()
    assert fresh.update_period_ns == 1_000_000


def test_the_law_of_an_executor_that_was_killed_counts_no_more() -> None:
    """It held the device and could not say that it does no longer; the lock it had is gone with it."""
    code = (
        "import tempfile, time, sys; tempfile.tempdir = sys.argv[1]\n"
        "from npubench.testing.meter import Meter\n"
        "from npubench.testing.laws import Law\n"
        "meter = Meter('sim:plain', Law(sensor_period_ns=10**9)); print('there', flush=True); time.sleep(60)"
    )
    started = subprocess.Popen([sys.executable, "-c", code, tempfile.gettempdir()], stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"there\n"
    (held, _) = BACKEND.sensors(plain())
    held.read()
    assert held.update_period_ns == 10**9
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    started.stdout.close()
    (counter, _) = BACKEND.sensors(plain())
    assert counter.read() is not None
    assert counter.update_period_ns == 1_000_000


def test_undeclared_and_dropped() -> None:
    law = replace(OTHER, sensor_period_ns=1000, sensor_declared=False, sensor_dropped=0.5)
    with closing(Meter(DEVICE, law)) as meter:
        assert wait_until(meter.account.base_ns + 2000)  # a gauge has no value before its first period
        for kind, wraps_at in (("energy", 1_000_000), ("power", None)):
            sensor = SimulatedSensor(DEVICE, kind, Law())
            seen = [sensor.read() is None for _ in range(400)]
            assert 100 < sum(seen) < 300
            assert (sensor.update_period_ns, sensor.quantum, sensor.averages) == (None, None, None)
            assert sensor.wraps_at == wraps_at
        thermometer = SimulatedSensor(DEVICE, "temperature", Law())
        assert all(thermometer.read() == 40_000 for _ in range(50))


def test_a_meter_closed_while_serving_goes_idle() -> None:
    meter = Meter(DEVICE, Law(idle_mw=5_000, sensor_period_ns=1000))
    meter.begin(time.monotonic_ns())
    meter.close()
    assert (meter.account.serving, meter.account.held) == (0, 0)
    wait_until(meter.account.change_ns + 3000)
    assert SimulatedSensor(DEVICE, "power", Law()).read() == 5_000


def test_the_environment_says_which_sensors_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SENSORS_VARIABLE, "clock, throttle,temperature,clock")
    assert [sensor.kind for sensor in BACKEND.sensors(plain())] == ["clock", "throttle", "temperature"]
    assert [sensor.read() for sensor in BACKEND.sensors(plain())] == [1_000_000_000, 0, 40_000]
    monkeypatch.setenv(SENSORS_VARIABLE, "")
    assert BACKEND.sensors(plain()) == []
    monkeypatch.setenv(SENSORS_VARIABLE, ",".join(NAMES))
    assert [sensor.kind for sensor in BACKEND.sensors(plain())] == [*NAMES]
    monkeypatch.setenv(SENSORS_VARIABLE, "energy,trottle")
    with pytest.raises(ValueError, match=f"{SENSORS_VARIABLE}: there is no kind of sensor 'trottle'; did you mean 'throttle'"):
        BACKEND.probe()
