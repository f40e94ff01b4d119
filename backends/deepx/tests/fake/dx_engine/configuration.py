"""Versions."""

import os


class Configuration:
    def get_version(self):
        return os.environ.get("FAKE_DX_RELEASE", "3.1.0")

    def get_driver_version(self):
        return "2.1.0"

    def get_pcie_driver_version(self):
        if not int(os.environ.get("FAKE_DX_DEVICES", "1")):
            raise RuntimeError("cannot open /dev/dxrt0")
        return "2.0.1"
