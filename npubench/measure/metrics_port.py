"""Serve what a suite is doing as OpenMetrics text over HTTP, while it runs. Reads no sensor and measures nothing.

The sampler shows its last readings in a memory-mapped file; a scrape reads that file, and the worker never hears of it.
"""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from npubench.contract.runspec import RunSpec
from npubench.measure.live import SUFFIX, LiveReading, read_live

#: What OpenMetrics 1.0 text is called.
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

#: How long a client may take to say what it wants, s.
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class _Family:
    """How readings of one kind are called: name, type, unit, what one unit of ``Sensor.kind`` is in it, and help."""

    name: str
    type: str
    unit: str
    scale: float
    help: str


#: Sensor kind → its metric. OpenMetrics wants base units, with the unit as the name's last word.
FAMILIES: Mapping[str, _Family] = {
    "power": _Family("npubench_power_watts", "gauge", "watts", 1e-3, "Last power reading."),
    "energy": _Family("npubench_energy_joules", "counter", "joules", 1e-6, "Energy counter as last read; it may wrap."),
    "temperature": _Family("npubench_temperature_celsius", "gauge", "celsius", 1e-3, "Last temperature reading."),
    "clock": _Family("npubench_clock_hertz", "gauge", "hertz", 1.0, "Last clock reading."),
    "utilisation": _Family("npubench_utilisation_ratio", "gauge", "ratio", 1e-6, "Last utilisation reading."),
    "throttle": _Family("npubench_throttled", "gauge", "", 1.0, "1 while the device says that it throttles."),
}
_AGE = _Family("npubench_reading_age_seconds", "gauge", "seconds", 1e-9, "How long ago the sensor was last read.")
_RUN = _Family("npubench_run_in_progress", "gauge", "", 1.0, "1 for the run in progress.")
_PLANNED = _Family("npubench_runs_planned", "gauge", "", 1.0, "Runs that this command set out to make.")
_FINISHED = _Family("npubench_runs_finished", "counter", "", 1.0, "Runs finished by this command, by status.")

#: Every status is always there: a counter that appears only with its first failure cannot be alarmed on.
_STATUSES = ("ok", "invalid", "failed", "skipped")


@dataclass(slots=True)
class Progress:
    """What a suite is doing, as its one thread says and the port's threads read.

    Args:
        suite: The suite's name.
        planned: How many runs there are to make.
    """

    suite: str
    planned: int = 0
    finished: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_STATUSES, 0))
    _run: tuple[RunSpec, Path] | None = None
    _phase: str = "start"

    def begin(self, spec: RunSpec, folder: Path) -> None:
        """Say that a run begins, and where its samplers show their readings."""
        self._phase = "start"
        self._run = (spec, folder)

    def enter(self, phase: str) -> None:
        """Say that the run is in another phase."""
        self._phase = phase

    def end(self, status: str) -> None:
        """Say that the run is over."""
        self._run = None
        self.finished[status] = self.finished.get(status, 0) + 1

    def labels(self) -> dict[str, str]:
        """Return what tells the run in progress from others; nothing between two runs."""
        if self._run is None:
            return {}
        spec = self._run[0]
        return {
            "suite": self.suite,
            "target": spec.target.name,
            "workload": spec.workload,
            "precision": spec.precision,
            "scenario": spec.load.scenario.value,
            "phase": self._phase,
        }

    def readings(self) -> list[LiveReading]:
        """Return the last readings of the run in progress."""
        run = self._run
        return [reading for path in sorted(run[1].glob(f"*{SUFFIX}")) for reading in read_live(path)] if run else []


def render(progress: Progress, now_ns: int) -> str:
    """Return everything as OpenMetrics 1.0 text.

    Args:
        progress: What the suite is doing.
        now_ns: The monotonic clock, ns, for the age of readings.
    """
    labels, readings = progress.labels(), progress.readings()
    lines = [*_head(_PLANNED), _line(_PLANNED, {"suite": progress.suite}, progress.planned), *_head(_FINISHED)]
    lines += [_line(_FINISHED, {"suite": progress.suite, "status": s}, n) for s, n in list(progress.finished.items())]
    lines += _head(_RUN)
    if labels:
        lines.append(_line(_RUN, labels, 1))
    for kind, family in FAMILIES.items():
        shown = [(r, r.value) for r in _once(readings) if r.kind == kind and r.value is not None]
        if family.type == "counter":
            # A counter below zero is garbage, and OpenMetrics has no place for it.
            shown = [(r, value) for r, value in shown if value >= 0]
        if shown:
            lines += _head(family)
            lines += [_line(family, {**labels, **_of(reading)}, value * family.scale) for reading, value in shown]
    if readings:
        lines += _head(_AGE)
        lines += [_line(_AGE, {**labels, **_of(r), "kind": r.kind}, max(0, now_ns - r.time_ns) * 1e-9) for r in _once(readings)]
    return "\n".join([*lines, "# EOF", ""])


def _once(readings: Sequence[LiveReading]) -> Iterator[LiveReading]:
    """Yield each sensor once: one that every die of a card repeats is one, and no two samples may have one name."""
    seen = set()
    for reading in readings:
        key = (reading.name, reading.kind, reading.domain, reading.evidence)
        if key not in seen:
            seen.add(key)
            yield reading


def _of(reading: LiveReading) -> dict[str, str]:
    return {"sensor": reading.name, "domain": reading.domain, "evidence": reading.evidence or "device"}


def _head(family: _Family) -> list[str]:
    unit = [f"# UNIT {family.name} {family.unit}"] if family.unit else []
    return [f"# TYPE {family.name} {family.type}", *unit, f"# HELP {family.name} {_escaped(family.help)}"]


def _line(family: _Family, labels: Mapping[str, str], value: float) -> str:
    name = family.name + ("_total" if family.type == "counter" else "")
    said = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{said}}} {value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class MetricsPort:
    """An HTTP server on one address, as a context manager; it answers ``GET /metrics`` and nothing else.

    Args:
        progress: What it tells of.
        host: The address it listens on.
        port: The port; 0 = any that is free.

    Raises:
        OSError: It cannot listen there.
    """

    def __init__(self, progress: Progress, host: str, port: int) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = _PATIENCE_S

            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404)
                    return
                body = render(progress, time.monotonic_ns()).encode()
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing: the terminal belongs to the suite."""

        self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics-port", daemon=True)

    @property
    def url(self) -> str:
        """Where it can be read."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/metrics"

    def __enter__(self) -> MetricsPort:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
