"""The sampler: a process of its own that reads sensors while the worker measures.

``python -m npubench.measure.sampler FOLDER PARENT sensors`` runs in the target's interpreter and reads the plug-in's sensors;
with ``meters`` it runs in the harness's own and reads the meters of the host file. It writes a line to standard output once
every sensor has been read, and leaves its readings in the folder when its standard input closes. It integrates nothing.

Meters over the network have a thread an address, so that a slow one holds no other back; all other sensors are read in turn
by one thread: SDKs are not made for several.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.backend import Sensor
from npubench.contract.runspec import RunSpec, from_plain
from npubench.measure.live import SUFFIX, LiveFile
from npubench.measure.meters import open_meters
from npubench.measure.meters.sensor import MeterSensor
from npubench.measure.plugin import find_device, load_backend, probe
from npubench.measure.process import bearings, die_with_parent, kill_group

#: What samplers leave in a run's folder: the readings of the plug-in's sensors, and those of the host file's meters.
READINGS, METERS = "readings.npz", "meters.npz"

#: A sensor that does not say how often it changes is polled this often.
DEFAULT_PERIOD_NS = 100_000_000
#: No sensor is polled faster: the sampler shares the host with the worker.
SHORTEST_PERIOD_NS = 5_000_000
#: How often a sensor is read an update: when it moved is then known to a twentieth of its period.
READINGS_AN_UPDATE = 20
#: How many readings tell what one costs; any of them may have been held up.
_TRIALS = 3
#: A sensor takes at most one part in so many of the sampler's time.
COST_SHARE = 50

#: What a column of readings can hold.
_LARGEST = (1 << 63) - 1

#: How long a sampler that is told to stop waits for the sensor it is reading, s.
_GRACE_S = 3.0

#: How long a sampler may take to start, to fix ranges, or to leave, s.
_PATIENCE_S = 30.0

#: Orders, a byte on its standard input: note voltage and current from now on; fix the ranges. Its end says to leave.
_RANGE, _FIX = b"r", b"f"
#: What is answered once all sensors have come so far.
_READY, _FIXED = b"ready\n", b"fixed\n"


@dataclass(slots=True)
class SamplerProcess:
    """A started sampler.

    Args:
        process: The sampler.
        meters: Whether it reads the machine's meters: only they have ranges.
    """

    process: subprocess.Popen[bytes]
    meters: bool = False
    _heard: bytes = b""

    def wait_until_ready(self) -> None:
        """Wait until every sensor was read once; one that never gets ready costs the energy figure, not the run."""
        self._await(_READY)

    def begin_ranging(self) -> None:
        """Have the meters note the highest voltage and current from now on."""
        if self.meters:
            self._order(_RANGE)

    def fix_ranges(self) -> None:
        """Have the meters fix their ranges by what they noted, and wait until they have; one that never does has a reason."""
        if self.meters:
            self._order(_FIX)
            self._await(_FIXED)

    def stop(self) -> None:
        """Ask it to write its readings and leave; kill it if it does not."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE_S)
        # Its group is its own: what a plug-in started for its sensors goes with it.
        kill_group(self.process)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _order(self, order: bytes) -> None:
        if self.process.stdin is not None:
            # One that has died meanwhile costs the energy figure, not the run.
            with contextlib.suppress(OSError):
                os.write(self.process.stdin.fileno(), order)

    def _await(self, line: bytes) -> None:
        """Wait for a line, but not for ever, and not for one that has died."""
        if self.process.stdout is None:
            return
        descriptor, until = self.process.stdout.fileno(), time.monotonic() + _PATIENCE_S
        while line not in self._heard:
            if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
                return
            said = os.read(descriptor, 64)
            if not said:
                return
            self._heard += said


def start_sampler(python: str, environment: Mapping[str, str], folder: Path, meters: bool = False) -> SamplerProcess:
    """Start a sampler of the run in ``folder``: of the plug-in's sensors, or of the machine's meters."""
    name = "meters" if meters else "sensors"
    with (folder / ("meters.log" if meters else "sampler.log")).open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "npubench.measure.sampler", folder, str(os.getpid()), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=dict(environment),
            start_new_session=True,
        )
    return SamplerProcess(process, meters)


@dataclass(slots=True)
class _Track:
    """One sensor with its readings as columns; a reading without a value is kept with ``valid`` 0."""

    sensor: Sensor
    period_ns: int
    times: array[int]
    values: array[int]
    valid: array[int]
    due: int = 0
    utc_offsets_ns: list[int] = field(default_factory=list)
    look_due: int | None = None

    def first(self) -> None:
        """Read it for the first time, and find out how often to: the first reading opens files and connections."""
        self.read()
        # Of the next ones the quickest says what reading costs.
        self.period_ns = poll_period_ns(self.sensor.update_period_ns, min(self.read() for _ in range(_TRIALS)))

    def look(self) -> None:
        """Have a meter that is ranging note voltage and current, once an update."""
        if self.look_due is None or not isinstance(self.sensor, MeterSensor) or (now := time.monotonic_ns()) < self.look_due:
            return
        self.look_due = now + (self.sensor.update_period_ns or DEFAULT_PERIOD_NS)
        with contextlib.suppress(Exception):
            self.sensor.look()

    def read(self) -> int:
        """Take one reading, stamped halfway through the call; return how long the call took, ns."""
        before = time.monotonic_ns()
        try:
            value = self.sensor.read()
            # What is no number, or none that fits a column, is no value either.
            value = None if value is None or not -_LARGEST <= int(value) <= _LARGEST else int(value)
        except Exception:  # noqa: BLE001 - a sensor's error is a reading without a value
            value = None
        after = time.monotonic_ns()
        self.times.append((before + after) // 2)
        self.values.append(0 if value is None else value)
        self.valid.append(0 if value is None else 1)
        self.due = max(self.due + self.period_ns, after)
        return after - before


def poll_period_ns(update_period_ns: int | None, cost_ns: int = 0) -> int:
    """Return how often to read a sensor, ns: often enough to see when it moves, and seldom enough to cost nothing.

    Args:
        update_period_ns: How often it changes; ``None`` or 0 = not said.
        cost_ns: How long reading it takes: some sensors are a program to start.
    """
    wanted = min(DEFAULT_PERIOD_NS, update_period_ns // READINGS_AN_UPDATE) if update_period_ns else DEFAULT_PERIOD_NS
    return max(SHORTEST_PERIOD_NS, wanted, cost_ns * COST_SHARE)


#: How often both clocks are looked at.
_LOOKS = 9


def utc_offset_ns() -> int:
    """Return what to add to a monotonic time to have UTC, ns since 1970: logs of other tools are in UTC.

    By the shortest of some looks: a busy machine may stop between the two clocks.
    """
    looks = [(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(_LOOKS)]
    before, utc, after = min(looks, key=lambda look: look[2] - look[0])
    return utc - (before + after) // 2


@dataclass(frozen=True, slots=True)
class _Turn:
    """Sensors that are read in turn by one thread, with the pipe its orders come by."""

    tracks: list[tuple[int, _Track]]
    orders: int
    tell: int


class _Chorus:
    """Says a line once every thread has."""

    def __init__(self, ready: int, voices: int) -> None:
        self._ready, self._voices = ready, voices
        self._lock = threading.Lock()
        self._said: dict[bytes, int] = {}

    def say(self, line: bytes) -> None:
        """Say a line for one thread."""
        with self._lock:
            self._said[line] = self._said.get(line, 0) + 1
            whole = self._said[line] == self._voices
        if whole:
            # A supervisor that no longer listens is about to be followed.
            with contextlib.suppress(OSError):
                os.write(self._ready, line)


def sample(sensors: Sequence[Sensor], path: Path, stop: int, ready: int) -> None:
    """Read ``sensors`` until the descriptor ``stop`` closes, then write ``path``; orders come by it, answers go to ``ready``."""
    now = time.monotonic_ns()
    tracks = [_Track(s, DEFAULT_PERIOD_NS, array("q"), array("q"), array("q"), now, [utc_offset_ns()]) for s in sensors]
    turns = _turns(tracks)
    chorus, over = _Chorus(ready, len(turns)), threading.Event()
    if not turns:
        os.write(ready, _READY)
    else:
        threading.Thread(target=_relay, args=(turns, stop, over, tracks, path), name="orders", daemon=True).start()
    with LiveFile(path, [describe(track) for track in tracks]) as live:
        others = [
            threading.Thread(target=_take_turns, args=(turn, live, chorus), name=f"meter-{n}", daemon=True)
            for n, turn in enumerate(turns[1:])
        ]
        for thread in others:
            thread.start()
        for turn in turns[:1]:
            _take_turns(turn, live, chorus)
        for thread in others:
            thread.join()
    over.set()
    for track in tracks:
        track.utc_offsets_ns.append(utc_offset_ns())
    write_readings(tracks, path)


def _turns(tracks: Sequence[_Track]) -> list[_Turn]:
    """Return which sensors are read in turn: those of one address, and all that have none."""
    found: dict[str, list[tuple[int, _Track]]] = {}
    for n, track in enumerate(tracks):
        found.setdefault(getattr(track.sensor, "address", ""), []).append((n, track))
    return [_Turn(each, *os.pipe()) for each in found.values()]


def _take_turns(turn: _Turn, live: LiveFile, chorus: _Chorus) -> None:
    """Read sensors when they are due, and carry out orders, until these end."""
    try:
        for n, track in turn.tracks:
            track.first()
            _show(live, n, track)
        chorus.say(_READY)
        while True:
            due = min(track.due for _, track in turn.tracks)
            wait = max(0, due - time.monotonic_ns()) / 1e9
            if select.select([turn.orders], [], [], wait)[0]:
                order = os.read(turn.orders, 1)
                if not order:
                    return
                _obey(order, [track for _, track in turn.tracks], chorus)
            now = time.monotonic_ns()
            for n, track in turn.tracks:
                if track.due <= now:
                    track.read()
                    _show(live, n, track)
                    track.look()
    finally:
        os.close(turn.orders)


def _obey(order: bytes, tracks: Sequence[_Track], chorus: _Chorus) -> None:
    """Begin ranging, or end it."""
    for track in tracks:
        track.look_due = time.monotonic_ns() if order == _RANGE else None
    if order != _FIX:
        return
    for track in tracks:
        if isinstance(track.sensor, MeterSensor):
            # What went wrong is for the meter to say, in its ranging.
            with contextlib.suppress(Exception):
                track.sensor.fix_ranges()
    chorus.say(_FIXED)


def _show(live: LiveFile, n: int, track: _Track) -> None:
    live.show(n, track.times[-1], track.values[-1], track.valid[-1])


def _relay(turns: Sequence[_Turn], stop: int, over: threading.Event, tracks: Sequence[_Track], path: Path) -> None:
    """Pass orders on to every thread. Once told to leave, wait a little for a sensor that does not return, then go without it."""
    while order := os.read(stop, 1):
        for turn in turns:
            with contextlib.suppress(OSError):
                os.write(turn.tell, order)
    for turn in turns:
        os.close(turn.tell)
    if not over.wait(_GRACE_S):
        write_readings(tracks, path)
        path.with_suffix(SUFFIX).unlink(missing_ok=True)
        os._exit(0)


def describe(track: _Track) -> dict[str, Any]:
    """Return what is known of a sensor: its entry in the header."""
    sensor = track.sensor
    return {
        "name": sensor.name,
        "kind": sensor.kind,
        "domain": sensor.domain,
        "update_period_ns": sensor.update_period_ns,
        "quantum": sensor.quantum,
        "wraps_at": sensor.wraps_at,
        "averages": sensor.averages,
        "evidence": getattr(sensor, "evidence", None),
        "clock_offset_ns": getattr(sensor, "clock_offset_ns", 0),
        "clock_error_ns": getattr(sensor, "clock_error_ns", 0),
        "ranging": sensor.ranging() if isinstance(sensor, MeterSensor) else None,
        "poll_period_ns": track.period_ns,
        # When reading began and when it ended: where they differ, UTC was set meanwhile.
        "utc_offsets_ns": track.utc_offsets_ns,
    }


def write_readings(tracks: Sequence[_Track], path: Path) -> None:
    """Write all readings: ``header`` (JSON), then ``<n>_times_ns``, ``<n>_values``, ``<n>_valid`` an index."""
    header = [describe(track) for track in tracks]
    columns: dict[str, Any] = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for n, track in enumerate(tracks):
        # A sensor that hangs may return at this moment and go on with its columns: all are cut to the same whole readings.
        whole = len(track.valid)
        columns[f"{n}_times_ns"] = np.array(track.times[:whole], np.int64)
        columns[f"{n}_values"] = np.array(track.values[:whole], np.int64)
        columns[f"{n}_valid"] = np.array(track.valid[:whole], np.int64).astype(bool)
    np.savez(path, **columns)


def main(arguments: Sequence[str]) -> None:
    """Run the sampler: ``FOLDER PARENT sensors|meters``."""
    folder = Path(arguments[0])
    die_with_parent(int(arguments[1]))
    spec: RunSpec = from_plain(RunSpec, json.loads((folder / "spec.json").read_text(encoding="utf-8")), "spec")
    ready = os.dup(1)
    os.dup2(2, 1)  # what an SDK prints must not look like "ready"
    if arguments[2] == "meters":
        with open_meters(spec.meters) as meters:
            sample(meters, folder / METERS, 0, ready)
        return
    restore = bearings()
    backend = load_backend(spec.target.backend, spec.target.entry)
    device = find_device(spec.target.backend, probe(spec.target.backend, backend), spec.target.device)
    restore()
    sample(backend.sensors(device), folder / READINGS, 0, ready)


if __name__ == "__main__":
    main(sys.argv[1:])
