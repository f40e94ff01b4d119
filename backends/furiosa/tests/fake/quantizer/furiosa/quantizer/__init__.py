"""Stands in for furiosa.quantizer 0.10: "quantising" leaves the graph as it is, once it has seen samples."""

import enum


class CalibrationMethod(enum.IntEnum):
    MIN_MAX_ASYM = 0
    PERCENTILE_ASYM = 3


class Calibrator:
    def __init__(self, model, calibration_method, *, percentage=99.99):
        assert isinstance(model, bytes) and isinstance(calibration_method, CalibrationMethod)
        self._low, self._high = [], []

    def collect_data(self, calibration_dataset):
        for arrays in calibration_dataset:
            assert all(len(array) == 1 for array in arrays)
            self._low.append(float(arrays[0].min()))
            self._high.append(float(arrays[0].max()))

    def compute_range(self, verbose=False):
        if not self._low:
            raise RuntimeError("collect_data must be called before compute_range")
        return {"image": (min(self._low), max(self._high))}


def quantize(model, tensor_name_to_range):
    if b"Conv" in model:
        raise ValueError("Unsupported operator: Conv")
    return model
