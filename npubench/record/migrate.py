"""Bring records of older schema versions up to the current one, a function a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Version → the function that makes the next version of it. Empty while there is only version 1.
STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """Return ``data`` in the current schema version; what needs no step is returned as it is."""
    while (step := STEPS.get(data["schema_version"])) is not None:
        data = step(data)
    return data
