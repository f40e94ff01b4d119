"""Does each of many requests get its own answer, exactly once? Threads in ``execute``, and ``submit``."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from npubench.contract.backend import Executor, Tensors, submits
from npubench.measure.events import words
from npubench.testing.conformance.compare import OTHER, SAME, Array, copied, difference, joined, rows
from npubench.testing.conformance.subject import Subject
from npubench.testing.conformance.verdict import Broken, Check, NotApplicable, Noted
from npubench.testing.conformance.waiting import SETTLE_S, Wait

#: How often each request goes round while others are in flight.
_ROUNDS = 8

#: How long queries may go on before the rest is left out, s, for each of execute and submit.
_LONGEST_S = 60.0

#: How long execute and submit are each timed, s, and how often in turn.
_PACE_S = 0.15
_TURNS = 3

#: An asynchronous path slower than this share of the synchronous one is worth saying.
_SLOWER = 0.9

Pair = tuple[dict[str, Array], dict[str, Array]]


def _asynchronous(executor: Executor) -> None:
    if not submits(executor):
        raise NotApplicable("it brings no submit; the harness calls execute from as many threads as it can hold")


def _expect(what: str, seen: Tensors, answer: Tensors, others: Sequence[Pair]) -> None:
    far = difference(seen, answer)
    if far > OTHER:
        whose = next((n for n, (_, other) in enumerate(others) if difference(seen, other) <= SAME), None)
        if whose is None:
            raise Broken(f"{what} got an answer that is {far:.3g} from its synchronous one (relative L2)")
        raise Broken(f"{what} got the answer of request {whose}")


def _threads(subject: Subject) -> str:
    pairs, inside = subject.apart, subject.inside
    work: queue.SimpleQueue[int] = queue.SimpleQueue()
    for n in range(_ROUNDS * max(len(pairs), inside.max_in_flight)):
        work.put(n % len(pairs))
    slots = threading.Semaphore(inside.max_in_flight)
    count = max(2, min(inside.max_in_flight, 64))
    kept: list[tuple[int, Tensors]] = []
    wrong: list[BaseException] = []

    def serve(executor: Executor) -> None:
        while not wrong:
            try:
                n = work.get_nowait()
            except queue.Empty:
                return
            try:
                with slots:
                    outputs = executor.execute(pairs[n][0])
                kept.append((n, copied(outputs)))
            except BaseException as error:  # noqa: BLE001 - whatever a plug-in raises in a thread is told below
                wrong.append(error)

    with subject.open() as executor:
        threads = [threading.Thread(target=serve, args=(executor,), daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if wrong:
        raise Broken(f"execute raises in a thread of the harness: {words(wrong[0])}")
    for n, outputs in kept:
        _expect(f"request {n}", outputs, pairs[n][1], pairs)
    return f"{len(kept)} requests from {count} threads, {inside.max_in_flight} at once, each with its own answer"


def _submit(subject: Subject) -> str:
    pairs, inside = subject.apart, subject.inside
    with subject.open() as executor:
        _asynchronous(executor)
        wait = Wait(subject.order.patience_s, inside.max_in_flight)
        total = _ROUNDS * max(len(pairs), inside.max_in_flight)
        for n in range(total):
            wait.start(executor, n, pairs[n % len(pairs)][0])
        wait.finish()
        wait.once()
        for n in range(total):
            # Looked at last of all: a stale buffer has been written over by now.
            _expect(f"request {n % len(pairs)}", wait.outputs(n), pairs[n % len(pairs)][1], pairs)
    return f"{total} requests, {inside.max_in_flight} in flight, each with its own answer"


def _callbacks(subject: Subject) -> str:
    pairs = subject.apart
    with subject.open() as executor:
        _asynchronous(executor)
        wait = Wait(subject.order.patience_s)
        for n, (request, _) in enumerate(pairs):
            wait.start(executor, n, request)
        wait.finish()
        for request, answer in pairs:
            _expect("execute after submit", executor.execute(request), answer, pairs)
        time.sleep(SETTLE_S)
        wait.once()
    return f"{len(pairs)} requests submitted and as many executed: done was called {len(pairs)} times"


def _order(subject: Subject) -> str:
    pairs, inside = subject.apart, subject.inside
    most = 1 if any(b.executor.shape[0] is not None for b in inside.inputs) else min(inside.max_batch or 4, 4, len(pairs))
    wrong: list[BaseException] = []
    with subject.open() as executor:
        _asynchronous(executor)
        wait = Wait(subject.order.patience_s, inside.max_in_flight)

        def feed(feeder: int) -> None:
            try:
                for n in range(_ROUNDS):
                    first, size = _cut(feeder, n, most, len(pairs))
                    wait.start(executor, feeder * _ROUNDS + n, joined([pairs[i][0] for i in range(first, first + size)]))
            except BaseException as error:  # noqa: BLE001 - whatever a plug-in raises in a thread is told below
                wrong.append(error)

        feeders = [threading.Thread(target=feed, args=(feeder,), daemon=True) for feeder in range(3)]
        for thread in feeders:
            thread.start()
        for thread in feeders:
            thread.join()
        if wrong:
            raise wrong[0] if isinstance(wrong[0], Broken) else Broken(f"submit raises: {words(wrong[0])}")
        wait.finish()
        for number in list(wait.calls):
            first, size = _cut(*divmod(number, _ROUNDS), most, len(pairs))
            for n in range(size):
                seen = rows(wait.outputs(number), n * inside.unit, inside.unit)
                _expect(f"a sample of request {number}", seen, pairs[first + n][1], pairs)
    sizes = f"1…{most} samples" if most > 1 else "1 sample"
    return f"{len(wait.calls)} requests of {sizes} from 3 threads, each back to its own done"


def _cut(feeder: int, n: int, most: int, pairs: int) -> tuple[int, int]:
    """Return first request and number of requests of a batch, both varied."""
    size = 1 + (feeder + n) % most
    return (5 * feeder + 3 * n) % (pairs - size + 1), size


def _blocked(subject: Subject) -> str:
    pairs = subject.apart
    accepted, entered = threading.Event(), threading.Event()
    patience, here = subject.order.patience_s, threading.get_ident()
    overdue: list[str] = []
    inline: list[str] = []
    with subject.open() as executor:
        _asynchronous(executor)
        wait = Wait(patience)

        def block() -> None:
            entered.set()
            if threading.get_ident() == here:
                inline.append("before submit returned")
            elif not accepted.wait(patience):
                overdue.append("timeout")

        wait.start(executor, 0, pairs[0][0], block)
        if not entered.wait(patience):
            raise Broken(f"the first request was not reported done within {patience:g} s")
        if inline:
            raise NotApplicable("done is called before submit returns, from the same thread: there is no callback to block")
        try:
            wait.start(executor, 1, pairs[1][0])
        except Broken:
            raise
        except Exception as error:
            raise Broken(f"submit refuses a request while the callback of the one before it runs: {words(error)}") from error
        finally:
            accepted.set()
        wait.finish()
        if overdue:
            raise Broken(f"submit does not return while the callback of the request before it is running ({patience:g} s)")
        for n in range(2):
            _expect(f"request {n}", wait.outputs(n), pairs[n][1], pairs)
    return "the next request was taken while the callback of the one before it was running"


def _thousands(subject: Subject) -> str:
    inside, queries = subject.inside, subject.order.queries
    with subject.open() as executor:
        said = [_count("execute", lambda: _by_threads(subject, executor, queries), queries)]
        if submits(executor):
            said.append(_count("submit", lambda: _by_submit(subject, executor, queries), queries))
    text = "; ".join(text for text, _ in said) + f", {inside.max_in_flight} in flight"
    if any(short for _, short in said):
        raise Noted(f"{text}: {_LONGEST_S:g} s were not enough for {queries}; nothing was lost")
    return text


def _count(way: str, serve: Callable[[], tuple[int, float]], queries: int) -> tuple[str, bool]:
    issued, seconds = serve()
    return f"{way}: {issued} of {issued} in {seconds:.1f} s", issued < queries


def _by_threads(subject: Subject, executor: Executor, queries: int) -> tuple[int, float]:
    inside = subject.inside
    numbers = iter(range(queries))
    lock = threading.Lock()
    returned = bytearray(queries)
    wrong: list[str] = []
    issued = 0
    begun = time.monotonic()

    def serve() -> None:
        nonlocal issued
        while not wrong:
            with lock:
                n = next(numbers, None) if time.monotonic() - begun < _LONGEST_S else None
                issued += n is not None
            if n is None:
                return
            try:
                outputs = executor.execute(inside.requests[n % len(inside.requests)])
                returned[n] += 1
                if difference(outputs, inside.answers[n % len(inside.answers)]) > OTHER:
                    wrong.append(f"query {n} got another answer than it has alone")
            except BaseException as error:  # noqa: BLE001 - whatever a plug-in raises in a thread is told below
                wrong.append(f"query {n} raises {words(error)}")

    if inside.max_in_flight == 1:
        serve()
    else:
        threads = [threading.Thread(target=serve, daemon=True) for _ in range(inside.max_in_flight)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if wrong:
        raise Broken(f"execute: {wrong[0]}")
    return issued, time.monotonic() - begun


def _by_submit(subject: Subject, executor: Executor, queries: int) -> tuple[int, float]:
    inside = subject.inside
    wait = Wait(subject.order.patience_s, inside.max_in_flight)
    begun = time.monotonic()
    issued = 0
    while issued < queries and time.monotonic() - begun < _LONGEST_S:
        wait.start(executor, issued, inside.requests[issued % len(inside.requests)])
        issued += 1
        # The queries long done are looked at as the load goes on: ten thousand large outputs fit into no memory.
        _settle(wait, issued - 4 * inside.max_in_flight - 1, inside.answers)
    wait.finish()
    wait.once()
    for n in range(max(0, issued - 4 * inside.max_in_flight - 1), issued):
        _settle(wait, n, inside.answers)
    return issued, time.monotonic() - begun


def _settle(wait: Wait, n: int, answers: Sequence[Tensors]) -> None:
    if n < 0 or not wait.calls[n]:
        return
    if difference(wait.outputs(n), answers[n % len(answers)]) > OTHER:
        raise Broken(f"submit: query {n} got another answer than it has alone")
    wait.calls[n][0] = (answers[n % len(answers)], None)


def _pace(subject: Subject) -> str:
    inside = subject.inside
    with subject.open() as executor:
        _asynchronous(executor)
        best = {"execute": 0.0, "submit": 0.0}
        ways: dict[str, Callable[[], Any]] = {
            "execute": lambda: executor.execute(inside.requests[0]),
            "submit": _Pump(executor, inside.requests[0], inside.max_in_flight, subject.order.patience_s),
        }
        for _ in range(_TURNS):
            for way, call in ways.items():
                best[way] = max(best[way], _rate(call))
    rates = {way: f"{rate:,.{0 if rate >= 100 else 1}f}/s" for way, rate in best.items()}
    text = f"submit {rates['submit']} with {inside.max_in_flight} in flight, execute {rates['execute']} in one thread"
    if best["submit"] < _SLOWER * best["execute"]:
        raise Noted(f"{text}: the asynchronous path is the slower one")
    return text


class _Pump:
    """Keep as many requests in flight as allowed; a call returns once one more could be submitted."""

    def __init__(self, executor: Executor, request: Tensors, in_flight: int, patience_s: float) -> None:
        self._executor, self._request, self._patience_s = executor, request, patience_s
        self._wait = Wait(patience_s, in_flight)
        self._number = 0

    def __call__(self) -> None:
        self._wait.start(self._executor, self._number, self._request)
        self._number += 1

    def drain(self) -> None:
        self._wait.finish()


def _rate(call: Callable[[], Any]) -> float:
    """Return calls a second, the time to drain included."""
    begun, count = time.monotonic_ns(), 0
    while time.monotonic_ns() - begun < _PACE_S * 1e9 or count < 3:
        call()
        count += 1
    drain = getattr(call, "drain", None)
    if drain is not None:
        drain()
    return count / ((time.monotonic_ns() - begun) / 1e9 - (SETTLE_S if drain is not None else 0.0))


CHECKS = (
    Check(
        "flight/threads",
        "execute may be called from any thread, max_in_flight of them at once, each with its own answer.",
        "Give every call buffers and runtime handles of its own, or declare max_in_flight = 1.",
        "executor",
        _threads,
    ),
    Check(
        "flight/submit",
        "Different requests in flight each get the answer they have alone, and keep it.",
        "Copy outputs before the slot is free, and tell requests apart by a handle of their own.",
        "executor",
        _submit,
    ),
    Check(
        "flight/callbacks",
        "done is called exactly once for each submitted request, and never on account of execute.",
        "Register the runtime's callback for submitted requests alone; some runtimes fire it during synchronous runs as well.",
        "executor",
        _callbacks,
    ),
    Check(
        "flight/order",
        "Requests of several sizes, submitted from several threads, come back to whoever asked, in whatever order they end.",
        "Keep a map from the runtime's request to its done; assume no order, and guard it by a lock.",
        "executor",
        _order,
    ),
    Check(
        "flight/blocked",
        "The device slot is free before done is called: the next request is taken while a callback still runs.",
        "Give the slot back first, then call done; hold no lock meanwhile.",
        "executor",
        _blocked,
    ),
    Check(
        "flight/thousands",
        "Of ten thousand queries none is lost, answered twice or answered wrongly.",
        "Look for a queue that drops what it cannot hold, and for callbacks that are lost under load.",
        "executor",
        _thousands,
        deadline_s=4 * _LONGEST_S,
    ),
    Check(
        "flight/pace",
        "submit is not slower than execute in one thread.",
        "Raise max_in_flight to what the device holds, or leave submit out: the harness then calls execute from threads.",
        "executor",
        _pace,
    ),
)
