"""Hold a testing run against the ranging run before it, as MLPerf power does. Pure functions of what both saw."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from npubench.analyze.estimate import RECORD_CONFIG, Estimate, absent
from npubench.analyze.readings import Span, account_energy
from npubench.measure.trace import read_arrays

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


def account_ranging(paths: Sequence[Path], span: Span | None) -> tuple[Ranging, ...]:
    """Return what was seen in the ranging run, one a figure of :func:`npubench.analyze.readings.account_energy`.

    Args:
        paths: The samplers' files.
        span: Start and end of the ranging run's load, ns; ``None`` = there was none, and then nothing is returned.
    """
    if span is None:
        return ()
    told = _told(paths)
    return tuple(
        Ranging(
            sensor=account.sensor,
            domain=account.domain,
            watts=account.watts,
            volts=_highest(told, account.sensor, "volts", "V", "voltage"),
            amps=_highest(told, account.sensor, "amps", "A", "current"),
        )
        for account in account_energy(paths, span, 0)
    )


def unfixed_ranges(paths: Sequence[Path]) -> dict[str, str]:
    """Return the meters that have measuring ranges which no ranging run has fixed: sensor → why.

    Args:
        paths: The samplers' files.
    """
    return {name: reason for name, told in _told(paths).items() if (reason := str(told.get("reason", "")))}


def _told(paths: Sequence[Path]) -> dict[str, Mapping[str, Any]]:
    """Return what each meter with ranges told of its ranging, by sensor; nothing of a file that is missing or damaged."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in paths:
        try:
            header = json.loads(bytes(read_arrays(path)["header"]).decode())
            found.update((str(each["name"]), each["ranging"]) for each in header if isinstance(each.get("ranging"), dict))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def _highest(told: Mapping[str, Mapping[str, Any]], sensor: str, key: str, unit: str, what: str) -> Estimate:
    if " + " in sensor:
        return absent(unit, "several sensors, and each has ranges of its own")
    seen = told.get(sensor)
    if seen is None:
        return absent(unit, f"the sensor shows no {what}")
    value, looks = seen.get(key), seen.get("looks", 0)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or not isinstance(looks, int):
        return absent(unit, f"no {what} was seen in the ranging run")
    return Estimate(value=float(value), unit=unit, n=looks)
