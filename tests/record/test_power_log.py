"""The log reads as MLPerf's tools read it, holds every reading at its own time, and integrates to the record's energy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze.readings import account_energy
from npubench.errors import InputError, RecordError
from npubench.measure.trace import write_trace
from npubench.record.power_log import Readings, lines_of, merge, parse_log, write_power_log
from npubench.record.schema import Energy, Record
from npubench.testing.power import SENSORS, make_trial

MS = 1_000_000
SECOND = 1_000_000_000
#: 2026-11-22 18:00:00 UTC, at the monotonic clock's 0.
UTC_NS = int(datetime(2026, 11, 22, 18, tzinfo=timezone.utc).timestamp()) * SECOND
#: power-dev ``compliance/check.py`` and ``lib/server.py`` take a line apart by these.
PTD_LINE = re.compile(r"^Time,[^,]*,Watts,[^,]*,Volts,[^,]*,Amps,[^,]*,PF,[^,]*,Mark,(?P<mark>[^,]*)")

Array = np.ndarray[Any, Any]


def stamp(at_ns: int, zone: timedelta = timedelta(0)) -> str:
    at = datetime.fromtimestamp((UTC_NS + at_ns) / 1e9, timezone.utc) + zone
    return at.strftime("%m-%d-%Y %H:%M:%S.%f")[:-3]


@pytest.fixture
def run(tmp_path: Path, make_record: Callable[..., Record], make_trace: Callable[..., Any]) -> Callable[..., tuple[Path, Record]]:
    """Make a run's folder with the readings of trials, a window and LoadGen's log; return it with its record."""

    def make(trials: Mapping[str, tuple[str, Any]], start: int, end: int, said: Mapping[str, Any] = {}, **log: Any) -> Any:
        folder = tmp_path / "run"
        (folder / "loadgen" / "measure").mkdir(parents=True)
        header, columns = [], {}
        for n, (name, (kind, found)) in enumerate(trials.items()):
            known = {key: found[key] for key in ("update_period_ns", "quantum", "wraps_at", "averages")}
            header.append(
                {"name": name, "kind": kind, "domain": "card", "evidence": None, **known, "utc_offsets_ns": [UTC_NS], **said}
            )
            columns |= {f"{n}_{key}": np.asarray(found[key]) for key in ("times_ns", "values", "valid")}
        np.savez(folder / "readings.npz", header=np.frombuffer(json.dumps(header).encode(), np.uint8), **columns)
        moved = make_trace([end - start - 2 * MS, MS, MS])
        write_trace(shifted(moved, start - moved.start_ns), folder / "trace.npz")
        zone = log.get("zone", timedelta(0))
        begin, over = stamp(start - 2 * MS + log.get("late", 0), zone), stamp(end + 2 * MS, zone)
        detail = "".join(f':::MLLOG {{"key": "power_{key}", "value": "{at}"}}\n' for key, at in (("begin", begin), ("end", over)))
        (folder / "loadgen" / "measure" / "mlperf_log_detail.txt").write_text(detail)
        accounts = account_energy([folder / "readings.npz"], (start, end), 3)
        return folder, make_record(energy=tuple(Energy(**asdict(account), simulated=True) for account in accounts))

    return make


def shifted(trace: Any, by: int) -> Any:
    moved = {name: getattr(trace, name) + by for name in ("issued_ns", "started_ns", "done_ns", "scheduled_ns")}
    return replace(trace, **moved, start_ns=trace.start_ns + by, end_ns=trace.end_ns + by)


def integrate(times: Array, watts: Array, start: float, end: float, means: bool) -> float:
    """Integrate a log over a window as its notes say: steps of means, or straight lines between moments."""
    keep = ~np.isnan(watts)
    times, watts = times[keep], watts[keep]
    grid = np.unique(np.concatenate((times[(times > start) & (times < end)], [start, end])))
    if means:
        return float(np.sum(watts[np.minimum(np.searchsorted(times, grid[1:]), times.size - 1)] * np.diff(grid)))
    shown = np.interp(grid, times, watts)
    return float(np.sum((shown[1:] + shown[:-1]) / 2 * np.diff(grid)))


@pytest.mark.parametrize("course", ["constant", "square wave", "thermal drift"])
@pytest.mark.parametrize("sensor", ["counter, 1000 Hz", "counter, 10 Hz, wraps", "gauge of means, 10 Hz, 1 % dropped"])
def test_the_log_integrates_to_the_records_energy(run: Callable[..., Any], tmp_path: Path, course: str, sensor: str) -> None:
    model = SENSORS[sensor]
    trial = make_trial(course, model, 5, 60.0)
    folder, record = run({"card": (model.kind, trial.columns)}, trial.start_ns, trial.end_ns)
    written = write_power_log(folder, record, tmp_path / "out")
    times, watts = parse_log((written.folder / "spl.txt").read_text())
    zero = UTC_NS / 1e9
    found = integrate(times, watts, zero + trial.start_ns / 1e9, zero + trial.end_ns / 1e9, model.kind == "energy")
    joules = record.energy[0].joules
    # What a log says of an edge is a reading and an update late; npubench knows by how much, a log does not.
    edges = 2 * 30.0 * (1.0 / model.hertz + 0.005) if model.kind == "energy" else 0.1
    assert joules.low - edges <= found <= joules.high + edges
    if model.kind == "power":
        assert (times.size, int(np.isnan(watts).sum())) == (trial.columns["times_ns"].size, (~trial.columns["valid"]).sum())
        assert written.without_value == (~trial.columns["valid"]).sum() > 0
        shown = trial.columns["valid"]
        assert watts[shown] == pytest.approx(trial.columns["values"][shown] * 1e-3, abs=1e-6)


def test_lines_read_as_mlperfs_tools_read_them(run: Callable[..., Any], tmp_path: Path) -> None:
    trial = make_trial("constant", SENSORS["gauge of means, 10 Hz, 1 % dropped"], 1, 30.0)
    folder, record = run({"card": ("power", trial.columns)}, trial.start_ns, trial.end_ns)
    written = write_power_log(folder, record, tmp_path / "out")
    lines = (written.folder / "spl.txt").read_text().splitlines()
    for line in lines:
        columns = line.split(",")
        assert PTD_LINE.match(line)
        assert columns[::2] == ["Time", "Watts", "Volts", "Amps", "PF", "Mark"]
        datetime.strptime(columns[1], "%m-%d-%Y %H:%M:%S.%f")
        # The checker takes watts and power factor by place, and leaves out what is not above 0.
        assert float(columns[3]) >= 0 or float(columns[3]) == -1
        assert float(columns[9]) == -1
    assert (written.folder / "mlperf_log_detail.txt").exists()
    notes = json.loads((written.folder / "notes.json").read_text())
    assert notes["samples_without_value"] == sum(",Watts,-1.000000," in line for line in lines)
    assert any("SIMULATED" in note for note in notes["notes"])


def gauge(name: str, times: Sequence[int], milliwatts: Sequence[int], valid: Sequence[bool] | None = None) -> Readings:
    return Readings(name, "power", np.array(times), np.array(milliwatts), np.array(valid or [True] * len(times)))


def test_sensors_are_put_together_by_time_and_not_by_line() -> None:
    """The second one began later and is read half as often: line by line it would be added to other moments."""
    a = gauge("a", [0, 10, 20, 30, 40], [1000, 2000, 3000, 4000, 5000])
    b = gauge("b", [15, 35], [10_000, 30_000])
    merged = merge([a, b])
    assert merged.times_ns.tolist() == [0, 10, 15, 20, 30, 35, 40]
    assert merged.watts[0].tolist() == [1.0, 2.0, 2.5, 3.0, 4.0, 4.5, 5.0]
    assert merged.watts[1].tolist()[2:6] == [10.0, 15.0, 25.0, 30.0]
    # Before it was first read, and after it was last read, a sensor has no value: nor has the sum.
    assert np.isnan(merged.watts[1][[0, 1, 6]]).all()
    lines = lines_of(merged, UTC_NS, "a mark, with commas")
    assert "Mark,a_mark__with_commas,Ch1,Watts,2.500000,Volts,-1.000000" in lines[2]
    assert lines[2].split(",")[3] == "12.500000"
    assert lines[0].split(",")[3] == "-1.000000"
    assert lines[0].count("Ch2,Watts,-1.000000") == 1


def test_a_reading_without_a_value_is_neither_zero_nor_bridged() -> None:
    a = gauge("a", [0, 10, 20, 30], [1000, 0, 3000, 4000], [True, False, True, True])
    merged = merge([a, gauge("b", [0, 5, 15, 30], [0, 0, 0, 0])])
    assert merged.times_ns.tolist() == [0, 5, 10, 15, 20, 30]
    assert np.isnan(merged.watts[0]).tolist() == [False, True, True, True, False, False]


def test_a_counter_has_its_mean_power_since_it_last_moved() -> None:
    values = [100, 100, 300, 300, 900, 100, 400]
    counter = Readings("c", "energy", np.arange(7) * MS, np.array(values), np.ones(7, bool), wraps_at=1000)
    merged = merge([counter])
    assert merged.means
    assert merged.times_ns.tolist() == [2 * MS, 4 * MS, 5 * MS, 6 * MS]
    # 200 µJ in 2 ms, 600 µJ in 2 ms, over the wrap 200 µJ in 1 ms, 300 µJ in 1 ms.
    assert merged.watts[0] == pytest.approx([0.1, 0.3, 0.2, 0.3])
    reset = merge([Readings("c", "energy", np.arange(3) * MS, np.array([500, 10, 20]), np.ones(3, bool))])
    assert np.isnan(reset.watts[0]).tolist() == [True, False]
    # Two moves within a millisecond of the log are one sample with the energy of both.
    quick = merge([Readings("c", "energy", np.array([0, 200_000, 300_000, 2 * MS]), np.array([0, 5, 9, 29]), np.ones(4, bool))])
    assert quick.watts[0] == pytest.approx([0.01])
    assert merge([Readings("c", "energy", np.arange(3), np.zeros(3, np.int64), np.zeros(3, bool))]).times_ns.size == 0


def test_loadgens_time_zone_is_the_logs(run: Callable[..., Any], tmp_path: Path) -> None:
    trial = make_trial("constant", SENSORS["gauge of means, 100 Hz"], 1, 30.0)
    folder, record = run({"card": ("power", trial.columns)}, trial.start_ns, trial.end_ns, zone=timedelta(hours=9))
    written = write_power_log(folder, record, tmp_path / "out")
    times, _ = parse_log((written.folder / "spl.txt").read_text())
    assert times[0] == pytest.approx(UTC_NS / 1e9 + trial.columns["times_ns"][0] / 1e9 + 9 * 3600, abs=0.001)
    assert "times are in LoadGen's time zone, UTC +9 h" in written.notes


def test_a_clock_that_was_set_meanwhile_is_no_log(run: Callable[..., Any], tmp_path: Path) -> None:
    trial = make_trial("constant", SENSORS["gauge of means, 100 Hz"], 1, 30.0)
    folder, record = run({"card": ("power", trial.columns)}, trial.start_ns, trial.end_ns, late=3 * SECOND)
    with pytest.raises(RecordError, match="a clock was set while it was measured"):
        write_power_log(folder, record, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_readings_of_an_older_sampler_are_laid_on_loadgens_begin(run: Callable[..., Any], tmp_path: Path) -> None:
    trial = make_trial("constant", SENSORS["gauge of means, 100 Hz"], 1, 30.0)
    said = {"utc_offsets_ns": None}
    folder, record = run({"card": ("power", trial.columns)}, trial.start_ns, trial.end_ns, said)
    times, _ = parse_log((write_power_log(folder, record, tmp_path / "out").folder / "spl.txt").read_text())
    assert times[0] == pytest.approx(UTC_NS / 1e9 + trial.columns["times_ns"][0] / 1e9, abs=0.005)


def test_what_cannot_be_exported_says_why(run: Callable[..., Any], make_record: Callable[..., Record], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no power to export: no sensor was read"):
        write_power_log(tmp_path, make_record(), tmp_path / "out")
    trial = make_trial("constant", SENSORS["gauge of means, 100 Hz"], 1, 30.0)
    folder, record = run({"card": ("power", trial.columns)}, trial.start_ns, trial.end_ns)
    with pytest.raises(InputError, match="no such power; it has: card by device power gauge"):
        write_power_log(folder, record, tmp_path / "out", domain="wall")
    (folder / "readings.npz").write_bytes(b"PK garbage")
    with pytest.raises(RecordError, match="the readings cannot be exported"):
        write_power_log(folder, record, tmp_path / "out")
