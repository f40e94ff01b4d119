"""The sampler: a process of its own that reads a device's sensors while the worker measures.

``python -m npubench.measure.sampler FOLDER`` runs in the target's interpreter, writes a line to standard output once
every sensor has been read, and leaves ``FOLDER/readings.npz`` when its standard input closes. It integrates nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.backend import Sensor
from npubench.contract.runspec import RunSpec, TargetSpec, from_plain
from npubench.measure.plugin import find_device, load_backend, probe
from npubench.measure.process import bearings, die_with_parent, kill_group

#: A sensor that does not say how often it changes is polled this often.
DEFAULT_PERIOD_NS = 100_000_000
#: No sensor is polled faster: the sampler shares the host with the worker.
SHORTEST_PERIOD_NS = 5_000_000

#: How long a sampler may take to start or to leave, s.
_PATIENCE_S = 30.0


@dataclass(slots=True)
class SamplerProcess:
    """A started sampler."""

    process: subprocess.Popen[bytes]

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


def start_sampler(python: str, environment: Mapping[str, str], target: TargetSpec, folder: Path) -> SamplerProcess:
    """Start the sampler and wait until it has read every sensor once."""
    with (folder / "sampler.log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "npubench.measure.sampler", folder, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=dict(environment),
            start_new_session=True,
        )
    assert process.stdout is not None
    # A sampler that never gets ready costs the energy figure, not the run.
    select.select([process.stdout], [], [], _PATIENCE_S)
    return SamplerProcess(process)


@dataclass(slots=True)
class _Track:
    """One sensor with its readings as columns; a reading without a value is kept with ``valid`` 0."""

    sensor: Sensor
    period_ns: int
    times: array[int]
    values: array[int]
    valid: array[int]
    due: int = 0

    def read(self) -> None:
        """Take one reading, stamped halfway through the call."""
        before = time.monotonic_ns()
        try:
            value = self.sensor.read()
        except Exception:  # noqa: BLE001 - a sensor's error is a reading without a value
            value = None
        after = time.monotonic_ns()
        self.times.append((before + after) // 2)
        self.values.append(0 if value is None else int(value))
        self.valid.append(0 if value is None else 1)
        self.due = max(self.due + self.period_ns, after)


def poll_period_ns(update_period_ns: int | None) -> int:
    """Return how often to read a sensor: twice an update, within bounds."""
    if not update_period_ns:
        return DEFAULT_PERIOD_NS
    return max(SHORTEST_PERIOD_NS, min(DEFAULT_PERIOD_NS, update_period_ns // 2))


def sample(sensors: Sequence[Sensor], path: Path, stop: int, ready: int) -> None:
    """Read ``sensors`` until the descriptor ``stop`` closes, then write ``path``."""
    now = time.monotonic_ns()
    tracks = [_Track(s, poll_period_ns(s.update_period_ns), array("q"), array("q"), array("q"), now) for s in sensors]
    for track in tracks:
        track.read()
    os.write(ready, b"ready\n")
    while tracks:
        due = min(track.due for track in tracks)
        wait = max(0, due - time.monotonic_ns()) / 1e9
        if select.select([stop], [], [], wait)[0]:
            break
        now = time.monotonic_ns()
        for track in tracks:
            if track.due <= now:
                track.read()
    write_readings(tracks, path)


def write_readings(tracks: Sequence[_Track], path: Path) -> None:
    """Write all readings: ``header`` (JSON), then ``<n>_times_ns``, ``<n>_values``, ``<n>_valid`` an index."""
    header = [
        {
            "name": t.sensor.name,
            "kind": t.sensor.kind,
            "domain": t.sensor.domain,
            "update_period_ns": t.sensor.update_period_ns,
            "quantum": t.sensor.quantum,
            "wraps_at": t.sensor.wraps_at,
            "poll_period_ns": t.period_ns,
        }
        for t in tracks
    ]
    columns: dict[str, Any] = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for n, track in enumerate(tracks):
        columns[f"{n}_times_ns"] = np.array(track.times, np.int64)
        columns[f"{n}_values"] = np.array(track.values, np.int64)
        columns[f"{n}_valid"] = np.array(track.valid, np.int64).astype(bool)
    np.savez(path, **columns)


def main(arguments: Sequence[str]) -> None:
    """Run the sampler: ``FOLDER PARENT``."""
    folder = Path(arguments[0])
    die_with_parent(int(arguments[1]))
    spec: RunSpec = from_plain(RunSpec, json.loads((folder / "spec.json").read_text(encoding="utf-8")), "spec")
    restore = bearings()
    backend = load_backend(spec.target.backend, spec.target.entry)
    device = find_device(spec.target.backend, probe(spec.target.backend, backend), spec.target.device)
    restore()
    ready = os.dup(1)
    os.dup2(2, 1)  # what an SDK prints must not look like "ready"
    sample(backend.sensors(device), folder / "readings.npz", 0, ready)


if __name__ == "__main__":
    main(sys.argv[1:])
