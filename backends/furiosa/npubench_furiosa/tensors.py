"""Check what a request brings, fill it up to the compiled batch, and cut the answer down again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npubench.contract import Tensors, TensorSpec, input_check

Array = NDArray[Any]


def reader(specs: Sequence[TensorSpec], batch: int) -> Callable[[Tensors], tuple[int, list[Array]]]:
    """Return what checks a request and gives how many samples it brings, and its arrays in order with exactly ``batch`` each.

    Missing samples repeat the last one: compiled shapes are fixed, and values from the workload stay within its range.

    Args:
        specs: What the compiled model takes; a request brings a leading axis of 1…``batch``.
        batch: Its leading axis.

    Returns:
        A function of a request; it raises what :func:`npubench.contract.input_check` says.
    """
    check = input_check([replace(spec, shape=(None, *spec.shape[1:])) for spec in specs], batch)
    names = [spec.name for spec in specs]

    def read(inputs: Tensors) -> tuple[int, list[Array]]:
        count = check(inputs)
        arrays = [inputs[name] for name in names]
        if count < batch:
            arrays = [np.concatenate([values, np.repeat(values[-1:], batch - count, axis=0)]) for values in arrays]
        return count, [np.ascontiguousarray(values) for values in arrays]

    return read


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
