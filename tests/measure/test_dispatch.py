"""Every way to the executor completes every sample once, keeps its limits, and fails the run on the first bad answer."""

from __future__ import annotations

import queue
import random
import sys
import threading
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from npubench.contract.backend import Done, Executor, Tensors
from npubench.contract.tensors import TensorSpec
from npubench.measure.binding import bind
from npubench.measure.check import OutputCheck
from npubench.measure.dispatch import Dispatcher, InlineDispatcher, Sink, SubmitDispatcher, ThreadDispatcher
from npubench.measure.samples import SampleSet
from npubench.measure.trace import Columns

Answer = Callable[[Tensors], Any]

#: Long enough that only a fault reaches it, s.
PATIENCE = 20


def double(inputs: Tensors) -> Tensors:
    return {"y": inputs["x"] * 2}


class Toy(Executor):
    """Executes in the caller's thread, and counts."""

    def __init__(self, answer: Answer = double) -> None:
        self.answer = answer
        self.sizes: list[int] = []
        self.most = self.inside = 0
        self._lock = threading.Lock()

    def enter(self, inputs: Tensors) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.sizes.append(len(inputs["x"]))

    def leave(self) -> None:
        with self._lock:
            self.inside -= 1

    def execute(self, inputs: Tensors) -> Tensors:
        self.enter(inputs)
        outputs: Tensors = self.answer(inputs)
        self.leave()
        return outputs


class AtOnce(Toy):
    """Calls ``done`` before ``submit`` returns."""

    def submit(self, inputs: Tensors, done: Done) -> None:
        done(self.execute(inputs), None)


class Elsewhere(Toy):
    """Completes from threads of its own, the last accepted first, wherever two are waiting."""

    def __init__(self, answer: Answer = double, threads: int = 3) -> None:
        super().__init__(answer)
        self._accepted: queue.LifoQueue[tuple[int, Tensors, Done]] = queue.LifoQueue()
        self._count = 0
        self.finishers: set[str] = set()
        for n in range(threads):
            threading.Thread(target=self._serve, name=f"toy-{n}", daemon=True).start()

    def submit(self, inputs: Tensors, done: Done) -> None:
        self.enter(inputs)
        self._count += 1
        self._accepted.put((self._count, inputs, done))

    def _serve(self) -> None:
        while True:
            _, inputs, done = self._accepted.get()
            outputs = self.answer(inputs)
            self.finishers.add(threading.current_thread().name)
            self.leave()
            done(outputs, None)


class Reversed(Toy):
    """Holds requests back until ``hold`` are there, and completes them in reverse order from one thread."""

    def __init__(self, hold: int) -> None:
        super().__init__()
        self.order: list[float] = []
        self._hold = hold
        self._held: list[tuple[Tensors, Done]] = []

    def submit(self, inputs: Tensors, done: Done) -> None:
        self.enter(inputs)
        self._held.append((inputs, done))
        if len(self._held) == self._hold:
            held, self._held = self._held[::-1], []
            for inputs, done in held:
                self.order.append(float(inputs["x"][0, 0]))
                self.leave()
                done(double(inputs), None)


class Failures:
    """What the harness would end the run with. It does not return: a test sees SystemExit, a thread stands still for ever."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, BaseException | None]] = []
        self._any = threading.Event()

    def __call__(self, reason: str, error: BaseException | None) -> None:
        self.seen.append((reason, error))
        self._any.set()
        if threading.current_thread() is not threading.main_thread():
            threading.Event().wait()
        raise SystemExit

    def first(self) -> tuple[str, BaseException | None]:
        assert self._any.wait(PATIENCE), "the run did not fail"
        return self.seen[0]


class Completed:
    """Takes completions as LoadGen would."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, ids: Sequence[int]) -> None:
        with self._lock:
            self.ids.extend(ids)


Build = Callable[..., Dispatcher]


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture
def build(make_samples: Callable[[int], SampleSet], y: TensorSpec, failures: Failures) -> Build:
    def make(kind: str, executor: Executor, batch: int = 1, in_flight: int = 1, delay_ns: int = 0) -> Dispatcher:
        common = (executor, make_samples(batch), OutputCheck(bind([y], [y], "output")), batch, failures)
        if kind == "inline":
            return InlineDispatcher(*common)
        if kind == "threads":
            return ThreadDispatcher(*common, in_flight, delay_ns)
        return SubmitDispatcher(*common, in_flight)

    return make


def sink_for(
    samples: int, looked_at: frozenset[int] | None = frozenset(), complete: Callable[[Sequence[int]], None] | None = None
) -> Sink:
    return Sink(Columns(samples), looked_at, complete or Completed())


def queries(total: int, size: int) -> list[tuple[list[int], list[int]]]:
    return [([1000 + at + n for n in range(size)], [(at + n) % 10 for n in range(size)]) for at in range(0, total, size)]


WAYS = [
    ("inline", lambda: Toy(), 1),
    ("threads", lambda: Toy(), 1),
    ("threads", lambda: Toy(), 3),
    ("submit", lambda: AtOnce(), 1),
    ("submit", lambda: AtOnce(), 2),
    ("submit", lambda: Elsewhere(), 1),
    ("submit", lambda: Elsewhere(), 3),
]


@pytest.mark.parametrize(("kind", "executor", "in_flight"), WAYS, ids=[f"{kind}-{n}-{m}" for m, (kind, _, n) in enumerate(WAYS)])
@pytest.mark.parametrize(("batch", "size"), [(1, 1), (4, 1), (4, 8), (3, 8), (4, 120)])
def test_every_sample_is_completed_once_within_the_limits(
    build: Build, failures: Failures, kind: str, executor: Callable[[], Toy], in_flight: int, batch: int, size: int
) -> None:
    toy, complete, total = executor(), Completed(), 120
    dispatcher = build(kind, toy, batch, in_flight)
    sink = sink_for(total, None, complete)
    dispatcher.open(sink)
    for ids, indices in queries(total, size):
        dispatcher.issue(ids, indices)
    dispatcher.drain()
    dispatcher.close()
    columns = sink.columns
    assert failures.seen == []
    assert sorted(complete.ids) == [1000 + n for n in range(total)]
    assert (columns.rows, sink.finished, sink.queries) == (total, total, total // size)
    assert toy.most <= in_flight
    assert max(toy.sizes) <= batch
    assert sum(toy.sizes) == total
    assert all(0 < columns.issued[n] <= columns.started[n] <= columns.done[n] for n in range(total))
    assert list(columns.query) == [n // size for n in range(total)]
    assert list(columns.sample) == [n % 10 for n in range(total)]
    rows = [row for request, _ in sink.kept for row in request]
    assert sorted(rows) == list(range(total))
    for request, outputs in sink.kept:
        assert [columns.sample[row] * 2 for row in request] == outputs["y"][:, 0].tolist()


@pytest.mark.parametrize(("kind", "executor"), [("inline", Toy), ("threads", Toy), ("submit", AtOnce), ("submit", Elsewhere)])
def test_one_path_serves_one_window_after_another(build: Build, kind: str, executor: Callable[[], Toy]) -> None:
    dispatcher = build(kind, executor(), 2, 2)
    for total in (4, 10, 2):
        sink, complete = sink_for(total), Completed()
        sink.complete = complete
        dispatcher.open(sink)
        for ids, indices in queries(total, 2):
            dispatcher.issue(ids, indices)
        dispatcher.drain()
        assert (sink.finished, len(complete.ids)) == (total, total)
    dispatcher.close()


@pytest.mark.parametrize("kind", ["inline", "threads", "submit"])
def test_outputs_are_kept_of_the_rows_that_are_looked_at_and_of_no_other(build: Build, kind: str) -> None:
    dispatcher = build(kind, AtOnce(), 1)
    sink = sink_for(10, frozenset({2, 7}))
    dispatcher.open(sink)
    for ids, indices in queries(10, 1):
        dispatcher.issue(ids, indices)
    dispatcher.drain()
    assert sorted(row for request, _ in sink.kept for row in request) == [2, 7]


def test_completions_out_of_order_belong_to_their_own_rows(build: Build) -> None:
    toy = Reversed(3)
    dispatcher = build("submit", toy, 1, 3)
    sink = sink_for(9, None)
    dispatcher.open(sink)
    for ids, indices in queries(9, 1):
        dispatcher.issue(ids, indices)
    dispatcher.drain()
    assert toy.order == [2, 1, 0, 5, 4, 3, 8, 7, 6]
    assert [sink.columns.sample[row[0]] * 2 for row, _ in sink.kept] == [outputs["y"][0, 0] for _, outputs in sink.kept]
    assert sink.columns.done[2] <= sink.columns.done[1] <= sink.columns.done[0]


def test_completions_come_from_the_runtimes_own_threads(build: Build) -> None:
    toy = Elsewhere()
    dispatcher = build("submit", toy, 1, 3)
    dispatcher.open(sink_for(50))
    for ids, indices in queries(50, 1):
        dispatcher.issue(ids, indices)
    dispatcher.drain()
    assert toy.finishers <= {"toy-0", "toy-1", "toy-2"}
    assert toy.finishers


@pytest.mark.parametrize(("kind", "executor"), [("threads", Toy), ("submit", Elsewhere), ("submit", AtOnce)])
def test_a_blocked_callback_never_blocks_the_next_query(build: Build, kind: str, executor: Callable[[], Toy]) -> None:
    """One request in flight, LoadGen busy in the first completion: the second query must be taken all the same."""
    go, entered = threading.Event(), threading.Event()
    complete = Completed()

    def blocked(ids: Sequence[int]) -> None:
        entered.set()
        assert go.wait(PATIENCE)
        complete(ids)

    dispatcher = build(kind, executor(), 1, 1)
    sink = sink_for(2, complete=blocked)
    dispatcher.open(sink)
    dispatcher.issue([1], [0])
    assert entered.wait(PATIENCE)
    dispatcher.issue([2], [1])
    assert complete.ids == []
    go.set()
    dispatcher.drain()
    assert complete.ids == [1, 2]


def test_permits_hold_back_what_the_executor_cannot_hold(build: Build) -> None:
    gate = threading.Event()

    def wait(inputs: Tensors) -> Tensors:
        assert gate.wait(PATIENCE)
        return double(inputs)

    toy = Elsewhere(wait, threads=6)
    dispatcher = build("submit", toy, 1, 2)
    dispatcher.open(sink_for(20))
    for ids, indices in queries(20, 1):
        dispatcher.issue(ids, indices)
    gate.set()
    dispatcher.drain()
    assert toy.most == 2


class Gated(Toy):
    """Stands still in its first request until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    def execute(self, inputs: Tensors) -> Tensors:
        outputs = super().execute(inputs)
        self.entered.set()
        assert self.go.wait(PATIENCE)
        return outputs


def test_queries_that_wait_already_are_coalesced_up_to_the_batch(build: Build) -> None:
    toy = Gated()
    dispatcher = build("threads", toy, 4, 1)
    sink = sink_for(7, None)
    dispatcher.open(sink)
    everything = queries(7, 1)
    dispatcher.issue(*everything[0])
    assert toy.entered.wait(PATIENCE)
    for ids, indices in everything[1:]:
        dispatcher.issue(ids, indices)
    toy.go.set()
    dispatcher.drain()
    assert toy.sizes == [1, 4, 2]
    assert [list(rows) for rows, _ in sink.kept] == [[0], [1, 2, 3, 4], [5, 6]]


def test_a_full_batch_does_not_wait_for_the_delay(build: Build) -> None:
    toy = Toy()
    dispatcher = build("threads", toy, 4, 1, delay_ns=PATIENCE * 10**9)
    dispatcher.open(sink_for(8))
    for ids, indices in queries(8, 1):
        dispatcher.issue(ids, indices)
    dispatcher.drain()
    assert toy.sizes == [4, 4]


def test_a_lone_query_waits_the_stated_delay_and_goes(build: Build) -> None:
    delay = 20_000_000
    dispatcher = build("threads", Toy(), 4, 1, delay_ns=delay)
    sink = sink_for(1)
    dispatcher.open(sink)
    dispatcher.issue([1], [0])
    dispatcher.drain()
    assert sink.columns.started[0] - sink.columns.issued[0] >= delay * 0.9


def test_closing_ends_the_threads(build: Build) -> None:
    before = set(threading.enumerate())
    left = set()
    for kind in ("threads", "submit"):
        dispatcher = build(kind, AtOnce(), 4, 3)
        left |= set(threading.enumerate()) - before
        dispatcher.close()
    assert len(left) == 4
    assert not left & set(threading.enumerate())


def answered(outputs: Any) -> Answer:
    return lambda inputs: outputs


def raising(inputs: Tensors) -> Tensors:
    raise RuntimeError("device lost")


FAULTS: list[tuple[str, Answer, str]] = [
    ("raises", raising, "device lost"),
    ("shape", lambda inputs: {"y": inputs["x"][:, :3]}, "output 'y' has shape"),
    ("dtype", lambda inputs: {"y": inputs["x"].astype(np.float64)}, "output 'y' has dtype float64"),
    ("left out", answered({}), "output 'y' is left out"),
    ("no mapping", answered(np.zeros((1, 4), np.float32)), "execute returned ndarray"),
    ("nothing", answered(None), "execute returned NoneType"),
    ("nan", lambda inputs: {"y": inputs["x"] * np.nan}, "NaN or Inf"),
]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kind", ["inline", "threads"])
@pytest.mark.parametrize(("answer", "words"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_one_bad_answer_fails_the_run_with_its_reason(
    build: Build, failures: Failures, kind: str, batch: int, answer: Answer, words: str
) -> None:
    dispatcher = build(kind, Toy(answer), batch)
    dispatcher.open(sink_for(2, None))
    try:
        dispatcher.issue(list(range(batch)), list(range(batch)))
    except SystemExit:
        assert kind == "inline"
    reason, error = failures.first()
    assert words in (reason or str(error))


def test_a_bad_answer_among_rows_that_are_not_looked_at_fails_the_run_too(build: Build, failures: Failures) -> None:
    dispatcher = build("inline", Toy(lambda inputs: {"y": np.zeros((1, 5), np.float32)}))
    dispatcher.open(sink_for(1))
    with pytest.raises(SystemExit):
        dispatcher.issue([0], [0])
    assert "shape" in str(failures.first())


class Answering(Toy):
    """Calls ``done`` with what it was made for, so often."""

    def __init__(self, *answers: tuple[Mapping[str, Any] | None, BaseException | None]) -> None:
        super().__init__()
        self._answers = answers

    def submit(self, inputs: Tensors, done: Done) -> None:
        for outputs, error in self._answers:
            done(outputs, error)


def test_an_error_of_a_submitted_request_fails_the_run(build: Build, failures: Failures) -> None:
    lost = RuntimeError("device lost")
    dispatcher = build("submit", Answering((None, lost)))
    dispatcher.open(sink_for(1))
    dispatcher.issue([0], [0])
    assert failures.first() == ("", lost)


def test_done_with_neither_outputs_nor_an_error_fails_the_run(build: Build, failures: Failures) -> None:
    dispatcher = build("submit", Answering((None, None)))
    dispatcher.open(sink_for(1))
    dispatcher.issue([0], [0])
    assert "neither outputs nor an error" in str(failures.first()[1])


def test_done_twice_for_one_request_fails_the_run(build: Build, failures: Failures) -> None:
    fine = ({"y": np.zeros((1, 4), np.float32)}, None)
    complete = Completed()
    dispatcher = build("submit", Answering(fine, fine))
    dispatcher.open(sink_for(1, complete=complete))
    dispatcher.issue([7], [0])
    assert failures.first()[0] == "submit called done twice for one request"
    assert complete.ids == [7]


def test_submit_that_raises_fails_the_run(build: Build, failures: Failures) -> None:
    class Refusing(Toy):
        def submit(self, inputs: Tensors, done: Done) -> None:
            raise OSError("queue full")

    dispatcher = build("submit", Refusing())
    dispatcher.open(sink_for(1))
    dispatcher.issue([0], [0])
    assert "queue full" in str(failures.first()[1])


@pytest.mark.parametrize("kind", ["inline", "threads", "submit"])
def test_more_samples_than_planned_fail_the_run_and_write_nowhere(build: Build, failures: Failures, kind: str) -> None:
    dispatcher = build(kind, AtOnce(), 2)
    sink = sink_for(3)
    dispatcher.open(sink)
    dispatcher.issue([0, 1], [0, 1])
    with pytest.raises(SystemExit):
        dispatcher.issue([2, 3], [2, 3])
    assert failures.first()[0] == "harness: 4 samples issued, 3 planned"
    assert sink.columns.rows == 2


def opcodes(call: Callable[[], None]) -> int:
    """Count the bytecodes this thread runs in ``call``, and everything below it."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("kind", ["inline", "threads", "submit"])
def test_the_work_a_query_costs_is_the_same_in_a_short_window_and_a_long_one(build: Build, kind: str) -> None:
    per_query = []
    # The first count is thrown away: Python 3.12 begins to report opcodes only after tracing was on once.
    for total in (10, 100, 3000):
        dispatcher = build(kind, AtOnce())
        dispatcher.open(sink_for(total))
        everything = queries(total, 1)

        def issue(everything: Any = everything, dispatcher: Dispatcher = dispatcher) -> None:
            for ids, indices in everything:
                dispatcher.issue(ids, indices)

        per_query.append(opcodes(issue) / total)
        dispatcher.drain()
    assert 0 < per_query[2] <= per_query[1] * 1.05


def test_nothing_but_the_columns_grows_with_the_number_of_queries(build: Build) -> None:
    held = []
    for total in (1_000, 20_000):
        dispatcher = build("inline", Toy())
        dispatcher.executor.enter = lambda inputs: None  # type: ignore[attr-defined]
        sink = sink_for(total, complete=lambda ids: None)
        dispatcher.open(sink)
        indices = [random.Random(1).randrange(10)]
        tracemalloc.start()
        try:
            for n in range(total):
                dispatcher.issue([n], indices)
            held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert sink.finished == total
    assert held[1] <= held[0] + 20_000
