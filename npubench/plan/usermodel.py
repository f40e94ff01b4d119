"""Make a bundle of a user's own ONNX file, with generated inputs and a fidelity gate. Claims no accuracy: there are no labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from npubench.contract.bundle import Bundle, content_digest, file_digest
from npubench.contract.options import nearest
from npubench.errors import ModelError
from npubench.plan.bundles import BUILDER_VERSION, find_or_make
from npubench.plan.drafts import write_bundle
from npubench.plan.reference import fixed_batch, graph_inputs, run_reference, with_static_shapes
from npubench.plan.wheels import Progress
from npubench.plan.workload import Array, Bilingual, Draft, GateRule, Manifest

#: Generated integers lie in 0…9: token ids and indices that are in range for nearly every table.
_INTEGERS = 10

#: Calibration samples for int8; ONNX Runtime's examples use some tens.
_CALIBRATION = 16

#: A fidelity below this is another answer and no rounding; int8 of published classifiers reaches 0.99 of their accuracy.
_REQUIRED = 0.99


def bundle_for_model(
    path: Path,
    cache: Path,
    *,
    samples: int = 32,
    seed: int = 0,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    precisions: Iterable[str] = ("fp32",),
    progress: Progress | None = None,
) -> Bundle:
    """Return a bundle of the ONNX file at ``path``, with inputs drawn from ``seed``.

    Args:
        path: The model; its batch is axis 0 of every input, free or fixed.
        cache: The cache folder.
        samples: How many samples to generate.
        seed: Of the generated inputs.
        shapes: Input name → shape with the batch in front, for inputs with free axes other than the batch.
        precisions: ``fp32``, and ``int8`` where that variant is wanted too.
        progress: Called with one sentence when a step begins.

    Raises:
        ModelError: The file is missing or no usable model, or a free axis has no shape; names file and input.
    """
    wanted = tuple(dict.fromkeys(("fp32", *precisions)))
    for precision in wanted:
        if precision not in ("fp32", "int8"):
            raise ModelError(f"{path}: a model of one's own has no variant '{precision}'{nearest(precision, ('fp32', 'int8'))}")
    if samples < 1:
        raise ModelError(f"{path}: samples is {samples}, at least 1 is needed")
    model = _read(path)
    digest = file_digest(path)
    given = dict(shapes or {})
    identity = {
        "builder": BUILDER_VERSION,
        "model": digest,
        "samples": samples,
        "seed": seed,
        "shapes": {name: list(shape) for name, shape in given.items()},
        "precisions": sorted(wanted),
    }
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "model"
    name = f"my-{stem}" if not stem.startswith("my-") else stem
    key = content_digest(identity).removeprefix("sha256:")[:12]

    def make(folder: Path) -> None:
        try:
            sample_shapes = {value.name: _sample_shape(value, given) for value in graph_inputs(model)}
            if unknown := set(given) - set(sample_shapes):
                raise ModelError(f"it has no input '{(first := min(unknown))}'{nearest(first, sample_shapes)}")
            random = np.random.default_rng(seed)
            inputs = _generated(model, sample_shapes, samples, random)
            calibration = _generated(model, sample_shapes, _CALIBRATION, random) if "int8" in wanted else {}
            draft = Draft(_with_true_batch(model, inputs), inputs, {}, calibration)
            write_bundle(folder, _manifest(name, key, path, wanted), draft, fidelity, {}, tell)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error

    tell = progress or (lambda text: None)
    return find_or_make(cache / "bundles" / f"{name}-{key}", make, progress=tell)


def fidelity(outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Return the least fidelity over samples and outputs: 1 - relative L2 error to the FP32 reference, not below 0.

    A relative error sees a wrong scale, which a cosine similarity forgives. A sample whose reference is all zero has
    fidelity 1 if the output is zero too, else 0. NaN, Inf and missing or misshapen outputs count as 0.
    """
    worst = 1.0
    for name, expected in reference.items():
        seen = outputs.get(name)
        if seen is None or seen.shape != expected.shape:
            return 0.0
        wanted = expected.reshape(len(expected), -1).astype(np.float64)
        with np.errstate(all="ignore"):
            error = np.linalg.norm(seen.reshape(len(seen), -1).astype(np.float64) - wanted, axis=1)
            size = np.linalg.norm(wanted, axis=1)
            relative = np.where(size > 0, error / size, np.where(error > 0, 1.0, 0.0))
        closeness = np.where(np.isfinite(relative), 1 - relative, 0.0)
        worst = min(worst, float(closeness.min()))
    return max(0.0, worst)


def _read(path: Path) -> onnx.ModelProto:
    """Return the model, or say in one sentence why the file is none."""
    try:
        model = onnx.load_model(path, load_external_data=False)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path}: not an ONNX model, or a damaged one: {str(error).strip().splitlines()[0]}") from error
    # Most files of another kind decode as an empty model: unknown fields are no error to protobuf.
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise ModelError(f"{path}: not an ONNX model, or a damaged one: it holds no graph")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ModelError(f"{path}: its weights lie in another file; save it as one file (onnx.save_model, up to 2 GB)")
    try:
        if not all(output.type.tensor_type.HasField("shape") for output in model.graph.output):
            # Runtimes do without the shapes of outputs, which ONNX's checker requires; they can be inferred.
            model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"{path}: not a valid ONNX model: {str(error).strip().splitlines()[0]}") from error
    if not graph_inputs(model):
        raise ModelError(f"{path}: the model has no input to measure it with")
    return model


def _sample_shape(value: onnx.ValueInfoProto, given: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of one sample of an input, without the batch."""
    if not value.type.HasField("tensor_type"):
        raise ModelError(f"input '{value.name}' is no tensor; sequences and maps cannot be generated")
    known = [axis.dim_value or None for axis in value.type.tensor_type.shape.dim]
    if not known:
        raise ModelError(f"input '{value.name}' has no shape, or is a single value; axis 0 must be the batch")
    if value.name in given:
        shape = given[value.name]
        fits = len(shape) == len(known) and all(k in (None, s) for k, s in zip(known, shape, strict=True))
        if not fits or any(length < 1 for length in shape):
            raise ModelError(f"input '{value.name}' takes {_text(known)}, the shape given is {_text(list(shape))}")
        return tuple(shape[1:])
    free = [n for n, length in enumerate(known) if n and not length]
    if free:
        example = "x".join(str(length or ("1" if not n else "224")) for n, length in enumerate(known))
        raise ModelError(
            f"input '{value.name}' takes {_text(known)}, where axis {free[0]} may have any length; say which by "
            f"--shape {value.name}={example}"
        )
    return tuple(length for length in known[1:] if length is not None)


def _with_true_batch(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> onnx.ModelProto:
    """Return the model, with its batch fixed to 1 where it says free but only 1 runs, as some exporters leave it."""
    if fixed_batch(model) is not None:
        return model
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in graph_inputs(single):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    try:
        run_reference(with_static_shapes(model, inputs), {name: values[:2] for name, values in inputs.items()}, {})
    except ModelError:
        run_reference(with_static_shapes(single, inputs), {name: values[:1] for name, values in inputs.items()}, {})
        return single
    return model


def _generated(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], count: int, random: np.random.Generator
) -> dict[str, Array]:
    """Return ``count`` samples of every input: standard normal floats, integers in 0…9, and coin tosses for booleans."""
    drawn: dict[str, Array] = {}
    for value in graph_inputs(model):
        shape = (count, *shapes[value.name])
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if dtype.kind == "f":
            drawn[value.name] = random.standard_normal(shape, dtype=np.float32).astype(dtype)
        elif dtype.kind in "iu":
            drawn[value.name] = random.integers(0, _INTEGERS, shape).astype(dtype)
        elif dtype.kind == "b":
            drawn[value.name] = random.integers(0, 2, shape).astype(dtype)
        else:
            raise ModelError(f"input '{value.name}' is of type {dtype}, which cannot be generated")
    return drawn


def _manifest(name: str, key: str, path: Path, precisions: tuple[str, ...]) -> Manifest:
    return Manifest.model_validate(
        {
            "schema_version": 1,
            "name": name,
            "version": key,
            "precisions": precisions,
            "licence": "not stated",
            "title": Bilingual(
                en=f"{path.name}, a model of one's own, with generated inputs: no claim of accuracy",
                ko=f"{path.name}: 사용자 모델, 생성 입력 사용(정확도 주장 없음)",
            ),
            "task": Bilingual(en="A model of one's own", ko="사용자 모델"),
            "gate": GateRule(
                metric="fidelity",
                unit="ratio",
                claim="fidelity",
                required=_REQUIRED,
                rule_en=(
                    f"fidelity at least {_REQUIRED}: in every sample and output, 1 - relative L2 error to the FP32 model "
                    "on the CPU reference"
                ),
            ),
        }
    )


def _text(shape: list[int | None] | list[int]) -> str:
    return "×".join(str(length) if length else "?" for length in shape)
