"""Sensors of an NPU from DX-RT's ``DeviceStatus``: temperature and clock of its cores. There is no power to be had.

A status is a snapshot. A sensor that has already shown a snapshot asks for a new one; the others then show that one, so a
round of readings costs one call whichever sensor comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npubench.contract import Sensor

#: A DX-M1 has three cores. A channel beyond them answers 0 instead of an error, or -32768 in newer releases.
CORES = 3

#: What a core can be warm, °C, and clocked at, MHz; 0 is a channel that is not there.
_TEMPERATURE_C = (-40, 150)
_CLOCK_MHZ = (1, 10_000)


class Snapshot:
    """The last status of one NPU, shared by its sensors.

    Args:
        take: Gives a new status.
    """

    def __init__(self, take: Callable[[], Any]) -> None:
        self._take = take
        self._count = 0
        self._status: Any = None

    def after(self, shown: int) -> tuple[int, Any]:
        """Return a status that is newer than the one numbered ``shown``, with its own number; ``None`` if there is none."""
        if shown >= self._count:
            self._count += 1
            try:
                status = self._take()
                # Newer releases say that nobody refreshes it, when dxrtd does not run.
                self._status = status if getattr(status, "is_valid", lambda: True)() else None
            except Exception:
                self._status = None
        return self._count, self._status


class CoreSensor(Sensor):
    """Temperature or clock of one core."""

    def __init__(self, snapshot: Snapshot, kind: str, core: int) -> None:
        self.name = f"core {core} {kind}"
        self.kind = kind
        self.domain = "chip"
        # The status holds whole degrees and whole MHz.
        self.quantum = 1000 if kind == "temperature" else 1_000_000
        self._snapshot = snapshot
        self._core = core
        self._shown = 0

    def read(self) -> int | None:
        """Return m°C or Hz; ``None`` where DX-RT gives no status, or a value that no core has."""
        self._shown, status = self._snapshot.after(self._shown)
        if status is None:
            return None
        try:
            value = int(status.get_temperature(self._core) if self.kind == "temperature" else status.get_npu_clock(self._core))
        except Exception:
            return None
        low, high = _TEMPERATURE_C if self.kind == "temperature" else _CLOCK_MHZ
        return value * (self.quantum or 1) if value and low <= value <= high else None


def sensors(take: Callable[[], Any]) -> tuple[Sensor, ...]:
    """Return the sensors of an NPU whose status ``take`` returns."""
    snapshot = Snapshot(take)
    return tuple(CoreSensor(snapshot, kind, core) for kind in ("temperature", "clock") for core in range(CORES))
