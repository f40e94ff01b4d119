"""Make up what a sensor would have shown of a power whose truth is known. Pure functions of a seed; they wait for nothing.

The courses that power takes, the ways in which sensors show it, and what goes wrong with readings, so that the energy a run
reports can be held against what was drawn, over more windows than anybody waits for. The live simulated device
(``npubench.testing.simulated``) draws and shows by the same functions; here the sampler's part is made up as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npubench.testing.courses import Course, drawn_pj, power_mw
from npubench.testing.showing import SensorModel, in_steps, is_given, last_update, update_ns

_SECOND = 1_000_000_000
#: Power with nothing to do, mW; before and after the window there is nothing to do.
IDLE_MW = 10_000.0


def _constant(generator: np.random.Generator, window_ns: int) -> Course:
    power = generator.uniform(20_000.0, 60_000.0)
    return Course("constant", power, power, window_ns)


def _square(generator: np.random.Generator, window_ns: int) -> Course:
    period, phase = int(generator.uniform(0.05, 7.0) * _SECOND), generator.uniform()
    return Course("square", IDLE_MW, 40_000.0, period, phase)


def _ramp(generator: np.random.Generator, window_ns: int) -> Course:
    low, high = generator.uniform(15_000.0, 60_000.0, 2)
    return Course("ramp", low, high, window_ns)


def _bursts(generator: np.random.Generator, window_ns: int) -> Course:
    """Bursts of 20 ms."""
    return Course("bursts", 15_000.0, 60_000.0, 20_000_000, seed=int(generator.integers(1 << 32)))


def _drift(generator: np.random.Generator, window_ns: int) -> Course:
    """Leakage that changes as the chip warms."""
    return Course("drift", 40_000.0, 40_000.0 * (1.0 + generator.uniform(-0.1, 0.2)), 15 * _SECOND)


#: The courses power takes in the window: by a generator and the window's length, ns.
COURSES: Mapping[str, Callable[[np.random.Generator, int], Course]] = MappingProxyType(
    {"constant": _constant, "square wave": _square, "ramp": _ramp, "bursts": _bursts, "thermal drift": _drift}
)

#: The sensors that energy is held against the truth with.
SENSORS: Mapping[str, SensorModel] = MappingProxyType(
    {
        "counter, 1000 Hz": SensorModel("energy", _SECOND // 1000),
        "counter, 10 Hz, 15 mJ steps, updates late": SensorModel("energy", _SECOND // 10, quantum=15_000, jitter=0.2),
        "counter, 10 Hz, wraps": SensorModel("energy", _SECOND // 10, wraps_at=400_000_000),
        "counter, 1 Hz, undeclared": SensorModel("energy", _SECOND, quantum=1000, declared=False),
        "gauge of means, 100 Hz": SensorModel("power", _SECOND // 100, quantum=100, averages=True),
        "gauge of means, 10 Hz, 1 % dropped": SensorModel("power", _SECOND // 10, quantum=100, averages=True, dropped=0.01),
        "gauge of means, 1 Hz": SensorModel("power", _SECOND, quantum=100, averages=True),
        "gauge of moments, 10 Hz, updates late": SensorModel("power", _SECOND // 10, quantum=100, averages=False, jitter=0.2),
        "gauge of moments, 1 Hz, undeclared": SensorModel("power", _SECOND, quantum=1000, averages=False, declared=False),
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
    power = COURSES[course](generator, end - start)

    def drawn_until(at: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the energy since time 0, pJ: idle but for the window, in which the course runs."""
        within = np.clip(at, start, end) - start
        return np.asarray(IDLE_MW * (at - within) + drawn_pj(power, within))

    poll = max(5_000_000, min(100_000_000, sensor.period_ns // 20))
    times = np.arange(int(generator.integers(poll)), end + _SECOND, poll)
    times = times + generator.integers(0, poll // 5, times.size)
    base = int(generator.integers(sensor.period_ns)) - sensor.period_ns
    count = last_update(sensor, base, times)
    before, edges = (np.maximum(update_ns(sensor, base, n), 0) for n in (count - 1, count))
    if sensor.kind == "energy":
        shown = drawn_until(edges) * 1e-6
    elif sensor.averages:
        shown = (drawn_until(edges) - drawn_until(before)) / np.maximum(edges - before, 1)
    else:
        shown = np.where((edges >= start) & (edges < end), power_mw(power, np.clip(edges, start, end) - start), IDLE_MW)
    columns = {
        "times_ns": times,
        "values": in_steps(sensor, shown).astype(np.int64),
        "valid": is_given(sensor, generator, times.size),
        "update_period_ns": sensor.period_ns if sensor.declared else None,
        "quantum": sensor.quantum if sensor.declared else None,
        "averages": sensor.averages if sensor.declared else None,
        "wraps_at": sensor.wraps_at,
    }
    window = drawn_until(np.array([start, end]))
    return Trial(columns, start, end, float(window[1] - window[0]) * 1e-12)
