"""A live window of the simulated device: its truth is the executor's, its energy the sampler's, and they agree."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from npubench.plan.bundles import prepare
from npubench.verbs.energy_live import LIVE, live_table, live_window


def test_a_live_window_has_a_truth_and_an_energy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    bundle = prepare("probe", tmp_path / "cache")
    rows = live_window("ramp", bundle, 1.0, tmp_path / "ramp")
    assert [(row.sensor, row.period_ms) for row in rows] == [("SIMULATED energy counter", 10.0), ("SIMULATED power", 10.0)]
    # A second of a ramp from 15 W that has begun a little before: neither idle (10 W) nor full power (40 W), however much of the
    # time a busy machine lets the device serve.
    assert all(10.0 < row.true_joules < 35.0 for row in rows)
    for row in rows:
        assert (row.joules is None) == (row.error is None)
        assert row.printed != bool(row.reason)
        if row.printed:
            assert row.joules == pytest.approx(row.true_joules, rel=0.005)
    assert live_table(rows).row_count == 2
    assert LIVE["ramp"]["course"] == "ramp"
