"""Turn a run's readings into energy figures, one a domain and kind of evidence. The sums are in ``counter`` and ``gauge``.

Sensors of one kind and one domain that one sampler read are parts of it and are added; a counter and a gauge, sensors of
different domains or evidence, and a plug-in's and the machine's never are. A sensor that is named twice, as one that every
die of a card repeats, is one sensor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from npubench.analyze.counter import counter_joules
from npubench.analyze.energy import MIN_IDLE_PERIODS, MIN_PERIODS, Integral, Track
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.gauge import gauge_joules
from npubench.measure.meters.sensor import EVIDENCE as EVIDENCE
from npubench.measure.trace import read_arrays

#: What a plug-in's own sensor is worth, by kind; meters of the host file say what they are.
_OWN = {"energy": "device energy counter", "power": "device power gauge"}

#: How far an energy figure may be uncertain for a figure per joule to be drawn from it.
MAX_UNCERTAINTY = 0.005

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class EnergyAccount:
    """Energy over the window by the sensors of one domain and evidence; fields as in :class:`npubench.record.schema.Energy`."""

    sensor: str
    domain: str
    evidence: str
    joules: Estimate
    watts: Estimate
    peak_watts: Estimate
    idle_watts: Estimate
    above_idle_joules: Estimate
    joules_per_sample: Estimate
    samples_per_joule: Estimate
    accuracy_joules: Estimate
    warm_up_joules: Estimate
    readings: int
    coverage: float
    update_period_ns: int | None
    clock_offset_ns: int


def account_energy(
    paths: Sequence[Path],
    window: Span,
    samples: int,
    *,
    idle: Span | None = None,
    accuracy: Span | None = None,
    warm_up: Span | None = None,
) -> tuple[EnergyAccount, ...]:
    """Return the energy over a window by every energy counter and power gauge that was read.

    Args:
        paths: The samplers' files; one that is not there, or is damaged, gives nothing.
        window: The measured window, ns.
        samples: How many samples were completed in it.
        idle: The baseline phase.
        accuracy: The accuracy phase.
        warm_up: The warm-up phase.

    Returns:
        Best evidence first.
    """
    # A counter and a gauge of one meter see the same watts, and so do a plug-in's sensor and a meter on the same card.
    groups: dict[tuple[str, str, str, Path], dict[str, tuple[str, Track]]] = {}
    for path in paths:
        for name, kind, evidence, track in read_tracks(path):
            groups.setdefault((track.domain, evidence, kind, path), {}).setdefault(name, (kind, track))
    found = []
    for (domain, evidence, _, _), sensors in sorted(groups.items(), key=lambda group: group[0][2] != "energy"):
        parts = [_integrate(kind, track, *window) for kind, track in sensors.values()]
        spans = {
            name: _joules([_integrate(kind, track, *span, least) for kind, track in sensors.values()], list(sensors))
            if span
            else absent("J", f"no {name} phase")
            for name, span, least in (
                ("idle baseline", idle, MIN_IDLE_PERIODS),
                ("accuracy", accuracy, MIN_PERIODS),
                ("warm-up", warm_up, MIN_PERIODS),
            )
        }
        joules = _joules(parts, list(sensors))
        idle_watts = _per(spans["idle baseline"], _seconds(idle), "W") if idle else absent("W", "no idle baseline")
        per_sample, per_joule = _efficiency(joules, samples, _remedy(parts))
        found.append(
            EnergyAccount(
                sensor=" + ".join(sensors),
                domain=domain,
                evidence=evidence,
                joules=joules,
                watts=_per(joules, _seconds(window), "W"),
                peak_watts=_peak(parts, joules),
                idle_watts=idle_watts,
                above_idle_joules=_above(joules, idle_watts, _seconds(window)),
                joules_per_sample=per_sample,
                samples_per_joule=per_joule,
                accuracy_joules=spans["accuracy"],
                warm_up_joules=spans["warm-up"],
                readings=min(part.readings for part in parts),
                coverage=min(part.coverage for part in parts),
                update_period_ns=max((part.update_period_ns or 0 for part in parts), default=0) or None,
                clock_offset_ns=max(abs(track.clock_error_ns) for _, track in sensors.values()),
            )
        )
    return tuple(sorted(found, key=lambda account: (EVIDENCE.index(account.evidence), account.domain)))


def read_tracks(path: Path) -> list[tuple[str, str, str, Track]]:
    """Return name, kind, evidence and readings of each energy counter and power gauge in a sampler's file."""
    try:
        stored = read_arrays(path)
        header = json.loads(bytes(stored["header"]).decode())
        return [
            (str(sensor["name"]), str(sensor["kind"]), _evidence(sensor), _track(sensor, stored, n))
            for n, sensor in enumerate(header)
            if sensor["kind"] in _OWN
        ]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return []


def _evidence(sensor: Mapping[str, Any]) -> str:
    said = sensor.get("evidence") or _OWN[sensor["kind"]]
    if said not in EVIDENCE:
        raise ValueError(f"unknown evidence '{said}'")
    return str(said)


def _track(sensor: Mapping[str, Any], stored: Mapping[str, np.ndarray[Any, Any]], n: int) -> Track:
    return Track(
        times_ns=stored[f"{n}_times_ns"] - int(sensor.get("clock_offset_ns") or 0),
        values=stored[f"{n}_values"],
        valid=stored[f"{n}_valid"],
        domain=str(sensor["domain"]),
        update_period_ns=sensor["update_period_ns"],
        quantum=sensor["quantum"],
        wraps_at=sensor["wraps_at"],
        averages=sensor.get("averages"),
        clock_error_ns=int(sensor.get("clock_error_ns") or 0),
    )


def _integrate(kind: str, track: Track, start_ns: int, end_ns: int, least: int = MIN_PERIODS) -> Integral:
    return (counter_joules if kind == "energy" else gauge_joules)(track, start_ns, end_ns, least)


def _joules(parts: Sequence[Integral], names: Sequence[str]) -> Estimate:
    """Add the parts of one domain; without one of them there is no sum."""
    for part, name in zip(parts, names, strict=True):
        if part.joules.value is None:
            return part.joules if len(parts) == 1 else replace(part.joules, reason=f"{name}: {part.joules.reason}")
    if len(parts) == 1:
        return parts[0].joules
    ends = [[end or 0.0 for end in (part.joules.low, part.joules.value, part.joules.high)] for part in parts]
    low, value, high = (sum(each) for each in zip(*ends, strict=True))
    return Estimate(value=value, unit="J", low=low, high=high, n=min(part.readings for part in parts))


def _peak(parts: Sequence[Integral], joules: Estimate) -> Estimate:
    """Return the peak of one sensor; those of several are not of one moment, and are not added."""
    if len(parts) > 1:
        return absent("W", "several sensors: their peaks are not of one moment", joules.n)
    return parts[0].peak_watts


def _per(joules: Estimate, seconds: float, unit: str) -> Estimate:
    if joules.value is None:
        return absent(unit, joules.reason or "", joules.n)
    low, high = (None if end is None else end / seconds for end in (joules.low, joules.high))
    return Estimate(value=joules.value / seconds, unit=unit, low=low, high=high, n=joules.n)


def _above(joules: Estimate, idle: Estimate, seconds: float) -> Estimate:
    """Return the energy above the idle baseline; it may be below zero, and then says that the baseline was no idle."""
    for part in (joules, idle):
        if part.value is None or part.low is None or part.high is None:
            return absent("J", part.reason or "no interval", part.n)
    assert joules.value is not None and joules.low is not None and joules.high is not None
    assert idle.value is not None and idle.low is not None and idle.high is not None
    return Estimate(
        value=joules.value - idle.value * seconds,
        unit="J",
        low=joules.low - idle.high * seconds,
        high=joules.high - idle.low * seconds,
        n=joules.n,
    )


def _remedy(parts: Sequence[Integral]) -> str:
    """Return what would make energy less uncertain: a longer window, unless what it is uncertain by grows with it."""
    worst = max(parts, key=lambda part: part.standing)
    if worst.standing <= MAX_UNCERTAINTY:
        return "a longer window narrows it"
    if worst.undersampled:
        return "the gauge was read more seldom than it changes, which no longer window mends"
    return "the sensor's step is too coarse, which no longer window mends"


def _efficiency(joules: Estimate, samples: int, remedy: str) -> tuple[Estimate, Estimate]:
    """Return joules a sample and samples a joule; absent where the energy is too uncertain to buy by."""
    units = "J/sample", "samples/J"
    if joules.value is None or joules.low is None or joules.high is None:
        reason = joules.reason or "no energy"
    elif joules.value <= 0.0 or samples == 0:
        reason = "no energy was drawn" if samples else "no sample was completed"
    elif (uncertain := (joules.high - joules.low) / 2.0 / joules.value) > MAX_UNCERTAINTY:
        reason = f"the energy is uncertain by ±{uncertain:.2%}, allowed is ±{MAX_UNCERTAINTY:.1%}; {remedy}"
    else:
        return (
            Estimate(joules.value / samples, units[0], joules.low / samples, joules.high / samples, n=joules.n),
            Estimate(samples / joules.value, units[1], samples / joules.high, samples / joules.low, n=joules.n),
        )
    return absent(units[0], reason, joules.n), absent(units[1], reason, joules.n)


def _seconds(span: Span | None) -> float:
    return (span[1] - span[0]) * 1e-9 if span else 0.0
