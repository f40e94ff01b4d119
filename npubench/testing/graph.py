"""Read a small ONNX graph and compute it with numpy alone, so that the simulated device answers from the model it was given.

It knows the handful of operators the probe workload is made of, and refuses all others; it is no runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npubench.contract import TensorSpec

Array = NDArray[Any]

#: ``TensorProto.DataType`` of onnx.proto → numpy dtype, and the field that holds values where ``raw_data`` does not.
_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
_FLOAT_DATA, _INT32_DATA, _INT64_DATA, _DOUBLE_DATA, _RAW_DATA = 4, 5, 7, 10, 9


class GraphError(ValueError):
    """The file is no ONNX graph, or has what this reader does not know; the text says what."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator: its type, and the names of its inputs and of its output."""

    operator: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph in topological order with its constants."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def compute(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name for ``inputs`` by name."""
        values: dict[str, Array] = {**self.constants, **inputs}
        for node in self.nodes:
            values[node.output] = _OPERATORS[node.operator](*(values[name] for name in node.inputs))
        # Copied, so that a graph which hands an input or a constant on gives neither away.
        return {spec.name: np.array(values[spec.name], order="C") for spec in self.outputs}


def read_graph(path: Path) -> Graph:
    """Read an ONNX file.

    Raises:
        GraphError: Not an ONNX file, or an operator or dtype that is not known here.
    """
    try:
        return _graph(_message(_message(path.read_bytes())[7][0]))
    except GraphError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise GraphError(f"{path}: not an ONNX model") from error


def _graph(fields: Mapping[int, list[Any]]) -> Graph:
    """Read a ``GraphProto``."""
    constants = dict(_tensor(_message(data)) for data in fields.get(5, ()))
    nodes = tuple(_node(_message(data)) for data in fields.get(1, ()))
    for node in nodes:
        if node.operator not in _OPERATORS:
            raise GraphError(f"operator {node.operator} is not supported; supported are: {', '.join(sorted(_OPERATORS))}")
    return Graph(
        nodes=nodes,
        constants=constants,
        inputs=tuple(spec for spec in map(_value_info, fields.get(11, ())) if spec.name not in constants),
        outputs=tuple(map(_value_info, fields.get(12, ()))),
    )


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield field number and value of a protobuf message: int, or bytes for everything with a length.

    Source: the protobuf encoding (protobuf.dev/programming-guides/encoding): varints, 4 and 8 byte words, lengths.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        value: Any
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
            if len(value) != length:
                raise IndexError("truncated")
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at : at + size], at + size
        else:
            raise IndexError(f"wire type {kind}")
        yield tag >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the varint at ``at`` and where the next field begins."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _message(data: bytes) -> dict[int, list[Any]]:
    """Return field number → all its values, in order."""
    fields: dict[int, list[Any]] = {}
    for number, value in _fields(data):
        fields.setdefault(number, []).append(value)
    return fields


def _text(fields: Mapping[int, list[Any]], number: int) -> str:
    return fields[number][0].decode() if number in fields else ""


def _integers(values: list[Any]) -> list[int]:
    """Return a repeated int64 field, packed or not, with its sign."""
    read: list[int] = []
    for value in values:
        if isinstance(value, bytes):
            at = 0
            while at < len(value):
                number, at = _varint(value, at)
                read.append(number)
        else:
            read.append(value)
    return [number - (1 << 64) if number >> 63 else number for number in read]


def _dtype(code: int) -> str:
    if code not in _DTYPES:
        raise GraphError(f"dtype {code} of onnx.proto is not supported")
    return _DTYPES[code]


def _tensor(fields: Mapping[int, list[Any]]) -> tuple[str, Array]:
    """Read a ``TensorProto``: its name and values."""
    name, dtype, shape = _text(fields, 8), np.dtype(_dtype(fields[2][0])), _integers(fields.get(1, []))
    if 13 in fields:
        raise GraphError(f"tensor {name}: external data is not supported")
    if _RAW_DATA in fields:
        values = np.frombuffer(fields[_RAW_DATA][0], dtype=dtype.newbyteorder("<"))
    elif _FLOAT_DATA in fields:
        values = np.frombuffer(b"".join(fields[_FLOAT_DATA]), dtype="<f4")
    elif _DOUBLE_DATA in fields:
        values = np.frombuffer(b"".join(fields[_DOUBLE_DATA]), dtype="<f8")
    else:
        values = np.array(_integers(fields.get(_INT32_DATA, []) + fields.get(_INT64_DATA, [])), dtype=np.int64)
        if dtype == np.float16:  # onnx.proto keeps the bits of a float16 in int32_data
            values = values.astype(np.uint16).view(np.float16)
    return name, values.astype(dtype).reshape(shape)


def _node(fields: Mapping[int, list[Any]]) -> Node:
    inputs = tuple(name.decode() for name in fields.get(1, ()))
    return Node(operator=_text(fields, 4), inputs=inputs, output=fields[2][0].decode())


def _value_info(data: bytes) -> TensorSpec:
    fields = _message(data)
    tensor = _message(_message(fields[2][0])[1][0])
    axes = [_message(axis) for axis in _message(tensor[2][0]).get(1, ())] if 2 in tensor else []
    shape = tuple(axis[1][0] if 1 in axis else None for axis in axes)
    return TensorSpec(name=_text(fields, 1), dtype=_dtype(tensor[1][0]), shape=shape)


def _relu(x: Array) -> Array:
    positive: Array = np.maximum(x, x.dtype.type(0))
    return positive


#: The operators the probe is made of, and Identity, by which one of them may be edited out.
_OPERATORS: Mapping[str, Callable[..., Array]] = {
    "Add": np.add,
    "Identity": np.array,
    "MatMul": np.matmul,
    "Relu": _relu,
}
