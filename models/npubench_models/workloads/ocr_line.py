"""ocr-line: read a line of printed Latin text. The lines are drawn, then turned, blurred, faded and made noisy.

The model knows no Hangul, so this says nothing about reading Korean. The wear is strong enough for the FP32 model itself
to misread some characters: a gate on lines that everything reads would catch nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from PIL import Image, ImageDraw, ImageFont

from npubench.plan.workload import Array, Draft, Sources
from npubench_models.workloads.printed import FONTS, SENTENCES, font, worn

_HEIGHT, _WIDTH = 48, 320

_SCORED, _CALIBRATION = 96, 32

#: Fills labels up to the longest; no class has it.
_NO_CHARACTER = -1

#: CTC's blank is class 0 in PaddleOCR's models, and the space is the last class.
_BLANK = 0


def build(sources: Sources) -> Draft:
    """Return the model as published, 96 lines with the classes they hold, and 32 other lines to calibrate with."""
    model = onnx.load_model(sources.path("model"))
    characters = next(entry.value for entry in model.metadata_props if entry.key == "character").split("\n")
    classes = {character: n for n, character in enumerate(characters, start=1)} | {" ": len(characters) + 1}
    faces = [font(sources.path(name), size) for name in FONTS for size in (22, 25, 28)]
    scored = [_line(faces, seed) for seed in range(_SCORED)]
    spare = [_line(faces, 1000 + seed) for seed in range(_CALIBRATION)]
    longest = max(len(text) for text, _ in scored)
    labels = np.full((_SCORED, longest), _NO_CHARACTER, np.int32)
    for row, (text, _) in zip(labels, scored, strict=True):
        row[: len(text)] = [classes[character] for character in text]
    return Draft(
        model=model,
        inputs={"x": np.stack([values for _, values in scored])},
        labels={"text": labels},
        calibration={"x": np.stack([values for _, values in spare])},
    )


def score(outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Return the character accuracy: 1 - edits ÷ characters over all lines, and not below 0.

    ``outputs`` holds the most likely class of each of 40 steps, ``int32[lines, 40]``; it is decoded greedily (CTC).
    """
    steps = next(iter(outputs.values()))
    truths = [row[row != _NO_CHARACTER] for row in labels["text"]]
    edits = sum(_edits(_decoded(row), truth) for row, truth in zip(steps, truths, strict=True))
    return max(0.0, 1 - edits / sum(len(truth) for truth in truths))


def _decoded(steps: Array) -> Array:
    """Return the classes that CTC's steps spell: repeats once, blanks not at all."""
    changed = np.concatenate([[True], steps[1:] != steps[:-1]])
    kept: Array = steps[changed & (steps != _BLANK)]
    return kept


def _edits(read: Array, truth: Array) -> int:
    """Return how many insertions, deletions and replacements turn ``read`` into ``truth`` (Levenshtein distance)."""
    row = list(range(len(truth) + 1))
    for n, seen in enumerate(read, start=1):
        above, row = row, [n]
        for m, meant in enumerate(truth, start=1):
            row.append(min(above[m] + 1, row[-1] + 1, above[m - 1] + int(seen != meant)))
    return row[-1]


def _line(faces: list[ImageFont.FreeTypeFont], seed: int) -> tuple[str, Array]:
    """Return the text and the pixels of a worn line: ``float32[3, 48, 320]`` in [-1, 1]."""
    random = np.random.default_rng(seed)
    face = faces[int(random.integers(len(faces)))]
    words = str(random.choice(SENTENCES)).split()
    text = ""
    for word in words[int(random.integers(max(1, len(words) - 3))) :]:
        if face.getlength(f"{text} {word}".strip()) > _WIDTH - 24:
            break
        text = f"{text} {word}".strip()
    paper = int(random.integers(150, 256))
    # Faint print: the ink stands out from the paper by a quarter to a half of its brightness.
    ink = int(paper * (1 - random.uniform(0.25, 0.5)))
    image = Image.new("L", (_WIDTH, _HEIGHT), paper)
    ImageDraw.Draw(image).text((8, _HEIGHT // 2), text, fill=ink, font=face, anchor="lm")
    image = image.rotate(float(random.uniform(-2.5, 2.5)), Image.Resampling.BICUBIC, fillcolor=paper)
    grey = np.asarray(worn(image, random, blur=1.7, noise=14.0), dtype=np.float32)
    return text, np.repeat(((grey / 255 - 0.5) / 0.5)[None], 3, axis=0)
