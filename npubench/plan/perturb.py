"""Change the weights of a model: permute one tensor's values, or round all of them. Runs nothing and judges nothing.

A permutation keeps a tensor's distribution, and with it the scales of its quantisation and the time its kernels take.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from npubench.plan.workload import Array

#: Operators whose second input is a weight, by ONNX's operator reference.
_WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
#: What may stand between a stored tensor and the operator it is the weight of.
_PASSING = ("DequantizeLinear", "QuantizeLinear", "Cast", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze")
#: A tensor of fewer values is hardly changed by a permutation.
_FEWEST = 16
#: The mantissa of an FP32 number, bits (IEEE 754).
_FP32_MANTISSA = 23


def weight_tensors(model: onnx.ModelProto, seed: int) -> tuple[str, ...]:
    """Return the stored weights of a model's convolutions and matrix products, in an order drawn by ``seed``.

    Tensors of fewer than 16 values, or of one value only, are left out. Quantised weights are found behind their
    ``DequantizeLinear``.
    """
    stored = dict(_stored(model))
    made = {output: node for node in model.graph.node for output in node.output}
    found: dict[str, None] = {}
    for node in model.graph.node:
        if node.op_type not in _WEIGHTED or len(node.input) < 2:
            continue
        # MatMul is the one whose weight may stand on either side.
        for name in node.input[:2] if node.op_type == "MatMul" else node.input[1:2]:
            while name not in stored and name in made and made[name].op_type in _PASSING and made[name].input:
                name = made[name].input[0]
            if name in stored and _worth(numpy_helper.to_array(stored[name])):
                found[name] = None
    names = sorted(found)
    order = np.random.default_rng(seed).permutation(len(names))
    return tuple(names[n] for n in order)


def permuted(model: onnx.ModelProto, tensor: str, seed: int) -> onnx.ModelProto:
    """Return a copy of a model with the values of one stored tensor in another order, drawn by ``seed``.

    Raises:
        KeyError: There is no such tensor.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name, stored in _stored(copy):
        if name == tensor:
            values = numpy_helper.to_array(stored)
            mixed = np.random.default_rng(seed).permutation(values.reshape(-1)).reshape(values.shape)
            stored.CopyFrom(numpy_helper.from_array(mixed, stored.name))
            return copy
    raise KeyError(tensor)


def rounded(model: onnx.ModelProto, mantissa: int) -> onnx.ModelProto:
    """Return a copy of a model whose FP32 weights have ``mantissa`` bits, to the nearest: 10 as TF32 and float16, 7 as bfloat16.

    Tensors of two axes and more are weights here; scales and biases stay. The exponent keeps its range.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for _, stored in _stored(copy):
        if stored.data_type == onnx.TensorProto.FLOAT and len(stored.dims) >= 2:
            values = numpy_helper.to_array(stored)
            stored.CopyFrom(numpy_helper.from_array(rounded_values(values, mantissa), stored.name))
    return copy


def rounded_values(values: Array, mantissa: int) -> Array:
    """Return float32 values with ``mantissa`` bits, to the nearest and half to even; values of other dtypes as they are."""
    if values.dtype != np.float32:
        return values
    cut = np.uint64(_FP32_MANTISSA - mantissa)
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    half = (np.uint64(1) << (cut - np.uint64(1))) - np.uint64(1)
    bits = (bits + half + ((bits >> cut) & np.uint64(1))) >> cut << cut
    return bits.astype(np.uint32).view(np.float32)


def _stored(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield what a graph stores, by name: initialisers, and the values of ``Constant`` nodes by their output's."""
    for tensor in model.graph.initializer:
        yield tensor.name, tensor
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield node.output[0], attribute.t


def _worth(values: Array) -> bool:
    return values.size >= _FEWEST and bool((values != values.reshape(-1)[0]).any())
