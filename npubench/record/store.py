"""The store: one folder a system, one a run; append-only, and whole at any moment.

A run is written into a folder of its own under ``.open`` and renamed into place when everything in it is on disk.
A kill at any moment leaves the finished runs and at most one open folder, which the next start removes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from npubench.errors import RecordError, StoreError
from npubench.record.migrate import migrate
from npubench.record.schema import SCHEMA_VERSION, Record

#: Where runs in progress are written.
_OPEN = ".open"
_LOCK = ".lock"
_RECORD = "record.json"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A run folder whose record cannot be read: shown, never dropped."""

    folder: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A run in a store: its record and the folder with everything that stands beside it."""

    folder: Path
    record: Record


class Store:
    """A folder of records.

    Args:
        root: The store's folder; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def writing(self, before_clearing: Callable[[Path], None] = lambda folder: None) -> Iterator[None]:
        """Hold the store for writing, and remove what a killed process left open.

        Args:
            before_clearing: Given the folder of what was left open, before it is removed.

        Raises:
            StoreError: It cannot be written, or another process is writing to it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / _LOCK).open("a")
        except OSError as error:
            raise StoreError(f"{self.root}: the store cannot be written: {_why(error)}; choose another with --store") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreError(
                    f"{self.root}: another npubench is writing to this store; wait for it or choose another --store"
                ) from error
            before_clearing(self.root / _OPEN)
            shutil.rmtree(self.root / _OPEN, ignore_errors=True)
            yield

    def open_folder(self, run_id: str) -> Path:
        """Return where a run is written while it is in progress."""
        return self.root / _OPEN / run_id

    def open_run(self, run_id: str) -> Path:
        """Return an empty folder for a run in progress.

        Raises:
            StoreError: It cannot be made.
        """
        folder = self.open_folder(run_id)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        except OSError as error:
            raise StoreError(f"{folder}: the store cannot be written: {_why(error)}; choose another with --store") from error
        return folder

    def publish(self, folder: Path, record: Record) -> Path:
        """Write the record beside what was observed, make all of it durable, and rename it into place.

        Returns:
            The run's final folder.

        Raises:
            StoreError: It cannot be written, or such a run is there already.
        """
        final = self.root / record.system.system_id / record.run_id
        try:
            with (folder / _RECORD).open("w", encoding="utf-8") as file:
                file.write(record.model_dump_json(indent=1) + "\n")
            for path in sorted(folder.rglob("*")):
                _sync(path)
            _sync(folder)
            final.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(final)
            _sync(final.parent)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise StoreError(f"{final}: there is such a run already; records are never replaced (use --round)") from error
            raise StoreError(f"{final}: the store cannot be written: {_why(error)}; finished runs are kept") from error
        return final

    def folders(self) -> list[Path]:
        """Return every run's folder, by system and run id; runs in progress come and go meanwhile and are not among them."""
        systems = [path for path in sorted(self.root.glob("*")) if not path.name.startswith(".")]
        return [run for system in systems for run in sorted(system.glob("*")) if (run / _RECORD).exists()]

    def has(self, system_id: str, run_id: str) -> bool:
        """Return whether a run is in the store."""
        return (self.root / system_id / run_id / _RECORD).exists()

    def read(self) -> tuple[list[Entry], list[Unreadable]]:
        """Read all records; one that cannot be read is returned as such and hides no other.

        Raises:
            StoreError: It is no folder, or may not be read.
        """
        if self.root.exists() and not (self.root.is_dir() and os.access(self.root, os.R_OK | os.X_OK)):
            raise StoreError(f"{self.root}: not a folder of records that can be read; name another with --store")
        entries: list[Entry] = []
        unreadable: list[Unreadable] = []
        with _uncollected():
            for folder in self.folders():
                try:
                    entries.append(Entry(folder, read_record(folder / _RECORD)))
                except RecordError as error:
                    unreadable.append(Unreadable(folder, str(error)))
        return entries, unreadable


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Leave out the search for cycles: records have none, and of thousands it takes as long as reading them."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def read_record(path: Path) -> Record:
    """Read one ``record.json``; older versions are migrated.

    Raises:
        RecordError: Truncated, damaged, of a newer schema, or with unknown keys; names file and key.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(f"{path}: no such record") from error
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {_why(error)}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: truncated or damaged ({error})") from error
    if not isinstance(data, dict) or not isinstance(data.get("schema_version"), int):
        raise RecordError(f"{path}: not a record: key 'schema_version' is missing")
    if data["schema_version"] > SCHEMA_VERSION:
        raise RecordError(
            f"{path}: schema_version is {data['schema_version']}, this npubench reads up to {SCHEMA_VERSION}; "
            f"install a newer npubench"
        )
    try:
        return Record.model_validate(migrate(data))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path}: {key}: {first['msg']}") from error


def file_digests(folder: Path) -> dict[str, str]:
    """Return relative name → ``sha256:…`` of every file in a run's folder but the record itself."""
    return {
        path.relative_to(folder).as_posix(): "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _RECORD
    }


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
