"""Run an ``.rbln`` file: ``rebel.Runtime`` where requests come one by one, ``rebel.AsyncRuntime`` where several are in flight.

The two are never alive on one artefact together: the option ``asynchronous`` decides at load, and every request, also one
that waits for its answer, goes by the runtime that was chosen.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np

from npubench.contract import Done, Executor, Tensors, TensorSpec, input_check
from npubench_rebellions.artefact import Description

Array = np.ndarray[Any, Any]


class RblnExecutor(Executor):
    """What both runtimes share: shapes, checks, and arrays by position.

    Args:
        found: The artefact's description.
        notes: What the record says beside.
    """

    def __init__(self, found: Description, notes: Mapping[str, str]) -> None:
        self.max_batch = found.batch
        # A batch of one is the shape itself; a larger one is filled up, and any length up to it goes.
        self.inputs = tuple(_batched(spec, found.batch) for spec in found.inputs)
        self.outputs = tuple(_batched(spec, found.batch) for spec in found.outputs)
        self._check = input_check(self.inputs, found.batch)
        self._names = tuple(spec.name for spec in self.outputs)
        self._notes = dict(notes)

    def notes(self) -> Mapping[str, str]:
        """Return chip, compiler and batch of the artefact, and which runtime runs it."""
        return self._notes

    def _positional(self, inputs: Tensors) -> tuple[list[Array], int]:
        """Check the inputs; return them in the runtime's order, filled up with zeros to its batch, and their own batch."""
        count = self._check(inputs)
        arrays = [inputs[spec.name] for spec in self.inputs]
        missing = (self.max_batch or 1) - count
        if missing:
            arrays = [np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]) for array in arrays]
        return [np.ascontiguousarray(array) for array in arrays], count

    def _named(self, said: Any, count: int) -> dict[str, Array]:
        """Return the runtime's answer by name, cut to the samples that were asked for, in arrays of the caller's own."""
        arrays = said if isinstance(said, list | tuple) else [said]
        if len(arrays) != len(self._names):
            raise RuntimeError(f"rebel returned {len(arrays)} outputs, and the artefact names {len(self._names)}")
        return {
            name: np.array(array[:count] if count < (self.max_batch or 1) else array)
            for name, array in zip(self._names, arrays, strict=True)
        }


class SyncExecutor(RblnExecutor):
    """One ``rebel.Runtime``; one request at a time.

    Args:
        make: Makes the runtime.
        found: The artefact's description.
        notes: What the record says beside.
    """

    def __init__(self, make: Callable[[], Any], found: Description, notes: Mapping[str, str]) -> None:
        super().__init__(found, notes)
        self._runtime = make()

    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request by ``Runtime.run``."""
        arrays, count = self._positional(inputs)
        if self._runtime is None:
            raise RuntimeError("the executor is closed")
        return self._named(self._runtime.run(*arrays), count)

    def close(self) -> None:
        """Drop the runtime: it has no close of its own, and its context ends with its last reference."""
        self._runtime = None


class AsyncExecutor(RblnExecutor):
    """One ``rebel.AsyncRuntime``, made, used and dropped on a thread of its own that runs its asyncio loop.

    Args:
        make: Makes the runtime; called on that thread.
        found: The artefact's description.
        in_flight: Requests at once.
        patience_s: How long to wait at close for what is in flight.
        notes: What the record says beside.
    """

    def __init__(
        self, make: Callable[[], Any], found: Description, in_flight: int, patience_s: int, notes: Mapping[str, str]
    ) -> None:
        super().__init__(found, notes)
        self.max_in_flight = in_flight
        self._patience_s = patience_s
        self._runtime: Any = None
        self._open = True
        self._pending = 0
        self._quiet = threading.Condition()
        self._loop = asyncio.new_event_loop()
        made: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._owner = threading.Thread(target=self._own, args=(make, made), name="rbln-loop", daemon=True)
        self._owner.start()
        if (error := made.get()) is not None:
            self._open = False
            self._owner.join()
            raise error

    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request by the same runtime and loop as ``submit``, and wait for it."""
        if threading.current_thread() is self._owner:
            raise RuntimeError("execute was called from a completion of submit: it would wait for itself")
        answer: Future[Tensors] = Future()

        def done(outputs: Tensors | None, error: BaseException | None) -> None:
            if outputs is None:
                answer.set_exception(error or RuntimeError("rebel returned nothing"))
            else:
                answer.set_result(outputs)

        self.submit(inputs, done)
        return answer.result()

    def submit(self, inputs: Tensors, done: Done) -> None:
        """Hand one request to the runtime's loop; ``done`` is called from its thread."""
        arrays, count = self._positional(inputs)
        with self._quiet:
            if not self._open:
                raise RuntimeError("the executor is closed")
            self._pending += 1
        asyncio.run_coroutine_threadsafe(self._serve(arrays, count, done), self._loop)

    def close(self) -> None:
        """Wait for what is in flight, drop the runtime on its own loop, and end the thread."""
        if threading.current_thread() is self._owner:
            raise RuntimeError("close was called from a completion of submit: it would wait for itself")
        with self._quiet:
            if not self._open:
                return
            self._open = False
            ended = self._quiet.wait_for(lambda: self._pending == 0, self._patience_s)
        self._loop.call_soon_threadsafe(self._drop)
        self._owner.join(self._patience_s)
        if not ended:
            raise RuntimeError(f"rebel had not completed {self._pending} requests after {self._patience_s} s")

    async def _serve(self, arrays: Sequence[Array], count: int, done: Done) -> None:
        outputs, failure = None, None
        try:
            outputs = self._named(await self._runtime.async_run(*arrays), count)
        except BaseException as error:
            failure = error
        try:
            done(outputs, failure)
        finally:
            with self._quiet:
                self._pending -= 1
                self._quiet.notify_all()

    def _own(self, make: Callable[[], Any], made: queue.SimpleQueue[BaseException | None]) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._runtime = make()
        except BaseException as error:
            self._loop.close()
            made.put(error)
            return
        made.put(None)
        self._loop.run_forever()
        self._loop.close()

    def _drop(self) -> None:
        self._runtime = None
        self._loop.stop()


def _batched(spec: TensorSpec, batch: int) -> TensorSpec:
    return spec if batch == 1 else replace(spec, shape=(None, *spec.shape[1:]))
