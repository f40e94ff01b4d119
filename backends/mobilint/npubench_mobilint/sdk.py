"""Import Mobilint's runtime and read its version and its errors: one class, told apart by a code in the text."""

from __future__ import annotations

import importlib
import re
from typing import Any, NamedTuple

#: The runtime, and its older name on images of REGULUS boards; the call shapes are the same.
PACKAGES = ("qbruntime", "maccel")

#: Below it, ``infer_async`` gave the first request's outputs, or zeros, to later ones on REGULUS (seen with 1.2.0).
FIRST_SOUND_ASYNC = (1, 3, 2)


class Runtime(NamedTuple):
    """The imported runtime, its package name, and its version as it says it (``"v1.5.0"``), ``""`` if it does not."""

    module: Any
    name: str
    version: str

    @property
    def words(self) -> str:
        """Name and version for sentences."""
        return f"{self.name} {self.version or '(version not told)'}"


def import_runtime() -> Runtime:
    """Import ``qbruntime``, or ``maccel`` where that is what the image has.

    Raises:
        ModuleNotFoundError: Neither is installed; its ``name`` is one of :data:`PACKAGES`.
        Exception: Whatever a runtime that is there raises at import.
    """
    for name in PACKAGES:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        return Runtime(module, name, str(getattr(module, "__version__", "")))
    raise ModuleNotFoundError("neither 'qbruntime' nor 'maccel' is installed", name=PACKAGES[0])


def version_numbers(text: str) -> tuple[int, ...]:
    """Return ``(1, 3, 2)`` for ``"v1.3.2"`` or ``"1.3.2"``; empty where there is no version in it."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def code_of(error: BaseException) -> str:
    """Return the code of the runtime's error, such as ``"Acc_DeviceNotFound"``; ``""`` if the text has none."""
    found = re.match(r"\s*([A-Za-z]+_[A-Za-z]+) occurred", str(error))
    return found[1] if found else ""


def words_of(error: BaseException) -> str:
    """Return class and first line of an error: the second line of the runtime's is a link to its manual."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def family_of(name: str) -> str:
    """Return the family of a device name of the runtime: ``"regulus-ra-usb"`` is of ``"regulus-usb"``."""
    return "-".join(part for part in name.lower().split("-") if part not in ("ra", "rb"))
