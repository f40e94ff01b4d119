"""image-classification: photographs through EfficientNet-Lite0, compared with the FP32 reference.

The weights are trained, but the photographs have no ImageNet labels, so that the claim is fidelity, not accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from npubench.plan.workload import Array, Draft, Sources
from npubench_models.graphs.efficientnet_lite import INPUT, OUTPUT, SIZE, efficientnet_lite0
from npubench_models.graphs.torch_pickle import read_tensors
from npubench_models.workloads.photographs import CALIBRATING, CALIBRATION_VIEWS, SAMPLE_VIEWS, SAMPLED, cut

#: How far the reference's first class must lead its second, in logits, for a sample to count: 50 % more probable.
#: Nearer ones are ties that rounding decides; counting them would measure luck.
_LEAD = math.log(1.5)


def build(sources: Sources) -> Draft:
    """Return the graph with its trained weights, 64 views of 8 photographs, and 24 views of 6 others to calibrate with."""
    return Draft(
        model=efficientnet_lite0(read_tensors(sources.path("weights"))),
        inputs={INPUT: normal(cut(sources, SAMPLED, SAMPLE_VIEWS, SIZE))},
        calibration={INPUT: normal(cut(sources, CALIBRATING, CALIBRATION_VIEWS, SIZE))},
    )


def score(outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Return top-1 agreement: the share of samples on which the largest logit is the reference's.

    Samples that the reference itself leaves open (see ``_LEAD``) do not count. A row with a value that is not finite, or
    of equal values, agrees with nothing.
    """
    given, wanted = outputs[OUTPUT], reference[OUTPUT]
    second, first = np.partition(wanted, -2, axis=1)[:, -2:].T
    counted = first - second >= _LEAD
    valid = np.isfinite(given).all(axis=1) & (given.max(axis=1) > given.min(axis=1))
    agreed = valid & (given.argmax(axis=1) == wanted.argmax(axis=1))
    return float(agreed[counted].mean())


def normal(pixels: Array) -> Array:
    """Normalise as the model was trained: RGB ``uint8[n, H, W, 3]`` → ``float32[n, 3, H, W]``, ``(pixel - 127) / 128``."""
    return np.ascontiguousarray(((pixels.astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2))
