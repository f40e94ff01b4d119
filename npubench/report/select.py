"""Choose runs out of stores by what a person writes: a target, a path, or ``key=value`` pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from npubench.contract.options import nearest
from npubench.contract.runspec import to_plain
from npubench.errors import InputError
from npubench.record.schema import Record
from npubench.record.store import Entry, Store, read_record

#: What a run can be chosen by.
COORDINATES = ("target", "precision", "workload", "scenario", "grade", "round", "system", "backend", "device", "suite")


@dataclass(frozen=True, slots=True)
class Selection:
    """The runs one side of a comparison has: how it was written, what it fixes, and the runs."""

    text: str
    fixed: Mapping[str, str]
    entries: tuple[Entry, ...]


def coordinates(record: Record) -> dict[str, str]:
    """Return a record's coordinates by name."""
    spec = record.spec
    return {
        "target": spec.target.name,
        "precision": spec.precision,
        "workload": spec.workload,
        "scenario": spec.load.scenario.value,
        "grade": spec.grade,
        "round": spec.round,
        "system": record.system.system_id,
        "backend": spec.target.backend,
        "device": spec.target.device,
        "suite": spec.suite,
    }


def select(text: str, store: Store, entries: Sequence[Entry] | None = None) -> Selection:
    """Choose runs.

    Args:
        text: A store's or a run's folder; or ``key=value`` pairs joined by commas; or ``target`` or ``target/precision``.
        store: Where pairs and targets are looked up.
        entries: Its runs, where they have been read before: there may be thousands.

    Raises:
        InputError: Nothing matches; names what there is.
    """
    path = Path(text)
    if (path / "record.json").exists():
        return Selection(text, {"run": text}, (Entry(path, read_record(path / "record.json")),))
    if path.is_dir():
        found = tuple(Store(path).read()[0])
        if not found:
            raise InputError(f"{path}: no readable run in this store")
        return Selection(text, {"store": text}, found)
    fixed = _pairs(text)
    entries = store.read()[0] if entries is None else entries
    if not entries:
        raise InputError(f"{store.root}: there is no run in this store; 'npubench run SUITE' makes some, --store names another")
    for key, value in fixed.items():
        there = sorted({coordinates(entry.record)[key] for entry in entries})
        if value not in there:
            raise InputError(f"'{text}': no run with {key} '{value}' in {store.root}{nearest(value, there)}")
    chosen = tuple(e for e in entries if all(coordinates(e.record)[k] == v for k, v in fixed.items()))
    if not chosen:
        raise InputError(f"'{text}': no run in {store.root} has all of these")
    return Selection(text, fixed, chosen)


def latest(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the runs to look at where a cell was measured more than once: the strictest grade, then the latest round.

    Repeats of one plan entry belong together and all stay.
    """
    strictness = {"official": 2, "nightly": 1, "smoke": 0}
    cells: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        place = coordinates(entry.record)
        cells.setdefault(tuple(place[k] for k in ("system", "target", "precision", "workload", "scenario")), []).append(entry)
    chosen: list[Entry] = []
    for there in cells.values():
        best = max(there, key=lambda e: (strictness[e.record.spec.grade], e.record.provenance.started_at))
        wanted = _plan_entry(best.record)
        chosen.extend(e for e in there if _plan_entry(e.record) == wanted)
    return tuple(sorted(chosen, key=lambda e: e.record.run_id))


def _plan_entry(record: Record) -> Mapping[str, object]:
    """Return what repeats of one plan entry have in common: all that identifies a run but its repeat and seeds."""
    plain = to_plain(record.spec)
    for key in ("run_id", "repeat", "bundle", "cache", "deadlines_s", "watchdog_s"):
        del plain[key]
    del plain["load"]["seeds"]
    return {"system": record.system.system_id, **plain}


def _pairs(text: str) -> dict[str, str]:
    if "=" not in text:
        target, _, precision = text.partition("/")
        return {"target": target, **({"precision": precision} if precision else {})}
    fixed: dict[str, str] = {}
    for pair in text.split(","):
        key, _, value = pair.partition("=")
        if key not in COORDINATES:
            raise InputError(f"'{text}': unknown key '{key}'{nearest(key, COORDINATES)}")
        fixed[key] = value
    return fixed
