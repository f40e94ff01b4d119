"""How far outputs are apart, sample by sample, in a measure that a saturated softmax cannot hide in. Judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

#: Rows that sum to one within this are taken for probabilities: a softmax in 16 bits sums to one within 1e-2.
_SUM = 2e-2

#: Probabilities below this count as this, by precision: what a number format cannot tell from zero says nothing. 8 bits
#: have steps of 1/255, a float16 has steps of 5e-4 just below one, and FP32 sums cancel at 1e-7 (its unit round-off).
_FLOOR = {"fp32": 1e-7, "fp16": 1e-4, "bf16": 1e-3}
_COARSE_FLOOR = 1e-2


def apart(seen: Array, wanted: Array, precision: str) -> Array:
    """Return each sample's relative distance between two outputs.

    Relative L2 norm: ‖seen - wanted‖ ÷ ‖wanted‖. Where ``wanted`` holds probabilities along its last axis, their logarithms
    are compared instead, against their spread: near 0 and 1 a probability hardly moves whatever happens to the logits.

    Args:
        seen: ``[samples, …]``.
        wanted: The same shape.
        precision: Of the run; says below what a probability is no more than noise.

    Returns:
        float64 ``[samples]``; infinite where a value is not finite.
    """
    given = wanted
    seen, wanted, finite = _alike(seen, wanted, precision)
    # Logarithms have no zero to be relative to; their spread is what the network says.
    centre = wanted.mean(axis=1, keepdims=True) if is_distribution(given) else np.zeros((1, 1))
    norm = np.linalg.norm(wanted - centre, axis=1)
    distance = np.linalg.norm(seen - wanted, axis=1)
    relative = np.where(norm > 1e-12, distance / np.maximum(norm, 1e-12), np.where(distance > 1e-12, np.inf, 0.0))
    return np.asarray(np.where(finite, relative, np.inf))


def follows(before: Array, after: Array, before_wanted: Array, after_wanted: Array, precision: str) -> Array:
    """Return each sample's share of a wanted change that outputs make: their change's projection on it.

    ⟨after - before, wanted change⟩ ÷ ‖wanted change‖²: 1 where they change alike, 0 where they do not change. Noise that has
    nothing to do with the change falls out of it. Probabilities are compared by their logarithms, as in :func:`apart`.

    Returns:
        float64 ``[samples]``; 0 where a value is not finite or nothing is to change.
    """
    first, wanted_first, finite = _alike(before, before_wanted, precision)
    last, wanted_last, finite_too = _alike(after, after_wanted, precision)
    seen, wanted = last - first, wanted_last - wanted_first
    length = (wanted * wanted).sum(axis=1)
    share = (seen * wanted).sum(axis=1) / np.maximum(length, 1e-30)
    return np.asarray(np.where(finite & finite_too & (length > 0.0), share, 0.0))


def _alike(seen: Array, wanted: Array, precision: str) -> tuple[Array, Array, Array]:
    """Return both as float64 ``[samples, values]``, logarithms where ``wanted`` holds probabilities; and which are finite."""
    probable = is_distribution(wanted)
    seen, wanted = (values.reshape(len(values), -1).astype(np.float64) for values in (seen, wanted))
    finite: Array = np.asarray(np.isfinite(seen).all(axis=1) & np.isfinite(wanted).all(axis=1))
    seen, wanted = np.nan_to_num(seen), np.nan_to_num(wanted)
    if probable:
        floor = _FLOOR.get(precision, _COARSE_FLOOR)
        seen, wanted = (np.log(np.maximum(values, floor)) for values in (seen, wanted))
    return seen, wanted, finite


def is_distribution(values: Array) -> bool:
    """Return whether the last axis holds probabilities: more than one value, none negative, summing to one."""
    if values.ndim < 2 or values.shape[-1] < 2 or not values.size or not np.isfinite(values).all() or float(values.min()) < 0.0:
        return False
    return bool(np.abs(values.sum(axis=-1) - 1.0).max() < _SUM)


def worst_median(seen: Sequence[Array], wanted: Sequence[Array], precision: str) -> float:
    """Return the largest over all outputs of the median distance over samples; infinite where a shape differs."""
    worst = 0.0
    for own, reference in zip(seen, wanted, strict=True):
        if own.shape != reference.shape:
            return float("inf")
        worst = max(worst, float(np.median(apart(own, reference, precision))))
    return worst
