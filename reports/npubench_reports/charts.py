"""What plots are drawn with: looks that tell series apart, round ticks, and how wide words are set.

Drawn by hand and not by a plotting library, because text stays text: Korean labels are set in the reader's fonts, found
by search and read out by screen readers, and nothing depends on the fonts of the machine the report is made on.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

#: Of the text in a picture, in user units.
FONT = 12
#: Of the labels on an axis.
TICK = 11
#: As many looks as a page can tell apart; each is a colour, a dash and a marker, so that none hangs on colour alone.
LOOKS = 6
#: Shapes of markers around 0,0; dashes of lines; and their colours.
SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "M-3.6 -3.6h7.2v7.2h-7.2z",
    "M0 -4.8L4.6 3.4H-4.6z",
    "M0 -5.2L4.6 0L0 5.2L-4.6 0z",
    "M0 4.8L4.6 -3.4H-4.6z",
    "M-1.6 -4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
)
DASHES = ("none", "8 3", "2.5 2.5", "10 3 2.5 3", "5 2", "1.5 3.5")
COLOURS = ("#0b5cad", "#c0440c", "#00775a", "#8a3a86", "#7d6000", "#414b57")
#: A level this many times beyond what is drawn is named and not drawn.
FAR = 3.0


@dataclass(frozen=True, slots=True)
class Look:
    """How one subject is told apart in every plot: indices into colours and shapes."""

    colour: int
    marker: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


def apart(ticks: Sequence[Tick], end: float, size: float = TICK) -> tuple[Tick, ...]:
    """Return the ticks whose labels, centred on them, neither touch the label before nor reach far beyond ``end``."""
    kept: list[Tick] = []
    reached = -math.inf
    for tick in ticks:
        half = text_width(tick.label, size) / 2
        if tick.at - half > reached + size / 2 and tick.at + half <= end + size:
            kept.append(tick)
            reached = tick.at + half
    return tuple(kept)


def linear_ticks(low: float, high: float, about: int = 4) -> tuple[tuple[float, int], ...]:
    """Return round values over ``low … high`` and the power of ten of their last digit; the last is at or above ``high``."""
    if not high > low:
        return ()
    rough = (high - low) / about
    power = math.floor(math.log10(rough))
    step = next(s for s in (1, 2, 2.5, 5, 10) if s * 10.0**power >= rough * 0.999)
    digit = power - (1 if step == 2.5 else 0) + (1 if step == 10 else 0)
    width = step * 10.0**power
    first, final = math.floor(low / width), math.ceil(high / width - 1e-9)
    return tuple((n * width, digit) for n in range(first, final + 1))


def log_ticks(low: float, high: float) -> tuple[tuple[float, int], ...]:
    """Return round values inside ``low … high`` for a log axis, and the power of ten of their last digit."""
    decades = math.log10(high / low)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    if decades >= 2.5:
        every = math.ceil(decades / 6)
        ticks = [(10.0**p, p) for p in powers if p % every == 0]
    elif decades >= 0.9:
        ticks = [(m * 10.0**p, p) for p in powers for m in (1, 2, 5)]
    else:
        ticks = list(linear_ticks(low, high))
    return tuple(tick for tick in ticks if low <= tick[0] <= high)


def text_width(text: str, size: float = FONT) -> float:
    """Estimate how wide ``text`` is set, in user units: wide East Asian characters are an em, others a little over half."""
    return sum(size if unicodedata.east_asian_width(c) in "WF" else 0.58 * size for c in text)


def shorten(text: str, room: float) -> str:
    """Return ``text``, or its beginning and an ellipsis where it is wider than ``room`` user units."""
    if text_width(text) <= room:
        return text
    kept = text
    while kept and text_width(kept + "…") > room:
        kept = kept[:-1]
    return kept + "…"
