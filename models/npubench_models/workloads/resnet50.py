"""resnet50: MLPerf's image classifier with seeded weights. Says how fast and how faithful a device is, never how right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from npubench.plan.workload import Array, Draft, Sources
from npubench_models.graphs.resnet import INPUT, OUTPUT, SIZE, resnet50
from npubench_models.workloads.photographs import CALIBRATING, CALIBRATION_VIEWS, SAMPLE_VIEWS, SAMPLED, cut

_SEED = 50

#: Mean and standard deviation of ImageNet's channels, which published ResNets normalise with.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def build(sources: Sources) -> Draft:
    """Return the graph, 32 views of 8 photographs, and 12 views of 6 others to calibrate with."""
    return Draft(
        model=resnet50(_SEED),
        inputs={INPUT: _normal(cut(sources, SAMPLED, SAMPLE_VIEWS[:4], SIZE))},
        calibration={INPUT: _normal(cut(sources, CALIBRATING, CALIBRATION_VIEWS[:2], SIZE))},
    )


def score(outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Return the mean cosine between logits and the reference's, both less the reference's mean over the samples.

    Without the mean taken away, what all samples have in common would score, and a constant answer well. A row with a value
    that is not finite, or equal to that mean, scores 0.
    """
    given, wanted = (tensors[OUTPUT].astype(np.float64) for tensors in (outputs, reference))
    common = wanted.mean(axis=0)
    valid = np.isfinite(given).all(axis=1, keepdims=True)
    given = np.where(valid, given, common) - common
    wanted = wanted - common
    lengths = np.linalg.norm(given, axis=1) * np.linalg.norm(wanted, axis=1)
    cosines = (given * wanted).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    return float(cosines.mean())


def _normal(pixels: Array) -> Array:
    """Normalise: RGB ``uint8[n, H, W, 3]`` → ``float32[n, 3, H, W]``."""
    return np.ascontiguousarray(((pixels.astype(np.float32) / 255 - _MEAN) / _DEVIATION).transpose(0, 3, 1, 2))
