"""Energy is the integral of what a sensor said, or absent with a reason; never a guess."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npubench.analyze.energy import Integral, counter_joules, gauge_joules, mean_watts

#: A busy machine is no reason to fail.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

Array = np.ndarray
MS = 1_000_000
SECOND = 1_000_000_000


def all_valid(values: Array) -> Array:
    return np.ones(values.size, dtype=bool)


def staircase(times: Array, period_ns: int, power_mw: float) -> Array:
    """Return what a counter that moves every ``period_ns`` shows at ``times``, µJ."""
    return (times // period_ns * period_ns * power_mw * 1e-6).astype(np.int64)


def joules(integral: Integral) -> float:
    assert integral.joules.value is not None, integral.joules.reason
    return integral.joules.value


# ---------------------------------------------------------------- counter


def test_a_counter_counts_between_the_windows_edges() -> None:
    times = np.arange(0, 3 * SECOND, 5 * MS)
    integral = counter_joules(
        times, staircase(times, MS, 40_000.0), all_valid(times), SECOND + 7, 2 * SECOND + 3, update_period_ns=MS
    )
    assert joules(integral) == pytest.approx(40.0, rel=1e-5)
    assert integral.coverage == 1.0
    assert integral.readings == 200
    assert integral.joules.n == 200


@pytest.mark.parametrize("offset_ms", [0, 130, 500, 990])
def test_a_slow_counter_is_read_where_it_moves(offset_ms: int) -> None:
    """Polled ten times an update: the stairs between would cost up to 1 s of 40 s on either side."""
    times = np.arange(0, 60 * SECOND, 100 * MS) + 1
    start = 10 * SECOND + offset_ms * MS
    integral = counter_joules(
        times, staircase(times, SECOND, 40_000.0), all_valid(times), start, start + 40 * SECOND, update_period_ns=SECOND
    )
    assert joules(integral) == pytest.approx(1600.0, rel=1e-3)


def test_a_counter_wraps_where_it_is_said_to() -> None:
    times = np.arange(0, 2 * SECOND, 5 * MS)
    counted = staircase(times, MS, 40_000.0)
    wraps_at = 30_000_000
    window = 100 * MS, 1900 * MS
    wrapped = counter_joules(times, counted % wraps_at, all_valid(times), *window, wraps_at=wraps_at)
    assert joules(wrapped) == pytest.approx(joules(counter_joules(times, counted, all_valid(times), *window)))
    reset = counter_joules(times, counted % wraps_at, all_valid(times), *window)
    assert reset.joules.value is None
    assert "went back" in (reset.joules.reason or "")


def test_a_gap_costs_a_counter_nothing() -> None:
    times = np.arange(0, 2 * SECOND, 5 * MS)
    valid = (times < 500 * MS) | (times > 1500 * MS)
    values = np.where(valid, staircase(times, MS, 40_000.0), 0)
    integral = counter_joules(times, values, valid, 0, 1900 * MS, update_period_ns=MS)
    assert joules(integral) == pytest.approx(76.0, rel=0.01)


def test_a_counter_that_stands_still_says_nothing() -> None:
    times = np.arange(0, SECOND, 5 * MS)
    still = counter_joules(times, np.full(times.size, 7), all_valid(times), 0, SECOND, update_period_ns=MS)
    assert still.joules.value is None
    assert still.joules.reason == "the counter does not move"


def test_the_period_is_seen_in_the_readings() -> None:
    times = np.arange(0, 20 * SECOND, 100 * MS)
    integral = counter_joules(times, staircase(times, SECOND, 1000.0), all_valid(times), 0, 15 * SECOND)
    assert integral.update_period_ns == SECOND
    assert integral.joules.reason == "the sensor changes every 1000 ms: needs a window of 30 s, it has 15 s"


# ---------------------------------------------------------------- gauge


def test_a_gauge_is_integrated_by_trapezoids() -> None:
    times = np.arange(0, 10 * SECOND + 1, 100 * MS)
    ramp = (times // MS).astype(np.int64)  # 0 … 10 W in 10 s
    integral = gauge_joules(times, ramp, all_valid(times), SECOND + 50 * MS, 9 * SECOND + 50 * MS, update_period_ns=100 * MS)
    # ∫ t dt from 1.05 to 9.05.
    assert joules(integral) == pytest.approx((9.05**2 - 1.05**2) / 2.0, rel=1e-12)
    assert integral.coverage == pytest.approx(1.0)
    assert integral.readings == 80


def test_the_mean_of_the_log_would_be_wrong() -> None:
    """Readings crowd where power is low: the integral does not care."""
    low, high = np.arange(0, 5 * SECOND, 10 * MS), np.arange(5 * SECOND, 10 * SECOND + 1, 100 * MS)
    times = np.concatenate((low, high))
    values = np.concatenate((np.full(low.size, 10_000), np.full(high.size, 40_000)))
    integral = gauge_joules(times, values, all_valid(times), 0, 10 * SECOND, update_period_ns=50 * MS)
    assert joules(integral) == pytest.approx(5 * 10.0 + 5 * 40.0, abs=0.2)


def test_a_reading_without_a_value_is_a_gap() -> None:
    times = np.arange(0, 10 * SECOND + 1, 100 * MS)
    values = np.full(times.size, 20_000)
    valid = all_valid(times)
    valid[50] = False
    values[50] = 0
    one = gauge_joules(times, values, valid, 0, 10 * SECOND, update_period_ns=100 * MS)
    assert one.coverage == pytest.approx(0.98)
    assert joules(one) == pytest.approx(200.0)  # the rest at the mean power of the covered part
    valid[40:60] = False
    many = gauge_joules(times, values, valid, 0, 10 * SECOND, update_period_ns=100 * MS)
    assert many.joules.value is None
    assert many.joules.reason == "readings cover 79.0% of the window, needs 95%"
    assert many.coverage == pytest.approx(0.79)


def test_a_hole_is_not_bridged() -> None:
    times = np.concatenate((np.arange(0, 4 * SECOND, 100 * MS), np.arange(6 * SECOND, 10 * SECOND, 100 * MS)))
    integral = gauge_joules(times, np.full(times.size, 20_000), all_valid(times), 0, 10 * SECOND, update_period_ns=100 * MS)
    assert integral.joules.value is None
    assert integral.coverage == pytest.approx(0.78)


def test_a_window_needs_30_update_periods() -> None:
    times = np.arange(0, 60 * SECOND, 100 * MS)
    values = np.full(times.size, 20_000)
    short = gauge_joules(times, values, all_valid(times), SECOND, 30 * SECOND, update_period_ns=SECOND)
    assert short.joules.reason == "the sensor changes every 1000 ms: needs a window of 30 s, it has 29 s"
    assert joules(gauge_joules(times, values, all_valid(times), SECOND, 31 * SECOND, update_period_ns=SECOND)) == 600.0


@pytest.mark.parametrize("integrate", [counter_joules, gauge_joules])
def test_no_readings_and_no_window_give_no_energy(integrate: object) -> None:
    assert callable(integrate)
    nothing, no_flags = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    assert integrate(nothing, nothing, no_flags, 0, SECOND).joules.reason == "the sensor gave no value in the window"
    times = np.arange(0, SECOND, 5 * MS)
    none_valid = np.zeros(times.size, dtype=bool)
    assert integrate(times, times, none_valid, 0, SECOND).joules.value is None
    assert integrate(times, times, all_valid(times), SECOND, SECOND).joules.reason == "the window is empty"


def test_mean_power() -> None:
    times = np.arange(0, 10 * SECOND + 1, 100 * MS)
    window = 2 * SECOND, 8 * SECOND
    integral = gauge_joules(times, np.full(times.size, 20_000), all_valid(times), *window, update_period_ns=100 * MS)
    watts = mean_watts(integral, *window)
    assert (watts.value, watts.unit) == (pytest.approx(20.0), "W")
    missing = mean_watts(gauge_joules(times[:0], times[:0], all_valid(times[:0]), *window), *window)
    assert missing.value is None
    assert missing.reason == "the sensor gave no value in the window"


@UNHURRIED
@given(
    seed=st.integers(0, 2**32),
    cut=st.integers(3 * SECOND, 7 * SECOND),
    shift=st.integers(-(10**12), 10**15),
    scale=st.integers(1, 50),
)
def test_energy_adds_up_shifts_and_scales(seed: int, cut: int, shift: int, scale: int) -> None:
    generator = np.random.default_rng(seed)
    times = np.cumsum(generator.integers(5 * MS, 15 * MS, 1200))
    power = generator.integers(10_000, 40_000, times.size)
    count = np.cumsum(generator.integers(1, 400_000, times.size))
    start, end = SECOND, 9 * SECOND
    for integrate, values in ((gauge_joules, power), (counter_joules, count)):
        whole = joules(integrate(times, values, all_valid(times), start, end))
        parts = [joules(integrate(times, values, all_valid(times), *window)) for window in ((start, cut), (cut, end))]
        assert sum(parts) == pytest.approx(whole, rel=1e-9)
        shifted = integrate(times + shift, values * scale, all_valid(times), start + shift, end + shift)
        assert joules(shifted) == pytest.approx(whole * scale, rel=1e-9)
