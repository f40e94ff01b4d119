"""The engine."""

import contextlib
import json
import os
import queue
import threading

import numpy as np

from dx_engine.device_status import DeviceStatus


def _read(path):
    try:
        with np.load(path) as stored:
            weight, facts = stored["weight"], json.loads(stored["facts"].tobytes())
    except (ValueError, KeyError, OSError):
        raise RuntimeError("[DXRT] invalid DXNN header") from None
    if facts.get("version", 7) < 6:
        raise RuntimeError(f"[DXRT] DXNN file version {facts['version']} is not supported, 6 or later is")
    return weight, facts


def parse_model(model_path):
    _, facts = _read(model_path)
    return f"DXNN Model Ver. : {facts.get('version', 7)}\n"


class InferenceEngine:
    alive = 0

    def __init__(self, model_path, inference_option=None):
        self._weight, self._facts = _read(model_path)
        self._option = inference_option
        if not inference_option or any(index >= DeviceStatus.get_device_count() for index in inference_option.devices):
            raise RuntimeError("[DXRT] no such device")
        self._callback = None
        self._disposed = False
        self._results = queue.Queue()
        self._free = queue.SimpleQueue()
        for _ in range(getattr(inference_option, "buffer_count", 6)):
            self._free.put(np.zeros((1, self._weight.shape[1]), np.float32))
        self._job = 0
        self._lock = threading.Lock()
        self._worker = threading.Thread(target=self._serve, daemon=True)
        self._worker.start()
        InferenceEngine.alive += 1

    def get_input_tensors_info(self):
        return [
            {"name": "image", "shape": self._facts.get("shape", [1, 8, 6, 3]), "dtype": np.uint8, "elem_size": 1},
        ]

    def get_output_tensors_info(self):
        return [{"name": "scores", "shape": [1, self._weight.shape[1]], "dtype": np.float32, "elem_size": 4}]

    def get_task_order(self):
        return np.array(self._facts.get("tasks", ["npu_0"]))

    def run(self, input_data, output_buffers=None, user_args=None):
        scores = self._scores(input_data)
        if self._callback is not None:
            self._callback([scores], None)
        return [scores]

    def run_async(self, input_data, user_arg=None, output_buffer=None):
        # A request that finds no buffer free waits here.
        buffer = self._free.get()
        buffer[...] = self._scores(input_data)
        with self._lock:
            self._job += 1
            job = self._job
        if job % 3 == 0:
            self._complete(buffer, user_arg)
        else:
            self._results.put((buffer, user_arg))
        return job

    def register_callback(self, callback):
        self._callback = callback

    def dispose(self):
        if not self._disposed:
            self._disposed = True
            self._results.put(None)
            self._worker.join()
            InferenceEngine.alive -= 1

    def _scores(self, input_data):
        if self._disposed:
            raise RuntimeError("[DXRT] the engine is disposed")
        (image,) = input_data
        if image.dtype != np.uint8 or list(image.shape) != [8, 6, 3] or not image.flags.c_contiguous:
            raise RuntimeError(f"[DXRT] input is {image.dtype} {image.shape}")
        planes = np.transpose(image, (2, 0, 1)).reshape(1, -1)
        return (planes.astype(np.float32) / np.float32(255)) @ self._weight

    def _complete(self, buffer, user_arg):
        # The buffer is the request's until its callback has returned.
        if self._callback is not None and self._callback([buffer], user_arg) != 0:
            os.abort()
        buffer[...] = np.nan
        self._free.put(buffer)

    def _serve(self):
        while (item := self._results.get()) is not None:
            held = [item]
            with contextlib.suppress(queue.Empty):
                held.append(self._results.get(timeout=0.001))
            ends = None in held
            for buffer, user_arg in reversed([each for each in held if each is not None]):
                self._complete(buffer, user_arg)
            if ends:
                return
