"""Is it a plug-in, and does it say truly how far it gets? Needs no device."""

from __future__ import annotations

import dataclasses
import sys
import typing
from typing import Any

from npubench.contract.availability import Availability, Device, Rung
from npubench.contract.backend import CONTRACT_VERSION, Backend
from npubench.contract.options import OptionError, parse_options
from npubench.contract.runspec import to_plain
from npubench.testing.conformance import clocks
from npubench.testing.conformance.fresh import brought_in
from npubench.testing.conformance.subject import Subject
from npubench.testing.conformance.verdict import Broken, Check, NotApplicable

#: What a plug-in may import when it is imported itself, beside the standard library and its own package.
_LIGHT = {"npubench", "numpy"}


def _import(subject: Subject) -> str:
    backend = subject.backend
    cls = type(backend)
    if not isinstance(backend, Backend) or cls.contract != CONTRACT_VERSION:
        raise Broken(f"{subject.entry} is no Backend of contract {CONTRACT_VERSION}")
    return f"{subject.entry}, contract {cls.contract}"


def _listing(subject: Subject) -> str:
    module = subject.entry.partition(":")[0]
    loaded = brought_in("listing", module)
    if module in loaded:
        raise Broken(f"the module {module} is loaded before anyone asked for the plug-in")
    return f"the names of all backends, without {module}"


def _light(subject: Subject) -> str:
    module = subject.entry.partition(":")[0]
    own = module.partition(".")[0]
    try:
        brought = brought_in("importing", module)
    except RuntimeError as error:
        raise Broken(f"importing {module}: {error}") from error
    heavy = sorted(
        name
        for name in brought
        if name not in _LIGHT and name != own and name not in sys.stdlib_module_names and not name.startswith("_")
    )
    if heavy:
        raise Broken(f"importing {module} imports {', '.join(heavy)}")
    return f"importing {module} brings in nothing but the standard library, numpy and the contract"


def _ladder(subject: Subject) -> str:
    backend = subject.backend
    try:
        found: Any = backend.probe()
    except BaseException as error:
        raise Broken(f"probe raises {type(error).__name__}: {error}") from error
    if not isinstance(found, Availability) or not isinstance(found.rung, Rung):
        raise Broken(f"probe returns {found!r}, not an Availability with a Rung")
    word = found.rung.word
    if found.rung < Rung.READY:
        if not found.reason.strip():
            raise Broken(f"{word} without a reason")
        if not found.advice.strip():
            raise Broken(f"{word} ({found.reason}) without advice")
        if found.devices:
            raise Broken(f"{word}, and yet the devices {', '.join(d.name for d in found.devices)}")
    elif not found.devices:
        raise Broken("ready, and no device")
    again = backend.probe()
    if again.rung is not found.rung or [d.name for d in again.devices] != [d.name for d in found.devices]:
        raise Broken(f"{_brief(found)}, and when asked again {_brief(again)}")
    return _brief(found)


def _brief(found: Availability) -> str:
    if found.rung is Rung.READY:
        return f"ready: {', '.join(device.name for device in found.devices)}"
    return f"{found.rung.word}: {found.reason} → {found.advice}"


def _devices(subject: Subject) -> str:
    devices, versions = _as_said(subject)
    for each in devices:
        if not isinstance(each, Device) or not each.name or not each.kind:
            raise Broken(f"{each!r} has no name or no kind")
        if each.name != each.name.strip().lower():
            raise Broken(f"the name '{each.name}' is not in lower case")
    names = [each.name for each in devices]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Broken(f"more than one device is called {', '.join(twice)}")
    device = subject.device
    if not versions:
        raise Broken("probe names no version of the SDK")
    return f"{device.name} is a {device.kind}; checked of {', '.join(names)}"


def _as_said(subject: Subject) -> tuple[Any, Any]:
    """Return devices and versions as the plug-in says them: the kernel takes nothing ambiguous for ready."""
    try:
        found = subject.backend.probe()
        return found.devices, found.versions
    except Exception:  # noqa: BLE001 - what is wrong with probe is told by identity/ladder
        return (), {}


def _options(subject: Subject) -> str:
    cls = type(subject.backend).Options
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise Broken(f"Options is {cls!r}, not a frozen dataclass")
    try:
        hints = typing.get_type_hints(cls)
    except NameError as error:
        raise Broken(f"{cls.__name__}: a type cannot be resolved: {error}") from error
    needed = {}
    for field in dataclasses.fields(cls):
        default = _default(field)
        if default is dataclasses.MISSING:
            if field.name in subject.order.options:
                needed[field.name] = subject.order.options[field.name]
                continue
            raise NotApplicable(f"option '{field.name}' has no default; give it by --option {field.name}=VALUE")
        try:
            parse_options(cls, {**needed, field.name: to_plain(default)})
        except OptionError as error:
            raise Broken(f"its own default is refused, which TOML could not set either: {error}") from error
        try:
            parse_options(cls, {**needed, field.name: _Nothing()})
        except OptionError:
            continue
        raise Broken(f"option '{field.name}' takes anything: {hints[field.name]!r}")
    subject.options  # noqa: B018 - those of the order must be valid as well
    return ", ".join(f"{name}: {_word(hint)}" for name, hint in hints.items()) or "none"


def _word(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


class _Nothing:
    """A value of no type that a suite file can have."""


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else dataclasses.MISSING


def _clock(subject: Subject) -> str:
    if subject.simulated:
        raise NotApplicable("its devices are simulated: what stands in for hardware may take its time")
    files = clocks.own_files(subject.entry)
    if not files:
        raise NotApplicable("its source is not here to be read")
    found = [each for file in files for each in clocks.clock_imports(file)]
    if found:
        raise Broken("; ".join(found[:8]))
    return f"no clock in {len(files)} file{'s' if len(files) > 1 else ''}"


CHECKS = (
    Check(
        "identity/import",
        f"The entry point imports and is a Backend of contract {CONTRACT_VERSION}.",
        "Make the entry point in the group npubench.backends read 'module:Class', and import the SDK inside functions only.",
        "interpreter",
        _import,
        gives="plugin",
    ),
    Check(
        "identity/listing",
        "Naming the backends of an interpreter imports no plug-in.",
        "Ship no .pth file and no site hook that imports the plug-in.",
        "plugin",
        _listing,
    ),
    Check(
        "identity/light",
        "Importing the plug-in imports no SDK, so that a machine without it shows a rung and not an import error.",
        "Import the SDK by importlib.import_module inside probe, compile and load.",
        "plugin",
        _light,
    ),
    Check(
        "identity/ladder",
        "probe never raises, and says the rung with a reason and advice, or ready with its devices; twice the same.",
        "Return Availability(rung, reason, advice) for whatever is missing: what it is, and how to get to the next rung.",
        "plugin",
        _ladder,
    ),
    Check(
        "identity/devices",
        "Every device has a name of its own in lower case and a kind, and the SDK's version is said.",
        "Name devices family:index, such as 'acme:0'; give the chip as kind, and fill Availability.versions.",
        "device",
        _devices,
        gives="device",
    ),
    Check(
        "identity/options",
        "Options are a frozen dataclass whose every field has a type that is checked and a default of that type.",
        "Use bool, int, float, str, Literal, tuple or dict of those, with None where it may be left out.",
        "plugin",
        _options,
    ),
    Check(
        "identity/clock",
        "No file of the plug-in imports a clock: the harness measures.",
        "Remove time, datetime and timeit; wait on the SDK's own events, and leave timing to the harness.",
        "plugin",
        _clock,
    ),
)
