"""Stands in for the few names of torch 2.10 that the plug-in calls. It proves the calls and their order, and nothing of torch."""

import contextlib
import os

import numpy as np

__version__ = "2.10.0"

if os.environ.get("FAKE_TORCH") == "broken":
    raise RuntimeError("PrivateUse1 backend already registered as 'rbln'")


class OutOfMemoryError(RuntimeError):
    pass


class dtype:  # noqa: N801 - as torch has it
    def __init__(self, name):
        self.name = name


float32, bfloat16, int64 = dtype("float32"), dtype("bfloat16"), dtype("int64")
_DTYPES = {"float32": float32, "int64": int64}


def rounded(array):
    """Return float32 values that bfloat16 has: the upper 16 bits."""
    return (np.ascontiguousarray(array, np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


class Tensor:
    def __init__(self, array, kind, device):
        self.array, self.dtype, self.device = array, kind, device

    def to(self, target):
        if isinstance(target, dtype):
            return Tensor(rounded(self.array) if target is bfloat16 else self.array, target, self.device)
        _allocate(target)
        return Tensor(self.array, self.dtype, target)

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self.array, self.dtype, "cpu")

    def float(self):
        return self.to(float32)

    def numpy(self):
        if self.device != "cpu" or self.dtype is bfloat16:
            raise TypeError(f"can't convert {self.device} {self.dtype.name} tensor to numpy")
        return self.array


def _allocate(device):
    """Every card has 8 PEs, and is_available() does not look whether one is there."""
    index = int(device.removeprefix("furiosa:"))
    if index >= 8 * int(os.environ.get("FAKE_RNGD", "1")):
        raise OutOfMemoryError("failed to allocate 16 bytes")


def as_tensor(data):
    if not data.flags.writeable:
        raise UserWarning("The given NumPy array is not writable")
    return Tensor(data, _DTYPES[data.dtype.name], "cpu")


@contextlib.contextmanager
def no_grad():
    yield


def compile(model, *, fullgraph=False, dynamic=None, backend="inductor"):
    """Return at once: as with torch, nothing is compiled before the first call, and again for every other shape."""
    assert fullgraph and dynamic is False
    forward = {}

    def called(*tensors):
        shapes = tuple(tensor.array.shape for tensor in tensors)
        if shapes not in forward:
            forward[shapes] = backend(model, tensors)
        found = forward[shapes](*tensors)
        return found[0] if len(found) == 1 else found

    return called
