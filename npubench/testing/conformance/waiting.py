"""Submit requests, never more at once than allowed, and keep what every ``done`` was called with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from npubench.contract.backend import Done, Executor, Tensors
from npubench.testing.conformance.verdict import Broken

#: After the last request is done, how long to listen for a callback too many, s.
SETTLE_S = 0.05


class Wait:
    """Submit requests, never more at once than allowed, and keep what every ``done`` was called with."""

    def __init__(self, patience_s: float, in_flight: int = 1) -> None:
        self._patience_s = patience_s
        self._permits = threading.Semaphore(in_flight)
        self._lock = threading.Lock()
        self._left = 0
        self._none_left = threading.Condition(self._lock)
        #: Request → what its ``done`` was called with, in order; exactly one call is right.
        self.calls: dict[int, list[tuple[Tensors | None, BaseException | None]]] = {}

    def start(self, executor: Executor, number: int, request: Tensors, then: Callable[[], None] | None = None) -> None:
        """Submit a request once there is a permit for it.

        Args:
            executor: With a ``submit``.
            number: Of the request; unique.
            request: Its inputs.
            then: Called within ``done``, after the permit was given back.

        Raises:
            Broken: No request was done in time.
        """
        if not self._permits.acquire(timeout=self._patience_s):
            raise Broken(f"request {number} waits: none of those before it was done within {self._patience_s:g} s{self._open()}")
        with self._lock:
            self.calls[number] = []
            self._left += 1
        try:
            executor.submit(request, self._done(number, then))
        except BaseException:
            with self._lock:
                self._left -= 1
                del self.calls[number]
            self._permits.release()
            raise

    def _done(self, number: int, then: Callable[[], None] | None) -> Done:
        def done(outputs: Tensors | None, error: BaseException | None) -> None:
            with self._lock:
                calls = self.calls.get(number)
                if calls is None:
                    return  # submit had refused it, or it was settled long ago
                calls.append((outputs, error))
                first = len(calls) == 1
                if first:
                    self._left -= 1
                    self._none_left.notify_all()
            if first:
                self._permits.release()
                if then is not None:
                    then()

        return done

    def finish(self) -> None:
        """Wait until every request is done, and a little longer for a callback too many.

        Raises:
            Broken: One was not done in time.
        """
        self._drain()
        time.sleep(SETTLE_S)

    def _drain(self) -> None:
        with self._none_left:
            if not self._none_left.wait_for(lambda: self._left == 0, self._patience_s):
                raise Broken(f"{self._left} of {len(self.calls)} requests were never reported done{self._open()}")

    def once(self) -> None:
        """Raise Broken unless every ``done`` was called exactly once."""
        with self._lock:
            more = {number: len(calls) for number, calls in self.calls.items() if len(calls) != 1}
        if more:
            number, count = next(iter(more.items()))
            of = f"other than once for {len(more)} of {len(self.calls)}"
            raise Broken(f"done was called {count} times for request {number}; {of}")

    def outputs(self, number: int) -> Tensors:
        """Return what a request was first answered with; raise what ended it."""
        outputs, error = self.calls[number][0]
        if error is not None:
            raise error
        if outputs is None:
            raise Broken(f"request {number}: done was called with neither outputs nor an error")
        return outputs

    def submit(self, executor: Executor, request: Tensors) -> Tensors:
        """Submit one request and return its answer; does not listen for a callback too many."""
        number = len(self.calls)
        self.start(executor, number, request)
        self._drain()
        return self.outputs(number)

    def _open(self) -> str:
        waiting = [number for number, calls in self.calls.items() if not calls]
        return f"; first of them number {waiting[0]}" if waiting else ""
