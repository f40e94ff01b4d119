"""Keep what the hardware catalogue declares of a run's device beside it, in ``declared.json``: a later one may say another."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from npubench.analyze.audits.facts import Declared
from npubench.contract.runspec import RunSpec, from_plain
from npubench.plan.hardware import peak_of, shipped_hardware

#: The file's name.
DECLARED = "declared.json"


def write_declared(folder: Path, spec: RunSpec) -> None:
    """Write the declared peak of the device that the worker found; for a run with audits, before its record is made.

    Raises:
        OSError: It cannot be written.
    """
    try:
        device = json.loads((folder / "worker.json").read_text(encoding="utf-8"))["device"]
        found = declared_of(str(device["kind"]), spec.precision, bool(device.get("simulated")))
    except (OSError, ValueError, KeyError, TypeError):
        found = Declared(reason="the worker named no device")
    (folder / DECLARED).write_text(json.dumps(asdict(found), indent=1, ensure_ascii=False), encoding="utf-8")


def declared_of(kind: str, precision: str, simulated: bool) -> Declared:
    """Return the peak that the installed catalogue has of a device at a precision, or why there is none."""
    if simulated:
        return Declared(reason="the device is no hardware")
    entry = shipped_hardware().find(kind)
    if entry is None:
        return Declared(reason=f"the hardware catalogue has no device '{kind}'")
    if precision == "vendor":
        return Declared(entry.name, reason="the precision that the vendor's compiler chose is not known")
    peak = peak_of(entry, precision)
    if peak is None:
        return Declared(entry.name, reason=f"no peak of {precision} is declared for {entry.name}")
    return Declared(entry.name, peak.size)


def read_declared(folder: Path) -> Declared:
    """Read ``declared.json``.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    found: Declared = from_plain(Declared, json.loads((folder / DECLARED).read_text(encoding="utf-8")), DECLARED)
    return found
