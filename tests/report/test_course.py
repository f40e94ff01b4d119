"""A run over time: power in steps, holes where nothing was read, phases, and where the device was held back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.contract.runspec import Scenario
from npubench.record.schema import PhaseTime
from npubench.record.store import Entry
from npubench.report.course import STEPS, power_course, power_courses

Add = Callable[..., Entry]
SECOND = 1_000_000_000
#: The traces of ``add`` start a millisecond after 0.
START = 1_000_000


def write(path: Path, *sensors: tuple[dict[str, Any], Any, Any, Any]) -> None:
    """Write sensors as a sampler leaves them: what each says of itself, times, values, and whether each is one."""
    said = {"name": "gauge", "kind": "power", "domain": "card", "update_period_ns": 10_000_000, "quantum": 1, "wraps_at": None}
    header = [{**said, **sensor[0]} for sensor in sensors]
    arrays: dict[str, Any] = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for n, (_, times, values, valid) in enumerate(sensors):
        arrays |= {f"{n}_times_ns": times, f"{n}_values": values, f"{n}_valid": valid}
    np.savez(path, **arrays)


def run(add: Add, **changes: Any) -> Entry:
    """Publish a run of two seconds after a warm-up of one; the file of readings comes into its folder afterwards."""
    phases = (
        PhaseTime(phase="load-plugin", start_ns=START - 9 * SECOND, end_ns=START - 2 * SECOND),
        PhaseTime(phase="warm-up", start_ns=START - SECOND, end_ns=START),
        PhaseTime(phase="measure", start_ns=START, end_ns=START + 9 * SECOND),
    )
    return add("card", 1.0, phases=phases, **changes)


TIMES = np.arange(-150, 250, dtype=np.int64) * 10_000_000 + START
ALL = np.ones(TIMES.size, bool)


def test_a_gauge_is_binned_from_the_first_phase_that_is_shown_to_the_windows_end(add: Add) -> None:
    entry = run(add)
    write(entry.folder / "readings.npz", ({}, TIMES, np.where(TIMES < START, 20_000, 60_000), ALL))
    found = power_course(entry, "me")
    assert found is not None
    assert (found.domain, found.evidence, found.subject) == ("card", "device power gauge", "me")
    assert [band.name for band in found.phases] == ["warm-up", "measure"]
    assert found.phases[0].start_s == pytest.approx(-1.0)
    assert len(found.power.values) == len(found.power.high) == STEPS
    assert found.power.start_s == pytest.approx(-1.0)
    known = [value for value in found.power.values if value is not None]
    assert known[0] == 20.0
    assert known[-1] == 60.0
    assert found.latency is not None
    assert found.latency.name == "latency"
    # No latency before the window, about a millisecond within.
    assert found.latency.values[0] is None
    assert found.latency.values[-2] == pytest.approx(1e6, rel=0.2)


def test_a_hole_stays_a_hole(add: Add) -> None:
    entry = run(add)
    valid = ~((TIMES > START + SECOND) & (TIMES < START + SECOND + SECOND // 2))
    write(entry.folder / "readings.npz", ({}, TIMES, np.full(TIMES.size, 30_000), valid))
    found = power_course(entry, "me")
    assert found is not None
    inside = [v for n, v in enumerate(found.power.values) if 1.02 < found.power.start_s + n * found.power.step_s < 1.45]
    assert set(inside) == {None}
    assert 0.0 not in found.power.values


def test_a_counter_gives_mean_power_and_survives_its_wrap(add: Add) -> None:
    entry = run(add)
    counted = (np.arange(TIMES.size, dtype=np.int64) * 400_000) % 50_000_000
    said = {"name": "counter", "kind": "energy", "wraps_at": 50_000_000}
    write(entry.folder / "readings.npz", (said, TIMES, counted, ALL))
    found = power_course(entry, "me")
    assert found is not None
    assert found.evidence == "device energy counter"
    assert found.power.low == ()
    known = [value for value in found.power.values if value is not None]
    assert known == pytest.approx([40.0] * len(known), rel=0.01)


def test_the_best_evidence_is_drawn_and_parts_of_it_are_added(add: Add) -> None:
    entry = run(add)
    write(entry.folder / "readings.npz", ({}, TIMES, np.full(TIMES.size, 10_000), ALL))
    meter = {"domain": "wall", "evidence": "wall meter"}
    values = np.full(TIMES.size, 100_000)
    write(entry.folder / "meters.npz", ({**meter, "name": "a"}, TIMES, values, ALL), ({**meter, "name": "b"}, TIMES, values, ALL))
    found = power_course(entry, "me")
    assert found is not None
    assert (found.domain, found.evidence) == ("wall", "wall meter")
    assert {value for value in found.power.values if value is not None} == {200.0}
    assert found.power.high == ()


def test_throttling_is_marked_by_flag_and_by_clock(add: Add) -> None:
    entry = run(add)
    late = (TIMES > START + SECOND) & (TIMES < START + SECOND * 3 // 2)
    flag = {"name": "flag", "kind": "throttle"}
    clock = {"name": "clock", "kind": "clock"}
    write(
        entry.folder / "readings.npz",
        ({}, TIMES, np.full(TIMES.size, 30_000), ALL),
        (flag, TIMES, late.astype(np.int64), ALL),
        (clock, TIMES, np.where(late, 800_000_000, 1_000_000_000), ALL),
    )
    found = power_course(entry, "me")
    assert found is not None
    assert [band.name for band in found.throttled] == ["throttle", "clock"]
    for band in found.throttled:
        assert band.start_s == pytest.approx(1.0, abs=0.02)
        assert band.end_s == pytest.approx(1.5, abs=0.02)


def test_offline_shows_the_time_in_the_executor(add: Add) -> None:
    entry = run(add, scenario=Scenario.OFFLINE, queries=1, load={"samples_per_query": 1})
    write(entry.folder / "readings.npz", ({}, TIMES, np.full(TIMES.size, 30_000), ALL))
    found = power_course(entry, "me")
    assert found is not None
    assert found.latency is not None
    assert found.latency.name == "service-time"


@pytest.mark.parametrize("damage", ["no readings", "garbage", "no trace", "failed", "silent"])
def test_what_is_not_whole_is_not_drawn(add: Add, damage: str) -> None:
    entry = run(add, status="failed" if damage == "failed" else "ok")
    if damage != "no readings":
        valid = ALL if damage != "silent" else ~ALL
        write(entry.folder / "readings.npz", ({}, TIMES, np.full(TIMES.size, 30_000), valid))
    if damage == "garbage":
        (entry.folder / "readings.npz").write_bytes(b"PK\x03\x04 not a zip")
    if damage == "no trace":
        (entry.folder / "trace.npz").unlink()
    assert power_course(entry, "me") is None
    assert power_courses({"me": {("tiny", "offline"): [entry]}}) == ()
