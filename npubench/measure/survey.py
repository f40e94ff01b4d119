"""Ask an interpreter about its backends, from outside: in a process of its own, with a deadline.

``python -m npubench.measure.survey`` reads ``{"backend": …, "options": …}`` from standard input and answers in JSON.
A vendor package that crashes, hangs or prints takes nothing else with it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from npubench.contract.availability import Availability, Device, Rung
from npubench.contract.backend import Backend
from npubench.contract.options import OptionError, parse_options
from npubench.measure.plugin import PluginError, distribution_of, load_backend, probe
from npubench.plugins import BACKENDS, plugin_entries

#: How long a vendor's packages may take to import and to look for devices, s.
PROBE_DEADLINE_S = 60.0

_MARK = "npubench-survey:"


@dataclass(frozen=True, slots=True)
class Survey:
    """What one interpreter says of one backend.

    Args:
        backend: The backend's name.
        entry: Its class as ``module:Class``; empty where the interpreter has no such backend.
        availability: How far it gets.
        known: All backends the interpreter has.
        option_error: What is wrong with the options that were sent along, or empty.
        options: Option name → its default as text.
        plugin: Distribution and version.
        has_sensors: Whether the backend brings sensors.
    """

    backend: str
    entry: str
    availability: Availability
    known: tuple[str, ...] = ()
    option_error: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    plugin: Mapping[str, str] = field(default_factory=dict)
    has_sensors: bool = False


def survey(backend: str, python: str = "", env: Mapping[str, str] | None = None, options: Mapping[str, Any] | None = None) -> Survey:
    """Ask ``python`` (default: this interpreter) about ``backend``. Never raises for what the plug-in does."""
    try:
        answer = subprocess.run(
            [python or sys.executable, "-m", "npubench.measure.survey"],
            input=json.dumps({"backend": backend, "options": dict(options or {})}).encode(),
            capture_output=True,
            timeout=PROBE_DEADLINE_S,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _broken(backend, f"its probe took longer than {PROBE_DEADLINE_S:g} s")
    except OSError as error:
        return _broken(backend, f"python '{python}' cannot be started: {error}")
    line = next((row for row in answer.stdout.decode(errors="replace").splitlines() if row.startswith(_MARK)), None)
    if line is None:
        tail = answer.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return _broken(backend, f"its probe ended with code {answer.returncode}: {' '.join(tail)}"[:500])
    return _read(json.loads(line.removeprefix(_MARK)))


def backends(python: str = "", env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the names of the backends ``python`` has."""
    return survey("", python, env).known


def _broken(backend: str, why: str) -> Survey:
    return Survey(backend, "", Availability(Rung.SDK_BROKEN, f"backend '{backend}': {why}"))


def _answer(backend: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Look into this interpreter."""
    entries = plugin_entries(BACKENDS)
    found: dict[str, Any] = {"backend": backend, "entry": entries.get(backend, ""), "known": list(entries)}
    if backend not in entries:
        return {**found, "rung": int(Rung.NOT_INSTALLED), "reason": f"this interpreter has no backend '{backend}'"}
    try:
        loaded = load_backend(backend, entries[backend])
    except PluginError as error:
        return {**found, "rung": int(Rung.SDK_BROKEN), "reason": str(error)}
    availability = probe(backend, loaded)
    cls = type(loaded)
    try:
        parse_options(cls.Options, options)
        complaint = ""
    except OptionError as error:
        complaint = str(error)
    return {
        **found,
        "rung": int(availability.rung),
        "reason": availability.reason,
        "versions": {str(k): str(v) for k, v in availability.versions.items()},
        "devices": [dataclasses.asdict(device) for device in availability.devices],
        "option_error": complaint,
        "options": {f.name: _default(f) for f in dataclasses.fields(cls.Options)},
        "plugin": distribution_of(entries[backend]),
        "has_sensors": cls.sensors is not Backend.sensors,
    }


def _default(option: Any) -> str:
    if option.default is not dataclasses.MISSING:
        return repr(option.default)
    return "{}" if option.default_factory is not dataclasses.MISSING else "required"


def _read(data: Mapping[str, Any]) -> Survey:
    availability = Availability(
        rung=Rung(data["rung"]),
        reason=str(data["reason"]),
        versions=data.get("versions", {}),
        devices=tuple(Device(**device) for device in data.get("devices", ())),
    )
    return Survey(
        backend=data["backend"],
        entry=data["entry"],
        availability=availability,
        known=tuple(data["known"]),
        option_error=data.get("option_error", ""),
        options=data.get("options", {}),
        plugin=data.get("plugin", {}),
        has_sensors=bool(data.get("has_sensors", False)),
    )


def main() -> None:
    """Answer one question from standard input."""
    question = json.loads(sys.stdin.read())
    answer = _answer(question["backend"], question["options"])
    sys.stdout.write("\n" + _MARK + json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
