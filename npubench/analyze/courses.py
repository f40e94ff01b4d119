"""Read what sensors said that is no energy: throttle flags, clocks, temperatures. Judges nothing; ``power_rules`` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from npubench.measure.trace import read_arrays

#: Kinds of sensor that tell how a device felt while it worked.
CONDITIONS = ("throttle", "clock", "temperature")


@dataclass(frozen=True, slots=True)
class Course:
    """One sensor's readings with a value, in the unit of its kind.

    Args:
        name: The sensor's.
        kind: As in :class:`npubench.contract.Sensor`.
        domain: What it covers.
        times_ns: int64 ``[readings]``, ns of the window's clock.
        values: int64 ``[readings]``: 0 or 1 of a throttle flag, Hz of a clock, m°C of a temperature.
    """

    name: str
    kind: str
    domain: str
    times_ns: NDArray[np.int64]
    values: NDArray[np.int64]


def read_courses(paths: Sequence[Path], kinds: Sequence[str] = CONDITIONS) -> tuple[Course, ...]:
    """Return the readings of every sensor of ``kinds``; a file that is not there, or is damaged, gives none.

    Args:
        paths: The samplers' files.
        kinds: Which kinds of sensor.
    """
    found: list[Course] = []
    for path in paths:
        try:
            stored = read_arrays(path)
            header = json.loads(bytes(stored["header"]).decode())
            for n, sensor in enumerate(header):
                if sensor["kind"] in kinds:
                    valid = stored[f"{n}_valid"].astype(bool)
                    times = stored[f"{n}_times_ns"][valid] - int(sensor.get("clock_offset_ns") or 0)
                    values = stored[f"{n}_values"][valid]
                    found.append(Course(str(sensor["name"]), sensor["kind"], str(sensor["domain"]), times, values))
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            continue
    return tuple(found)
