"""Figures as people read them: scaled units, the digits the interval warrants, the locale's separators.

Rounds for display only: whoever needs the exact value finds it beside the rounded one, and nothing is derived here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import cache, lru_cache

from babel.core import Locale
from babel.dates import format_date
from babel.numbers import format_decimal, format_percent, get_decimal_symbol, get_group_symbol

from npubench.analyze.estimate import Estimate

#: Units that are scaled for people: factor from the record's unit, and the unit it then is. Ascending.
SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "ns": ((1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")),
    "J": ((1e-6, "µJ"), (1e-3, "mJ"), (1.0, "J"), (1e3, "kJ")),
    "J/sample": ((1e-6, "µJ/sample"), (1e-3, "mJ/sample"), (1.0, "J/sample")),
    "ratio": ((1.0, ""),),
    "W": ((1e-3, "mW"), (1.0, "W"), (1e3, "kW")),
    "samples/J": ((1.0, "samples/J"),),
    "op/s": ((1e9, "GOPS"), (1e12, "TOPS")),
    "B/s": ((1e6, "MB/s"), (1e9, "GB/s")),
    "B": ((1.0, "B"), (2.0**10, "KiB"), (2.0**20, "MiB"), (2.0**30, "GiB")),
    "B/sample": ((1.0, "B/sample"), (2.0**10, "KiB/sample"), (2.0**20, "MiB/sample")),
    "op": ((1e6, "MOP"), (1e9, "GOP"), (1e12, "TOP")),
    "share": ((0.01, "%"),),
    "times": ((1.0, "×"),),
}

#: Korea has had no daylight saving since 1988, so a fixed offset needs no time zone database. Both languages show the
#: same clock: a page in one must not seem to be of another day than its twin.
KST = timezone(timedelta(hours=9), "KST")


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit to show values in: a value in the record's unit is divided by ``factor`` to be in ``unit``."""

    factor: float
    unit: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A value ready to be shown: ``text`` and ``interval`` in ``unit``, and ``exact`` in the record's own unit."""

    text: str
    interval: str
    confidence: str
    unit: str
    exact: str


def scale_for(values: Iterable[float | None], unit: str) -> Scale:
    """Return one scale for values that stand beside each other: the largest unit with the greatest ≥ 1 and all ≥ 0.1.

    Neighbours share a unit, because a reader compares the digits before the units.
    """
    sizes = [abs(v) for v in values if v]
    steps = SCALES.get(unit, ((1.0, unit),))
    # Just under 1 and 0.1, so that what rounds to 1 ms is not shown as 1,000 µs.
    fitting = [s for s in steps if sizes and max(sizes) >= 0.9995 * s[0] and min(sizes) >= 0.0995 * s[0]]
    return Scale(*(fitting or steps)[-1 if fitting else 0])


def last_digit(value: float, low: float | None = None, high: float | None = None) -> int:
    """Return the power of ten of the last digit worth showing: three significant digits, four in a tight interval."""
    size = math.floor(math.log10(abs(value))) if value else 0
    if low is None or high is None or high <= low:
        return size - 2
    width = math.floor(math.log10(high - low))
    return min(max(width - 1, size - 3), size - 2)


def figure(estimate: Estimate, scale: Scale, locale: Locale) -> Figure | None:
    """Return ``estimate`` as people read it, or ``None`` where it has no value.

    The ends of the interval are rounded outwards: a page never claims more certainty than the record.
    """
    if estimate.value is None:
        return None
    value = estimate.value / scale.factor
    low, high = (None if end is None else end / scale.factor for end in (estimate.low, estimate.high))
    digit = last_digit(value, low, high)
    interval = between(
        None if low is None else decimal(low, digit, locale, ROUND_FLOOR),
        None if high is None else decimal(high, digit, locale, ROUND_CEILING),
    )
    confidence = percent(estimate.confidence, locale) if interval and estimate.confidence is not None else ""
    return Figure(decimal(value, digit, locale), interval, confidence, scale.unit, exactly(estimate))


def between(low: str | None, high: str | None) -> str:
    """Return an interval as text: both ends, or the one there is with its direction; ``""`` for neither."""
    if low is not None and high is not None:
        return f"{low} – {high}"
    if high is not None:
        return f"≤ {high}"
    return "" if low is None else f"≥ {low}"


def decimal(value: float, digit: int, locale: Locale, rounding: str = ROUND_HALF_EVEN) -> str:
    """Return ``value`` rounded to the power of ten ``digit``, with the locale's separators."""
    # repr, and not the binary expansion: 0.1 rounded up to one digit is 0.1.
    rounded = Decimal(repr(float(value))).quantize(Decimal(1).scaleb(digit), rounding=rounding)
    return _grouped(Decimal(int(rounded)) if digit >= 0 else rounded, max(-digit, 0), locale)


def _grouped(value: Decimal, places: int, locale: Locale) -> str:
    """Return what Babel makes of the pattern ``#,##0.00`` with so many ``places``, in a thirtieth of its time."""
    group, point = _symbols(locale)
    whole, _, part = f"{abs(value):,.{places}f}".partition(".")
    text = whole.replace(",", group) + (point + part if part else "")
    return "-" + text if value.is_signed() else text


@cache
def _symbols(locale: Locale) -> tuple[str, str]:
    return get_group_symbol(locale), get_decimal_symbol(locale)


def against(value: float, bound: float, locale: Locale) -> str:
    """Return ``value`` with four digits, or more where those would make it look equal to ``bound``."""
    size = math.floor(math.log10(max(abs(value), abs(bound)) or 1.0))
    for digits in (4, 5, 6, 8):
        text = decimal(value, size + 1 - digits, locale)
        if value == bound or text != decimal(bound, size + 1 - digits, locale):
            return text
    return plain(value)


@lru_cache(maxsize=1024)
def percent(share: float, locale: Locale) -> str:
    """Return a share as a percentage, such as 0.999 → 99.9%."""
    return format_percent(share, format="#,##0.###%", locale=locale)


def change(share: float, locale: Locale) -> str:
    """Return a relative change as a percentage with its sign, such as 0.1442 → +14.4%."""
    return format_percent(share, format="+#,##0.0%;-#,##0.0%", locale=locale)


@lru_cache(maxsize=1024)
def number(value: float, locale: Locale) -> str:
    """Return a number in running text: whole ones whole, others with five significant digits at most."""
    if not math.isfinite(value):
        return "∞" if value > 0 else str(value)
    whole = value.is_integer() and abs(value) < 1e15
    shown = Decimal(int(value)) if whole else Decimal(f"{value:.5g}")
    return format_decimal(shown, format="#,##0.############", locale=locale)


def count(value: int, locale: Locale) -> str:
    """Return a whole number with the locale's separators."""
    return _grouped(Decimal(value), 0, locale)


def setting(value: float, unit: str, locale: Locale) -> Figure:
    """Return a value that somebody set, such as a bound of 50 ms: it has no digits to lose, and no interval."""
    scale = scale_for([value], unit)
    text = format_decimal(Decimal(repr(value / scale.factor)), format="#,##0.######", locale=locale)
    return Figure(text, "", "", scale.unit, f"{plain(value)} {unit}")


def plain(value: float) -> str:
    """Return ``value`` with every digit it has and no separators, as a record or a spreadsheet holds it."""
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def exactly(estimate: Estimate) -> str:
    """Return everything ``estimate`` says, unrounded and in its own unit; for titles."""
    if estimate.value is None:
        return ""
    parts = [f"{plain(estimate.value)} {estimate.unit}".strip()]
    ends = between(*(None if end is None else plain(end) for end in (estimate.low, estimate.high)))
    if ends:
        parts.append(f"[{ends}]" + (f" @ {plain(estimate.confidence)}" if estimate.confidence is not None else ""))
    if estimate.n is not None:
        parts.append(f"n = {estimate.n}")
    return "; ".join(parts)


def moment(text: str, locale: Locale) -> str:
    """Return an ISO 8601 time as a date and time of day in Korea; as it stands where it cannot be read as one."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    when = when.astimezone(KST)
    return f"{format_date(when.date(), 'long', locale)} {when:%H:%M} KST"
