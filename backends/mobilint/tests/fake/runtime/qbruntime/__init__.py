"""A stand-in for qbruntime: the real one's names, signatures and quirks, with numpy for an NPU.

The machine is in the variable FAKE_MOBILINT, as JSON: ``devices`` (name → numbers), ``version``, ``stale`` (the defect of 1.2.0).
An artefact is an ``.npz`` of ``weight`` [height × width × channels in CHW order, classes] and ``facts``.
"""

from __future__ import annotations

import json
import os
import threading
import time
from enum import Enum

import numpy as np

_MACHINE = json.loads(os.environ.get("FAKE_MOBILINT", "{}"))
__version__ = _MACHINE.get("version", "v1.5.0")
_NAMES = ["aries", "aries-rb", "regulus", "regulus-ra", "regulus-rb", "regulus-usb", "regulus-ra-usb", "regulus-rb-usb"]


class QbRuntimeError(RuntimeError):
    pass


def _fail(code):
    return QbRuntimeError(f"{code} occurred.\nPlease visit https://docs.example/group__CPPAPI.html for more details.")


class Cluster(Enum):
    Cluster0 = 65536
    Cluster1 = 131072
    Error = 2147418112


class Core(Enum):
    Core0 = 1
    Core1 = 2
    Core2 = 3
    Core3 = 4
    All = 5
    GlobalCore = 65534
    Error = 65535


class CoreMode(Enum):
    Single = 0
    Multi = 1
    Global = 2
    Global4 = 3
    Global8 = 4
    Auto = 14
    Error = 15


class DataType(Enum):
    Float32 = 0
    Float16 = 1
    Int8 = 2
    Uint8 = 3
    BInt16 = 4
    Error = 5


class CoreId:
    def __init__(self, cluster, core):
        self.cluster, self.core = cluster, core


class Scale:
    def __init__(self, scale, is_uniform, scale_list, zero_point=0, is_asymmetric=False, zero_points=None):
        self.scale, self.is_uniform, self.scale_list = scale, is_uniform, scale_list
        self.zero_point, self.is_asymmetric, self.zero_points = zero_point, is_asymmetric, zero_points or []


class ModelConfig:
    def __init__(self, num_cores=None):
        self._mode, self._cores, self._slots, self._bundle, self._asynchronous = CoreMode.Auto, [], -1, -1, False

    def _set(self, mode, slots, cores=()):
        self._mode, self._slots, self._cores = mode, slots, list(cores)
        return True

    def set_auto_core_mode(self):
        return self._set(CoreMode.Auto, -1)

    def set_single_core_mode(self, num_cores=None, core_ids=None):
        if core_ids is None or num_cores is not None:
            raise ValueError("`set_single_core_mode` needs either `num_cores` or `core_ids`.")
        return self._set(CoreMode.Single, 2 * len(core_ids), core_ids) if core_ids else False

    def set_multi_core_mode(self, clusters=(Cluster.Cluster0, Cluster.Cluster1)):
        return self._set(CoreMode.Multi, 2 * len(clusters)) if clusters else False

    def set_global4_core_mode(self, clusters=(Cluster.Cluster0, Cluster.Cluster1)):
        return self._set(CoreMode.Global4, 2 * len(clusters)) if clusters else False

    def set_global8_core_mode(self):
        return self._set(CoreMode.Global8, 2)

    def force_single_npu_bundle(self, npu_bundle_index):
        if npu_bundle_index < -1:
            return False
        self._bundle = npu_bundle_index
        return True

    def get_forced_npu_bundle_index(self):
        return self._bundle

    def set_activation_slots(self, num):
        self._slots = num  # whatever it is, and nothing is returned

    def get_activation_slots(self):
        return self._slots

    def set_async_pipeline_enabled(self, enable):
        self._asynchronous = enable


def get_available_devices():
    return list(_MACHINE.get("devices", {}))


def get_available_device_numbers(device_name="auto"):
    return list(_MACHINE.get("devices", {}).get(device_name, []))


class Accelerator:
    def __init__(self, device_name="auto", dev_no=0):
        if isinstance(device_name, int):
            dev_no, device_name = device_name, "auto"
        if device_name != "auto" and device_name not in _NAMES:
            raise _fail("Acc_UnknownDevice")
        fitting = [name for name in get_available_devices() if device_name in ("auto", name)]
        if not fitting or dev_no not in get_available_device_numbers(fitting[0]):
            raise _fail("Acc_DeviceNotFound")
        self._name = fitting[0]

    def get_device_name(self):
        return self._name


class Future:
    """Holds its slot until ``get``, which works once."""

    def __init__(self, _future=None, _inputs=None):
        self._model, self._outputs, self._error, self._ready = _future, None, None, threading.Event()

    def wait_for(self, timeout_ms):
        return self._ready.wait(timeout_ms / 1000)

    def get(self):
        if self._model is None:
            raise _fail("Future_NotValid")
        self._ready.wait()
        self._model._slots.release()
        self._model = None
        if self._error is not None:
            raise self._error
        return [np.asarray(output) for output in self._outputs]


class Model:
    def __init__(self, path, model_config=None):
        config = model_config or ModelConfig()
        try:
            with np.load(path) as file:
                self._weight = file["weight"]
                facts = json.loads(file["facts"].tobytes().decode())
        except Exception:
            raise _fail("Model_FailedToLoadMXQ") from None
        modes = facts.get("modes", ["single"])
        if config._mode is CoreMode.Auto:
            if len(modes) > 1:
                raise _fail("Model_MXQAndModelConfigNotMatch")
            self._mode = CoreMode[modes[0].capitalize()]
        else:
            self._mode = config._mode
            if self._mode.name.lower() not in modes:
                raise _fail("Model_MXQAndModelConfigNotMatch")
        if config._bundle >= facts.get("bundles", 1):
            raise _fail("Model_NotSupported")
        self._facts, self._config, self._launched = facts, config, False
        self._cores = config._cores or [CoreId(Cluster.Cluster0, Core.Core0)]
        self._count, self._calls, self._lock = max(1, config._slots), 0, threading.Lock()
        self._slots = threading.Semaphore(self._count)
        # The runtime's own output buffers: a view of one is overwritten by the next request of the same thread.
        self._buffers = {}
        self._first = None

    def get_device_names(self):
        return list(self._facts.get("devices", ["aries-rb"]))

    def get_target_cores(self):
        return list(self._cores)

    def get_core_mode(self):
        return self._mode

    def get_model_input_shape(self):
        return [tuple(self._facts.get("shape", (8, 6, 3)))]

    def get_model_output_shape(self):
        return [(1, 1, self._weight.shape[1])]

    def get_model_input_data_type(self):
        return DataType[self._facts.get("dtype", "Float32")]

    def get_input_scale(self):
        return [Scale(**self._facts["input_scale"])] if "input_scale" in self._facts else []

    def get_output_scale(self):
        return [Scale(**self._facts["output_scale"])] if "output_scale" in self._facts else []

    def launch(self, acc):
        if self._launched:
            raise _fail("Model_AlreadyLaunched")
        if acc.get_device_name() not in self.get_device_names():
            raise _fail("Model_IsNotSupportedHardware")
        self._launched = True

    def dispose(self):
        self._launched = False

    def _format(self, inputs):
        """Return whether the arrays are HWC; where both fit they are."""
        inputs = inputs if isinstance(inputs, list) else [inputs]
        ((h, w, c),) = self.get_model_input_shape()
        if len(inputs) != 1 or inputs[0].shape[-3:] not in ((h, w, c), (c, h, w)) or inputs[0].ndim > 4:
            raise ValueError("Input shape is invalid.")
        return inputs[0], inputs[0].shape[-3:] == (h, w, c)

    def _compute(self, array, hwc):
        if not self._launched:
            raise _fail("Model_NotLaunched")
        kind = self.get_model_input_data_type()
        if (array.dtype == np.uint8) != (kind is DataType.Uint8) or array.dtype not in (np.float32, np.int8, np.uint8):
            raise _fail("Model_DtypeMismatched")
        batch = array.reshape(-1, *array.shape[-3:])
        values = batch.astype(np.float32)
        if array.dtype != np.float32:
            (scale,) = self.get_input_scale()
            values = (values - scale.zero_point) * scale.scale
        chw = np.moveaxis(values, -1, 1) if hwc else values
        scores = chw.reshape(len(chw), -1) @ self._weight
        if array.dtype == np.int8:
            (scale,) = self.get_output_scale()
            scores = np.clip(np.rint(scores / scale.scale), -128, 127).astype(np.int8)
        shape = (1, 1, scores.shape[1]) if hwc else (scores.shape[1], 1, 1)
        return scores.reshape(len(scores), *shape)

    def _keep(self, outputs):
        """Write the outputs into the buffer that the runtime has for this thread."""
        with self._lock:
            place = threading.get_ident(), outputs.shape
            self._calls += 1
            if _MACHINE.get("stale"):
                self._first = outputs.copy() if self._first is None else self._first
                outputs = self._first
            buffer = self._buffers.setdefault(place, np.empty_like(outputs))
            buffer[...] = outputs
            return [buffer]

    def infer(self, inputs, outputs=None, cache_size=0, params=None):
        array, hwc = self._format(inputs)
        with self._slots:
            return self._keep(self._compute(array, hwc))

    def infer_chw(self, inputs, outputs=None, cache_size=0, params=None):
        array, hwc = self._format(inputs)
        if hwc and array.shape[-3:] != array.shape[-3:][::-1]:
            raise ValueError("Input shape is invalid.")
        with self._slots:
            return self._keep(self._compute(array, False))

    def infer_async(self, inputs):
        if not self._config._asynchronous:
            raise _fail("Model_AsyncPipelineCheckFailed")
        array, hwc = self._format(inputs)
        if array.ndim == 4 and len(array) != 1:
            raise _fail("Model_NotSupported")
        self._slots.acquire()
        future = Future(self)
        with self._lock:
            late = self._calls % 2 == 0
        threading.Thread(target=self._finish, args=(future, array, hwc, late), daemon=True).start()
        return future

    def _finish(self, future, array, hwc, late):
        if late:
            time.sleep(0.002)  # the request behind overtakes
        try:
            outputs = self._compute(array, hwc)
            future._outputs = self._keep(outputs) if _MACHINE.get("stale") else [outputs]
        except Exception as error:
            future._error = error
        finally:
            if not _MACHINE.get("stale"):
                with self._lock:
                    self._calls += 1
            future._ready.set()
