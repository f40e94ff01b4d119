"""Find where the level of a series changes: by binary segmentation with a rank test. Knows nothing of runs or of time.

The test is Pettitt's (1979, "A non-parametric approach to the change-point problem", Applied Statistics 28(2)): of all places
to cut, the one at which the two sides' ranks differ most, with the probability of so large a difference where there is none.
A series that is cut is looked at again on both sides of the cut (Scott and Knott 1974, Biometrics 30(3)). asv's and Hunter's
detectors likewise ask for a certain and a material change; both fit means, which one disturbed value moves.

Neighbours in the series may be alike, which makes levels appear where there is none. The variance that Pettitt's p-value
stands on is therefore multiplied by what the residuals beside the cut have in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.dependence import autocorrelation, widening

#: How probable a change may be where there is none: half of what a run is allowed, since a series has several places to look.
ALPHA = 0.005

#: Fewer values than this on one side of a cut are an outlier, not a level.
SHORTEST = 4

#: Neighbours more alike than this are taken for this; beyond it nothing is certain enough anyway.
_MOST = 0.95


@dataclass(frozen=True, slots=True)
class Change:
    """One change of level.

    Args:
        index: The first value of the new level.
        change: Median after ÷ median before, minus 1.
        p: How probable so clear a change is where there is none.
    """

    index: int
    change: float
    p: float


def find_changes(values: NDArray[np.float64], *, effect: float, alpha: float = ALPHA) -> tuple[Change, ...]:
    """Return where the level of a series changes, in order.

    Args:
        values: ``[values]`` in order of time, above 0, such as block medians; 24 or more say something.
        effect: The smallest change that counts, as a ratio; 0.02 = 2 %.
        alpha: How probable a change may be where there is none, at each place that is looked at.
    """
    return tuple(sorted(_cut(values, 0, effect, alpha), key=lambda change: change.index))


def _cut(values: NDArray[np.float64], offset: int, effect: float, alpha: float) -> list[Change]:
    if values.size < 2 * SHORTEST or float(values.min()) <= 0.0:
        return []
    place, p = pettitt(values)
    change = _step(values[:place], values[place:])
    if p < alpha and abs(change) >= effect:
        found = Change(offset + place, change, p)
        return [*_cut(values[:place], offset, effect, alpha), found, *_cut(values[place:], offset + place, effect, alpha)]
    if values.size < 3 * SHORTEST:
        return []
    first, last, p = spell(values)
    up, down = _step(values[:first], values[first:last]), _step(values[first:last], values[last:])
    if p >= alpha or min(abs(up), abs(down)) < effect:
        return []
    return [
        *_cut(values[:first], offset, effect, alpha),
        Change(offset + first, up, p),
        *_cut(values[first:last], offset + first, effect, alpha),
        Change(offset + last, down, p),
        *_cut(values[last:], offset + last, effect, alpha),
    ]


def _step(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    return float(np.median(after)) / float(np.median(before)) - 1.0


def pettitt(values: NDArray[np.float64]) -> tuple[int, float]:
    """Return the likeliest place of a change and its p-value.

    p = 2 exp(−2 x²), x² = 3 K² ÷ ((n³ + n²) f), where K is the largest |Σ sign(xᵢ − xⱼ)| over i before and j after a cut, and
    f ≥ 1 is by how much the dependence of neighbours widens its spread: (1 + ρ) ÷ (1 − ρ) for the ranks of the residuals about
    both sides' medians. ρ is taken one standard error above its estimate: a cut chosen for being the best has fitted some of it
    away.

    Args:
        values: ``[n]``, n ≥ 2 · :data:`SHORTEST`.

    Returns:
        The index of the first value after the cut, and p between 0 and 1.
    """
    n = values.size
    inner = np.abs(_rank_sums(values)[SHORTEST - 1 : n - SHORTEST])
    place = int(np.argmax(inner)) + SHORTEST
    x2 = _distance(float(inner.max()), values, np.arange(n) >= place, 2)
    return place, min(1.0, 2.0 * math.exp(-2.0 * x2))


def spell(values: NDArray[np.float64]) -> tuple[int, int, float]:
    """Return where a spell at another level likeliest begins and ends, and its p-value.

    A level that comes back hides from a single cut. The rank sums before each cut rise and fall in the spell by the most that
    they do anywhere; of that range, scaled as in :func:`pettitt`, p = 2 (4 x² − 1) exp(−2 x²), the leading term of Kuiper's law
    (1960, Proceedings KNAW A 63) for the range of a Brownian bridge. (Levin and Kline 1985, Statistics in Medicine 4(4), and
    Olshen et al. 2004, Biostatistics 5(4), cut twice likewise.)

    Args:
        values: ``[n]``, n ≥ 3 · :data:`SHORTEST`.

    Returns:
        The index of the first value of the spell, that of the first after it, and p between 0 and 1.
    """
    n = values.size
    sums = np.concatenate([[0.0], _rank_sums(values), [0.0]])
    first, last = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    allowed = (first >= SHORTEST) & (last - first >= SHORTEST) & (n - last >= SHORTEST)
    ranges = np.where(allowed, np.abs(sums[last] - sums[first]), -1.0)
    begin, end = (int(at) for at in np.unravel_index(int(np.argmax(ranges)), ranges.shape))
    at = np.arange(n)
    x2 = _distance(float(ranges[begin, end]), values, (at >= begin) & (at < end), 3)
    # Below x of about 0.9 the term is no probability.
    return begin, end, min(1.0, 2.0 * (4.0 * x2 - 1.0) * math.exp(-2.0 * x2)) if x2 > 0.8 else 1.0


def _rank_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Σ sign(xᵢ − xⱼ) over i before each cut and all j: ``[n − 1]``, for the cuts after the first value and on."""
    return np.asarray(np.cumsum(np.sign(values[:, None] - values[None, :]).sum(axis=1))[:-1], dtype=np.float64)


def _distance(most: float, values: NDArray[np.float64], other: NDArray[np.bool_], fitted: int) -> float:
    """Return x² of a rank sum or a range of them, with the dependence about two levels and ``fitted`` places allowed for."""
    n = values.size
    away = np.where(other, values - np.median(values[other]), values - np.median(values[~other]))
    rho = autocorrelation(_ranks(away))
    dependent = widening(rho + (fitted - 1 + max(rho, 0.0)) / n + 1.0 / math.sqrt(n), _MOST)
    return 3.0 * most * most / ((n**3 + n**2) * dependent)


#: Time constants of an approach to an end value that are tried, as parts of the series.
_APPROACHES = (0.03, 0.06, 0.1, 0.2, 0.4)


def scatter_dependence(values: NDArray[np.float64]) -> float:
    """Return the dependence f ≥ 1 of what is left of a series once its course is taken off.

    A course makes neighbours alike as well, and is what the caller is after. Three are tried, as runs have them: a smooth one
    (a cubic), a step, and an exponential approach, as of a card to its temperature. The one that leaves neighbours least alike
    is taken; each estimate is raised by what its parameters have fitted away, 1 ÷ n each.

    Args:
        values: ``[n]`` in order of time, n ≥ 2 · :data:`SHORTEST`.
    """
    n = values.size
    at = np.arange(n) / n
    place, _ = pettitt(values)
    one = np.ones(n)
    courses = [
        np.stack([one, at, at**2, at**3], axis=1),
        np.stack([one, (np.arange(n) >= place).astype(np.float64)], axis=1),
        *(np.stack([one, np.exp(-at / part)], axis=1) for part in _APPROACHES),
    ]
    rhos = []
    for course in courses:
        left = values - course @ np.linalg.lstsq(course, values, rcond=None)[0]
        rhos.append(autocorrelation(left) + (course.shape[1] - 1) / n)
    return widening(min(rhos))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks; what is alike shares one."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), dtype=np.float64)
