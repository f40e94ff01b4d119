"""Stands in for furiosa.torch 2026.4.0, its traps included: available with no card, compiles at the first call, aborts.

FAKE_COMPILER = "abort", "abort by the HAL" or "no toolchain" chooses how the compiler fails; FAKE_COMPILES is a file that
gets a line for every compilation that no cache saved.
"""

import os
import sys
from pathlib import Path

from furiosa.torch import config

import torch

_fusion = []


class UnsupportedOpError(Exception):
    pass


class Fusion:
    def __init__(self, num_fusion):
        self._num_fusion = num_fusion

    @property
    def num_fusion(self):
        return self._num_fusion


def set_fusion(num_fusion):
    if _fusion:
        raise RuntimeError("num fusion is already set")
    _fusion.append(num_fusion)
    return get_fusion()


def get_fusion():
    if not _fusion:
        _fusion.append(1)
    return Fusion(_fusion[0])


def is_available(device=None):
    return True


def get_available_devices():
    return [f"furiosa:{n}" for n in range(64)]


class _Backend:
    def __init__(self, compiler_config=None, *, eager_fallback=False, decomp_overrides={}):  # noqa: B006 - as the SDK has it
        self.compiler_config, self.eager_fallback = compiler_config, eager_fallback

    @classmethod
    def with_config(cls, compiler_config=None, *, eager_fallback=False, decomp_overrides={}):  # noqa: B006
        return cls(compiler_config, eager_fallback=eager_fallback, decomp_overrides=decomp_overrides)

    def __call__(self, gm, example_inputs):
        get_fusion()
        _compile(gm, self, example_inputs)
        return lambda *tensors: _run(gm, tensors)


backend = _Backend()


_PANICS = {
    "abort": "npu-compiler/src/lir.rs:162:9:\nEdgeIndex(162) has empty transition cost table",
    "abort by the HAL": "furiosa-torch/src/cpp/stream.rs:14:13:\nFailed to get current stream: HAL error on ClusterId(npu0pe0): "
    "librenegade.so: cannot open shared object file: No such file or directory",
}


def _compile(gm, wanted, tensors):
    how = os.environ.get("FAKE_COMPILER", "")
    if how in _PANICS:
        # As the real one was seen to end: the cause, then a backtrace of hundreds of lines, then a second panic with another.
        frame = "     0x7ff857558ba3 - PyObject_Vectorcall\n          at Objects/call.c:299:12\n"
        trace = "stack backtrace:\n" + "".join(f"  {n:3}:{frame}" for n in range(180))
        for panic in (_PANICS[how], "core/src/panicking.rs:225:5:\npanic in a function that cannot unwind"):
            sys.stderr.write(f"\nthread '<unnamed>' (660) panicked at {panic}\n{trace}")
        sys.stderr.write("thread caused non-unwinding panic. aborting.\n")
        sys.stderr.flush()
        os.abort()
    if how == "no toolchain":
        raise UnsupportedOpError("failed to compile. Caused by: No such file or directory (os error 2)")
    if any(node.name == "Conv" for node in gm.graph.nodes) and not wanted.eager_fallback:
        raise UnsupportedOpError("align_up_required: Conv2d(512, 512, 3, padding=1) cannot be lowered")
    entry = Path(config.current.root_dir) / f"{len(gm.graph.nodes)}-{gm.dtype.name}-{len(tensors[0].array)}"
    if not entry.exists():
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.write_text("compiled")
        with Path(os.environ["FAKE_COMPILES"]).open("a") as file:
            file.write(f"{gm.dtype.name} {wanted.compiler_config.implicit_type_casting}\n")


def _run(gm, tensors):
    (image,) = tensors
    assert image.device == gm.device and image.dtype is gm.dtype
    scores = image.array.reshape(len(image.array), -1) @ gm.weight
    result = torch.Tensor(scores, torch.float32, gm.device)
    return [result.to(torch.bfloat16) if gm.dtype is torch.bfloat16 else result]
