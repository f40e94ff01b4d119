"""Load a plug-in's backend class inside the worker, and refuse one for another contract."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version
from typing import Any

from npubench.contract.availability import Availability, Device, Rung
from npubench.contract.backend import CONTRACT_VERSION, Backend
from npubench.contract.options import nearest
from npubench.plugins import BACKENDS


class PluginError(Exception):
    """A plug-in cannot be loaded or breaks the contract before anything runs; the text names it."""


def load_backend(name: str, entry: str) -> Backend:
    """Import ``entry`` (``module:Class``) and make the backend.

    Raises:
        PluginError: Import fails, the class is no Backend, or its contract is another version.
    """
    module, _, attribute = entry.partition(":")
    try:
        cls: Any = importlib.import_module(module)
        for part in attribute.split("."):
            cls = getattr(cls, part)
    except BaseException as error:
        raise PluginError(f"backend '{name}' ({entry}) cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, Backend)):
        raise PluginError(f"backend '{name}' ({entry}) is not a subclass of npubench.contract.Backend")
    if cls.contract != CONTRACT_VERSION:
        raise PluginError(f"backend '{name}' is written for contract {cls.contract}, this npubench has {CONTRACT_VERSION}")
    try:
        return cls()
    except BaseException as error:
        raise PluginError(f"backend '{name}': its constructor raises {type(error).__name__}: {error}") from error


def probe(name: str, backend: Backend) -> Availability:
    """Ask the backend how far it gets; a probe that raises is a broken SDK, whatever the contract says."""
    try:
        found = backend.probe()
    except BaseException as error:
        return Availability(Rung.SDK_BROKEN, f"backend '{name}': probe raises {type(error).__name__}: {error}")
    if not isinstance(found, Availability):
        return Availability(Rung.SDK_BROKEN, f"backend '{name}': probe returns {type(found).__name__}, not Availability")
    return found


def find_device(name: str, availability: Availability, wanted: str) -> Device:
    """Return the device a target names.

    Raises:
        PluginError: The backend is not ready, or has no such device.
    """
    if availability.rung < Rung.READY:
        raise PluginError(f"backend '{name}' is not ready ({availability.rung.word}): {availability.reason}")
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
