"""Turn a draft into the files of a bundle: check it, derive its variants, run its reference. Where they lie is in ``bundles``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx

from npubench.contract.bundle import BUNDLE_VERSION, bundle_digest, content_digest, file_digest
from npubench.contract.runspec import to_plain
from npubench.errors import ModelError, WorkloadError
from npubench.plan.operations import count_operations
from npubench.plan.quantise import quantise
from npubench.plan.reference import input_specs, output_specs, run_reference, with_static_shapes
from npubench.plan.wheels import Progress
from npubench.plan.workload import Array, Draft, Manifest


class Score(Protocol):
    """A workload's ``score``."""

    def __call__(self, outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
        """Return the gate's metric."""
        ...


def write_bundle(
    folder: Path, manifest: Manifest, draft: Draft, score: Score, licences: Mapping[str, bytes], progress: Progress
) -> None:
    """Check a draft, derive from it what a bundle holds, and write all of it into an empty folder.

    Raises:
        ModelError: The model is not valid, does not run, cannot be counted or quantised.
        WorkloadError: Samples, labels or the manifest do not fit the model, or the reference misses its own gate.
    """
    where = f"workload '{manifest.name}'"
    inputs, calibration = _columns(draft.inputs), _columns(draft.calibration)
    samples = _length(where, "samples", inputs)
    if _length(where, "labels", draft.labels) not in (0, samples):
        raise WorkloadError(f"{where}: there are {samples} samples and another number of labels")
    models = {"fp32": _checked(with_static_shapes(draft.model, inputs))}
    names = [output.name for output in models["fp32"].graph.output]
    if unknown := set(manifest.keep) - set(names):
        raise WorkloadError(f"{where}: keep names {', '.join(sorted(unknown))}; the model's outputs are {', '.join(names)}")

    operations = count_operations(models["fp32"], {name: (1, *values.shape[1:]) for name, values in inputs.items()})
    if "int8" in manifest.precisions:
        progress(f"quantising {manifest.name} to int8")
        models["int8"] = _checked(quantise(models["fp32"], calibration, manifest.int8))

    specs = input_specs(models["fp32"], manifest.layout)
    for n, spec in enumerate(specs):
        _save(folder / "inputs" / f"{n}.npy", inputs[spec.name])
        if calibration:
            _save(folder / "calibration" / f"{n}.npy", calibration[spec.name])
    if draft.labels:
        np.savez(folder / "labels.npz", **_columns(draft.labels))
    for name, licence in licences.items():
        (folder / "licences").mkdir(exist_ok=True)
        (folder / "licences" / name).write_bytes(licence)

    variants: dict[str, dict[str, Any]] = {}
    reference: Mapping[str, Array] = {}
    outputs: list[dict[str, Any]] = []
    for precision, model in models.items():
        progress(f"running {samples} samples of {manifest.name} {precision} on the CPU reference")
        ran = run_reference(model, inputs, manifest.keep)
        if precision == "fp32":
            reference = ran.outputs
            outputs = [spec.to_dict() for spec in output_specs(model, ran.shapes, manifest.layout)]
        (folder / precision).mkdir()
        path = folder / precision / "model.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        np.savez(path.with_name("reference.npz"), **_columns({str(n): ran.outputs[name] for n, name in enumerate(names)}))
        reached = float(score(ran.outputs, draft.labels, reference))
        if not math.isfinite(reached):
            raise WorkloadError(f"{where}: {manifest.gate.metric} of the {precision} reference is {reached}")
        variants[precision] = {
            "precision": precision,
            "model": f"{precision}/model.onnx",
            "digest": file_digest(path),
            "reference_score": reached,
        }

    files = {str(p.relative_to(folder)): file_digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    calibration_files = {name: digest for name, digest in files.items() if name.startswith("calibration/")}
    latency = manifest.latency_bound_ms
    written: dict[str, Any] = {
        "schema_version": BUNDLE_VERSION,
        "workload": manifest.name,
        "version": manifest.version,
        "title": manifest.title.model_dump(),
        "task": manifest.task.model_dump(),
        "licence": manifest.licence,
        "sources": [source.model_dump(exclude_none=True) for source in manifest.source],
        "inputs": [spec.to_dict() for spec in specs],
        "outputs": outputs,
        "keep": [manifest.keep.get(name, "all") for name in names],
        "samples": samples,
        "gate": _gate(manifest, variants["fp32"]["reference_score"]),
        "latency_bound_ns": None if latency is None else round(latency * 1e6),
        "operations": operations,
        "variants": variants,
        "calibration_digest": content_digest(calibration_files) if calibration_files else "",
        "files": files,
    }
    written["digest"] = bundle_digest(written)
    text = json.dumps(to_plain(written), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "bundle.json").write_text(text + "\n", encoding="utf-8")


def _gate(manifest: Manifest, reference: float) -> dict[str, Any]:
    gate = manifest.gate
    required = gate.bound(reference)
    if reference < required if gate.higher_is_better else reference > required:
        raise WorkloadError(
            f"workload '{manifest.name}': the FP32 reference reaches {gate.metric} {reference:.6g}, which misses the gate "
            f"of {required:.6g} itself"
        )
    return {
        "metric": gate.metric,
        "unit": gate.unit,
        "higher_is_better": gate.higher_is_better,
        "reference": reference,
        "required": required,
        "rule": gate.sentence(),
        "claim": gate.claim,
    }


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` if ONNX's own checker takes it."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"not a valid ONNX model: {str(error).strip().splitlines()[0]}") from error
    return model


def _columns(arrays: Mapping[str, Array]) -> dict[str, Any]:
    return {name: np.ascontiguousarray(values) for name, values in arrays.items()}


def _length(where: str, what: str, arrays: Mapping[str, Array]) -> int:
    """Return the common length of axis 0."""
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise WorkloadError(f"{where}: {what} differ in number: {lengths}")
    if what == "samples" and not any(lengths.values()):
        raise WorkloadError(f"{where}: there are no samples")
    return next(iter(lengths.values()), 0)


def _save(path: Path, values: Array) -> None:
    path.parent.mkdir(exist_ok=True)
    np.save(path, values, allow_pickle=False)
