"""``npubench run``: carry out a suite, one fresh process a run, and keep every record."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from npubench.analyze.outputs import Score
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import RunSpec
from npubench.errors import InputError, RecordError
from npubench.measure.metrics_port import MetricsPort, Progress
from npubench.plan.suite import HostFile, SuiteFile
from npubench.record.calibration import calibration_digest
from npubench.record.conduct import conduct
from npubench.record.machine import describe_machine
from npubench.record.schema import Record
from npubench.record.store import Store, read_record
from npubench.report.words import headline_text
from npubench.verbs.console import STATUS, Steps, err, event_text
from npubench.verbs.meters import check_meters
from npubench.verbs.prepare import make_ready


def run_suite(
    suite: SuiteFile,
    where: Path,
    host: HostFile,
    store: Store,
    round_label: str,
    bundles: Mapping[str, tuple[Bundle, Score]] | None = None,
    metrics: tuple[str, int] | None = None,
) -> int:
    """Carry out what is not yet in the store.

    Args:
        suite: The suite.
        where: The file it came from.
        host: What targets and meters are on this machine.
        store: Where records go.
        round_label: A label for measuring the same again.
        bundles: Workloads that are no suite's, by name.
        metrics: Host and port to show OpenMetrics text on while it runs; None = nowhere.

    Returns:
        The exit code: 0 all ok, 1 some run invalid or failed, or its record cannot be read, 3 a target cannot be used.

    Raises:
        InputError: Something the user gave is wrong.
        KeyboardInterrupt: Stopped by the user; every finished run is kept.
    """
    with store.writing():
        steps = Steps(1, "preparing")
        with steps.shown():
            ready = make_ready(suite, host, where, round_label, steps, bundles)
        for name, why in ready.unusable.items():
            err.print(f"[red]target '{name}' cannot be used here[/]: {_escape(why)}; its runs are left out", soft_wrap=True)
        machine = describe_machine()
        calibration = calibration_digest(store.root, machine.system_id)
        waiting = [run for run in ready.runs if not store.has(machine.system_id, run[0].run_id)]
        kept = [run[0] for run in ready.runs if store.has(machine.system_id, run[0].run_id)]
        if kept:
            err.print(
                f"{len(kept)} of {len(ready.runs)} runs are in the store already and are kept; measure again with --round NAME",
                soft_wrap=True,
            )
        if waiting and host.meter:
            steps = Steps(1, "preparing")
            with steps.shown():
                steps.now("looking at meters")
                check_meters(host, suite.target, [run[0] for run in waiting])
        if host.free_cores:
            # The sampler is started from here and inherits this; workers take the other cores.
            os.sched_setaffinity(0, host.free_cores)
        good = True
        for spec in kept:
            good = _is_good(spec, store, machine.system_id) and good
        steps = Steps(len(waiting), suite.name)
        progress = Progress(suite.name, len(waiting))
        with steps.shown(), _metrics_port(progress, metrics):
            for spec, bundle, score in waiting:
                label = label_of(spec)
                progress.begin(spec, store.open_folder(spec.run_id))
                follow = _follow(label, steps, progress)
                record = conduct(spec, bundle, score, store, machine, calibration, host.system, follow)
                progress.end(record.status)
                steps.step(_line(label, record))
                good = good and record.status not in _BAD
    if ready.unusable:
        names = ", ".join(f"'{name}'" for name in ready.unusable)
        err.print(f"[red]runs are missing[/] of what cannot be used here, as said above: {names}", soft_wrap=True)
        return 3
    return 0 if good else 1


#: Statuses that a suite as a whole is not ok with.
_BAD = ("invalid", "failed")


def label_of(spec: RunSpec) -> str:
    """Return a run for people."""
    again = f" #{spec.repeat + 1}" if spec.repeat else ""
    return f"{spec.workload} {spec.precision} {spec.load.scenario.value} on {spec.target.name}{again}"


def _line(label: str, record: Record) -> str:
    """Return what stays on the screen of one run."""
    text = f"{STATUS[record.status]} {label}"
    if record.status in ("ok", "invalid"):
        text += f"  [bold]{headline_text(record)}[/]"
    if record.reason:
        text += f"\n      {_escape(record.reason)}"
    return text


@contextlib.contextmanager
def _metrics_port(progress: Progress, where: tuple[str, int] | None) -> Iterator[None]:
    """Show progress and live readings on a port while inside; nowhere if none is asked for."""
    if where is None:
        yield
        return
    host, port = where
    try:
        server = MetricsPort(progress, host, port)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"--metrics-port {port}: cannot listen on {host}: {why.lower()}; choose another port") from error
    with server:
        err.print(f"[dim]live metrics on {server.url}[/]", soft_wrap=True)
        yield


def _follow(label: str, steps: Steps, progress: Progress) -> Any:
    """Return the listener that shows a run's events beside the bar and on the metrics port."""
    phase = "start"

    def on_event(event: Mapping[str, Any]) -> None:
        nonlocal phase
        phase = str(event.get("phase", phase))
        progress.enter(phase)
        steps.now(event_text(label, event, phase))

    return on_event


def _is_good(spec: RunSpec, store: Store, system_id: str) -> bool:
    """Return whether a kept run is as it should be; say which is not, since the exit code speaks of it."""
    folder = store.root / system_id / spec.run_id
    try:
        record = read_record(folder / "record.json")
    except RecordError as error:
        err.print(f"[red]▲ {_escape(str(error))}[/]; move {_escape(str(folder))} away to measure it again", soft_wrap=True)
        return False
    if record.status in _BAD:
        err.print(f"[dim]kept:[/] {_line(label_of(spec), record)}", soft_wrap=True)
    return record.status not in _BAD


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
