"""Run requests in a session, host memory to host memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from npubench.contract import Device, Executor, Offload, Tensors, TensorSpec, input_check
from npubench_onnxruntime.devices import ON_GPU
from npubench_onnxruntime.options import SessionOptions
from npubench_onnxruntime.session import Placed

#: What ONNX Runtime calls a tensor's type → numpy's name of it.
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(uint16)": "uint16",
    "tensor(int32)": "int32",
    "tensor(uint32)": "uint32",
    "tensor(int64)": "int64",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}


class OnnxRuntimeExecutor(Executor):
    """One ``InferenceSession``."""

    def __init__(self, placed: Placed, device: Device, options: SessionOptions) -> None:
        self._session = placed.session
        self._placed: Placed | None = placed
        self._offload = placed.offload()
        self._notes = _notes(placed)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.inputs = [_spec(node) for node in inputs]
        self.outputs = [_spec(node) for node in outputs]
        self._names = [spec.name for spec in self.outputs]
        fixed = [spec.shape[0] for spec in (*self.inputs, *self.outputs) if spec.shape and spec.shape[0] is not None]
        self.max_batch = min(fixed) if fixed else None
        self._check = input_check(self.inputs, self.max_batch)
        self.max_in_flight = max(1, options.streams)
        on_gpu = placed.provider in ON_GPU.values()
        self._bindings: Bindings | None = None
        if options.io_binding if options.io_binding is not None else on_gpu:
            where = ("cuda", int(device.details.get("device_id", 0))) if on_gpu else ("cpu", 0)
            self._bindings = Bindings(self._session, [s.name for s in self.inputs], self._names, where, _follow(inputs, outputs))
            self._notes["io binding"] = f"outputs on {where[0]}"

    def execute(self, inputs: Tensors) -> Tensors:
        """Run the session; the outputs are fresh arrays."""
        try:
            if self._bindings is not None and len(inputs) == len(self.inputs):
                return self._bindings.run(inputs)
            return dict(zip(self._names, self._session.run(self._names, inputs), strict=True))
        except Exception:
            # ONNX Runtime checks every request itself; its classes and words are only put in the caller's terms.
            if self._session is None:
                raise RuntimeError("the session is closed") from None
            self._check(inputs)
            raise

    def offload(self) -> Offload | None:
        """Count operators by provider from the session's graph assignment."""
        return self._offload

    def notes(self) -> Mapping[str, str]:
        """Return the providers the session lists, which may have run nothing, and who was assigned what."""
        return self._notes

    def close(self) -> None:
        """Drop the session; its threads end with it."""
        self._session = self._placed = self._bindings = None


class Bindings:
    """Inputs and outputs that stay bound to a session from one request to the next.

    ONNX Runtime writes a request's outputs into the buffers of the request before it, and refuses one whose outputs have
    another shape. So a binding serves one request at a time and one set of input shapes, and outputs are copied out of it.

    Args:
        session: The ``InferenceSession``.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        where: Device type and number that outputs are bound on.
        keep: Whether the outputs' shapes follow from the inputs'; if not, nothing is kept.
    """

    def __init__(self, session: Any, inputs: Sequence[str], outputs: Sequence[str], where: tuple[str, int], keep: bool) -> None:
        self._session, self._inputs, self._outputs, self._where, self._keep = session, inputs, outputs, where, keep
        #: Input shapes and the binding that was last used with them; a list's append and pop hold between threads.
        self._idle: list[tuple[tuple[tuple[int, ...], ...], Any]] = []

    def run(self, inputs: Tensors) -> Tensors:
        """Run one request; the outputs belong to the caller."""
        shapes = tuple(inputs[name].shape for name in self._inputs)
        try:
            known, binding = self._idle.pop()
        except IndexError:
            known, binding = (), None
        if binding is None or known != shapes:
            binding = self._session.io_binding()
            for name in self._outputs:
                binding.bind_output(name, *self._where)
        for name in self._inputs:
            binding.bind_cpu_input(name, inputs[name])
        self._session.run_with_iobinding(binding)
        arrays = binding.copy_outputs_to_cpu()
        if self._keep:
            self._idle.append((shapes, binding))
        return dict(zip(self._outputs, arrays, strict=True))


def _follow(inputs: Sequence[Any], outputs: Sequence[Any]) -> bool:
    """Return whether every length of an output is fixed or a symbol that an input has as well."""
    symbols = {length for node in inputs for length in node.shape if isinstance(length, str)}
    return all(isinstance(length, int) or length in symbols for node in outputs for length in node.shape)


def _notes(placed: Placed) -> dict[str, str]:
    notes = {"providers": ", ".join(placed.session.get_providers())}
    for name, types in (placed.operators or {}).items():
        notes[f"operators on {name}"] = str(sum(types.values()))
    return notes


def _spec(node: Any) -> TensorSpec:
    """Turn ORT's description of an input or output into a TensorSpec; symbolic lengths are free."""
    if node.type not in _DTYPES:
        raise TypeError(f"tensor '{node.name}' is {node.type}; numpy has no such tensor")
    shape = tuple(n if isinstance(n, int) and n > 0 else None for n in node.shape)
    return TensorSpec(name=node.name, dtype=np.dtype(_DTYPES[node.type]).name, shape=shape)
