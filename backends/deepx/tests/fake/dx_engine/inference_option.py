"""Options by property and by method."""

import enum
import os


class InferenceOption:
    class BOUND_OPTION(enum.IntEnum):  # noqa: N801 - the vendor's own name
        NPU_ALL = 0
        NPU_0 = 1
        NPU_1 = 2
        NPU_2 = 3
        NPU_01 = 4
        NPU_12 = 5
        NPU_02 = 6

    def __init__(self):
        self.use_ort = False
        self.bound_option = self.BOUND_OPTION.NPU_ALL
        self.devices = []
        if os.environ.get("FAKE_DX_RELEASE") != "2.9.5":
            self.buffer_count = 6

    def set_use_ort(self, use_ort):
        self.use_ort = bool(use_ort)

    def set_bound_option(self, boundOption):  # noqa: N803 - the vendor's own name
        self.bound_option = self.BOUND_OPTION(boundOption)

    def set_devices(self, devices):
        self.devices = list(devices)
