"""Say how much alike neighbours in a series are, and how many independent values it is therefore worth.

A device that is disturbed stays disturbed for a while, and what is measured in one stretch tells of the next. n such values
scatter about their mean as n ÷ f independent ones would, and f is what is estimated here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Neighbours more alike than this are taken for this: beyond it a series of some tens of values cannot tell one from a trend.
_MOST = 0.9


def dependence(values: NDArray[np.float64]) -> float:
    """Return f ≥ 1: the variance of a series' mean ÷ what it were if the values were independent.

    f = (1 + ρ) ÷ (1 − ρ), which is exact for a first-order autoregression (Priestley 1981, *Spectral Analysis and Time
    Series*, section 5.3), with ρ from :func:`autocorrelation`. Neighbours that are less alike than chance would have it narrow
    nothing.

    Args:
        values: ``[values]`` in order of time, such as window rates or block medians.
    """
    return widening(autocorrelation(values))


def widening(rho: float, most: float = _MOST) -> float:
    """Return (1 + ρ) ÷ (1 − ρ), with ρ held between 0 and ``most``."""
    rho = min(max(rho, 0.0), most)
    return (1.0 + rho) / (1.0 - rho)


def autocorrelation(values: NDArray[np.float64]) -> float:
    """Return the correlation of a series with itself one step on, freed of its bias; 0 where nothing varies.

    From n values about their own mean the estimate is too low by about (1 + 3ρ) ÷ n (Marriott and Pope 1954, Kendall 1954,
    Biometrika 41), which is added.
    """
    away = values - values.mean()
    square = float(away @ away)
    if values.size < 3 or square <= 0.0:
        return 0.0
    rho = float(away[1:] @ away[:-1]) / square
    return rho + (1.0 + 3.0 * max(rho, 0.0)) / values.size
