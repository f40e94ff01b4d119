"""A stand-in for mbltml as mobilint-ml 1.5.0 has it: a device is a type and a number among that type.

FAKE_MBLTML, as JSON: ``devices`` = list of [type, node name]; empty or absent = no driver.
"""

# ruff: noqa: N802 - the names are the vendor's
from __future__ import annotations

import json
import os

MBLTML_DRIVER_ARIES, MBLTML_DRIVER_REGULUS, MBLTML_DRIVER_REGULUS_USB = 1, 2, 4
MBLTML_TARGET_DEVICE_ARIES_RA = 1
MBLTML_TARGET_DEVICE_REGULUS_RA = 2
MBLTML_TARGET_DEVICE_ARIES_RB = 3
MBLTML_TARGET_DEVICE_REGULUS_RB = 4
MBLTML_TARGET_DEVICE_REGULUS_RA_USB = 5
MBLTML_TARGET_DEVICE_REGULUS_RB_USB = 6

_MACHINE = json.loads(os.environ.get("FAKE_MBLTML", "{}"))
_READY = []


class MBLTMLError(Exception):
    pass


class MBLTMLUninitializedError(MBLTMLError):
    pass


class MBLTMLNotSupportedError(MBLTMLError):
    pass


class MBLTMLDeviceNotFoundError(MBLTMLError):
    pass


def mbltmlInit():
    if "devices" not in _MACHINE:
        raise MBLTMLUninitializedError("Uninitilized mbltml.")
    _READY.append(True)


def mbltmlShutdown():
    _READY.clear()


def _of(target_device_type, dev_no):
    if not _READY:
        raise MBLTMLUninitializedError("Uninitilized mbltml.")
    mates = [node for kind, node in _MACHINE["devices"] if kind == target_device_type]
    if not 0 <= dev_no < len(mates):
        raise MBLTMLDeviceNotFoundError("Device not found.")
    return mates[dev_no]


def mbltmlGetDeviceCount():
    return len(_MACHINE["devices"])


def mbltmlGetTargetDeviceCount(target_device_type):
    return len([1 for kind, _ in _MACHINE["devices"] if kind == target_device_type])


def mbltmlGetDriverVersion(driver_type):
    return "1.13.0"


def mbltmlGetNodeName(target_device_type, dev_no):
    return _of(target_device_type, dev_no)


def mbltmlGetTotalPower(target_device_type, dev_no):
    node = _of(target_device_type, dev_no)
    if target_device_type not in (MBLTML_TARGET_DEVICE_ARIES_RA, MBLTML_TARGET_DEVICE_ARIES_RB):
        raise MBLTMLNotSupportedError("Not supported.")
    return 15.5 + int(node[-1])


def mbltmlGetTemperature(target_device_type, dev_no):
    _of(target_device_type, dev_no)
    return 51


def mbltmlGetTotalUtilization(target_device_type, dev_no):
    _of(target_device_type, dev_no)
    return 0.25


def mbltmlGetNPUClock(target_device_type, dev_no):
    _of(target_device_type, dev_no)
    return 1250
