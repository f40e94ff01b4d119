"""Cut natural photographs into image samples: what the image workloads share. Knows no model.

The photographs come with scikit-image and scikit-learn; their authors gave them away (CC0, public domain, no known
restriction) or ask for attribution (the two of scikit-learn, CC-BY 2.0). Photographs whose licence the packages do not
state are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from npubench.plan.workload import Sources

Array = np.ndarray[Any, Any]

#: Source ids of the photographs that samples are cut from: people, animals, things and places.
SAMPLED = ("astronaut", "camera", "chelsea", "coffee", "rocket", "coins", "china", "flower")

#: Source ids of those that calibration samples are cut from: other photographs, so that no device has seen a sample before.
CALIBRATING = ("brick", "grass", "gravel", "retina", "hubble", "clock")


@dataclass(frozen=True, slots=True)
class View:
    """A square cut out of a photograph.

    Args:
        side: Its side as a share of the photograph's shorter side.
        x, y: Where it lies: 0 = left or top, 0.5 = centre, 1 = right or bottom.
        mirrored: Left and right change places.
    """

    side: float
    x: float
    y: float
    mirrored: bool


#: What samples are cut as; the first is the whole photograph, the others are nearer, off centre, or mirrored.
SAMPLE_VIEWS = (
    View(1.0, 0.5, 0.5, False),
    View(0.875, 0.5, 0.5, True),
    View(0.875, 0.1, 0.3, False),
    View(0.875, 0.9, 0.7, True),
    View(0.75, 0.5, 0.5, False),
    View(0.75, 0.25, 0.6, True),
    View(0.75, 0.75, 0.4, False),
    View(0.625, 0.5, 0.5, True),
)
CALIBRATION_VIEWS = (
    View(0.95, 0.4, 0.5, True),
    View(0.8, 0.6, 0.45, False),
    View(0.7, 0.4, 0.55, True),
    View(0.6, 0.55, 0.5, False),
)


def cut(sources: Sources, photographs: Sequence[str], views: Sequence[View], size: int) -> Array:
    """Return every view of every photograph, photograph by photograph.

    Args:
        sources: With the photographs' files.
        photographs: Source ids.
        views: What is cut out of each.
        size: Pixels a side of what is returned; resampled by Pillow's bicubic filter.

    Returns:
        RGB, ``uint8[photographs · views, size, size, 3]``; grey photographs have three equal channels.
    """
    samples = []
    for photograph in photographs:
        with Image.open(sources.path(photograph)) as stored:
            image = stored.convert("RGB")
        samples += [_cut(image, view, size) for view in views]
    return np.stack(samples)


def _cut(image: Image.Image, view: View, size: int) -> Array:
    side = view.side * min(image.size)
    left, top = view.x * (image.width - side), view.y * (image.height - side)
    square = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    pixels = np.asarray(square)
    return pixels[:, ::-1] if view.mirrored else pixels
