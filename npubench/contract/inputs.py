"""Check that a request brings what an executor declares: names, dtypes, shapes and one batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np

from npubench.contract.backend import Tensors
from npubench.contract.options import nearest
from npubench.contract.tensors import TensorSpec


def input_check(specs: Sequence[TensorSpec], max_batch: int | None = None) -> Callable[[Tensors], int]:
    """Return what checks a request against ``specs``: make it once at load and call it first in ``execute`` and ``submit``.

    A tensor without a name goes by its position, as the harness hands it in: ``input0``, ``input1``, ….

    Args:
        specs: The executor's inputs. Axis 0 is the batch: a fixed length is taken as it is, a free one from 1 to
            ``max_batch``. Other free axes take any length.
        max_batch: The executor's ``max_batch``; ``None`` = any.

    Returns:
        A function that takes a request and returns its batch, the length of axis 0 of every tensor. It raises ValueError
        where a tensor is unknown, missing, no numpy array, of another dtype or shape, or of another batch than the one
        before it; the text names the tensor, what is given and what is declared. It holds no state and may be called from
        several threads.
    """
    most = sys.maxsize if max_batch is None else max_batch
    wanted = []
    for n, spec in enumerate(specs):
        fixed = spec.shape[0] if spec.shape else None
        bounds = (1, most) if fixed is None else (fixed, fixed)
        wanted.append((spec.name or f"input{n}", np.dtype(spec.dtype), len(spec.shape), *bounds, spec.shape[1:], spec.shape))
    names = [name for name, *_ in wanted]
    count = len(wanted)

    # This runs inside the measured time of every query: one pass, no call of a function for a good request of fixed shape.
    def check(inputs: Tensors) -> int:
        batch = 0
        if len(inputs) != count:
            raise ValueError(_names(inputs, names))
        for name, dtype, rank, least, most, rest, declared in wanted:
            if name not in inputs:
                raise ValueError(_names(inputs, names))
            array = inputs[name]
            if not isinstance(array, np.ndarray):
                raise ValueError(f"input '{name}' is of type {type(array).__name__}, not a numpy array")
            shape = array.shape
            if (
                array.dtype != dtype
                or len(shape) != rank
                or (rank and not least <= shape[0] <= most)
                or (shape[1:] != rest and not _fits(shape[1:], rest))
            ):
                raise ValueError(
                    f"input '{name}' is {array.dtype} of shape {list(shape)}; "
                    f"declared is {dtype} of shape {_shape(declared, max_batch)}"
                )
            if rank and shape[0] != batch:
                if batch:
                    raise ValueError(f"input '{name}' has a batch of {shape[0]}, and the input before it {batch}")
                batch = shape[0]
        return batch or 1

    return check


def _fits(given: tuple[int, ...], declared: tuple[int | None, ...]) -> bool:
    """Return whether lengths, as many as are declared, are those that are fixed."""
    return all(d is None or d == g for g, d in zip(given, declared, strict=True))


def _names(inputs: Tensors, known: Sequence[str]) -> str:
    """Say which name is unknown, or else which is missing."""
    unknown = [name for name in inputs if name not in known]
    if unknown:
        return f"unknown input '{unknown[0]}'{nearest(str(unknown[0]), known)}"
    missing = next(name for name in known if name not in inputs)
    return f"input '{missing}' is missing; given are: {', '.join(inputs) or 'none'}"


def _shape(declared: Sequence[int | None], max_batch: int | None) -> str:
    """Return a declared shape as text, ``[1…4, 3, any]``."""
    lengths = ["any" if length is None else str(length) for length in declared]
    if declared and declared[0] is None and max_batch is not None:
        lengths[0] = f"1…{max_batch}" if max_batch > 1 else "1"
    return f"[{', '.join(lengths)}]"
