"""The simulated device's laws are functions of their arguments, with the means and shapes they state."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npubench.testing.account import changed, opened, shown_energy_uj, shown_power_mw
from npubench.testing.laws import JITTERS, PRESETS, Law, busy_ns, energy_uj, jitter_ns, service_times_ns, steady_ns, warmth

#: A busy machine is no reason to fail.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_without_jitter_and_drift_it_is_the_stated_time() -> None:
    assert service_times_ns(Law(), 3, batch=5).tolist() == [2_500_000] * 3
    assert steady_ns(Law(fixed_us=0.5, per_sample_us=0.25), 2) == 1000
    assert service_times_ns(Law(), 0).size == 0


@pytest.mark.parametrize("jitter", JITTERS[1:])
def test_jitter_has_the_stated_mean_and_is_never_negative(jitter: str) -> None:
    drawn = jitter_ns(Law(jitter=jitter, jitter_us=50.0), 0, 200_000)
    assert drawn.min() >= 0
    assert drawn.mean() == pytest.approx(50_000, rel=0.02)
    assert drawn.dtype == np.int64


@UNHURRIED
@given(jitter=st.sampled_from(JITTERS), seed=st.integers(0, 2**63 - 1), first=st.integers(0, 20_000), count=st.integers(0, 9000))
def test_jitter_of_a_request_does_not_depend_on_how_it_is_asked_for(jitter: str, seed: int, first: int, count: int) -> None:
    law = Law(jitter=jitter, jitter_us=50.0, seed=seed)
    whole = jitter_ns(law, 0, first + count)
    np.testing.assert_array_equal(jitter_ns(law, first, count), whole[first:])


def test_another_seed_is_another_device() -> None:
    one, two = (service_times_ns(Law(jitter="uniform", jitter_us=50.0, seed=seed), 100) for seed in (1, 2))
    assert (one != two).any()


def test_it_drifts_towards_the_stated_end() -> None:
    law = Law(fixed_us=1000.0, per_sample_us=0.0, drift_percent=20.0, drift_time_s=0.5)
    times = service_times_ns(law, 5000)
    assert times[0] == 1_000_000
    assert times[-1] == pytest.approx(1_200_000, rel=1e-4)
    assert (np.diff(times) >= 0).all()
    # After one drift time of service it is 63 % of the way.
    at = int(np.searchsorted(np.cumsum(times), 500_000_000))
    assert times[at] == pytest.approx(1_000_000 * (1 + 0.2 * (1 - np.exp(-1))), rel=1e-3)
    assert warmth(Law(), 10**12) == 1.0


@pytest.mark.parametrize(
    ("device", "mean_us", "ratio"), [("sim:ca22", 700, 1.14), ("sim:aries", 2300, 1.09), ("sim:dx-m1", 4100, 2.6)]
)
def test_presets_have_the_outline_of_what_was_measured(device: str, mean_us: float, ratio: float) -> None:
    times = service_times_ns(PRESETS[device].law, 100_000)
    assert times.mean() == pytest.approx(mean_us * 1e3, rel=0.01)
    assert np.percentile(times, 99) / times.mean() == pytest.approx(ratio, rel=0.03)
    assert PRESETS[device].kind.startswith("SIMULATED")


@pytest.mark.parametrize("wrong", [{"jitter": "normal"}, {"seed": -1}, {"jitter_us": float("nan")}, {"idle_mw": 50_000}])
def test_impossible_laws_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Law(**wrong)  # type: ignore[arg-type]


@UNHURRIED
@given(
    requests=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 50)), max_size=20),
    window=st.tuples(st.integers(0, 300), st.integers(0, 100)),
)
def test_busy_is_the_time_with_at_least_one_request(requests: list[tuple[int, int]], window: tuple[int, int]) -> None:
    starts = np.array([start for start, _ in requests], dtype=np.int64)
    ends = starts + np.array([length for _, length in requests], dtype=np.int64)
    low, high = window[0], window[0] + window[1]
    plain = sum(any(start <= at < end for start, end in zip(starts, ends, strict=True)) for at in range(low, high))
    assert busy_ns(starts, ends, low, high) == plain


@UNHURRIED
@given(
    steps=st.lists(st.integers(0, 40), max_size=30),
    wait=st.integers(0, 60),
    period=st.integers(1, 25),
    base=st.integers(0, 1000),
)
def test_sensors_show_the_account_as_of_the_last_edge(steps: list[int], wait: int, period: int, base: int) -> None:
    """Whatever the device did, the sensors show the law's integral up to the last whole period."""
    law = Law(idle_mw=3_000_000, active_mw=11_000_000, sensor_period_ns=period)
    account, serving, now = opened(law, base, 5), False, base
    busy_at = np.zeros(sum(steps) + wait, dtype=bool)
    for step in steps:
        busy_at[now - base : now - base + step] = serving
        now += step
        serving = not serving
        account = changed(account, serving, now)
    busy_at[now - base :] = serving
    now += wait
    edge = (now - base) // period * period
    assert shown_energy_uj(account, now) == 5 + energy_uj(law, int(busy_at[:edge].sum()), edge)
    if edge == 0:
        assert shown_power_mw(account, now) is None
    else:
        share = int(busy_at[edge - period : edge].sum()) / period
        assert shown_power_mw(account, now) == 3_000_000 + round(8_000_000 * share)
