"""Stands in for furiosa.runtime.sync 0.10: computes flattened image @ weight, from an artefact or an ONNX file it "compiles".

It is harsher than the vendor promises where a plug-in could rely on what nobody promised: the queue answers pairs in the
wrong order, and hands out one buffer which the next recv overwrites. FAKE_WEIGHT is the weight of an ONNX file.
"""

import contextlib
import io
import json
import os
import queue
import re
import threading
from pathlib import Path

import numpy as np


class FuriosaRuntimeError(Exception):
    pass


class SessionClosed(FuriosaRuntimeError):  # noqa: N818 - as the SDK has it
    pass


class InvalidInput(FuriosaRuntimeError):  # noqa: N818 - as the SDK has it
    pass


class DataType:
    def __init__(self, name):
        self._name = name

    @property
    def numpy_dtype(self):
        return np.dtype(self._name)


class TensorDesc:
    def __init__(self, name, shape, dtype, form):
        self._name, self._shape, self._dtype, self._form = name, tuple(shape), dtype, form

    @property
    def name(self):
        return self._name

    @property
    def shape(self):
        return self._shape

    @property
    def format(self):
        return self._form

    @property
    def dtype(self):
        return DataType(self._dtype)

    @property
    def numpy_dtype(self):
        return np.dtype(self._dtype)


class Model:
    def __init__(self, model, device, batch_size):
        if not re.fullmatch(r"npu:\d+:(0-1|0|1)|warboy(\([12]\))?\*\d+", device or "warboy(2)*1"):
            raise FuriosaRuntimeError(f"invalid device format: {device}")
        path = os.fspath(model)
        content = Path(path).read_bytes()
        if path.endswith(".enf"):
            if not content.startswith(b"PK"):
                raise FuriosaRuntimeError("fail to load ENF: invalid format")
            stored = np.load(io.BytesIO(content))
            facts = json.loads(stored["facts"].tobytes().decode())
            if facts.get("compiler", "0.10.0") != "0.10.0":
                raise FuriosaRuntimeError(
                    "incompatible model image: invalid value: integer `169282073`, expected variant index 0 <= i < 11"
                )
            self.weight, batch = stored["weight"], facts.get("batch", 1)
        else:
            if b"Conv" in content:
                raise FuriosaRuntimeError("fail to compile the model: unsupported operator Conv")
            if b"MatMul" not in content:
                raise FuriosaRuntimeError("fail to compile the model: OnnxFormatError: failed to decode Protobuf message")
            if b"DeviceFault" in content:
                raise FuriosaRuntimeError("NPU error: DMA timeout")
            facts, batch = {}, batch_size or 1
            self.weight = np.load(os.environ["FAKE_WEIGHT"])
        self.dtype = facts.get("dtype", "float32")
        self._inputs = [TensorDesc(facts.get("input", "image"), (batch, 3, 8, 6), self.dtype, "NCHW")]
        self._outputs = [TensorDesc("scores", (batch, 5), "float32", "NC?")]

    @property
    def input_num(self):
        return 1

    @property
    def output_num(self):
        return 1

    def inputs(self):
        return self._inputs

    def outputs(self):
        return self._outputs

    def compute(self, inputs):
        for desc, array in zip(self._inputs, inputs, strict=True):
            if array.shape != desc.shape or array.dtype != desc.numpy_dtype:
                raise InvalidInput(f"Invalid input tensors: {array.dtype} {array.shape}")
        values = inputs[0].astype(np.float32)
        if self.dtype == "uint8":
            values /= 255
        return [values.reshape(len(values), -1) @ self.weight]


class Runner:
    def __init__(self, model):
        self._model, self._open = model, True

    @property
    def model(self):
        return self._model

    def run(self, inputs):
        if not self._open:
            raise SessionClosed("session closed")
        return self._model.compute(inputs if isinstance(inputs, list) else [inputs])

    def close(self):
        self._open = False
        return True


class _Line:
    """What is between the two ends of a queue."""

    def __init__(self, model, input_queue_size, output_queue_size):
        self.model = model
        self.asked = queue.Queue(input_queue_size or 0)
        self.answers = queue.Queue(output_queue_size or 0)
        self.buffer = np.zeros(model.outputs()[0].shape, np.float32)
        self.open = True
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            pair = [self.asked.get()]
            with contextlib.suppress(queue.Empty):
                pair.append(self.asked.get(timeout=0.0005))
            for item in reversed(pair):
                if item is not None:
                    context, inputs = item
                    self.answers.put((context, self.model.compute(inputs)))
            if None in pair:
                return


class Submitter:
    def __init__(self, line):
        self._line = line

    @property
    def model(self):
        return self._line.model

    def submit(self, inputs, context=None):
        if not self._line.open:
            raise SessionClosed("Submitter has been closed")
        # A driver copies to the device before it says that it has taken a request.
        self._line.asked.put((context, [np.array(array) for array in (inputs if isinstance(inputs, list) else [inputs])]))

    def close(self):
        if self._line.open:
            self._line.open = False
            self._line.asked.put(None)
        return True


class Receiver:
    def __init__(self, line):
        self._line = line

    @property
    def model(self):
        return self._line.model

    def recv(self, timeout=None):
        context, outputs = self._line.answers.get(timeout=timeout)
        if os.environ.get("FAKE_RECV") == "fails":
            raise FuriosaRuntimeError("NPU error: DMA timeout")
        self._line.buffer[:] = outputs[0]
        return context, [self._line.buffer]

    def close(self):
        return True


def create_runner(model, *, device=None, worker_num=None, batch_size=None, compiler_config=None):
    return Runner(Model(model, device, batch_size))


def create_queue(
    model,
    *,
    device=None,
    worker_num=None,
    batch_size=None,
    input_queue_size=None,
    output_queue_size=None,
    compiler_config=None,
):
    line = _Line(Model(model, device, batch_size), input_queue_size, output_queue_size)
    return Submitter(line), Receiver(line)
