"""Commit, on request, the faults that real plug-ins and runtimes have been seen to commit.

Each is deliberate and named; none happens unless an option asks for it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Outputs = Mapping[str, "NDArray[Any]"]

#: Fault → what it does. Those marked * begin after ``fault_after`` good requests.
FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "": "none",
        "probe-raises": "probe() raises; by the environment variable alone, since probe() takes no options",
        "compile-refuses": "compile() raises Unsupported",
        "load-raises": "load() raises",
        "exit-in-load": "load() ends the process",
        "raise": "* a request raises",
        "exit": "* a request ends the process with status 3",
        "signal": "* a request ends the process by SIGSEGV",
        "hang": "* a request never returns",
        "gil-hang": "* a request never returns and holds the interpreter lock: no other thread runs, no Python signal handler",
        "memory-leak": "* each request keeps one MiB",
        "nan": "* outputs hold a NaN",
        "shape": "* outputs have lost their last column",
        "dtype": "* outputs are float64 (float32 where the model gives float64)",
        "missing-output": "* the first output is missing",
        "extra": "* there is one output more",
        "late-garbage": "* outputs are finite, of the right shape, and wrong",
        "stale": "* outputs are those of the request before, of the same batch size",
        "drop-done": "* one submitted request is never reported done",
        "double-done": "* one submitted request is reported done twice",
        "hang-in-close": "close() never returns",
    }
)

_leaked: list[bytearray] = []


def strike(fault: str) -> None:
    """Do to the process what ``fault`` says; return where it is none of those."""
    if fault == "raise":
        raise RuntimeError("SIMULATED device error 0x5A: the request was refused")
    if fault in ("exit", "exit-in-load"):
        os._exit(3)
    if fault == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault in ("hang", "hang-in-close"):
        hang()
    if fault == "gil-hang":
        hang_with_gil()
    if fault == "memory-leak":
        _leaked.append(bytearray(os.urandom(64) * (1 << 14)))


def hang() -> NoReturn:
    """Sleep for ever."""
    while True:
        time.sleep(3600.0)


def hang_with_gil() -> None:
    """Wait in C for ever, holding the interpreter lock: a mutex is locked twice by one thread.

    Unlike ``pause`` or ``sleep``, ``pthread_mutex_lock`` does not return on a signal (POSIX), so that only a signal which
    ends the process helps: what a runtime's faulty C extension looks like from outside.
    """
    lock = ctypes.PyDLL(None).pthread_mutex_lock
    mutex = ctypes.create_string_buffer(256)  # all zeros is PTHREAD_MUTEX_INITIALIZER with glibc and musl
    lock(mutex)
    lock(mutex)


def spoil(fault: str, outputs: Outputs, before: Outputs | None) -> dict[str, NDArray[Any]]:
    """Return ``outputs`` as ``fault`` would have them.

    Args:
        fault: One of :data:`FAULTS`; where it does not concern outputs they come back as they are.
        outputs: The right ones.
        before: The right ones of the request before of the same batch size, if there was one.
    """
    spoilt = dict(outputs)
    if fault == "stale" and before is not None:
        return dict(before)
    if fault == "missing-output":
        spoilt.pop(next(iter(spoilt)))
    elif fault == "extra":
        spoilt["extra"] = np.zeros(1, dtype=np.float32)
    elif fault in ("nan", "shape", "dtype", "late-garbage"):
        for name, values in outputs.items():
            spoilt[name] = _spoil_array(fault, values)
    return spoilt


def _spoil_array(fault: str, values: NDArray[Any]) -> NDArray[Any]:
    if fault == "shape":
        return np.ascontiguousarray(values[..., :-1])
    if fault == "dtype":
        return values.astype(np.float32 if values.dtype == np.float64 else np.float64)
    spoilt = values.copy()
    if fault == "nan":
        if spoilt.dtype.kind == "f" and spoilt.size:
            spoilt.flat[0] = np.nan
        return spoilt
    # Garbage of the usual kind: the right values at the wrong places. Rolled and negated, so that no class and no
    # value stays right, and still finite.
    garbage: NDArray[Any] = np.roll(-spoilt, 1, axis=-1) - spoilt.dtype.type(1)
    return garbage
