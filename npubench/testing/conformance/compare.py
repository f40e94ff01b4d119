"""Compare what an executor gave with what it should have given. Pure functions of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from npubench.contract.backend import Tensors

Array = np.ndarray[Any, Any]

#: Below this relative difference two answers are the same one, rounded differently: sums in another order.
SAME = 1e-3
#: Above this one they are answers to different questions.
OTHER = 1e-2


def copied(outputs: Tensors) -> dict[str, Array]:
    """Return outputs as arrays nobody else holds.

    Raises:
        TypeError: They are no mapping of tensors by name.
    """
    if not isinstance(outputs, Mapping):
        raise TypeError(f"execute returned {type(outputs).__name__}, not a mapping of tensors by name")
    return {name: np.array(values, copy=True) for name, values in outputs.items()}


def difference(a: Tensors, b: Tensors) -> float:
    """Return how far two answers are apart: the largest relative L2 distance of an output.

    Returns:
        0.0 for equal bits (NaN equals NaN), infinity for other names, shapes or dtypes.
    """
    if set(a) != set(b):
        return float("inf")
    worst = 0.0
    for name in a:
        worst = max(worst, _distance(np.asarray(a[name]), np.asarray(b[name])))
    return worst


def _distance(a: Array, b: Array) -> float:
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if a.tobytes() == b.tobytes():
        return 0.0
    if a.dtype.kind not in "fiub":
        return float("inf")
    wide, other = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        distance = float(np.linalg.norm((wide - other).ravel()))
        size = float(max(np.linalg.norm(wide.ravel()), np.linalg.norm(other.ravel())))
    if not np.isfinite(distance):
        return 0.0 if np.array_equal(wide, other, equal_nan=True) else float("inf")
    return distance / size if size else 0.0


def distinct(answers: Sequence[Tensors]) -> list[int]:
    """Return the indices of answers that nobody could mistake for one another, in order."""
    kept: list[int] = []
    for n, answer in enumerate(answers):
        if all(difference(answer, answers[other]) > OTHER for other in kept):
            kept.append(n)
    return kept


def joined(requests: Sequence[Tensors]) -> dict[str, Array]:
    """Return several requests as one batch; contiguous, read-only."""
    batch = {name: np.ascontiguousarray(np.concatenate([each[name] for each in requests])) for name in requests[0]}
    for values in batch.values():
        values.setflags(write=False)
    return batch


def rows(outputs: Tensors, first: int, count: int) -> dict[str, Array]:
    """Return the answers to some samples of a batch."""
    return {name: np.asarray(values)[first : first + count] for name, values in outputs.items()}
