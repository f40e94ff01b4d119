"""doc-orientation: a page, turned by 0, 90, 180 or 270 degrees; the model says by how much. Labels hold by construction.

The pages are crops of a photographed page (scikit-image's ``page.png``) and pages drawn with seeded wear.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from PIL import Image

from npubench.plan.workload import Array, Draft, Sources
from npubench_models.workloads.printed import FONTS, grey_as_rgb, page

_SIDE = 224

#: Mean and standard deviation of ImageNet's channels, which PaddleClas normalises with.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)

#: Squares of ``page.png`` (left, top, side in pixels) that hold upright text.
_CROPS = ((0, 0, 191), (60, 0, 191), (120, 0, 191), (193, 0, 191), (0, 30, 150), (200, 20, 150))

_DRAWN, _CALIBRATION = 10, 4


def build(sources: Sources) -> Draft:
    """Return the model as published, 16 pages in 4 turns, and 4 other pages in 4 turns to calibrate with."""
    with Image.open(sources.path("page")) as photographed:
        grey = photographed.convert("L")
    crops = [grey.crop((x, y, x + side, y + side)).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS) for x, y, side in _CROPS]
    paths = [sources.path(name) for name in FONTS]
    drawn = [page(paths, seed, _SIDE) for seed in range(_DRAWN)]
    spare = [page(paths, 1000 + seed, _SIDE) for seed in range(_CALIBRATION)]
    pages = crops + drawn
    model = onnx.load_model(sources.path("model"))
    return Draft(
        model=model,
        inputs={"x": _turned(pages)},
        labels={"class": np.tile(np.arange(4, dtype=np.int64), len(pages))},
        calibration={"x": _turned(spare)},
    )


def score(outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Return the share of pages whose largest of 4 outputs is the turn they were given (top-1)."""
    scores = np.nan_to_num(next(iter(outputs.values())), nan=-np.inf)
    # A row of equal values names no class; argmax would credit it to class 0.
    decided = scores.max(axis=1) > scores.min(axis=1)
    return float(np.mean(decided & (scores.argmax(axis=1) == labels["class"])))


def _turned(pages: list[Image.Image]) -> Array:
    """Return every page in its four turns, ``float32[4 · pages, 3, 224, 224]``: turn ``n`` lies n·90° clockwise."""
    turns = [np.rot90(grey_as_rgb(image), -n) for image in pages for n in range(4)]
    normal = (np.stack(turns).astype(np.float32) / 255 - _MEAN) / _DEVIATION
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))
