"""A Warboy session: a runner for blocking calls, or a queue whose answers a thread of its own collects."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from npubench.contract import Artefact, Done, Executor, Quantisation, Tensors, TensorSpec
from npubench.contract.tensors import LAYOUTS
from npubench_furiosa.tensors import answer, named, reader


class _Settings(Protocol):
    """The options an executor looks at."""

    @property
    def queue_size(self) -> int: ...

    @property
    def streams(self) -> int: ...

    @property
    def quantisation(self) -> Mapping[str, tuple[float, ...]]: ...


class _Session(Executor):
    """What both kinds share: tensors, notes, and the order in which things are released."""

    def _describe(self, model: Any, artefact: Artefact, arguments: Mapping[str, Any], options: _Settings) -> None:
        self.inputs = named([_spec(desc, options.quantisation) for desc in model.inputs()], "input")
        self.outputs = named([_spec(desc, options.quantisation) for desc in model.outputs()], "output")
        self.max_batch = int(self.inputs[0].shape[0] or 1)
        self._read = reader(self.inputs, self.max_batch)
        self._closed = False
        self._notes = {
            "devices": str(arguments["device"]),
            "compiled": "before" if artefact.path.suffix == ".enf" else "by the runtime as the session opened",
            "host operators": "the runtime gives no account of operators that it computes on the host",
        }

    def notes(self) -> Mapping[str, str]:
        """Return the device string and where the model was compiled."""
        return dict(self._notes)


class RunnerExecutor(_Session):
    """``create_runner``: every thread may be in ``run`` at once, says the vendor's reference."""

    def __init__(self, sync: Any, artefact: Artefact, arguments: Mapping[str, Any], options: _Settings) -> None:
        self._runner = sync.create_runner(str(artefact.path), **arguments)
        try:
            self._describe(self._runner.model, artefact, arguments, options)
        except BaseException:
            self._runner.close()
            raise
        self.max_in_flight = options.streams

    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request."""
        if self._closed:
            raise RuntimeError("the Warboy session is closed")
        count, arrays = self._read(inputs)
        return answer(self._runner.run(arrays), self.outputs, count)

    def close(self) -> None:
        """Close the runner; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._runner.close()


class QueueExecutor(_Session):
    """``create_queue``: a submitter, and one thread that receives, as the vendor asks.

    The thread calls ``recv`` once for every accepted request and never otherwise, so that nothing waits in the SDK when
    the queue is closed.
    """

    def __init__(self, sync: Any, artefact: Artefact, arguments: Mapping[str, Any], options: _Settings) -> None:
        size = options.queue_size
        self._submitter, self._receiver = sync.create_queue(
            str(artefact.path), **arguments, input_queue_size=size, output_queue_size=size
        )
        try:
            self._describe(self._submitter.model, artefact, arguments, options)
        except BaseException:
            self._submitter.close()
            self._receiver.close()
            raise
        self.max_in_flight = size
        self._tokens = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[int, Done]] = {}
        self._accepted = threading.Semaphore(0)
        self._broken: BaseException | None = None
        self._thread = threading.Thread(target=self._receive, name="warboy-receiver", daemon=True)
        self._thread.start()

    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request by the same queue, and wait for it."""
        finished = threading.Event()
        found: list[tuple[Tensors | None, BaseException | None]] = []

        def done(outputs: Tensors | None, error: BaseException | None) -> None:
            found.append((outputs, error))
            finished.set()

        self.submit(inputs, done)
        finished.wait()
        outputs, error = found[0]
        if outputs is None:
            raise error or RuntimeError("the Warboy queue gave neither outputs nor an error")
        return outputs

    def submit(self, inputs: Tensors, done: Done) -> None:
        """Hand one request to the queue; the receiver's thread calls ``done``."""
        count, arrays = self._read(inputs)
        with self._lock:
            if self._closed:
                raise RuntimeError("the Warboy session is closed")
            if self._broken is not None:
                raise RuntimeError(f"the Warboy queue has failed: {self._broken}") from self._broken
            token = next(self._tokens)
            # Known before it is handed in: the answer may be back before submit returns.
            self._waiting[token] = (count, done)
        try:
            self._submitter.submit(arrays, token)
        except BaseException:
            with self._lock:
                if self._waiting.pop(token, None) is None:
                    return  # the queue failed meanwhile, and done has been told
            raise
        self._accepted.release()

    def close(self) -> None:
        """Wait for what is accepted, then close both ends; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._accepted.release()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._submitter.close()
        self._receiver.close()

    def _receive(self) -> None:
        """Collect one answer for every accepted request, until told to end."""
        while True:
            self._accepted.acquire()
            with self._lock:
                if self._closed and not self._waiting:
                    return
            try:
                token, outputs = self._receiver.recv()
            except Exception as error:
                self._fail(error)
                return
            with self._lock:
                count, done = self._waiting.pop(token, (0, None))
            if done is None:
                self._fail(RuntimeError(f"the Warboy queue answered a request that nobody made: {token!r}"))
                return
            try:
                found = answer(outputs, self.outputs, count)
            except Exception as error:
                done(None, error)
            else:
                done(found, None)

    def _fail(self, error: BaseException) -> None:
        """Give ``error`` to every request that is waiting: the queue does not say whose it is."""
        with self._lock:
            self._broken = error
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for _, done in waiting:
            done(None, error)


def _spec(desc: Any, quantisation: Mapping[str, Sequence[float]]) -> TensorSpec:
    """Turn the SDK's TensorDesc into a TensorSpec; its ``format`` is a layout only for the layouts the harness knows."""
    name = desc.name or ""
    shape = tuple(int(n) for n in desc.shape)
    layout = str(desc.format) if str(desc.format) in LAYOUTS and len(str(desc.format)) == len(shape) else ""
    known = quantisation.get(name)
    return TensorSpec(
        name=name,
        dtype=np.dtype(desc.numpy_dtype).name,
        shape=shape,
        layout=layout,
        quantisation=None if known is None else Quantisation((float(known[0]),), (int(known[1]),)),
    )
