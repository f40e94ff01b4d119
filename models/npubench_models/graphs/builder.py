"""Write an ONNX graph one node at a time; knows nothing of any one architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: Opset 17 with IR version 8 is what the compilers of NPU vendors read widely; newer ones gain these graphs nothing.
OPSET = 17
IR_VERSION = 8

Array = np.ndarray[Any, Any]


class GraphBuilder:
    """A graph under construction: one float32 input and one float32 output, batch free on axis 0.

    Args:
        name: The graph's name.
        input_name: The input's name.
        sample_shape: Shape of one sample, without the batch axis.
    """

    def __init__(self, name: str, input_name: str, sample_shape: Sequence[int]) -> None:
        self._name = name
        self._input = helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["batch", *sample_shape])
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def weight(self, name: str, values: Array) -> str:
        """Store a constant tensor in its own dtype and return its name."""
        self._weights.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Append a node; its one output bears the node's name, which is returned.

        Args:
            operator: ONNX operator type.
            inputs: Names of tensors made before; ``""`` leaves an optional input out.
            name: Of the node and of its output; unique in the graph.
            **attributes: As the operator defines them.
        """
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def conv(self, x: str, name: str, kernel: Array, bias: Array, *, stride: int = 1, pads: Sequence[int], group: int = 1) -> str:
        """Append a two-dimensional convolution.

        Args:
            x: Name of the input, ``[batch, C, H, W]``.
            name: Of the node and of its output.
            kernel: float32 ``[K, C / group, height, width]``.
            bias: float32 ``[K]``.
            stride: In both directions.
            pads: Top, left, bottom, right; zeros are added.
            group: Number of groups.
        """
        weights = [self.weight(f"{name}.weight", kernel), self.weight(f"{name}.bias", bias)]
        return self.node(
            "Conv",
            [x, *weights],
            name,
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            pads=list(pads),
            group=group,
        )

    def linear(self, x: str, name: str, matrix: Array, bias: Array) -> str:
        """Append ``x @ matrix.T + bias``; ``x`` is ``[batch, C]``, ``matrix`` float32 ``[K, C]``, ``bias`` float32 ``[K]``."""
        weights = [self.weight(f"{name}.weight", matrix), self.weight(f"{name}.bias", bias)]
        return self.node("Gemm", [x, *weights], name, transB=1)

    def model(self, output: str, sample_shape: Sequence[int]) -> onnx.ModelProto:
        """Return the finished, checked model, with the shapes of all tensors inferred.

        Args:
            output: Name of the tensor that is the graph's output.
            sample_shape: Shape of one sample of it, without the batch axis.
        """
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", *sample_shape])
        graph = helper.make_graph(self._nodes, self._name, [self._input], [result], self._weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="npubench"
        )
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model)
        return model
