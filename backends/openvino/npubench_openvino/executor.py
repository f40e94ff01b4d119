"""Run compiled models: synchronously from any thread, and asynchronously through ``AsyncInferQueue``."""

from __future__ import annotations

import importlib
import itertools
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

from npubench.contract import Done, Executor, Offload, Tensors, TensorSpec, input_check
from npubench_openvino.graphs import Loaded
from npubench_openvino.requests import Plan, Port, Slot, dtype_of

_ASKED = (
    "EXECUTION_DEVICES",
    "INFERENCE_PRECISION_HINT",
    "EXECUTION_MODE_HINT",
    "PERFORMANCE_HINT",
    "NUM_STREAMS",
    "INFERENCE_NUM_THREADS",
    "ENABLE_CPU_PINNING",
)

#: How often a request that failed without a callback is looked for, s: OpenVINO calls back for completed ones alone.
_LOOK_EVERY_S = 0.2

Array = np.ndarray[Any, Any]


class OpenVinoExecutor(Executor):
    """Compiled models of one network, one a batch size; requests from several threads at once.

    Inputs are lent to OpenVINO where they lie. It writes large outputs into arrays made for the request, so that they are the
    caller's; small ones and those of a free shape are copied.
    """

    def __init__(self, loaded: Loaded, requests: int) -> None:
        ov = importlib.import_module("openvino")
        self._tensor, self._shape = ov.Tensor, ov.Shape
        self._plans = {size: Plan(model, size) for size, model in loaded.models.items()}
        self._offload = loaded.offload
        first = self._first()
        self.inputs = [_spec(port) for port in first.inputs]
        self.outputs = [_spec(port) for port in first.outputs]
        self._sizes = sorted(size for size in self._plans if size is not None)
        self.max_batch = self._sizes[-1] if self._sizes else None
        self._check = input_check(self.inputs, self.max_batch)
        self.max_in_flight = requests or _optimal(first)
        own = _say(first, "EXECUTION_DEVICES") == "CPU"
        self._idle: dict[int | None, SimpleQueue[Slot]] = {}
        for size, plan in self._plans.items():
            pool = self._idle[size] = SimpleQueue()
            for _ in range(self.max_in_flight):
                pool.put(Slot(plan, own))

    def execute(self, inputs: Tensors) -> Tensors:
        """Run one request on an idle infer request; waits for one where all are busy."""
        count = self._count(inputs)
        size = self._size(count)
        pool = self._idle[size]
        slot = pool.get()
        try:
            request = slot.request
            kept = self._feed(request, slot.plan, inputs, count)
            outputs = self._lend(request, slot.lent)
            request.infer(share_outputs=True)
            del kept
            for name, view in slot.views:
                outputs[name] = view.copy()
            return self._collect(request, slot.plan, outputs, count)
        finally:
            pool.put(slot)

    def offload(self) -> Offload | None:
        """Count operators: as HETERO placed them, else those of the runtime model, which all run on the one device."""
        if self._offload is not None:
            return self._offload
        layers = self._layers()
        return None if layers is None else Offload(len(layers), 0, "OpenVINO runtime model")

    def notes(self) -> Mapping[str, str]:
        """Return what the compiled model says of itself: precision, streams, threads, operators by precision."""
        if not self._plans:
            return {}
        first = self._first()
        told = {key.lower(): text for key in _ASKED if (text := _say(first, key))}
        told["batches"] = ", ".join(map(str, self._sizes)) or "any"
        layers = self._layers()
        if layers:
            counts = Counter(precision for _, precision in layers)
            told["operators by precision"] = ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
        return told

    def counters(self, count: int) -> list[Any]:
        """Return OpenVINO's performance counters of the model that serves ``count`` samples, where it was made to count."""
        pool = self._idle[self._size(count)]
        slot = pool.get()
        try:
            return list(slot.request.get_profiling_info())
        finally:
            pool.put(slot)

    def close(self) -> None:
        """Drop the models; their threads end with them."""
        self._idle = {}
        self._plans = {}

    # -- pieces -----------------------------------------------------------------------------------------------------

    def _count(self, inputs: Tensors) -> int:
        """Return the request's batch.

        Raises:
            ValueError: The executor is closed, or what :func:`npubench.contract.input_check` says of the request.
        """
        if not self._plans:
            raise ValueError("the executor is closed; load the artefact again")
        return self._check(inputs)

    def _size(self, count: int) -> int | None:
        """Return the smallest compiled batch that holds ``count`` samples; ``None`` = the model with a free batch."""
        for size in self._sizes:
            if size >= count:
                return size
        return None

    def _feed(self, request: Any, plan: Plan, inputs: Tensors, count: int) -> list[Any]:
        """Set the inputs as tensors over the caller's memory and return them; a request below the compiled size is filled up.

        The memory must stay until the request is done, so what is returned must be kept until then.
        """
        kept = []
        size = plan.size
        for position, name, _, kind, shape, fixed in plan.inputs:
            values = inputs[name]
            if size is not None and count < size:
                values = np.concatenate([values, np.repeat(values[-1:], size - count, axis=0)])
            if not values.flags.c_contiguous:
                values = np.ascontiguousarray(values)
            if values.shape != shape:
                fixed = self._shape(values.shape)
            # This constructor shares memory that must not be written to as well; `Tensor(array, shared_memory=True)` refuses it.
            tensor = self._tensor(values, fixed, kind)
            request.set_input_tensor(position, tensor)
            kept.append(tensor)
        return kept

    def _lend(self, request: Any, ports: Sequence[Port]) -> dict[str, Array]:
        """Give the request fresh arrays to write these outputs to."""
        outputs: dict[str, Array] = {}
        for port in ports:
            array = outputs[port.name] = np.empty(port.shape or (), port.dtype)
            request.set_output_tensor(port.position, self._tensor(array, port.fixed, port.kind))
        return outputs

    def _collect(self, request: Any, plan: Plan, outputs: dict[str, Array], count: int) -> Tensors:
        """Return the outputs of the ``count`` samples that were asked for; those of free shape are copied from the request."""
        if not plan.static:
            outputs = {port.name: np.array(request.get_output_tensor(port.position).data) for port in plan.outputs}
        if plan.size is None or count == plan.size:
            return outputs
        return {name: array[:count] for name, array in outputs.items()}

    def _first(self) -> Any:
        """Return the first compiled model."""
        return next(iter(self._plans.values())).model

    def _layers(self) -> list[tuple[str, str]] | None:
        """Return kind and precision of every operator of the first model as it runs; ``None`` where OpenVINO does not say."""
        try:
            ops = self._first().get_runtime_model().get_ops()
            told = [(_text(op, "layerType"), _text(op, "runtimePrecision")) for op in ops]
        except Exception:
            return None
        return [(kind, precision) for kind, precision in told if kind not in ("Const", "Input", "Output", "Parameter", "Result")]


class AsyncOpenVinoExecutor(OpenVinoExecutor):
    """The same, with ``submit`` through OpenVINO's ``AsyncInferQueue``."""

    def __init__(self, loaded: Loaded, requests: int) -> None:
        super().__init__(loaded, requests)
        ov = importlib.import_module("openvino")
        self._open: dict[int, tuple[Any, Plan, dict[str, Array], int, Done, list[Any]]] = {}
        self._tickets = itertools.count()
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None
        # One more than may be in flight: a request is idle again only when its callback has returned, and the harness may
        # hand in the next from within.
        self._queues = {size: ov.AsyncInferQueue(plan.model, self.max_in_flight + 1) for size, plan in self._plans.items()}
        for queue in self._queues.values():
            queue.set_callback(self._completed)

    def submit(self, inputs: Tensors, done: Done) -> None:
        """Start one request; ``done`` is called from a thread of OpenVINO."""
        count = self._count(inputs)
        size = self._size(count)
        plan, queue = self._plans[size], self._queues[size]
        with self._starting:
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="npubench-openvino", daemon=True)
                self._watcher.start()
            # The queue starts the request that it names here.
            request = queue[queue.get_idle_request_id()]
            kept = self._feed(request, plan, inputs, count)
            outputs = self._lend(request, plan.outputs if plan.static else ())
            ticket = next(self._tickets)
            self._open[ticket] = (request, plan, outputs, count, done, kept)
            try:
                queue.start_async(userdata=ticket)
            except BaseException:
                self._open.pop(ticket, None)
                raise

    def close(self) -> None:
        """Wait for what is in flight, then drop the models."""
        self._closing.set()
        for queue in self._queues.values():
            try:
                queue.wait_all()
            except Exception:
                break  # it has been reported through ``done``
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        self._queues = {}
        super().close()

    def _completed(self, request: Any, ticket: int) -> None:
        """Hand the outputs over; called by OpenVINO for every request that did not fail."""
        taken = self._open.pop(ticket, None)
        if taken is None:
            return
        _, plan, outputs, count, done, _ = taken
        try:
            answer = self._collect(request, plan, outputs, count)
        except Exception as error:
            done(None, error)
            return
        done(answer, None)

    def _watch(self) -> None:
        """Report requests that failed: they are over, and nobody calls back for them."""
        while not self._closing.wait(_LOOK_EVERY_S):
            self._look()
        self._look()

    def _look(self) -> None:
        for ticket, (request, _, _, _, done, _) in list(self._open.items()):
            try:
                request.wait_for(0)
            except Exception as error:
                if self._open.pop(ticket, None) is not None:
                    done(None, error)


def _spec(port: Any) -> TensorSpec:
    """Turn a port into a TensorSpec; its batch is the request's."""
    shape = tuple(n.get_length() if n.is_static else None for n in port.get_partial_shape())
    return TensorSpec(port.get_any_name(), dtype_of(port).name, (None, *shape[1:]))


def _optimal(model: Any) -> int:
    """Return how many requests OpenVINO calls optimal."""
    text = _say(model, "OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    return max(1, int(text)) if text.isdigit() else 1


def _say(model: Any, key: str) -> str:
    """Return a property of a compiled model as text; "" where it has none of that name."""
    try:
        value = model.get_property(key)
    except Exception:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(getattr(value, "name", None) or getattr(value, "get_type_name", lambda: value)())


def _text(op: Any, key: str) -> str:
    """Return an entry of an operator's runtime information."""
    value = op.get_rt_info()[key]
    return str(value.astype(str)) if hasattr(value, "astype") else str(value)
