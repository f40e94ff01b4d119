"""Stands in for furiosa_smi 2026.4.0: FAKE_RNGD cards (1), FAKE_POWER (41.0), FAKE_THROTTLE (Idle)."""

import enum
import os

__version__ = "2026.4.0"


class SmiError(Exception):
    pass


class DeviceNotFoundError(SmiError):
    pass


class ThrottleReason(enum.Enum):
    AppClockCap = 1
    AppPowerCap = 2
    GovClockCap = 3
    HwBusLimit = 4
    HwClockCap = 5
    HwPowerCap = 6
    Idle = 7
    OtherReason = 8
    ThermalSlowdown = 9
    Unknown = 10


class Arch(enum.Enum):
    Rngd = "RNGD"

    def __str__(self):
        return self.value


class VersionInfo:
    def major(self):
        return 2026

    def minor(self):
        return 4

    def patch(self):
        return 0

    def metadata(self):
        return None

    def prerelease(self):
        return None


class Bdf:
    def __init__(self, bus):
        self._bus = bus

    def domain(self):
        return 0

    def bus(self):
        return self._bus

    def device(self):
        return 0

    def function(self):
        return 0


class DeviceTemperature:
    def ambient(self):
        return 31.0

    def soc_peak(self):
        return 38.5


class Device:
    def __init__(self, index):
        self._index = index

    def arch(self):
        return Arch.Rngd

    def bdf(self):
        return Bdf(0x17 + self._index)

    def core_frequency(self):
        return dict.fromkeys(range(8), 1000)

    def core_num(self):
        return 8

    def device_name(self):
        return f"npu{self._index}"

    def device_temperature(self):
        return DeviceTemperature()

    def firmware_version(self):
        return VersionInfo()

    def numa_node(self):
        return 0

    def power_consumption(self):
        return float(os.environ.get("FAKE_POWER", "41.0"))

    def serial(self):
        return f"RNGD000{self._index}"

    def throttle_reason(self):
        return ThrottleReason[os.environ.get("FAKE_THROTTLE", "Idle")]

    def uuid(self):
        return f"00000000-0000-0000-0000-00000000000{self._index}"


def list_devices():
    # Cards come in no order.
    return [Device(index) for index in reversed(range(int(os.environ.get("FAKE_RNGD", "1"))))]


def driver_info():
    if not list_devices():
        raise DeviceNotFoundError("device not found: no available device to read driver version")
    return VersionInfo()
