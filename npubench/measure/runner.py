"""Supervise one worker from outside: deadlines, idle watchdog, kill of the whole process group.

Waits on descriptors and never spins. Where the worker starts is one seam, ``start_worker``.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from npubench.contract.runspec import Phase, RunSpec, to_plain
from npubench.measure.events import EXIT_UNHEARD, is_full, words
from npubench.measure.foreign import Foreign, Onlooker
from npubench.measure.memory import MemoryWatch
from npubench.measure.power_limit import restore_from_outside
from npubench.measure.process import kill_group
from npubench.measure.sampler import SamplerProcess, start_sampler

#: How much of the worker's log goes into a record, bytes.
_TAIL_BYTES = 4000

#: Phases in which silence means a hang.
_WATCHED = {Phase.ACCURACY.value, Phase.WARM_UP.value, Phase.SEARCH.value, Phase.RANGING.value, Phase.MEASURE.value}

#: How long a worker that has reported its end may take to leave, s.
_LEAVE_S = 5.0

#: How long a worker that hangs may take to write down where, s.
_STACKS_S = 0.3

#: No event is longer; what floods the pipe without a line's end is thrown away, bytes.
_LONGEST_LINE = 1 << 20

#: Event → the values it must have. A plug-in that writes into the pipe is not listened to.
_EVENTS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "phase": {"phase": str},
    "progress": {"done": int},
    "search": {"rate": (int, float), "met": bool, "certifying": bool},
    "sensors": {"plugin": bool},
    "await-sensors": {},
    "fix-ranges": {},
    "finished": {},
    "failed": {"kind": str, "reason": str},
}

OnEvent = Callable[[Mapping[str, Any]], None]


@dataclass(slots=True)
class Outcome:
    """How a worker ended.

    Args:
        kind: ``"finished"``; or ``"plugin"``, ``"harness"``, ``"target"``, ``"input"``, ``"rate"`` (reported by the worker),
            ``"died"``, ``"deadline"``, ``"hung"`` (seen from outside), ``"skipped"``, ``"store"`` (the disk is full).
        reason: One sentence, empty when finished.
        phase: The phase it ended in.
        exit_code: The worker's exit code, negative for a signal.
        wall_ns: From start to end by the supervisor's own clock.
        phases: Phase → when the supervisor heard of its beginning, by its own monotonic clock, ns.
        log_tail: The last of what plug-in and SDK printed.
        foreign: What others did while it measured.
    """

    kind: str
    reason: str
    phase: str
    exit_code: int | None
    wall_ns: int
    phases: Mapping[str, int] = field(default_factory=dict)
    log_tail: str = ""
    foreign: Foreign = field(default_factory=Foreign)


@dataclass(slots=True)
class WorkerProcess:
    """A started worker, with the ends of its pipes that belong to the supervisor."""

    process: subprocess.Popen[bytes]
    events: int
    control: int


def start_worker(spec: RunSpec, folder: Path) -> WorkerProcess:
    """Start the worker in a process group of its own, with its output in ``folder/worker.log``.

    Raises:
        OSError: The interpreter cannot be started.
    """
    (folder / "spec.json").write_text(json.dumps(to_plain(spec), indent=1, ensure_ascii=False), encoding="utf-8")
    events_read, events_write = os.pipe()
    control_read, control_write = os.pipe()
    try:
        with (folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    interpreter(spec),
                    "-m",
                    "npubench.measure.worker",
                    folder,
                    str(events_write),
                    str(control_read),
                    str(os.getpid()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(spec),
                pass_fds=(events_write, control_read),
                start_new_session=True,
            )
    except BaseException:
        os.close(events_read)
        os.close(control_write)
        raise
    finally:
        os.close(events_write)
        os.close(control_read)
    return WorkerProcess(process, events_read, control_write)


def interpreter(spec: RunSpec) -> str:
    """Return the target's interpreter, the harness's own where none is named."""
    return spec.target.python or sys.executable


def environment(spec: RunSpec) -> dict[str, str]:
    """Return the worker's environment: the harness's, then the target's; unbuffered so that a crash loses no words."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", **spec.target.env}


def run_worker(spec: RunSpec, folder: Path, on_event: OnEvent = lambda event: None) -> Outcome:
    """Carry out one run and return how it ended; what it observed is in ``folder``.

    Args:
        spec: The run.
        folder: An empty folder of its own.
        on_event: Told of each event, for progress.

    Raises:
        KeyboardInterrupt: After the process group is dead.
    """
    begun = time.monotonic_ns()
    try:
        worker = start_worker(spec, folder)
    except OSError as error:
        why = f"target '{spec.target.name}': python '{interpreter(spec)}' cannot be started: {error.strerror or error}"
        return Outcome("store", words(error), "start", None, 0) if is_full(error) else Outcome("target", why, "start", None, 0)
    watch, onlooker, memory = _Watch(spec), Onlooker(worker.process.pid), MemoryWatch(worker.process.pid)
    samplers: list[SamplerProcess] = []
    try:
        for event in _events(worker, watch):
            watch.take(event)
            memory.take(event)
            onlooker.take(event)
            on_event(event)
            if event["event"] == "sensors" and not samplers:
                samplers = _start_samplers(spec, folder, bool(event["plugin"]))
            if event["event"] == "phase" and event["phase"] == Phase.RANGING.value:
                for sampler in samplers:
                    sampler.begin_ranging()
            if event["event"] in ("await-sensors", "fix-ranges"):
                for sampler in samplers:
                    if event["event"] == "fix-ranges":
                        sampler.fix_ranges()
                    else:
                        sampler.wait_until_ready()
                watch.waited()
                # A worker that died meanwhile is seen below.
                with contextlib.suppress(OSError):
                    os.write(worker.control, b"\n")
            if watch.ended:
                break
        if (watch.ended is None and watch.verdict is None) or watch.ended == "finished":
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(_LEAVE_S)
    finally:
        for sampler in samplers:
            sampler.stop()
        if watch.verdict is not None:
            _ask_for_stacks(worker.process)
        kill_group(worker.process)
        memory.write(folder)
        os.close(worker.events)
        with contextlib.suppress(OSError):
            os.close(worker.control)
        left = restore_from_outside(interpreter(spec), environment(spec), folder)
    kind, reason = watch.conclude(worker.process.returncode)
    if left:
        kind, reason = ("target" if kind == "finished" else kind), "; ".join(filter(None, (reason, left)))
    return Outcome(
        kind=kind,
        reason=reason,
        phase=watch.phase,
        exit_code=worker.process.returncode,
        wall_ns=time.monotonic_ns() - begun,
        phases=watch.begun,
        log_tail=log_tail(folder / "worker.log"),
        foreign=onlooker.seen,
    )


def _start_samplers(spec: RunSpec, folder: Path, plugin: bool) -> list[SamplerProcess]:
    """Start what reads while the worker runs: the plug-in's sensors where the SDK lives, the machine's meters here."""
    started = []
    # Without a sampler there is no energy figure; the run goes on.
    with contextlib.suppress(OSError):
        if plugin:
            started.append(start_sampler(interpreter(spec), environment(spec), folder))
    with contextlib.suppress(OSError):
        if spec.meters:
            started.append(start_sampler(sys.executable, os.environ, folder, meters=True))
    return started


class _Watch:
    """What the supervisor knows of a worker, and when it loses patience."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.phase = "start"
        self.begun: dict[str, int] = {}
        self.ended: str | None = None
        self.verdict: tuple[str, str] | None = None
        self._since = self._moved = time.monotonic()
        self._done = -1
        self._failure: Mapping[str, Any] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Note one event."""
        now = time.monotonic()
        kind = event["event"]
        if kind == "phase":
            self.phase = str(event["phase"])
            self.begun[self.phase] = time.monotonic_ns()
            self._since = self._moved = now
            self._done = -1
        elif kind == "progress" and event["done"] != self._done:
            self._done = int(event["done"])
            self._moved = now
        elif kind == "search":
            self._moved = now
        elif kind in ("finished", "failed"):
            self.ended = str(kind)
            self._failure = event

    def waited(self) -> None:
        """Forget the time for which the worker was kept waiting: it could not move."""
        self._moved = time.monotonic()

    def patience_s(self) -> float:
        """Return for how long to wait for the next event before judging, s."""
        now = time.monotonic()
        left = self._since + self._deadline_s() - now
        if self.phase in _WATCHED:
            left = min(left, self._moved + self.spec.watchdog_s - now)
        return max(0.0, left)

    def judge(self) -> bool:
        """Say whether patience is at its end, and note the verdict."""
        now = time.monotonic()
        name = f"{self.spec.target.backend}:{self.spec.target.device} on {self.spec.workload}"
        if now >= self._since + self._deadline_s():
            self.verdict = (
                "deadline",
                f"{name}: phase {self.phase} took longer than its deadline of {self._deadline_s():g} s; killed",
            )
        elif self.phase in _WATCHED and now >= self._moved + self.spec.watchdog_s:
            self.verdict = (
                "hung",
                f"{name}: hung in phase {self.phase}: no sample completed for {self.spec.watchdog_s:g} s; killed",
            )
        return self.verdict is not None

    def conclude(self, exit_code: int | None) -> tuple[str, str]:
        """Return how it ended, and why."""
        if self.verdict is not None:
            return self.verdict
        if self.ended == "finished":
            return "finished", ""
        if self.ended == "failed":
            return str(self._failure.get("kind", "plugin")), str(self._failure.get("reason", ""))
        name = f"{self.spec.target.backend}:{self.spec.target.device} on {self.spec.workload}"
        if exit_code is not None and exit_code < 0:
            with contextlib.suppress(ValueError):
                return "died", f"{name}: the worker was killed by {signal.Signals(-exit_code).name} in phase {self.phase}"
        if exit_code == EXIT_UNHEARD:
            lost = f"the worker lost its pipe to the supervisor in phase {self.phase}; a plug-in may close only what it opened"
            return "died", f"{name}: {lost}"
        return "died", f"{name}: the worker exited with code {exit_code} in phase {self.phase} before it had finished"

    def _deadline_s(self) -> float:
        return self.spec.deadlines_s.get(self.phase, 60.0)


def _events(worker: WorkerProcess, watch: _Watch) -> Iterator[Mapping[str, Any]]:
    """Yield events until the pipe closes, the worker is dead, or the watch loses patience."""
    pending = b""
    with selectors.DefaultSelector() as selector, _death(worker.process.pid) as death:
        selector.register(worker.events, selectors.EVENT_READ)
        if death is not None:
            selector.register(death, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(watch.patience_s())}
            if not ready:
                if watch.judge():
                    return
                continue
            if worker.events not in ready:
                # Dead, with nothing left unread. A process that a plug-in forked may hold the pipe open for ever.
                return
            chunk = os.read(worker.events, 65536)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            if len(pending) > _LONGEST_LINE:
                pending = b""
            for line in lines:
                event = _parse(line)
                if event is not None:
                    yield event
            # Many lively lines must not outlast a deadline.
            if watch.judge():
                return


@contextlib.contextmanager
def _death(pid: int) -> Iterator[int | None]:
    """Open a descriptor that becomes readable when a process dies; ``None`` where the kernel has no such thing."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, AttributeError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _parse(line: bytes) -> Mapping[str, Any] | None:
    """Return an event, or ``None`` for anything else."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    values = _EVENTS.get(event["event"])
    return event if values is not None and all(isinstance(event.get(key), kind) for key, kind in values.items()) else None


def _ask_for_stacks(process: subprocess.Popen[bytes]) -> None:
    """Have a worker that hangs write every thread's stack into its log; it does so in C, whoever holds the interpreter."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        process.send_signal(signal.SIGUSR1)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STACKS_S)


def log_tail(path: Path) -> str:
    """Return the last lines of a log as text, bounded."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace").replace("\x00", "")
    except OSError:
        return ""
