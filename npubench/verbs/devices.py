"""``npubench devices``: which backends there are, and how far each gets."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from npubench.contract.availability import Rung
from npubench.measure.survey import Survey, backends, survey
from npubench.plan.suite import read_host
from npubench.verbs.console import data, err, out
from npubench.verbs.prepare import host_path


def show_devices(host: Path | None, as_json: bool) -> int:
    """Probe every backend of this interpreter and of those the host file names, each in a process of its own."""
    file = read_host(host_path(host))
    pythons = list(dict.fromkeys(["", *(t.python for t in file.target.values() if t.python)]))
    found: list[tuple[str, Survey]] = []
    with err.status("looking at backends"):
        for python in pythons:
            names = backends(python)
            # An interpreter that names no backend is shown with the reason, not left out.
            found.extend((python, survey(name, python)) for name in names or ("—",))
    if as_json:
        data(json.dumps([_plain(python, seen) for python, seen in found], indent=1, ensure_ascii=False))
        return 0
    table = Table(title="Backends and devices", title_justify="left")
    for column in ("backend", "availability", "device", "kind", "versions", "interpreter"):
        table.add_column(column, overflow="fold")
    for python, seen in found:
        available = seen.availability
        sign = "[green]✔[/]" if available.rung is Rung.READY else "[yellow]✘[/]"
        versions = ", ".join(f"{name} {version}" for name, version in available.versions.items())
        devices = "\n".join(device.name for device in available.devices) or "—"
        kinds = "\n".join(device.kind for device in available.devices) or available.reason
        table.add_row(seen.backend, f"{sign} {available.rung.word}", devices, kinds, versions, python or "this one")
    out.print(table)
    return 0


def _plain(python: str, seen: Survey) -> dict[str, object]:
    available = seen.availability
    return {
        "backend": seen.backend,
        "interpreter": python,
        "availability": available.rung.word,
        "reason": available.reason,
        "versions": dict(available.versions),
        "devices": [asdict(device) for device in available.devices],
        "options": dict(seen.options),
        "plugin": dict(seen.plugin),
    }
