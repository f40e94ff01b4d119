"""Count the operations of one inference from the graph: 2 × multiply-accumulates. Measures nothing, guesses nothing.

Counted are the operators whose cost is multiply-accumulates: convolutions, matrix products and recurrent layers.
Element-wise work, normalisation and pooling are left out, as is usual where chips are compared in TOPS.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path

import onnx
import onnx.inliner
import onnxruntime
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TypeProto

from npubench.errors import ModelError

#: Tensor name → shape at batch 1; ``None`` where an axis stayed unknown.
Shapes = Mapping[str, tuple[int | None, ...]]

#: Operators that multiply and accumulate but have no formula here; leaving one out would make the count a wrong one.
_UNCOUNTED = frozenset(
    {
        *("Attention", "DeformConv"),
        *("DecoderMaskedMultiHeadAttention", "GroupQueryAttention", "MultiHeadAttention", "QAttention"),
        *("FusedConv", "FusedGemm", "FusedMatMul", "NhwcConv", "NhwcFusedConv", "QGemm", "TransposeMatMul"),
        *("DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"),
    }
)


def count_operations(model: ModelProto, inputs: Mapping[str, tuple[int, ...]]) -> int:
    """Return the operations of one inference of one sample: 2 × MACs.

    Args:
        model: The FP32 graph.
        inputs: Input name → shape, with 1 for the batch.

    Raises:
        ModelError: A counted operator has a shape that cannot be inferred, or has no formula here.
    """
    fixed = ModelProto()
    fixed.CopyFrom(model)
    if fixed.functions:
        fixed = onnx.inliner.inline_local_functions(fixed)
    for value in fixed.graph.input:
        if value.name in inputs:
            set_shape(value.type, inputs[value.name])
    # Shapes that were stored for another batch would contradict the inferred ones.
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    # ONNX Runtime folds shapes that are computed in the graph into constants, which ONNX alone does only in part.
    folded = _folded(fixed)
    try:
        inferred = onnx.shape_inference.infer_shapes(folded, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"operations cannot be counted: shapes do not infer: {str(error).strip().splitlines()[-1]}") from error
    return 2 * _graph_macs(inferred.graph, {})


def _folded(model: ModelProto) -> ModelProto:
    """Return the graph with its constants folded; the basic level keeps to operators of ONNX."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="npubench-count-") as scratch:
        path = Path(scratch) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors have no common type
            why = str(error).strip().splitlines()[0]
            raise ModelError(f"operations cannot be counted: the CPU reference cannot load the model: {why}") from error
        return onnx.load_model(path)


def set_shape(tensor: TypeProto, shape: tuple[int | str, ...]) -> None:
    """Write ``shape`` into a tensor's type; a name in it stands for a free axis."""
    tensor.tensor_type.ClearField("shape")
    for length in shape:
        axis = tensor.tensor_type.shape.dim.add()
        if isinstance(length, str):
            axis.dim_param = length
        else:
            axis.dim_value = length


def _graph_macs(graph: GraphProto, outer: Shapes) -> int:
    shapes = dict(outer)
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            axes = value.type.tensor_type.shape.dim
            shapes[value.name] = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in axes)
    for tensor in graph.initializer:
        shapes[tensor.name] = tuple(tensor.dims)
    return sum(_node_macs(node, shapes) for node in graph.node)


def _node_macs(node: NodeProto, shapes: Shapes) -> int:
    bodies = [a.g for a in node.attribute if a.type == AttributeProto.GRAPH]
    if bodies:
        inside = [_graph_macs(body, shapes) for body in bodies]
        if node.op_type == "If":
            # Which branch runs is known to the device alone; the dearer one keeps the count from being too low.
            return max(inside)
        if any(inside):
            raise ModelError(f"operations cannot be counted: node '{node.name}' repeats its body ({node.op_type}) unknown times")
        return 0
    if node.op_type in _UNCOUNTED:
        raise ModelError(f"operations cannot be counted: node '{node.name}' is a {node.op_type}, which has no formula here")
    formula = _FORMULAS.get(node.op_type)
    return formula(node, shapes) if formula else 0


def _shape(node: NodeProto, name: str, shapes: Shapes) -> tuple[int, ...]:
    found = shapes.get(name)
    if found is None or any(length is None for length in found):
        where = f"{node.op_type} '{node.name}'"
        raise ModelError(f"operations cannot be counted: the shape of '{name}' at {where} is unknown: {found}")
    return tuple(length for length in found if length is not None)


def _convolution(node: NodeProto, shapes: Shapes, weight: int = 1) -> int:
    """ONNX operator Conv: each output element sums over W's axes after the first, ``[M, C/group, kernel…]``."""
    return prod(_shape(node, node.output[0], shapes)) * prod(_shape(node, node.input[weight], shapes)[1:])


def _transposed_convolution(node: NodeProto, shapes: Shapes) -> int:
    """ONNX operator ConvTranspose: each input element is spread over W's axes after the first, ``[C, M/group, kernel…]``."""
    return prod(_shape(node, node.input[0], shapes)) * prod(_shape(node, node.input[1], shapes)[1:])


def _gemm(node: NodeProto, shapes: Shapes) -> int:
    """ONNX operator Gemm: A' is ``[M, K]``, Y is ``[M, N]``; MACs are M·N·K."""
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return prod(_shape(node, node.output[0], shapes)) * _shape(node, node.input[0], shapes)[0 if transposed else 1]


def _matrix_product(node: NodeProto, shapes: Shapes) -> int:
    """ONNX operator MatMul (as ``numpy.matmul``): each output element sums over A's last axis."""
    return prod(_shape(node, node.output[0], shapes)) * _shape(node, node.input[0], shapes)[-1]


def _few_bit_matrix_product(node: NodeProto, shapes: Shapes) -> int:
    """ONNX Runtime operator MatMulNBits: attribute K is the length of each sum."""
    return prod(_shape(node, node.output[0], shapes)) * int(next(a.i for a in node.attribute if a.name == "K"))


def _einsum(node: NodeProto, shapes: Shapes) -> int:
    """ONNX operator Einsum: with two operands, one MAC for each combination of all subscripts."""
    equation = next(a.s for a in node.attribute if a.name == "equation").decode().replace(" ", "")
    if len(node.input) != 2 or "." in equation:
        raise ModelError(f"operations cannot be counted: node '{node.name}' is Einsum '{equation}', which has no formula here")
    lengths: dict[str, int] = {}
    for name, subscripts in zip(node.input, equation.partition("->")[0].split(","), strict=True):
        lengths.update(zip(subscripts, _shape(node, name, shapes), strict=True))
    return prod(lengths.values())


def _recurrent(node: NodeProto, shapes: Shapes) -> int:
    """ONNX operators LSTM, GRU, RNN: each step of each sequence multiplies all of W and R, ``[directions, gates·hidden, …]``."""
    steps = prod(_shape(node, node.input[0], shapes)[:2])
    return steps * sum(prod(_shape(node, name, shapes)) for name in node.input[1:3])


_FORMULAS: Mapping[str, Callable[[NodeProto, Shapes], int]] = {
    "Conv": _convolution,
    "ConvInteger": _convolution,
    "QLinearConv": lambda node, shapes: _convolution(node, shapes, weight=3),
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm,
    "MatMul": _matrix_product,
    "MatMulInteger": _matrix_product,
    "QLinearMatMul": _matrix_product,
    "MatMulNBits": _few_bit_matrix_product,
    "Einsum": _einsum,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
