"""Build ResNet-50 v1.5 as an ONNX graph with seeded weights: its shape and cost are the real ones, its knowledge is none.

ResNet-50 is He et al., 2016 (arXiv:1512.03385); v1.5, which MLPerf measures, strides in a block's 3×3 convolution instead
of its first 1×1. The weights follow the analysis of residual networks without normalisation (Brock et al., 2021,
arXiv:2101.08692): zero-mean, scaled kernels and damped branches keep the variance of activations near 1 where trained
batch normalisation would. Without that, seeded residual networks explode, or answer the same to every image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from npubench_models.graphs.builder import GraphBuilder

Array = np.ndarray[Any, Any]

INPUT = "image"
OUTPUT = "logits"
SIZE = 224
CLASSES = 1000

#: Blocks and width of the four stages (Table 1 of the paper, 50 layers); a block's output is four times as wide.
_STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
_EXPANSION = 4

#: Weights are whole numbers from -_LIMIT to _LIMIT before they are scaled.
_LIMIT = 1023

#: Undoes what ReLU takes from the variance of a standard normal variable: 1 / sqrt(0.5 · (1 - 1/π)) (Brock et al., section 4.1).
_RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))

#: What a block's branch is multiplied by before it is added (Brock et al., section 3: 0.2).
_BRANCH = 0.2


def resnet50(seed: int) -> onnx.ModelProto:
    """Return the graph: ``image`` float32 ``[batch, 3, 224, 224]`` → ``logits`` float32 ``[batch, 1000]``.

    Batch normalisation is folded: each convolution has a bias, which seeded weights leave at 0.

    Args:
        seed: Of all weights. One seed gives the same bits on every machine and numpy.
    """
    graph = GraphBuilder("resnet50-v1.5-seeded", INPUT, (3, SIZE, SIZE))
    kernel = _kernels(seed)

    def conv(x: str, name: str, shape: tuple[int, ...], *, gain: float, stride: int = 1) -> str:
        pad = shape[2] // 2
        bias = np.zeros(shape[0], np.float32)
        return graph.conv(x, name, kernel(shape, gain), bias, stride=stride, pads=[pad] * 4)

    x = graph.node("Relu", [conv(INPUT, "stem", (64, 3, 7, 7), gain=1.0, stride=2)], "stem.relu")
    x = graph.node("MaxPool", [x], "stem.pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, (blocks, width) in enumerate(_STAGES, start=1):
        for block in range(blocks):
            name, wide = f"stage{stage}.block{block}", width * _EXPANSION
            stride = 2 if stage > 1 and block == 0 else 1
            start = x
            if block == 0:
                start = conv(x, f"{name}.shortcut", (wide, channels, 1, 1), gain=_RELU_GAIN, stride=stride)
            x = graph.node("Relu", [conv(x, f"{name}.conv1", (width, channels, 1, 1), gain=_RELU_GAIN)], f"{name}.relu1")
            x = conv(x, f"{name}.conv2", (width, width, 3, 3), gain=_RELU_GAIN, stride=stride)
            x = graph.node("Relu", [x], f"{name}.relu2")
            x = conv(x, f"{name}.conv3", (wide, width, 1, 1), gain=_RELU_GAIN * _BRANCH)
            x = graph.node("Relu", [graph.node("Add", [x, start], f"{name}.add")], f"{name}.relu3")
            channels = wide
    x = graph.node("GlobalAveragePool", [x], "pool")
    x = graph.node("Flatten", [x], "flat")
    graph.linear(x, OUTPUT, kernel((CLASSES, channels), 1.0), np.zeros(CLASSES, np.float32))
    return graph.model(OUTPUT, (CLASSES,))


def _kernels(seed: int) -> Callable[[tuple[int, ...], float], Array]:
    """Return a function that draws the next kernel, float32 of the given shape, ``[K, …]``, output channels first.

    A kernel has uniform weights, a mean of exactly 0 over each output channel, and variance gain² / fan-in. A zero mean
    stops the positive mean that ReLU gives all its outputs (Brock et al., section 4: mean shift). Everything up to the one
    division is done in whole numbers, which no processor rounds.
    """
    # The legacy generator's stream is frozen (NEP 19), that of Generator is not.
    random = np.random.RandomState(seed)
    deviation = math.sqrt(((2 * _LIMIT + 1) ** 2 - 1) / 12)

    def kernel(shape: tuple[int, ...], gain: float) -> Array:
        drawn = random.randint(-_LIMIT, _LIMIT + 1, size=shape, dtype=np.int64)
        fan_in = math.prod(shape[1:])
        total = drawn.reshape(shape[0], -1).sum(axis=1).reshape(-1, *(1 for _ in shape[1:]))
        scale = gain / (fan_in * deviation * math.sqrt(fan_in))
        weights: Array = ((drawn * fan_in - total) * scale).astype(np.float32)
        return weights

    return kernel
