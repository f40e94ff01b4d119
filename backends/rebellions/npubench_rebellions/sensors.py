"""Sensors of an NPU from ``rbln-smi``: what its card draws, how warm the die is, and whether heat slows it down.

One call of the command answers for all sensors of a device. A sensor that has already shown an answer asks for a new one;
the others then show that one, so a round of readings costs one process whichever sensor comes first.
"""

from __future__ import annotations

from collections.abc import Callable

from npubench.contract import Device, Sensor
from npubench_rebellions import smi

#: Power changed in 90 of 100 readings taken a second apart on an RBLN-CA22 (driver 3.2.2).
POWER_PERIOD_NS = 1_000_000_000


class Readout:
    """The last answer of the command for one NPU, shared by its sensors.

    Args:
        index: The NPU's number.
        ask: Gives a new answer.
    """

    def __init__(self, index: int, ask: Callable[[int], smi.Listing] = smi.ask) -> None:
        self._index = index
        self._ask = ask
        self._count = 0
        self._npu: smi.Npu | None = None

    def after(self, shown: int) -> tuple[int, smi.Npu | None]:
        """Return an answer that is newer than the one numbered ``shown``, with its own number; ``None`` if it failed."""
        if shown >= self._count:
            npus = self._ask(self._index).npus
            self._npu = next((npu for npu in npus if npu.index == self._index), npus[0] if len(npus) == 1 else None)
            self._count += 1
        return self._count, self._npu


class SmiSensor(Sensor):
    """One quantity of the answer."""

    def __init__(
        self,
        readout: Readout,
        name: str,
        kind: str,
        domain: str,
        take: Callable[[smi.Npu], int | None],
        period_ns: int | None = None,
        quantum: int | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.domain = domain
        self.update_period_ns = period_ns
        self.quantum = quantum
        self._readout = readout
        self._take = take
        self._shown = 0

    def read(self) -> int | None:
        """Return mW, m°C, or 0 or 1; ``None`` where the command or the driver gives no value."""
        self._shown, npu = self._readout.after(self._shown)
        return None if npu is None else self._take(npu)


def sensors(device: Device, index: int) -> tuple[Sensor, ...]:
    """Return the sensors of an NPU; none where there is no command to ask.

    Power is that of the whole card and the same on each of its dies, so its sensor is named after the card's serial:
    who adds up several dies counts each name once.
    """
    if smi.command() is None:
        return ()
    readout = Readout(index)
    card = device.details.get("sid", device.name)
    return (
        SmiSensor(readout, f"card power {card}", "power", "card", lambda npu: npu.power_mw, POWER_PERIOD_NS),
        SmiSensor(readout, "die temperature", "temperature", "chip", lambda npu: npu.temperature_mc, quantum=1000),
        SmiSensor(readout, "thermal throttling", "throttle", "chip", lambda npu: npu.throttled),
    )
