"""Bind a workload's tensors to an executor's: by name or by position, with layout and quantisation.

All of it happens before or after the window; the timed path sees arrays that are ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npubench.contract.tensors import Quantisation, TensorSpec

Array = np.ndarray[Any, Any]


class BindingError(ValueError):
    """An executor's tensors cannot be those of the workload; the text names both sides."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One workload tensor and the executor's tensor that carries it.

    ``exclusions`` are ids of what the harness does outside the window for it.
    """

    workload: TensorSpec
    executor: TensorSpec
    key: str
    exclusions: tuple[str, ...] = ()


def bind(workload: Sequence[TensorSpec], executor: Sequence[TensorSpec], what: str) -> tuple[Binding, ...]:
    """Pair tensors by name where all names match, else by position.

    Args:
        workload: The bundle's tensors.
        executor: The executor's tensors.
        what: ``"input"`` or ``"output"``, for messages.

    Raises:
        BindingError: Another number of tensors, or shapes that no layout explains.
    """
    if len(workload) != len(executor):
        raise BindingError(
            f"the executor has {len(executor)} {what}s {_names(executor)}, the workload {len(workload)} {_names(workload)}"
        )
    by_name = {spec.name: spec for spec in executor}
    named = set(by_name) == {spec.name for spec in workload}
    pairs = [(w, by_name[w.name]) for w in workload] if named else list(zip(workload, executor, strict=True))
    found = tuple(Binding(w, e, e.name or f"{what}{n}", _exclusions(w, e, what)) for n, (w, e) in enumerate(pairs))
    if len({binding.key for binding in found}) < len(found):
        raise BindingError(
            f"two of the executor's {what}s {_names(executor)} have one name; the workload's are {_names(workload)}"
        )
    return found


def to_executor(values: Array, binding: Binding) -> Array:
    """Turn samples ``[n, *workload shape]`` into what the executor takes; contiguous, read-only."""
    source, target = binding.workload, binding.executor
    if _transposed(source, target):
        values = np.moveaxis(values, *((1, -1) if target.layout == "NHWC" else (-1, 1)))
    values = _reshaped(values, target.shape)
    # The axis of a quantisation counts the executor's own axes.
    if target.quantisation is not None and target.dtype != source.dtype:
        values = _quantise(values, target.quantisation, np.dtype(target.dtype))
    values = np.ascontiguousarray(values, dtype=np.dtype(target.dtype))
    values.setflags(write=False)
    return values


def from_executor(values: Array, binding: Binding) -> Array:
    """Turn an executor's output ``[n, …]`` into the workload's dtype, layout and shape."""
    source, target = binding.executor, binding.workload
    if source.quantisation is not None and source.dtype != target.dtype:
        values = _dequantise(values, source.quantisation)
    if _transposed(source, target):
        values = np.moveaxis(values, *((1, -1) if target.layout == "NHWC" else (-1, 1)))
    return _reshaped(values, target.shape).astype(np.dtype(target.dtype), copy=False)


def _exclusions(workload: TensorSpec, executor: TensorSpec, what: str) -> tuple[str, ...]:
    """Check the shapes and name what the harness does to carry one to the other."""
    found = []
    source = list(workload.shape[1:])
    target = list(executor.shape[1:])
    if _transposed(workload, executor):
        source = source[1:] + source[:1] if executor.layout == "NHWC" else source[-1:] + source[:-1]
        found.append("host-transpose")
    # Runtimes add or drop axes of length one; anything else is another tensor.
    squeezed = [[n for n in shape if n != 1] for shape in (source, target)]
    if len(squeezed[0]) != len(squeezed[1]) or any(
        a is not None and b is not None and a != b for a, b in zip(*squeezed, strict=True)
    ):
        raise BindingError(
            f"{what} '{workload.name}': the workload has shape {list(workload.shape)} ({workload.layout or 'no layout'}), "
            f"the executor {list(executor.shape)} ({executor.layout or 'no layout'})"
        )
    if executor.dtype != workload.dtype:
        found.append("host-quantise" if executor.quantisation is not None else "host-cast")
    return tuple(found)


def _transposed(a: TensorSpec, b: TensorSpec) -> bool:
    return {a.layout, b.layout} == {"NCHW", "NHWC"}


def _reshaped(values: Array, shape: Sequence[int | None]) -> Array:
    """Add or drop axes of length one, where the lengths are fixed."""
    fixed = tuple(n for n in shape[1:] if n is not None)
    return values if len(fixed) < len(shape) - 1 or values.shape[1:] == fixed else values.reshape(len(values), *fixed)


def _quantise(values: Array, quantisation: Quantisation, dtype: np.dtype[Any]) -> Array:
    scale, zero = _per_axis(values, quantisation)
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(dtype))


def _dequantise(values: Array, quantisation: Quantisation) -> Array:
    scale, zero = _per_axis(values, quantisation)
    return np.asarray((values.astype(np.float32) - zero) * scale)


def _per_axis(values: Array, quantisation: Quantisation) -> tuple[Array, Array]:
    scale = np.asarray(quantisation.scale, np.float32)
    zero = np.asarray(quantisation.zero_point, np.float32)
    if quantisation.axis is None:
        return scale.reshape(-1)[:1], zero.reshape(-1)[:1]
    shape = [1] * values.ndim
    shape[quantisation.axis] = -1
    return scale.reshape(shape), zero.reshape(shape)


def _names(specs: Sequence[TensorSpec]) -> str:
    return "(" + ", ".join(spec.name or "unnamed" for spec in specs) + ")"
