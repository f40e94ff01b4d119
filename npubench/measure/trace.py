"""The trace: what happened to every sample, as columns of integers; written once, read for ever.

In the window a row is one sample, in order of issue. Nothing here computes a metric.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: The version of ``trace.npz``.
TRACE_VERSION = 1

Column = np.ndarray[Any, np.dtype[np.int64]]


class Columns:
    """Preallocated columns of the timed path; one slot a sample, 0 = not reached.

    ``array`` and not ``ndarray``: storing a Python integer into it is several times cheaper.
    """

    __slots__ = ("capacity", "done", "issued", "query", "rows", "sample", "started")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.rows = 0
        blank = bytes(8 * capacity)
        self.issued = array("q", blank)
        self.started = array("q", blank)
        self.done = array("q", blank)
        self.sample = array("q", blank)
        self.query = array("q", blank)


@dataclass(frozen=True, slots=True)
class Trace:
    """The measured window of one run.

    Args:
        issued_ns: When LoadGen handed the sample in, monotonic clock, ``int64[n]``.
        started_ns: When the harness passed it to the executor.
        done_ns: When its outputs were there.
        scheduled_ns: When it was due: LoadGen's Poisson schedule in server, else ``issued_ns``.
        sample: Index into the bundle.
        query: Which query it belongs to, 0…
        start_ns, end_ns: The window: first due to last done.
        details: Load as it took effect: scenario, batch, in flight, target rate, path, LoadGen's own account.
    """

    issued_ns: Column
    started_ns: Column
    done_ns: Column
    scheduled_ns: Column
    sample: Column
    query: Column
    start_ns: int
    end_ns: int
    details: Mapping[str, Any]

    @property
    def samples(self) -> int:
        """Completed samples."""
        return len(self.done_ns)

    @property
    def queries(self) -> int:
        """Completed queries."""
        return int(self.query[-1]) + 1 if len(self.query) else 0

    @property
    def window_ns(self) -> int:
        """The length of the window, ns."""
        return self.end_ns - self.start_ns

    def query_latencies_ns(self) -> Column:
        """Return each query's latency, due to last sample done: ``int64[queries]``, in order of issue."""
        if not len(self.query):
            return np.zeros(0, np.int64)
        first = np.flatnonzero(np.diff(self.query, prepend=-1))
        return np.asarray(np.maximum.reduceat(self.done_ns, first) - self.scheduled_ns[first], dtype=np.int64)


def freeze(columns: Columns, schedule_ns: Column | None, details: Mapping[str, Any]) -> Trace:
    """Make a :class:`Trace` of filled columns.

    Args:
        columns: What the dispatcher wrote.
        schedule_ns: Due times of the queries relative to the first, for the server scenario: ``int64[queries]``.
        details: See :class:`Trace`.
    """
    n = columns.rows
    issued, started, done, sample, query = (
        np.array(column[:n], dtype=np.int64)
        for column in (columns.issued, columns.started, columns.done, columns.sample, columns.query)
    )
    if schedule_ns is None or not n:
        scheduled = issued.copy()
    else:
        # A query is never issued before it is due, so the smallest lag bounds LoadGen's own start from above.
        due = schedule_ns[query]
        scheduled = due + int((issued - due).min())
    return Trace(
        issued_ns=issued,
        started_ns=started,
        done_ns=done,
        scheduled_ns=scheduled,
        sample=sample,
        query=query,
        start_ns=int(scheduled.min()) if n else 0,
        end_ns=int(done.max()) if n else 0,
        details=dict(details),
    )


def write_trace(trace: Trace, path: Path) -> None:
    """Write ``trace.npz``."""
    header = {"version": TRACE_VERSION, "start_ns": trace.start_ns, "end_ns": trace.end_ns, "details": trace.details}
    np.savez_compressed(
        path,
        header=np.frombuffer(json.dumps(header, allow_nan=False).encode(), dtype=np.uint8),
        issued_ns=trace.issued_ns,
        started_ns=trace.started_ns - trace.issued_ns,
        done_ns=trace.done_ns - trace.issued_ns,
        scheduled_ns=trace.issued_ns - trace.scheduled_ns,
        sample=trace.sample,
        query=trace.query,
    )


def read_trace(path: Path) -> Trace:
    """Read ``trace.npz``.

    Raises:
        ValueError: Not a trace, damaged, or of a newer version.
        OSError: Cannot be opened.
    """
    stored = read_arrays(path)
    try:
        header = json.loads(bytes(stored["header"]).decode())
        if header["version"] != TRACE_VERSION:
            raise ValueError(f"{path}: trace version {header['version']}, this npubench reads {TRACE_VERSION}")
        issued = stored["issued_ns"]
        return Trace(
            issued_ns=issued,
            started_ns=issued + stored["started_ns"],
            done_ns=issued + stored["done_ns"],
            scheduled_ns=issued - stored["scheduled_ns"],
            sample=stored["sample"],
            query=stored["query"],
            start_ns=int(header["start_ns"]),
            end_ns=int(header["end_ns"]),
            details=header["details"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged trace ({error})") from error


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read every array of an ``.npz``.

    Raises:
        ValueError: It is damaged, or holds pickles.
        OSError: It cannot be opened.
    """
    try:
        # numpy leaves a path's file open where the archive is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: damaged ({error})") from error
