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
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from npubench.contract.artefact import Unsupported, WrongArtefact
from npubench.contract.availability import Availability, Device
from npubench.contract.backend import Backend, Executor, submits
from npubench.contract.bundle import Bundle, BundleError, path_digest, read_bundle
from npubench.contract.options import OptionError, parse_options
from npubench.contract.runspec import Phase, RunSpec, Scenario, from_plain
from npubench.measure import artefacts, capture_device, power_limit, process, surroundings
from npubench.measure.audits import PROBES_CLOSED, PROBES_LIVE, Bench, Guard
from npubench.measure.audits import session as audits
from npubench.measure.binding import Binding, BindingError, bind
from npubench.measure.check import OutputCheck
from npubench.measure.dispatch import Dispatcher, InlineDispatcher, Sink, SubmitDispatcher, ThreadDispatcher
from npubench.measure.events import Reporter, is_full, words
from npubench.measure.kept import write_accuracy, write_checked
from npubench.measure.observed import Observed
from npubench.measure.plugin import PluginError, distribution_of, find_device, load_backend, probe
from npubench.measure.samples import SampleSet
from npubench.measure.search import Step
from npubench.measure.trace import write_trace
from npubench.measure.windows import Windows


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
        self._restore = process.bearings()
        #: Made before any plug-in code is imported.
        self._guarding = Guard() if spec.audits else None
        reporter.before_failing = self._write_failing
        self.name = f"{spec.target.backend}:{spec.target.device} on {spec.workload}"

    def run(self) -> None:
        """Carry out all phases; any failure ends the process inside."""
        spec, observed = self.spec, self.observed
        observed.settings = process.prepare(spec.cores)
        threading.Thread(target=self._beat, name="npubench-beat", daemon=True).start()
        with self._phase(Phase.LOAD_PLUGIN):
            backend, device, options = self._load_plugin()
            limit = self._look_at_power_limit(backend, device)
            bundle = self._open_bundle()
            if self._guarding:
                self._guarding.watch(bundle)
        sampled = bool(spec.baseline_ns) and (type(backend).sensors is not Backend.sensors or bool(spec.meters))
        if sampled:
            # The samplers import and connect while the model is compiled and loaded.
            self.reporter.send("sensors", plugin=type(backend).sensors is not Backend.sensors)
        with self._phase(Phase.COMPILE):
            compiled = self._compile(backend, bundle, device, options)
        threads_before = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        with self._phase(Phase.LOAD_EXECUTOR):
            # After compile, so that all of a sweep run what was compiled alike; before load, where runtimes tune themselves.
            self._set_power_limit(limit)
            executor = self._load_executor(backend, compiled, device, options)
            windows, inputs, outputs = self._connect(executor, bundle)
        if sampled:
            self.reporter.send("await-sensors")
            os.read(self.control, 1)
        with self._phase(Phase.ACCURACY):
            write_accuracy(windows.accuracy(), outputs, bundle, self.folder / "accuracy.npz")
        # Loading an SDK may have changed any of it: what is set and written down is what the window has.
        observed.settings |= process.prepare(())
        with process.quiet_interpreter():
            with self._phase(Phase.WARM_UP):
                observed.warm_up = asdict(windows.warm_up())
            if windows.load.scenario is Scenario.SERVER and windows.load.target_qps is None:
                with self._phase(Phase.SEARCH):
                    self._search(windows)
            if sampled and spec.ranging_ns:
                with self._phase(Phase.RANGING):
                    start, end = windows.ranging()
                    observed.ranging = {"start_ns": start, "end_ns": end}
                self.reporter.send("fix-ranges")
                os.read(self.control, 1)
            with self._phase(Phase.BASELINE):
                if sampled:
                    time.sleep(spec.baseline_ns / 1e9)
            with self._phase(Phase.MEASURE):
                if self._guarding:
                    self._guarding.begin()
                found = windows.measure()
                if self._guarding:
                    self._guarding.end()
        with self._phase(Phase.AUDIT):
            write_trace(found.trace, self.folder / "trace.npz")
            write_checked(found, outputs, bundle, self.folder / "checked.npz")
            observed.cpu, observed.client, observed.kept_bytes = windows.cpu, windows.client, windows.kept_bytes
            observed.captured = capture_device.facts(observed.device["details"], surroundings.ROOT)
            bench = None
            if self._guarding:
                plugin = backend, device, options
                ways = windows, bundle, inputs, outputs
                bench = Bench(spec, windows.load, *ways, self.folder, *plugin, self._guarding, sampled, found.trace)
                audits.carry_out(PROBES_LIVE, bench)
            # What a plug-in is asked only after the window would tell it that the window is over.
            observed.notes = {str(k): str(v) for k, v in executor.notes().items()}
        with self._phase(Phase.CLOSE):
            windows.dispatcher.close()
            self._guard("close", executor.close)
            observed.residue = process.residue(threads_before)
            self._restore_power_limit(limit)
        for each in PROBES_CLOSED if bench else ():
            assert bench is not None
            with self._phase(each.phase):
                audits.carry_out([each], bench)
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
        # The bundle, the cache and the run's folder may be named from where the harness was started.
        self._restore()
        try:
            options = parse_options(type(backend).Options, target.options, f"target '{target.name}': options")
        except OptionError as error:
            self.reporter.fail("input", str(error))
        observed.device = {
            "name": device.name,
            "kind": device.kind,
            "simulated": device.simulated,
            "host": device.host,
            "details": dict(device.details),
        }
        observed.versions = {str(k): str(v) for k, v in availability.versions.items()}
        observed.plugin = {"backend": target.backend, **distribution_of(target.entry)}
        observed.look_around()
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
            "digest": path_digest(artefact.path, without=artefacts.MANIFEST),
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
        try:
            executor: Executor = backend.load(compiled.artefact, device, options)
        except Unsupported as error:
            self.reporter.fail("skipped", f"unsupported: {error}", error)
        except WrongArtefact as error:
            key = f"target '{self.spec.target.name}': artefacts" if compiled.artefact.ready else "the compiled artefact"
            self.reporter.fail("input", f"{self.name}: {key}: {compiled.artefact.path}: {error}", error)
        except BaseException as error:
            self.reporter.fail("plugin", f"{self.name}: load: {words(error)}", error)
        offload = self._guard("offload", executor.offload)
        self.observed.artefact.update(
            device_operators=offload.device_operators if offload else None,
            host_operators=offload.host_operators if offload else None,
            offload_source=offload.source if offload else None,
            host_allowed=bool(getattr(options, "allow_host_operators", False)),
        )
        return executor

    def _connect(self, executor: Executor, bundle: Bundle) -> tuple[Windows, tuple[Binding, ...], tuple[Binding, ...]]:
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
        with self._guarding.own() if self._guarding else contextlib.nullcontext():
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
        logs = self.folder / "loadgen"
        return Windows(self.spec, load, dispatcher, samples, logs, self._follow, self._step), inputs, outputs

    def _search(self, windows: Windows) -> None:
        if not windows.search():
            bound = (windows.load.latency_bound_ns or 0) / 1e6
            self.reporter.fail(
                "rate", f"no server rate meets the latency bound of {bound:g} ms; even a single query takes longer"
            )

    # -- the power limit -----------------------------------------------------------------------------------------------

    def _look_at_power_limit(self, backend: Backend, device: Device) -> power_limit.Sight:
        """Write down the limit that is in force, and refuse one that cannot be, before anything is compiled."""
        seen, wanted, settings = power_limit.look(backend, device), self.spec.target.power_limit_mw, self.observed.settings
        self.observed.power_limit = {"found_mw": seen.found_mw, "bounds_mw": seen.bounds_mw, "complaint": seen.complaint}
        if seen.found_mw is not None:
            settings["power_limit_mw"] = seen.found_mw
        package = power_limit.package_limit_mw()
        if package is not None:
            settings["package_power_limit_mw"] = package
        if wanted and (why := power_limit.refusal(seen, wanted)):
            self.reporter.fail("skipped", why)
        return seen

    def _set_power_limit(self, seen: power_limit.Sight) -> None:
        wanted = self.spec.target.power_limit_mw
        if not wanted:
            return
        assert seen.limit is not None and seen.found_mw is not None
        try:
            self.observed.settings["power_limit_mw"] = power_limit.enforce(seen.limit, seen.found_mw, wanted, self.folder)
        except power_limit.PowerLimitError as error:
            self.reporter.fail("skipped", str(error), error)

    def _restore_power_limit(self, seen: power_limit.Sight) -> None:
        """Put back what was found. What goes wrong here, and after a failure, is left to the supervisor."""
        if not self.spec.target.power_limit_mw or seen.limit is None:
            return
        why = power_limit.moved(seen.limit, self.spec.target.power_limit_mw)
        try:
            power_limit.restore(seen.limit, self.folder)
        except power_limit.PowerLimitError as error:
            traceback.print_exception(error)
        if why:
            self.reporter.fail("target", why)

    # -- pieces -----------------------------------------------------------------------------------------------------

    def _follow(self, sink: Sink) -> None:
        """Report the progress of this window from now on."""
        self._progress = sink

    def _step(self, step: Step) -> None:
        """Write a step of the search down and show it."""
        self.observed.steps.append(asdict(step))
        self.reporter.send("search", rate=step.target_qps, met=step.met, certifying=step.certifying)

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
            self._restore()
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
        self._restore()
        self.observed.phases.append({"phase": self.reporter.phase, "start_ns": self._begun, "end_ns": time.monotonic_ns()})
        self._write_observed()

    def _write_observed(self) -> None:
        self.observed.write(self.folder / "worker.json")


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
