"""Turn a meter's words into integers of a sensor's unit: µJ of an energy counter, mW of a power gauge.

Decimal throughout: a counter of kilowatt-hours with nine digits is exact in µJ, and not in a float.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal

from npubench.contract.options import nearest
from npubench.measure.meters.sensor import MeterError

#: Unit → kind of sensor, and how many µJ (mW) one of it is. 1 Wh = 3600 J by definition.
UNITS: dict[str, tuple[str, Decimal]] = {
    "mW": ("power", Decimal(1)),
    "W": ("power", Decimal(10**3)),
    "dW": ("power", Decimal(10**2)),
    "daW": ("power", Decimal(10**4)),
    "kW": ("power", Decimal(10**6)),
    "uJ": ("energy", Decimal(1)),
    "mJ": ("energy", Decimal(10**3)),
    "J": ("energy", Decimal(10**6)),
    "kJ": ("energy", Decimal(10**9)),
    "mWh": ("energy", Decimal(3_600_000)),
    "Wh": ("energy", Decimal(3_600_000_000)),
    "kWh": ("energy", Decimal(3_600_000_000_000)),
}

#: A number as instruments write it (IEEE 488.2 NR1, NR2, NR3), and nothing beside it.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)

#: SCPI's values for "not a number" and "infinity" (SCPI-99, volume 1, 7.2.1.4–5): a number this large is no reading.
_NO_NUMBER = Decimal("9.9E+37")


def unit(name: str, key: str, kinds: Collection[str] = ("energy", "power")) -> tuple[str, Decimal]:
    """Return a unit's kind of sensor and factor.

    Raises:
        MeterError: There is no such unit, or it is not one of ``kinds``.
    """
    valid = [known for known, (kind, _) in UNITS.items() if kind in kinds]
    if name not in valid:
        raise MeterError(f"{key}: unknown unit '{name}'{nearest(name, valid)}")
    return UNITS[name]


def number(text: str) -> Decimal | None:
    """Return the number that a text is; None for words (``NAN``, ``INF``, ``OF``), dashes and SCPI's no-number values."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    return None if abs(value) >= _NO_NUMBER else value


def scaled(value: Decimal, factor: Decimal) -> int:
    """Return a value in the unit of a sensor's kind, rounded to the nearest integer."""
    return round(value * factor)


def step(value: Decimal, factor: Decimal) -> int:
    """Return what the last digit of a value is worth, in the unit of a sensor's kind; at least 1."""
    exponent = value.as_tuple().exponent
    return max(1, round(Decimal(1).scaleb(exponent) * factor)) if isinstance(exponent, int) else 1
