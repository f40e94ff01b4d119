"""Ask interpreters about their backends, from outside: each in a process of its own, with a deadline, side by side.

``python -m npubench.measure.survey FOLDER PARENT`` reads ``FOLDER/question.json`` and leaves ``FOLDER/listing.json`` before
it imports anything of a vendor's and ``FOLDER/answer.json`` after. A vendor package that crashes, hangs, prints, closes
descriptors or leaves processes behind takes nothing else with it, and not even the word that it is there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from npubench.contract.availability import Availability, Device, Rung
from npubench.contract.backend import Backend
from npubench.contract.options import OptionError, parse_options
from npubench.errors import InputError
from npubench.measure.plugin import PluginError, distribution_of, how_to_look, load_backend, probe
from npubench.measure.process import die_with_parent, kill_group
from npubench.plugins import BACKENDS, disputed_entries, plugin_entries

#: How long a vendor's packages may take to import and to look for devices, s, and what sets it otherwise.
PROBE_DEADLINE_S = 60.0
DEADLINE_VARIABLE = "NPUBENCH_PROBE_DEADLINE"

#: So many at once: those that hang cost one deadline together, and those that work do not starve each other.
SIDE_BY_SIDE = 8

#: How often running probes are looked at, s.
_LOOK_S = 0.02

#: How much of what a vendor's package prints is kept; a flood is thrown away instead of filling the disk, bytes.
_TAIL_BYTES = 4000
_FLOOD_BYTES = 1 << 22

_QUESTION, _LISTING, _ANSWER = "question.json", "listing.json", "answer.json"


@dataclass(frozen=True, slots=True)
class Survey:
    """What one interpreter says of one backend.

    Args:
        backend: The backend's name.
        entry: Its class as ``module:Class``; empty where the interpreter has no such backend, or cannot tell which.
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


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to an interpreter.

    Args:
        backend: The backend's name; "" asks only which there are.
        python: The interpreter; "" is this one.
        env: Environment variables, added to this process's.
        options: Sets of options; of each is asked whether it is valid.
    """

    backend: str = ""
    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[Mapping[str, Any]] = ()


def survey(
    backend: str, python: str = "", env: Mapping[str, str] | None = None, options: Sequence[Mapping[str, Any]] = ()
) -> Survey:
    """Ask ``python`` (default: this interpreter) about ``backend``, and whether each of ``options`` is valid for it.

    Never raises for what the plug-in does.

    Raises:
        InputError: The deadline that the environment sets is no number above 0.
    """
    return survey_all([Ask(backend, python, env or {}, options)])[0]


def survey_all(asks: Sequence[Ask], answered: Callable[[Ask, Survey], None] = lambda ask, found: None) -> list[Survey]:
    """Ask several things side by side; the answers come in the order of the questions.

    Args:
        asks: The questions.
        answered: Told of each answer as it comes, for progress.

    Raises:
        InputError: The deadline that the environment sets is no number above 0.
    """
    deadline_s = _deadline_s()
    waiting = list(enumerate(asks))[::-1]
    running: dict[int, _Probe] = {}
    found: dict[int, Survey] = {}
    with contextlib.ExitStack() as stack:
        while waiting or running:
            while waiting and len(running) < SIDE_BY_SIDE:
                n, ask = waiting.pop()
                running[n] = stack.enter_context(_probing(ask, deadline_s))
            for n, one in [(n, one) for n, one in running.items() if one.is_over()]:
                del running[n]
                found[n] = one.read()
                answered(one.ask, found[n])
            if running:
                time.sleep(_LOOK_S)
    return [found[n] for n in range(len(asks))]


def backends(python: str = "", env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the names of the backends ``python`` has."""
    return survey("", python, env).known


@dataclass(slots=True)
class _Probe:
    """A question that an interpreter is at work on."""

    ask: Ask
    folder: Path
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None
    failure: str
    until: float
    deadline_s: float
    overdue: bool = False
    ended: bool = False

    def end(self) -> None:
        """Kill it with all that it started, once: its number may be another's afterwards."""
        if self.process is not None and not self.ended:
            self.ended = True
            kill_group(self.process)

    def is_over(self) -> bool:
        """Say whether it has ended or its time is up, and keep its noise from growing."""
        if self.process is None:
            return True
        if os.fstat(self.log.fileno()).st_size > _FLOOD_BYTES:
            os.ftruncate(self.log.fileno(), 0)
        if self.process.poll() is not None:
            return True
        self.overdue = time.monotonic() > self.until
        return self.overdue

    def read(self) -> Survey:
        """End it, and return what it said."""
        ask = self.ask
        if self.process is None:
            return _broken(ask, {}, self.failure, "mend the path, or make that environment")
        self.end()
        listing = _load(self.folder / _LISTING)
        look = how_to_look(str(listing.get("entry", "")), ask.python)
        if self.overdue:
            why = f"its import or probe took longer than {self.deadline_s:g} s"
            return _broken(ask, listing, why, f"{DEADLINE_VARIABLE}=SECONDS allows more; see what it does with: {look}")
        try:
            return _read(_load(self.folder / _ANSWER))
        except (ValueError, KeyError, TypeError):
            # No answer, half of one, or something that only looks like one.
            return _broken(ask, listing, *_ending(self.process.returncode, self._tail(), ask.python, look))

    def _tail(self) -> list[str]:
        self.log.seek(max(0, self.log.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return self.log.read().decode(errors="replace").strip().splitlines()


@contextlib.contextmanager
def _probing(ask: Ask, deadline_s: float) -> Iterator[_Probe]:
    """Start a probe; on the way out it and all that it started are dead, whatever happened."""
    # Files, not pipes: a process that a plug-in leaves behind would hold a pipe open.
    with tempfile.TemporaryDirectory(prefix="npubench-survey-") as name, tempfile.TemporaryFile() as log:
        folder = Path(name)
        # What is printed goes to the end of the file also after the file was cut short.
        fcntl.fcntl(log.fileno(), fcntl.F_SETFL, fcntl.fcntl(log.fileno(), fcntl.F_GETFL) | os.O_APPEND)
        question = {"backend": ask.backend, "options": [dict(each) for each in ask.options]}
        # What TOML has and JSON has not, a date, is no option's type; it arrives as something that no option takes either.
        plain = json.dumps(question, default=lambda value: {type(value).__name__: str(value)})
        (folder / _QUESTION).write_text(plain, encoding="utf-8")
        process, failure = None, ""
        try:
            process = subprocess.Popen(
                [ask.python or sys.executable, "-m", "npubench.measure.survey", name, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **ask.env},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = (getattr(error, "strerror", None) or str(error)).lower()
            failure = f"python '{ask.python or sys.executable}' cannot be started: {why}"
        one = _Probe(ask, folder, log, process, failure, time.monotonic() + deadline_s, deadline_s)
        try:
            yield one
        finally:
            one.end()


def _deadline_s() -> float:
    text = os.environ.get(DEADLINE_VARIABLE, "")
    try:
        deadline = float(text or PROBE_DEADLINE_S)
    except ValueError:
        deadline = 0.0
    if not 0.0 < deadline < float("inf"):
        raise InputError(f"{DEADLINE_VARIABLE}: '{text}' is not a number of seconds above 0")
    return deadline


def _ending(code: int, tail: Sequence[str], python: str, look: str) -> tuple[str, str]:
    """Say how a probe ended that gave no answer, and what to do."""
    if any("No module named" in row and "npubench" in row for row in tail[-1:]):
        return f"python '{python or sys.executable}' has no npubench; install it there, with the backend", (
            f"{python or sys.executable} -m pip install npubench, and the backend's distribution"
        )
    said = f": {tail[-1]}"[:500] if tail else ""
    advice = f"see its own words with: {look}"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"its import or probe was killed by {signal.Signals(-code).name}{said}", advice
    return f"its import or probe ended the process with code {code}{said}", advice


def _broken(ask: Ask, listing: Mapping[str, Any], why: str, advice: str) -> Survey:
    """Return the answer for one that gave none; what it listed before it broke is kept."""
    about = f"backend '{ask.backend}': " if ask.backend else ""
    return Survey(
        ask.backend,
        str(listing.get("entry", "")),
        Availability(Rung.SDK_BROKEN, _printable(about + why), _printable(advice)),
        known=tuple(map(str, listing.get("known", ()))),
        plugin={str(k): str(v) for k, v in listing.get("plugin", {}).items()},
    )


def _list(backend: str) -> dict[str, Any]:
    """Name what this interpreter has; imports nothing of a vendor's."""
    entries, disputed = plugin_entries(BACKENDS), disputed_entries(BACKENDS)
    found = {"backend": backend, "entry": entries.get(backend, ""), "known": sorted({*entries, *disputed})}
    if not backend:
        has = bool(found["known"])
        reason, advice = ("", "") if has else ("no backend is installed here", "install one, such as npubench-onnxruntime[cpu]")
        return {**found, "rung": int(Rung.READY if has else Rung.NOT_INSTALLED), "reason": reason, "advice": advice}
    if backend in disputed:
        advice = f"see which you need, and run for the others: {sys.executable} -m pip uninstall DISTRIBUTION"
        return {**found, "rung": int(Rung.SDK_BROKEN), "reason": f"backend {disputed[backend]}", "advice": advice}
    if backend not in entries:
        reason = f"this interpreter has no backend '{backend}'"
        advice = f"install the distribution that brings it, with the python {sys.executable}"
        return {**found, "rung": int(Rung.NOT_INSTALLED), "reason": reason, "advice": advice}
    return {**found, "plugin": distribution_of(entries[backend])}


def _answer(listing: Mapping[str, Any], options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Look into this interpreter."""
    if "rung" in listing:
        return dict(listing)
    backend, entry = listing["backend"], listing["entry"]
    try:
        loaded = load_backend(backend, entry)
    except PluginError as error:
        return {**listing, "rung": int(Rung.SDK_BROKEN), "reason": str(error), "advice": error.advice}
    availability = probe(backend, loaded)
    cls = type(loaded)
    return {
        **listing,
        "rung": int(availability.rung),
        "reason": availability.reason,
        "advice": availability.advice,
        "versions": dict(availability.versions),
        "devices": [dataclasses.asdict(device) for device in availability.devices],
        "option_errors": [_complaint(cls.Options, each) for each in options],
        "options": {f.name: _default(f) for f in dataclasses.fields(cls.Options)},
        "has_sensors": cls.sensors is not Backend.sensors,
    }


def _complaint(options: type, given: Mapping[str, Any]) -> str:
    try:
        parse_options(options, given)
    except OptionError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - what checks an option is the plug-in's own code
        return f"options: the plug-in's own check raises {type(error).__name__}: {error}"
    return ""


def _default(option: Any) -> str:
    if option.default is not dataclasses.MISSING:
        return repr(option.default)
    return "{}" if option.default_factory is not dataclasses.MISSING else "required"


def _load(path: Path) -> dict[str, Any]:
    """Return a JSON object of a file; an empty one where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(data: Mapping[str, Any]) -> Survey:
    availability = Availability(
        rung=Rung(data["rung"]),
        reason=_printable(str(data["reason"])),
        advice=_printable(str(data.get("advice", ""))),
        versions={_printable(k): _printable(str(v)) for k, v in data.get("versions", {}).items()},
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


def _printable(text: str) -> str:
    """Return text that a terminal and a JSON file can hold: a vendor's colours and broken characters are taken out."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in whole if c.isprintable() or c == "\n")


def _leave(path: Path, answer: Mapping[str, Any]) -> None:
    """Write an answer whole; neither a closed descriptor nor a changed folder or mask of the process keeps it from being read."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(answer), encoding="utf-8")
    temporary.chmod(0o600)
    temporary.replace(path)


def main() -> None:
    """Answer one question: ``FOLDER PARENT``."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent)
    question = json.loads((folder / _QUESTION).read_text(encoding="utf-8"))
    listing = _list(question["backend"])
    _leave(folder / _LISTING, listing)
    _leave(folder / _ANSWER, _answer(listing, question["options"]))
    os._exit(0)


if __name__ == "__main__":
    main()
