"""Load a plug-in's backend class inside the worker, and refuse one for another contract."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import typing
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version
from typing import Any

from npubench.contract.availability import Availability, Device, Rung
from npubench.contract.backend import CONTRACT_VERSION, Backend
from npubench.contract.options import nearest
from npubench.plugins import BACKENDS

#: How much of a plug-in's own words is kept in one sentence.
LONGEST_WORDS = 1000

#: What to do about a plug-in that does not keep to the contract.
_TELL_ITS_MAKER = "install another version of the plug-in, or show this to its maker: npubench check {name}"


class PluginError(Exception):
    """A plug-in cannot be loaded or breaks the contract before anything runs; the text names it.

    Attributes:
        advice: What to do about it.
    """

    def __init__(self, text: str, advice: str = "") -> None:
        super().__init__(text)
        self.advice = advice


def load_backend(name: str, entry: str) -> Backend:
    """Import ``entry`` (``module:Class``) and make the backend.

    Raises:
        PluginError: The entry is no ``module:Class``, import fails, the class is no Backend, its contract is another
            version, its options cannot be read, or its constructor raises.
    """
    cls = _find_class(name, entry)
    maker = _TELL_ITS_MAKER.format(name=name)
    if not (isinstance(cls, type) and issubclass(cls, Backend)):
        raise PluginError(f"backend '{name}' ({entry}) is not a subclass of npubench.contract.Backend", maker)
    _check_contract(name, cls.contract)
    _check_options(name, cls.Options)
    try:
        return cls()
    except BaseException as error:
        raise PluginError(f"backend '{name}': its constructor raises {_words(error)}", maker) from error


def probe(name: str, backend: Backend) -> Availability:
    """Ask the backend how far it gets; a probe that raises or answers with anything but plain values is a broken SDK.

    Returns:
        What it found as plain values; the reason and the advice are never empty below ``READY``.
    """
    try:
        found = backend.probe()
    except BaseException as error:
        return _broken_probe(name, f"raises {_words(error)}")
    if not isinstance(found, Availability):
        return _broken_probe(name, f"returns {type(found).__name__}, not Availability")
    try:
        return _plain(name, found)
    except PluginError as error:
        return Availability(Rung.SDK_BROKEN, str(error), error.advice)
    except BaseException as error:
        return _broken_probe(name, f"returns an Availability that cannot be read: {_words(error)}")


def find_device(name: str, availability: Availability, wanted: str) -> Device:
    """Return the device a target names.

    Raises:
        PluginError: The backend is not ready, or has no such device.
    """
    if availability.rung < Rung.READY:
        raise PluginError(f"backend '{name}' is not ready ({availability.rung.word}): {availability.reason}", availability.advice)
    for device in availability.devices:
        if device.name == wanted:
            return device
    raise PluginError(f"backend '{name}' has no device '{wanted}'{nearest(wanted, [d.name for d in availability.devices])}")


def distribution_of(entry: str) -> dict[str, str]:
    """Return entry point, distribution and version of a plug-in; unknown parts are left out."""
    for point in entry_points(group=BACKENDS):
        if point.value == entry and point.dist is not None:
            return {"entry": entry, "distribution": point.dist.name, "version": point.dist.version}
    found = {"entry": entry}
    top = entry.partition(":")[0].partition(".")[0]
    for distribution in packages_distributions().get(top, [])[:1]:
        found["distribution"] = distribution
        try:
            found["version"] = version(distribution)
        except PackageNotFoundError:
            continue
    return found


def how_to_look(entry: str, python: str = "") -> str:
    """Return the command that shows a failing import alone, with the vendor's own words."""
    return f"{python or sys.executable} -c 'import {entry.partition(':')[0].strip() or 'npubench'}'"


def _find_class(name: str, entry: str) -> Any:
    module, _, attribute = (part.strip() for part in entry.partition("[")[0].partition(":"))
    if not module or not attribute:
        raise PluginError(
            f"backend '{name}': its entry point '{entry}' is not written as module:Class",
            "mend the entry point in the plug-in's pyproject.toml, and install it again",
        )
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except BaseException as error:
        raise PluginError(
            f"backend '{name}' ({entry}) cannot be imported: {_words(error)}",
            f"see where it fails with: {how_to_look(entry)}; then install what is missing, or the plug-in again",
        ) from error
    return found


def _check_contract(name: str, contract: Any) -> None:
    if contract == CONTRACT_VERSION and type(contract) is int:
        return
    advice = _TELL_ITS_MAKER.format(name=name)
    if type(contract) is int:
        newer = contract > CONTRACT_VERSION
        advice = f"install a newer npubench, which knows contract {contract}" if newer else "install a newer plug-in"
    raise PluginError(f"backend '{name}' is written for contract {contract!r}, this npubench has {CONTRACT_VERSION}", advice)


def _check_options(name: str, options: Any) -> None:
    advice = _TELL_ITS_MAKER.format(name=name)
    if not (isinstance(options, type) and dataclasses.is_dataclass(options)):
        raise PluginError(f"backend '{name}': its Options is no dataclass", advice)
    try:
        typing.get_type_hints(options)
    except Exception as error:
        raise PluginError(f"backend '{name}': the types of its Options cannot be resolved: {_words(error)}", advice) from error


def _plain(name: str, found: Availability) -> Availability:
    """Return what a probe found as plain values.

    Raises:
        PluginError: Something in it is not what the contract says.
    """
    if not isinstance(found.rung, Rung):
        raise _wrong(name, f"says rung {found.rung!r}, which is no Rung")
    for what, text in (("reason", found.reason), ("advice", found.advice)):
        if not isinstance(text, str):
            raise _wrong(name, f"gives as {what} {type(text).__name__}, not text")
    if not isinstance(found.versions, Mapping):
        raise _wrong(name, f"gives versions as {type(found.versions).__name__}, not a mapping")
    devices = tuple(_plain_device(name, device) for device in found.devices)
    names = [device.name for device in devices]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise _wrong(name, f"names two devices '{twice}'")
    if found.rung is Rung.READY and not devices:
        raise _wrong(name, "says ready and names no device")
    reason, advice = found.reason.strip(), found.advice.strip()
    if found.rung is not Rung.READY:
        reason = reason or f"backend '{name}': its probe says {found.rung.word} and gives no reason"
        advice = advice or f"its plug-in does not say; see the README of backend '{name}'"
    versions = {str(key): str(value) for key, value in found.versions.items()}
    return Availability(found.rung, reason, advice, versions, devices)


def _plain_device(name: str, device: Any) -> Device:
    if not isinstance(device, Device):
        raise _wrong(name, f"names a device as {type(device).__name__}, not Device")
    for what, value in (("name", device.name), ("kind", device.kind)):
        if not isinstance(value, str) or not value.strip():
            raise _wrong(name, f"gives a device the {what} {value!r}, which is not text")
    if not isinstance(device.details, Mapping):
        raise _wrong(name, f"gives details of device '{device.name}' as {type(device.details).__name__}, not a mapping")
    if not isinstance(device.simulated, bool):
        raise _wrong(name, f"does not say by True or False whether device '{device.name}' is simulated")
    if not isinstance(device.host, bool):
        raise _wrong(name, f"does not say by True or False whether device '{device.name}' is the host's own processor")
    return Device(device.name, device.kind, {str(k): str(v) for k, v in device.details.items()}, device.simulated, device.host)


def _wrong(name: str, what: str) -> PluginError:
    return PluginError(f"backend '{name}': its probe {what}", _TELL_ITS_MAKER.format(name=name))


def _broken_probe(name: str, what: str) -> Availability:
    advice = f"npubench check {name} shows more; mend the SDK, or show this to the plug-in's maker"
    return Availability(Rung.SDK_BROKEN, f"backend '{name}': probe {what}", advice)


def _words(error: BaseException) -> str:
    """Return an error's class and text on one line, bounded; an error that cannot be written down still has its class."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # a vendor's exception may raise in its own __str__
        text = ""
    return f"{type(error).__name__}: {text}"[:LONGEST_WORDS]
