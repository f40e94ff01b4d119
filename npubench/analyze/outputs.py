"""Judge outputs: the accuracy phase against the gate, and the checked subset of timed queries against the accuracy phase."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npubench.analyze.estimate import Estimate, absent
from npubench.contract.bundle import Gate

Array = np.ndarray[Any, Any]

#: How far a timed output may be from the accuracy phase's, relative L2 norm. Kernels that sum in another order at
#: another batch differ by 1e-6 in FP32 and by up to 1e-2 in INT8, whose roundings flip; garbage differs by 1.
TOLERANCE = 0.05
#: Share of indices that may differ where only the argmax is kept.
TOLERANCE_ARGMAX = 0.02

Score = Callable[[Mapping[str, Array], Mapping[str, Array], Mapping[str, Array]], float]


@dataclass(frozen=True, slots=True)
class Canary:
    """How the checked timed outputs compare: how many were looked at, the worst distance, and whether it is too far."""

    checked: int
    worst: float
    tolerance: float

    @property
    def garbage(self) -> bool:
        """Whether a timed output is not what the same sample gave in the accuracy phase."""
        return self.worst > self.tolerance


def score_outputs(
    gate: Gate,
    names: Sequence[str],
    outputs: Sequence[Array],
    labels: Mapping[str, Array],
    reference: Sequence[Array],
    score: Score,
) -> Estimate:
    """Return the gate's metric over all samples of the accuracy phase; absent if the score is not a number."""
    value = score(dict(zip(names, outputs, strict=True)), labels, dict(zip(names, reference, strict=True)))
    if not math.isfinite(value):
        return absent(gate.unit, f"{gate.metric} of these outputs is not a number", len(outputs[0]))
    return Estimate(value=float(value), unit=gate.unit, n=len(outputs[0]))


def passes(gate: Gate, accuracy: Estimate) -> bool:
    """Return whether an accuracy meets the gate; an absent one does not."""
    if accuracy.value is None:
        return False
    return accuracy.value >= gate.required if gate.higher_is_better else accuracy.value <= gate.required


def compare_checked(sample: Array, timed: Sequence[Array], accuracy: Sequence[Array], keep: Sequence[str]) -> Canary:
    """Compare timed outputs with the accuracy phase's, sample by sample.

    Args:
        sample: ``int64[checked]``, each timed output's sample.
        timed: One array an output, ``[checked, …]``.
        accuracy: One array an output, ``[samples, …]``.
        keep: One word an output, ``"all"`` or ``"argmax"``.
    """
    if not len(sample):
        # A window that ended early may have reached none of the chosen rows.
        return Canary(0, 0.0, TOLERANCE)
    worst, tolerance = 0.0, TOLERANCE
    for seen, known, kept in zip(timed, accuracy, keep, strict=True):
        expected = known[sample]
        if seen.shape != expected.shape:
            return Canary(len(sample), math.inf, TOLERANCE)
        if kept == "argmax":
            share = float((seen != expected).mean()) if seen.size else 0.0
            worst = max(worst, share / TOLERANCE_ARGMAX * TOLERANCE)
            continue
        flat = seen.reshape(len(seen), -1).astype(np.float64)
        wanted = expected.reshape(len(seen), -1).astype(np.float64)
        norm = np.maximum(np.linalg.norm(wanted, axis=1), 1e-12 + np.abs(wanted).max(axis=1, initial=0.0))
        distance = np.linalg.norm(flat - wanted, axis=1) / np.where(norm > 1e-9, norm, 1.0)
        if distance.size:
            top = float(distance.max())
            worst = max(worst, top if math.isfinite(top) else math.inf)
    return Canary(len(sample), worst, tolerance)
