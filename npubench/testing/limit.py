"""The simulated device's power limit: kept beside its account, in force for executors that are loaded after it is set.

Its law is simple and stated: power is capped at the limit, and service times grow by active power ÷ limit, so that a request
takes the same energy at any limit but for what the device draws idle.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import replace

from npubench.contract import PowerLimit
from npubench.testing import board
from npubench.testing.laws import PRESETS, Law

#: The limit, mW; 0 where none was ever set.
_STATE = struct.Struct("<q")

#: The highest limit, as a multiple of the preset's active power: it leaves the device as its law has it.
_HEADROOM = 4


class SimulatedPowerLimit(PowerLimit):
    """The power limit of a simulated device that draws power; it outlives every process, as a card's does."""

    def __init__(self, device: str) -> None:
        law = PRESETS[device].law
        self._device = device
        self._bounds = max(1000, law.idle_mw), _HEADROOM * law.active_mw

    def read(self) -> int:
        """Return the limit in force, mW: the highest where none was ever set."""
        return read_limit(self._device) or self._bounds[1]

    def bounds(self) -> tuple[int, int]:
        """Return idle power and four times the active one, mW."""
        return self._bounds

    def set(self, milliwatts: int) -> None:
        """Set the limit, mW.

        Raises:
            ValueError: It is out of bounds.
        """
        low, high = self._bounds
        if not low <= milliwatts <= high:
            raise ValueError(f"SIMULATED device: {milliwatts} mW is not {low}…{high}")
        with board.closing(board.open_board(_file(self._device))) as file, mmap.mmap(file, board.SIZE) as memory:
            # The highest is none: a device may draw more by its options than its preset does.
            memory[: _STATE.size] = _STATE.pack(0 if milliwatts == high else milliwatts)


def read_limit(device: str) -> int:
    """Return the limit that was set last, mW; 0 where none was ever set."""
    with board.closing(board.open_board(_file(device))) as file, mmap.mmap(file, board.SIZE) as memory:
        return int(_STATE.unpack_from(memory)[0])


def limited(law: Law, limit_mw: int) -> Law:
    """Return what is true of a device under a limit, mW; 0 is none.

    Power is capped at the limit, but never below idle; all service times are × active power ÷ capped power.
    """
    capped = max(limit_mw, law.idle_mw)
    if not limit_mw or capped >= law.active_mw:
        return law
    slower = law.active_mw / capped
    low = None if law.course_low_mw is None else min(law.course_low_mw, capped)
    return replace(
        law,
        fixed_us=law.fixed_us * slower,
        per_sample_us=law.per_sample_us * slower,
        jitter_us=law.jitter_us * slower,
        active_mw=capped,
        course_low_mw=low,
    )


def _file(device: str) -> str:
    return f"{device}-limit"
