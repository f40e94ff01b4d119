"""Geometry of the plots: where every bar, line, tick and label stands in its SVG panel; templates draw them.

Drawn by hand and not by a plotting library, because text stays text: Korean labels are set in the reader's fonts, found
by search and read out by screen readers, and nothing depends on the fonts of the machine the report is made on. Knows
nothing of languages; words come in ready.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from babel.core import Locale

from npubench.report.page import Curve
from npubench_reports.numbers import Scale, decimal

#: Panels are small multiples of one size in user units, about a CSS pixel each.
WIDTH = 380
#: Of the text in a panel, in user units.
FONT = 12
#: Of the labels on an axis.
TICK = 11
#: As many looks as a page can tell apart; each is a colour, a dash and a marker, so that none hangs on colour alone.
LOOKS = 6
#: Shapes of markers around 0,0; dashes of lines; and their colours, which are the style sheet's ``.k0`` to ``.k5``.
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
#: Quantiles that carry a marker, where a curve has them.
MARKED = (0.5, 0.9, 0.99, 0.999)

#: A latency bound this many times beyond the slowest query is named and not drawn.
FAR = 3.0

#: How a bar is drawn: filled for a valid measurement, outlined otherwise, none without a number.
State = Literal["solid", "invalid", "simulated", "absent"]


@dataclass(frozen=True, slots=True)
class Look:
    """How one subject is told apart in every plot: indices into the style sheet's colours and the templates' shapes."""

    colour: int
    marker: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class BarInput:
    """One bar as it comes in: the value and its interval in the record's unit, and the words beside it."""

    label: str
    words: str
    look: Look
    state: State
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar as it is drawn: ``y`` is its top, ``length`` and the whisker's ends are from the left edge."""

    source: BarInput
    label: str
    y: float
    length: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class BarPanel:
    """Bars of one workload, from zero."""

    height: int
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    axis: float


@dataclass(frozen=True, slots=True)
class Line:
    """One latency curve: SVG points, and where its markers stand."""

    look: Look
    points: str
    markers: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """Latency curves of one workload; the plot's box in user units, its axes, and the bound unless it lies beyond the plot."""

    left: float
    right: float
    top: float
    bottom: float
    height: int
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    bound: float | None
    beyond: bool


def looks(keys: Sequence[str]) -> Mapping[str, Look]:
    """Give every subject its look; beyond :data:`LOOKS` subjects, colours come again with other markers."""
    return {key: Look(i % LOOKS, (i + i // LOOKS) % LOOKS) for i, key in enumerate(keys)}


def bars(inputs: Sequence[BarInput], scale: Scale, locale: Locale) -> BarPanel:
    """Place one workload's bars: label and value above each bar, the axis below all."""
    pitch, thick, margin = 38, 11, 4
    reach = max((max(b.value or 0.0, b.high or 0.0) for b in inputs), default=0.0) / scale.factor
    steps = linear_ticks(0.0, reach) or ((0.0, 0),)
    # The axis ends at the next tick, so that the longest bar can be read off against one.
    end = max(reach, steps[-1][0]) or 1.0
    span = WIDTH - 2 * margin

    def x(value: float | None) -> float | None:
        return None if value is None else round(margin + value / scale.factor / end * span, 1)

    axis = len(inputs) * pitch + 2
    drawn = tuple(
        Bar(
            source=b,
            label=shorten(b.label, WIDTH - 30 - text_width(b.words)),
            y=i * pitch + pitch - thick - 6,
            length=round((x(b.value) or margin) - margin, 1),
            low=x(b.low),
            high=x(b.high),
        )
        for i, b in enumerate(inputs)
    )
    ticks = tuple(Tick(round(margin + v / end * span, 1), decimal(v, d, locale)) for v, d in steps)
    return BarPanel(height=axis + 20, bars=drawn, ticks=ticks, axis=axis)


def curves(
    given: Sequence[Curve], bound_ns: float | None, appearance: Mapping[str, Look], scale: Scale, locale: Locale, slowest: str
) -> CurvePanel:
    """Place latency curves: latency on a log axis, quantiles by their nines, so that the tail has room.

    ``slowest`` is what the tick of quantile 1 is called; the slowest query has no place on a scale of nines, and leaving
    it out would flatter, so it stands one step above the last quantile.
    """
    left, right, top, bottom, height = 46.0, WIDTH - 12.0, 14.0, 218.0, 260
    points = [(c, [(q, v) for q, v in zip(c.quantiles, c.latency_ns, strict=False) if v > 0]) for c in given]
    latencies = [v for _, pairs in points for _, v in pairs]
    # A bound far from every curve would squeeze them into a corner; then it is named and not drawn.
    beyond = bound_ns is not None and bool(latencies) and bound_ns > FAR * max(latencies)
    if bound_ns is not None and not beyond:
        latencies.append(bound_ns)
    low, high = (min(latencies), max(latencies)) if latencies else (scale.factor, scale.factor)
    pad = max((high / low) ** 0.04, 1.02)
    low, high = low / pad, high * pad
    proper = [nines(q) for _, pairs in points for q, _ in pairs if q < 1]
    last = max([*proper, 2.0])
    whole = any(q >= 1 for _, pairs in points for q, _ in pairs)
    ceiling = last + (0.45 if whole else 0.0)

    def x(latency: float) -> float:
        return round(left + math.log(latency / low) / math.log(high / low) * (right - left), 1)

    def y(quantile: float) -> float:
        level = ceiling if quantile >= 1 else nines(quantile)
        return round(bottom - level / ceiling * (bottom - top), 1)

    lines = tuple(
        Line(
            look=appearance[curve.subject],
            points=" ".join(f"{x(v)},{y(q)}" for q, v in pairs),
            markers=tuple((x(v), y(q)) for q, v in pairs if any(math.isclose(q, m) for m in MARKED)),
        )
        for curve, pairs in points
        if pairs
    )
    up = [Tick(y(0.0), "0"), Tick(y(0.5), "50")]
    up += [Tick(y(1 - 10.0**-k), _nines_label(k)) for k in range(1, int(last + 0.01) + 1)]
    if whole:
        up.append(Tick(y(1.0), slowest))
    ticks = log_ticks(low / scale.factor, high / scale.factor)
    across = apart([Tick(x(v * scale.factor), decimal(v, d, locale)) for v, d in ticks], right)
    at = None if bound_ns is None or beyond else x(bound_ns)
    return CurvePanel(left, right, top, bottom, height, lines, across, tuple(up), at, beyond)


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


def nines(quantile: float) -> float:
    """Return how many nines a quantile below 1 has: 0.9 → 1, 0.99 → 2."""
    return -math.log10(1 - max(quantile, 0.0))


def _nines_label(k: int) -> str:
    return "90" if k == 1 else "99" + ("." + "9" * (k - 2) if k > 2 else "")


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
