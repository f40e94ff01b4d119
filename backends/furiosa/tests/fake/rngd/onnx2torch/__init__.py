"""Stands in for onnx2torch 1.5: one module, whose weight is the file FAKE_WEIGHT."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass
class Node:
    op: str
    name: str


class Graph:
    def __init__(self, names):
        self.nodes = [Node("placeholder", "image"), *(Node("call_module", name) for name in names), Node("output", "output")]


class GraphModule:
    def __init__(self, names, weight):
        self.graph, self.weight, self.device, self.dtype = Graph(names), weight, "cpu", None

    def eval(self):
        return self

    def to(self, target):
        if isinstance(target, str):
            self.device = target
        else:
            self.dtype = target
        return self


def convert(onnx_model_or_path, save_input_names=False, attach_onnx_mapping=False):
    content = Path(onnx_model_or_path).read_bytes()
    if b"NotConverted" in content:
        raise NotImplementedError("Converter is not implemented (OperationDescription(operation_type='NotConverted'))")
    names = [name for name in ("Flatten", "Conv", "MatMul") if name.encode() in content]
    return GraphModule(names, np.load(os.environ["FAKE_WEIGHT"]))
