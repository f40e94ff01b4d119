"""Infer requests, with what it takes to fill and empty them in few calls.

After a network has run, the interpreter's code and tables are cold: every call between two networks costs many times what it
costs in a loop of its own. So all that can be known before is looked up before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

#: Outputs below this size are copied, bytes: lending memory costs more than copying so little.
_SMALL = 64 * 1024


class Port(NamedTuple):
    """An input or output of a compiled model.

    Args:
        position: Its place among the inputs or outputs.
        name: Its first name.
        dtype: numpy's dtype.
        kind: OpenVINO's element type.
        shape: Its shape; ``None`` where a length is free.
        fixed: The same as OpenVINO's ``Shape``.
    """

    position: int
    name: str
    dtype: np.dtype[Any]
    kind: Any
    shape: tuple[int, ...] | None
    fixed: Any


class Plan:
    """What a compiled model takes and gives.

    Args:
        model: The compiled model.
        size: The batch it is compiled for; ``None`` = any.

    Attributes:
        inputs: Every input, in order.
        outputs: Every output, in order.
        static: Whether every output has a fixed shape.
    """

    __slots__ = ("inputs", "model", "outputs", "size", "static")

    def __init__(self, model: Any, size: int | None) -> None:
        self.model = model
        self.size = size
        self.inputs = [_port(k, port) for k, port in enumerate(model.inputs)]
        self.outputs = [_port(k, port) for k, port in enumerate(model.outputs)]
        self.static = all(port.shape is not None for port in self.outputs)


class Slot:
    """An infer request, used by one caller at a time.

    Args:
        plan: What its model takes and gives.
        own: Whether the request's output memory stays where it is, as it does on the CPU.

    Attributes:
        views: Names of small outputs, with the request's own memory, to be copied.
        lent: Outputs that are given fresh memory for each request.
    """

    __slots__ = ("lent", "plan", "request", "views")

    def __init__(self, plan: Plan, own: bool) -> None:
        self.plan = plan
        self.request = plan.model.create_infer_request()
        self.views: list[tuple[str, np.ndarray[Any, Any]]] = []
        self.lent: list[Port] = []
        for port in plan.outputs if plan.static else ():
            if own and port.dtype.itemsize * int(np.prod(port.shape or ())) < _SMALL:
                self.views.append((port.name, self.request.get_output_tensor(port.position).data))
            else:
                self.lent.append(port)


def dtype_of(port: Any) -> np.dtype[Any]:
    """Return numpy's dtype of OpenVINO's port."""
    dtype: np.dtype[Any] = np.dtype(port.get_element_type().to_dtype())
    return dtype


def _port(position: int, port: Any) -> Port:
    free = port.get_partial_shape().is_dynamic
    fixed = None if free else port.get_shape()
    shape = None if fixed is None else tuple(fixed)
    return Port(position, port.get_any_name(), dtype_of(port), port.get_element_type(), shape, fixed)
