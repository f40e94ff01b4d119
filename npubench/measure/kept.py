"""Write down outputs that were kept: all of the accuracy phase, and the checked subset of the measured window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.backend import Tensors
from npubench.contract.bundle import Bundle, keep_output
from npubench.measure.binding import Array, Binding, from_executor
from npubench.measure.dispatch import Sink
from npubench.measure.loadgen import Window


def write_accuracy(sink: Sink, outputs: Sequence[Binding], bundle: Bundle, path: Path) -> None:
    """Write every sample's outputs: ``<n>`` an output, ``[samples, …]``, in the workload's order and form."""
    whole: list[Array] = []
    for rows, tensors in sink.kept:
        indices = [sink.columns.sample[row] for row in rows]
        for n, values in enumerate(_in_workload_form(tensors, outputs, bundle)):
            if n == len(whole):
                whole.append(np.zeros((bundle.samples, *values.shape[1:]), values.dtype))
            whole[n][indices] = values
    _savez(path, {str(n): values for n, values in enumerate(whole)})


def write_checked(window: Window, outputs: Sequence[Binding], bundle: Bundle, path: Path) -> None:
    """Write the outputs of the seeded subset of timed queries, with ``rows`` and ``sample``, ``int64[checked]``.

    ``unsettled``, ``int64[1]``, is how many of the requests changed after they had been handed over.
    """
    rows: list[int] = []
    columns: list[list[Array]] = [[] for _ in outputs]
    for request, tensors in window.kept:
        rows.extend(request)
        for n, values in enumerate(_in_workload_form(tensors, outputs, bundle)):
            columns[n].append(values)
    stored = {str(n): np.concatenate(parts) for n, parts in enumerate(columns) if parts}
    samples = window.trace.sample[rows] if rows else np.zeros(0, np.int64)
    unsettled = np.asarray([window.unsettled], np.int64)
    _savez(path, {"rows": np.asarray(rows, np.int64), "sample": samples, "unsettled": unsettled, **stored})


def _in_workload_form(tensors: Tensors, outputs: Sequence[Binding], bundle: Bundle) -> list[Array]:
    """Return the outputs of one request in the workload's dtype, layout and order, reduced to what is kept."""
    return [keep_output(values, keep) for values, keep in zip(whole_outputs(tensors, outputs), bundle.keep, strict=True)]


def whole_outputs(tensors: Tensors, outputs: Sequence[Binding]) -> list[Array]:
    """Return the outputs of one request in the workload's dtype, layout and order: ``[samples, …]`` each."""
    return [from_executor(np.asarray(tensors[binding.key]), binding) for binding in outputs]


def _savez(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    np.savez(path, **dict(arrays))  # type: ignore[arg-type]  # allow_pickle is not among them
