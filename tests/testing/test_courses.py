"""Courses of power are known in closed form, sensors show them as they say, and the live account is that of the law."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npubench.testing.account import SHOWN, changed, opened, shown_energy_uj, shown_power_mw
from npubench.testing.courses import SHAPES, Course, drawn_pj, power_mw
from npubench.testing.laws import (
    Law,
    clock_hz,
    course_of,
    energy_uj,
    is_throttled,
    law_from,
    law_text,
    service_times_ns,
    temperature_mc,
    true_joules,
)
from npubench.testing.showing import SensorModel, in_steps, is_given, last_update, update_ns

#: A busy machine is no reason to fail.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

MS = 1_000_000
#: What differs from a plain law in every way that can be told through a board.
OTHER = Law(
    seed=7,
    course="bursts",
    course_low_mw=12_000,
    course_s=0.02,
    sensor_period_ns=5 * MS,
    sensor_jitter=0.25,
    sensor_dropped=0.1,
    sensor_declared=False,
    energy_quantum_uj=15_000,
    energy_wraps_uj=1_000_000,
    power_quantum_mw=100,
    power_averages=False,
    throttle_c=60.0,
)


# ---------------------------------------------------------------- courses


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ends", [(10_000.0, 40_000.0), (40_000.0, 15_000.0)])
def test_energy_is_the_integral_of_power(shape: str, ends: tuple[float, float]) -> None:
    course = Course(shape, *ends, period_ns=7 * MS, phase=0.3, seed=3)
    grid = np.arange(0, 50 * MS, 1000)
    summed = np.cumsum(power_mw(course, grid + 500) * 1000.0)
    drawn = drawn_pj(course, grid + 1000)
    assert np.max(np.abs(summed - drawn)) <= 1000.0 * 40_000.0
    assert np.all(np.diff(drawn) > 0)
    assert drawn_pj(course, 0) == 0
    # A moment alone has the same as among others.
    for at in (0, 3 * MS + 1, 7 * MS, 49 * MS):
        assert drawn_pj(course, at) == pytest.approx(float(np.interp(at, np.append(0, grid + 1000), np.append(0.0, drawn))))
        assert min(ends) <= float(power_mw(course, at)) <= max(ends)


def test_each_course_is_what_it_is_called() -> None:
    times = np.arange(0, 20_000 * MS, MS)
    ends = {"low_mw": 10.0, "high_mw": 30.0}
    square = power_mw(Course("square", **ends, period_ns=10 * MS), times)
    assert square[:12].tolist() == [30.0] * 5 + [10.0] * 5 + [30.0] * 2
    ramp = power_mw(Course("ramp", **ends, period_ns=10 * MS), times)
    assert ramp[[0, 5, 10, 15]].tolist() == [10.0, 20.0, 30.0, 30.0]
    bursts = power_mw(Course("bursts", **ends, period_ns=20 * MS), times)
    assert set(bursts.tolist()) == {10.0, 30.0}
    assert np.mean(bursts == 30.0) == pytest.approx(0.3, abs=0.05)
    assert np.all(bursts.reshape(-1, 20) == bursts[::20, None])
    drift = power_mw(Course("drift", **ends, period_ns=1000 * MS), times)
    assert drift[[0, 1000, 19_999]] == pytest.approx([10.0, 30.0 - 20.0 / np.e, 30.0], abs=1e-6)


def test_a_constant_course_is_counted_exactly() -> None:
    law = Law(idle_mw=3, active_mw=7)
    assert energy_uj(law, 10**15 + 1, 2 * 10**15) == (3 * (10**15 - 1) + 7 * (10**15 + 1)) // 10**6


# ---------------------------------------------------------------- how sensors show it


@UNHURRIED
@given(period=st.integers(1, 10**9), jitter=st.floats(0.0, 0.99), seed=st.integers(0, 2**63 - 1), at=st.integers(0, 10**12))
def test_the_last_update_is_the_last(period: int, jitter: float, seed: int, at: int) -> None:
    model = SensorModel("power", period, jitter=jitter, seed=seed)
    count = last_update(model, 100, 100 + at)
    assert update_ns(model, 100, count) <= 100 + at < update_ns(model, 100, count + 1)
    assert update_ns(model, 100, 0) == 100
    assert 0 <= update_ns(model, 100, count) - 100 - count * period <= jitter * period


def test_updates_come_late_by_all_that_is_allowed_and_arrays_are_as_numbers() -> None:
    model = SensorModel("power", 1000, jitter=0.5, seed=5)
    counts = np.arange(2000)
    late = update_ns(model, 0, counts) - counts * 1000
    assert late[0] == 0
    assert (late.min(), late.max()) == (0, pytest.approx(500, abs=2))
    assert float(late.mean()) == pytest.approx(250, abs=10)
    times = np.arange(0, 50_000, 137)
    assert last_update(model, 0, times).tolist() == [int(last_update(model, 0, int(time))) for time in times]


def test_values_come_in_steps_and_wrap() -> None:
    counter = SensorModel("energy", 1, quantum=15, wraps_at=100)
    assert [in_steps(counter, value) for value in (14, 15, 44, 104, 119)] == [0, 15, 30, 90, 5]
    gauge = SensorModel("power", 1, quantum=100)
    assert in_steps(gauge, np.array([149.0, 151.0])).tolist() == [100.0, 200.0]


def test_the_stated_share_of_readings_is_dropped() -> None:
    generator = np.random.default_rng(1)
    model = SensorModel("power", 1, dropped=0.2)
    assert float(np.mean(~is_given(model, generator, 10_000))) == pytest.approx(0.2, abs=0.02)
    assert all(is_given(SensorModel("power", 1), generator) for _ in range(100))


# ---------------------------------------------------------------- the account


@UNHURRIED
@given(
    shape=st.sampled_from(SHAPES),
    jitter=st.sampled_from([0.0, 0.7]),
    means=st.booleans(),
    steps=st.lists(st.integers(0, 40), max_size=20),
    wait=st.integers(0, 60),
    base=st.integers(0, 1000),
)
def test_sensors_show_any_course_as_of_the_last_edge(
    shape: str, jitter: float, means: bool, steps: list[int], wait: int, base: int
) -> None:
    """Whatever the device did, they show the integral of its course over the time it served."""
    law = Law(
        idle_mw=3_000_000,
        active_mw=11_000_000,
        course=shape,
        course_low_mw=5_000_000,
        course_s=13e-9,
        drift_time_s=40e-9,
        sensor_period_ns=9,
        sensor_jitter=jitter,
        power_averages=means,
    )
    account, serving, now = opened(law, base, 5), False, base
    served = np.zeros(sum(steps) + wait, dtype=bool)
    for step in steps:
        served[now - base : now - base + step] = serving
        now += step
        serving = not serving
        account = changed(account, serving, now)
    served[now - base :] = serving
    now += wait
    model = SensorModel("", 9, jitter=jitter, seed=law.seed)
    count = last_update(model, base, now)
    edge, prior = (update_ns(model, base, n) - base for n in (count, max(0, count - 1)))

    def drawn(at: int) -> float:
        busy = int(served[:at].sum())
        return float(3_000_000 * (at - busy) + drawn_pj(course_of(law), busy))

    assert shown_energy_uj(account, now) == 5 + int(drawn(edge) // 1_000_000)
    if edge == 0:
        assert shown_power_mw(account, now) is None
    elif means:
        assert shown_power_mw(account, now) == pytest.approx((drawn(edge) - drawn(prior)) / (edge - prior), abs=1)
    elif edge < served.size:
        busy = int(served[:edge].sum())
        shown = shown_power_mw(account, now)
        # At the very moment of a change either side of it may be shown.
        moments = [float(power_mw(course_of(law), busy)) if on else 3_000_000 for on in served[max(0, edge - 1) : edge + 1]]
        assert any(shown == pytest.approx(moment, abs=1) for moment in moments)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_truth_of_a_window_is_what_the_account_counted(shape: str) -> None:
    law = Law(course=shape, course_s=0.01, drift_time_s=0.02, course_low_mw=20_000, sensor_period_ns=1)
    account, base = opened(law, 1_000), 1_000
    starts = base + np.arange(20, dtype=np.int64) * 3 * MS
    ends = starts + 2 * MS + 17
    counted = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        account = changed(changed(account, True, start), False, end)
        counted.append(shown_energy_uj(account, end))
    log = {"start_ns": starts, "end_ns": ends, "base_ns": np.array(base), "law": np.array(law_text(law))}
    for first, last in ((0, 19), (3, 4)):
        joules = true_joules(log, int(ends[first]), int(ends[last]))
        assert joules == pytest.approx((counted[last] - counted[first]) * 1e-6, abs=2e-6)


# ---------------------------------------------------------------- laws


def test_a_law_is_written_down_and_read_again() -> None:
    for law in (Law(), OTHER, Law(energy_wraps_uj=2, throttle_c=None)):
        assert law_from(law_text(law)) == law
        assert law_from(law_text(law).encode()) == law
    assert law_text(Law()) == "{}"
    with pytest.raises(ValueError, match="course"):
        law_from('{"course": "zigzag"}')


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"course": "zigzag"}, "course: 'zigzag' is not one of constant, square"),
        ({"course_low_mw": -1}, "course_low_mw: must be 0 or more"),
        ({"course_s": 0.0}, "course_s: must be above 0"),
        ({"sensor_jitter": 1.0}, "sensor_jitter: must be 0 or more and below 1"),
        ({"sensor_dropped": -0.1}, "sensor_dropped: must be 0 or more and below 1"),
        ({"energy_quantum_uj": 0}, "energy_quantum_uj: must be above 0"),
        ({"energy_quantum_uj": 10, "energy_wraps_uj": 10}, "energy_wraps_uj: must be above energy_quantum_uj"),
        ({"power_quantum_mw": -5}, "power_quantum_mw: must be above 0"),
        ({"cold_c": float("nan")}, "cold_c: no temperature"),
        ({"throttle_c": 4000.0}, "throttle_c: no temperature"),
        ({"cold_c": 80.0}, "hot_c: must not be below cold_c"),
        ({"clock_mhz": 0.0}, "clock_mhz: must be above 0"),
        ({"throttled_percent": 101.0}, "throttled_percent: must be 100 or less"),
    ],
)
def test_impossible_laws_are_refused(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Law(**wrong)


def test_it_warms_and_throttles_by_serving() -> None:
    law = Law(cold_c=40.0, hot_c=90.0, drift_time_s=1.0, throttle_c=75.0, throttled_percent=25.0, clock_mhz=800.0)
    assert temperature_mc(law, 0) == 40_000
    assert temperature_mc(law, 10**9) == round(1e3 * (90.0 - 50.0 / np.e))
    assert [is_throttled(law, busy) for busy in (0, 1_200_000_000, 1_210_000_000)] == [False, False, True]
    assert (clock_hz(law, 0), clock_hz(law, 2 * 10**9)) == (800_000_000, 200_000_000)
    times = service_times_ns(replace(law, fixed_us=10_000.0, per_sample_us=0.0), 150)
    assert (int(times[0]), int(times[-1])) == (10_000_000, 40_000_000)
    assert set(times.tolist()) == {10_000_000, 40_000_000}
    assert int(np.argmax(times == 40_000_000)) == 121
    assert not is_throttled(Law(), 10**15)


def test_conditions_are_shown_as_of_the_last_edge() -> None:
    law = Law(cold_c=40.0, hot_c=90.0, drift_time_s=1.0, throttle_c=75.0, sensor_period_ns=1000 * MS)
    account = changed(opened(law, 0), True, 0)
    seen = [(SHOWN["temperature"](account, at * MS), SHOWN["throttle"](account, at * MS)) for at in (0, 999, 1999, 2000)]
    assert seen == [(40_000, 0), (40_000, 0), (temperature_mc(law, 1000 * MS), 0), (temperature_mc(law, 2000 * MS), 1)]
    assert [SHOWN["clock"](account, at * MS) for at in (1999, 2000)] == [1_000_000_000, 500_000_000]
