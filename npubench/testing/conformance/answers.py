"""Are its answers what they claim to be, and the caller's to keep? One request at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.artefact import Unsupported
from npubench.contract.backend import Backend, Executor, submits
from npubench.contract.bundle import keep_output
from npubench.contract.tensors import LAYOUTS, TensorSpec
from npubench.measure.binding import from_executor
from npubench.measure.check import OutputCheck, OutputError
from npubench.measure.events import words
from npubench.measure.profiled import ProfileError, checked_operators
from npubench.testing.conformance import clocks
from npubench.testing.conformance.compare import OTHER, SAME, Array, copied, difference, joined, rows
from npubench.testing.conformance.subject import Subject
from npubench.testing.conformance.verdict import Broken, Check, NotApplicable, Noted
from npubench.testing.conformance.waiting import Wait

#: An answer further from the CPU reference than this is no rounding, not even by INT8.
_GARBAGE = 0.5

#: The largest batch that is tried.
_LARGEST_BATCH = 16

Request = dict[str, Array]


def _specs(subject: Subject) -> str:
    inside = subject.inside
    with subject.open() as executor:
        for what, specs in (("input", executor.inputs), ("output", executor.outputs)):
            _well_formed(what, specs)
        for name, value in (("max_batch", executor.max_batch or 1), ("max_in_flight", executor.max_in_flight)):
            if not isinstance(value, int) or value < 1:
                raise Broken(f"{name} is {value!r}")
        check = OutputCheck(inside.outputs)
        for request in inside.requests:
            try:
                check.full(executor.execute(request), inside.unit)
            except OutputError as error:
                raise Broken(str(error)) from error
    return f"{_words(subject.inside.inputs)} → {_words(subject.inside.outputs)}"


def _well_formed(what: str, specs: Any) -> None:
    for spec in specs:
        if spec.layout not in LAYOUTS:
            raise Broken(f"{what} '{spec.name}': layout '{spec.layout}' is none of {', '.join(filter(None, LAYOUTS))}")
        if not spec.shape or any(n is not None and (not isinstance(n, int) or n < 1) for n in spec.shape):
            raise Broken(f"{what} '{spec.name}': shape {spec.shape}; the batch is axis 0, and no length is below 1")
        np.dtype(spec.dtype)


def _words(bindings: Any) -> str:
    return ", ".join(f"{b.key} {b.executor.dtype} {_shape(b.executor)}" for b in bindings)


def _shape(spec: TensorSpec) -> str:
    return "[" + ", ".join("any" if n is None else str(n) for n in spec.shape) + "]"


def _truth(subject: Subject) -> str:
    bundle, inside = subject.bundle, subject.inside
    if bundle is None:
        raise NotApplicable("inputs are drawn and have no reference; name the artefact's workload by --workload")
    reference = bundle.load_reference(subject.model.precision if subject.model.precision in bundle.variants else "fp32")
    worst = 0.0
    for n, binding in enumerate(inside.outputs):
        at = next(i for i, spec in enumerate(bundle.outputs) if spec is binding.workload)
        seen = np.concatenate([from_executor(answer[binding.key], binding) for answer in inside.answers])
        wanted = reference[at][np.arange(len(seen)) % len(reference[at])]
        if bundle.keep[at] == "argmax":
            wrong = float(np.mean(keep_output(seen, "argmax") != wanted))
        else:
            wrong = difference({"": seen.astype(np.float64)}, {"": wanted.astype(np.float64)})
        if not wrong < _GARBAGE:
            name = binding.workload.name or str(n)
            raise Broken(f"output '{name}' is {wrong:.3g} away from the CPU reference of '{bundle.workload}' (relative L2)")
        worst = max(worst, wrong)
    return f"within {worst:.2g} of the CPU reference of '{bundle.workload}'"


def _determinism(subject: Subject) -> str:
    inside = subject.inside
    worst, repeats = 0.0, 0
    with subject.open() as executor:
        for _ in range(3):
            for request, answer in zip(inside.requests, inside.answers, strict=True):
                worst = max(worst, difference(executor.execute(request), answer))
                repeats += 1
    if worst > SAME:
        raise Broken(f"the same input gave answers that are {worst:.3g} apart (relative L2)")
    if worst > 0.0:
        raise Noted(f"the same input gave answers that differ in their last bits ({worst:.2g}, relative L2)")
    return f"{repeats} repeated requests, every bit the same"


def _inputs(subject: Subject) -> str:
    inside = subject.inside
    names = [binding.key for binding in inside.inputs]
    with subject.open() as executor:
        for name in names:
            if not any(_moves(executor, request, other, name) for request, other in _neighbours(inside.requests)):
                raise Broken(f"no output changes with input '{name}'")
    return f"every output follows {', '.join(names)}"


def _neighbours(requests: tuple[Request, ...]) -> list[tuple[Request, Request]]:
    return list(pairwise(requests))


def _moves(executor: Executor, request: Request, other: Request, name: str) -> bool:
    return difference(copied(executor.execute(request)), executor.execute({**request, name: other[name]})) > 0.0


def _buffers(subject: Subject) -> str:
    inside = subject.inside
    with subject.open() as executor:
        own = [{name: np.array(values) for name, values in request.items()} for request in inside.requests]
        given = [_locked(request) for request in own]
        kept = [executor.execute(request) for request in given]
        then = [copied(outputs) for outputs in kept]
        for request in own:
            for values in request.values():
                values.setflags(write=True)
                values.fill(0)  # inputs may be reused once execute has returned
        executor.execute(inside.requests[0])
        for n, (outputs, before) in enumerate(zip(kept, then, strict=True)):
            if difference(outputs, before) > 0.0:
                raise Broken(f"what request {n} returned changed afterwards")
            if difference(before, inside.answers[n]) > OTHER:
                raise Broken(f"what request {n} returned was overwritten before it could be read")
    return f"{len(kept)} answers stayed as they were through later requests, and through changes of their inputs"


def _locked(request: Mapping[str, Array]) -> Request:
    for values in request.values():
        values.setflags(write=False)
    return dict(request)


def _batch(subject: Subject) -> str:
    inside = subject.inside
    if any(binding.executor.shape[0] is not None for binding in inside.inputs):
        raise NotApplicable(f"its batch is fixed at {inside.unit}")
    most = min(inside.max_batch or _LARGEST_BATCH, _LARGEST_BATCH, len(inside.requests))
    if most < 2:
        raise NotApplicable("max_batch is 1")
    worst = 0.0
    sizes = sorted({2, 3, most} & set(range(2, most + 1)))
    with subject.open() as executor:
        for size in sizes:
            outputs = executor.execute(joined(inside.requests[:size]))
            for name, values in outputs.items():
                if len(values) != size:
                    raise Broken(f"a batch of {size} gives {len(values)} of output '{name}'")
            for n in range(size):
                worst = max(worst, difference(rows(outputs, n, 1), inside.answers[n]))
    if worst > OTHER:
        raise Broken(f"a sample's answer in a batch is {worst:.3g} from its answer alone (relative L2)")
    text = f"batches of {', '.join(map(str, sizes))}"
    if worst > SAME:
        raise Noted(f"{text}: up to {worst:.2g} from single samples (relative L2)")
    return f"{text} as single samples" + (f", to {worst:.1g}" if worst else "")


def _refusals(subject: Subject) -> str:
    inside = subject.inside
    binding = inside.inputs[0]
    name, good = binding.key, dict(inside.requests[0])
    values = good[name]
    other = np.float64 if values.dtype != np.float64 else np.float32
    bad = {
        f"input '{name}' as {np.dtype(other).name}": {**good, name: values.astype(other)},
        f"input '{name}' with an axis more": {**good, name: values[..., None]},
        f"input '{name}' left out": {key: value for key, value in good.items() if key != name},
        "an input 'no-such-input' more": {**good, "no-such-input": values},
    }
    long = _longer(values, binding.executor)
    if long is not None:
        bad[f"input '{name}' of shape {list(long.shape)}"] = {**good, name: long}
    faults: list[str] = []
    with subject.open() as executor:
        ways: dict[str, Callable[[Request], Any]] = {"execute": executor.execute}
        if submits(executor):
            ways["submit"] = lambda request: Wait(subject.order.patience_s).submit(executor, request)
        for way, call in ways.items():
            for what, request in bad.items():
                try:
                    call(request)
                except Broken:
                    raise
                except Exception as error:  # noqa: BLE001 - any exception is a refusal
                    if not _is_clear(str(error), name, values, request):
                        faults.append(f"{way} refuses {what} with words that do not say so: {words(error)[:200]}")
                else:
                    faults.append(f"{way} takes {what} without a word")
        if difference(executor.execute(good), inside.answers[0]) > OTHER:
            faults.append("and afterwards a good request is answered wrongly")
    if faults:
        raise Broken("; ".join(faults))
    return f"{len(bad)} bad requests refused by {' and '.join(ways)}, and a good one answered after them"


def _longer(values: Array, spec: TensorSpec) -> Array | None:
    """Return values with one axis longer than declared; None where every axis is free."""
    for axis, length in enumerate(spec.shape[1:], 1):
        if length is not None:
            return np.concatenate([values, values], axis=axis)
    return None


def _is_clear(text: str, name: str, values: Array, request: Request) -> bool:
    """Return whether a refusal names the tensor, its dtype or its shape."""
    low = text.lower()
    said = {name.lower(), "no-such-input", "dtype", "shape", "dimension", "rank", "type", "missing"}
    return any(word and word in low for word in said)


def _clock(subject: Subject) -> str:
    if subject.simulated:
        raise NotApplicable("its devices are simulated: what stands in for hardware may take its time")
    requests = subject.inside.requests
    folders = sorted({file.parent if file.name == "__init__.py" else file for file in clocks.own_files(subject.entry)})
    if not folders:
        raise NotApplicable("its source is not here to be watched")
    seen: set[str] = set()
    with clocks.watched([Path(folder) for folder in folders], seen), subject.open() as executor:
        for request in requests:
            executor.execute(request)
            if submits(executor):
                Wait(subject.order.patience_s).submit(executor, request)
    if seen:
        raise Broken("; ".join(sorted(seen)))
    return f"none in load, {len(requests)} requests and close"


def _profile(subject: Subject) -> str:
    """Have a few requests profiled, and hold what comes back to what a run would keep of it."""
    if type(subject.backend).profile is Backend.profile:
        raise NotApplicable("it brings no profile; its reports say nothing of the times of operators")
    requests = subject.inside.requests[:4]
    try:
        found = subject.backend.profile(subject.artefact, subject.device, subject.options, requests)
    except Unsupported as error:
        raise Noted(f"none here: {error}") from error
    except Exception as error:
        raise Broken(f"profile raises {words(error)}") from error
    if found is None:
        raise Noted("it brings a profile, which returns None here")
    try:
        operators = checked_operators(found)
    except ProfileError as error:
        raise Broken(str(error)) from error
    total = sum(each.nanoseconds for each in operators)
    with subject.open() as executor:
        if difference(copied(executor.execute(requests[0])), subject.inside.answers[0]) > OTHER:
            raise Broken("after a profile the answers are others than before")
    if not total:
        raise Noted(f"{len(operators)} operators, of which none reached a step of the runtime's clock; a larger model tells more")
    longest = max(operators, key=lambda each: each.nanoseconds)
    part = longest.nanoseconds / total
    return f"{len(operators)} operators; the longest is {longest.name} ({longest.kind}), {part:.0%} of the time"


CHECKS = (
    Check(
        "answers/specs",
        "inputs and outputs are as the TensorSpecs say: names, dtypes, shapes; every value is finite.",
        "Make the TensorSpecs from what the runtime says of the loaded artefact, not from the ONNX file.",
        "executor",
        _specs,
    ),
    Check(
        "answers/truth",
        "The answers are those of the model: near the CPU reference.",
        "Look at layout, quantisation, the order of inputs and outputs, and pre-processing compiled into the artefact.",
        "executor",
        _truth,
    ),
    Check(
        "answers/determinism",
        "The same input gives the same answer, whatever was asked in between.",
        "Look for outputs of an earlier request, state kept between requests, and buffers that are not waited for.",
        "executor",
        _determinism,
    ),
    Check(
        "answers/inputs",
        "The answer depends on every input.",
        "Hand every tensor of the request to the runtime, in the order of its TensorSpecs.",
        "executor",
        _inputs,
    ),
    Check(
        "answers/buffers",
        "Returned arrays belong to the caller: nothing that happens later changes them.",
        "Copy what the runtime returns, unless it allocates anew for every request; return no view of an input.",
        "executor",
        _buffers,
    ),
    Check(
        "answers/batch",
        "A sample's answer in a batch is its answer alone, up to max_batch.",
        "Declare the max_batch that the artefact was compiled for; 1 where it takes no more.",
        "executor",
        _batch,
    ),
    Check(
        "answers/refusals",
        "A wrong dtype, shape, name or number of inputs is refused, in words that name it.",
        "Compare names, dtype and shape with the TensorSpecs and raise ValueError before the runtime is called.",
        "executor",
        _refusals,
    ),
    Check(
        "answers/clock",
        "The plug-in reads no clock while it loads, answers and closes.",
        "Leave timing to the harness; device-side timings that the runtime offers belong into notes().",
        "executor",
        _clock,
    ),
    Check(
        "answers/profile",
        "A profile, where it is brought, names operators with the runtime's own times, and leaves no executor behind.",
        "Return OperatorTime with whole ns of all counted requests; None, or Unsupported with a reason, where there is none.",
        "executor",
        _profile,
    ),
)
