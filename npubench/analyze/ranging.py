"""Hold a testing run against the ranging run before it, as MLPerf power does. Pure functions of what both saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from npubench.analyze.estimate import RECORD_CONFIG, Estimate

#: The testing run's mean power may be this much below the ranging run's (power-dev ``compliance/check.py``).
MOST_BELOW = 0.05


@dataclass(frozen=True, slots=True)
class Ranging:
    """What a meter saw in the ranging run: the same load with its ranges left to itself."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    sensor: str
    """The sensor's name, as in the energy figures."""
    domain: str
    """chip, card, board, host or wall."""
    watts: Estimate
    """Mean power over the ranging run's window."""
    volts: Estimate
    """The highest voltage seen; decides the voltage range of the testing run."""
    amps: Estimate
    """The highest current seen; decides the current range of the testing run."""


def below_ranging(ranging: Estimate, testing: Estimate) -> float | None:
    """Return by which part the testing run drew less than the ranging run, where that is more than allowed.

    The interval counts for neither side: the rule is MLPerf's, on the means. Unlike there, the means are integrals over the
    window, so that readings of 0 or below are not left out.

    Args:
        ranging: Mean power of the ranging run, W.
        testing: Mean power of the testing run, W.
    """
    if ranging.value is None or testing.value is None or ranging.value <= 0:
        return None
    below = 1.0 - testing.value / ranging.value
    return below if below >= MOST_BELOW else None


def pick_range(highest: float, offered: tuple[float, ...]) -> float | None:
    """Return the smallest of a meter's ranges that holds what was seen; None where none does, and it must be left to itself.

    Args:
        highest: The highest voltage, V, or current, A, of the ranging run.
        offered: The meter's ranges, in the same unit.
    """
    return min((each for each in offered if each >= highest), default=None)
