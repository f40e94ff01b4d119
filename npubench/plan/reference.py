"""Run a model on the CPU reference (ONNX Runtime) and describe its tensors. Scores nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from npubench.contract.bundle import keep_output
from npubench.contract.tensors import TensorSpec
from npubench.errors import ModelError
from npubench.plan.operations import set_shape
from npubench.plan.workload import Array

#: Samples in a batch of the reference, where the model's batch is free: more fills memory without being faster.
BATCH = 8

_FREE = "batch"


@dataclass(frozen=True, slots=True)
class Reference:
    """What the CPU reference gave: kept outputs by name, and the shape of one sample of each output before ``keep``."""

    outputs: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]


def graph_inputs(model: onnx.ModelProto) -> tuple[onnx.ValueInfoProto, ...]:
    """Return the inputs that a caller must give: those without a stored value."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return tuple(value for value in model.graph.input if value.name not in stored)


def fixed_batch(model: onnx.ModelProto) -> int | None:
    """Return the batch that the inputs' axis 0 is fixed to, or ``None`` where it is free.

    Raises:
        ModelError: The inputs disagree, or one has no axis.
    """
    batches = set()
    for value in graph_inputs(model):
        axes = value.type.tensor_type.shape.dim
        if not axes:
            raise ModelError(f"input '{value.name}' has no batch axis: it is a single value")
        batches.add(axes[0].dim_value or None)
    if len(batches) != 1:
        raise ModelError(f"the inputs have different batches on axis 0: {', '.join(str(b or 'free') for b in batches)}")
    return batches.pop()


def with_static_shapes(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> onnx.ModelProto:
    """Return a copy whose inputs have the samples' shapes, with only the batch left free (or fixed, where it was).

    Args:
        model: Any ONNX model.
        inputs: Input name → ``[samples, *sample shape]``.

    Raises:
        ModelError: The samples do not fit the model's inputs: another name, dtype, or length of an axis.
    """
    batch = fixed_batch(model)
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    names = {value.name for value in graph_inputs(fixed)}
    if names != set(inputs):
        raise ModelError(f"the model's inputs are {', '.join(sorted(names))}; samples are given for {', '.join(sorted(inputs))}")
    for value in graph_inputs(fixed):
        samples = inputs[value.name]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if samples.dtype != dtype:
            raise ModelError(f"input '{value.name}' takes {dtype}, the samples are {samples.dtype}")
        wanted = [axis.dim_value or None for axis in value.type.tensor_type.shape.dim][1:]
        given = samples.shape[1:]
        if len(wanted) != len(given) or any(w not in (None, g) for w, g in zip(wanted, given, strict=True)):
            raise ModelError(f"input '{value.name}' takes {_text(wanted)} a sample, the samples are {_text(given)}")
        set_shape(value.type, (batch or _FREE, *given))
    # What was inferred for other lengths no longer holds; it can be inferred again.
    del fixed.graph.value_info[:]
    return fixed


def run_reference(model: onnx.ModelProto, inputs: Mapping[str, Array], keep: Mapping[str, str]) -> Reference:
    """Run all samples on the CPU and return what ``keep`` keeps of each output.

    Args:
        model: With a batch on axis 0 of every input.
        inputs: Input name → ``[samples, *sample shape]``.
        keep: Output name → ``"all"`` or ``"argmax"``; ``"all"`` where not named.

    Raises:
        ModelError: The model does not load or run, or an output has no sample axis.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.log_severity_level = 3
    batch = fixed_batch(model) or BATCH
    samples = len(next(iter(inputs.values())))
    kept: dict[str, list[Array]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        for first in range(0, samples, batch):
            chunk = {name: values[first : first + batch] for name, values in inputs.items()}
            count = len(next(iter(chunk.values())))
            if fixed_batch(model) and count < batch:
                # A fixed batch cannot be shorter; the last sample fills it and its outputs are cut off.
                chunk = {name: np.concatenate([v, np.repeat(v[-1:], batch - count, axis=0)]) for name, v in chunk.items()}
            length = len(next(iter(chunk.values())))
            for name, values in zip(names, session.run(names, chunk), strict=True):
                if not isinstance(values, np.ndarray):
                    raise ModelError(f"output '{name}' is no tensor")
                if values.ndim == 0 or len(values) != length:
                    seen = _text(values.shape)
                    raise ModelError(f"output '{name}' has shape {seen} for a batch of {length}: axis 0 is no batch")
                if shapes.setdefault(name, values.shape[1:]) != values.shape[1:]:
                    raise ModelError(f"output '{name}' changes its shape with the samples: {shapes[name]}, {values.shape[1:]}")
                kept.setdefault(name, []).append(keep_output(values[:count], keep.get(name, "all")))
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime's own errors have no common type
        raise ModelError(f"the CPU reference cannot run the model: {str(error).strip().splitlines()[0]}") from error
    return Reference({name: np.concatenate(parts) for name, parts in kept.items()}, shapes)


def input_specs(model: onnx.ModelProto, layout: Mapping[str, str]) -> tuple[TensorSpec, ...]:
    """Describe the inputs of a model with static shapes, in the graph's order."""
    batch = fixed_batch(model)
    return tuple(
        TensorSpec(
            name=value.name,
            dtype=_dtype(value),
            shape=(batch, *(axis.dim_value for axis in value.type.tensor_type.shape.dim[1:])),
            layout=layout.get(value.name, ""),
        )
        for value in graph_inputs(model)
    )


def output_specs(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], layout: Mapping[str, str]
) -> tuple[TensorSpec, ...]:
    """Describe the outputs in the graph's order, with the sample ``shapes`` that the reference gave."""
    batch = fixed_batch(model)
    return tuple(
        TensorSpec(name=v.name, dtype=_dtype(v), shape=(batch, *shapes[v.name]), layout=layout.get(v.name, ""))
        for v in model.graph.output
    )


def _dtype(value: onnx.ValueInfoProto) -> str:
    return str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def _text(shape: object) -> str:
    return "×".join(str(n or "?") for n in shape) if isinstance(shape, list | tuple) and shape else "1"
