"""How a sensor shows what there is to show: when it changes, in what steps, and what of it gets lost.

Pure functions for one reading or for arrays of them: the live device's sensors and made-up readings
(``npubench.testing.power``) show by the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

#: Fibonacci hashing (Knuth, TAOCP 3, §6.4): multiples of 2³² ÷ golden ratio, modulo 2³², spread evenly.
_GOLDEN, _TURN = 2_654_435_761, 1 << 32


@dataclass(frozen=True, slots=True)
class SensorModel:
    """How a sensor shows power or energy.

    Args:
        kind: As in :class:`npubench.contract.Sensor`.
        period_ns: How often its value changes.
        quantum: Its smallest step, in the unit of its kind.
        averages: Whether a gauge shows the mean over its last period, or the power at its last update.
        wraps_at: Where a counter starts again from 0, µJ.
        declared: Whether it says its period, step and manner, or leaves them to be seen.
        dropped: The part of the readings without a value, 0…1.
        jitter: By how much of its period an update comes late at most, 0…1.
        seed: Of the lateness.
    """

    kind: str
    period_ns: int
    quantum: int = 1
    averages: bool | None = None
    wraps_at: int | None = None
    declared: bool = True
    dropped: float = 0.0
    jitter: float = 0.0
    seed: int = 1

    @property
    def hertz(self) -> float:
        """How often its value changes, Hz."""
        return 1e9 / self.period_ns


def update_ns(model: SensorModel, base_ns: int, count: Any) -> Any:
    """Return when a sensor that first updated at ``base_ns`` does so for the ``count``-th time after: ns, whole."""
    due = base_ns + count * model.period_ns
    if not model.jitter:
        return due
    late = (count * _GOLDEN + model.seed * 40_503 % _TURN) % _TURN
    return due + (count > 0) * (late * int(model.jitter * model.period_ns) // _TURN)


def last_update(model: SensorModel, base_ns: int, at_ns: Any) -> Any:
    """Return the count of the last update at or before ``at_ns``, which is not before ``base_ns``."""
    count = (at_ns - base_ns) // model.period_ns
    if not model.jitter:
        return count
    return count - (update_ns(model, base_ns, count) > at_ns)


def in_steps(model: SensorModel, value: Any) -> Any:
    """Return what a sensor shows of a value, which is in the unit of its kind: counters cut off and wrap, the others round."""
    if model.kind != "energy":
        return np.rint(value / model.quantum) * model.quantum
    counted = value // model.quantum * model.quantum
    return counted % model.wraps_at if model.wraps_at else counted


def is_given(model: SensorModel, generator: np.random.Generator, readings: int | None = None) -> Any:
    """Return whether readings have a value: bool, or bool ``[readings]``."""
    return generator.random(readings) >= model.dropped
