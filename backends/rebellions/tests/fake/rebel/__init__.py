"""A stand-in for the package ``rebel``: its documented names, and the quirks that were seen on RBLN-CA22.

Quirks: a time-out that is no int is refused; ``inspect`` answers with a mapping or an object; output names and
``tensor_parallel_size`` are null; arrays go by position, contiguous, of the exact dtype and shape; the asynchronous runtime
belongs to the loop it was made on and takes one sample; sync and async runtimes never live together; every answer is one
buffer that is written again. It computes ``scores = image @ weight`` with numpy and stands for no chip.

Environment: ``FAKE_RBLN_NPUS`` (chips, comma-separated), ``FAKE_RBLN_VERSION``, ``FAKE_RBLN_INSPECT`` (``object``).
"""

import asyncio
import io
import json
import os
import types
import weakref
from pathlib import Path

import numpy as np

__version__ = os.environ.get("FAKE_RBLN_VERSION", "0.12.0")

_NPUS = [name for name in os.environ.get("FAKE_RBLN_NPUS", "RBLN-CA22").split(",") if name]
_ALIVE = weakref.WeakSet()


class RBLNRuntimeError(RuntimeError):
    pass


def npu_is_available(device=0):
    return True


def device_count():
    return len(_NPUS)


def get_npu_name(device=0):
    return _NPUS[device] if device < len(_NPUS) else None


def _read(path):
    if not Path(path).exists():
        raise RuntimeError("LOADING_FILE_NOT_FOUND")
    try:
        with np.load(path) as stored:
            return stored["weight"], json.loads(stored["facts"].tobytes())
    except (ValueError, KeyError, OSError):
        raise RuntimeError("INIT_INVALID_MODEL_FORMAT") from None


def compile_from_onnx(model, shape=None, **kwargs):
    from onnx import numpy_helper

    for node in model.graph.node:
        if node.op_type not in ("Flatten", "MatMul"):
            raise NotImplementedError(f"The following operators are not implemented: ['{node.op_type}']")
    weight = next(numpy_helper.to_array(tensor) for tensor in model.graph.initializer)
    inputs = [{"name": name, "shape": list(lengths), "dtype": "float32"} for name, lengths in shape.items()]
    batch = inputs[0]["shape"][0]
    facts = {
        "npu": kwargs.get("npu") or os.environ.get("RBLN_FORCE_NPU_NAME") or get_npu_name(),
        "compiler_version": __version__,
        "tensor_parallel_size": None,
        "inputs": inputs,
        "outputs": [{"name": None, "shape": [batch, weight.shape[1]], "dtype": "float32"}],
    }
    compiled = RBLNCompiledModel.__new__(RBLNCompiledModel)
    compiled._content = (weight, facts)
    return compiled


class RBLNCompiledModel:
    def __init__(self, path):
        self._content = _read(path)

    def save(self, path):
        weight, facts = self._content
        memory = io.BytesIO()
        np.savez(memory, weight=weight, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8))
        Path(path).write_bytes(memory.getvalue())

    @staticmethod
    def inspect(path):
        _, facts = _read(path)
        if os.environ.get("FAKE_RBLN_INSPECT") != "object":
            return facts
        return json.loads(json.dumps(facts), object_hook=lambda fields: types.SimpleNamespace(**fields))


class _Base:
    def __init__(self, path, tensor_type, device, timeout):
        if type(timeout) is not int:
            raise TypeError("create_sync_runtime(): incompatible function arguments")
        if tensor_type != "np":
            raise ValueError("this stand-in gives numpy arrays only")
        self._path = path
        self._weight, facts = _read(path)
        devices = device if isinstance(device, list) else [device]
        if any(get_npu_name(index) != facts["npu"] for index in devices):
            raise RBLNRuntimeError("requested NPU is missing or does not match the compiled model")
        for other in _ALIVE:
            if other._path == path and type(other) is not type(self):
                raise RuntimeError("a runtime of the other kind is alive on this compiled model")
        self._inputs = facts["inputs"]
        self._buffer = np.zeros((facts["inputs"][0]["shape"][0], self._weight.shape[1]), np.float32)
        _ALIVE.add(self)

    def _compute(self, arrays):
        if len(arrays) != len(self._inputs):
            raise TypeError(f"expected {len(self._inputs)} inputs, got {len(arrays)}")
        for array, spec in zip(arrays, self._inputs, strict=True):
            if array.dtype != spec["dtype"] or list(array.shape) != spec["shape"] or not array.flags.c_contiguous:
                raise TypeError(f"incompatible array {array.dtype} {array.shape}")
        self._buffer[...] = arrays[0].reshape(len(arrays[0]), -1) @ self._weight
        return self._buffer


class Runtime(_Base):
    def __init__(self, path, tensor_type="pt", device=None, activate_profiler=False, timeout=None):
        super().__init__(path, tensor_type, device, timeout)

    def run(self, *args):
        return self._compute(args)

    def __call__(self, *args):
        return self._compute(args)


class AsyncRuntime(_Base):
    def __init__(self, path, tensor_type="pt", device=None, parallel=None, timeout=None):
        super().__init__(path, tensor_type, device, timeout)
        self._loop = asyncio.get_event_loop()
        self._turn = 0

    async def async_run(self, *args):
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("async_run was awaited on another event loop")
        if any(len(array) != 1 for array in args):
            raise RuntimeError("native async takes N=1")
        self._turn += 1
        await asyncio.sleep(0.002 if self._turn % 2 else 0)  # an odd request is overtaken by the one behind it
        return [self._compute(args)]
