"""Measure under a power limit: look, note what is found, set, read back, and put back whatever happens.

The worker sets the limit, after it has written into the run's folder what it found; it puts that back at its end. Where it
does not get that far, ``python -m npubench.measure.power_limit FOLDER`` does, in the target's interpreter: the supervisor
starts it, and the next suite for what a killed supervisor left.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.contract.availability import Device
from npubench.contract.backend import Backend
from npubench.contract.power_limit import PowerLimit, can_set
from npubench.contract.runspec import RunSpec, from_plain
from npubench.measure.events import words
from npubench.measure.plugin import find_device, load_backend, probe

#: What the worker found before it set a limit, and whether that is in force again.
NOTE = "power_limit.json"

#: How far a limit read back may be from the one asked for: cards take steps of their own.
TOLERANCE = 0.01

#: How long putting a limit back may take, s: an SDK is imported and its device looked for.
DEADLINE_S = 60.0

#: What is no power limit of a device, mW: a value outside is of another unit.
_LEAST_MW, _MOST_MW = 100, 100_000_000


class PowerLimitError(Exception):
    """A power limit cannot be set or put back; the text says why."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is to see of a device's power limit.

    Args:
        limit: The plug-in's own; ``None`` where there is none.
        found_mw: What is in force, mW; ``None`` where nothing says so.
        bounds_mw: What can be set, mW; ``None`` where nothing says so.
        complaint: What the plug-in raised when it was asked; empty where it did not.
    """

    limit: PowerLimit | None = None
    found_mw: int | None = None
    bounds_mw: tuple[int, int] | None = None
    complaint: str = ""


def look(backend: Backend, device: Device) -> Sight:
    """Return what the plug-in shows of the device's power limit; whatever it raises is told and ends nothing."""
    limit = None
    try:
        limit = backend.power_limit(device)
        if limit is None:
            return Sight()
        return Sight(limit, _milliwatts(limit.read()), _bounds(limit.bounds()))
    except BaseException as error:  # noqa: BLE001 - a vendor's SDK may raise anything; what it raises is told
        return Sight(limit, complaint=words(error))


def refusal(sight: Sight, wanted_mw: int) -> str:
    """Return why a limit cannot be measured under, as a sentence; empty where it can be tried."""
    asked = _asked(wanted_mw)
    if sight.complaint:
        return f"{asked}: it cannot be read: {sight.complaint}"
    if sight.limit is None:
        return f"{asked}: this device shows none"
    if not can_set(sight.limit):
        return f"{asked}: this device's can be read and not set"
    if sight.found_mw is None:
        return f"{asked}: the device does not say which one it has now, and it could not be put back"
    if sight.bounds_mw is not None and not sight.bounds_mw[0] <= wanted_mw <= sight.bounds_mw[1]:
        low, high = sight.bounds_mw
        return f"{asked}: the device takes {_watts(low)} to {_watts(high)} W"
    return ""


def enforce(limit: PowerLimit, found_mw: int, wanted_mw: int, folder: Path) -> int:
    """Note what was found, set the limit and read it back.

    Returns:
        What took effect, mW.

    Raises:
        PowerLimitError: The device refuses, or takes another one.
    """
    asked = _asked(wanted_mw)
    _write_note(folder, {"before_mw": found_mw, "wanted_mw": wanted_mw, "restored": False})
    try:
        limit.set(wanted_mw)
    except PermissionError as error:
        raise PowerLimitError(f"{asked}: this user may not set it: {words(error)}") from error
    except BaseException as error:
        raise PowerLimitError(f"{asked}: it cannot be set: {words(error)}") from error
    taken = _read(limit)
    if taken is None:
        raise PowerLimitError(f"{asked}: it cannot be read after it was set")
    if not _is_close(taken, wanted_mw):
        raise PowerLimitError(f"{asked}: the device has {_watts(taken)} W after it was set")
    return taken


def moved(limit: PowerLimit, wanted_mw: int) -> str:
    """Return that somebody changed the limit while it was measured under, as a sentence; empty where nobody did."""
    now, asked = _read(limit), _asked(wanted_mw)
    if now is None:
        return f"{asked}: it cannot be read at the end of the run"
    return "" if _is_close(now, wanted_mw) else f"{asked}: the device has {_watts(now)} W at the end of the run"


def restore(limit: PowerLimit, folder: Path) -> None:
    """Put back what was found before, and note that it is in force again. Does nothing where nothing was set.

    Raises:
        PowerLimitError: It is not in force again.
    """
    before = unrestored(folder)
    if before is None:
        return
    try:
        limit.set(before)
    except BaseException as error:
        raise PowerLimitError(f"the limit of {_watts(before)} W cannot be set again: {words(error)}") from error
    now = _read(limit)
    if now is None or not _is_close(now, before):
        raise PowerLimitError(
            f"the device has {'no known limit' if now is None else f'{_watts(now)} W'} in place of {_watts(before)} W"
        )
    _write_note(folder, {**_note(folder), "restored": True})


def unrestored(folder: Path) -> int | None:
    """Return the limit that is to be put back, mW; ``None`` where none was set or it is in force again."""
    note = _note(folder)
    before = note.get("before_mw")
    if note.get("restored") is not False or type(before) is not int or not _LEAST_MW <= before <= _MOST_MW:
        return None
    return before


def restore_from_outside(python: str, environment: Mapping[str, str], folder: Path, deadline_s: float = DEADLINE_S) -> str:
    """Put back, in a process of its own, what a worker did not; its words go to the worker's log.

    An interrupt leaves that process alone to finish.

    Args:
        python: The target's interpreter.
        environment: The worker's.
        folder: The run's.
        deadline_s: How long it may take, s.

    Returns:
        Empty where all is as it was; else a sentence for whoever runs the machine.
    """
    before = unrestored(folder)
    if before is None:
        return ""
    why = ""
    try:
        with (folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [python, "-m", "npubench.measure.power_limit", folder],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                start_new_session=True,
            )
        process.wait(deadline_s)
    except subprocess.TimeoutExpired:
        why = f": it took longer than {deadline_s:g} s"
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except OSError as error:
        why = f": {words(error)}"
    if unrestored(folder) is None:
        return ""
    return f"the device's power limit could not be put back{why}; set it to {_watts(before)} W by hand"


def restore_leftovers(folders: Path) -> list[str]:
    """Put back what the workers of a killed supervisor left; returns a sentence for each that stays as it is.

    Args:
        folders: A folder of runs' folders, each with its ``spec.json``.
    """
    told = []
    for folder in sorted(folders.glob("*")):
        if unrestored(folder) is None:
            continue
        try:
            spec = _spec(folder)
        except (OSError, ValueError) as error:
            told.append(f"{folder}: the device's power limit could not be put back: {words(error)}")
            continue
        environment = {**os.environ, **spec.target.env}
        complaint = restore_from_outside(spec.target.python or sys.executable, environment, folder)
        if complaint:
            told.append(f"target '{spec.target.name}': {complaint}")
    return told


def package_limit_mw(root: Path = Path("/sys/class/powercap")) -> int | None:
    """Return the long-term power limit of this host's processor packages together, mW; ``None`` where it is not shown.

    The files are those of Documentation/power/powercap/powercap.rst: a folder a package with ``constraint_N_name`` and
    ``constraint_N_power_limit_uw``.
    """
    total = 0
    try:
        packages = [
            zone for zone in root.glob("intel-rapl:*") if zone.name.count(":") == 1 and _word(zone, "name").startswith("package")
        ]
        for package in packages:
            names = {n: _word(package, f"constraint_{n}_name") for n in range(4) if (package / f"constraint_{n}_name").exists()}
            long_term = next(n for n, name in names.items() if name == "long_term")
            total += int(_word(package, f"constraint_{long_term}_power_limit_uw"))
    except (OSError, ValueError, StopIteration):
        return None
    return total // 1000 or None


def main(arguments: Sequence[str]) -> int:
    """Put back the limit of the run in ``FOLDER``; returns 0 where it is in force again."""
    folder = Path(arguments[0])
    try:
        target = _spec(folder).target
        backend = load_backend(target.backend, target.entry)
        limit = backend.power_limit(find_device(target.backend, probe(target.backend, backend), target.device))
        if limit is None:
            raise PowerLimitError("the device shows none now")
        restore(limit, folder)
    except BaseException as error:  # noqa: BLE001 - as above
        # Into the worker's log.
        sys.stderr.write(f"npubench: the power limit is not put back: {words(error)}\n")
        return 1
    return 0


def _spec(folder: Path) -> RunSpec:
    spec: RunSpec = from_plain(RunSpec, json.loads((folder / "spec.json").read_text(encoding="utf-8")), "spec")
    return spec


def _note(folder: Path) -> dict[str, Any]:
    """Return the note; empty where there is none that can be read."""
    try:
        found = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_note(folder: Path, note: Mapping[str, Any]) -> None:
    """Write the note whole or not at all."""
    temporary = folder / f"{NOTE}.tmp"
    temporary.write_text(json.dumps(note), encoding="utf-8")
    temporary.replace(folder / NOTE)


def _read(limit: PowerLimit) -> int | None:
    with contextlib.suppress(Exception):
        return _milliwatts(limit.read())
    return None


def _milliwatts(value: Any) -> int | None:
    """Return a limit as the contract has it.

    Raises:
        ValueError: It is none; the text says so.
    """
    if value is None:
        return None
    if type(value) is not int or not _LEAST_MW <= value <= _MOST_MW:
        raise ValueError(f"the plug-in says {value!r}, which is no power limit in mW")
    return value


def _bounds(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    low, high = value
    if type(low) is not int or type(high) is not int or not 0 <= low <= high:
        raise ValueError(f"the plug-in says {value!r}, which is no pair of power limits in mW")
    return low, high


def _is_close(found_mw: int, wanted_mw: int) -> bool:
    return abs(found_mw - wanted_mw) <= TOLERANCE * wanted_mw


def _asked(milliwatts: int) -> str:
    return f"power limit of {_watts(milliwatts)} W"


def _watts(milliwatts: int) -> str:
    return f"{milliwatts / 1000:.12g}"


def _word(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="ascii").strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
