"""What is being checked: a plug-in, its device, its artefact, and requests with the answers it gave to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npubench.contract.artefact import Artefact, Model, Unsupported
from npubench.contract.availability import Availability, Device, Rung
from npubench.contract.backend import Backend, Executor, Sensor
from npubench.contract.bundle import Bundle, read_bundle
from npubench.contract.options import OptionError, parse_options
from npubench.contract.tensors import TensorSpec
from npubench.measure.artefacts import compile_cached, ready_artefact
from npubench.measure.binding import Binding, BindingError, bind, to_executor
from npubench.measure.plugin import PluginError, find_device, load_backend, probe
from npubench.plugins import BACKENDS, plugin_entries
from npubench.testing.conformance.compare import Array, copied, distinct
from npubench.testing.conformance.order import Order
from npubench.testing.conformance.verdict import Broken, Missing, NotApplicable

#: How many different requests are made; more than any device holds at once.
_REQUESTS = 16

#: Of the inputs that are drawn.
_SEED = 20_260_801

#: In which order a workload's precisions are offered to a backend that refuses the first.
_PRECISIONS = ("fp32", "vendor", "int8")


class Inside(NamedTuple):
    """What an executor takes and gives, seen once.

    Args:
        inputs, outputs: How its tensors carry the workload's.
        requests: Distinct requests of the smallest batch; read-only, C-contiguous.
        answers: What it gave to each, one after another, with nothing else going on.
        unit: Samples in each request: 1, or the length of a batch axis that is fixed.
        max_batch, max_in_flight: What it declares.
    """

    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]
    requests: tuple[dict[str, Array], ...]
    answers: tuple[dict[str, Array], ...]
    unit: int
    max_batch: int | None
    max_in_flight: int


class Subject:
    """A plug-in under examination; everything about it is found when it is first asked for, and kept.

    Args:
        order: What is to be checked.
        backend: The plug-in, where it is at hand; otherwise it is imported by the order's entry.
    """

    def __init__(self, order: Order, backend: Backend | None = None) -> None:
        self.order = order
        self._given = backend

    @cached_property
    def entry(self) -> str:
        """The plug-in's class as ``module:Class``."""
        if self.order.entry:
            return self.order.entry
        entries = plugin_entries(BACKENDS)
        if self.order.backend not in entries:
            raise Broken(f"this interpreter has no entry point '{self.order.backend}' in the group {BACKENDS}")
        return entries[self.order.backend]

    @cached_property
    def backend(self) -> Backend:
        """The plug-in."""
        if self._given is not None:
            return self._given
        try:
            return load_backend(self.order.backend, self.entry)
        except PluginError as error:
            raise Broken(str(error)) from error

    @cached_property
    def availability(self) -> Availability:
        """How far the plug-in gets on this machine."""
        return probe(self.order.backend, self.backend)

    @cached_property
    def device(self) -> Device:
        """The device that is checked.

        Raises:
            Missing: The plug-in is not ready.
            Broken: It is, and has no such device.
        """
        found = self.availability
        if found.rung < Rung.READY:
            raise Missing("device", f"{found.rung.word}: {'; '.join(filter(None, (found.reason, found.advice)))}")
        if not found.devices:
            raise Broken("the rung is ready, and there is no device")
        try:
            return find_device(self.order.backend, found, self.order.device or found.devices[0].name)
        except PluginError as error:
            raise Broken(str(error)) from error

    @property
    def simulated(self) -> bool:
        """Whether the plug-in stands in for hardware: all its devices are simulated."""
        devices = self.availability.devices
        return bool(devices) and all(device.simulated for device in devices)

    @cached_property
    def options(self) -> Any:
        """The backend's options as the order has them."""
        try:
            return parse_options(type(self.backend).Options, self.order.options)
        except OptionError as error:
            raise Broken(str(error)) from error

    @cached_property
    def bundle(self) -> Bundle | None:
        """The workload; None where inputs are drawn."""
        return read_bundle(Path(self.order.bundle)) if self.order.bundle else None

    @cached_property
    def model(self) -> Model:
        """The model in the first precision that the backend supports.

        Raises:
            NotApplicable: There is none that it supports.
        """
        bundle = self.bundle
        if bundle is None:
            raise NotApplicable("there is no model: an artefact was handed in")
        refused = []
        for precision in _PRECISIONS:
            if precision in bundle.variants or (precision == "vendor" and bundle.calibration_digest):
                model = bundle.model(precision)
                support = self.backend.supports(model, self.device)
                if support.supported:
                    return model
                refused.append(f"{precision}: {support.reason}")
        raise NotApplicable(f"the model of '{bundle.workload}' is not supported ({'; '.join(refused)}); {HAND_IN}")

    @property
    def work(self) -> Path:
        """A folder for compiled artefacts."""
        return Path(self.order.work)

    @cached_property
    def artefact(self) -> Artefact:
        """What is loaded: handed in, or compiled once.

        Raises:
            NotApplicable: The compiler refuses the model, and nothing was handed in.
        """
        if self.order.artefact:
            path = Path(self.order.artefact)
            if not path.exists():
                raise Broken(f"{path}: there is no such artefact")
            return ready_artefact(path).artefact
        model = self.model
        try:
            return compile_cached(self.backend, self.order.backend, model, self.device, self.options, self.work).artefact
        except Unsupported as error:
            raise NotApplicable(f"unsupported: {error}; {HAND_IN}") from error

    def open(self) -> Executor:
        """Return a fresh executor; a context manager. One at a time: a device may hold no second."""
        return self.backend.load(self.artefact, self.device, self.options)

    @cached_property
    def inside(self) -> Inside:
        """What an executor takes and gives; opens one and closes it."""
        with self.open() as executor:
            return look_inside(executor, self.bundle)

    @cached_property
    def apart(self) -> tuple[tuple[dict[str, Array], dict[str, Array]], ...]:
        """Requests with their answers, of which no answer can be mistaken for another.

        Raises:
            NotApplicable: All answers are alike.
        """
        inside = self.inside
        kept = distinct(inside.answers)
        if len(kept) < 2:
            raise NotApplicable("its answers to different inputs are alike; give a model that tells them apart by --model")
        return tuple((inside.requests[n], inside.answers[n]) for n in kept)

    @cached_property
    def sensors(self) -> Sequence[Sensor]:
        """The device's sensors."""
        return tuple(self.backend.sensors(self.device))


#: What to do where nothing can be compiled here.
HAND_IN = "hand a ready artefact in by --artefact"


def look_inside(executor: Executor, bundle: Bundle | None) -> Inside:
    """Bind an executor's tensors, make requests and have each answered once.

    Raises:
        Broken: Its tensors cannot be those of the workload.
    """
    if not isinstance(executor, Executor):
        raise Broken(f"load returned {type(executor).__name__}, not an Executor")
    for name in ("inputs", "outputs"):
        if not getattr(executor, name, None) or not all(isinstance(spec, TensorSpec) for spec in getattr(executor, name)):
            raise Broken(f"the executor's {name} are not TensorSpecs")
    try:
        inputs = bind(bundle.inputs if bundle else executor.inputs, executor.inputs, "input")
        outputs = bind(bundle.outputs if bundle else executor.outputs, executor.outputs, "output")
    except BindingError as error:
        raise Broken(str(error)) from error
    fixed = {spec.shape[0] for spec in executor.inputs if spec.shape and spec.shape[0] is not None}
    unit = max((n for n in fixed if n is not None), default=1)
    requests = tuple(_requests(inputs, bundle, unit))
    answers = tuple(copied(executor.execute(request)) for request in requests)
    return Inside(inputs, outputs, requests, answers, unit, executor.max_batch, executor.max_in_flight)


def _requests(bindings: Sequence[Binding], bundle: Bundle | None, unit: int) -> list[dict[str, Array]]:
    count = _REQUESTS * unit
    if bundle is None:
        generator = np.random.default_rng(_SEED)
        arrays = [drawn(binding.executor, count, generator) for binding in bindings]
    else:
        stored = bundle.load_inputs()
        order = np.arange(count) % len(stored[0])
        arrays = [np.asarray(array)[order] for array in stored]
    laid = {b.key: to_executor(array, b) for b, array in zip(bindings, arrays, strict=True)}
    return [_cut(laid, n * unit, unit) for n in range(_REQUESTS)]


def _cut(laid: Mapping[str, Array], first: int, count: int) -> dict[str, Array]:
    request = {name: np.array(values[first : first + count]) for name, values in laid.items()}
    for values in request.values():
        values.setflags(write=False)
    return request


def drawn(spec: TensorSpec, count: int, generator: np.random.Generator) -> Array:
    """Return ``count`` samples of what a TensorSpec declares; free axes but the batch have length 1.

    Standard normal floats, all values of 8-bit integers, 0…9 of wider ones (token ids and indices that are in range for
    nearly every table), and coin tosses for booleans.
    """
    shape = (count, *(1 if n is None else n for n in spec.shape[1:]))
    dtype = np.dtype(spec.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = (limits.min, limits.max + 1) if dtype.itemsize == 1 else (0, 10)
        return generator.integers(low, high, shape).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    return generator.standard_normal(shape, dtype=np.float32).astype(dtype)
