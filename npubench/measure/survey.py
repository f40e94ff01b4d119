"""Ask an interpreter about its backends, from outside: in a process of its own, with a deadline.

``python -m npubench.measure.survey PARENT`` reads ``{"backend": …, "options": […]}`` from standard input and answers in JSON.
A vendor package that crashes, hangs, prints or leaves processes behind takes nothing else with it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from npubench.contract.availability import Availability, Device, Rung
from npubench.contract.backend import Backend
from npubench.contract.options import OptionError, parse_options
from npubench.errors import InputError
from npubench.measure.plugin import PluginError, distribution_of, load_backend, probe
from npubench.measure.process import die_with_parent, kill_group
from npubench.plugins import BACKENDS, plugin_entries

#: How long a vendor's packages may take to import and to look for devices, s, and what sets it otherwise.
PROBE_DEADLINE_S = 60.0
DEADLINE_VARIABLE = "NPUBENCH_PROBE_DEADLINE"

_MARK = "npubench-survey:"


@dataclass(frozen=True, slots=True)
class Survey:
    """What one interpreter says of one backend.

    Args:
        backend: The backend's name.
        entry: Its class as ``module:Class``; empty where the interpreter has no such backend.
        availability: How far it gets.
        known: All backends the interpreter has.
        option_errors: What is wrong with each of the options that were sent along, or "".
        options: Option name → its default as text.
        plugin: Distribution and version.
        has_sensors: Whether the backend brings sensors.
    """

    backend: str
    entry: str
    availability: Availability
    known: tuple[str, ...] = ()
    option_errors: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    plugin: Mapping[str, str] = field(default_factory=dict)
    has_sensors: bool = False


def survey(
    backend: str, python: str = "", env: Mapping[str, str] | None = None, options: Sequence[Mapping[str, Any]] = ()
) -> Survey:
    """Ask ``python`` (default: this interpreter) about ``backend``, and whether each of ``options`` is valid for it.

    Never raises for what the plug-in does.

    Raises:
        InputError: The deadline that the environment sets is no number above 0.
    """
    deadline = _deadline_s()
    # Files, not pipes: a process that a plug-in leaves behind would hold a pipe open.
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        question.write(json.dumps({"backend": backend, "options": [dict(each) for each in options]}).encode())
        question.seek(0)
        try:
            process = subprocess.Popen(
                [python or sys.executable, "-m", "npubench.measure.survey", str(os.getpid())],
                stdin=question,
                stdout=said,
                stderr=complained,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        except OSError as error:
            return _broken(backend, f"python '{python}' cannot be started: {(error.strerror or str(error)).lower()}")
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            return _broken(
                backend, f"its import or probe took longer than {deadline:g} s; {DEADLINE_VARIABLE} sets another limit"
            )
        finally:
            kill_group(process)
        said.seek(0)
        complained.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
        tail = complained.read().decode(errors="replace").strip().splitlines()
    try:
        return _read(json.loads(next(line for line in lines if line.startswith(_MARK)).removeprefix(_MARK)))
    except (StopIteration, ValueError, KeyError, TypeError):
        # No answer, half of one, or something that only looks like one.
        return _broken(backend, _ending(process.returncode, tail, python))


def _deadline_s() -> float:
    text = os.environ.get(DEADLINE_VARIABLE, "")
    try:
        deadline = float(text or PROBE_DEADLINE_S)
    except ValueError:
        deadline = 0.0
    if not 0.0 < deadline < float("inf"):
        raise InputError(f"{DEADLINE_VARIABLE}: '{text}' is not a number of seconds above 0")
    return deadline


def _ending(code: int, tail: Sequence[str], python: str) -> str:
    """Say how a probe ended that gave no answer."""
    if any("No module named" in row and "npubench" in row for row in tail[-1:]):
        return f"python '{python or sys.executable}' has no npubench; install it there, with the backend"
    if code < 0:
        try:
            return f"its import or probe was killed by {signal.Signals(-code).name}"
        except ValueError:
            pass
    return f"its import or probe ended the process with code {code}" + (f": {tail[-1]}"[:500] if tail else "")


def backends(python: str = "", env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the names of the backends ``python`` has."""
    return survey("", python, env).known


def _broken(backend: str, why: str) -> Survey:
    return Survey(backend, "", Availability(Rung.SDK_BROKEN, f"backend '{backend}': {why}"))


def _answer(backend: str, options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
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
    return {
        **found,
        "rung": int(availability.rung),
        "reason": availability.reason,
        "advice": availability.advice,
        "versions": {str(k): str(v) for k, v in availability.versions.items()},
        "devices": [dataclasses.asdict(device) for device in availability.devices],
        "option_errors": [_complaint(cls.Options, each) for each in options],
        "options": {f.name: _default(f) for f in dataclasses.fields(cls.Options)},
        "plugin": distribution_of(entries[backend]),
        "has_sensors": cls.sensors is not Backend.sensors,
    }


def _complaint(options: type, given: Mapping[str, Any]) -> str:
    try:
        parse_options(options, given)
    except OptionError as error:
        return str(error)
    return ""


def _default(option: Any) -> str:
    if option.default is not dataclasses.MISSING:
        return repr(option.default)
    return "{}" if option.default_factory is not dataclasses.MISSING else "required"


def _read(data: Mapping[str, Any]) -> Survey:
    availability = Availability(
        rung=Rung(data["rung"]),
        reason=str(data["reason"]),
        advice=str(data.get("advice", "")),
        versions=data.get("versions", {}),
        devices=tuple(Device(**device) for device in data.get("devices", ())),
    )
    return Survey(
        backend=data["backend"],
        entry=data["entry"],
        availability=availability,
        known=tuple(data["known"]),
        option_errors=tuple(data.get("option_errors", ())),
        options=data.get("options", {}),
        plugin=data.get("plugin", {}),
        has_sensors=bool(data.get("has_sensors", False)),
    )


def main() -> None:
    """Answer one question from standard input."""
    die_with_parent(int(sys.argv[1]))
    question = json.loads(sys.stdin.read())
    answer = _answer(question["backend"], question["options"])
    sys.stdout.write("\n" + _MARK + json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
