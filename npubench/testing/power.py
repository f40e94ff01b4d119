"""Make up what a sensor would have shown of a power whose truth is known. Pure functions of a seed; they wait for nothing.

The simulated device draws constant power at work. Real ones do not: these are the courses that power takes, the ways in which
sensors show it, and what goes wrong with readings, so that the energy a run reports can be held against what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SECOND = 1_000_000_000
#: The grid on which power is made up, ns: a millisecond, below the fastest sensor's period.
_GRID_NS = 1_000_000
#: Power with nothing to do, W; before and after the window there is nothing to do.
IDLE_W = 10.0


def _constant(seconds: Floats, generator: np.random.Generator) -> Floats:
    return np.full(seconds.size, generator.uniform(20.0, 60.0))


def _square(seconds: Floats, generator: np.random.Generator) -> Floats:
    period, phase = generator.uniform(0.05, 7.0), generator.uniform()
    return np.where((seconds / period + phase) % 1.0 < 0.5, 40.0, IDLE_W)


def _ramp(seconds: Floats, generator: np.random.Generator) -> Floats:
    ends: Floats = generator.uniform(15.0, 60.0, 2)
    return np.asarray(ends[0] + (ends[1] - ends[0]) * seconds / seconds[-1])


def _bursts(seconds: Floats, generator: np.random.Generator) -> Floats:
    """Bursts of 20 ms, three in ten of the time."""
    return np.where(np.repeat(generator.random(seconds.size // 20 + 1) < 0.3, 20)[: seconds.size], 60.0, 15.0)


def _drift(seconds: Floats, generator: np.random.Generator) -> Floats:
    """Leakage that grows as the chip warms: exponential approach to a higher power."""
    return 40.0 * (1.0 + generator.uniform(-0.1, 0.2) * (1.0 - np.exp(-seconds / 15.0)))


#: The courses power takes in the window: seconds since its start, float64 ``[points]`` → W.
COURSES: Mapping[str, Callable[[Floats, np.random.Generator], Floats]] = MappingProxyType(
    {"constant": _constant, "square wave": _square, "ramp": _ramp, "bursts": _bursts, "thermal drift": _drift}
)


@dataclass(frozen=True, slots=True)
class SensorModel:
    """How a sensor shows power.

    Args:
        kind: ``"energy"`` or ``"power"``.
        hertz: How often its value changes.
        quantum: Its smallest step, µJ or mW.
        averages: Whether a gauge shows the mean over its last period.
        wraps_at: Where a counter starts again from 0, µJ.
        declared: Whether it says its period, step and manner, or leaves them to be seen.
        dropped: The part of the readings without a value.
    """

    kind: str
    hertz: int
    quantum: int = 1
    averages: bool | None = None
    wraps_at: int | None = None
    declared: bool = True
    dropped: float = 0.0


#: The sensors that energy is held against the truth with.
SENSORS: Mapping[str, SensorModel] = MappingProxyType(
    {
        "counter, 1000 Hz": SensorModel("energy", 1000),
        "counter, 10 Hz, 15 mJ steps": SensorModel("energy", 10, quantum=15_000),
        "counter, 10 Hz, wraps": SensorModel("energy", 10, wraps_at=400_000_000),
        "counter, 1 Hz, undeclared": SensorModel("energy", 1, quantum=1000, declared=False),
        "gauge of means, 100 Hz": SensorModel("power", 100, quantum=100, averages=True),
        "gauge of means, 10 Hz, 1 % dropped": SensorModel("power", 10, quantum=100, averages=True, dropped=0.01),
        "gauge of means, 1 Hz": SensorModel("power", 1, quantum=100, averages=True),
        "gauge of moments, 10 Hz": SensorModel("power", 10, quantum=100, averages=False),
        "gauge of moments, 1 Hz, undeclared": SensorModel("power", 1, quantum=1000, averages=False, declared=False),
    }
)


@dataclass(frozen=True, slots=True)
class Trial:
    """Readings with the truth behind them.

    Args:
        columns: ``times_ns``, ``values`` (µJ or mW), ``valid`` and what the sensor says of itself: the fields of a track.
        start_ns, end_ns: The window.
        joules: What was drawn in it.
    """

    columns: Mapping[str, Any]
    start_ns: int
    end_ns: int
    joules: float


def make_trial(course: str, sensor: SensorModel, seed: int, seconds: float) -> Trial:
    """Make up one window of power and what a sensor showed of it, read a twentieth of an update apart, with jitter."""
    generator = np.random.default_rng([seed, 20_261_122])
    start = 10 * _SECOND + int(generator.integers(_SECOND))
    end = start + int(seconds * _SECOND)
    grid = np.arange(0, end + 5 * _SECOND, _GRID_NS)
    watts = np.full(grid.size, IDLE_W)
    within = (grid >= start) & (grid < end)
    watts[within] = COURSES[course]((grid[within] - start) / _SECOND, generator)
    drawn = np.concatenate(([0.0], np.cumsum(watts * (_GRID_NS / _SECOND))))

    def joules_until(at: NDArray[np.int64]) -> Floats:
        return np.interp(at.astype(np.float64), np.arange(drawn.size) * float(_GRID_NS), drawn)

    period = _SECOND // sensor.hertz
    poll = max(5_000_000, min(100_000_000, period // 20))
    times = np.arange(int(generator.integers(poll)), end + _SECOND, poll)
    times = times + generator.integers(0, poll // 5, times.size)
    phase = int(generator.integers(period))
    edges = np.maximum((times - phase) // period * period + phase, 0)
    if sensor.kind == "energy":
        values = (joules_until(edges) * 1e6 // sensor.quantum * sensor.quantum).astype(np.int64)
        values = values % sensor.wraps_at if sensor.wraps_at else values
    else:
        mean = (joules_until(edges) - joules_until(np.maximum(edges - period, 0))) / (period / _SECOND)
        moment = watts[np.minimum(edges // _GRID_NS, watts.size - 1)]
        shown = mean if sensor.averages else moment
        values = (np.round(shown * 1e3 / sensor.quantum) * sensor.quantum).astype(np.int64)
    said = {
        "update_period_ns": period if sensor.declared else None,
        "quantum": sensor.quantum if sensor.declared else None,
        "averages": sensor.averages if sensor.declared else None,
        "wraps_at": sensor.wraps_at,
    }
    window = joules_until(np.array([start, end]))
    columns = {"times_ns": times, "values": values, "valid": generator.random(times.size) >= sensor.dropped, **said}
    return Trial(columns, start, end, float(window[1] - window[0]))
