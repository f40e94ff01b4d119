"""Is the model compiled once, kept under the right key, and does the plug-in say truly where its operators run?"""

from __future__ import annotations

import dataclasses
import re
import tempfile
import time
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npubench.contract.artefact import Offload, Unsupported, WrongArtefact
from npubench.contract.backend import Backend
from npubench.contract.bundle import path_digest
from npubench.measure.artefacts import compile_cached, path_size, ready_artefact
from npubench.measure.events import words
from npubench.testing.conformance.subject import Subject
from npubench.testing.conformance.verdict import Broken, Check, NotApplicable, Noted

#: A compiler slower than this is not asked again for every option, s.
_SLOW_S = 10.0

#: How many options are tried.
_FLIPS = 4

#: How long a vendor's compiler may take, s: as long as the compile phase of a run.
COMPILE_DEADLINE_S = 1800.0

#: What no runtime takes for an artefact of its own.
_GARBAGE = b"this is no artefact\n" * 200


def _compile(subject: Subject) -> str:
    artefact = subject.artefact
    if not artefact.path.exists():
        raise Broken(f"compile returned {artefact.path}, which is not there")
    how = "handed in" if artefact.ready else f"by {artefact.compiler}" if artefact.compiler else "as it is"
    return f"{artefact.path.name} ({artefact.format}, {path_size(artefact.path)} bytes), {how}"


def _own(subject: Subject) -> type[Backend]:
    cls = type(subject.backend)
    if subject.order.artefact:
        raise NotApplicable("the artefact was handed in")
    if cls.compile is Backend.compile:
        raise NotApplicable("it compiles nothing: the ONNX file is the artefact")
    return cls


def _kept(subject: Subject) -> str:
    _own(subject)
    with tempfile.TemporaryDirectory(dir=subject.work) as folder:
        work = Path(folder).resolve()
        artefact = subject.backend.compile(subject.model, subject.device, subject.options, work)
        if not artefact.path.resolve().is_relative_to(work):
            raise Broken(f"the artefact {artefact.path} lies outside of the folder given to compile, and is never cached")
    if not artefact.format.strip():
        raise Broken("the artefact has no format")
    if _version(artefact.compiler) is None:
        raise Broken(f"the artefact's compiler is {artefact.compiler!r}: a name and a version are wanted")
    return f"format '{artefact.format}', compiler '{artefact.compiler}'"


def _version(text: str) -> str | None:
    found = re.search(r"\d+(\.\d+)+\S*|\d+", text)
    return found[0] if found else None


def _key(subject: Subject) -> str:
    cls = _own(subject)
    backend, device, options = subject.backend, subject.device, subject.options
    key, again = backend.compile_key(device, options), backend.compile_key(device, dataclasses.replace(options))
    if not isinstance(key, str) or not key:
        raise Broken(f"compile_key returns {key!r}, not a text")
    if key != again:
        raise Broken(f"the same options give the keys {key!r} and {again!r}")
    version = _version(subject.artefact.compiler)
    if version and version not in key:
        raise Broken(f"the key {key!r} does not hold the compiler's version ('{subject.artefact.compiler}')")
    begun = time.monotonic()
    first = _digest(subject, options)
    if time.monotonic() - begun > _SLOW_S:
        return f"{key!r}; options were not tried, since one compilation takes {time.monotonic() - begun:.0f} s"
    if _digest(subject, options) != first:
        return f"{key!r}; the compiler writes another file every time, so that options cannot be told apart by it"
    tried = []
    for name, changed in _flipped(cls.Options, options):
        try:
            other = _digest(subject, changed)
        except Unsupported:
            continue
        if other != first and backend.compile_key(device, changed) == key:
            raise Broken(f"{name} = {getattr(changed, name)!r} gives another artefact under the same key {key!r}")
        tried.append(name)
    return f"{key!r}" + (f"; tried {', '.join(tried)}" if tried else "")


def _digest(subject: Subject, options: Any) -> str:
    with tempfile.TemporaryDirectory(dir=subject.work) as folder:
        artefact = subject.backend.compile(subject.model, subject.device, options, Path(folder))
        return path_digest(artefact.path)


def _flipped(cls: type, options: Any) -> Iterator[tuple[str, Any]]:
    """Yield options with one boolean or literal field set to another value, a few at most."""
    hints = typing.get_type_hints(cls)
    found = 0
    for field in dataclasses.fields(cls):
        now = getattr(options, field.name)
        if hints[field.name] is bool:
            others: list[Any] = [not now]
        elif typing.get_origin(hints[field.name]) is typing.Literal:
            others = [value for value in typing.get_args(hints[field.name]) if value != now][:1]
        else:
            continue
        for value in others:
            try:
                changed = dataclasses.replace(options, **{field.name: value})
            except (TypeError, ValueError):
                continue  # options that exclude one another
            yield field.name, changed
            found += 1
            if found == _FLIPS:
                return


def _load(subject: Subject) -> str:
    inside = subject.inside
    return (
        f"max_batch {inside.max_batch or 'any'}, max_in_flight {inside.max_in_flight}, "
        f"{len(inside.requests)} requests of {inside.unit} sample{'s' if inside.unit > 1 else ''} answered"
    )


def _cache(subject: Subject) -> str:
    artefact = subject.artefact
    before = path_digest(artefact.path)
    request = subject.inside.requests[0]
    with subject.open() as executor:
        executor.execute(request)
    if path_digest(artefact.path) != before:
        raise Broken(f"{artefact.path.name} is another file once it has been loaded")
    if type(subject.backend).compile is Backend.compile or subject.order.artefact:
        return "unchanged by load, a request and close"
    if not artefact.path.resolve().is_relative_to(subject.work.resolve()):
        raise NotApplicable("the artefact lies outside of the folder given to compile, and is never cached")
    again = compile_cached(subject.backend, subject.order.backend, subject.model, subject.device, subject.options, subject.work)
    if not again.cached:
        raise Broken("it was compiled anew, although nothing had changed")
    if path_digest(again.artefact.path) != before:
        raise Broken("the artefact from the cache is another one")
    return "found again, unchanged by load, a request and close"


def _wrong(subject: Subject) -> str:
    suffix = subject.artefact.path.suffix
    with tempfile.TemporaryDirectory(dir=subject.work) as folder:
        path = Path(folder) / f"garbage{suffix}"
        path.write_bytes(_GARBAGE)
        try:
            subject.backend.load(ready_artefact(path).artefact, subject.device, subject.options).close()
        except WrongArtefact as error:
            if not str(error).strip():
                raise Broken("it raises WrongArtefact without a word") from error
            return f"WrongArtefact: {error}"
        except Exception as error:
            raise Noted(
                f"it is refused by {words(error)[:300]}; WrongArtefact would tell the user that the file is the fault"
            ) from error
    raise Broken("a file of garbage is loaded without a word")


def _offload(subject: Subject) -> str:
    request = subject.inside.requests[0]
    with subject.open() as executor:
        executor.execute(request)
        found: Any = executor.offload()
    if found is None:
        raise Noted("None: it cannot tell, so every run carries a finding that says so")
    if not isinstance(found, Offload):
        raise Broken(f"offload returns {type(found).__name__}, not an Offload")
    device, host = found.device_operators, found.host_operators
    if min(device, host) < 0:
        raise Broken(f"{device} operators on the device and {host} on the host: no number is below 0")
    if not found.source.strip():
        raise Broken("it does not say where the account comes from")
    if device == 0:
        raise Broken(f"no operator runs on {subject.device.name}, {host} on the host: what is measured is the host")
    if host and not getattr(subject.options, "allow_host_operators", False):
        types = f" ({', '.join(found.host_types)})" if found.host_types else ""
        raise Noted(f"{host} of {device + host} operators run on the host{types}: runs without allow_host_operators are invalid")
    return f"{device} operators on the device, {host} on the host ({found.source})"


CHECKS = (
    Check(
        "artefacts/compile",
        "The model is compiled, or the artefact handed in is there.",
        "Raise Unsupported with the compiler's own words where it refuses; return the path of what was written.",
        "device",
        _compile,
        gives="artefact",
        deadline_s=COMPILE_DEADLINE_S,
    ),
    Check(
        "artefacts/kept",
        "compile writes into the folder it is given, and says format, compiler and version.",
        "Write below work; set Artefact.format and Artefact.compiler, such as 'acmec 2.1'.",
        "artefact",
        _kept,
        deadline_s=COMPILE_DEADLINE_S,
    ),
    Check(
        "artefacts/key",
        "compile_key is one for equal options, holds the compiler's version, and differs where options change the artefact.",
        "Return the compiler, its version and the options that matter to it, as one text.",
        "artefact",
        _key,
        deadline_s=COMPILE_DEADLINE_S,
    ),
    Check(
        "artefacts/wrong",
        "A file that is no artefact of this runtime is refused by WrongArtefact.",
        "Look at the file's head before the runtime does; say what it is for, what is here and how to get the right one.",
        "artefact",
        _wrong,
    ),
    Check(
        "artefacts/load",
        "load gives an executor whose tensors are those of the workload, and which answers.",
        "See that load takes the artefact as compile wrote it, and that names, shapes and layout are in the TensorSpecs.",
        "artefact",
        _load,
        gives="executor",
    ),
    Check(
        "artefacts/cache",
        "An artefact is left as it is by whoever loads it, and found again instead of compiled anew.",
        "Write nothing into the artefact; side files belong into work while compiling.",
        "executor",
        _cache,
        deadline_s=COMPILE_DEADLINE_S,
    ),
    Check(
        "artefacts/offload",
        "offload says how many operators run on the device and on the host, from the runtime's own account.",
        "Return None where the runtime does not tell; never count what was merely asked for.",
        "executor",
        _offload,
    ),
)
