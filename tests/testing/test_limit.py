"""The simulated device's power limit caps its power and slows it by the same factor, for executors loaded after it is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from npubench.testing.laws import PRESETS, Law, steady_ns
from npubench.testing.limit import SimulatedPowerLimit, limited, read_limit
from npubench.testing.simulated import SimulatedBackend


@pytest.fixture(autouse=True)
def _own_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_limit_outlives_whoever_set_it_and_the_highest_is_none() -> None:
    limit = SimulatedPowerLimit("sim:plain")
    low, high = limit.bounds()
    assert (limit.read(), read_limit("sim:plain")) == (high, 0)
    limit.set(20_000)
    assert SimulatedPowerLimit("sim:plain").read() == read_limit("sim:plain") == 20_000
    assert SimulatedPowerLimit("sim:ca22").read() == SimulatedPowerLimit("sim:ca22").bounds()[1]
    for wrong in (low - 1, high + 1):
        with pytest.raises(ValueError, match=f"{wrong} mW is not {low}…{high}"):
            limit.set(wrong)
    limit.set(high)
    assert (limit.read(), read_limit("sim:plain")) == (high, 0)


def test_under_a_limit_power_is_capped_and_service_grows_by_active_over_limit() -> None:
    law = Law(fixed_us=1000.0, per_sample_us=50.0, jitter="gamma", jitter_us=20.0, active_mw=40_000, course_low_mw=30_000)
    half = limited(law, 20_000)
    assert (half.active_mw, half.course_low_mw, half.idle_mw) == (20_000, 20_000, 10_000)
    assert steady_ns(half, 4) == 2 * steady_ns(law, 4)
    assert half.jitter_us == 40.0


@pytest.mark.parametrize("limit", [0, 40_000, 160_000])
def test_a_limit_that_does_not_bind_changes_nothing(limit: int) -> None:
    assert limited(Law(), limit) == Law()


def test_no_limit_takes_a_device_below_its_idle_power() -> None:
    assert limited(Law(idle_mw=15_000), 12_000).active_mw == 15_000


def test_a_device_that_draws_nothing_has_no_limit() -> None:
    backend = SimulatedBackend()
    has = {device.name: backend.power_limit(device) is not None for device in backend.probe().devices}
    assert has == {name: preset.law.active_mw > 0 for name, preset in PRESETS.items()}
    assert set(has.values()) == {True, False}
