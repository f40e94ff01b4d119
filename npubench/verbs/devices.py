"""``npubench devices``: which backends there are, how far each gets, and what leads one rung further."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from npubench.contract.availability import Rung
from npubench.errors import InputError
from npubench.measure.survey import Ask, Survey, survey_all
from npubench.plan.suite import HostFile, read_host
from npubench.verbs.console import data, err, out
from npubench.verbs.prepare import host_path

#: Names plug-in execution providers to the ONNX Runtime backend.
EP_LIBRARY = "NPUBENCH_ORT_EP_LIBRARY"

_LADDER = " → ".join(rung.word for rung in Rung)


@dataclass(frozen=True, slots=True)
class Place:
    """An interpreter with the environment that some targets of the host file give it.

    Args:
        python: The interpreter; "" is this one.
        env: Environment variables, added to this process's.
        targets: The host file's targets that use it.
    """

    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[str, ...] = ()

    def title(self) -> str:
        """Return the place in words."""
        where = self.python or f"this interpreter, {sys.executable}"
        more = "".join(f" · {name}={value}" for name, value in self.env.items())
        return where + more + (f" · of target {', '.join(self.targets)}" if self.targets else "")


def show_devices(host: Path | None, as_json: bool, details: bool = False, ep_library: str = "") -> int:
    """Probe every backend of this interpreter and of those the host file names, each in a process of its own.

    Args:
        host: The host file, if one is given.
        as_json: Print JSON.
        details: Show what the SDK says of each device.
        ep_library: A plug-in execution provider's library for this interpreter's ONNX Runtime.

    Raises:
        InputError: The library or the host file is not there, or the host file is wrong.
    """
    places = places_of(read_host(host_path(host)), ep_library)
    found = look(places)
    if as_json:
        text = json.dumps([_plain(place, seen) for place, seen in found], indent=1, ensure_ascii=False)
        # A vendor's text may hold halves of characters, which no terminal and no file takes.
        data(text.encode("utf-8", "replace").decode())
    else:
        _print(found, details)
    return 0


def places_of(host: HostFile, ep_library: str = "") -> list[Place]:
    """Return the interpreters to look into: this one first, then each that the host file names, once an environment."""
    own = {EP_LIBRARY: _library(ep_library)} if ep_library else {}
    asked: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {("", tuple(own.items())): []}
    for name, target in host.target.items():
        if target.python or target.env:
            env = {**(own if not target.python else {}), **target.env}
            asked.setdefault((target.python or "", tuple(sorted(env.items()))), []).append(name)
    return [Place(python, dict(env), tuple(names)) for (python, env), names in asked.items()]


def look(places: Sequence[Place]) -> list[tuple[Place, Survey]]:
    """Ask every place what backends it has, and each backend how far it gets; what hangs costs one deadline in all."""
    with err.status("looking at backends") as status:
        listed = survey_all([Ask("", place.python, place.env) for place in places])
        # A place that names no backend is shown with the reason, not left out.
        empty = {n: seen for n, seen in enumerate(listed) if not seen.known}
        asks = [(n, Ask(name, places[n].python, places[n].env)) for n, seen in enumerate(listed) for name in seen.known]
        left = [ask.backend for _, ask in asks]

        def answered(ask: Ask, seen: Survey) -> None:
            left.remove(ask.backend)
            status.update(f"looking at backends: waiting for {', '.join(dict.fromkeys(left))}")

        answers = survey_all([ask for _, ask in asks], answered)
    found = [(n, seen) for (n, _), seen in zip(asks, answers, strict=True)] + list(empty.items())
    return [(places[n], seen) for n, seen in sorted(found, key=lambda each: each[0])]


def _library(given: str) -> str:
    """Return the library as the environment variable has it, ``NAME=FILE`` or ``FILE``, with an absolute path."""
    name, _, file = given.rpartition("=")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"--ep-library {given}: {path}: no such file")
    # The survey runs in this folder, but the text is shown to be copied elsewhere.
    return f"{name}={os.path.abspath(path)}" if name else os.path.abspath(path)  # noqa: PTH100 - links stay as named


def _print(found: Sequence[tuple[Place, Survey]], details: bool) -> None:
    last = None
    for place, seen in found:
        if place is not last:
            out.print(Text(("" if last is None else "\n") + place.title(), style="bold underline"))
            last = place
        out.print()
        out.print(_headline(seen))
        out.print(Padding(_rows(seen, details), (0, 0, 0, 2)))
    ready = sum(seen.availability.rung is Rung.READY for _, seen in found)
    out.print(Text(f"\n{ready} of {len(found)} ready; the ladder is {_LADDER}", style="dim"))


def _headline(seen: Survey) -> Text:
    rung = seen.availability.rung
    ready = rung is Rung.READY
    text = Text("✔ " if ready else "✘ ", style="green" if ready else "yellow")
    text.append(seen.backend or ("no backend" if rung is Rung.NOT_INSTALLED else "no answer"), style="bold default")
    text.append(f"  {rung.word}", style="green" if ready else "yellow")
    version = seen.plugin.get("version")
    if version:
        text.append(f"  {seen.plugin.get('distribution', '')} {version}", style="dim default")
    return text


def _rows(seen: Survey, details: bool) -> Table:
    """Return what is known of a backend as rows of a word and its text; texts break where the terminal ends."""
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(style="dim", no_wrap=True, min_width=len("next step"))
    rows.add_column(overflow="fold")
    found = seen.availability
    if found.reason:
        rows.add_row("why", _text(found.reason))
    if found.advice:
        rows.add_row("next step", _text(found.advice))
    for n, device in enumerate(found.devices):
        label = "  SIMULATED" if device.simulated and "SIMULATED" not in device.kind else ""
        shown = _text(f"{device.name}  {device.kind}{label}")
        for key, value in device.details.items() if details else ():
            shown.append(f"\n  {key}: {value}", style="dim")
        rows.add_row("device" if n == 0 else "", shown)
    if found.versions:
        rows.add_row("versions", _text(", ".join(f"{name} {version}" for name, version in found.versions.items())))
    if seen.options or found.rung is Rung.READY:
        rows.add_row("sensors", "yes" if seen.has_sensors else "none")
    return rows


def _text(words: str) -> Text:
    """Return a vendor's words as they are: no markup is read in them, and nothing in them moves the cursor."""
    return Text("".join(c for c in words.encode("utf-8", "replace").decode() if c.isprintable() or c == "\n"))


def _plain(place: Place, seen: Survey) -> dict[str, object]:
    available = seen.availability
    return {
        "backend": seen.backend or "—",
        "interpreter": place.python,
        "env": dict(place.env),
        "targets": list(place.targets),
        "availability": available.rung.word,
        "reason": available.reason,
        "advice": available.advice,
        "versions": dict(available.versions),
        "devices": [asdict(device) for device in available.devices],
        "sensors": seen.has_sensors,
        "options": dict(seen.options),
        "plugin": dict(seen.plugin),
    }
