"""Turn a run's readings into energy figures, one a sensor. The integrals themselves are in ``energy``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.analyze.energy import Integral, counter_joules, gauge_joules, mean_watts
from npubench.analyze.estimate import Estimate, absent
from npubench.measure.trace import read_arrays

#: What a plug-in's own sensor is worth as evidence, by kind; counter before gauge (design §8).
EVIDENCE = {"energy": "device energy counter", "power": "device power gauge"}


@dataclass(frozen=True, slots=True)
class SensorEnergy:
    """Energy over the window by one sensor; fields as in :class:`npubench.record.schema.Energy`."""

    sensor: str
    domain: str
    evidence: str
    joules: Estimate
    idle_watts: Estimate
    readings: int
    update_period_ns: int | None


def account_energy(path: Path, start_ns: int, end_ns: int, idle: tuple[int, int] | None) -> tuple[SensorEnergy, ...]:
    """Return the energy over ``[start_ns, end_ns]`` by every energy counter and power gauge in ``readings.npz``.

    Args:
        path: The sampler's file; where there is none, there is no energy.
        start_ns, end_ns: The measured window.
        idle: The baseline phase, or ``None``.

    Returns:
        Counters first, then gauges; damaged readings give nothing.
    """
    try:
        stored = read_arrays(path)
        header = json.loads(bytes(stored["header"]).decode())
        columns = [tuple(stored[f"{n}_{name}"] for name in ("times_ns", "values", "valid")) for n in range(len(header))]
        found = [
            _of_one(sensor, column, start_ns, end_ns, idle)
            for sensor, column in zip(header, columns, strict=True)
            if sensor["kind"] in EVIDENCE
        ]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return ()
    return tuple(sorted(found, key=lambda energy: list(EVIDENCE.values()).index(energy.evidence)))


def _of_one(
    sensor: dict[str, Any], column: tuple[Any, ...], start_ns: int, end_ns: int, idle: tuple[int, int] | None
) -> SensorEnergy:
    over = _integrate(sensor, column, start_ns, end_ns)
    return SensorEnergy(
        sensor=str(sensor["name"]),
        domain=str(sensor["domain"]),
        evidence=EVIDENCE[sensor["kind"]],
        joules=over.joules,
        idle_watts=mean_watts(_integrate(sensor, column, *idle), *idle) if idle else absent("W", "no idle baseline"),
        readings=over.readings,
        update_period_ns=over.update_period_ns,
    )


def _integrate(sensor: dict[str, Any], column: tuple[Any, ...], start_ns: int, end_ns: int) -> Integral:
    times, values, valid = column
    period = sensor["update_period_ns"]
    if sensor["kind"] == "energy":
        return counter_joules(times, values, valid, start_ns, end_ns, update_period_ns=period, wraps_at=sensor["wraps_at"])
    return gauge_joules(times, values, valid, start_ns, end_ns, update_period_ns=period)
