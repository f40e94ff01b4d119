"""face-detection: is a crop a face? MTCNN's O-Net on labelled crops of Labeled Faces in the Wild, out of scikit-image.

Boxes and landmarks are computed by the model and not scored: the crops have labels for the class alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from PIL import Image

from npubench.plan.workload import Array, Draft, Sources

_SIDE = 48

#: ``lfw_subset.npy`` holds this many faces, then as many other crops (scikit-image, ``skimage.data.lfw_subset``).
_FACES = 100

#: Of each kind, this many are scored; the rest calibrates.
_SCORED = 80


def build(sources: Sources) -> Draft:
    """Return O-Net as published, 80 faces and 80 other crops, and 20 more of each to calibrate with."""
    crops = _prepared(np.load(sources.path("faces"), allow_pickle=False))
    faces, others = crops[:_FACES], crops[_FACES:]
    return Draft(
        model=onnx.load_model(sources.path("model")),
        inputs={"input_3": np.concatenate([faces[:_SCORED], others[:_SCORED]])},
        labels={"face": np.repeat(np.array([1, 0], np.int64), _SCORED)},
        calibration={"input_3": np.concatenate([faces[_SCORED:], others[_SCORED:]])},
    )


def score(outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Return the share of crops that are told right: face or not, whichever of ``softmax_2``'s two is larger (top-1)."""
    # A NaN compares as false in both directions and so is right for no crop.
    other, face = outputs["softmax_2"].T
    return float(np.mean(np.where(labels["face"] == 1, face > other, other > face)))


def _prepared(grey: Array) -> Array:
    """Return crops in [0, 1], ``float[n, 25, 25]``, as O-Net takes them: ``float32[n, 48, 48, 3]`` in [-1, 1]."""
    resized = [Image.fromarray(crop.astype(np.float32)).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR) for crop in grey]
    # MTCNN was trained with width before height.
    values = np.stack([np.asarray(image).T for image in resized]) * 255
    return np.ascontiguousarray(np.repeat(((values - 127.5) / 128).astype(np.float32)[..., None], 3, axis=3))
