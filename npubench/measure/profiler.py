"""Profile a run's operators in a process of their own, in the target's interpreter, when the measured worker is gone.

``python -m npubench.measure.profiler WORK PARENT`` reads ``WORK/spec.json``, has the plug-in run a few requests with its
runtime's profiler on, and leaves ``WORK/answer.json``. The supervisor waits for it no longer than its deadline and writes
``operators.json`` of it; whatever goes wrong in there is the reason why there is none, and changes nothing of the run.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.artefact import Unsupported
from npubench.contract.backend import Backend, Executor, Tensors
from npubench.contract.bundle import Bundle, read_bundle
from npubench.contract.options import parse_options
from npubench.contract.runspec import Phase, RunSpec, from_plain, to_plain
from npubench.measure import artefacts, process
from npubench.measure.binding import bind, to_executor
from npubench.measure.events import words
from npubench.measure.plugin import PluginError, find_device, load_backend, probe
from npubench.measure.profiled import (
    OPERATORS,
    Profile,
    ProfileError,
    checked_operators,
    profile_json,
    read_profile,
    reason_json,
)
from npubench.measure.runner import environment, interpreter

#: Samples that are profiled at least, and requests: the first tells little, and a mean of a few is what a report needs.
SAMPLES, REQUESTS = 16, 4

#: How long it may take where the order does not say, s.
DEADLINE_S = 600.0

#: What runtime and plug-in printed meanwhile.
LOG = "profile.log"

#: Why there are no times where the plug-in brings no ``profile``, or it returns ``None``.
NONE = "this backend gives no times of operators"

_WORK, _SPEC, _ANSWER = "profile.tmp", "spec.json", "answer.json"


def profile_operators(spec: RunSpec, folder: Path) -> None:
    """Profile a run's operators and write ``operators.json`` into its folder: the times, or the reason why there are none.

    Args:
        spec: The run; its measured worker is over.
        folder: The run's.

    Raises:
        OSError: The folder cannot be written.
        KeyboardInterrupt: After the process group is dead.
    """
    work = (folder / _WORK).resolve()
    work.mkdir()
    try:
        (work / _SPEC).write_text(json.dumps(to_plain(spec), ensure_ascii=False), encoding="utf-8")
        try:
            _carry_out(spec, work, folder / LOG)
            text = profile_json(read_profile(work / _ANSWER))
        except ProfileError as why:
            text = reason_json(str(why))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    (folder / OPERATORS).write_text(text, encoding="utf-8")


def _carry_out(spec: RunSpec, work: Path, log_path: Path) -> None:
    """Start the process and wait for its end.

    Raises:
        ProfileError: It gave no answer.
    """
    deadline_s = _deadline_s(spec)
    with log_path.open("wb") as log:
        try:
            child = subprocess.Popen(
                [interpreter(spec), "-m", "npubench.measure.profiler", work, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A runtime writes its trace there, and it goes when this is over.
                env={**environment(spec), "TMPDIR": str(work)},
                start_new_session=True,
            )
        except OSError as error:
            why = error.strerror or str(error)
            raise ProfileError(f"profiling: python '{interpreter(spec)}' cannot be started: {why}") from error
        try:
            code = child.wait(deadline_s)
        except subprocess.TimeoutExpired as error:
            raise ProfileError(f"profiling took longer than its deadline of {deadline_s:g} s; killed") from error
        finally:
            process.kill_group(child)
    if -code in {*signal.Signals}:
        raise ProfileError(f"the profiling process was killed by {signal.Signals(-code).name}")
    if code:
        raise ProfileError(f"the profiling process ended with code {code}")


def _deadline_s(spec: RunSpec) -> float:
    return spec.deadlines_s.get(Phase.PROFILE.value, DEADLINE_S)


def _profile(spec: RunSpec) -> Profile:
    """Load the plug-in and what the run had compiled, and have requests of its batch profiled.

    Raises:
        ProfileError: It gives none, or something that is none.
        Exception: Whatever plug-in and runtime raise.
    """
    process.prepare(spec.cores)
    restore, target = process.bearings(), spec.target
    backend = load_backend(target.backend, target.entry)
    if type(backend).profile is Backend.profile:
        raise ProfileError(NONE)
    device = find_device(target.backend, probe(target.backend, backend), target.device)
    # Bundle, cache and artefact may be named from where the harness was started.
    restore()
    options = parse_options(type(backend).Options, target.options)
    bundle = read_bundle(Path(spec.bundle))
    if bundle.digest != spec.bundle_digest:
        raise ProfileError(f"the bundle is no longer the one that was measured: {bundle.digest}")
    if target.artefact:
        artefact = artefacts.ready_artefact(Path(target.artefact)).artefact
    else:
        model = bundle.model(spec.precision)
        artefact = artefacts.compile_cached(backend, target.backend, model, device, options, Path(spec.cache)).artefact
    executor = backend.load(artefact, device, options)
    try:
        batch = min(spec.load.batch, executor.max_batch or spec.load.batch)
        requests = _requests(bundle, executor, batch)
    finally:
        executor.close()
    found = backend.profile(artefact, device, options, requests)
    if found is None:
        raise ProfileError(NONE)
    return Profile(batch * len(requests), batch, checked_operators(found))


def _requests(bundle: Bundle, executor: Executor, batch: int) -> list[Tensors]:
    """Return requests of ``batch`` samples as the executor takes them; a small bundle's samples come again."""
    count = max(REQUESTS, -(-SAMPLES // batch))
    bindings = bind(bundle.inputs, executor.inputs, "input")
    rows = np.arange(count * batch) % bundle.samples
    laid = {b.key: to_executor(np.asarray(a[rows]), b) for b, a in zip(bindings, bundle.load_inputs(), strict=True)}
    return [{key: values[n * batch : (n + 1) * batch] for key, values in laid.items()} for n in range(count)]


def _answer(spec: RunSpec) -> str:
    """Return what is left for the supervisor; nothing that a plug-in raises passes this."""
    try:
        return profile_json(_profile(spec))
    except ProfileError as why:
        return reason_json(str(why))
    except (Unsupported, PluginError) as why:
        return reason_json(f"profiling: {' '.join(str(why).split())}")
    except BaseException as error:  # noqa: BLE001 - a vendor's SDK may raise anything; what it raises is told
        # Into the log, with where it was raised.
        with contextlib.suppress(Exception):
            traceback.print_exception(error)
        return reason_json(f"profiling failed: {words(error)}")


def main(arguments: Sequence[str]) -> None:
    """Answer one order: ``WORK PARENT``."""
    work, parent = Path(arguments[0]), int(arguments[1])
    process.die_with_parent(parent)
    data: Any = json.loads((work / _SPEC).read_text(encoding="utf-8"))
    spec: RunSpec = from_plain(RunSpec, data, "spec")
    # What hangs is killed from outside at its deadline; shortly before, every thread says where it stands.
    faulthandler.dump_traceback_later(0.95 * _deadline_s(spec), exit=False)
    restore = process.bearings()
    text = _answer(spec)
    restore()
    temporary = work / f"{_ANSWER}.tmp"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(work / _ANSWER)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    # As the worker: exit handlers of a runtime have nothing left to spoil.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
