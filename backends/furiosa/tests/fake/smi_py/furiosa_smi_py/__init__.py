"""Stands in for furiosa_smi_py 2026.1.2: FAKE_RNGD RNGDs (1) and FAKE_WARBOY Warboys (0), FAKE_THROTTLE_MASK (1, idle)."""

import enum
import os

THROTTLE_REASON_NONE = 0
THROTTLE_REASON_IDLE = 1
THROTTLE_REASON_THERMAL_SLOWDOWN = 2

_ready = []


class Arch(enum.Enum):
    Rngd = "rngd"
    Warboy = "warboy"

    def __str__(self):
        return self.value


class VersionInfo:
    def major(self):
        return 1

    def minor(self):
        return 11

    def patch(self):
        return 0

    def metadata(self):
        return ""

    def prerelease(self):
        return ""


class DeviceInfo:
    def __init__(self, index, arch):
        self._index, self._arch = index, arch

    def arch(self):
        return self._arch

    def bdf(self):
        return f"0000:{0x17 + self._index:02x}:00.0"

    def core_num(self):
        return 8 if self._arch is Arch.Rngd else 2

    def firmware_version(self):
        return VersionInfo()

    def name(self):
        return f"npu{self._index}"

    def numa_node(self):
        return 0

    def serial(self):
        return f"SN{self._index}"

    def uuid(self):
        return f"U{self._index}"


class DeviceTemperature:
    def ambient(self):
        return 31.0

    def soc_peak(self):
        return 40.25


class PeFrequency:
    def __init__(self, core):
        self._core = core

    def core(self):
        return self._core

    def frequency(self):
        return 1000 - self._core


class CoreFrequency:
    def pe_frequency(self):
        return [PeFrequency(core) for core in range(8)]


class Device:
    def __init__(self, index, arch):
        self._info = DeviceInfo(index, arch)

    def device_info(self):
        return self._info

    def core_frequency(self):
        return CoreFrequency()

    def device_temperature(self):
        return DeviceTemperature()

    def power_consumption(self):
        return float(os.environ.get("FAKE_POWER", "39.0"))

    def throttle_reason(self):
        return int(os.environ.get("FAKE_THROTTLE_MASK", "1"))


def init():
    _ready.append(True)


def list_devices():
    if not _ready:
        raise RuntimeError("Library is not initialized")
    rngd, warboy = int(os.environ.get("FAKE_RNGD", "1")), int(os.environ.get("FAKE_WARBOY", "0"))
    return [Device(n, Arch.Rngd if n < rngd else Arch.Warboy) for n in range(rngd + warboy)]


def driver_info():
    if not list_devices():
        raise RuntimeError("Device not found error")
    return VersionInfo()
