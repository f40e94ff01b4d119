"""How a figure went from night to night: how much it scatters, whether tonight stands out, where its level changed.

Pure functions of one value a night, in order of time. A figure that goes up when things get better and one that goes down are
told apart by ``higher_is_better``; everything returned is the other way round for neither: above 1 is better.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.changes import SHORTEST, Change, find_changes
from npubench.analyze.estimate import Estimate
from npubench.analyze.intervals import MATERIAL

#: How many nights before tonight say how much a figure scatters.
WINDOW = 30
#: From so many values on their scatter is known; before that only intervals can tell.
FEWEST = 5
#: A change is beyond scatter at this many standard deviations of a difference of two nights, times 1 + :data:`FEW` ÷ nights, as
#: the scatter of few nights is itself uncertain. Of 8,000 steady nights (normal) after 5 … 30 others fewer than four in a
#: thousand are an alarm, after 14 fewer than one.
SIGMAS, FEW = 3.0, 4.0
#: Where the scatter is not known yet, a change counts from here on: twice what is material, since processes differ by more
#: than one process's own interval says.
UNKNOWN = 0.05
#: A cell that scatters by more than this is too noisy to speak: a change of 2 % would need to be ten times as large.
NOISY = 0.07

#: A change of level between nights is clear from so many standard errors on; and how often a steady series has one.
CLEAR, FALSE = 5.0, 0.01

Move = Literal["better", "worse", "same"]


@dataclass(frozen=True, slots=True)
class Step:
    """Tonight against the night before.

    Args:
        ratio: How many times as good as the night before.
        move: What that amounts to, beyond scatter and beyond what is material.
        tolerance: By how much, as a part, the ratio may differ from 1 and still be the same.
        scatter: Standard deviation of a night's value, as a part; ``None`` where there are too few nights.
    """

    ratio: float
    move: Move
    tolerance: float
    scatter: float | None


def scatter(values: Sequence[float]) -> float | None:
    """Return the standard deviation of one night's value as a part of it, or ``None`` with fewer than :data:`FEWEST` values.

    Taken from the median of the absolute differences of logarithms from night to night, over 0.6745 · √2, which a normal
    distribution has: one change of level moves one difference, and not the scatter.
    """
    known = np.asarray([value for value in values if value > 0], dtype=np.float64)
    if known.size < FEWEST:
        return None
    return float(np.median(np.abs(np.diff(np.log(known))))) / (0.674489750196 * float(np.sqrt(2.0)))


def step(before: Sequence[Estimate], now: Estimate, *, higher_is_better: bool) -> Step | None:
    """Say how tonight stands to the nights before.

    It is another only where it differs both from the night before and from the median of those before, so that coming back from
    one odd night is no change. Where there are too few nights, intervals must not overlap either.

    Args:
        before: A value a night, in order, without those that have none; the last is the night before.
        now: Tonight's.
        higher_is_better: The direction.

    Returns:
        ``None`` where one of them has no value above 0.
    """
    known = [estimate for estimate in before if estimate.value is not None and estimate.value > 0]
    if not known or now.value is None or now.value <= 0:
        return None
    values = [float(estimate.value or 0.0) for estimate in known][-WINDOW:]
    spread = scatter(values)
    tolerance = UNKNOWN
    if spread is not None:
        tolerance = max(MATERIAL, SIGMAS * (1 + FEW / len(values)) * float(np.sqrt(2.0)) * spread)
    sign = 1.0 if higher_is_better else -1.0
    ratio = (now.value / values[-1]) ** sign
    usual = (now.value / float(np.median(values))) ** sign
    move: Move = "same"
    if min(ratio, usual) > 1 + tolerance:
        move = "better"
    elif max(ratio, usual) < 1 - tolerance:
        move = "worse"
    if spread is None and move != "same" and _overlap(known[-1], now):
        move = "same"
    return Step(ratio, move, tolerance, spread)


def _overlap(a: Estimate, b: Estimate) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low <= b.high and b.low <= a.high


def level_changes(values: Sequence[float]) -> tuple[Change, ...]:
    """Return where the level changed by what is material, in order.

    Every night is a process of its own, so that nights are alike by their level alone, and a step can be held against the
    scatter between neighbours: it counts from :data:`CLEAR` standard errors on, at which one steady series in a hundred has one
    (4,000 trials each of 8 … 90 nights, normal and Student's with three degrees of freedom). What is left is looked at as the
    course within a run is (:func:`npubench.analyze.changes.find_changes`), which finds small steps in long series.

    Args:
        values: One a night, above 0.
    """
    series = np.asarray(values, dtype=np.float64)
    return tuple(sorted(_cut(series, 0), key=lambda change: change.index)) if series.size and series.min() > 0 else ()


def _cut(values: NDArray[np.float64], offset: int) -> list[Change]:
    n = values.size
    if n < 2 * SHORTEST:
        return []
    logs = np.log(values)
    spread = max(scatter(values.tolist()) or 0.0, MATERIAL / 10)
    cuts = np.arange(SHORTEST, n - SHORTEST + 1)
    sums = np.cumsum(logs)
    apart = np.abs((sums[-1] - sums[cuts - 1]) / (n - cuts) - sums[cuts - 1] / cuts)
    clear = apart / (spread * np.sqrt(1 / cuts + 1 / (n - cuts)))
    at = int(cuts[int(np.argmax(clear))])
    size = float(np.median(logs[at:]) - np.median(logs[:at]))
    change = float(np.expm1(size))
    if float(clear.max()) <= CLEAR or abs(size) <= 2 * spread or abs(change) < MATERIAL:
        return [replace(found, index=found.index + offset) for found in find_changes(values, effect=MATERIAL)]
    return [*_cut(values[:at], offset), Change(offset + at, change, FALSE), *_cut(values[at:], offset + at)]


def levels(values: Sequence[float], changes: Sequence[Change]) -> tuple[float, ...]:
    """Return the median of the level each value belongs to: as many as there are values."""
    edges = [0, *(change.index for change in changes), len(values)]
    found: list[float] = []
    for start, end in itertools.pairwise(edges):
        found += [float(np.median(values[start:end]))] * (end - start)
    return tuple(found)
