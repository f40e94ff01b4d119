"""Check what a request brings, fill it up to the compiled batch, and cut the answer down again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npubench.contract import Tensors, TensorSpec

Array = NDArray[Any]


def request(inputs: Tensors, specs: Sequence[TensorSpec], batch: int) -> tuple[int, list[Array]]:
    """Return how many samples ``inputs`` bring, and the arrays in the order of ``specs`` with exactly ``batch`` samples.

    Missing samples repeat the last one: compiled shapes are fixed, and values from the workload stay within its range.

    Args:
        inputs: By name; a leading axis of 1…``batch`` each.
        specs: What the compiled model takes.
        batch: Its leading axis.

    Raises:
        ValueError: A tensor is missing, unknown, of another dtype or shape; the text names it.
    """
    names = [spec.name for spec in specs]
    unknown = [name for name in inputs if name not in names]
    if unknown:
        raise ValueError(f"there is no input '{unknown[0]}'; the inputs are: {', '.join(names)}")
    count = 0
    arrays = []
    for spec in specs:
        if spec.name not in inputs:
            raise ValueError(f"input '{spec.name}' is missing")
        values = inputs[spec.name]
        if not isinstance(values, np.ndarray):
            raise ValueError(f"input '{spec.name}' is a {type(values).__name__}, not a numpy array")
        if values.dtype != np.dtype(spec.dtype) or values.shape[1:] != spec.shape[1:] or values.ndim != len(spec.shape):
            raise ValueError(
                f"input '{spec.name}' is {values.dtype} {list(values.shape)}, not {spec.dtype} {list(spec.shape)} "
                f"with 1…{batch} samples"
            )
        if not 1 <= len(values) <= batch or count not in (0, len(values)):
            raise ValueError(f"input '{spec.name}' has {len(values)} samples, not {count or f'1…{batch}'}")
        count = len(values)
        if count < batch:
            values = np.concatenate([values, np.repeat(values[-1:], batch - count, axis=0)])
        arrays.append(np.ascontiguousarray(values))
    return count, arrays


def answer(outputs: Sequence[Any], specs: Sequence[TensorSpec], count: int) -> Mapping[str, Array]:
    """Return the first ``count`` samples of every output by name, copied: the runtime may use its buffers again.

    Raises:
        ValueError: The runtime gives another number of outputs than it said.
    """
    if len(outputs) != len(specs):
        raise ValueError(f"the runtime gives {len(outputs)} outputs, not {len(specs)}")
    return {spec.name: np.array(values[:count], order="C") for spec, values in zip(specs, outputs, strict=True)}


def named(specs: Sequence[TensorSpec], what: str) -> list[TensorSpec]:
    """Return ``specs`` with a name for each: a compiled model may have lost them, and the harness binds by position then."""
    return [
        spec if spec.name else TensorSpec(f"{what}{n}", spec.dtype, spec.shape, spec.layout, spec.quantisation)
        for n, spec in enumerate(specs)
    ]
