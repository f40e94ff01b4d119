"""file-type: which of 214 types a file has, from its bytes. The files are the members of published wheels.

A file's name ending is its label, for endings that stand for one type only; the model never sees the name. Three labels
it does not agree with are arguable: an XML and a CSS file that are half template or script, and a manifest.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from npubench.plan.workload import Array, Draft, Sources

#: Ending → Magika's name of the type. Endings that many types share (.txt, .html of templates, .dat) are left out.
_SAME_NAME = ("css", "docx", "emf", "jpeg", "json", "po", "png", "pptx", "svg", "toml", "ttf", "woff", "woff2", "xml")
_TYPES = {ending: ending for ending in _SAME_NAME} | {
    "dcm": "dicom",
    "exe": "pebin",
    "gz": "gzip",
    "js": "javascript",
    "py": "python",
    "whl": "zip",
}

_PACKAGES = ("sphinx", "sphinx-rtd-theme", "pydicom", "python-docx", "python-pptx", "setuptools", "nibabel")

#: Of each type at most this many are scored and calibrate, drawn evenly from the sorted names.
_SCORED, _CALIBRATION = 12, 3

#: Smaller files hold too little to have a type.
_LEAST_BYTES = 64


@dataclass(frozen=True, slots=True)
class _Window:
    """How the model wants a file's bytes, from the configuration that ships with it."""

    block: int
    beginning: int
    end: int
    padding: int


def build(sources: Sources) -> Draft:
    """Return the model as published, up to 12 files of each type, and up to 3 others of each to calibrate with."""
    config = json.loads(sources.path("config").read_text(encoding="utf-8"))
    window = _Window(config["block_size"], config["beg_size"], config["end_size"], config["padding_token"])
    files = _files([sources.path(f"files-{package}") for package in _PACKAGES])
    scored: list[tuple[str, bytes]] = []
    spare: list[bytes] = []
    for ending, contents in files.items():
        drawn = _evenly(len(contents), _SCORED)
        scored += [(ending, contents[n]) for n in drawn]
        rest = [content for n, content in enumerate(contents) if n not in drawn]
        spare += [rest[n] for n in _evenly(len(rest), _CALIBRATION)]
    names = config["target_labels_space"]
    return Draft(
        model=onnx.load_model(sources.path("model")),
        inputs={"bytes": np.stack([_features(content, window) for _, content in scored])},
        labels={"type": np.array([names.index(_TYPES[ending]) for ending, _ in scored], np.int64)},
        calibration={"bytes": np.stack([_features(content, window) for content in spare])},
    )


def score(outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Return the share of files whose largest of 214 outputs is their type (top-1)."""
    scores = np.nan_to_num(outputs["target_label"], nan=-np.inf)
    # A row of equal values names no type; argmax would credit it to type 0.
    decided = scores.max(axis=1) > scores.min(axis=1)
    return float(np.mean(decided & (scores.argmax(axis=1) == labels["type"])))


def _files(archives: list[Path]) -> dict[str, list[bytes]]:
    """Return ending → contents, sorted by name and without repeats; the archives themselves count as ``whl``."""
    found: dict[str, dict[str, bytes]] = {ending: {} for ending in sorted(_TYPES)}
    for archive in archives:
        found["whl"][archive.parent.parent.name] = archive.read_bytes()
        with zipfile.ZipFile(archive) as opened:
            for name in sorted(opened.namelist()):
                ending = name.rpartition(".")[2]
                if ending in found and opened.getinfo(name).file_size >= _LEAST_BYTES:
                    found[ending][name] = opened.read(name)
    return {ending: list(dict.fromkeys(files[name] for name in sorted(files))) for ending, files in found.items()}


def _evenly(available: int, wanted: int) -> list[int]:
    """Return up to ``wanted`` different indices, spread over ``available``."""
    return sorted({int(n) for n in np.linspace(0, available - 1, min(available, wanted))})


def _features(content: bytes, window: _Window) -> Array:
    """Return a file's first and last bytes as Magika counts them, ``int32[beginning + end]``.

    White space is stripped off the outer ends of the first and the last block; what is missing is padding, inside.
    """
    first, last = content[: window.block].lstrip(), content[-window.block :].rstrip()
    if len(content) <= window.block:
        first, last = first.rstrip(), last.lstrip()
    first, last = first[: window.beginning], last[-window.end :]
    features = np.full(window.beginning + window.end, window.padding, np.int32)
    features[: len(first)] = np.frombuffer(first, np.uint8)
    features[len(features) - len(last) :] = np.frombuffer(last, np.uint8)
    return features
