"""What a meter's sensor says beside what every sensor says: what it is worth as evidence, and how far its clock is off."""

from __future__ import annotations

from npubench.contract.backend import Sensor


class MeterError(Exception):
    """A meter cannot be used; the text says why and what to do, and holds no secret."""


class MeterSensor(Sensor):
    """A sensor of a meter.

    Attributes:
        evidence: ``"wall meter"``, ``"BMC or PDU"``, ``"device energy counter"`` or ``"device power gauge"``.
        clock_offset_ns: How far the meter's readings lie after the machine's clock; taken off before anything is integrated.
        clock_error_ns: How far that may be wrong; 0 where a reading is stamped here and is of this moment.
    """

    evidence: str
    clock_offset_ns: int = 0
    clock_error_ns: int = 0

    def close(self) -> None:
        """Let go of the meter; a second call does nothing."""
