"""Hold a bundle's samples in memory as the executor takes them, so that a batch is a view and not a copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from npubench.contract.backend import Tensors
from npubench.measure.binding import Array, Binding, to_executor


class SampleSet:
    """Samples in the order LoadGen loads them, which is the order it asks for them in offline and multi-stream.

    The first ``batch - 1`` samples follow once more behind the last, so that a batch over the end is a view as well.

    Args:
        arrays: One array an input, ``[samples, *sample shape]``, as stored in the bundle.
        bindings: The inputs' bindings, in the same order.
        batch: The largest batch that will be asked for.
    """

    def __init__(self, arrays: Sequence[Array], bindings: Sequence[Binding], batch: int) -> None:
        self.count = len(arrays[0])
        self._bindings = bindings
        self._batch = batch
        self._arrays = [to_executor(np.asarray(array), binding) for array, binding in zip(arrays, bindings, strict=True)]
        self.order(range(self.count))

    def order(self, indices: Sequence[int]) -> None:
        """Lay the samples out in the order of ``indices``; called before a window opens, never inside one."""
        unique = list(dict.fromkeys(indices))
        padded = [unique[n % len(unique)] for n in range(len(unique) + self._batch - 1)]
        self._laid = [np.ascontiguousarray(array[padded]) for array in self._arrays]
        for array in self._laid:
            array.setflags(write=False)
        self.position = {index: n for n, index in enumerate(unique)}
        self._keys = [binding.key for binding in self._bindings]
        #: One ready mapping a sample; what single-sample requests take. Indexed by sample index.
        self.single: dict[int, Tensors] = {index: self._view(n, 1) for index, n in self.position.items()}

    def take(self, indices: Sequence[int]) -> Tensors:
        """Return the inputs of a batch: a view where the samples lie in a row, else a copy."""
        first = self.position[indices[0]]
        size = len(indices)
        if size == 1:
            return self.single[indices[0]]
        position, count = self.position, len(self.position)
        inside = first + size <= count + self._batch - 1
        if inside and all(position[index] == (first + n) % count for n, index in enumerate(indices)):
            return self._view(first, size)
        rows = [position[index] for index in indices]
        return {key: array[rows] for key, array in zip(self._keys, self._laid, strict=True)}

    def _view(self, first: int, size: int) -> dict[str, Any]:
        return {key: array[first : first + size] for key, array in zip(self._keys, self._laid, strict=True)}
