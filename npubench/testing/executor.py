"""Serve requests as the simulated device does: real outputs, a stated service time, a known truth.

This is where the one plug-in that waits does its waiting: it stands in for hardware, which takes the time it takes. The
clock it reads yields its own truth and never a measurement.
"""

from __future__ import annotations

import queue
import threading
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npubench.contract import Done, Executor, Offload, Tensors, input_check
from npubench.testing.account import Account
from npubench.testing.faults import FAULTS, spoil, strike
from npubench.testing.graph import Graph
from npubench.testing.laws import jitter_ns, law_text, service_time_ns
from npubench.testing.limit import limited, read_limit
from npubench.testing.meter import Meter
from npubench.testing.options import SimulatedOptions, law_of

#: How long before a deadline to stop sleeping and look at the clock instead: Linux' default timer slack is 50 µs
#: (prctl(2), PR_SET_TIMERSLACK), and a wake-up takes some µs more.
_SPIN_NS = 80_000

#: How many requests the truth log holds: 32 MiB. Later ones are served but not logged, and ``notes`` says so.
TRUTH_LIMIT = 1 << 20

#: How many requests' jitter is drawn at once.
_AHEAD = 4096


def wait_until(deadline_ns: int) -> int:
    """Wait for ``deadline_ns`` of ``CLOCK_MONOTONIC`` and return the time then: at or after it, never before."""
    while (left := deadline_ns - time.monotonic_ns()) > _SPIN_NS:
        time.sleep((left - _SPIN_NS) * 1e-9)
    while (now := time.monotonic_ns()) < deadline_ns:
        time.sleep(0.0)  # lets other threads have the interpreter meanwhile
    return now


@dataclass(frozen=True, slots=True)
class Truth:
    """When each request was really served: int64 ``[requests]``, in order of completion.

    Args:
        start_ns: When it began, ns of CLOCK_MONOTONIC.
        end_ns: When it ended: the stated service time later, or more where the operating system woke the device late. The
            device is busy, and draws its active power, from start to end.
        done_ns: When its outputs were handed back, some µs later: a device driver takes its time too.
        batch: Samples in it.
    """

    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    done_ns: NDArray[np.int64]
    batch: NDArray[np.int64]

    @property
    def service_ns(self) -> NDArray[np.int64]:
        """How long the device served each, ns."""
        return self.end_ns - self.start_ns

    @property
    def latency_ns(self) -> NDArray[np.int64]:
        """How long each took for whoever asked, ns: what a harness without any cost of its own would report."""
        return self.done_ns - self.start_ns


@dataclass(slots=True)
class _Request:
    """A request that holds a slot of the device."""

    index: int
    batch: int
    start_ns: int
    deadline_ns: int
    outputs: dict[str, NDArray[Any]]
    before: Mapping[str, NDArray[Any]] | None


class SimulatedExecutor(Executor):
    """The probe's graph on a simulated device, host memory to host memory, in the time the law says."""

    def __init__(self, graph: Graph, device: str, options: SimulatedOptions) -> None:
        self.law = limited(law_of(device, options), read_limit(device))
        self.inputs = graph.inputs
        self.outputs = graph.outputs
        self.max_batch = self.law.max_batch
        self.max_in_flight = self.law.max_in_flight
        # The law says how many samples go, also where the graph was written down for one number of them.
        self._check = input_check([replace(spec, shape=(None, *spec.shape[1:])) for spec in graph.inputs], self.max_batch)
        self._graph = graph
        self._options = options
        self._lock = threading.Lock()
        self._count = self._in_flight = self._served_ns = self._unlogged = 0
        self._jitter = jitter_ns(self.law, 0, _AHEAD).tolist()
        self._last: dict[int, Mapping[str, NDArray[Any]]] = {}
        self._log = tuple(array("q") for _ in fields(Truth))
        self._closed = False
        self._meter = Meter(device, self.law)
        self._left_behind: list[bytes] = []

    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request and return its outputs once its service time is over."""
        request = self._accept(inputs)
        return self._serve(request)

    @property
    def in_flight(self) -> int:
        """How many requests hold a slot now."""
        return self._in_flight

    @property
    def account(self) -> Account:
        """The power account as last written."""
        return self._meter.account

    def truth(self) -> Truth:
        """Return when each request was really served."""
        with self._lock:
            return Truth(*(np.array(column, dtype=np.int64) for column in self._log))

    def offload(self) -> Offload:
        """Return that every operator ran on the device: there is nothing else."""
        return Offload(len(self._graph.nodes), 0, "SIMULATED: the graph's own nodes")

    def notes(self) -> Mapping[str, str]:
        """Return the law, and the truth in short."""
        service = self.truth().service_ns
        notes = {"device": "SIMULATED: no hardware; times and power follow a stated law", "law": repr(self.law)}
        if service.size:
            notes["true service time, median"] = f"{int(np.median(service))} ns over {service.size} requests"
        if self._unlogged:
            notes["truth log"] = f"full: the last {self._unlogged} requests are not in it"
        return notes

    def close(self) -> None:
        """Give the device up, and write the truth log where one is wanted."""
        if self._closed:
            return
        self._closed = True
        if self._options.fault == "hang-in-close":
            strike("hang-in-close")
        self._meter.close()
        if self._options.truth:
            truth = self.truth()
            columns = {field.name: getattr(truth, field.name) for field in fields(Truth)}
            base = np.array(self.account.base_ns)
            np.savez(self._options.truth, **columns, base_ns=base, law=np.array(law_text(self.law)))

    def _fault(self, index: int) -> str:
        """Return the fault that request ``index`` suffers, or ""; those of load and close are no request's."""
        fault = self._options.fault
        return fault if index >= self._options.fault_after and FAULTS[fault].startswith("*") else ""

    def _accept(self, inputs: Tensors) -> _Request:
        """Take a slot of the device for a request and compute its outputs; the caller waits for its deadline."""
        start = time.monotonic_ns()  # first of all: what the device does not count, the harness is blamed for
        batch = self._check(inputs)
        with self._lock:
            if self._closed:
                raise RuntimeError("SIMULATED device: the executor is closed")
            if self._in_flight >= self.max_in_flight:
                raise RuntimeError(f"SIMULATED device: more than max_in_flight = {self.max_in_flight} requests at once")
            index, self._count = self._count, self._count + 1
            if index % _AHEAD == 0 and index:
                self._jitter = jitter_ns(self.law, index, _AHEAD).tolist()
            busy = self._meter.busy_ns(start)
            service = service_time_ns(self.law, self._jitter[index % _AHEAD], batch, self._served_ns, busy)
            self._served_ns += service
            self._in_flight += 1
            self._meter.begin(start)
        try:
            outputs = self._graph.compute(inputs)
        except BaseException:
            self._release(time.monotonic_ns())
            raise
        if self._options.leak_bytes:
            self._left_behind.append(b"\x01" * self._options.leak_bytes)  # written to, so that the kernel gives pages for it
        before = self._last.get(batch)
        if self._options.fault == "stale":
            self._last[batch] = outputs
        return _Request(index, batch, start, start + service, outputs, before)

    def _serve(self, request: _Request) -> dict[str, NDArray[Any]]:
        """Wait until a request's service time is over, free its slot, and return its outputs."""
        fault = self._fault(request.index)
        try:
            if fault:
                strike(fault)
        except BaseException:
            self._release(time.monotonic_ns())
            raise
        end = wait_until(request.deadline_ns)
        self._release(end, request)
        return spoil(fault, request.outputs, request.before) if fault else request.outputs

    def _release(self, end_ns: int, request: _Request | None = None) -> None:
        """Free a slot; log the request that had it, if it was served."""
        with self._lock:
            self._in_flight -= 1
            self._meter.end(end_ns)
            if request is not None:
                if len(self._log[0]) < TRUTH_LIMIT:
                    entry = (request.start_ns, end_ns, time.monotonic_ns(), request.batch)
                    for column, value in zip(self._log, entry, strict=True):
                        column.append(value)
                else:
                    self._unlogged += 1


class AsyncSimulatedExecutor(SimulatedExecutor):
    """The same with native asynchronous completion: one thread a slot reports requests done."""

    def __init__(self, graph: Graph, device: str, options: SimulatedOptions) -> None:
        super().__init__(graph, device, options)
        self._accepted: queue.SimpleQueue[tuple[_Request, Done] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._complete, name=f"simulated-slot-{slot}", daemon=True)
            for slot in range(self.max_in_flight)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, inputs: Tensors, done: Done) -> None:
        """Hand in one request; a slot's thread calls ``done`` when its service time is over."""
        self._accepted.put((self._accept(inputs), done))

    def close(self) -> None:
        """End the threads once everything accepted is done, and give the device up."""
        if not self._closed:
            for _ in self._threads:
                self._accepted.put(None)
            for thread in self._threads:
                # A thread that hangs on request must not keep close from ending.
                thread.join(timeout=1.0)
        super().close()

    def _complete(self) -> None:
        """Serve accepted requests until told to end."""
        while (accepted := self._accepted.get()) is not None:
            request, done = accepted
            try:
                outputs = self._serve(request)
            except Exception as error:  # noqa: BLE001  # handed to whoever submitted, as the contract has it
                done(None, error)
                continue
            fault = self._options.fault if request.index == self._options.fault_after else ""
            if fault == "drop-done":
                continue
            done(outputs, None)
            if fault == "double-done":
                done(outputs, None)
