"""What a store holds, by the few lines of each record that a list shows; read when asked for, and once a change of the file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from npubench.analyze.estimate import Estimate
from npubench.analyze.metrics import HEADLINE
from npubench.contract.runspec import Scenario
from npubench.record.store import Store

RECORD = "record.json"
#: A record beyond this is not read for a list, bytes; real ones have some 50 kB.
LARGEST = 64 << 20
STATUSES = ("ok", "invalid", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Header:
    """One run as a list shows it; ``problem`` says why nothing but its place is known, and is "" where all is."""

    system: str
    run_id: str
    target: str = ""
    workload: str = ""
    scenario: str = ""
    precision: str = ""
    grade: str = ""
    status: str = ""
    started_at: str = ""
    simulated: bool = False
    title: Mapping[str, str] = field(default_factory=dict)
    headline: Estimate | None = None
    problem: str = ""

    @property
    def key(self) -> str:
        """The run's place in the store."""
        return f"{self.system}/{self.run_id}"


class RunIndex:
    """The runs of a store, the latest first. Writes nothing; safe to use from several threads.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[Path, tuple[tuple[int, int], Header]] = {}

    def folders(self) -> list[Path]:
        """Return every run's folder, the one whose record was written last first; none that leads out of the store."""
        return [folder for folder, _ in self._stamped()]

    def find(self, system: str, run_id: str) -> Path | None:
        """Return a run's folder by the names that the store itself lists; no other path is ever looked at."""
        return next((f for f in self.folders() if (f.parent.name, f.name) == (system, run_id)), None)

    def inside(self, path: Path) -> bool:
        """Return whether a file lies in the store, links followed."""
        return path.resolve().is_relative_to(self.store.root.resolve())

    def fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        """Return what changes whenever a record of the store does."""
        return tuple((str(folder), *stamp) for folder, stamp in self._stamped())

    def _stamped(self) -> list[tuple[Path, tuple[int, int]]]:
        """Return the folders that ``Store.folders`` lists with their stamps, in a fraction of its time: there are thousands."""
        found: list[tuple[int, str, str, int, Path]] = []
        for system in _folders(self.store.root):
            for run in _folders(Path(system.path)):
                path = f"{run.path}/{RECORD}"
                try:
                    own = os.lstat(path)
                except OSError:
                    continue
                folder = Path(run.path)
                if system.is_symlink() or run.is_symlink() or stat.S_ISLNK(own.st_mode):
                    stamp = _stamp(folder)
                    if stamp is None or not self.inside(folder / RECORD):
                        continue
                else:
                    stamp = own.st_mtime_ns, own.st_size
                found.append((-stamp[0], system.name, run.name, stamp[1], folder))
        return [(folder, (-at, size)) for at, _, _, size, folder in sorted(found)]

    def header(self, folder: Path) -> Header:
        """Return a run's header; read again only where its record has changed."""
        stamp = _stamp(folder) or (0, 0)
        found = self._known.get(folder)
        if found is not None and found[0] == stamp:
            return found[1]
        header = read_header(folder)
        self._known[folder] = (stamp, header)
        return header

    def known(self) -> list[Header]:
        """Return the headers that have been read so far."""
        return [header for _, header in list(self._known.values())]


def read_header(folder: Path) -> Header:
    """Read the few values of a run's record that a list shows; whatever is wrong with it is said in ``problem``."""
    empty = Header(folder.parent.name, folder.name)
    path = folder / RECORD
    try:
        if path.stat().st_size > LARGEST:
            return replace(empty, problem=f"{RECORD}: larger than {LARGEST:,} bytes")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return replace(empty, problem=f"{RECORD}: cannot be read: {(error.strerror or str(error)).lower()}")
    except (ValueError, RecursionError) as error:
        return replace(empty, problem=f"{RECORD}: truncated or damaged ({error})")
    spec, bundle = _part(data, "spec"), _part(data, "bundle")
    load = _part(spec, "load")
    scenario, status = _text(load, "scenario"), _text(data, "status")
    target, workload = _text(_part(spec, "target"), "name"), _text(spec, "workload")
    if status not in STATUSES or scenario not in {each.value for each in Scenario} or not target or not workload:
        return replace(empty, problem=f"{RECORD}: not a record that this npubench knows")
    return replace(
        empty,
        target=target,
        workload=workload,
        scenario=scenario,
        precision=_text(spec, "precision"),
        grade=_text(spec, "grade"),
        status=status,
        started_at=_text(_part(data, "provenance"), "started_at"),
        simulated=_part(data, "system").get("simulated") is True,
        title={str(k): v for k, v in _part(bundle, "title").items() if isinstance(v, str)},
        headline=_estimate(_part(_part(data, "metrics"), HEADLINE[Scenario(scenario)].metric)),
    )


def _part(data: Any, name: str) -> dict[str, Any]:
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _text(data: dict[str, Any], name: str) -> str:
    found = data.get(name)
    return found if isinstance(found, str) else ""


def _estimate(data: dict[str, Any]) -> Estimate | None:
    value, unit, reason = data.get("value"), _text(data, "unit"), data.get("reason")
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf"):
        return Estimate(float(value), unit)
    return Estimate(None, unit, reason=reason) if isinstance(reason, str) else None


def _folders(root: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder and is not hidden; nothing where it is no folder or is gone meanwhile."""
    try:
        with os.scandir(root) as entries:
            return [entry for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []


def _stamp(folder: Path) -> tuple[int, int] | None:
    try:
        found = (folder / RECORD).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
