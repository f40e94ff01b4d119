"""Hold the energy of live windows against the truth: the simulated device draws each course while worker and sampler run.

The truth comes from the log the device's executor leaves, which the sensors have no part in.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from npubench.analyze.readings import account_energy
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import Scenario
from npubench.measure.sampler import READINGS
from npubench.plan.bundles import prepare
from npubench.plan.wheels import npubench_cache
from npubench.testing.laws import true_joules
from npubench.verbs.calibrate import measure_window, simulated_target, window_spec
from npubench.verbs.console import Steps

#: How long a live window is, s: what a sensor that changes ten times a second needs.
SECONDS = 3.5

#: Course → what the simulated device is told of it and of its sensors.
LIVE: dict[str, dict[str, Any]] = {
    "constant": {"course": "constant", "sensor_period_ms": 100.0},
    "square wave": {"course": "square", "course_s": 0.3, "sensor_period_ms": 1.0},
    "ramp": {"course": "ramp", "course_s": 6.0, "course_low_mw": 15_000, "sensor_period_ms": 10.0},
    "bursts": {"course": "bursts", "course_s": 0.02, "sensor_period_ms": 1.0, "sensor_dropped": 0.01},
    "thermal drift": {
        "course": "drift",
        "course_low_mw": 30_000,
        "drift_percent": 10.0,
        "drift_time_s": 2.0,
        "sensor_period_ms": 10.0,
    },
}


@dataclass(frozen=True, slots=True)
class LiveRow:
    """What came of one live window by one sensor.

    Args:
        course: As in :data:`LIVE`.
        sensor: Its name.
        period_ms: How often it changes, ms.
        true_joules: What was drawn.
        joules: What is reported; None where that is absent.
        error: reported ÷ true − 1; None likewise.
        printed: Whether samples per joule would be printed.
        reason: Why not.
    """

    course: str
    sensor: str
    period_ms: float
    true_joules: float
    joules: float | None
    error: float | None
    printed: bool
    reason: str


def live_rows(seconds: float = SECONDS) -> list[LiveRow]:
    """Run one window of every course, one after the other, and account for it by every sensor of the device.

    Raises:
        NpubenchError: A window could not be measured.
    """
    steps = Steps(len(LIVE), "live windows")
    rows: list[LiveRow] = []
    with steps.shown(), tempfile.TemporaryDirectory(prefix="npubench-live-") as scratch:
        bundle = prepare("probe", npubench_cache())
        for course in LIVE:
            steps.now(f"live, {course}")
            rows += live_window(course, bundle, seconds, Path(scratch) / course)
            steps.step(f"live, {course}")
    return rows


def live_window(course: str, bundle: Bundle, seconds: float, folder: Path) -> list[LiveRow]:
    """Run one window of a course; a row a sensor.

    Args:
        course: One of :data:`LIVE`.
        bundle: The probe workload's.
        seconds: How long the window is.
        folder: One that is not there yet.

    Raises:
        NpubenchError: It could not be measured.
    """
    log = folder.parent / f"{folder.name} truth.npz"
    options = LIVE[course]
    spec = window_spec(simulated_target({**options, "truth": str(log)}), Scenario.SINGLE_STREAM, bundle, seconds)
    trace = measure_window(replace(spec, baseline_ns=200_000_000), folder)
    with np.load(log, allow_pickle=False) as stored:
        true = true_joules(dict(stored), trace.start_ns, trace.end_ns)
    rows = []
    for account in account_energy([folder / READINGS], (trace.start_ns, trace.end_ns), trace.samples):
        joules, per_joule = account.joules, account.samples_per_joule
        error = None if joules.value is None else joules.value / true - 1.0
        printed, reason = per_joule.value is not None, per_joule.reason or ""
        rows.append(LiveRow(course, account.sensor, options["sensor_period_ms"], true, joules.value, error, printed, reason))
    return rows


def live_table(rows: list[LiveRow]) -> Table:
    """Return the rows as a table for a terminal."""
    table = Table(title="The same live: SIMULATED device, real worker and sampler, on this machine", title_justify="left")
    for n, head in enumerate(("course of power", "sensor", "changes every", "error", "perf/W printed", "else")):
        table.add_column(head, justify="right" if n in (2, 3) else "left")
    for row in rows:
        sensor, error = row.sensor.removeprefix("SIMULATED "), "—" if row.error is None else f"{row.error:+.2%}"
        table.add_row(row.course, sensor, f"{row.period_ms:g} ms", error, "yes" if row.printed else "no", row.reason)
    return table
