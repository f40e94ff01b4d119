"""A plug-in that conforms, and for every check of the kit one that does not: each does one thing wrong on purpose.

Imported by name in fresh interpreters as well, so it imports nothing that a vendor's environment lacks.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from npubench.contract import (
    Artefact,
    Availability,
    Backend,
    Device,
    Done,
    Executor,
    Model,
    Offload,
    OperatorTime,
    PowerLimit,
    Rung,
    Sensor,
    Tensors,
    TensorSpec,
    WrongArtefact,
)

#: y = a @ A + b @ B, where b counts for little.
A = np.array([[1, 2], [3, -4], [-5, 6], [7, 8]], np.float32)
B = np.array([[0.5, 1], [1, 0.5], [-1, 1]], np.float32)

INPUTS = (TensorSpec("a", "float32", (None, 4)), TensorSpec("b", "float32", (None, 3)))
OUTPUTS = (TensorSpec("y", "float32", (None, 2)),)


@dataclass(frozen=True)
class Options:
    mode: Literal["plain", "fused"] = "plain"
    trace: bool = False


class GoodExecutor(Executor):
    """Computes with numpy and does what the contract asks for."""

    inputs = INPUTS
    outputs = OUTPUTS
    max_batch = 8
    max_in_flight = 4

    def __init__(self, backend: GoodBackend, artefact: Artefact) -> None:
        self.backend = backend
        self.artefact = artefact
        self.closed = False

    def compute(self, inputs: Tensors) -> Any:
        return inputs["a"] @ A + inputs["b"] @ B

    def check(self, inputs: Tensors) -> None:
        for name in inputs:
            if name not in ("a", "b"):
                raise ValueError(f"there is no input '{name}'")
        for spec in INPUTS:
            values = inputs.get(spec.name)
            if values is None or values.dtype != spec.dtype or values.ndim != 2 or values.shape[1] != spec.shape[1]:
                raise ValueError(f"input '{spec.name}' is not {spec.dtype} {spec.shape}")

    def execute(self, inputs: Tensors) -> Tensors:
        self.check(inputs)
        return {"y": self.compute(inputs)}

    def offload(self) -> Offload | None:
        return Offload(3, 0, "the toy's own account")

    def close(self) -> None:
        self.closed = True


class GoodAsync(GoodExecutor):
    """The same with ``submit`` and threads of its own."""

    def __init__(self, backend: GoodBackend, artefact: Artefact) -> None:
        super().__init__(backend, artefact)
        self.waiting: queue.SimpleQueue[tuple[Tensors, Done] | None] = queue.SimpleQueue()
        self.threads = [threading.Thread(target=self.serve, daemon=True) for _ in range(self.max_in_flight)]
        for thread in self.threads:
            thread.start()

    def submit(self, inputs: Tensors, done: Done) -> None:
        self.check(inputs)
        self.waiting.put((inputs, done))

    def serve(self) -> None:
        while (taken := self.waiting.get()) is not None:
            self.answer(*taken)

    def answer(self, inputs: Tensors, done: Done) -> None:
        done({"y": self.compute(inputs)}, None)

    def close(self) -> None:
        if not self.closed:
            for _ in self.threads:
                self.waiting.put(None)
            for thread in self.threads:
                thread.join()
        super().close()


class Counter(Sensor):
    """An energy counter that goes up with every reading."""

    name, kind, domain, update_period_ns = "card energy", "energy", "card", 1_000_000

    def __init__(self) -> None:
        self.value = 5_000_000

    def read(self) -> int | None:
        self.value += 10
        return self.value


class Gauge(Sensor):
    name, kind, domain, update_period_ns = "card power", "power", "card", 1_000_000
    value: Any = 20_000

    def read(self) -> int | None:
        return self.value  # type: ignore[no-any-return]


class Limit(PowerLimit):
    """A card's limit that nobody may set here: a check that tried to would be found out."""

    value: Any = 75_000
    range: Any = (50_000, 100_000)

    def read(self) -> int | None:
        return self.value  # type: ignore[no-any-return]

    def bounds(self) -> tuple[int, int] | None:
        return self.range  # type: ignore[no-any-return]

    def set(self, milliwatts: int) -> None:
        raise AssertionError("nobody asked for another limit")


class GoodBackend(Backend):
    Options: ClassVar[type] = Options
    executor: ClassVar[type[GoodExecutor]] = GoodExecutor
    version: ClassVar[str] = "2.1"

    def probe(self) -> Availability:
        return Availability(Rung.READY, versions={"toy": "1.0"}, devices=(Device("toy:0", "TOY-1"), Device("toy:1", "TOY-1")))

    def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
        path = work / "model.toy"
        path.write_text(json.dumps({"model": model.digest, "mode": options.mode}))
        return Artefact(path, "toy", f"toyc {self.version}")

    def compile_key(self, device: Device, options: Any) -> str:
        return f"toyc {self.version} {options.mode}"

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        try:
            json.loads(artefact.path.read_text())
        except ValueError as error:
            raise WrongArtefact("no toy artefact; compile it with toyc 2.1") from error
        return self.executor(self, artefact)

    def power_limit(self, device: Device) -> PowerLimit | None:
        return Limit()

    def sensors(self, device: Device) -> Any:
        return [Counter(), Gauge()]

    def profile(self, artefact: Artefact, device: Device, options: Any, inputs: Sequence[Tensors]) -> Any:
        with self.load(artefact, device, options) as executor:
            for request in (inputs[0], *inputs):
                executor.execute(request)
        return [OperatorTime("a @ A", "MatMul", 700, len(inputs), "device"), OperatorTime("+", "Add", 30, len(inputs), "host")]


class GoodAsyncBackend(GoodBackend):
    executor = GoodAsync


BROKEN: dict[str, list[type[Backend]]] = {}

#: Where :class:`Locks` has its lock file, as the test sets it; others leave files beside it.
LOCK = "BROKEN_NPUS_LOCK"


def breaks(check: str) -> Any:
    def note(cls: type[Backend]) -> type[Backend]:
        BROKEN.setdefault(check, []).append(cls)
        return cls

    return note


def with_executor(check: str, base: type[GoodBackend] = GoodBackend) -> Any:
    """Note a backend whose executor is the decorated class."""

    def note(cls: type[GoodExecutor]) -> type[GoodExecutor]:
        breaks(check)(type(f"{cls.__name__}Backend", (base,), {"executor": cls}))
        return cls

    return note


# ---------------------------------------------------------------- identity


@breaks("identity/import")
class OtherContract(GoodBackend):
    contract = 99


@breaks("identity/ladder")
class NoAdvice(GoodBackend):
    def probe(self) -> Availability:
        return Availability(Rung.DRIVER_MISSING, "the driver is missing")


@breaks("identity/ladder")
class NoReason(GoodBackend):
    def probe(self) -> Availability:
        return Availability(Rung.NO_DEVICE, advice="plug a card in")


@breaks("identity/ladder")
class ProbeRaises(GoodBackend):
    def probe(self) -> Availability:
        raise RuntimeError("libtoy.so: no such file")


@breaks("identity/ladder")
class Wavering(GoodBackend):
    def __init__(self) -> None:
        self.asked = 0

    def probe(self) -> Availability:
        self.asked += 1
        return super().probe() if self.asked % 2 else Availability(Rung.NO_DEVICE, "gone", "wait")


@breaks("identity/devices")
class Twins(GoodBackend):
    def probe(self) -> Availability:
        return replace(super().probe(), devices=(Device("toy:0", "TOY-1"), Device("toy:0", "TOY-1")))


@breaks("identity/devices")
class Shouting(GoodBackend):
    def probe(self) -> Availability:
        return replace(super().probe(), devices=(Device("TOY0", "TOY-1"),))


@dataclass
class Thawed:
    mode: str = "plain"


@dataclass(frozen=True)
class Loose:
    mode: str = "plain"
    folder: Path = Path("/tmp")


@dataclass(frozen=True)
class Mistaken:
    mode: str = "plain"
    threads: int = 0.5  # type: ignore[assignment]


@breaks("identity/options")
class ThawedOptions(GoodBackend):
    Options = Thawed


@breaks("identity/options")
class LooseOptions(GoodBackend):
    Options = Loose


@breaks("identity/options")
class MistakenOptions(GoodBackend):
    Options = Mistaken


# ---------------------------------------------------------------- artefacts


@breaks("artefacts/compile")
class CompileRaises(GoodBackend):
    def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
        raise RuntimeError("toyc: internal error 7")


@breaks("artefacts/kept")
class Elsewhere(GoodBackend):
    def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
        made = super().compile(model, device, options, work)
        return replace(made, path=made.path.rename(Path(os.environ[LOCK]).with_name("elsewhere.toy")))


@breaks("artefacts/kept")
class Nameless(GoodBackend):
    def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
        return replace(super().compile(model, device, options, work), compiler="toyc")


@breaks("artefacts/key")
class ForgetsOptions(GoodBackend):
    def compile_key(self, device: Device, options: Any) -> str:
        return f"toyc {self.version}"


@breaks("artefacts/key")
class ForgetsVersion(GoodBackend):
    def compile_key(self, device: Device, options: Any) -> str:
        return options.mode  # type: ignore[no-any-return]


@breaks("artefacts/wrong")
class TakesAnything(GoodBackend):
    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        return self.executor(self, artefact)


@breaks("artefacts/load")
class LoadsNothing(GoodBackend):
    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        super().load(artefact, device, options)
        return None  # type: ignore[return-value]


@with_executor("artefacts/load")
class OtherShape(GoodExecutor):
    outputs = (TensorSpec("y", "float32", (None, 3)),)


@breaks("artefacts/cache")
class Scribbles(GoodBackend):
    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        executor = super().load(artefact, device, options)
        artefact.path.write_text(artefact.path.read_text() + " ")
        return executor


@with_executor("artefacts/offload")
class RunsNothing(GoodExecutor):
    def offload(self) -> Offload | None:
        return Offload(0, 3, "the toy's own account")


@with_executor("artefacts/offload")
class Negative(GoodExecutor):
    def offload(self) -> Offload | None:
        return Offload(3, -1, "the toy's own account")


# ---------------------------------------------------------------- answers


@with_executor("answers/specs")
class OtherType(GoodExecutor):
    outputs = (TensorSpec("y", "float64", (None, 2)),)


@with_executor("answers/specs")
class OddLayout(GoodExecutor):
    inputs = (replace(INPUTS[0], layout="ABCD"), INPUTS[1])


@with_executor("answers/truth")
class Garbage(GoodExecutor):
    def compute(self, inputs: Tensors) -> Any:
        return -super().compute(inputs)


@with_executor("answers/determinism")
class Wobbles(GoodExecutor):
    count = 0

    def compute(self, inputs: Tensors) -> Any:
        self.count += 1
        return super().compute(inputs) * np.float32(1 + (self.count % 3) * 2e-3)


@with_executor("answers/inputs")
class Deaf(GoodExecutor):
    def compute(self, inputs: Tensors) -> Any:
        return inputs["a"] @ A


@with_executor("answers/buffers")
class OneBufferAThread(GoodExecutor):
    """Returns the same buffer again and again, as a runtime with output slots does."""

    def __init__(self, backend: GoodBackend, artefact: Artefact) -> None:
        super().__init__(backend, artefact)
        self.local = threading.local()

    def compute(self, inputs: Tensors) -> Any:
        if not hasattr(self.local, "buffer"):
            self.local.buffer = np.zeros((self.max_batch or 8, 2), np.float32)
        buffer = self.local.buffer[: len(inputs["a"])]
        buffer[:] = super().compute(inputs)
        return buffer


@with_executor("answers/batch")
class Reversed(GoodExecutor):
    def compute(self, inputs: Tensors) -> Any:
        return np.ascontiguousarray(super().compute(inputs)[::-1])


@with_executor("answers/refusals")
class Gullible(GoodExecutor):
    def check(self, inputs: Tensors) -> None:
        pass


@with_executor("answers/refusals", GoodAsyncBackend)
class GullibleSubmit(GoodAsync):
    def submit(self, inputs: Tensors, done: Done) -> None:
        self.waiting.put(({name: inputs.get(name, np.zeros((1, len(m)), np.float32)) for name, m in (("a", A), ("b", B))}, done))

    def answer(self, inputs: Tensors, done: Done) -> None:
        try:
            super().answer(inputs, done)
        except Exception:  # noqa: BLE001 - this is what is wrong with it
            done({"y": np.zeros((1, 2), np.float32)}, None)


@with_executor("answers/refusals")
class Mumbles(GoodExecutor):
    def check(self, inputs: Tensors) -> None:
        try:
            super().check(inputs)
        except ValueError as error:
            raise RuntimeError("error 0x17") from error


@with_executor("answers/clock")
class Ticks(GoodExecutor):
    def compute(self, inputs: Tensors) -> Any:
        importlib.import_module("ti" + "me").perf_counter()
        return super().compute(inputs)


def with_profile(given: Any) -> None:
    def profile(self: Backend, artefact: Artefact, device: Device, options: Any, inputs: Sequence[Tensors]) -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    breaks("answers/profile")(type("OddProfileBackend", (GoodBackend,), {"profile": profile}))


with_profile([])
with_profile([("conv", 7)])
with_profile([OperatorTime("conv", "Conv", 0.0007, 4, "device")])  # type: ignore[arg-type]
with_profile(RuntimeError("the profiler is not licensed"))


@breaks("answers/profile")
class ProfileSpoils(GoodBackend):
    """Leaves something switched on that changes what the next executor answers."""

    class Spoilt(GoodExecutor):
        def __init__(self, backend: ProfileSpoils, artefact: Artefact) -> None:
            super().__init__(backend, artefact)
            self.factor, backend.factor = backend.factor, 1

        def compute(self, inputs: Tensors) -> Any:
            return super().compute(inputs) * self.factor

    executor = Spoilt  # type: ignore[assignment]
    factor = 1

    def profile(self, artefact: Artefact, device: Device, options: Any, inputs: Sequence[Tensors]) -> Any:
        found = super().profile(artefact, device, options, inputs)
        self.factor = 3
        return found


# ---------------------------------------------------------------- flight


@with_executor("flight/threads")
class OneThread(GoodExecutor):
    """A runtime whose handles belong to the thread that made them."""

    max_in_flight = 1

    def __init__(self, backend: GoodBackend, artefact: Artefact) -> None:
        super().__init__(backend, artefact)
        self.thread = threading.get_ident()

    def compute(self, inputs: Tensors) -> Any:
        if threading.get_ident() != self.thread:
            raise RuntimeError("the context belongs to another thread")
        return super().compute(inputs)


@with_executor("flight/submit", GoodAsyncBackend)
class Ring(GoodAsync):
    """Hands out buffers of a ring, and fills them again when it comes round."""

    def __init__(self, backend: GoodBackend, artefact: Artefact) -> None:
        self.ring = np.zeros((50, self.max_batch or 8, 2), np.float32)
        self.turn = 0
        self.lock = threading.Lock()
        super().__init__(backend, artefact)

    def answer(self, inputs: Tensors, done: Done) -> None:
        with self.lock:
            self.turn += 1
            buffer = self.ring[self.turn % 50, : len(inputs["a"])]
        buffer[:] = self.compute(inputs)
        done({"y": buffer}, None)


@with_executor("flight/callbacks", GoodAsyncBackend)
class CallsBackOnExecute(GoodAsync):
    last: Done | None = None

    def submit(self, inputs: Tensors, done: Done) -> None:
        self.last = done
        super().submit(inputs, done)

    def execute(self, inputs: Tensors) -> Tensors:
        outputs = super().execute(inputs)
        if self.last is not None:
            self.last(outputs, None)
        return outputs


@with_executor("flight/order", GoodAsyncBackend)
class FirstInFirstOut(GoodAsync):
    """Serves the smaller request first, and believes that requests end in the order they came."""

    def __init__(self, backend: GoodBackend, artefact: Artefact) -> None:
        self.order: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self.lock = threading.Lock()
        super().__init__(backend, artefact)

    def submit(self, inputs: Tensors, done: Done) -> None:
        self.check(inputs)
        with self.lock:
            self.order.put(done)
            self.waiting.put((inputs, done))

    def serve(self) -> None:
        taken = self.waiting.get()
        while taken is not None:
            try:
                other = self.waiting.get(timeout=0.02) if len(taken[0]["a"]) > 1 else None
            except queue.Empty:
                other = None
            both = sorted((t for t in (taken, other) if t is not None), key=lambda t: len(t[0]["a"]))
            for inputs, _ in both:
                self.order.get()({"y": self.compute(inputs)}, None)
            taken = self.waiting.get()

    def __exit__(self, *arguments: Any) -> None:
        self.close()


FirstInFirstOut.max_in_flight = 3


@with_executor("flight/blocked", GoodAsyncBackend)
class HoldsSlots(GoodAsync):
    """Frees the device slot only once ``done`` has returned."""

    def __init__(self, backend: GoodBackend, artefact: Artefact) -> None:
        self.slot = threading.Semaphore(1)
        super().__init__(backend, artefact)

    def submit(self, inputs: Tensors, done: Done) -> None:
        self.check(inputs)
        self.slot.acquire()
        self.waiting.put((inputs, done))

    def answer(self, inputs: Tensors, done: Done) -> None:
        super().answer(inputs, done)
        self.slot.release()


@with_executor("flight/thousands", GoodAsyncBackend)
class Drops(GoodAsync):
    """Loses what does not fit into its queue, once it has run for a while."""

    count = 0

    def submit(self, inputs: Tensors, done: Done) -> None:
        self.check(inputs)
        self.count += 1
        if self.count == 150:
            return
        self.waiting.put((inputs, done))


@with_executor("flight/pace", GoodAsyncBackend)
class SlowSubmit(GoodAsync):
    max_in_flight = 1

    def answer(self, inputs: Tensors, done: Done) -> None:
        threading.Event().wait(0.005)
        super().answer(inputs, done)


# ---------------------------------------------------------------- lifecycle


@with_executor("lifecycle/notes")
class Numbers(GoodExecutor):
    def notes(self) -> Mapping[str, str]:
        return {"latency": 3}  # type: ignore[dict-item]


@with_executor("lifecycle/close")
class ClosesOnce(GoodExecutor):
    def close(self) -> None:
        if self.closed:
            raise RuntimeError("the handle is gone")
        super().close()


@with_executor("lifecycle/reload")
class Forgets(GoodExecutor):
    """Answers another model's answers once anything was closed in this process."""

    def compute(self, inputs: Tensors) -> Any:
        return super().compute(inputs) * (3 if getattr(self.backend, "stale", False) else 1)

    def close(self) -> None:
        super().close()
        self.backend.stale = True  # type: ignore[attr-defined]


@with_executor("lifecycle/leftovers")
class LeavesOpen(GoodExecutor):
    left: ClassVar[list[int]] = []

    def __init__(self, backend: GoodBackend, artefact: Artefact) -> None:
        super().__init__(backend, artefact)
        self.left.append(os.open(os.devnull, os.O_RDONLY))


@with_executor("lifecycle/memory")
class Hoards(GoodExecutor):
    kept: ClassVar[list[Any]] = []

    def compute(self, inputs: Tensors) -> Any:
        self.kept.append(np.ones(1 << 17, np.uint8))
        return super().compute(inputs)


@breaks("lifecycle/restart")
class Locks(GoodBackend):
    class Locking(GoodExecutor):
        def __init__(self, backend: GoodBackend, artefact: Artefact) -> None:
            super().__init__(backend, artefact)
            Path(os.environ[LOCK]).touch(exist_ok=False)

        def close(self) -> None:
            super().close()
            Path(os.environ[LOCK]).unlink(missing_ok=True)

    executor = Locking


# ---------------------------------------------------------------- sensors


def with_sensors(check: str, *changes: tuple[type[Sensor], dict[str, Any]]) -> None:
    made = [type(f"Odd{base.__name__}", (base,), values) for base, values in changes]
    breaks(check)(type(f"{check}-backend", (GoodBackend,), {"sensors": lambda self, device: [cls() for cls in made]}))


def _raise(self: Sensor) -> int | None:
    raise OSError("the device is gone")


class Falling(Counter):
    def read(self) -> int | None:
        self.value -= 10
        return self.value


with_sensors("sensors/declared", (Gauge, {"kind": "watts"}))
with_sensors("sensors/declared", (Gauge, {}), (Gauge, {}))
with_sensors("sensors/declared", (Gauge, {"domain": "rack"}))
with_sensors("sensors/period", (Gauge, {"update_period_ns": -1}))
with_sensors("sensors/read", (Gauge, {"value": 17}))
with_sensors("sensors/read", (Gauge, {"value": 17.5}))
with_sensors("sensors/read", (Gauge, {"value": 0}))
with_sensors("sensors/read", (Gauge, {"read": _raise}))
with_sensors("sensors/monotone", (Falling, {}))


def with_limit(**values: Any) -> None:
    made = type("OddLimit", (Limit,), values)
    breaks("sensors/power-limit")(type("limit-backend", (GoodBackend,), {"power_limit": lambda self, device: made()}))


with_limit(value=75)
with_limit(value=75_000.0)
with_limit(value=120_000)
with_limit(range=(100_000, 50_000))
with_limit(read=_raise)


# ---------------------------------------------------------------- what is not there, and what ends or holds the process


class Absent(GoodBackend):
    def probe(self) -> Availability:
        return Availability(Rung.DRIVER_MISSING, "the kernel module toy is not loaded", "run: modprobe toy")


class Aborts(GoodBackend):
    class Aborting(GoodExecutor):
        def offload(self) -> Offload | None:
            os.write(2, b"toy: assertion failed in libtoy.so\n")
            os.abort()

    executor = Aborting


class Exits(GoodBackend):
    class Exiting(GoodExecutor):
        def offload(self) -> Offload | None:
            os._exit(0)

    executor = Exiting


class Hangs(GoodBackend):
    class Hanging(GoodExecutor):
        def notes(self) -> Mapping[str, str]:
            threading.Event().wait()
            return {}

    executor = Hanging


class Noisy(GoodBackend):
    """Prints megabytes, writes into every descriptor it finds, and takes signals for itself."""

    def probe(self) -> Availability:
        os.write(1, b"the SDK says hello\n" * 100_000)
        for descriptor in range(3, 40):
            with contextlib.suppress(OSError):
                os.write(descriptor, b'junk\n{"name": "identity/ladder", "status": "odd", "seen": ""}\n[1]\n')
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        return super().probe()
