"""Carry samples from the load generator to the executor and report their completion.

Four things have four owners in flight: the device slot (the executor), the permit (the path below),
the buffers (the SampleSet), the output (whoever holds the returned arrays). One submit path serves accuracy,
warm-up and measure. In the timed path there is a clock read, the call, a clock read, LoadGen's completion,
and five integers stored; the check of the outputs comes after the completion and before the next request.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from npubench.contract.backend import Executor, Tensors
from npubench.measure.check import OutputCheck, OutputError
from npubench.measure.samples import SampleSet
from npubench.measure.trace import Columns

#: Reports the completion of samples to the load generator; gets their response ids.
Complete = Callable[[Sequence[int]], None]
#: Ends the run; does not return.
Fail = Callable[[str, BaseException | None], None]

_now = time.monotonic_ns


class Sink:
    """What one window writes to: columns, and the outputs of the rows that are looked at.

    Args:
        columns: Preallocated for every sample the window can bring.
        looked_at: Rows whose outputs are kept and fully checked; ``None`` = every row.
        complete: Called with the response ids of each finished request.
    """

    __slots__ = ("columns", "complete", "finished", "held", "kept", "looked_at", "queries")

    def __init__(self, columns: Columns, looked_at: frozenset[int] | None, complete: Complete) -> None:
        self.columns = columns
        self.looked_at = looked_at
        self.complete = complete
        self.kept: list[tuple[Sequence[int], Tensors]] = []  # rows of the request, a copy of its outputs
        self.held: list[tuple[Tensors, Tensors]] = []  # that copy and the outputs themselves, where only some rows are looked at
        self.finished = 0
        self.queries = 0

    def keep(self, rows: Sequence[int], outputs: Tensors) -> Tensors:
        """Keep outputs as they are now: a plug-in that fills them in later, or uses them again, does not change what is kept.

        Returns:
            What is kept.
        """
        copy = {key: np.array(values) for key, values in outputs.items()}
        self.kept.append((rows, copy))
        if self.looked_at is not None:
            self.held.append((copy, outputs))
        return copy

    def unsettled(self) -> int:
        """Return how many requests' outputs are others by now than when they were handed over; lets go of them."""
        held, self.held = self.held, []
        return sum(any(now[key].tobytes() != values.tobytes() for key, values in then.items()) for then, now in held)


class Request:
    """Samples that go to the executor together: a slice of one query, or several coalesced queries.

    ``rows`` are not contiguous only after coalescing.
    """

    __slots__ = ("ids", "indices", "rows")

    def __init__(self, rows: list[int], ids: Sequence[int], indices: Sequence[int]) -> None:
        self.rows = rows
        self.ids = ids
        self.indices = indices


class Dispatcher(Protocol):
    """A way to the executor. ``issue`` is LoadGen's callback; ``drain`` returns when nothing is in flight."""

    path: str
    executor: Executor
    samples: SampleSet
    batch: int
    inline: bool
    """Whether LoadGen's thread executes, and so issues a query only once the one before it is done."""

    def open(self, sink: Sink) -> None:
        """Direct what follows to ``sink``; nothing may be in flight."""

    def issue(self, ids: Sequence[int], indices: Sequence[int]) -> None:
        """Take one query: response ids and sample indices."""

    def drain(self) -> None:
        """Wait until every request is complete and checked."""

    def close(self) -> None:
        """End the threads; nothing may be in flight."""


class Desk:
    """What all dispatchers share: writing a finished request into the sink, and failing the run."""

    inline = False

    def __init__(self, executor: Executor, samples: SampleSet, check: OutputCheck, batch: int, fail: Fail) -> None:
        self.executor = executor
        self.samples = samples
        self.check = check
        self.batch = batch
        self.fail = fail
        self.sink: Sink
        self._lock = threading.Lock()

    def enter(self, ids: Sequence[int], indices: Sequence[int], now: int) -> int:
        """Give a query its rows and stamp them issued; called by LoadGen's thread alone. Returns the first row."""
        columns, sink = self.sink.columns, self.sink
        first = columns.rows
        last = first + len(ids)
        if last > columns.capacity:
            self.fail(f"harness: {last} samples issued, {columns.capacity} planned", None)
        columns.rows = last
        query = sink.queries
        sink.queries = query + 1
        if last - first == 1:
            columns.issued[first] = now
            columns.sample[first] = indices[0]
            columns.query[first] = query
            return first
        for row, index in zip(range(first, last), indices, strict=True):
            columns.issued[row] = now
            columns.sample[row] = index
            columns.query[row] = query
        return first

    def look(self, request_rows: Sequence[int], size: int, outputs: Tensors) -> None:
        """Check outputs after their completion was reported; keep those of rows that are looked at."""
        sink = self.sink
        try:
            self.check.cheap(outputs, size)
            if sink.looked_at is None or not sink.looked_at.isdisjoint(request_rows):
                self.check.full(sink.keep(request_rows, outputs), size)
        except OutputError as error:
            self.fail(str(error), None)

    def leave(self, request: Request, started: int, done: int, outputs: Tensors) -> None:
        """Report a request complete, then store its times, then check it."""
        sink = self.sink
        sink.complete(request.ids)
        columns = sink.columns
        for row in request.rows:
            columns.started[row] = started
            columns.done[row] = done
        self.look(request.rows, len(request.rows), outputs)
        with self._lock:
            sink.finished += len(request.rows)


class InlineDispatcher(Desk):
    """Execute in LoadGen's own thread: no hand-over, the least that can be added. For one request in flight.

    In the server scenario a query that arrives while the device works waits in LoadGen's schedule: its latency counts
    from the time it was due, wherever it waits.
    """

    path = "execute, inline"
    inline = True

    def open(self, sink: Sink) -> None:
        """Direct what follows to ``sink``."""
        self.sink = sink

    def issue(self, ids: Sequence[int], indices: Sequence[int]) -> None:
        """Take one query from LoadGen's thread."""
        try:
            if len(ids) == 1:
                inputs = self.samples.single[indices[0]]
                execute = self.executor.execute
                issued = _now()
                outputs = execute(inputs)
                done = _now()
                sink = self.sink
                sink.complete(ids)
                row = self.enter(ids, indices, issued)
                columns = sink.columns
                columns.started[row] = issued
                columns.done[row] = done
                looked_at = sink.looked_at
                if looked_at is not None and row not in looked_at:
                    self.check.cheap(outputs, 1)
                else:
                    self.look((row,), 1, outputs)
                sink.finished += 1
                return
            first = self.enter(ids, indices, _now())
            for at in range(0, len(ids), self.batch):
                part = indices[at : at + self.batch]
                request = Request(list(range(first + at, first + at + len(part))), ids[at : at + self.batch], part)
                inputs = self.samples.take(part)
                started = _now()
                outputs = self.executor.execute(inputs)
                self.leave(request, started, _now(), outputs)
        except BaseException as error:
            self.fail("", error)

    def drain(self) -> None:
        """Return at once: nothing is ever in flight here."""

    def close(self) -> None:
        """Return at once: there are no threads."""


class QueueDesk(Desk):
    """What the dispatchers with threads of their own share: LoadGen's thread only cuts queries into requests and queues them."""

    def __init__(self, executor: Executor, samples: SampleSet, check: OutputCheck, batch: int, fail: Fail, delay_ns: int) -> None:
        super().__init__(executor, samples, check, batch, fail)
        self.waiting: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._delay_ns = delay_ns
        self._issued = 0

    def open(self, sink: Sink) -> None:
        """Direct what follows to ``sink``."""
        self.sink = sink
        self._issued = 0

    def issue(self, ids: Sequence[int], indices: Sequence[int]) -> None:
        """Take one query from LoadGen's thread."""
        try:
            first = self.enter(ids, indices, _now())
            self._issued += len(ids)
            for at in range(0, len(ids), self.batch):
                part = indices[at : at + self.batch]
                self.waiting.put(Request(list(range(first + at, first + at + len(part))), ids[at : at + self.batch], part))
        except BaseException as error:
            self.fail("", error)

    def coalesce(self, request: Request) -> Request:
        """Add waiting single-sample queries up to the batch; wait for more at most the stated delay since it was issued."""
        until = self.sink.columns.issued[request.rows[0]] + self._delay_ns
        rows, ids, indices = list(request.rows), list(request.ids), list(request.indices)
        while len(ids) < self.batch:
            try:
                left = until - _now()
                other = self.waiting.get(timeout=left / 1e9) if left > 0 else self.waiting.get_nowait()
            except queue.Empty:
                break
            if other is None:
                self.waiting.put(None)
                break
            rows += other.rows
            ids += other.ids
            indices += other.indices
        return Request(rows, ids, indices)

    def drain(self) -> None:
        """Wait until nothing is in flight."""
        _wait_for(lambda: self.sink.finished >= self._issued)


class ThreadDispatcher(QueueDesk):
    """Execute in ``in_flight`` threads fed by a queue; server queries may wait ``delay_ns`` to fill a batch."""

    def __init__(
        self, executor: Executor, samples: SampleSet, check: OutputCheck, batch: int, fail: Fail, in_flight: int, delay_ns: int
    ) -> None:
        super().__init__(executor, samples, check, batch, fail, delay_ns)
        self.path = f"execute, {in_flight} thread" + ("s" if in_flight > 1 else "")
        self._threads = [threading.Thread(target=self._serve, name=f"npubench-{n}", daemon=True) for n in range(in_flight)]
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        """Take, coalesce, execute, report: one request at a time a thread."""
        try:
            take, execute, leave = self.waiting.get, self.executor.execute, self.leave
            while (request := take()) is not None:
                if self.batch > 1 and len(request.ids) == 1:
                    request = self.coalesce(request)
                inputs = self.samples.take(request.indices)
                started = _now()
                outputs = execute(inputs)
                leave(request, started, _now(), outputs)
        except BaseException as error:
            self.fail("", error)

    def close(self) -> None:
        """End the threads."""
        for _ in self._threads:
            self.waiting.put(None)
        for thread in self._threads:
            thread.join(timeout=10)


class SubmitDispatcher(QueueDesk):
    """Hand requests to the runtime's own asynchronous ``submit``, at most ``in_flight`` at once.

    A feeder thread waits for permits, so that LoadGen's thread never does; server queries may wait ``delay_ns`` to fill a batch.
    """

    def __init__(
        self,
        executor: Executor,
        samples: SampleSet,
        check: OutputCheck,
        batch: int,
        fail: Fail,
        in_flight: int,
        delay_ns: int = 0,
    ) -> None:
        super().__init__(executor, samples, check, batch, fail, delay_ns)
        self.path = f"submit, {in_flight} in flight"
        self._permits = threading.Semaphore(in_flight)
        self._feeder = threading.Thread(target=self._feed, name="npubench-feeder", daemon=True)
        self._feeder.start()

    def _feed(self) -> None:
        try:
            while (request := self.waiting.get()) is not None:
                if self.batch > 1 and len(request.ids) == 1:
                    # While there is no permit queries wait anyway, and more of them share a request.
                    self._permits.acquire()
                    request = self.coalesce(request)
                    inputs = self.samples.take(request.indices)
                else:
                    inputs = self.samples.take(request.indices)
                    self._permits.acquire()
                started = _now()
                self.executor.submit(inputs, self._done(request, started))
        except BaseException as error:
            self.fail("", error)

    def _done(self, request: Request, started: int) -> Callable[[Tensors | None, BaseException | None], None]:
        """Return the completion of one request; the permit goes back after the check, before the next is taken."""
        called = threading.Lock()

        def done(outputs: Tensors | None, error: BaseException | None) -> None:
            now = _now()
            try:
                if not called.acquire(blocking=False):
                    self.fail("submit called done twice for one request", None)
                if error is not None or outputs is None:
                    self.fail("", error or OutputError("submit called done with neither outputs nor an error"))
                    return
                self.leave(request, started, now, outputs)
                self._permits.release()
            except BaseException as failure:
                self.fail("", failure)

        return done

    def close(self) -> None:
        """End the threads."""
        self.waiting.put(None)
        self._feeder.join(timeout=10)


def _wait_for(condition: Callable[[], bool]) -> None:
    """Wait outside the window until ``condition`` holds; the supervisor's deadline ends a wait that never does."""
    while not condition():
        time.sleep(0.001)
