"""Say how far repeats in fresh processes agree, and whether one more is called for. Pure functions of their headlines."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding
from npubench.analyze.intervals import CONFIDENCE, level, over_repeats
from npubench.plan.grades import Grade


def is_stopped(grade: Grade) -> bool:
    """Return whether how many repeats a grade has is decided by how narrow their interval is."""
    return grade.most_repeats > grade.repeats


def mean_over_repeats(values: Sequence[float], unit: str, grade: Grade) -> Estimate:
    """Return the mean over a cell's repeats with the interval that its grade's way of adding repeats calls for."""
    return over_repeats(values, unit, stopped=is_stopped(grade))


def half_width(values: Sequence[float]) -> float | None:
    """Return half the interval over repeats ÷ their mean; None where there is no interval or the mean is not above 0."""
    if len(values) < 2:
        return None
    mean = float(np.mean(values))
    estimate = over_repeats(values, "", stopped=True)
    if estimate.high is None or mean <= 0.0 or not math.isfinite(mean):
        return None
    return (estimate.high - mean) / mean


def wants_another(values: Sequence[float], grade: Grade) -> bool:
    """Return whether a cell is to be measured once more.

    Args:
        values: Its headline in each repeat so far, all of them of runs that are ok.
        grade: Of the suite.
    """
    if not is_stopped(grade) or not grade.repeats <= len(values) < grade.most_repeats:
        return False
    wide = half_width(values)
    return wide is not None and wide > grade.half_width


def wide_interval(values: Sequence[float], grade: Grade) -> Finding | None:
    """Return the finding on a cell whose interval is still wide, or None where it is narrow, or where there is none.

    Args:
        values: Its headline in each repeat.
        grade: Of its runs.
    """
    wide = half_width(values) if is_stopped(grade) else None
    if wide is None or wide <= grade.half_width:
        return None
    return Finding(
        "wide-interval",
        "warning",
        f"the interval is still ±{wide:.1%} after {len(values)} repeats",
        f"at most ±{grade.half_width:.0%}",
        "The figure differs from process to process; look for what differs between them, such as memory placement and clocks.",
        {"half_width": wide, "repeats": len(values), "allowed": grade.half_width, "most": grade.most_repeats},
    )


def widened(grade: Grade) -> float:
    """Return the level to take Student's quantile at for a ratio over repeats of this grade."""
    return level(CONFIDENCE, is_stopped(grade))
