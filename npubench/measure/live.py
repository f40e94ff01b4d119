"""Show a sampler's last readings to whoever looks, through a small memory-mapped file beside what it writes at its end.

A store into mapped memory is all it costs the sampler: no call of the system, no lock, nothing a reader could hold up.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

#: Beside ``readings.npz`` stands ``readings.live`` while the sampler lives.
SUFFIX = ".live"

#: How long the description is, before it and before the slots.
_LENGTH = struct.Struct("<q")
#: A slot: when it was read (monotonic, ns), the value, and whether there was one; 0, 0, 0 before the first reading.
_SLOT = struct.Struct("<qqq")
#: How often a reader looks again at a slot that changes under its eyes.
_LOOKS = 8


@dataclass(frozen=True, slots=True)
class LiveReading:
    """A sensor's last reading.

    Args:
        name, kind, domain: As in :class:`npubench.contract.Sensor`.
        evidence: What a meter is worth as evidence; "" for a plug-in's own sensor.
        time_ns: When it was read, monotonic clock.
        value: In the unit of ``kind``; None where it gave no value.
    """

    name: str
    kind: str
    domain: str
    evidence: str
    time_ns: int
    value: int | None


class LiveFile:
    """The writing end, as a context manager; the file goes with it.

    Args:
        path: The file that the readings are written to in the end.
        sensors: What is known of each sensor, in order.
    """

    def __init__(self, path: Path, sensors: Sequence[Mapping[str, Any]]) -> None:
        self._path = path.with_suffix(SUFFIX)
        self._text = json.dumps(sensors).encode()
        self._slots = _LENGTH.size + -(-len(self._text) // 8) * 8
        self._size = self._slots + _SLOT.size * len(sensors)
        self._map: mmap.mmap | None = None

    def __enter__(self) -> LiveFile:
        # A folder that cannot be written to costs the live view, not the readings.
        with contextlib.suppress(OSError, ValueError), self._path.open("w+b") as file:
            file.truncate(self._size)
            mapped = mmap.mmap(file.fileno(), self._size)
            mapped[_LENGTH.size : _LENGTH.size + len(self._text)] = self._text
            mapped[: _LENGTH.size] = _LENGTH.pack(len(self._text))
            self._map = mapped
        return self

    def show(self, n: int, time_ns: int, value: int, valid: int) -> None:
        """Put the reading of sensor ``n`` in place of the one before."""
        if self._map is not None:
            _SLOT.pack_into(self._map, self._slots + n * _SLOT.size, time_ns, value, valid)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def read_live(path: Path) -> list[LiveReading]:
    """Return the last reading of each sensor that has been read; none where no sampler is at work.

    Args:
        path: The ``.live`` file.
    """
    try:
        data = path.read_bytes()
        (length,) = _LENGTH.unpack_from(data)
        sensors = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        first = _LENGTH.size + -(-length // 8) * 8
        found = []
        for n, sensor in enumerate(sensors):
            time_ns, value, valid = _slot(path, data, first + n * _SLOT.size)
            if time_ns:
                shown = value if valid else None
                found.append(
                    LiveReading(sensor["name"], sensor["kind"], sensor["domain"], sensor.get("evidence") or "", time_ns, shown)
                )
        return found
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return []


def _slot(path: Path, data: bytes, at: int) -> tuple[int, int, int]:
    """Read a slot until two looks agree: the sampler may be writing it."""
    seen = _SLOT.unpack_from(data, at)
    for _ in range(_LOOKS):
        with path.open("rb") as file:
            file.seek(at)
            again = _SLOT.unpack(file.read(_SLOT.size))
        if again == seen:
            break
        seen = again
    return int(seen[0]), int(seen[1]), int(seen[2])
