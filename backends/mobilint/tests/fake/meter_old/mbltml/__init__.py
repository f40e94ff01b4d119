"""A stand-in for mbltml 0.0.0: a device is its number among all; type 4 is REGULUS_USB.

FAKE_MBLTML, as JSON: ``devices`` = list of [family, node name]; absent = no driver.
"""

# ruff: noqa: N802 - the names are the vendor's
from __future__ import annotations

import json
import os

MBLTML_DEVICE_ERROR, MBLTML_DEVICE_ARIES, MBLTML_DEVICE_REGULUS, MBLTML_DEVICE_REGULUS_USB = 0, 1, 2, 4

_MACHINE = json.loads(os.environ.get("FAKE_MBLTML", "{}"))
_READY = []


class MBLTMLError(Exception):
    pass


class MBLTMLUninitializedError(MBLTMLError):
    pass


class MBLTMLInvalidArgumentError(MBLTMLError):
    pass


class MBLTMLNotSupportedError(MBLTMLError):
    pass


def mbltmlInit():
    mbltmlInitDevices({MBLTML_DEVICE_ARIES, MBLTML_DEVICE_REGULUS, MBLTML_DEVICE_REGULUS_USB})


def mbltmlInitDevices(device_types):
    if "devices" not in _MACHINE:
        raise MBLTMLUninitializedError("Uninitilized mbltml.")
    _READY.append(device_types)


def mbltmlShutdown():
    _READY.clear()


def _of(dev_no):
    if not _READY:
        raise MBLTMLUninitializedError("Uninitilized mbltml.")
    if not 0 <= dev_no < len(_MACHINE["devices"]):
        raise MBLTMLInvalidArgumentError("Invalid argument.")
    return _MACHINE["devices"][dev_no]


def mbltmlGetDeviceCount():
    return len(_MACHINE["devices"])


def mbltmlGetDeviceType(dev_no):
    return _of(dev_no)[0]


def mbltmlGetDriverVersion(device_type):
    return "1.13.0"


def mbltmlGetNodeName(dev_no):
    return _of(dev_no)[1]


def mbltmlGetTotalPower(dev_no):
    family, node = _of(dev_no)
    if family != MBLTML_DEVICE_ARIES:
        raise MBLTMLNotSupportedError("Not supported.")
    return 15.5 + int(node[-1])


def mbltmlGetTemperature(dev_no):
    _of(dev_no)
    return 51


def mbltmlGetTotalUtilization(dev_no):
    _of(dev_no)
    return 25.0


def mbltmlGetNPUClock(dev_no):
    _of(dev_no)
    return 1250
