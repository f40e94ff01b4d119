"""The simulated device draws the courses that power takes, live: what is printed is near the truth, what cannot be is absent.

The truth comes from the log that the device's executor leaves, not from its sensors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from npubench.measure.trace import read_trace
from npubench.testing.laws import busy_ns, true_joules

from .world import World, came_through, code_of, one_by_target

Mapped = dict[str, Any]

#: Course → what the device is told of it and of its sensors. The constant one's window is long enough for 10 Hz.
COURSES: dict[str, Mapped] = {
    "constant": {"sensor_period_ms": 100.0, "sensor_jitter": 0.1},
    "square": {"course": "square", "course_s": 0.4, "sensor_period_ms": 1.0, "energy_wraps_uj": 30_000_000},
    "ramp": {"course": "ramp", "course_s": 8.0, "course_low_mw": 15_000, "sensor_period_ms": 10.0, "energy_quantum_uj": 15_000},
    "bursts": {"course": "bursts", "course_s": 0.02, "course_low_mw": 20_000, "sensor_period_ms": 1.0, "sensor_dropped": 0.02},
    "drift": {
        "course": "drift",
        "course_low_mw": 25_000,
        "drift_percent": 15.0,
        "drift_time_s": 2.0,
        "sensor_period_ms": 10.0,
        "power_averages": False,
    },
    "slow": {"course": "square", "course_s": 1.5, "sensor_period_ms": 1000.0},
}

#: Warms from 40 °C towards 90 °C with a time constant of 1 s of service, and throttles from 80 °C on: after 1.6 s of it.
#: Accuracy and warm-up take 0.4 s, and half a second more where a busy machine does not settle; a window in which it serves for
#: a fifth of the time has the rest.
HOT = {"cold_c": 40.0, "hot_c": 90.0, "drift_time_s": 1.0, "throttle_c": 80.0, "throttled_percent": 50.0}


#: Kinds of sensor → by which of them throttling is found.
THROTTLING = {"energy,clock,temperature,throttle": "throttle flag", "clock": "clock"}

#: What the device draws while it serves none, and most while it does, W.
IDLE_W, HIGHEST_W = 8.0, 40.0

#: s.
LONGEST, LONG, SHORT, SHORTEST = 6.0, 3.2, 2.0, 1.0


@pytest.fixture(scope="module")
def drawn(new_world: Callable[[str], World]) -> tuple[dict[str, Mapped], World]:
    """One suite with a target of each course, and some that throttle: its records and its world."""
    world = new_world("courses")
    plain = {"backend": "simulated", "device": "sim:plain"}
    courses: dict[str, Mapped] = {
        name: {**plain, "options": {**options, "idle_mw": round(IDLE_W * 1000), "truth": str(world.folder / f"{name}.npz")}}
        for name, options in COURSES.items()
    }
    hot = {
        f"hot-{n}": {**plain, "options": HOT, "env": {"NPUBENCH_SIMULATED_SENSORS": kinds}} for n, kinds in enumerate(THROTTLING)
    }
    entries = [(["constant"], LONG), ([*COURSES][1:-1], SHORT), (["slow"], SHORTEST), ([*hot], LONGEST)]
    suite = world.suite(
        courses | hot, [{"targets": targets, "workloads": ["probe"], "duration_s": seconds} for targets, seconds in entries]
    )
    done = world("run", suite.name, "--store", "store")
    assert done.code == code_of(world.store()), done.err
    assert all(came_through(record) for record in one_by_target(world.store()).values()), done.err
    return one_by_target(world.store()), world


def truth_of(record: Mapped, world: World) -> tuple[float, float]:
    """Return what was drawn in the window, J, and at what power while the device served, W."""
    with np.load(world.folder / f"{record['spec']['target']['name']}.npz", allow_pickle=False) as stored:
        log = dict(stored)
    (path,) = world.store().glob(f"*/{record['run_id']}/trace.npz")
    trace = read_trace(path)
    base = int(log["base_ns"])
    before, after = (busy_ns(log["start_ns"], log["end_ns"], base, at) for at in (trace.start_ns, trace.end_ns))
    served = after - before
    joules = true_joules(log, trace.start_ns, trace.end_ns)
    return joules, (joules - IDLE_W * (trace.window_ns - served) * 1e-9) / (served * 1e-9)


@pytest.mark.parametrize("course", COURSES)
def test_energy_is_near_the_truth_wherever_it_buys_something(drawn: Any, course: str) -> None:
    records, world = drawn
    record = records[course]
    true, _ = truth_of(record, world)
    assert [row["evidence"] for row in record["energy"]] == ["device energy counter", "device power gauge"]
    for row in record["energy"]:
        if row["samples_per_joule"]["value"] is not None:
            assert row["joules"]["value"] == pytest.approx(true, rel=0.005), row["sensor"]
        else:
            assert row["samples_per_joule"]["reason"]
            assert row["joules_per_sample"]["value"] is None


def test_courses_are_told_apart_by_what_they_draw(drawn: Any) -> None:
    records, world = drawn
    watts = {name: truth_of(records[name], world)[1] for name in COURSES}
    # While it serves: how much of the time that is, and when in a course the window begins, is the machine's mood.
    assert watts["constant"] == pytest.approx(HIGHEST_W, rel=1e-6)
    for course, low_w in (("ramp", 15.0), ("bursts", 20.0), ("drift", 25.0), ("square", IDLE_W)):
        assert low_w < watts[course] < HIGHEST_W, (course, watts)


def test_some_figure_is_printed_and_a_sensor_too_slow_has_none(drawn: Any) -> None:
    records, _ = drawn
    printed = [row for record in records.values() for row in record["energy"] if row["samples_per_joule"]["value"] is not None]
    assert printed
    for row in records["slow"]["energy"]:
        assert row["joules"]["value"] is None
        assert re.fullmatch(
            r"the sensor changes every 1000 ms: needs a window of 30 s, it has \d\.\d+ s", row["joules"]["reason"]
        ), row["joules"]["reason"]
        assert row["update_period_ns"] == 1_000_000_000


@pytest.mark.parametrize("kinds", THROTTLING)
def test_a_device_that_throttles_is_found_out(drawn: Any, kinds: str) -> None:
    """By its flag, or, where it shows none, by a clock that falls while requests take longer."""
    records, _ = drawn
    record = records[f"hot-{[*THROTTLING].index(kinds)}"]
    (finding,) = [finding for finding in record["findings"] if finding["rule"] == "throttled"]
    assert finding["evidence"]["sensor"] == f"SIMULATED {THROTTLING[kinds]}"
    if kinds == "clock":
        assert (finding["evidence"]["before"], finding["evidence"]["after"]) == (1000.0, 500.0)
        assert finding["evidence"]["slower"] > 0.5
        assert record["energy"] == []
    else:
        assert [row["sensor"] for row in record["energy"]] == ["SIMULATED energy counter"]


def test_a_sensor_that_there_is_not_is_said(world: World) -> None:
    wrong = {"backend": "simulated", "device": "sim:plain", "env": {"NPUBENCH_SIMULATED_SENSORS": "energy,clok"}}
    suite = world.suite({"card": wrong}, [{"targets": ["card"], "workloads": ["probe"]}])
    done = world("run", suite.name, "--store", "store")
    assert done.code != 0
    assert "there is no kind of sensor 'clok'; did you mean 'clock'?" in done.err
    assert "Traceback" not in done.err
