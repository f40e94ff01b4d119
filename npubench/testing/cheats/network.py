"""Cheats that run another network than the one they are handed: fewer layers, smaller, coarser, or one of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from npubench.contract import Artefact, Device, Model, Support, Tensors, Unsupported
from npubench.testing.cheats.base import Array, CheatBackend, CheatExecutor
from npubench.testing.graph import Graph


def _without_activations(graph: Graph) -> Graph:
    """Return the graph with nothing in the place of each ``Relu``."""
    nodes = tuple(replace(node, operator="Identity") if node.operator == "Relu" else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


def _with_weights(graph: Graph, change: Callable[[Array], Array]) -> Graph:
    return replace(graph, constants={name: change(values) for name, values in graph.constants.items()})


class SkipsLayers(CheatBackend):
    """Skip layers: the network without its activations.

    Meant to be caught by ``declared-precision``: no rounding explains where the outputs lie. The accuracy gate sees it too.
    """

    def changed(self, graph: Graph) -> Graph:
        """Return the graph without its activations."""
        return _without_activations(graph)


class _SkipsTimed(CheatExecutor):
    def execute(self, inputs: Tensors) -> Tensors:
        if not self.count(inputs):
            self._graph = _without_activations(self._graph)
        return super().execute(inputs)


class SkipsLayersTimed(CheatBackend):
    """Skip layers from the end of the accuracy phase on. Meant to be caught by ``same-outputs``."""

    executor: ClassVar[type[CheatExecutor]] = _SkipsTimed


class LowRank(CheatBackend):
    """Run a smaller net: every weight matrix is replaced by its best approximation of three quarters of its rank.

    Meant to be caught by ``declared-precision``. The accuracy gate sees it where it is strict.
    """

    def changed(self, graph: Graph) -> Graph:
        """Return the graph with matrices of lower rank."""
        return _with_weights(graph, _lower_rank)


def _lower_rank(values: Array) -> Array:
    if values.ndim != 2:
        return values
    left, sizes, right = np.linalg.svd(values.astype(np.float64), full_matrices=False)
    rank = max(1, len(sizes) * 3 // 4)
    return np.asarray((left[:, :rank] * sizes[:rank]) @ right[:rank], values.dtype)


def _to_float16(values: Array) -> Array:
    return values.astype(np.float16).astype(values.dtype)


def _to_bfloat16(values: Array) -> Array:
    """Round float32 to the 8 bits of bfloat16's mantissa, to nearest, ties away from zero."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return np.asarray(((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32).astype(values.dtype))


class _Coarse(CheatExecutor):
    rounded: Callable[[Array], Array]

    def execute(self, inputs: Tensors) -> Tensors:
        outputs = super().execute({name: type(self).rounded(values) for name, values in inputs.items()})
        return {name: type(self).rounded(values) for name, values in outputs.items()}


class _Float16(_Coarse):
    rounded = staticmethod(_to_float16)


class _BFloat16(_Coarse):
    rounded = staticmethod(_to_bfloat16)


class Float16(CheatBackend):
    """Lower the precision unsaid: float16 in a run of FP32. Meant to be caught by ``declared-precision``."""

    executor: ClassVar[type[CheatExecutor]] = _Float16

    def changed(self, graph: Graph) -> Graph:
        """Return the graph with weights in float16."""
        return _with_weights(graph, _to_float16)


class BFloat16(CheatBackend):
    """Lower the precision unsaid: bfloat16 in a run of FP32. Meant to be caught by ``declared-precision``."""

    executor: ClassVar[type[CheatExecutor]] = _BFloat16

    def changed(self, graph: Graph) -> Graph:
        """Return the graph with weights in bfloat16."""
        return _with_weights(graph, _to_bfloat16)


class OwnNetwork(CheatBackend):
    """Run a network of one's own: the one it was made for, whatever is handed in.

    Meant to be caught by ``perturbed-weights``: a changed weight tensor changes nothing.
    """

    _own: Graph | None = None

    def changed(self, graph: Graph) -> Graph:
        """Return the first graph that was ever loaded here."""
        self._own = self._own or graph
        return self._own


class OneModel(CheatBackend):
    """Take only the one model: everything else is refused. Meant to be caught by ``perturbed-weights``."""

    _first: str = ""

    def supports(self, model: Model, device: Device) -> Support:
        """Say yes, and remember the first model."""
        self._first = self._first or model.digest
        return Support(True)

    def compile(self, model: Model, device: Device, options: Any, work: Path) -> Artefact:
        """Refuse all but the first model."""
        if model.digest != self._first:
            raise Unsupported("SIMULATED compiler: error E017: this model is not known")
        return super().compile(model, device, options, work)
