"""Run a ``.dxnn`` file: ``run`` where requests come one by one, ``run_async`` and a callback where several are in flight.

A registered callback also fires during ``run``, with no token. So the option ``asynchronous`` decides at load: only then is
a callback registered, and every request, also one that waits for its answer, goes by ``run_async``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from npubench.contract import Done, Executor, Offload, Tensors, input_check
from npubench_deepx.tensors import Array, Slot, from_sdk, to_sdk

#: How long close waits for what is in flight, s.
_PATIENCE_S = 60.0


class DxnnExecutor(Executor):
    """One ``InferenceEngine``; one request at a time, by ``run``.

    Args:
        engine: The engine; the executor disposes of it.
        inputs: The file's inputs.
        outputs: The file's outputs.
        tasks: The file's tasks in the order they run, such as ``npu_0``, ``cpu_0``; ``None`` if the runtime does not say.
        notes: What the record says beside.
    """

    max_batch = 1

    def __init__(
        self,
        engine: Any,
        inputs: Sequence[Slot],
        outputs: Sequence[Slot],
        tasks: tuple[str, ...] | None,
        notes: Mapping[str, str],
    ) -> None:
        self.inputs = tuple(slot.spec for slot in inputs)
        self.outputs = tuple(slot.spec for slot in outputs)
        self._check = input_check(self.inputs, self.max_batch)
        self._engine = engine
        self._takes = inputs
        self._gives = outputs
        self._tasks = tasks
        self._notes = dict(notes)

    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request by ``run``, or ``run_multi_input`` where the file has several inputs."""
        self._check(inputs)
        arrays = to_sdk(self._takes, inputs)
        engine = self._engine
        if engine is None:
            raise RuntimeError("the executor is closed")
        if len(arrays) == 1:
            said = engine.run(arrays)
        elif hasattr(engine, "run_multi_input"):
            said = engine.run_multi_input(self._named(arrays))
        else:
            said = engine.run(arrays)
        return from_sdk(self._gives, said)

    def offload(self) -> Offload | None:
        """Count the file's tasks: parts of the graph, each wholly on the NPU or wholly on the host CPU."""
        return count_tasks(self._tasks)

    def notes(self) -> Mapping[str, str]:
        """Return the tasks, the file's version, and how the engine was set up."""
        return self._notes

    def close(self) -> None:
        """Dispose of the engine."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def _named(self, arrays: Sequence[Array]) -> dict[str, Array]:
        return {spec.name: array for spec, array in zip(self.inputs, arrays, strict=True)}


class AsyncDxnnExecutor(DxnnExecutor):
    """The same by ``run_async`` and a callback, with up to ``in_flight`` requests at once."""

    def __init__(
        self,
        engine: Any,
        inputs: Sequence[Slot],
        outputs: Sequence[Slot],
        tasks: tuple[str, ...] | None,
        notes: Mapping[str, str],
        in_flight: int,
    ) -> None:
        super().__init__(engine, inputs, outputs, tasks, notes)
        self.max_in_flight = in_flight
        self._quiet = threading.Condition()
        # Token → what completes the request, and its arrays, which DX-RT reads until then.
        self._jobs: dict[int, tuple[Done, list[Array]]] = {}
        self._next = 1
        self._open = True
        self._inside: set[int] = set()
        engine.register_callback(self._completed)

    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request by the same way as ``submit``, and wait for it."""
        if threading.get_ident() in self._inside:
            raise RuntimeError("execute was called from a completion of submit: it could wait for itself")
        answer: Future[Tensors] = Future()

        def done(outputs: Tensors | None, error: BaseException | None) -> None:
            if outputs is None:
                answer.set_exception(error or RuntimeError("DX-RT returned nothing"))
            else:
                answer.set_result(outputs)

        self.submit(inputs, done)
        return answer.result()

    def submit(self, inputs: Tensors, done: Done) -> None:
        """Hand one request to DX-RT; ``done`` is called from its threads, possibly before this returns."""
        self._check(inputs)
        arrays = to_sdk(self._takes, inputs)
        with self._quiet:
            if not self._open:
                raise RuntimeError("the executor is closed")
            token = self._next
            self._next += 1
            # Known before DX-RT is called: the callback may come inside the call.
            self._jobs[token] = (done, arrays)
        try:
            if len(arrays) == 1 or not hasattr(self._engine, "run_async_multi_input"):
                self._engine.run_async(arrays, user_arg=token)
            else:
                self._engine.run_async_multi_input(self._named(arrays), user_arg=token)
        except BaseException:
            with self._quiet:
                self._jobs.pop(token, None)
                self._quiet.notify_all()
            raise

    def close(self) -> None:
        """Wait for what is in flight, take the callback back, wait for callbacks that run, and dispose of the engine."""
        if threading.get_ident() in self._inside:
            raise RuntimeError("close was called from a completion of submit: it would wait for itself")
        with self._quiet:
            if not self._open:
                return
            self._open = False
            if not self._quiet.wait_for(lambda: not self._jobs and not self._inside, _PATIENCE_S):
                raise RuntimeError(
                    f"DX-RT had not completed {len(self._jobs)} requests {_PATIENCE_S:g} s after the last was made"
                )
        self._engine.register_callback(None)
        with self._quiet:
            self._quiet.wait_for(lambda: not self._inside, _PATIENCE_S)
        super().close()

    def _completed(self, outputs: Any, token: Any) -> int:
        """Take one completion from DX-RT. Returns 0 and raises nothing: neither may travel through the runtime."""
        me = threading.get_ident()
        with self._quiet:
            outer = me in self._inside
            self._inside.add(me)
            claimed = self._claim(token)
        try:
            for done in claimed:
                self._finish(done, outputs, self._known(token))
        finally:
            with self._quiet:
                if not outer:
                    self._inside.discard(me)
                self._quiet.notify_all()
        return 0

    def _claim(self, token: Any) -> list[Done]:
        """Return what a completion ends; called with the lock held.

        One without a token cannot be told to belong to any request: all that are in flight end, rather than one of them
        with another's answer. A second one for the same token ends nothing.
        """
        if self._known(token):
            job = self._jobs.pop(token, None)
            return [job[0]] if job else []
        claimed = [done for done, _ in self._jobs.values()]
        self._jobs.clear()
        return claimed

    def _known(self, token: Any) -> bool:
        """Return whether a token was given out, also if it has come back before."""
        return isinstance(token, int) and 0 < token < self._next

    def _finish(self, done: Done, outputs: Any, matched: bool) -> None:
        answer: Tensors | None = None
        error: BaseException | None = None
        try:
            if not matched:
                raise RuntimeError("DX-RT completed a request without its token: which one cannot be told")
            answer = from_sdk(self._gives, outputs)
        except BaseException as failure:
            error = failure
        try:
            done(answer, error)
        except BaseException:
            # The caller's own failure; DX-RT must not see it.
            return


def count_tasks(tasks: tuple[str, ...] | None) -> Offload | None:
    """Return tasks on the NPU and on the host, by DX-RT's names for them; ``None`` where they say neither."""
    if not tasks:
        return None
    on_host = tuple(sorted(task for task in tasks if task.lower().startswith("cpu")))
    on_device = sum(task.lower().startswith("npu") for task in tasks)
    if on_device + len(on_host) != len(tasks):
        return None
    return Offload(on_device, len(on_host), "DX-RT task order (tasks, not operators)", on_host)
