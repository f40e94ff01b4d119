"""``npubench calibrate``: measure the instrument on this machine, and keep the figures beside the records."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import npubench
from npubench.analyze.calibration import Error, energy_error, latency_errors
from npubench.analyze.readings import account_energy
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import LoadSpec, RunSpec, Scenario, TargetSpec
from npubench.errors import NpubenchError
from npubench.measure.runner import run_worker
from npubench.measure.sampler import READINGS
from npubench.measure.trace import Trace, read_trace
from npubench.plan.bundles import prepare
from npubench.plan.decide import DEADLINES_S, SEEDS, SPEC_VERSION
from npubench.plan.grades import TAIL
from npubench.plan.wheels import npubench_cache
from npubench.record.calibration import write_calibration
from npubench.record.machine import describe_machine
from npubench.record.store import Store
from npubench.report.words import figure_text
from npubench.testing import null
from npubench.testing.laws import true_joules
from npubench.verbs.console import Steps, data, out
from npubench.verbs.sampler_cost import sampler_cost

#: Design §12: what the harness may add, and the rate at which its server scenario must still be valid.
SERVER_RATE = 20_000.0
SERVER_BOUND_NS = 10_000_000
SIMULATED_DEVICE = "sim:plain"
_NULL = TargetSpec(name="null", backend="null", device=null.DEVICE, entry=null.ENTRY)


def calibrate_system(store: Path, seconds: float, as_json: bool) -> int:
    """Measure the null call in every scenario and the error against the simulated device's truth; returns 0.

    Raises:
        NpubenchError: A window could not be measured.
        StoreError: The store cannot be written.
    """
    holder = Store(store)
    with holder.writing():
        steps = Steps(len(Scenario) + 2, "calibrating")
        with steps.shown(), tempfile.TemporaryDirectory(prefix="npubench-calibrate-") as scratch:
            bundle = prepare("probe", npubench_cache())
            floor = {}
            for scenario in Scenario:
                steps.now(f"null call, {scenario.value}")
                floor[scenario.value] = _null_window(scenario, bundle, seconds, Path(scratch) / scenario.value)
                steps.step(f"null call, {scenario.value}")
            steps.now("null call, with a sampler and without")
            plain = window_spec(_NULL, Scenario.SINGLE_STREAM, bundle, seconds)
            (Path(scratch) / "sampler").mkdir()
            sampler = sampler_cost(plain, measure_window, Path(scratch) / "sampler")
            steps.step("null call, with a sampler and without")
            steps.now("simulated device against its truth")
            errors, missing = _truth_window(bundle, seconds, Path(scratch) / "truth")
            steps.step("simulated device against its truth")
        machine = describe_machine()
        content: dict[str, Any] = {
            "schema_version": 1,
            "harness": npubench.__version__,
            "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "system": asdict(machine),
            "window_s": seconds,
            "floor": floor,
            "sampler": sampler,
            "errors": [{**asdict(error), "relative": error.relative, "within": error.within} for error in errors],
            "missing": missing,
        }
        path = write_calibration(store, machine.system_id, content)
    if as_json:
        data(json.dumps(content, indent=1, ensure_ascii=False))
        return 0
    _print(floor, errors, missing)
    added = sampler["p50_with_ns"] - sampler["p50_without_ns"]
    out.print(f"a sampler beside it: ×{sampler['ratio']:.3f} of the null call's p50 ({added / 1e3:+.2f} µs)")
    data(str(path.resolve()))
    return 0


def _null_window(scenario: Scenario, bundle: Bundle, seconds: float, folder: Path) -> dict[str, float]:
    """Measure the null device in one scenario by LoadGen's own clock, which sees all that the harness adds."""
    trace = measure_window(window_spec(_NULL, scenario, bundle, seconds), folder)
    account = trace.details["loadgen"]
    figures = {"samples_per_s": trace.samples / trace.window_ns * 1e9}
    if scenario is not Scenario.OFFLINE:
        figures |= {key: float(account[key]) for key in ("p50_ns", "p90_ns", "p99_ns") if key in account}
    if scenario is Scenario.SERVER:
        late = trace.query_latencies_ns() > SERVER_BOUND_NS
        figures |= {"target_qps": SERVER_RATE, "over_bound": float(late.mean())}
    return figures


def _truth_window(bundle: Bundle, seconds: float, folder: Path) -> tuple[list[Error], dict[str, str]]:
    """Measure the simulated device and compare latency, throughput and energy with its own log.

    Returns:
        The errors, and figure → reason for what could not be had.
    """
    folder.mkdir()
    log = folder / "truth.npz"
    target = simulated_target({"jitter": "lognormal", "jitter_us": 300.0, "truth": str(log)})
    spec = replace(window_spec(target, Scenario.SINGLE_STREAM, bundle, seconds), baseline_ns=500_000_000)
    run = folder / "run"
    trace = measure_window(spec, run)
    with np.load(log, allow_pickle=False) as stored:
        truth = {name: stored[name] for name in stored.files}
    errors = latency_errors(trace, truth)
    counters = account_energy([run / READINGS], (trace.start_ns, trace.end_ns), trace.samples)
    if not counters:
        return errors, {"energy": "the sampler left no readings"}
    error = energy_error(counters[0].joules, true_joules(truth, trace.start_ns, trace.end_ns))
    if error is None:
        return errors, {"energy": counters[0].joules.reason or "absent"}
    return [*errors, error], {}


def measure_window(spec: RunSpec, folder: Path) -> Trace:
    """Carry out one run in a folder that is not there yet, and return its trace.

    Raises:
        NpubenchError: The run failed; the text says why.
    """
    folder.mkdir(parents=True)
    outcome = run_worker(spec, folder)
    if outcome.kind != "finished":
        raise NpubenchError(f"calibration failed: {outcome.reason}")
    return read_trace(folder / "trace.npz")


def simulated_target(options: dict[str, Any]) -> TargetSpec:
    """Return the simulated device as a target with ``options``."""
    return TargetSpec(
        name="simulated",
        backend="simulated",
        device=SIMULATED_DEVICE,
        entry="npubench.testing.simulated:SimulatedBackend",
        options=options,
    )


def window_spec(target: TargetSpec, scenario: Scenario, bundle: Bundle, seconds: float) -> RunSpec:
    """Return a run of the probe workload; what a suite would never ask for, so no suite is made up for it."""
    server = scenario is Scenario.SERVER
    load = LoadSpec(
        scenario=scenario,
        min_duration_ns=int(seconds * 1e9),
        min_queries=1,
        samples_per_query=8 if scenario is Scenario.MULTI_STREAM else 1,
        batch=8 if scenario in (Scenario.MULTI_STREAM, Scenario.OFFLINE) else 1,
        in_flight=1,
        coalesce_delay_ns=0,
        target_qps=SERVER_RATE if server else None,
        latency_bound_ns=SERVER_BOUND_NS if server else None,
        percentile=TAIL[scenario],
        seeds=SEEDS,
    )
    return RunSpec(
        schema_version=SPEC_VERSION,
        run_id="calibration",
        suite="calibration",
        grade="smoke",
        target=target,
        workload=bundle.workload,
        precision="fp32",
        bundle=str(bundle.root),
        bundle_digest=bundle.digest,
        load=load,
        repeat=0,
        round="",
        warm_up_ns=500_000_000,
        baseline_ns=0,
        checked_queries=0,
        deadlines_s={phase.value: limit + 10 * seconds for phase, limit in DEADLINES_S.items()},
        watchdog_s=30.0 + seconds,
        cache=str(npubench_cache()),
    )


def _print(floor: dict[str, dict[str, float]], errors: list[Error], missing: dict[str, str]) -> None:
    table = Table(title="What the harness adds (null device, LoadGen's clock)", title_justify="left")
    for column in ("scenario", "p50", "p90", "p99", "rate"):
        table.add_column(column, justify="left" if column == "scenario" else "right")
    for scenario, figures in floor.items():
        times = [figure_text(figures.get(key), "ns") for key in ("p50_ns", "p90_ns", "p99_ns")]
        table.add_row(scenario, *times, figure_text(figures["samples_per_s"], "samples/s"))
    out.print(table)
    table = Table(title="What it reports against the truth (SIMULATED device)", title_justify="left")
    for column in ("figure", "reported", "true", "error", "allowed"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for error in errors:
        sign = "[green]✔[/]" if error.within else "[yellow]▲[/]"
        table.add_row(
            error.what,
            figure_text(error.reported, error.unit),
            figure_text(error.true, error.unit),
            f"{sign} {error.relative:+.2%}",
            f"±{error.allowed:.1%}",
        )
    for what, reason in missing.items():
        table.add_row(what, "—", "—", reason, "")
    out.print(table)
