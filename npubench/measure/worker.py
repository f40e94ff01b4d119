"""The worker: one fresh process that carries out one run, phase by phase, in the target's own interpreter.

``python -m npubench.measure.worker FOLDER EVENTS CONTROL PARENT`` reads ``FOLDER/spec.json``, reports through the
descriptor EVENTS, waits on CONTROL where the sampler must be ahead of it, and leaves in FOLDER what it observed.
It needs numpy and mlcommons-loadgen beside the plug-in, and computes no metric.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.artefact import Unsupported
from npubench.contract.availability import Availability, Device
from npubench.contract.backend import Backend, Executor, Tensors, submits
from npubench.contract.bundle import Bundle, BundleError, keep_output, read_bundle
from npubench.contract.options import OptionError, parse_options
from npubench.contract.runspec import LoadSpec, Phase, RunSpec, Scenario, from_plain
from npubench.measure import artefacts, process
from npubench.measure.binding import Binding, BindingError, bind, from_executor
from npubench.measure.check import OutputCheck
from npubench.measure.dispatch import Dispatcher, InlineDispatcher, Sink, SubmitDispatcher, ThreadDispatcher
from npubench.measure.events import Reporter, is_full, words
from npubench.measure.loadgen import Pace, Window, choose_rows, run_window, with_seed
from npubench.measure.plugin import PluginError, distribution_of, find_device, load_backend, probe
from npubench.measure.samples import SampleSet
from npubench.measure.search import (
    MOST_CERTIFICATIONS,
    Step,
    find_rate,
    looks_good,
    meets_bound,
    outstanding_queries,
    percentile_ns,
    step_back,
)
from npubench.measure.trace import Columns, write_trace

#: Seeds move by these, so that no window repeats the arrivals of another.
_WARM_UP_SEEDS, _SEARCH_SEEDS, _CERTIFY_SEEDS = 101, 1001, 5001

#: The search may take as long as this many measured windows, and ten seconds.
_SEARCH_WINDOWS = 3

#: Environment variables that change how runtimes behave, by prefix.
_TELLING = (
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "KMP_",
    "ORT_",
    "CUDA_",
    "TF_",
    "NVIDIA_",
    "RBLN_",
    "FURIOSA_",
    "MBLT_",
    "LD_PRELOAD",
    "MALLOC_",
)


@dataclass(slots=True)
class Observed:
    """What the worker found out, as it will stand in ``worker.json``."""

    phases: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    plugin: dict[str, str] = field(default_factory=dict)
    artefact: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    exclusions: list[str] = field(default_factory=list)
    residue: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    loadgen: str = ""


class Worker:
    """The state of one run while it is carried out."""

    def __init__(self, spec: RunSpec, folder: Path, reporter: Reporter, control: int) -> None:
        self.spec = spec
        self.folder = folder
        self.reporter = reporter
        self.control = control
        self.observed = Observed()
        self._progress: Sink | None = None
        self._begun = 0
        reporter.before_failing = self._write_failing
        self.name = f"{spec.target.backend}:{spec.target.device} on {spec.workload}"

    def run(self) -> None:
        """Carry out all phases; any failure ends the process inside."""
        spec, observed = self.spec, self.observed
        observed.settings = process.prepare(spec.cores)
        threading.Thread(target=self._beat, name="npubench-beat", daemon=True).start()
        with self._phase(Phase.LOAD_PLUGIN):
            backend, device, options = self._load_plugin()
            bundle = self._open_bundle()
        with self._phase(Phase.COMPILE):
            compiled = self._compile(backend, bundle, device, options)
        threads_before = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        with self._phase(Phase.LOAD_EXECUTOR):
            executor = self._load_executor(backend, compiled, device, options)
            load, dispatcher, samples, outputs = self._connect(executor, bundle)
        with self._phase(Phase.ACCURACY):
            kept, pace = self._accuracy(dispatcher, samples, bundle, outputs, load)
            _savez(self.folder / "accuracy.npz", {str(n): values for n, values in enumerate(kept)})
        with process.quiet_interpreter():
            with self._phase(Phase.WARM_UP):
                pace = self._warm_up(load, pace, dispatcher, samples)
            if load.scenario is Scenario.SERVER and load.target_qps is None:
                with self._phase(Phase.SEARCH):
                    load = self._search(load, pace, dispatcher, samples)
            with self._phase(Phase.BASELINE):
                self._baseline(backend, device)
            with self._phase(Phase.MEASURE):
                found = self._measure(load, pace, dispatcher, samples)
        with self._phase(Phase.AUDIT):
            write_trace(found.trace, self.folder / "trace.npz")
            self._write_checked(found, bundle, outputs)
            observed.notes = {str(k): str(v) for k, v in executor.notes().items()}
        with self._phase(Phase.CLOSE):
            dispatcher.close()
            self._guard("close", executor.close)
            observed.residue = process.residue(threads_before)
        self.reporter.send("finished")

    # -- phases -----------------------------------------------------------------------------------------------------

    def _load_plugin(self) -> tuple[Backend, Device, Any]:
        target, observed = self.spec.target, self.observed
        try:
            backend = load_backend(target.backend, target.entry)
            availability: Availability = probe(target.backend, backend)
            device = find_device(target.backend, availability, target.device)
        except PluginError as error:
            self.reporter.fail("target", str(error), error)
        try:
            options = parse_options(type(backend).Options, target.options, f"target '{target.name}': options")
        except OptionError as error:
            self.reporter.fail("input", str(error))
        observed.device = {
            "name": device.name,
            "kind": device.kind,
            "simulated": device.simulated,
            "details": dict(device.details),
        }
        observed.versions = {str(k): str(v) for k, v in availability.versions.items()}
        observed.plugin = {"backend": target.backend, **distribution_of(target.entry)}
        observed.python = sys.version.split()[0]
        observed.packages = _packages()
        observed.environment = {k: v for k, v in sorted(os.environ.items()) if k.startswith(_TELLING)}
        observed.loadgen = version("mlcommons-loadgen")
        return backend, device, options

    def _open_bundle(self) -> Bundle:
        try:
            bundle = read_bundle(Path(self.spec.bundle))
        except BundleError as error:
            self.reporter.fail("input", str(error))
        if bundle.digest != self.spec.bundle_digest:
            self.reporter.fail(
                "input", f"{self.spec.bundle}: wrong digest {bundle.digest}, the plan has {self.spec.bundle_digest}"
            )
        return bundle

    def _compile(self, backend: Backend, bundle: Bundle, device: Device, options: Any) -> artefacts.Compiled:
        spec = self.spec
        model = bundle.model(spec.precision)
        support = self._guard("supports", backend.supports, model, device)
        if not support.supported:
            self.reporter.fail("skipped", f"unsupported: {support.reason}")
        try:
            if spec.target.artefact:
                compiled = artefacts.ready_artefact(Path(spec.target.artefact))
            else:
                compiled = artefacts.compile_cached(backend, spec.target.backend, model, device, options, Path(spec.cache))
        except Unsupported as error:
            self.reporter.fail("skipped", f"unsupported: {error}", error)
        except BaseException as error:
            self.reporter.fail("store" if is_full(error) else "plugin", f"{self.name}: compile: {words(error)}", error)
        artefact = compiled.artefact
        self.observed.artefact = {
            "format": artefact.format,
            "digest": artefacts.path_digest(artefact.path),
            "size_bytes": artefacts.path_size(artefact.path),
            "compiler": artefact.compiler,
            "ready": artefact.ready,
            "cached": compiled.cached,
            "notes": {str(k): str(v) for k, v in artefact.notes.items()},
            "device_operators": None,
            "host_operators": None,
            "offload_source": None,
        }
        return compiled

    def _load_executor(self, backend: Backend, compiled: artefacts.Compiled, device: Device, options: Any) -> Executor:
        executor: Executor = self._guard("load", backend.load, compiled.artefact, device, options)
        offload = self._guard("offload", executor.offload)
        self.observed.artefact.update(
            device_operators=offload.device_operators if offload else None,
            host_operators=offload.host_operators if offload else None,
            offload_source=offload.source if offload else None,
            host_allowed=bool(getattr(options, "allow_host_operators", False)),
        )
        return executor

    def _connect(self, executor: Executor, bundle: Bundle) -> tuple[LoadSpec, Dispatcher, SampleSet, tuple[Binding, ...]]:
        """Decide batch, in flight and path from what the executor can hold, and lay the samples out for it."""
        try:
            inputs = bind(bundle.inputs, executor.inputs, "input")
            outputs = bind(bundle.outputs, executor.outputs, "output")
        except (BindingError, TypeError, AttributeError) as error:
            self.reporter.fail("plugin", f"{self.name}: {error}", error)
        asked = self.spec.load
        batch = min(asked.batch, executor.max_batch or asked.batch)
        in_flight = max(1, min(asked.in_flight, executor.max_in_flight))
        load = replace(asked, batch=batch, in_flight=in_flight)
        samples = SampleSet(bundle.load_inputs(), inputs, batch)
        check = OutputCheck(outputs)
        dispatcher: Dispatcher
        if in_flight > 1 and submits(executor):
            dispatcher = SubmitDispatcher(executor, samples, check, batch, self._query_failed, in_flight, load.coalesce_delay_ns)
        elif in_flight > 1 or (load.scenario is Scenario.SERVER and batch > 1):
            dispatcher = ThreadDispatcher(executor, samples, check, batch, self._query_failed, in_flight, load.coalesce_delay_ns)
        else:
            dispatcher = InlineDispatcher(executor, samples, check, batch, self._query_failed)
        self.observed.exclusions = sorted(
            {"pre-processing", "post-processing", *(e for b in (*inputs, *outputs) for e in b.exclusions)}
        )
        self.observed.settings |= {"batch": batch, "in_flight": in_flight, "path": dispatcher.path}
        return load, dispatcher, samples, outputs

    def _accuracy(
        self, dispatcher: Dispatcher, samples: SampleSet, bundle: Bundle, outputs: tuple[Binding, ...], load: LoadSpec
    ) -> tuple[list[np.ndarray[Any, Any]], Pace]:
        """Run every sample once through the path that will be measured; keep the outputs."""
        sink = Sink(Columns(samples.count), None, lambda ids: None)
        self._progress = sink
        dispatcher.open(sink)
        start = time.monotonic_ns()
        for at in range(0, samples.count, load.batch):
            indices = list(range(at, min(at + load.batch, samples.count)))
            dispatcher.issue(indices, indices)
        dispatcher.drain()
        elapsed = time.monotonic_ns() - start
        kept: list[np.ndarray[Any, Any] | None] = [None] * len(outputs)
        for rows, tensors in sink.kept:
            indices = [sink.columns.sample[row] for row in rows]
            for n, values in enumerate(_in_workload_form(tensors, outputs, bundle)):
                whole = kept[n]
                if whole is None:
                    whole = kept[n] = np.zeros((samples.count, *values.shape[1:]), values.dtype)
                whole[indices] = values
        shortest = min(sink.columns.done[row] - sink.columns.started[row] for row in range(sink.columns.rows))
        return [k for k in kept if k is not None], Pace(float(max(1, shortest)), samples.count / elapsed * 1e9)

    def _warm_up(self, load: LoadSpec, pace: Pace, dispatcher: Dispatcher, samples: SampleSet) -> Pace:
        """Run the measured load for a while under other seeds, by the same path; learn the pace from it."""
        warm = replace(
            with_seed(load, _WARM_UP_SEEDS),
            min_duration_ns=self.spec.warm_up_ns,
            min_queries=max(1, load.in_flight, load.batch if load.scenario is Scenario.OFFLINE else 1),
            target_qps=load.target_qps or pace.samples_per_s * 0.5,
        )
        trace = self._window(warm, pace, dispatcher, samples, "warm-up").trace
        latencies = trace.query_latencies_ns()
        return Pace(
            latency_ns=float(max(1, latencies.min()))
            if load.scenario in (Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM)
            else pace.latency_ns,
            samples_per_s=trace.samples / trace.window_ns * 1e9 if load.scenario is Scenario.OFFLINE else pace.samples_per_s,
        )

    def _search(self, load: LoadSpec, pace: Pace, dispatcher: Dispatcher, samples: SampleSet) -> LoadSpec:
        """Find the highest rate that meets the bound in short windows; the measured window then certifies it."""
        bound = load.latency_bound_ns
        assert bound is not None, "a plan with target_qps = 'auto' has a bound"

        short = replace(load, min_duration_ns=max(load.min_duration_ns // 12, 500_000_000), min_queries=64)

        def attempt(rate: float, n: int) -> Step:
            probing = replace(with_seed(short, _SEARCH_SEEDS + n), target_qps=rate)
            waiting = outstanding_queries(rate, bound)
            latencies = self._window(probing, pace, dispatcher, samples, f"search-{n:02}", waiting).trace.query_latencies_ns()
            seen, over = percentile_ns(latencies, load.percentile), int((latencies > bound).sum())
            return self._step(Step(rate, len(latencies), seen, looks_good(over, len(latencies), load.percentile), False))

        spent = time.monotonic() + _SEARCH_WINDOWS * load.min_duration_ns / 1e9 + 10.0
        rate, _ = find_rate(attempt, pace.samples_per_s * 0.7, lambda: time.monotonic() > spent)
        if rate is None:
            self.reporter.fail(
                "rate", f"no server rate meets the latency bound of {bound / 1e6:g} ms; even a single query takes longer"
            )
        return replace(load, target_qps=rate)

    def _baseline(self, backend: Backend, device: Device) -> None:
        """Stay idle while the sampler reads, where there is something to read."""
        if not self.spec.baseline_ns or type(backend).sensors is Backend.sensors:
            return
        self.reporter.send("baseline")
        os.read(self.control, 1)
        time.sleep(self.spec.baseline_ns / 1e9)

    def _measure(self, load: LoadSpec, pace: Pace, dispatcher: Dispatcher, samples: SampleSet) -> Window:
        """Run the measured window; a rate that was searched for must hold in it, else a lower one is measured afresh."""
        if self.spec.load.target_qps is not None or load.scenario is not Scenario.SERVER:
            return self._timed(load, pace, dispatcher, samples, "measure")
        bound, rate = load.latency_bound_ns, load.target_qps
        assert bound is not None and rate is not None, "the search leaves a rate, and a plan without target_qps has a bound"
        for n in range(MOST_CERTIFICATIONS):
            name = "measure" if not n else f"measure-{n}"
            window = self._timed(load, pace, dispatcher, samples, name, outstanding_queries(rate, bound))
            latencies = window.trace.query_latencies_ns()
            over = int((latencies > bound).sum())
            met = len(latencies) >= load.min_queries and meets_bound(over, len(latencies), load.percentile)
            self._step(Step(rate, len(latencies), percentile_ns(latencies, load.percentile), met, True))
            if met:
                break
            rate *= step_back(over, len(latencies), load.percentile)
            load = replace(with_seed(load, _CERTIFY_SEEDS), target_qps=rate)
        return window

    def _timed(
        self, load: LoadSpec, pace: Pace, dispatcher: Dispatcher, samples: SampleSet, name: str, outstanding: int = 0
    ) -> Window:
        """Run one window with a checked subset, and account for this process's CPU time over it."""
        before, wall = os.times(), time.monotonic_ns()
        window = self._window(load, pace, dispatcher, samples, name, outstanding, checked=True)
        after = os.times()
        self.observed.cpu = {
            "wall_s": (time.monotonic_ns() - wall) / 1e9,
            "user_s": after.user - before.user,
            "system_s": after.system - before.system,
        }
        return window

    def _step(self, step: Step) -> Step:
        """Write a step of the search down and show it."""
        self.observed.steps.append(asdict(step))
        self.reporter.send("search", rate=step.target_qps, met=step.met, certifying=step.certifying)
        return step

    # -- pieces -----------------------------------------------------------------------------------------------------

    def _window(
        self,
        load: LoadSpec,
        pace: Pace,
        dispatcher: Dispatcher,
        samples: SampleSet,
        name: str,
        outstanding: int = 0,
        checked: bool = False,
    ) -> Window:
        count, seed = self.spec.checked_queries, load.seeds.subset

        def on_start(sink: Sink) -> None:
            self._progress = sink

        return run_window(
            load,
            pace,
            dispatcher,
            samples,
            self.folder / "loadgen" / name,
            looked_at=(lambda planned: choose_rows(planned, count, seed)) if checked else (lambda planned: frozenset()),
            outstanding=outstanding,
            on_start=on_start,
        )

    def _write_checked(self, window: Window, bundle: Bundle, outputs: tuple[Binding, ...]) -> None:
        """Keep the outputs of the seeded subset of timed queries, for the comparison with the accuracy phase."""
        rows: list[int] = []
        columns: list[list[np.ndarray[Any, Any]]] = [[] for _ in outputs]
        for request, tensors in window.kept:
            rows.extend(request)
            for n, values in enumerate(_in_workload_form(tensors, outputs, bundle)):
                columns[n].append(values)
        stored = {str(n): np.concatenate(parts) for n, parts in enumerate(columns) if parts}
        samples = window.trace.sample[rows] if rows else np.zeros(0, np.int64)
        _savez(self.folder / "checked.npz", {"rows": np.asarray(rows, np.int64), "sample": samples, **stored})

    def _query_failed(self, reason: str, error: BaseException | None) -> None:
        """End the run: one failed query is a failed run."""
        text = ": ".join(part for part in (reason, words(error) if error else "") if part)
        self.reporter.fail("plugin", f"{self.name}: {text}", error)

    def _guard(self, what: str, call: Any, *arguments: Any) -> Any:
        """Call into the plug-in; what it raises becomes the run's reason."""
        try:
            return call(*arguments)
        except BaseException as error:
            self.reporter.fail("plugin", f"{self.name}: {what}: {words(error)}", error)

    @contextlib.contextmanager
    def _phase(self, phase: Phase) -> Iterator[None]:
        """Time a phase and tell the supervisor, which holds its deadline."""
        self._progress = None
        self.reporter.phase = phase.value
        start = self._begun = time.monotonic_ns()
        self.reporter.send("phase", phase=phase.value, start_ns=start)
        try:
            yield
            self.observed.phases.append({"phase": phase.value, "start_ns": start, "end_ns": time.monotonic_ns()})
            if phase not in (Phase.BASELINE, Phase.MEASURE):
                # A worker that is killed later leaves its device, versions and phases behind. Nothing is written beside
                # the window.
                self._write_observed()
        except Exception as error:
            kind = "store" if is_full(error) else "harness"
            self.reporter.fail(kind, f"npubench, phase {phase.value}: {words(error)}", error)

    def _beat(self) -> None:
        """Report once a second how many samples are complete; silence is what the watchdog listens for."""
        while True:
            time.sleep(1.0)
            sink = self._progress
            if sink is not None:
                self.reporter.send("progress", done=sink.finished)

    def _write_failing(self) -> None:
        """Keep what was observed up to a failure, with the phase it happened in."""
        self.observed.phases.append({"phase": self.reporter.phase, "start_ns": self._begun, "end_ns": time.monotonic_ns()})
        self._write_observed()

    def _write_observed(self) -> None:
        path = self.folder / "worker.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self.observed)), encoding="utf-8")
        temporary.replace(path)


def _in_workload_form(tensors: Tensors, outputs: Sequence[Binding], bundle: Bundle) -> list[np.ndarray[Any, Any]]:
    """Return the outputs of one request in the workload's dtype, layout and order, reduced to what is kept."""
    return [
        keep_output(from_executor(np.asarray(tensors[binding.key]), binding), keep)
        for binding, keep in zip(outputs, bundle.keep, strict=True)
    ]


def _savez(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write arrays by name."""
    np.savez(path, **dict(arrays))  # type: ignore[arg-type]  # allow_pickle is not among them


def _packages() -> dict[str, str]:
    """Return the distributions of this interpreter; one with damaged metadata is left out."""
    found: dict[str, str] = {}
    for distribution in distributions():
        with contextlib.suppress(Exception):
            found[str(distribution.metadata["Name"])] = str(distribution.version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def main(arguments: Sequence[str]) -> None:
    """Run the worker: ``FOLDER EVENTS CONTROL PARENT``."""
    folder, events, control, parent = Path(arguments[0]), int(arguments[1]), int(arguments[2]), int(arguments[3])
    process.die_with_parent(parent)
    # Asked by the supervisor before it kills a worker that hangs: the log then says where every thread stood.
    faulthandler.register(signal.SIGUSR1)
    os.set_inheritable(control, False)
    reporter = Reporter(events)
    data: Mapping[str, Any] = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    spec: RunSpec = from_plain(RunSpec, data, "spec")
    Worker(spec, folder, reporter, control).run()
    sys.stdout.flush()
    sys.stderr.flush()
    # A runtime that hangs or crashes in its exit handlers has nothing left to spoil: everything is on disk.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
