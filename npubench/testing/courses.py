"""The courses that power takes while a simulated device serves: constant, square wave, ramp, bursts, thermal drift.

Closed forms of power and of its integral, for a moment or for arrays of them, so that the energy drawn until any moment is
known without a grid. The live device and made-up readings (``npubench.testing.power``) draw by the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: The part of the time that bursts fill.
_BURSTING = 0.3
#: After so many slots bursts begin anew.
_SLOTS = 4096


@dataclass(frozen=True, slots=True)
class Course:
    """Power as a function of time; of the simulated device, of the time it has spent serving.

    Args:
        shape: One of :data:`SHAPES`.
        low_mw: The lower half of a square wave, where a ramp or a drift begins, power between bursts, mW.
        high_mw: The upper half, where a ramp or a drift ends (it may be the lower one), power in a burst, mW.
        period_ns: A whole square wave, the ramp, one slot that holds a burst or none, or the drift's time constant, ns.
        phase: Where in its period a square wave begins, 0…1.
        seed: Of the bursts.
    """

    shape: str
    low_mw: float
    high_mw: float
    period_ns: int
    phase: float = 0.0
    seed: int = 1


def power_mw(course: Course, at_ns: Any) -> Any:
    """Return the power at a time: float64, mW.

    Args:
        course: Of power.
        at_ns: ns since the course began, never negative: a number, or int64 of any shape.
    """
    return course.low_mw + (course.high_mw - course.low_mw) * _SHAPES[course.shape].share(course, at_ns)


def drawn_pj(course: Course, until_ns: Any) -> Any:
    """Return the energy drawn since the course began, pJ (mW · ns); exact where the course is constant and all is whole.

    Args:
        course: Of power.
        until_ns: ns since the course began, never negative: a number, or int64 of any shape.
    """
    return course.low_mw * until_ns + (course.high_mw - course.low_mw) * _SHAPES[course.shape].integral(course, until_ns)


class _Shape(NamedTuple):
    """How far power is from low (0) to high (1) at a time, and the integral of that, ns."""

    share: Callable[[Course, Any], Any]
    integral: Callable[[Course, Any], Any]


def _square_share(course: Course, at: Any) -> Any:
    return np.where((at / course.period_ns + course.phase) % 1.0 < 0.5, 1.0, 0.0)


def _square_integral(course: Course, at: Any) -> Any:
    def upper(turns: Any) -> Any:
        return np.floor(turns) / 2.0 + np.minimum(turns % 1.0, 0.5)

    return course.period_ns * (upper(at / course.period_ns + course.phase) - upper(course.phase))


def _ramp_share(course: Course, at: Any) -> Any:
    return np.minimum(at / course.period_ns, 1.0)


def _ramp_integral(course: Course, at: Any) -> Any:
    on_it = np.minimum(at, course.period_ns)
    return at - on_it + on_it * (on_it / course.period_ns) / 2.0


def _burst_share(course: Course, at: Any) -> Any:
    return _bursts(course.seed)[0][np.asarray(at // course.period_ns % _SLOTS)]


def _burst_integral(course: Course, at: Any) -> Any:
    bursts, before = _bursts(course.seed)
    slot = at // course.period_ns
    within = np.asarray(slot % _SLOTS)
    whole = slot // _SLOTS * before[-1] + before[within]
    return whole * course.period_ns + bursts[within] * (at - slot * course.period_ns)


@lru_cache(maxsize=16)
def _bursts(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return whether each slot is a burst, float64 ``[slots]``, and how many are before it, float64 ``[slots + 1]``."""
    bursts = (np.random.default_rng(seed).random(_SLOTS) < _BURSTING).astype(np.float64)
    return bursts, np.concatenate(([0.0], np.cumsum(bursts)))


def _drift_share(course: Course, at: Any) -> Any:
    return -np.expm1(-at / course.period_ns)


def _drift_integral(course: Course, at: Any) -> Any:
    return at + course.period_ns * np.expm1(-at / course.period_ns)


_SHAPES: Mapping[str, _Shape] = MappingProxyType(
    {
        "constant": _Shape(lambda course, at: 1 + 0 * at, lambda course, at: at),
        "square": _Shape(_square_share, _square_integral),
        "ramp": _Shape(_ramp_share, _ramp_integral),
        "bursts": _Shape(_burst_share, _burst_integral),
        "drift": _Shape(_drift_share, _drift_integral),
    }
)

#: The shapes of power.
SHAPES = tuple(_SHAPES)
