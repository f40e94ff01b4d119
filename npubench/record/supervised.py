"""What the supervisor knows of a run (``supervisor.json``): with it a record can be made again of the run's folder alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from npubench.contract.runspec import from_plain, to_plain
from npubench.measure.capture import Captured
from npubench.measure.runner import Outcome
from npubench.record.machine import Machine

#: The file's name.
SUPERVISOR = "supervisor.json"


@dataclass(frozen=True, slots=True)
class Supervised:
    """A run as seen from outside the worker.

    Args:
        harness: npubench's version.
        started_at: When the run began, UTC, ISO 8601.
        interpreter: The worker's interpreter.
        calibration: The digest of the harness calibration on this system, or ``None``.
        declared: The operator's declaration of the system.
        machine: The host.
        outcome: How the worker ended.
        captured: Facts of the host, read right before the run.
        heeded: Whether the worker's own account is used; not where it is damaged.
    """

    harness: str
    started_at: str
    interpreter: str
    calibration: str | None
    declared: Mapping[str, str]
    machine: Machine
    outcome: Outcome
    heeded: bool = True
    captured: Captured = field(default_factory=Captured)


def write_supervised(folder: Path, supervised: Supervised) -> None:
    """Write ``supervisor.json``.

    Raises:
        OSError: It cannot be written.
    """
    (folder / SUPERVISOR).write_text(json.dumps(to_plain(supervised), indent=1, ensure_ascii=False), encoding="utf-8")


def read_supervised(folder: Path) -> Supervised:
    """Read ``supervisor.json``.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, or has a key that is not known; names it.
    """
    data = json.loads((folder / SUPERVISOR).read_text(encoding="utf-8"))
    read: Supervised = from_plain(Supervised, data, SUPERVISOR)
    return read
