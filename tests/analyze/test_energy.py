"""Energy is the integral of what a sensor said with the interval that holds the truth, or absent with a reason; never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from npubench.analyze.counter import counter_joules
from npubench.analyze.energy import Integral, Track
from npubench.analyze.gauge import gauge_joules
from npubench.testing.power import COURSES, SENSORS, make_trial

MS = 1_000_000
SECOND = 1_000_000_000

Array = np.ndarray[Any, Any]
WINDOW = (10 * SECOND, 70 * SECOND)


def track(times: Array, values: Array, **known: Any) -> Track:
    return Track(times, values, known.pop("valid", np.ones(times.size, bool)), **known)


def every(period_ns: int, until_s: float = 80.0) -> Array:
    return np.arange(0, int(until_s * SECOND), period_ns)


def staircase(times: Array, period_ns: int, power_mw: float) -> Array:
    """Return what a counter that moves every ``period_ns`` shows at ``times``, µJ."""
    return (times // period_ns * period_ns * power_mw * 1e-6).astype(np.int64)


def steady(times: Array, milliwatts: int = 40_000) -> Array:
    return np.full(times.size, milliwatts)


def joules(integral: Integral) -> float:
    assert integral.joules.value is not None, integral.joules.reason
    return integral.joules.value


def why_not(integral: Integral) -> str:
    assert integral.joules.value is None
    assert integral.peak_watts.value is None
    return integral.joules.reason or ""


# ---------------------------------------------------------------- against the truth


def inside(course: str, sensor: str, seed: int) -> tuple[float, float | None, bool]:
    """Return relative error, relative uncertainty and whether the interval holds the truth, of one trial."""
    model = SENSORS[sensor]
    trial = make_trial(course, model, seed, 75.0)
    integral = (counter_joules if model.kind == "energy" else gauge_joules)(Track(**trial.columns), trial.start_ns, trial.end_ns)
    value, low, high = integral.joules.value, integral.joules.low, integral.joules.high
    assert value is not None and low is not None and high is not None, integral.joules.reason
    return abs(value / trial.joules - 1.0), integral.uncertainty, low <= trial.joules <= high


def test_the_truth_lies_inside_the_interval_in_95_of_100_trials_and_near_it_where_a_figure_is_printed() -> None:
    """Every course of power by every sensor, with other seeds: 225 windows of 75 s."""
    held, printed = [], []
    for seed, (course, sensor) in enumerate((c, s) for _ in range(5) for c in COURSES for s in SENSORS):
        error, uncertainty, holds = inside(course, sensor, seed)
        held.append(holds)
        if uncertainty is not None and uncertainty <= 0.005:
            printed.append(error)
    assert len(held) >= 200
    assert np.mean(held) >= 0.95
    assert len(printed) > 100
    assert max(printed) <= 0.005


# ---------------------------------------------------------------- counter


def test_a_counter_counts_between_the_windows_edges() -> None:
    times = every(5 * MS)
    integral = counter_joules(track(times, staircase(times, MS, 40_000.0), update_period_ns=MS, quantum=1), *WINDOW)
    assert joules(integral) == pytest.approx(2400.0, rel=1e-5)
    assert integral.joules.low <= 2400.0 <= integral.joules.high  # type: ignore[operator]
    assert integral.peak_watts.value == pytest.approx(40.0, rel=1e-3)
    assert integral.readings == 12_001


@pytest.mark.parametrize("offset_ms", [0, 130, 500, 990])
def test_a_slow_counter_is_read_where_it_moves(offset_ms: int) -> None:
    """Between the stairs it shows the past: taken there, up to 1 s of 60 s would be lost on either side."""
    times = every(50 * MS) + 1
    start = WINDOW[0] + offset_ms * MS
    integral = counter_joules(track(times, staircase(times, SECOND, 40_000.0)), start, start + 60 * SECOND)
    assert joules(integral) == pytest.approx(2400.0, rel=1e-3)
    assert integral.update_period_ns == SECOND


def test_what_a_device_draws_outside_the_window_is_not_in_it() -> None:
    """Idle before, at work within: a stair that straddles the edge holds both, and is left out."""
    times = every(50 * MS)
    drawn = np.where(times < WINDOW[0] + SECOND // 2, 10.0, 40.0) * 0.05
    count = (np.cumsum(drawn) * 1e6).astype(np.int64)
    shown = count[np.minimum(times // SECOND * 20, times.size - 1)]
    integral = counter_joules(track(times, shown), WINDOW[0] + SECOND // 2, WINDOW[1])
    assert joules(integral) == pytest.approx(40.0 * 59.5, rel=2e-3)


def test_a_counter_wraps_where_it_is_said_to() -> None:
    times = every(5 * MS)
    counted = staircase(times, MS, 40_000.0)
    straight = joules(counter_joules(track(times, counted), *WINDOW))
    wrapped = counter_joules(track(times, counted % 300_000_000, wraps_at=300_000_000), *WINDOW)
    assert joules(wrapped) == pytest.approx(straight, rel=1e-6)


def test_a_reset_costs_the_step_it_happened_in_and_says_so_in_the_interval() -> None:
    times = every(100 * MS)
    counted = staircase(times, 100 * MS, 40_000.0)
    reset = np.where(times >= 30 * SECOND, counted - counted[times >= 30 * SECOND][0], counted)
    integral = counter_joules(track(times, reset), *WINDOW)
    assert joules(integral) == pytest.approx(2400.0, rel=1e-3)
    assert integral.coverage < 1.0
    # With a range far above what it counts between two readings, falling back is no wrap either.
    assert joules(counter_joules(track(times, reset, wraps_at=2**60), *WINDOW)) == pytest.approx(2400.0, rel=1e-3)


def test_a_gap_costs_a_counter_nothing() -> None:
    times = every(5 * MS)
    valid = (times < 20 * SECOND) | (times > 60 * SECOND)
    values = np.where(valid, staircase(times, MS, 40_000.0), 0)
    integral = counter_joules(track(times, values, valid=valid, update_period_ns=MS), *WINDOW)
    assert joules(integral) == pytest.approx(2400.0, rel=1e-3)


def test_a_counter_that_stands_still_says_nothing() -> None:
    times = every(5 * MS)
    assert why_not(counter_joules(track(times, steady(times), update_period_ns=MS), *WINDOW)) == "the counter does not move"
    stalled = staircase(np.minimum(times, 30 * SECOND), MS, 40_000.0)
    assert why_not(counter_joules(track(times, stalled, update_period_ns=MS), *WINDOW)) == (
        "the counter stood still for 40 s: it has stalled"
    )


# ---------------------------------------------------------------- gauge


@pytest.mark.parametrize("averages", [True, False, None])
def test_a_gauge_is_integrated_by_trapezoids_where_it_speaks_of(averages: bool | None) -> None:
    """A ramp shown late would be read too low: readings are moved back by how old they are."""
    times = every(50 * MS)
    age = {True: SECOND, False: SECOND // 2, None: 3 * SECOND // 4}[averages]
    shown = ((times // SECOND * SECOND - age + SECOND // 2) // MS).astype(np.int64) + 20_000
    integral = gauge_joules(track(times, shown, update_period_ns=SECOND, quantum=1, averages=averages), *WINDOW)
    assert joules(integral) == pytest.approx(60.0 * (20.0 + 40.0), rel=2e-3)
    assert integral.joules.low <= 3600.0 <= integral.joules.high  # type: ignore[operator]


def test_the_mean_of_the_log_would_be_wrong() -> None:
    """Readings crowd where power is low: the integral does not care."""
    times = np.concatenate((np.arange(0, 40 * SECOND, 10 * MS), np.arange(40 * SECOND, 80 * SECOND, 50 * MS)))
    values = np.where(times < 40 * SECOND, 10_000, 40_000)
    integral = gauge_joules(track(times, values, update_period_ns=50 * MS, quantum=1), *WINDOW)
    assert joules(integral) == pytest.approx(30 * 10.0 + 30 * 40.0, rel=2e-3)


def test_a_reading_without_a_value_is_a_gap() -> None:
    times = every(100 * MS)
    values, valid = steady(times, 20_000), np.ones(times.size, bool)
    valid[300:303], values[300:303] = False, 0
    one = gauge_joules(track(times, values, valid=valid, update_period_ns=100 * MS), *WINDOW)
    assert joules(one) == pytest.approx(1200.0)
    assert 0.99 < one.coverage < 1.0
    valid[300:360] = False
    many = gauge_joules(track(times, values, valid=valid, update_period_ns=100 * MS), *WINDOW)
    assert why_not(many).startswith("readings cover 89.")


def test_a_hole_is_not_bridged() -> None:
    times = every(100 * MS)
    times = times[(times < 30 * SECOND) | (times > 40 * SECOND)]
    integral = gauge_joules(track(times, steady(times), update_period_ns=100 * MS), *WINDOW)
    assert "needs 95%" in why_not(integral)
    assert integral.coverage == pytest.approx(0.83, abs=0.01)


def test_a_meters_step_is_in_its_interval_also_where_it_does_not_say_it() -> None:
    times = every(50 * MS)
    for known in ({"quantum": 1000}, {}):
        integral = gauge_joules(track(times, steady(times, 38_000), update_period_ns=SECOND, **known), *WINDOW)
        assert integral.uncertainty == pytest.approx(0.5 / 38.0, rel=1e-6)


def test_readings_that_come_when_the_machine_lets_them_are_no_random_draw() -> None:
    """A gauge that changes five times between two readings, read a little too often while the device rests: 0.13 scatter low."""
    times = every(5 * MS)
    resting = np.random.default_rng(5).random(times.size) < 0.02
    truth, low = 38_500, 14_000
    values = np.where(resting, truth - low, truth)
    scatter = low * np.sqrt(0.02 * 0.98)
    integral = gauge_joules(track(times, values, update_period_ns=MS, quantum=1, averages=True), *WINDOW)
    drawn = (float(values.mean()) + 0.13 * scatter) * 1e-3 * 60.0
    assert integral.joules.low <= drawn <= integral.joules.high  # type: ignore[operator]
    # One that is read as often as it changes has no such doubt.
    slow = gauge_joules(track(times, values, update_period_ns=100 * MS, quantum=1, averages=True), *WINDOW)
    assert (slow.uncertainty or 0) < (integral.uncertainty or 0) / 5


def test_a_clock_that_may_be_off_keeps_away_from_the_edges() -> None:
    times = every(100 * MS)
    values = np.where((times >= WINDOW[0]) & (times <= WINDOW[1]), 40_000, 10_000)
    shifted = track(times + 400 * MS, values, update_period_ns=100 * MS, quantum=1, averages=True, clock_error_ns=500 * MS)
    integral = gauge_joules(shifted, *WINDOW)
    assert joules(integral) == pytest.approx(2400.0, rel=1e-3)


def test_a_gauge_that_used_to_waver_and_stands_still_has_stalled() -> None:
    times = every(100 * MS)
    wavering = 40_000 + 2_000 * (np.arange(times.size) % 3)
    stalled = np.where(times > 40 * SECOND, 40_000, wavering)
    assert "it has stalled" in why_not(gauge_joules(track(times, stalled, update_period_ns=100 * MS, quantum=1), *WINDOW))
    # Power that settles stops moving as well, and is believed.
    settling = np.maximum(60_000 - 100 * np.arange(times.size), 40_000)
    joules(gauge_joules(track(times, settling, update_period_ns=100 * MS, quantum=1), *WINDOW))


# ---------------------------------------------------------------- both

Integrate = Callable[[Track, int, int], Integral]
BOTH = pytest.mark.parametrize("integrate", [counter_joules, gauge_joules])


@BOTH
def test_a_window_needs_30_update_periods(integrate: Integrate) -> None:
    times = every(50 * MS)
    values = staircase(times, SECOND, 20_000.0) if integrate is counter_joules else steady(times, 20_000)
    known = track(times, values, update_period_ns=SECOND)
    assert why_not(integrate(known, SECOND, 30 * SECOND)) == (
        "the sensor changes every 1000 ms: needs a window of 30 s, it has 29 s"
    )
    assert joules(integrate(known, SECOND, 31 * SECOND)) == pytest.approx(600.0, rel=1e-3)


@BOTH
def test_one_reading_of_garbage_is_not_added_up(integrate: Integrate) -> None:
    times = every(10 * MS)
    values = staircase(times, 10 * MS, 40_000.0) if integrate is counter_joules else steady(times)
    values[3000] = 10**14
    assert "cannot be right" in why_not(integrate(track(times, values, update_period_ns=10 * MS, quantum=1), *WINDOW))
    if integrate is gauge_joules:
        values[3000] = -(10**14)
        assert "cannot be right" in why_not(integrate(track(times, values, update_period_ns=10 * MS, quantum=1), *WINDOW))


@BOTH
@pytest.mark.parametrize("rows", ["none", "without a value"])
@pytest.mark.parametrize("there", [(0, 40), (40, 80)], ids=["went away", "came late"])
def test_half_a_window_is_not_filled_in_from_the_other_half(integrate: Integrate, rows: str, there: tuple[int, int]) -> None:
    times = every(5 * MS)
    values = staircase(times, 10 * MS, 40_000.0) if integrate is counter_joules else steady(times)
    valid = (times >= there[0] * SECOND) & (times < there[1] * SECOND)
    if rows == "none":
        times, values, valid = times[valid], values[valid], valid[valid]
    found = integrate(track(times, np.where(valid, values, 0), valid=valid, update_period_ns=10 * MS, quantum=1), *WINDOW)
    assert re.fullmatch(r"readings cover 50\.\d% of the window, needs 95%", why_not(found))


@BOTH
def test_no_readings_and_no_window_give_no_energy(integrate: Integrate) -> None:
    none = np.zeros(0, np.int64)
    assert why_not(integrate(track(none, none), 0, SECOND)) == "the sensor gave no value in the window"
    times = every(5 * MS)
    assert why_not(integrate(track(times, times, valid=np.zeros(times.size, bool)), *WINDOW))
    assert why_not(integrate(track(times, times), SECOND, SECOND)) == "the window is empty"


@BOTH
def test_a_clock_that_goes_back_gives_no_energy(integrate: Integrate) -> None:
    times = every(100 * MS)
    back = np.where(times > 40 * SECOND, times - 5 * SECOND, times)
    assert why_not(integrate(track(back, times // MS, update_period_ns=100 * MS), *WINDOW)) == (
        "the readings' clock went back in time"
    )


@BOTH
def test_a_unit_that_cannot_be_right_gives_no_energy(integrate: Integrate) -> None:
    """17,521,800 µW taken for W."""
    times = every(100 * MS)
    milliwatts = 17_521_800_000
    values = staircase(times, 100 * MS, milliwatts) if integrate is counter_joules else steady(times, milliwatts)
    assert "a card at 17,521,800 W cannot be right" in why_not(
        integrate(track(times, values, update_period_ns=100 * MS), *WINDOW)
    )
