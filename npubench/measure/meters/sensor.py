"""What a meter's sensor says beside what every sensor says: what it is worth as evidence, and how far its clock is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npubench.contract.backend import Sensor

#: What watts can be worth as evidence, best first (design §8).
EVIDENCE = ("wall meter", "BMC or PDU", "device energy counter", "device power gauge")


class MeterError(Exception):
    """A meter cannot be used; the text says why and what to do, and holds no secret."""


class MeterSensor(Sensor):
    """A sensor of a meter.

    Attributes:
        evidence: One of :data:`EVIDENCE`.
        address: Where it is asked over a network; sensors of one address are read in turn, those of others beside them.
            ``""`` = it is no remote meter.
        clock_offset_ns: How far the meter's readings lie after the machine's clock; taken off before anything is integrated.
        clock_error_ns: How far that may be wrong; 0 where a reading is stamped here and is of this moment.
    """

    evidence: str
    address: str = ""
    clock_offset_ns: int = 0
    clock_error_ns: int = 0

    def look(self) -> None:
        """Note the voltage and the current now; asked once an update while the ranging run lasts. Without ranges: nothing."""

    def fix_ranges(self) -> None:
        """Fix the measuring ranges by what was noted; what goes wrong is told by :meth:`ranging`. Without ranges: nothing."""

    def ranging(self) -> Mapping[str, Any] | None:
        """Return what came of the ranging run, in plain values, as ``Ranges.told`` says it; ``None`` of what has no ranges."""
        return None

    def close(self) -> None:
        """Let go of the meter; a second call does nothing."""
