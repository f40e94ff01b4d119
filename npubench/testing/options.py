"""Read what a target says of the simulated device into the law that is then true of it. Serves nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from npubench.contract.options import nearest
from npubench.testing.courses import SHAPES
from npubench.testing.faults import FAULTS
from npubench.testing.laws import JITTERS, PRESETS, Law


@dataclass(frozen=True, slots=True)
class SimulatedOptions:
    """What a target may say of the simulated device; None leaves it as the device's preset has it (see ``laws.PRESETS``).

    Args:
        fixed_us, per_sample_us, jitter, jitter_us, seed, drift_percent, drift_time_s, max_batch, max_in_flight, idle_mw,
            active_mw, course, course_low_mw, course_s, sensor_jitter, sensor_dropped, sensor_declared, energy_quantum_uj,
            energy_wraps_uj, power_quantum_mw, power_averages, cold_c, hot_c, throttle_c, clock_mhz, throttled_percent: As in
            :class:`npubench.testing.laws.Law`.
        sensor_period_ms: How often its sensors change, ms: 1000 is once a second.
        asynchronous: Whether it completes natively, by ``submit`` and threads of its own.
        fault: One of :data:`npubench.testing.faults.FAULTS`.
        fault_after: How many requests are good before the fault, counted from load, warm-up and accuracy included.
        leak_bytes: How much each request leaves behind for ever, bytes: a leak of a known rate.
        truth: A file that ``close`` writes the truth log to: an ``.npz`` with the columns of
            :class:`npubench.testing.executor.Truth`, when the account began, and the law: what
            :func:`npubench.testing.laws.true_joules` takes. "" = none.
    """

    fixed_us: float | None = None
    per_sample_us: float | None = None
    jitter: str | None = None
    jitter_us: float | None = None
    seed: int | None = None
    drift_percent: float | None = None
    drift_time_s: float | None = None
    max_batch: int | None = None
    max_in_flight: int | None = None
    idle_mw: int | None = None
    active_mw: int | None = None
    course: str | None = None
    course_low_mw: int | None = None
    course_s: float | None = None
    sensor_period_ms: float | None = None
    sensor_jitter: float | None = None
    sensor_dropped: float | None = None
    sensor_declared: bool | None = None
    energy_quantum_uj: int | None = None
    energy_wraps_uj: int | None = None
    power_quantum_mw: int | None = None
    power_averages: bool | None = None
    cold_c: float | None = None
    hot_c: float | None = None
    throttle_c: float | None = None
    clock_mhz: float | None = None
    throttled_percent: float | None = None
    asynchronous: bool = False
    fault: str = ""
    fault_after: int = 0
    leak_bytes: int = 0
    truth: str = ""

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"fault: there is no '{self.fault}'{nearest(self.fault, (f for f in FAULTS if f))}")
        if self.jitter is not None and self.jitter not in JITTERS:
            raise ValueError(f"jitter: there is no '{self.jitter}'{nearest(self.jitter, JITTERS)}")
        if self.course is not None and self.course not in SHAPES:
            raise ValueError(f"course: there is no '{self.course}'{nearest(self.course, SHAPES)}")
        if self.fault_after < 0:
            raise ValueError(f"fault_after: must be 0 or more, not {self.fault_after}")
        if self.leak_bytes < 0:
            raise ValueError(f"leak_bytes: must be 0 or more, not {self.leak_bytes}")


def law_of(device: str, options: SimulatedOptions) -> Law:
    """Return what is true of ``device`` under ``options``.

    Raises:
        ValueError: No such device, or a value out of range; the text names it.
    """
    if device not in PRESETS:
        raise ValueError(f"there is no simulated device '{device}'{nearest(device, PRESETS)}")
    known = {field.name for field in fields(Law)}
    said: dict[str, Any] = {
        field.name: value
        for field in fields(options)
        if field.name in known and (value := getattr(options, field.name)) is not None
    }
    if options.sensor_period_ms is not None:
        said["sensor_period_ns"] = round(options.sensor_period_ms * 1e6)
    return replace(PRESETS[device].law, **said)
