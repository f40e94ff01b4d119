"""Keep reference rows in a store: one JSON file a row, named after its content, never replaced."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from npubench.errors import StoreError
from npubench.record.mlperf.reference import REFERENCES, Reference, write_reference


def keep_references(store: Path, rows: Iterable[Reference]) -> tuple[int, int]:
    """Write rows into a store's folder ``references``.

    A row's name is its content's digest, so that two commands at once write the same or other files and need no lock.

    Returns:
        How many are new, and how many were there already.

    Raises:
        StoreError: The store cannot be written.
    """
    folder = store / REFERENCES
    new = there = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for row in rows:
            path = folder / f"{row.key}.json"
            if path.exists():
                there += 1
                continue
            unfinished = folder / f".{row.key}.{os.getpid()}"
            unfinished.write_bytes(write_reference(row))
            unfinished.replace(path)
            new += 1
    except OSError as error:
        raise StoreError(f"{folder}: the store cannot be written: {(error.strerror or str(error)).lower()}") from error
    return new, there
