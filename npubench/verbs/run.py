"""``npubench run``: carry out a suite, one fresh process a run, and keep every record."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from npubench.analyze.outputs import Score
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import RunSpec
from npubench.errors import InputError, RecordError
from npubench.measure.metrics_port import MetricsPort, Progress
from npubench.measure.power_limit import restore_leftovers
from npubench.measure.runner import OnEvent
from npubench.plan.grades import GRADES
from npubench.plan.suite import HostFile, SuiteFile
from npubench.record.calibration import calibration_digest
from npubench.record.conduct import conduct
from npubench.record.machine import describe_machine
from npubench.record.schema import Record
from npubench.record.store import Store, read_record
from npubench.report.words import headline_text
from npubench.verbs.audits import audit_lines
from npubench.verbs.console import STATUS, Steps, err, event_text
from npubench.verbs.meters import check_meters
from npubench.verbs.prepare import make_ready
from npubench.verbs.repeats import next_round, still_wide


def run_suite(
    suite: SuiteFile,
    where: Path,
    host: HostFile,
    store: Store,
    round_label: str,
    bundles: Mapping[str, tuple[Bundle, Score]] | None = None,
    metrics: tuple[str, int] | None = None,
    audit: bool = False,
    profile: bool = False,
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
        audit: Carry out the audits, whatever the grade.
        profile: Profile operators after every run, in a process of its own.

    Returns:
        The exit code: 0 all ok, 1 some run invalid or failed, or its record cannot be read, 3 a target cannot be used.

    Raises:
        InputError: Something the user gave is wrong.
        KeyboardInterrupt: Stopped by the user; every finished run is kept.
    """
    with store.writing(_restore_leftovers):
        steps = Steps(1, "preparing")
        with steps.shown():
            ready = make_ready(suite, host, where, round_label, steps, bundles, audit, profile)
        for name, why in ready.unusable.items():
            err.print(f"[red]target '{name}' cannot be used here[/]: {_escape(why)}; its runs are left out", soft_wrap=True)
        machine = describe_machine()
        calibration = calibration_digest(store.root, machine.system_id)
        kept = [run[0] for run in ready.runs if store.has(machine.system_id, run[0].run_id)]
        waiting = [run[0] for run in ready.runs if not store.has(machine.system_id, run[0].run_id)]
        if kept:
            err.print(
                f"{len(kept)} of {len(ready.runs)} runs are in the store already and are kept; measure again with --round NAME",
                soft_wrap=True,
            )
        if waiting and host.meter:
            steps = Steps(1, "preparing")
            with steps.shown():
                steps.now("looking at meters")
                check_meters(host, suite.target, waiting)
        if host.free_cores:
            # The sampler is started from here and inherits this; workers take the other cores.
            os.sched_setaffinity(0, host.free_cores)
        planned, grade = [run[0] for run in ready.runs], GRADES[suite.grade]
        works = {(spec.workload, spec.bundle_digest): (bundle, score) for spec, bundle, score in ready.runs}

        def measure(spec: RunSpec, follow: OnEvent) -> Record:
            bundle, score = works[spec.workload, spec.bundle_digest]
            return conduct(spec, bundle, score, store, machine, calibration, host.system, follow)

        good = _carry_out(planned, suite.name, store, machine.system_id, measure, metrics)
        for repeat in range(grade.repeats, grade.most_repeats):
            again = next_round(planned, suite, store, machine.system_id, repeat)
            if not again:
                break
            wide = f"{len(again)} measured once more, as #{repeat + 1}: their interval is wider than ±{grade.half_width:.0%}"
            err.print(wide, soft_wrap=True)
            good = _carry_out(again, suite.name, store, machine.system_id, measure, metrics) and good
        for spec, finding in still_wide(planned, suite, store, machine.system_id):
            err.print(f"[yellow]▲[/] {_escape(label_of(spec))}: {finding.observed}", soft_wrap=True)
    if ready.unusable:
        names = ", ".join(f"'{name}'" for name in ready.unusable)
        err.print(f"[red]runs are missing[/] of what cannot be used here, as said above: {names}", soft_wrap=True)
        return 3
    return 0 if good else 1


def _carry_out(
    runs: Sequence[RunSpec],
    what: str,
    store: Store,
    system_id: str,
    measure: Callable[[RunSpec, OnEvent], Record],
    metrics: tuple[str, int] | None,
) -> bool:
    """Carry out those of ``runs`` that are not in the store; return whether all of them are as they should be."""
    waiting = [spec for spec in runs if not store.has(system_id, spec.run_id)]
    good = True
    for spec in runs:
        if spec not in waiting:
            good = _is_good(spec, store, system_id) and good
    steps = Steps(len(waiting), what)
    progress = Progress(what, len(waiting))
    with steps.shown(), _metrics_port(progress, metrics):
        for spec in waiting:
            label = label_of(spec)
            progress.begin(spec, store.open_folder(spec.run_id))
            record = measure(spec, _follow(label, steps, progress))
            progress.end(record.status)
            steps.step(_line(label, record) + audit_lines(record))
            good = good and record.status not in _BAD
    return good


def _restore_leftovers(folders: Path) -> None:
    """Put back the power limits that a killed suite left, and say which could not be."""
    for complaint in restore_leftovers(folders):
        err.print(f"[red]▲ {_escape(complaint)}[/]", soft_wrap=True)


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
