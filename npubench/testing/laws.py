"""State the laws of the simulated device: how long each request takes and what power it draws.

Pure functions of a :class:`Law`: they wait for nothing and read no clock, so that what the harness reports can be held
against what was true.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npubench.testing.courses import SHAPES, Course, drawn_pj
from npubench.testing.showing import SensorModel

#: The laws by which a request's service time may scatter.
JITTERS = ("none", "uniform", "lognormal", "gamma")

#: Jitter is drawn in blocks, each with a generator of its own, so that request ``k`` has the same one whether it is
#: asked for alone or with a million others.
_JITTER_BLOCK = 4096

#: Shape of the lognormal jitter: the 99th percentile of the added delay is exp(2.326 − 0.5) = 6.2 times its mean.
_LOGNORMAL_SIGMA = 1.0

#: What of a law is above 0.
_ABOVE_0 = (
    "drift_time_s",
    "max_batch",
    "max_in_flight",
    "course_s",
    "sensor_period_ns",
    "energy_quantum_uj",
    "power_quantum_mw",
    "clock_mhz",
    "throttled_percent",
)

#: Shape of the gamma jitter: two exponential stages, as of two queues in a row.
_GAMMA_SHAPE = 2.0


@dataclass(frozen=True, slots=True)
class Law:
    """What is true of a simulated device.

    Args:
        fixed_us: Service time of any request, µs.
        per_sample_us: Added service time of each sample in it, µs.
        jitter: One of :data:`JITTERS`: the law of a delay that is added to each request and never negative.
        jitter_us: The mean of that delay, µs.
        seed: Of the jitter.
        drift_percent: How much slower the device is in the end than cold, %.
        drift_time_s: Service time after which it has gone 63 % of that way, and its temperature of its own, s (exponential
            approach).
        max_batch: The largest leading axis it takes.
        max_in_flight: How many requests it serves side by side.
        idle_mw: Power with nothing to do, mW.
        active_mw: Power while it serves at least one request, mW: the upper one, where its course has two.
        course: The course of that power over the time spent serving, one of :data:`npubench.testing.courses.SHAPES`.
        course_low_mw: The course's other power, mW; None = ``idle_mw``. A drift or a ramp goes from it to ``active_mw``.
        course_s: A whole square wave, the ramp, or one slot that holds a burst or none, s; a drift takes ``drift_time_s``.
        sensor_period_ns: How often its sensors change, ns.
        sensor_jitter: By how much of that a change comes late at most, 0…1.
        sensor_dropped: The part of the readings of counter and gauge without a value, 0…1.
        sensor_declared: Whether counter and gauge say their period, step and manner.
        energy_quantum_uj: The counter's step, µJ.
        energy_wraps_uj: Where the counter starts again from 0, µJ; None = nowhere.
        power_quantum_mw: The gauge's step, mW.
        power_averages: Whether the gauge shows the mean over its last period, or the power at its last update.
        energy_counter: Whether it has an energy counter.
        power_gauge: Whether it has a power gauge.
        domain: What its sensors cover.
        cold_c: Its temperature before it has served, °C.
        hot_c: Its temperature in the end, °C. It warms by serving and does not cool.
        throttle_c: The temperature from which on it throttles, °C; None = never.
        clock_mhz: Its clock, MHz.
        throttled_percent: Its clock when throttled, % of that; service times grow in inverse proportion.
    """

    fixed_us: float = 2000.0
    per_sample_us: float = 100.0
    jitter: str = "none"
    jitter_us: float = 0.0
    seed: int = 1
    drift_percent: float = 0.0
    drift_time_s: float = 10.0
    max_batch: int = 32
    max_in_flight: int = 1
    idle_mw: int = 10_000
    active_mw: int = 40_000
    course: str = "constant"
    course_low_mw: int | None = None
    course_s: float = 1.0
    sensor_period_ns: int = 1_000_000
    sensor_jitter: float = 0.0
    sensor_dropped: float = 0.0
    sensor_declared: bool = True
    energy_quantum_uj: int = 1
    energy_wraps_uj: int | None = None
    power_quantum_mw: int = 1
    power_averages: bool = True
    energy_counter: bool = True
    power_gauge: bool = True
    domain: str = "card"
    cold_c: float = 40.0
    hot_c: float = 70.0
    throttle_c: float | None = None
    clock_mhz: float = 1000.0
    throttled_percent: float = 50.0

    def __post_init__(self) -> None:
        if self.jitter not in JITTERS:
            raise ValueError(f"jitter: '{self.jitter}' is not one of {', '.join(JITTERS)}")
        if self.course not in SHAPES:
            raise ValueError(f"course: '{self.course}' is not one of {', '.join(SHAPES)}")
        for name in ("fixed_us", "per_sample_us", "jitter_us", "idle_mw", "active_mw", "course_low_mw"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < math.inf:
                raise ValueError(f"{name}: must be 0 or more, not {value!r}")
        for name in _ABOVE_0:
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: must be above 0, not {getattr(self, name)!r}")
        for name in ("sensor_jitter", "sensor_dropped"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}: must be 0 or more and below 1, not {getattr(self, name)!r}")
        if self.energy_wraps_uj is not None and self.energy_wraps_uj <= self.energy_quantum_uj:
            raise ValueError(
                f"energy_wraps_uj: must be above energy_quantum_uj ({self.energy_quantum_uj}), is {self.energy_wraps_uj}"
            )
        for name in ("cold_c", "hot_c", "throttle_c"):
            value = getattr(self, name)
            if value is not None and not -273.15 <= value < 1000.0:
                raise ValueError(f"{name}: no temperature of a device in °C is {value!r}")
        if self.hot_c < self.cold_c:
            raise ValueError(f"hot_c: must not be below cold_c ({self.cold_c:g}), is {self.hot_c:g}")
        if self.throttled_percent > 100.0:
            raise ValueError(f"throttled_percent: must be 100 or less, not {self.throttled_percent!r}")
        if not -100.0 < self.drift_percent < math.inf:
            raise ValueError(f"drift_percent: must be above -100, not {self.drift_percent!r}")
        if self.active_mw < self.idle_mw:
            raise ValueError(f"active_mw: must not be below idle_mw ({self.idle_mw}), is {self.active_mw}")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed: must be 0…2⁶³−1, not {self.seed!r}")


@dataclass(frozen=True, slots=True)
class Preset:
    """A simulated device: the kind it shows, and its law where no option says otherwise."""

    kind: str
    law: Law


def _like(kind: str, total_us: float, p99_to_mean: float, **law: object) -> Preset:
    """Return a device with a mean latency and a tail as once measured, at batch 1.

    One tenth of the fixed part is put on the sample. The lognormal jitter of mean ``j`` gives, to first order,
    p99 = (total − j) + 6.21 j, hence j = total · (p99 ÷ mean − 1) ÷ 5.21.
    """
    jitter_us = total_us * (p99_to_mean - 1.0) / (math.exp(2.3263 * _LOGNORMAL_SIGMA - _LOGNORMAL_SIGMA**2 / 2.0) - 1.0)
    steady_us = total_us - jitter_us
    shape = {"fixed_us": 0.9 * steady_us, "per_sample_us": 0.1 * steady_us, "jitter": "lognormal", "jitter_us": jitter_us}
    return Preset(f"SIMULATED {kind}", Law(**{**shape, **law}))  # type: ignore[arg-type]  # the keys are Law's own


#: The simulated devices by name. The ``-like`` ones copy the outline of what was once measured on such a card (mean
#: latency of a small network, 99th percentile over mean, idle and active power, sensor period); they are not that card.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "sim:plain": Preset("SIMULATED plain", Law()),
        "sim:ca22": _like(
            "CA22-like",
            700.0,
            1.14,
            max_in_flight=2,
            idle_mw=18_000,
            active_mw=44_000,
            sensor_period_ns=1_000_000_000,
            energy_counter=False,
        ),
        "sim:aries": _like(
            "ARIES-like",
            2300.0,
            1.09,
            max_in_flight=2,
            idle_mw=15_500,
            active_mw=18_500,
            sensor_period_ns=1_000_000_000,
            energy_counter=False,
        ),
        "sim:dx-m1": _like(
            "DX-M1-like",
            4100.0,
            2.6,
            idle_mw=0,
            active_mw=0,
            energy_counter=False,
            power_gauge=False,
        ),
    }
)


def jitter_ns(law: Law, first: int, count: int) -> NDArray[np.int64]:
    """Return the added delay of requests ``first`` … ``first + count − 1``.

    Returns:
        int64 ``[count]``, ns, never negative; mean ``law.jitter_us`` whatever the law.
    """
    if law.jitter == "none" or law.jitter_us == 0.0 or count == 0:
        return np.zeros(count, dtype=np.int64)
    blocks = range(first // _JITTER_BLOCK, (first + count - 1) // _JITTER_BLOCK + 1)
    drawn = np.concatenate([_draw(law, np.random.default_rng([law.seed, block])) for block in blocks])
    offset = first - blocks[0] * _JITTER_BLOCK
    return np.rint(drawn[offset : offset + count] * (law.jitter_us * 1e3)).astype(np.int64)


def _draw(law: Law, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw one block of the jitter with mean 1."""
    if law.jitter == "uniform":
        return generator.uniform(0.0, 2.0, _JITTER_BLOCK)
    if law.jitter == "lognormal":
        return generator.lognormal(-(_LOGNORMAL_SIGMA**2) / 2.0, _LOGNORMAL_SIGMA, _JITTER_BLOCK)
    return generator.gamma(_GAMMA_SHAPE, 1.0 / _GAMMA_SHAPE, _JITTER_BLOCK)


def steady_ns(law: Law, batch: int) -> int:
    """Return the service time of a request of ``batch`` samples on a cold device, without jitter, ns."""
    return round((law.fixed_us + law.per_sample_us * batch) * 1e3)


def warmth(law: Law, served_ns: int) -> float:
    """Return the factor on the service time of a device that has served for ``served_ns``.

    1 + drift · (1 − exp(−served ÷ drift time)): the first-order step response of a body that heats up.
    """
    if law.drift_percent == 0.0:
        return 1.0
    return 1.0 - law.drift_percent / 100.0 * math.expm1(-served_ns * 1e-9 / law.drift_time_s)


def temperature_mc(law: Law, busy: int) -> int:
    """Return the temperature of a device that has spent ``busy`` ns serving, m°C: a first-order step response, as ``warmth``."""
    return round((law.cold_c - (law.hot_c - law.cold_c) * math.expm1(-busy * 1e-9 / law.drift_time_s)) * 1e3)


def is_throttled(law: Law, busy: int) -> bool:
    """Return whether a device that has spent ``busy`` ns serving is too warm for its full clock."""
    return law.throttle_c is not None and temperature_mc(law, busy) >= law.throttle_c * 1e3


def clock_hz(law: Law, busy: int) -> int:
    """Return the clock of a device that has spent ``busy`` ns serving, Hz."""
    return round(law.clock_mhz * 1e6 * (law.throttled_percent / 100.0 if is_throttled(law, busy) else 1.0))


def service_time_ns(law: Law, jitter: int, batch: int, served_ns: int, busy: int) -> int:
    """Return the service time of one request, ns.

    Args:
        law: The device's.
        jitter: Its entry of :func:`jitter_ns`, ns.
        batch: Samples in it.
        served_ns: The service times of all requests before it, summed, ns.
        busy: How long the device had been serving at least one when it began, ns.
    """
    time = (steady_ns(law, batch) + jitter) * warmth(law, served_ns)
    return round(time / (law.throttled_percent / 100.0) if is_throttled(law, busy) else time)


def service_times_ns(law: Law, count: int, batch: int = 1) -> NDArray[np.int64]:
    """Return the service times of the first ``count`` requests after load, each of ``batch`` samples, served one by one.

    Returns:
        int64 ``[count]``, ns: a function of ``law``, ``count`` and ``batch`` alone.
    """
    jitter = jitter_ns(law, 0, count)
    if law.drift_percent == 0.0 and law.throttle_c is None:
        return jitter + steady_ns(law, batch)
    times = np.empty(count, dtype=np.int64)
    served = 0
    for index in range(count):
        times[index] = service_time_ns(law, int(jitter[index]), batch, served, served)
        served += int(times[index])
    return times


def busy_ns(starts_ns: NDArray[np.int64], ends_ns: NDArray[np.int64], from_ns: int, to_ns: int) -> int:
    """Return for how much of a window at least one request was being served, ns.

    Args:
        starts_ns: int64 ``[requests]``: when each began, in any order.
        ends_ns: int64 ``[requests]``: when each ended.
        from_ns: Start of the window.
        to_ns: End of the window.
    """
    order = np.argsort(starts_ns, kind="stable")
    starts = np.clip(starts_ns[order], from_ns, to_ns)
    ends = np.clip(ends_ns[order], from_ns, to_ns)
    if not starts.size:
        return 0
    # Each request adds what it reaches beyond all that began before it.
    reached = np.concatenate(([from_ns], np.maximum.accumulate(ends)[:-1]))
    return int(np.maximum(ends - np.maximum(starts, reached), 0).sum())


def course_of(law: Law) -> Course:
    """Return the course of power over the time spent serving."""
    low = law.idle_mw if law.course_low_mw is None else law.course_low_mw
    seconds = law.drift_time_s if law.course == "drift" else law.course_s
    return Course(law.course, low, law.active_mw, max(1, round(seconds * 1e9)), seed=law.seed)


def sensor_of(law: Law, kind: str) -> SensorModel:
    """Return how a device's sensor of ``kind`` shows what there is."""
    shared: dict[str, Any] = {"period_ns": law.sensor_period_ns, "jitter": law.sensor_jitter, "seed": law.seed}
    if kind not in ("energy", "power"):
        return SensorModel(kind, **shared)
    shared |= {"declared": law.sensor_declared, "dropped": law.sensor_dropped}
    if kind == "energy":
        shared |= {"quantum": law.energy_quantum_uj, "wraps_at": law.energy_wraps_uj}
    else:
        shared |= {"quantum": law.power_quantum_mw, "averages": law.power_averages}
    return SensorModel(kind, **shared)


def energy_pj(law: Law, busy: int, elapsed: int) -> float:
    """Return the energy drawn in the first ``elapsed`` ns of which ``busy`` ns were spent serving, pJ; whole if constant.

    idle power · (elapsed − busy) + the integral of the course over busy; 1 mW · 1 ns = 1 pJ.
    """
    drawn: float = law.idle_mw * (elapsed - busy) + drawn_pj(course_of(law), busy)
    return drawn


def energy_uj(law: Law, busy: int, elapsed: int) -> int:
    """Return :func:`energy_pj` in µJ, rounded down."""
    return int(energy_pj(law, busy, elapsed) // 1_000_000)


def true_joules(truth: Mapping[str, NDArray[Any]], from_ns: int, to_ns: int) -> float:
    """Return what a simulated device really drew between two times, J.

    Args:
        truth: The file an executor leaves at close (option ``truth``): ``start_ns``, ``end_ns``, ``base_ns`` and ``law``.
        from_ns: ns of ``CLOCK_MONOTONIC``, after load.
        to_ns: Likewise, before close.

    Raises:
        KeyError: One of the columns is missing.
    """
    law, base = law_from(str(truth["law"])), int(truth["base_ns"])

    def until(at: int) -> float:
        return energy_pj(law, busy_ns(truth["start_ns"], truth["end_ns"], base, at), at - base)

    return (until(to_ns) - until(from_ns)) * 1e-12


def law_text(law: Law) -> str:
    """Return a law as one line of JSON: what of it is not as in a plain one."""
    plain = Law()
    said = {f.name: getattr(law, f.name) for f in fields(law) if getattr(law, f.name) != getattr(plain, f.name)}
    return json.dumps(said, separators=(",", ":"))


def law_from(text: str | bytes) -> Law:
    """Return the law that :func:`law_text` wrote down.

    Raises:
        ValueError: It is none; what is of another type than a law's is a TypeError.
    """
    return Law(**json.loads(text))
