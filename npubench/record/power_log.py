"""Write a run's power as the log that MLPerf's power tools read, ``spl.txt``, beside LoadGen's own logs.

The form is PTDaemon's (mlcommons/power-dev ``compliance/check.py``, ``log_parsers/parse_mlperf.py``), one line a sample::

    Time,MM-DD-YYYY HH:MM:SS.mmm,Watts,D.D,Volts,D.D,Amps,D.D,PF,D.D,Mark,STRING

with ``Ch1,Watts,…`` and so on behind it where several sensors are added. −1 is its word for "no value", as it writes volts,
amps and power factor itself where channels are added. Sensors are put together by time stamp and none is left out; a reading
without a value is a line with −1, which MLPerf's tools pass over and which is counted in the notes.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npubench.errors import InputError, RecordError
from npubench.measure.sampler import METERS, READINGS
from npubench.measure.trace import read_arrays, read_trace
from npubench.record.schema import Energy, Record

#: PTDaemon's word for a value it has not.
NO_VALUE = -1.0

#: MLPerf's name of the folder of a measured run, and what its tools read there.
FOLDER = "run_1"
LOG = "spl.txt"
LOADGEN_LOGS = ("mlperf_log_detail.txt", "mlperf_log_summary.txt")

_TIME = "%m-%d-%Y %H:%M:%S.%f"
_BEGIN_END = re.compile(r'"key": "power_(begin|end)", "value": "([^"]+)"')
_MS = 1_000_000
#: Time zones are whole quarters of an hour from UTC.
_QUARTER_S = 900

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Samples:
    """Power as a log has it, in order of time.

    Args:
        names: The sensors, one a channel.
        times_ns: int64 ``[samples]``, monotonic clock.
        watts: float64 ``[channels, samples]``; NaN where a sensor gave no value.
        means: Whether a sample is the mean since the one before (of a counter) or the power at its time (of a gauge).
    """

    names: tuple[str, ...]
    times_ns: Integers
    watts: Floats
    means: bool


@dataclass(frozen=True, slots=True)
class PowerLog:
    """What was written: where, of which sensors, how many samples, and what a reader must know."""

    folder: Path
    energy: Energy
    samples: int
    without_value: int
    notes: tuple[str, ...]


def write_power_log(run: Path, record: Record, out: Path, domain: str = "", evidence: str = "") -> PowerLog:
    """Write ``OUT/run_1`` with ``spl.txt``, LoadGen's logs and ``notes.json``.

    Args:
        run: The run's folder in a store.
        record: Its record.
        out: Where to write; made if it is not there.
        domain, evidence: Which energy figure's sensors; "" = the best evidence there is.

    Returns:
        What was written.

    Raises:
        InputError: The run has no power of that kind.
        RecordError: What stands beside the record is gone or damaged.
    """
    energy = _chosen(record, domain, evidence)
    names = energy.sensor.split(" + ")
    try:
        stored = {path: read_arrays(run / path) for path in (READINGS, METERS) if (run / path).exists()}
        found = [entry for arrays in stored.values() for entry in _readings(arrays, names, energy.domain)]
        window = read_trace(run / "trace.npz")
        details, begin, end = _last_window(run / "loadgen")
        if not found:
            raise ValueError(f"no readings of {energy.sensor}")
        to_utc, zone = _clock(found, begin, end, window.start_ns, window.end_ns)
        samples = merge(found, to_utc)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RecordError(f"{run}: the readings cannot be exported: {error}") from error
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    without = int(np.isnan(samples.watts).any(axis=0).sum())
    notes = _notes(record, energy, samples, without, zone)
    with (folder / LOG).open("w", encoding="ascii") as file:
        file.writelines(line + "\n" for line in lines_of(samples, to_utc, f"{record.run_id}_testing"))
    for name in LOADGEN_LOGS:
        if (details / name).exists():
            shutil.copyfile(details / name, folder / name)
    content = {
        "run_id": record.run_id,
        "sensors": list(samples.names),
        "domain": energy.domain,
        "evidence": energy.evidence,
        "joules": energy.joules.value,
        "joules_low": energy.joules.low,
        "joules_high": energy.joules.high,
        "samples": samples.times_ns.size,
        "samples_without_value": without,
        "notes": notes,
    }
    (folder / "notes.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return PowerLog(folder, energy, samples.times_ns.size, without, tuple(notes))


def _chosen(record: Record, domain: str, evidence: str) -> Energy:
    for energy in record.energy:
        if domain in ("", energy.domain) and evidence in ("", energy.evidence):
            return energy
    if not record.energy:
        raise InputError(f"{record.run_id}: the run has no power to export: no sensor was read; name a meter in the host file")
    there = ", ".join(f"{energy.domain} by {energy.evidence}" for energy in record.energy)
    raise InputError(f"{record.run_id}: the run has no such power; it has: {there}")


@dataclass(frozen=True, slots=True)
class Readings:
    """One sensor's readings as they were taken: columns, with what the header says of the sensor."""

    name: str
    kind: str
    times_ns: Integers
    values: Integers
    valid: NDArray[np.bool_]
    wraps_at: int | None = None
    utc_offsets_ns: tuple[int, ...] = ()


def _readings(stored: Mapping[str, np.ndarray[Any, Any]], names: Sequence[str], domain: str) -> list[Readings]:
    found: dict[str, Readings] = {}
    for n, sensor in enumerate(json.loads(bytes(stored["header"]).decode())):
        # A sensor that every die of a card repeats is one, as in the record's energy.
        if sensor["name"] in names and sensor["domain"] == domain and sensor["kind"] in ("energy", "power"):
            times = stored[f"{n}_times_ns"]
            order = np.argsort(times, kind="stable")
            found[sensor["name"]] = Readings(
                name=sensor["name"],
                kind=sensor["kind"],
                times_ns=times[order] - int(sensor.get("clock_offset_ns") or 0),
                values=stored[f"{n}_values"][order],
                valid=stored[f"{n}_valid"][order].astype(bool),
                wraps_at=sensor["wraps_at"],
                utc_offsets_ns=tuple(sensor.get("utc_offsets_ns") or ()),
            )
    return list(found.values())


def merge(found: Sequence[Readings], to_log_ns: int = 0) -> Samples:
    """Put several sensors' readings on one time axis, by their time stamps; every time at which any was read is in it.

    Between its readings a gauge is interpolated, as it is integrated; a counter has its mean power since it last moved. A
    sensor has no value outside its own readings, nor between two of which one has none.

    Args:
        found: The sensors' readings, each in order of time.
        to_log_ns: What is added to the monotonic clock to have the log's.
    """
    tracks = [
        (True, *_counter_watts(each, to_log_ns)) if each.kind == "energy" else (False, *_gauge_watts(each)) for each in found
    ]
    times = np.unique(np.concatenate([track[1] for track in tracks]))
    watts = np.array([_at(times, *track) for track in tracks])
    return Samples(tuple(each.name for each in found), times, watts, all(track[0] for track in tracks))


def _gauge_watts(each: Readings) -> tuple[Integers, Floats]:
    return each.times_ns, np.where(each.valid, each.values * 1e-3, np.nan)


def _counter_watts(each: Readings, to_log_ns: int) -> tuple[Integers, Floats]:
    """Return the mean power between two moves of a counter, at the later one; NaN where it was reset.

    Times are those that the log will show, to the millisecond: power over them is then the energy that was counted. Of
    several moves in one millisecond the last is the sum.
    """
    times, values = each.times_ns[each.valid], each.values[each.valid]
    moved = np.concatenate(([True], np.diff(values) != 0)) if values.size else np.zeros(0, bool)
    times = (times[moved] + to_log_ns + _MS // 2) // _MS * _MS - to_log_ns
    values = values[moved]
    last = np.append(np.diff(times) > 0, True)[: times.size]
    times, values = times[last], values[last]
    steps = np.diff(values).astype(np.float64)
    if each.wraps_at is not None:
        steps = np.where(steps < 0, steps + each.wraps_at, steps)
    watts = np.where(steps >= 0, steps * 1e-6, np.nan) / (np.diff(times) * 1e-9)
    return times[1:], watts


def _at(times: Integers, mean: bool, own: Integers, watts: Floats) -> Floats:
    """Return one sensor's power at ``times``."""
    if not own.size:
        return np.full(times.size, np.nan)
    after = np.minimum(np.searchsorted(own, times), own.size - 1)
    if mean:
        found = watts[after]
        return np.where(times > own[-1], np.nan, found)
    before = np.maximum(after - (own[after] > times), 0)
    width = np.maximum(own[after] - own[before], 1)
    # On a reading of its own it has that reading, whatever its neighbour says.
    share = (times - own[before]) / width
    between = np.where(share > 0, watts[before] + (watts[after] - watts[before]) * share, watts[before])
    return np.where((times < own[0]) | (times > own[-1]), np.nan, between)


def lines_of(samples: Samples, to_utc_ns: int, mark: str) -> list[str]:
    """Return the log's lines.

    Args:
        samples: What was read.
        to_utc_ns: What to add to the monotonic clock to have the log's.
        mark: Names the run in every line; commas, which would be taken for columns, become "_".
    """
    mark = re.sub(r"[,\s]", "_", mark)
    several = len(samples.names) > 1
    empty = f"Volts,{NO_VALUE:.6f},Amps,{NO_VALUE:.6f},PF,{NO_VALUE:.6f}"
    found = []
    for at, watts in zip(samples.times_ns, samples.watts.T, strict=True):
        line = f"Time,{_stamp(int(at) + to_utc_ns)},Watts,{_number(float(watts.sum()))},{empty},Mark,{mark}"
        if several:
            line += "".join(f",Ch{n},Watts,{_number(float(each))},{empty}" for n, each in enumerate(watts, 1))
        found.append(line)
    return found


def _number(watts: float) -> str:
    return f"{NO_VALUE if np.isnan(watts) else watts:.6f}"


def _stamp(utc_ns: int) -> str:
    """Return a time as the log has it, to the millisecond."""
    rounded = (utc_ns + _MS // 2) // _MS
    at = datetime.fromtimestamp(rounded // 1000, timezone.utc)
    return f"{at:%m-%d-%Y %H:%M:%S}.{rounded % 1000:03d}"


def parse_log(text: str) -> tuple[Floats, Floats]:
    """Read a log as MLPerf's checker does.

    Returns:
        Seconds since 1970, and watts, NaN where the log has no value: float64 ``[samples]`` each.
    """
    rows = [line.split(",") for line in text.splitlines() if line.startswith("Time,")]
    times = [datetime.strptime(row[1], _TIME).replace(tzinfo=timezone.utc).timestamp() for row in rows]
    watts = np.array([float(row[3]) for row in rows])
    return np.array(times), np.where(watts == NO_VALUE, np.nan, watts)


def _last_window(logs: Path) -> tuple[Path, datetime, datetime]:
    """Return LoadGen's logs of the measured window, and when it began and ended, in its own time zone taken for UTC.

    A window that was over too early, or did not certify its rate, was measured afresh: the last one counts.
    """
    found = []
    for detail in logs.glob(f"measure*/{LOADGEN_LOGS[0]}"):
        text = detail.read_text(encoding="utf-8")
        said = {key: datetime.strptime(at, _TIME).replace(tzinfo=timezone.utc) for key, at in _BEGIN_END.findall(text)}
        found.append((said["begin"], said["end"], detail.parent))
    if not found:
        raise ValueError(f"{logs}: there are no logs of a measured window by LoadGen")
    begin, end, folder = max(found)
    return folder, begin, end


def _clock(found: Sequence[Readings], begin: datetime, end: datetime, start_ns: int, end_ns: int) -> tuple[int, timedelta]:
    """Return what to add to the monotonic clock to have LoadGen's, ns, and LoadGen's time zone.

    The sampler noted UTC when it began; LoadGen's stamps must then lie around the window. A sampler of an older version noted
    nothing, and LoadGen's begin is taken for the window's start.

    Raises:
        ValueError: LoadGen's stamps do not hold the window: one of the clocks was set meanwhile.
    """
    offsets = [offset for each in found for offset in each.utc_offsets_ns]
    if not offsets:
        return int(begin.timestamp() * 1e9) - start_ns, timedelta(0)
    utc = offsets[0]
    apart = begin.timestamp() - (start_ns + utc) * 1e-9
    zone = timedelta(seconds=round(apart / _QUARTER_S) * _QUARTER_S)
    to_log = utc + int(zone.total_seconds()) * 1_000_000_000
    early, late = begin.timestamp() - (start_ns + to_log) * 1e-9, (end_ns + to_log) * 1e-9 - end.timestamp()
    if max(early, late) > _SLACK_S:
        raise ValueError(
            f"the window lies {max(early, late):.3f} s outside of what LoadGen's log says: a clock was set while it was measured"
        )
    return to_log, zone


#: LoadGen stamps by the millisecond, and the sampler's two clocks are read one after the other, s.
_SLACK_S = 0.05


def _notes(record: Record, energy: Energy, samples: Samples, without: int, zone: timedelta) -> list[str]:
    notes = [
        "volts, amps and power factor were not measured: -1",
        f"{samples.times_ns.size} samples, {without} of them without a value: Watts is -1 there, which MLPerf's tools pass over",
    ]
    if samples.means:
        notes.append("each sample is the mean power since the sample before, by an energy counter")
    if energy.simulated:
        notes.append("SIMULATED: the device is no hardware")
    if energy.evidence != "wall meter":
        notes.append(f"{energy.domain} power by {energy.evidence}: MLPerf's rules ask for wall power of the whole system")
    if zone:
        notes.append(f"times are in LoadGen's time zone, UTC {zone.total_seconds() / 3600:+g} h")
    if energy.joules.value is None:
        notes.append(f"npubench gives no energy for this run: {energy.joules.reason}")
    if record.status != "ok":
        notes.append(f"the run is {record.status}: {record.reason}")
    return notes
