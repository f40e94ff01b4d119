"""Make bundles: build a workload, run its reference, and put all of it on disk. Reading one is in ``contract.bundle``.

A bundle lies at ``<cache>/bundles/<workload>-<version>-<key>/``. The key covers the manifest and the code that the
workload is built by, so that an edited workload gets another folder and an untouched one is found again in milliseconds.
"""

from __future__ import annotations

import ast
import fcntl
import importlib.util
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx

from npubench.contract.bundle import (
    BUNDLE_VERSION,
    Bundle,
    BundleError,
    bundle_digest,
    content_digest,
    file_digest,
    read_bundle,
)
from npubench.contract.runspec import to_plain
from npubench.errors import InputError, ModelError, WorkloadError
from npubench.plan.operations import count_operations
from npubench.plan.quantise import quantise
from npubench.plan.reference import input_specs, output_specs, run_reference, with_static_shapes
from npubench.plan.wheels import Progress, resolve
from npubench.plan.workload import Array, Draft, Manifest, Workload, find_workload, module_file

#: The version of what this module and its helpers make of a draft; a change in any of them that moves a byte raises it.
BUILDER_VERSION = 1


class Score(Protocol):
    """A workload's ``score``."""

    def __call__(self, outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
        """Return the gate's metric."""
        ...


def prepare(name: str, cache: Path, *, force: bool = False, progress: Progress | None = None) -> Bundle:
    """Return the bundle of a workload, making it if it is not there, is damaged, or ``force`` is set.

    Args:
        name: The workload's name.
        cache: The cache folder, as :func:`npubench.plan.wheels.npubench_cache` gives it.
        force: Make it again even if a valid one is there.
        progress: Called with one sentence when a step begins.

    Raises:
        WorkloadError: No such workload, a source that cannot be had, or a draft that is no valid workload.
    """
    tell = progress or (lambda text: None)
    workload = find_workload(name)
    manifest = workload.manifest
    root = cache / "bundles" / f"{name}-{manifest.version}-{_key(workload)}"

    def make(folder: Path) -> None:
        resolved = resolve(manifest.source, cache, tell)
        module = workload.load()
        tell(f"building {name}")
        try:
            write_bundle(folder, manifest, module.build(resolved.sources), module.score, resolved.licences, tell)
        except ModelError as error:
            raise WorkloadError(f"workload '{name}': {error}") from error

    return find_or_make(root, make, force=force, progress=tell)


def find_or_make(root: Path, make: Callable[[Path], None], *, force: bool = False, progress: Progress) -> Bundle:
    """Return the bundle at ``root``; if there is no valid one, let ``make`` fill a folder and put that in its place.

    Two processes that want the same bundle wait for one another, and no one ever sees half of one.

    Raises:
        InputError: From ``make``, or the cache cannot be written.
    """
    if not force and (found := _usable(root, progress)):
        return found
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with _locked(root.parent / f".{root.name}.lock"):
            if not force and (found := _usable(root, lambda text: None)):
                return found
            for leftover in root.parent.glob(f".{root.name}.*.tmp"):
                shutil.rmtree(leftover, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}.", suffix=".tmp"))
            try:
                made = folder / "new"
                made.mkdir()
                make(made)
                if root.exists():
                    root.rename(folder / "old")
                made.rename(root)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise WorkloadError(f"{root}: cannot be written: {error.strerror or error}; choose another folder by NPUBENCH_CACHE") from error
    return read_bundle(root, check_files=True)


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
        np.savez(folder / "labels.npz", allow_pickle=False, **{name: np.ascontiguousarray(v) for name, v in draft.labels.items()})
    for name, text in licences.items():
        (folder / "licences").mkdir(exist_ok=True)
        (folder / "licences" / name).write_bytes(text)

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
        np.savez(path.with_name("reference.npz"), allow_pickle=False, **{str(n): ran.outputs[name] for n, name in enumerate(names)})
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
            f"workload '{manifest.name}': the FP32 reference reaches {gate.metric} {reference:.6g} and misses its own gate, {required:.6g}"
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


def _columns(arrays: Mapping[str, Array]) -> dict[str, Array]:
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


def _usable(root: Path, progress: Progress) -> Bundle | None:
    """Return the bundle at ``root`` if it is whole as far as can be told in milliseconds: manifest, names, model files."""
    if not root.exists():
        return None
    try:
        bundle = read_bundle(root)
        for name in bundle.files:
            if not (root / name).is_file():
                raise BundleError(f"{root / name}: missing")
        for variant in bundle.variants.values():
            if file_digest(root / variant.model) != variant.digest:
                raise BundleError(f"{root / variant.model}: wrong digest")
    except (BundleError, OSError) as error:
        progress(f"making the bundle again, because it is damaged: {error}")
        return None
    return bundle


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the kernel drops it however the process ends."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _key(workload: Workload) -> str:
    """Return 12 hex digits over all that decides a bundle's content: manifest, the workload's own code, the builder."""
    try:
        code = _own_code(workload.module, workload.name)
        content = {"builder": BUILDER_VERSION, "manifest": workload.path.read_text(encoding="utf-8"), "code": code}
    except (OSError, SyntaxError) as error:
        raise InputError(f"workload '{workload.name}': its code cannot be read: {error}") from error
    return content_digest(content).removeprefix("sha256:")[:12]


def _own_code(module: str, name: str) -> dict[str, str]:
    """Return module → source, for a module and what it imports out of its own top-level package; executes none of it."""
    package = module.partition(".")[0]
    sources: dict[str, str] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current in sources:
            continue
        sources[current] = module_file(current, name).read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(sources[current])):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            waiting += [other for other in found if other.partition(".")[0] == package and _is_module(other)]
    return sources


def _is_module(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the parent is a module, so this is one of its names
        return False
    return spec is not None and spec.origin is not None
