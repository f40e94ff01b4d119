"""Run requests on a launched model: blocking from several threads, or through the runtime's own futures."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from typing import Any

from npubench.contract import Done, Executor, Offload, Tensors, input_check
from npubench_mobilint.options import MobilintOptions
from npubench_mobilint.sdk import version_numbers
from npubench_mobilint.session import Session
from npubench_mobilint.tensors import blank, data_type, given, in_order, input_slots, is_ambiguous, output_slots

#: The version whose ``infer`` gave one input several outputs on REGULUS; later ones were not seen to.
_UNSTEADY = (1, 2)


class MobilintExecutor(Executor):
    """A launched model; ``execute`` may be called from as many threads as there are activation slots."""

    def __init__(self, session: Session, options: MobilintOptions) -> None:
        """Read the tensors, and find out what comes out by running one sample the way that all will run."""
        self._session = session
        self._model = session.model
        self._options = options
        self._closed = False
        self._lock = threading.Lock()
        self.max_batch = options.batch
        self.max_in_flight = session.slots
        self._inputs = input_slots(self._model, options)
        if options.asynchronous and options.layout == "chw" and is_ambiguous(self._inputs):
            raise ValueError("layout: with asynchronous, the runtime takes cubes for HWC; take layout = 'hwc'")
        self._outputs = output_slots(self._model, options, self._run(blank(self._inputs)))
        self.inputs = [slot.spec for slot in self._inputs]
        self.outputs = [slot.spec for slot in self._outputs]
        self._check = input_check(self.inputs, self.max_batch)

    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request."""
        arrays, batch = self._checked(inputs)
        return given(self._run(arrays), self._outputs, batch)

    def offload(self) -> Offload | None:
        """Say that all is on the device where the runtime confirms one bundle; it gives no count of operators."""
        if not self._session.forced:
            return None
        return Offload(1, 0, f"{self._session.runtime.name}: one bundle forced, which runs without the host (counted in bundles)")

    def notes(self) -> Mapping[str, str]:
        """Return the runtime, what it made of the core mode, and what is known against this version."""
        notes = {"runtime": self._session.runtime.words, "slots": str(self._session.slots)}
        if not self._closed:
            for key, name in (("core mode", "get_core_mode"), ("native dtype", "get_model_input_data_type")):
                ask = getattr(self._model, name, None)
                if ask is not None:
                    notes[key] = data_type(ask())
        if () < version_numbers(self._session.runtime.version)[:2] <= _UNSTEADY:
            notes["warning"] = "this runtime gave one input several outputs on REGULUS; compare repeats before believing it"
        return notes

    def close(self) -> None:
        """Take the model off the device; what the runtime keeps after a failed attempt is kept here too."""
        with self._lock:
            if self._closed:
                return
            self._model.dispose()
            self._closed = True

    def _run(self, arrays: list[Any]) -> list[Any]:
        infer = self._model.infer if self._options.layout == "hwc" else self._model.infer_chw
        outputs: list[Any] = infer(arrays)
        return outputs

    def _checked(self, inputs: Tensors) -> tuple[list[Any], int]:
        if self._closed:
            raise RuntimeError("the executor is closed")
        batch = self._check(inputs)
        return in_order(inputs, self._inputs), batch


class AsyncMobilintExecutor(MobilintExecutor):
    """A model with the asynchronous pipeline. Every request goes through ``infer_async``, from the first trial on.

    There are two waiting threads a slot: one for the request that has it, one for the callback of the request before.
    """

    def __init__(self, session: Session, options: MobilintOptions) -> None:
        super().__init__(session, options)
        self._submitted: queue.SimpleQueue[tuple[Any, Done] | None] = queue.SimpleQueue()
        names = [f"mobilint-{n}" for n in range(2 * session.slots)]
        self._waiters = [threading.Thread(target=self._wait, name=name, daemon=True) for name in names]
        for waiter in self._waiters:
            waiter.start()

    def submit(self, inputs: Tensors, done: Done) -> None:
        """Hand one request in; blocks while the runtime has no slot for it."""
        arrays, _ = self._checked(inputs)
        try:
            future = self._model.infer_async(arrays)
        except Exception as error:
            done(None, error)
            return
        self._submitted.put((future, done))

    def close(self) -> None:
        """Wait for every future, then take the model off the device."""
        waiters, self._waiters = self._waiters, []
        for _ in waiters:
            self._submitted.put(None)
        for waiter in waiters:
            if waiter is not threading.current_thread():
                waiter.join()
        super().close()

    def _run(self, arrays: list[Any]) -> list[Any]:
        outputs: list[Any] = self._model.infer_async(arrays).get()
        return outputs

    def _wait(self) -> None:
        """Take a future and wait for it: whichever is ready first is told first."""
        while (request := self._submitted.get()) is not None:
            future, done = request
            outputs: Tensors | None = None
            failure: BaseException | None = None
            try:
                # A future gives its outputs once. With that, and with the copy, the slot is free, before anyone is told.
                outputs = given(future.get(), self._outputs, 1)
            except Exception as error:
                failure = error
            try:
                done(outputs, failure)
            except Exception:
                logging.getLogger(__name__).exception("the callback of a request raised")
