"""probe: a product of small integers, exact on every device; what the simulated device runs. Stands for no task."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from npubench.plan.workload import Array, Draft, Sources
from npubench_models.graphs.builder import GraphBuilder

INPUT, OUTPUT = "x", "y"

_SAMPLES, _FEATURES, _RESULTS = 64, 16, 8


def build(sources: Sources) -> Draft:
    """Return ``y = max(x @ weight + bias, 0)``, 64 samples, and the exact results as labels.

    All values are whole and all sums stay below 2²⁴, up to which float32 is exact whatever the order of additions.
    """
    x, weight, bias = samples(), matrix(), offsets()
    graph = GraphBuilder("probe", INPUT, (_FEATURES,))
    product = graph.node("MatMul", [INPUT, graph.weight("weight", weight.astype(np.float32))], "product")
    total = graph.node("Add", [product, graph.weight("bias", bias.astype(np.float32))], "total")
    graph.node("Relu", [total], OUTPUT)
    return Draft(
        model=graph.model(OUTPUT, (_RESULTS,)),
        inputs={INPUT: x.astype(np.float32)},
        labels={OUTPUT: np.maximum(x @ weight + bias, 0).astype(np.float32)},
    )


def score(outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Return the share of samples of which every result is exactly the label; NaN is never equal."""
    return float(np.mean((outputs[OUTPUT] == labels[OUTPUT]).all(axis=1)))


def samples() -> Array:
    """Return the inputs, ``int64[64, 16]``, from -33 to 33; no two rows are alike, since 67 is prime and above 64."""
    n, i = np.indices((_SAMPLES, _FEATURES))
    return (7 * n + 3 * i + n * i) % 67 - 33


def matrix() -> Array:
    """Return the weights, ``int64[16, 8]``, from -8 to 8."""
    i, k = np.indices((_FEATURES, _RESULTS))
    return (5 * i + 11 * k + i * k) % 17 - 8


def offsets() -> Array:
    """Return the bias, ``int64[8]``, from -14 to 14."""
    return 4 * np.arange(_RESULTS) - 14
