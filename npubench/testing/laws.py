"""State the laws of the simulated device: how long each request takes and what power it draws.

Pure functions of a :class:`Law`: they wait for nothing and read no clock, so that what the harness reports can be held
against what was true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

#: The laws by which a request's service time may scatter.
JITTERS = ("none", "uniform", "lognormal", "gamma")

#: Jitter is drawn in blocks, each with a generator of its own, so that request ``k`` has the same one whether it is
#: asked for alone or with a million others.
_JITTER_BLOCK = 4096

#: Shape of the lognormal jitter: the 99th percentile of the added delay is exp(2.326 − 0.5) = 6.2 times its mean.
_LOGNORMAL_SIGMA = 1.0

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
        drift_time_s: Service time after which it has gone 63 % of that way, s (exponential approach).
        max_batch: The largest leading axis it takes.
        max_in_flight: How many requests it serves side by side.
        idle_mw: Power with nothing to do, mW.
        active_mw: Power while it serves at least one request, mW.
        sensor_period_ns: How often its sensors change, ns.
        energy_counter: Whether it has an energy counter.
        power_gauge: Whether it has a power gauge.
        domain: What its sensors cover.
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
    sensor_period_ns: int = 1_000_000
    energy_counter: bool = True
    power_gauge: bool = True
    domain: str = "card"

    def __post_init__(self) -> None:
        if self.jitter not in JITTERS:
            raise ValueError(f"jitter: '{self.jitter}' is not one of {', '.join(JITTERS)}")
        for name in ("fixed_us", "per_sample_us", "jitter_us", "idle_mw", "active_mw"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: must be 0 or more, not {getattr(self, name)!r}")
        for name in ("drift_time_s", "max_batch", "max_in_flight", "sensor_period_ns"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: must be above 0, not {getattr(self, name)!r}")
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


def service_time_ns(law: Law, jitter: int, batch: int, served_ns: int) -> int:
    """Return the service time of one request, ns.

    Args:
        law: The device's.
        jitter: Its entry of :func:`jitter_ns`, ns.
        batch: Samples in it.
        served_ns: The service times of all requests before it, summed, ns.
    """
    return round((steady_ns(law, batch) + jitter) * warmth(law, served_ns))


def service_times_ns(law: Law, count: int, batch: int = 1) -> NDArray[np.int64]:
    """Return the service times of the first ``count`` requests after load, each of ``batch`` samples.

    Returns:
        int64 ``[count]``, ns: a function of ``law``, ``count`` and ``batch`` alone.
    """
    jitter = jitter_ns(law, 0, count)
    if law.drift_percent == 0.0:
        return jitter + steady_ns(law, batch)
    times = np.empty(count, dtype=np.int64)
    served = 0
    for index in range(count):
        times[index] = service_time_ns(law, int(jitter[index]), batch, served)
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


def energy_uj(law: Law, busy: int, elapsed: int) -> int:
    """Return the energy drawn in ``elapsed`` ns of which ``busy`` ns were spent serving, µJ, rounded down.

    idle power · elapsed + (active − idle power) · busy; 1 mW · 1 ns = 1 pJ = 10⁻⁶ µJ.
    """
    return (law.idle_mw * elapsed + (law.active_mw - law.idle_mw) * busy) // 1_000_000
