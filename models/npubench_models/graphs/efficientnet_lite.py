"""Build EfficientNet-Lite0 as an ONNX graph from trained weights.

EfficientNet (Tan and Le, 2019, arXiv:1905.11946) is a stack of inverted residual blocks (Sandler et al., 2018,
arXiv:1801.04381). Its Lite variants leave out squeeze-and-excitation, replace swish by ReLU6 and do not scale stem and
head, so that they quantise well; Lite0 has width and depth 1.0 and takes 224×224 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from npubench_models.graphs.builder import GraphBuilder

Array = np.ndarray[Any, Any]

INPUT = "image"
OUTPUT = "logits"
SIZE = 224
CLASSES = 1000

#: Of batch normalisation, as EfficientNet was trained.
_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class _Stage:
    """A row of Table 1 in the paper: blocks of one shape; only the first one strides."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


_STAGES = (
    _Stage(blocks=1, kernel=3, stride=1, expand=1, channels=16),
    _Stage(blocks=2, kernel=3, stride=2, expand=6, channels=24),
    _Stage(blocks=2, kernel=5, stride=2, expand=6, channels=40),
    _Stage(blocks=3, kernel=3, stride=2, expand=6, channels=80),
    _Stage(blocks=3, kernel=5, stride=1, expand=6, channels=112),
    _Stage(blocks=4, kernel=5, stride=2, expand=6, channels=192),
    _Stage(blocks=1, kernel=3, stride=1, expand=6, channels=320),
)
_STEM_CHANNELS = 32


def efficientnet_lite0(tensors: Mapping[str, Array]) -> onnx.ModelProto:
    """Return the graph: ``image`` float32 ``[batch, 3, 224, 224]`` → ``logits`` float32 ``[batch, 1000]``.

    Batch normalisation is folded into the convolutions. The image is RGB, ``(pixel - 127) / 128``.

    Args:
        tensors: The state dictionary of the PyTorch port, ``_conv_stem.weight`` … ``_fc.bias``.

    Raises:
        KeyError: A tensor is missing.
        ValueError: A tensor has another shape than the architecture says.
    """
    graph = GraphBuilder("efficientnet-lite0", INPUT, (3, SIZE, SIZE))
    low, high = (graph.weight(f"relu6.{name}", np.array(value, np.float32)) for name, value in (("low", 0), ("high", 6)))
    size = SIZE

    def layer(x: str, name: str, conv: str, norm: str, shape: tuple[int, ...], *, stride: int = 1, active: bool = True) -> str:
        nonlocal size
        kernel, bias = _folded(tensors, conv, norm, shape)
        pads = _same_pads(size, shape[2], stride)
        size = -(-size // stride)
        group = shape[0] if shape[1] == 1 else 1
        x = graph.conv(x, name, kernel, bias, stride=stride, pads=pads, group=group)
        return graph.node("Clip", [x, low, high], f"{name}.relu6") if active else x

    x = layer(INPUT, "stem", "_conv_stem", "_bn0", (_STEM_CHANNELS, 3, 3, 3), stride=2)
    channels = _STEM_CHANNELS
    for index, (stage, stride) in enumerate(_blocks()):
        name, block, wide, kernel = f"block{index}", f"_blocks.{index}", channels * stage.expand, stage.kernel
        start = x
        if stage.expand != 1:
            x = layer(x, f"{name}.expand", f"{block}._expand_conv", f"{block}._bn0", (wide, channels, 1, 1))
        depthwise = (wide, 1, kernel, kernel)
        x = layer(x, f"{name}.depthwise", f"{block}._depthwise_conv", f"{block}._bn1", depthwise, stride=stride)
        project = (stage.channels, wide, 1, 1)
        x = layer(x, f"{name}.project", f"{block}._project_conv", f"{block}._bn2", project, active=False)
        if stride == 1 and channels == stage.channels:
            x = graph.node("Add", [x, start], f"{name}.add")
        channels = stage.channels
    head = 4 * channels
    x = layer(x, "head", "_conv_head", "_bn1", (head, channels, 1, 1))
    x = graph.node("GlobalAveragePool", [x], "pool")
    x = graph.node("Flatten", [x], "flat")
    graph.linear(x, OUTPUT, _tensor(tensors, "_fc.weight", (CLASSES, head)), _tensor(tensors, "_fc.bias", (CLASSES,)))
    return graph.model(OUTPUT, (CLASSES,))


def _blocks() -> Iterator[tuple[_Stage, int]]:
    """Yield every block's stage and stride, in order."""
    for stage in _STAGES:
        for number in range(stage.blocks):
            yield stage, stage.stride if number == 0 else 1


def _same_pads(size: int, kernel: int, stride: int) -> tuple[int, int, int, int]:
    """Return TensorFlow's ``SAME`` padding: output size ``ceil(size / stride)``, the odd pixel at the bottom and right.

    Written out, because the ONNX attribute ``auto_pad`` is deprecated and not every compiler reads it.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    return before, before, after, after


def _folded(tensors: Mapping[str, Array], conv: str, norm: str, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return kernel and bias of a convolution with its batch normalisation folded in (Jacob et al., 2018, section 3.2)."""
    kernel = _tensor(tensors, f"{conv}.weight", shape).astype(np.float64)
    gamma, beta, mean, variance = (
        _tensor(tensors, f"{norm}.{part}", shape[:1]).astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + _EPSILON)
    return (kernel * scale[:, None, None, None]).astype(np.float32), (beta - mean * scale).astype(np.float32)


def _tensor(tensors: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    tensor = tensors[name]
    if tensor.shape != shape:
        raise ValueError(f"{name} has shape {tensor.shape}, the architecture says {shape}")
    return tensor
