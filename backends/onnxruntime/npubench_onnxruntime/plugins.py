"""Plug-in execution providers: shared libraries that ONNX Runtime takes in while it runs.

They come from the environment variable ``NPUBENCH_ORT_EP_LIBRARY`` or, where it is not set, from installed wheels. A vendor
who ships such a library is measured without a plug-in for npubench.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from npubench.contract import Device
from npubench.contract.bundle import file_digest

#: ``/path/lib.so`` or ``name=/path/lib.so``, several separated by ``os.pathsep``; where it is set, wheels are left alone.
VARIABLE = "NPUBENCH_ORT_EP_LIBRARY"

#: How wheels with a provider are named by those who publish them.
_WHEELS = re.compile(r"(onnxruntime|nxrt)[-_.]ep[-_.]", re.IGNORECASE)
#: What such a wheel's module calls the function that names its library.
_PATH_FUNCTIONS = ("get_library_path", "library_path")
_SUFFIX = "ExecutionProvider"


@dataclass(frozen=True, slots=True)
class Library:
    """A provider's shared library.

    Args:
        name: What it is registered as.
        path: Where it is.
        source: What the user knows it by: the wheel, or the path.
    """

    name: str
    path: str
    source: str


@dataclass(frozen=True, slots=True)
class Plugins:
    """What there is of plug-in providers.

    Args:
        devices: Their devices.
        versions: Wheel or provider → version.
        complaints: A sentence for every library that yields no device.
    """

    devices: tuple[Device, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()


def find_plugins(ort: Any) -> Plugins:
    """Register every library that is named or installed, and return the devices that ONNX Runtime then lists."""
    libraries, versions, complaints = _wanted()
    if libraries and not hasattr(ort, "register_execution_provider_library"):
        told = ", ".join(library.source for library in libraries)
        complaints.append(f"onnxruntime {ort.__version__} takes no plug-in provider ({told}); install onnxruntime 1.23 or newer")
        return Plugins((), versions, tuple(complaints))
    devices: list[Device] = []
    for library in libraries:
        names, failure = register(library.name, library.path)
        listed = [each for each in ort.get_ep_devices() if each.ep_name in names]
        if failure:
            complaints.append(f"{library.source}: onnxruntime {ort.__version__} refuses to register it: {failure}")
        elif not listed:
            complaints.append(f"{library.source}: registers, and lists no device on this machine")
        else:
            devices += _devices(library, listed)
            versions |= {each.ep_name: each.ep_metadata["version"] for each in listed if "version" in each.ep_metadata}
    return Plugins(tuple(devices), versions, tuple(complaints))


@functools.cache
def compiled_in(ort: Any) -> tuple[str, ...]:
    """Return the providers that the build was made with. Once a library is registered, ONNX Runtime lists its among them."""
    return tuple(ort.get_available_providers())


@functools.cache
def register(name: str, path: str) -> tuple[tuple[str, ...], str]:
    """Register a library with ONNX Runtime, once a process.

    Returns:
        The names of the providers that came with it, and why it was refused ("" = it was not).
    """
    if not Path(path).is_file():
        return (), "there is no such file"
    ort = importlib.import_module("onnxruntime")
    compiled_in(ort)
    before = {each.ep_name for each in ort.get_ep_devices()}
    try:
        ort.register_execution_provider_library(name, path)
    except Exception as error:  # ONNX Runtime's own classes share no other base
        return (), " ".join(str(error).split())
    return tuple(sorted({each.ep_name for each in ort.get_ep_devices()} - before)), ""


def ep_device(ort: Any, device: Device) -> Any:
    """Return ONNX Runtime's own handle of a plug-in provider's device.

    Raises:
        RuntimeError: It is no longer listed.
    """
    register(device.details["registration"], device.details["library"])
    listed = [each for each in ort.get_ep_devices() if each.ep_name == device.details["provider"]]
    index = int(device.details["index"])
    if index >= len(listed):
        raise RuntimeError(f"device '{device.name}': onnxruntime lists {len(listed)} of {device.details['provider']} now")
    return listed[index]


def _wanted() -> tuple[list[Library], dict[str, str], list[str]]:
    """Return the libraries to register, the versions of the wheels they come from, and complaints."""
    named = os.environ.get(VARIABLE)
    if named is None:
        return _installed()
    return [_named(entry) for entry in named.split(os.pathsep) if entry], {}, []


def _named(entry: str) -> Library:
    """Read ``/path/lib.so`` or ``name=/path/lib.so``."""
    name, equals, path = entry.partition("=")
    if not equals or "/" in name:
        name, path = "", entry
    return Library(name or Path(path).name.partition(".")[0].removeprefix("lib"), path, path)


def _installed() -> tuple[list[Library], dict[str, str], list[str]]:
    """Look for wheels whose module names a provider's library; no other wheel is imported."""
    found: dict[str, Library] = {}
    versions: dict[str, str] = {}
    complaints = []
    for wheel in distributions():
        if not _WHEELS.match(wheel.name or "") or wheel.name in versions:
            continue
        versions[wheel.name] = wheel.version
        module = (wheel.read_text("top_level.txt") or wheel.name.replace("-", "_")).split()[0]
        try:
            loaded = importlib.import_module(module)
            function = next(getattr(loaded, name) for name in _PATH_FUNCTIONS if hasattr(loaded, name))
            found[module] = Library(module, os.fspath(function()), wheel.name)
        except StopIteration:
            complaints.append(f"{wheel.name}: its module '{module}' has no {' or '.join(_PATH_FUNCTIONS)}")
        except Exception as error:
            complaints.append(f"{wheel.name}: {type(error).__name__}: {error}")
    return [found[module] for module in sorted(found)], versions, complaints


def _devices(library: Library, listed: list[Any]) -> list[Device]:
    """Turn ONNX Runtime's handles into devices, numbered for each provider."""
    digest = file_digest(Path(library.path))
    counts: dict[str, int] = {}
    devices = []
    for each in listed:
        index = counts.setdefault(each.ep_name, 0)
        counts[each.ep_name] += 1
        hardware = each.device
        details = {
            "provider": each.ep_name,
            "index": str(index),
            "registration": library.name,
            "library": library.path,
            "library digest": digest,
            "provider vendor": each.ep_vendor,
            "hardware": f"{hardware.vendor} {hardware.type.name}",
            **{f"provider {key}": str(value) for key, value in each.ep_metadata.items() if key != "library_path"},
            **{f"hardware {key}": str(value) for key, value in hardware.metadata.items()},
        }
        name = f"{each.ep_name.replace(_SUFFIX, '').lower()}:{index}"
        devices.append(Device(name, f"{each.ep_name} on {hardware.vendor} {hardware.type.name}", details))
    return devices
