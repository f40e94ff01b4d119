"""Align a remote meter's clock with this machine's, from request and answer pairs. Pure functions; nothing here reads a clock.

A meter that stamps its own readings does so by its own clock. What an exchange says of that clock are bounds: the stamp was
taken after the request left and before the answer came, and it is cut to the meter's resolution. Bounds of several exchanges
are intersected, which narrows them below the resolution where the exchanges lie at different parts of its tick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class ClockJumpedError(Exception):
    """The exchanges contradict each other: the meter's clock, or this one, was set in between."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer.

    Args:
        sent_ns: When the request left, by this machine's clock.
        received_ns: When the answer was there, by this machine's clock.
        stamp_ns: What the meter's clock said, cut to ``resolution_ns``.
        resolution_ns: The step of the meter's stamps.
    """

    sent_ns: int
    received_ns: int
    stamp_ns: int
    resolution_ns: int = 1


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a meter's clock is ahead of this machine's, ns, and how far that can be wrong either way."""

    offset_ns: int
    error_ns: int

    def here(self, stamp_ns: int) -> int:
        """Return a stamp of the meter's by this machine's clock, ns."""
        return stamp_ns - self.offset_ns


def align(exchanges: Iterable[Exchange]) -> Offset:
    """Return the offset that all exchanges agree with: the middle of what they leave possible, and half its width.

    Raises:
        ClockJumpedError: No offset agrees with all of them.
        ValueError: There is no exchange, or an answer came before its request.
    """
    low: int | None = None
    high: int | None = None
    for each in exchanges:
        if each.received_ns < each.sent_ns:
            raise ValueError("an answer came before its request")
        # The meter's true time is the stamp or up to one step more; this machine's lies between request and answer.
        least, most = each.stamp_ns - each.received_ns, each.stamp_ns + each.resolution_ns - each.sent_ns
        low = least if low is None else max(low, least)
        high = most if high is None else min(high, most)
    if low is None or high is None:
        raise ValueError("no exchange, no offset")
    if low > high:
        raise ClockJumpedError(f"the meter's clock jumped by at least {(low - high) * 1e-9:.3g} s while it was being compared")
    return Offset(offset_ns=(low + high) // 2, error_ns=(high - low + 1) // 2)


def half_trip_ns(sent_ns: int, received_ns: int) -> int:
    """Return how far a reading stamped halfway between request and answer can be off, ns."""
    return max(0, received_ns - sent_ns + 1) // 2
