"""A quantity with its interval and unit; never a bare float. Knows nothing of how it was computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

#: How pydantic reads these dataclasses inside a record: nothing unknown, nothing non-finite.
RECORD_CONFIG: dict[str, Any] = {
    "extra": "forbid",
    "allow_inf_nan": False,
    "revalidate_instances": "always",
    "use_attribute_docstrings": True,
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value with its interval, or the reason why there is none."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    value: float | None
    """The point estimate; null where there is none, never 0 for missing."""
    unit: str
    """The unit: ns, samples/s, queries/s, J, J/sample, samples/J, ratio, count, or the gate metric's own."""
    low: float | None = None
    """The lower end of the interval, or null."""
    high: float | None = None
    """The upper end of the interval; for a percentile, LoadGen's early-stopping estimate (99 % confidence)."""
    confidence: float | None = None
    """The confidence of the interval, such as 0.99; for a percentile it holds at each end on its own."""
    n: int | None = None
    """How many observations it stands on."""
    reason: str | None = None
    """Why there is no value, or no interval beside it; null where nothing is missing."""


def absent(unit: str, reason: str, n: int | None = None) -> Estimate:
    """Return an estimate without a value, for ``reason``."""
    return Estimate(value=None, unit=unit, n=n, reason=reason)
