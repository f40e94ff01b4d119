"""What others published, as a store keeps it: shown beside measured runs, never ranked with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from npubench.record.mlperf.reference import REFERENCES, Reference, read_reference
from npubench.record.strict import read_json_file

#: The largest row that is read, bytes.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class References:
    """The reference rows of a store, in order; and those that cannot be read: file name → why."""

    rows: tuple[Reference, ...]
    unreadable: dict[str, str]


def read_references(store: Path) -> References:
    """Read the reference rows of a store: by round, submitter, system, model and scenario; empty where there are none.

    A row whose file is not named after its content was changed after it was taken in, and counts as unreadable.
    """
    rows: list[Reference] = []
    unreadable: dict[str, str] = {}
    for path in sorted((store / REFERENCES).glob("*.json")):
        try:
            if path.is_symlink():
                raise ValueError("is a link")
            row = read_reference(read_json_file(path, _MAX_BYTES))
            if row.key != path.stem:
                raise ValueError("was changed since it was imported: its content is not what it is named after")
        except (ValueError, OSError) as error:
            unreadable[path.name] = str(error)
            continue
        rows.append(row)
    rows.sort(key=_order)
    return References(tuple(rows), unreadable)


def _order(row: Reference) -> tuple[object, ...]:
    number = tuple(int(part) for part in row.round.split(".")) if row.round and row.round.replace(".", "").isdigit() else ()
    return (row.source, number, row.round or "", row.submitter, row.system, row.model, row.scenario, row.folder_scenario, row.key)
