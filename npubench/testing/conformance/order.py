"""What is to be checked, as it crosses to the target's interpreter: plain JSON in, a frozen dataclass out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Queries that must all come back, in the check that counts them.
QUERIES = 10_000

#: How long a submitted request may take to be reported done, s.
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Order:
    """One plug-in, one device, one model.

    Args:
        backend: The backend's name.
        entry: Its class as ``module:Class``; "" = the entry point of that name in the interpreter that checks.
        device: The device's name; "" = the first one that is found.
        options: As a target has them.
        artefact: A ready artefact's path; "" where the backend compiles.
        bundle: The folder of the bundle that gives model, inputs and reference; "" = no model, inputs drawn from a seed.
        work: A folder for compiled artefacts.
        queries: How many queries must all come back.
        patience_s: How long a submitted request may take, s.
    """

    backend: str
    entry: str = ""
    device: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    artefact: str = ""
    bundle: str = ""
    work: str = ""
    queries: int = QUERIES
    patience_s: float = PATIENCE_S
