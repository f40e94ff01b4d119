"""Bring records of older schema versions up to the current one, a function a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _with_energy_in_full(data: dict[str, Any]) -> dict[str, Any]:
    """1 → 2: what version 1 did not work out stays absent; nothing is computed from rounded figures afterwards."""
    why = "the record is of a version that did not keep it"
    new = {
        "watts": "W",
        "peak_watts": "W",
        "above_idle_joules": "J",
        "joules_per_sample": "J/sample",
        "samples_per_joule": "samples/J",
        "accuracy_joules": "J",
        "warm_up_joules": "J",
    }
    energy = [
        {
            **old,
            **{name: {"value": None, "unit": unit, "reason": why} for name, unit in new.items()},
            "coverage": None,
            "clock_offset_ns": 0,  # version 1 knew the machine's own sensors alone
        }
        for old in data.get("energy", ())
    ]
    return {**data, "schema_version": 2, "energy": energy, "ranging": ()}


def _with_audits(data: dict[str, Any]) -> dict[str, Any]:
    """2 → 3: nothing was audited, and what was not captured then cannot be captured afterwards."""
    system = data.get("system")
    if isinstance(system, dict):
        system = {**system, "stable": {}, "volatile": {}}
    return {
        **data,
        "schema_version": 3,
        "system": system,
        "audits": (),
        "client": None,
        "stability": None,
        "operators": None,
        "memory": None,
    }


#: Version → the function that makes the next version of it.
STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _with_energy_in_full, 2: _with_audits}


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """Return ``data`` in the current schema version; what needs no step is returned as it is."""
    while (step := STEPS.get(data["schema_version"])) is not None:
        data = step(data)
    return data
