"""Check what an executor returns: every output cheaply, a seeded subset fully."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from npubench.contract.backend import Tensors
from npubench.measure.binding import Binding


class OutputError(ValueError):
    """An executor returned something else than its TensorSpecs say; the text names the tensor."""


class OutputCheck:
    """The declared outputs, laid out for a check that costs well below a microsecond an output."""

    def __init__(self, bindings: Sequence[Binding]) -> None:
        self._expected: list[tuple[str, np.dtype[Any], tuple[int | None, ...]]] = [
            (b.key, np.dtype(b.executor.dtype), b.executor.shape[1:]) for b in bindings
        ]
        self._shapes: dict[int, list[tuple[str, np.dtype[Any], tuple[int, ...]]]] = {}
        self._free = any(n is None for _, _, shape in self._expected for n in shape)

    def cheap(self, outputs: Tensors, batch: int) -> None:
        """Compare names, shapes and dtypes.

        Raises:
            OutputError: Something is left out or differs.
        """
        if self._free:
            self._each(outputs, batch)
            return
        shapes = self._shapes.get(batch)
        if shapes is None:
            shapes = self._shapes[batch] = [(k, d, (batch, *(int(n) for n in s if n is not None))) for k, d, s in self._expected]
        try:
            if len(outputs) != len(shapes):
                self._each(outputs, batch)
            for key, dtype, shape in shapes:
                values = outputs[key]
                if values.shape != shape or values.dtype != dtype:
                    self._each(outputs, batch)
        except (KeyError, IndexError, TypeError, AttributeError):
            self._each(outputs, batch)

    def full(self, outputs: Tensors, batch: int) -> None:
        """Compare as :meth:`cheap` does, and refuse NaN and Inf.

        Raises:
            OutputError: Something is left out, differs, or is not finite.
        """
        self.cheap(outputs, batch)
        for key, dtype, _ in self._expected:
            if dtype.kind in "fc" or dtype.name == "bfloat16":
                values = np.asarray(outputs[key])
                finite = np.isfinite(values if dtype.kind in "fc" else values.astype(np.float32))
                if not finite.all():
                    raise OutputError(f"output '{key}' has {int(finite.size - finite.sum())} NaN or Inf of {finite.size} values")

    def _each(self, outputs: Tensors, batch: int) -> None:
        """Compare one by one, with words."""
        if not hasattr(outputs, "keys"):
            raise OutputError(f"execute returned {type(outputs).__name__}, not a mapping of tensors by name")
        known = {key for key, _, _ in self._expected}
        for key in outputs:
            if key not in known:
                raise OutputError(f"output '{key}' is returned but not declared; declared are: {', '.join(sorted(known))}")
        for key, dtype, shape in self._expected:
            if key not in outputs:
                raise OutputError(f"output '{key}' is left out; returned are: {', '.join(map(str, outputs)) or 'none'}")
            values = outputs[key]
            if not isinstance(values, np.ndarray):
                raise OutputError(f"output '{key}' is {type(values).__name__}, not a numpy array")
            if values.dtype != dtype:
                raise OutputError(f"output '{key}' has dtype {values.dtype}, declared is {dtype}")
            wanted = (batch, *shape)
            if len(values.shape) != len(wanted) or any(
                w is not None and w != s for w, s in zip(wanted, values.shape, strict=True)
            ):
                text = "[" + ", ".join("any" if n is None else str(n) for n in wanted) + "]"
                raise OutputError(f"output '{key}' has shape {list(values.shape)}, declared is {text}")
