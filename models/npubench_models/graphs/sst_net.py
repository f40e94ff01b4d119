"""Build the sea-surface forecast net as an ONNX graph from the weights that ``train_sst`` made.

Three 3×3 convolutions correct the last month's anomaly; without them the forecast would be that anomaly itself.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from npubench_models.graphs.builder import GraphBuilder

Array = np.ndarray[Any, Any]

INPUT = "history"
OUTPUT = "forecast"

#: Where the trained weights lie, and what they are. A bundle's key covers code, not data: the digest makes them one.
WEIGHTS = Path(__file__).with_name("sst_net.npz")
WEIGHTS_SHA256 = "6a1ad27645ddbaf072735e0d66584ac0c02c0caaab97cae7d13f9ff65a02ee8e"


@dataclass(frozen=True, slots=True)
class Layer:
    """A 3×3 convolution: kernel float32 ``[K, C, 3, 3]``, bias float32 ``[K]``."""

    kernel: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Trained:
    """What training gives.

    Args:
        layers: In order; ReLU stands between them.
        losses: Mean squared error over the sea, K², of each pass over the training months.
    """

    layers: tuple[Layer, ...]
    losses: Array


def read_weights() -> Trained:
    """Return the weights that come with this package.

    Raises:
        ValueError: They are not the ones this module belongs to.
    """
    content = WEIGHTS.read_bytes()
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise ValueError(f"{WEIGHTS.name}: not the weights of this version; WEIGHTS_SHA256 says {WEIGHTS_SHA256}")
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        count = sum(name.startswith("kernel") for name in stored.files)
        layers = tuple(Layer(stored[f"kernel{n}"], stored[f"bias{n}"]) for n in range(count))
        return Trained(layers, stored["losses"])


def write_weights(trained: Trained) -> None:
    """Write the weights that :func:`read_weights` reads; its digest has to follow them."""
    arrays = {"losses": trained.losses}
    for n, layer in enumerate(trained.layers):
        arrays |= {f"kernel{n}": layer.kernel, f"bias{n}": layer.bias}
    np.savez(WEIGHTS, allow_pickle=False, **arrays)


def forecast_net(layers: tuple[Layer, ...], latitudes: int, longitudes: int) -> onnx.ModelProto:
    """Return the graph: ``history`` float32 → ``forecast`` float32, the next month's anomaly in K, 0 on land.

    Args:
        layers: From training.
        latitudes: Rows of a tile. Beyond them there is nothing: zeros, like land.
        longitudes: Columns of the forecast. The input has one more on either side for each layer.

    Returns:
        A model of ``[batch, months + 1, latitudes, longitudes + 2 · layers]`` → ``[batch, 1, latitudes, longitudes]``; the
        input's channels are anomalies in K, oldest month first, and 1 for sea, 0 for land.
    """
    halo, channels = len(layers), layers[0].kernel.shape[1]
    graph = GraphBuilder("sst-forecast", INPUT, (channels, latitudes, longitudes + 2 * halo))
    x = INPUT
    for n, layer in enumerate(layers):
        x = graph.conv(x, f"conv{n}", layer.kernel, layer.bias, pads=(1, 0, 1, 0))
        if n + 1 < halo:
            x = graph.node("Relu", [x], f"relu{n}")

    def channel(name: str, index: int) -> str:
        limits = (("starts", (index, halo)), ("ends", (index + 1, halo + longitudes)), ("axes", (1, 3)))
        return graph.node("Slice", [INPUT, *(graph.weight(f"{name}.{k}", np.array(v, np.int64)) for k, v in limits)], name)

    corrected = graph.node("Add", [x, channel("last", channels - 2)], "corrected")
    graph.node("Mul", [corrected, channel("sea", channels - 1)], OUTPUT)
    return graph.model(OUTPUT, (1, latitudes, longitudes))
