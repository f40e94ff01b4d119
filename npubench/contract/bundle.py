"""Read a bundle: a workload made ready on disk. Needs numpy alone; writing one is in ``plan``.

A bundle is a folder::

    bundle.json                  manifest (this module's dataclasses), with a digest of every file
    inputs/<n>.npy               one file an input, [samples, *sample shape], in the order of ``inputs``
    labels.npz                   what ``score`` compares with (absent where nothing is scored)
    calibration/<n>.npy          calibration samples, like inputs
    <precision>/model.onnx       one folder a variant
    <precision>/reference.npz    that variant's outputs by the CPU reference, after ``keep``
    licences/                    the licence texts that came with the sources
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.artefact import Model
from npubench.contract.tensors import TensorSpec, tensor_spec

#: The version of ``bundle.json`` this code reads and writes.
BUNDLE_VERSION = 1


class BundleError(ValueError):
    """A bundle is missing, damaged, or of another version. The text names file and key."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a device must reach.

    Args:
        metric: The name ``score`` gives it, such as ``"top1"`` or ``"agreement"``.
        unit: ``"ratio"`` or a physical unit such as ``"K"``.
        higher_is_better: The direction.
        reference: What the FP32 model reaches on the CPU reference with these samples.
        required: The bound a run must meet, in the same unit.
        rule: How ``required`` follows from ``reference``, as a sentence.
        claim: ``"accuracy"`` against labels, or ``"fidelity"`` to the FP32 reference.
    """

    metric: str
    unit: str
    higher_is_better: bool
    reference: float
    required: float
    rule: str
    claim: str


@dataclass(frozen=True, slots=True)
class Variant:
    """The model in one precision: file, digest, and what the CPU reference reaches with it."""

    precision: str
    model: str
    digest: str
    reference_score: float | None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A manifest together with the folder it describes.

    ``keep`` says, an output, what the accuracy phase keeps: ``"all"`` values, or ``"argmax"``: the
    index of the largest along the last axis (int32), where whole outputs would fill the disk.
    """

    root: Path
    workload: str
    version: str
    digest: str
    title: Mapping[str, str]
    task: Mapping[str, str]
    licence: str
    sources: tuple[Mapping[str, str], ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    keep: tuple[str, ...]
    samples: int
    gate: Gate
    latency_bound_ns: int | None
    operations: int
    variants: Mapping[str, Variant]
    calibration_digest: str
    files: Mapping[str, str] = field(repr=False)

    @property
    def work_digest(self) -> str:
        """The digest of the work itself: FP32 model, samples and labels.

        Reference outputs and quantised variants are derived from these, and their last bits depend on the CPU that
        derived them; the work is the same on every machine.
        """
        work = {
            name: d for name, d in self.files.items() if name.startswith("inputs/") or name in ("labels.npz", "fp32/model.onnx")
        }
        return content_digest({"workload": self.workload, "version": self.version, "files": work})

    def model(self, precision: str) -> Model:
        """Return the variant ``precision`` as a backend takes it; ``vendor`` is the FP32 file."""
        variant = self.variants["fp32" if precision == "vendor" else precision]
        folder = self.root / "calibration"
        return Model(
            path=self.root / variant.model,
            digest=variant.digest,
            workload=self.workload,
            precision=precision,
            inputs=self.inputs,
            outputs=self.outputs,
            calibration={spec.name: folder / f"{n}.npy" for n, spec in enumerate(self.inputs)} if self.calibration_digest else {},
            calibration_digest=self.calibration_digest,
        )

    def load_inputs(self) -> list[np.ndarray[Any, Any]]:
        """Return all samples, one array an input, memory-mapped: ``[samples, *sample shape]``."""
        return [np.load(self.root / "inputs" / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in range(len(self.inputs))]

    def load_labels(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return the labels by name; empty where nothing is scored against labels."""
        return _load_npz(self.root / "labels.npz")

    def load_reference(self, precision: str = "fp32") -> list[np.ndarray[Any, Any]]:
        """Return the CPU reference's kept outputs in the order of ``outputs``: ``[samples, …]``."""
        stored = _load_npz(self.root / precision / "reference.npz")
        return [stored[str(n)] for n in range(len(self.outputs))]


def keep_output(values: np.ndarray[Any, Any], keep: str) -> np.ndarray[Any, Any]:
    """Reduce one output (batch axis first) to what is kept of it: ``"all"`` or ``"argmax"``."""
    if keep == "argmax":
        return np.asarray(np.argmax(values, axis=-1), dtype=np.int32)
    return values


def file_digest(path: Path) -> str:
    """Return ``"sha256:…"`` of a file."""
    with path.open("rb") as file:
        return (
            "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else _digest_blocks(file)
        )


def path_digest(path: Path, without: str = "") -> str:
    """Return the digest of a file, or of a folder by its files' names and digests; files called ``without`` do not count."""
    if path.is_file():
        return file_digest(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p.name != without):
        digest.update(f"{file.relative_to(path).as_posix()} {file_digest(file)}\n".encode())
    return "sha256:" + digest.hexdigest()


def content_digest(data: Any) -> str:
    """Return ``"sha256:…"`` of JSON values in canonical form (sorted keys, no spaces)."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def bundle_digest(manifest: Mapping[str, Any]) -> str:
    """Return the digest of a manifest without its own ``digest`` key; covers every file by its digest."""
    return content_digest({key: value for key, value in manifest.items() if key != "digest"})


def read_bundle(root: Path, *, check_files: bool = False) -> Bundle:
    """Read ``root/bundle.json``.

    Args:
        root: The bundle's folder.
        check_files: Also digest every file and compare.

    Raises:
        BundleError: Missing, unreadable, another version, or a digest that does not match.
    """
    path = root / "bundle.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(f"{path}: no such bundle; run 'npubench workloads prepare'") from error
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {error}; run 'npubench workloads prepare'") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{path}: is not a manifest; run 'npubench workloads prepare'")
    if manifest.get("schema_version") != BUNDLE_VERSION:
        raise BundleError(f"{path}: schema_version is {manifest.get('schema_version')!r}, this npubench reads {BUNDLE_VERSION}")
    try:
        bundle = _bundle(root, manifest)
        digest = bundle_digest(manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path}: damaged at {error}; run 'npubench workloads prepare'") from error
    if digest != bundle.digest:
        raise BundleError(f"{path}: digest does not match the manifest; run 'npubench workloads prepare --force'")
    if check_files:
        for name, digest in bundle.files.items():
            file = root / name
            if not file.is_file():
                raise BundleError(f"{file}: missing; run 'npubench workloads prepare'")
            if file_digest(file) != digest:
                raise BundleError(f"{file}: wrong digest, expected {digest}; run 'npubench workloads prepare --force'")
    return bundle


def _bundle(root: Path, manifest: Mapping[str, Any]) -> Bundle:
    return Bundle(
        root=root,
        workload=manifest["workload"],
        version=manifest["version"],
        digest=manifest["digest"],
        title=manifest["title"],
        task=manifest["task"],
        licence=manifest["licence"],
        sources=tuple(manifest["sources"]),
        inputs=tuple(tensor_spec(t) for t in manifest["inputs"]),
        outputs=tuple(tensor_spec(t) for t in manifest["outputs"]),
        keep=tuple(manifest["keep"]),
        samples=int(manifest["samples"]),
        gate=Gate(**manifest["gate"]),
        latency_bound_ns=manifest["latency_bound_ns"],
        operations=int(manifest["operations"]),
        variants={name: Variant(**v) for name, v in manifest["variants"].items()},
        calibration_digest=manifest["calibration_digest"],
        files=manifest["files"],
    )


def _load_npz(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _digest_blocks(file: Any) -> str:
    """Digest block by block: Python 3.10 has no ``hashlib.file_digest``."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return "sha256:" + digest.hexdigest()
