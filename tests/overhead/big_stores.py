"""Stores of thousands of runs for timing what reads them: real records' worth of text, traces and readings beside each run.

Every run is made of one that was carried out (``reports/examples/evidence.zip``): its system, findings, phases and files as
they are, its figures worked out from a made-up window. Windows are few and linked into many runs, for a store of 5,000 runs
would take half a gigabyte and as many minutes otherwise; whoever reads them has the same to do.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from npubench.analyze.metrics import compute_metrics
from npubench.contract.runspec import Scenario, to_plain
from npubench.measure.trace import Trace, write_trace

EVIDENCE = Path(__file__).parents[2] / "reports" / "examples" / "evidence.zip"

#: The reference that candidates of :func:`write_cells` stand beside.
REFERENCE = "t00/fp32"

#: How many windows of each scenario there are, each of another speed.
_WINDOWS = 24
_QUERIES = 6000
_PER_QUERY = {Scenario.SINGLE_STREAM: 1, Scenario.MULTI_STREAM: 8, Scenario.SERVER: 1, Scenario.OFFLINE: _QUERIES}
_FIRST = datetime(2026, 5, 1, 13, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class _Window:
    """A made-up window on disk: where its trace is, how fast it was, ms a sample, and its metrics as plain values."""

    trace: Path
    ms: float
    metrics: dict[str, Any]


def write_nights(root: Path, runs: int) -> Path:
    """Write a store of ``runs`` runs: 46 cells, night after night, a quarter of them with power."""
    cells = [
        (f"t{t:02}", precision, f"w{w:02}", scenario)
        for t in range(2)
        for w in range(3)
        for precision in ("fp32", "int8")
        for scenario in Scenario
    ][:46]
    order = [(*cells[n % 46], n // 46) for n in range(runs)]
    return _write(root, order)


def write_cells(root: Path, runs: int) -> Path:
    """Write a store of ``runs`` runs, none of the same cell: 25 targets in two precisions, and as many places as needed."""
    places = [(f"w{w:02}", scenario) for w in range(runs // 200 + 1) for scenario in Scenario]
    order = [
        (f"t{t:02}", precision, workload, scenario, 0)
        for workload, scenario in places
        for t in range(25)
        for precision in ("fp32", "int8")
    ]
    return _write(root, order[:runs])


def _write(root: Path, order: list[tuple[str, str, str, Scenario, int]]) -> Path:
    template, readings, powered = _real()
    beside = root / ".windows"
    beside.mkdir(parents=True)
    (beside / "readings.npz").write_bytes(readings)
    begun = next(phase["start_ns"] for phase in powered["phases"] if phase["phase"] == "measure")
    windows = {scenario: list(_windows(beside, scenario, begun)) for scenario in Scenario}
    for n, (target, precision, workload, scenario, night) in enumerate(order):
        window = windows[scenario][(int(target[1:]) + 5 * (precision == "int8") + night % 3) % _WINDOWS]
        record = _record(template, f"{n:05}", target, precision, workload, scenario, night, window)
        folder = root / record["system"]["system_id"] / record["run_id"]
        folder.mkdir(parents=True)
        os.link(window.trace, folder / "trace.npz")
        if int(target[1:]) % 4 == 0:
            record |= powered
            os.link(beside / "readings.npz", folder / "readings.npz")
        (folder / "record.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return root


def _real() -> tuple[dict[str, Any], bytes, dict[str, Any]]:
    """Return a record of hardware, and of the simulated device its readings, energy and phases, from the examples' evidence."""
    with zipfile.ZipFile(EVIDENCE) as archive:
        names = archive.namelist()
        folders = sorted({name.rsplit("/", 1)[0] for name in names if name.endswith("/record.json")})
        plain = next(f for f in folders if "single-stream.openvino" in f and "fp32" in f)
        powered = next(f for f in folders if "simulated" in f)
        measured = json.loads(archive.read(f"{powered}/record.json"))
        return (
            json.loads(archive.read(f"{plain}/record.json")),
            archive.read(f"{powered}/readings.npz"),
            {"energy": [{**each, "simulated": False} for each in measured["energy"]], "phases": measured["phases"]},
        )


def _windows(folder: Path, scenario: Scenario, begun: int) -> Iterator[_Window]:
    """Make windows from 1 ms a query up, each with a scatter, a tail and a slow wander; ``begun`` is where readings are."""
    for n in range(_WINDOWS):
        generator = np.random.default_rng([n, list(Scenario).index(scenario)])
        ms = 1.0 + n / 8
        wander = 1.0 + 0.01 * np.sin(np.linspace(0, 20, _QUERIES))
        took = (1e6 * ms * wander * (1.0 + generator.gamma(2.0, 0.02, _QUERIES))).astype(np.int64)
        trace = _trace(took, scenario, int(1.5e6 * ms), begun)
        path = folder / f"{scenario.value}-{n}.npz"
        write_trace(trace, path)
        metrics = {name: to_plain(value) for name, value in compute_metrics(trace, scenario).items()}
        yield _Window(path, ms, metrics)


def _trace(took: np.ndarray[Any, np.dtype[np.int64]], scenario: Scenario, every: int, begun: int) -> Trace:
    """Make a window of samples done one after the other, or each due ``every`` nanoseconds in server."""
    n, per_query = len(took), _PER_QUERY[scenario]
    ends = np.cumsum(took)
    started = ends - took
    query = np.arange(n) // per_query
    issued = started[query * per_query]
    if scenario is Scenario.SERVER:
        issued = started = np.arange(n, dtype=np.int64) * every
        ends = started + took
    return Trace(
        issued_ns=issued + begun,
        started_ns=started + begun,
        done_ns=ends + begun,
        scheduled_ns=issued + begun,
        sample=np.arange(n, dtype=np.int64) % 96,
        query=query.astype(np.int64),
        start_ns=begun,
        end_ns=int(ends.max()) + begun,
        details={"scenario": scenario.value},
    )


def _record(
    template: dict[str, Any],
    number: str,
    target: str,
    precision: str,
    workload: str,
    scenario: Scenario,
    night: int,
    window: _Window,
) -> dict[str, Any]:
    """Make a record of one cell in one night out of one that was really measured."""
    record: dict[str, Any] = deepcopy(template)
    run = f"{workload}.{precision}.{scenario.value}.{target}.nightly-{number}"
    record["run_id"] = record["spec"]["run_id"] = run
    server = scenario is Scenario.SERVER
    spec = record["spec"]
    spec["workload"], spec["precision"], spec["round"] = workload, precision, f"{night:03}" if night else ""
    spec["target"]["name"] = target
    spec["load"] |= {
        "scenario": scenario.value,
        "samples_per_query": 8 if scenario is Scenario.MULTI_STREAM else 1,
        "target_qps": 1000 / window.ms / 1.5 if server else None,
        "latency_bound_ns": 10_000_000 if server else None,
        "percentile": 0.9 if scenario is Scenario.SINGLE_STREAM else 0.99,
    }
    record["system"]["device"] |= {"name": target, "kind": f"kind of {target}"}
    record["bundle"]["workload"] = workload
    record["bundle"]["title"] = {"en": f"Work {workload}: made up", "ko": f"작업 {workload}: 시험용"}
    record["metrics"] = {**window.metrics, "accuracy": template["metrics"]["accuracy"]}
    record["provenance"]["started_at"] = (_FIRST + timedelta(days=night, seconds=int(number) % 5000)).isoformat()
    return record
