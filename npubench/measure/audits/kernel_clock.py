"""Read the monotonic clock by a call of the kernel's own, past Python's functions and past the C library's."""

from __future__ import annotations

import ctypes
import platform

from npubench.measure import dispatch

#: ``clock_gettime``'s number by machine (arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h).
_CALL = {"x86_64": 228, "aarch64": 113, "riscv64": 113}
#: linux/time.h
_CLOCK_MONOTONIC = 1

#: How often the two clocks are held against each other: the smallest difference counts, so that a wait in between does not.
_LOOKS = 20


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def monotonic_ns() -> int | None:
    """Return the kernel's monotonic clock, ns; ``None`` on a machine whose call number is not known."""
    number = _CALL.get(platform.machine())
    if number is None:
        return None
    now = _Timespec()
    try:
        answer = ctypes.CDLL(None).syscall(ctypes.c_long(number), ctypes.c_long(_CLOCK_MONOTONIC), ctypes.byref(now))
    except (OSError, AttributeError):
        return None
    return int(now.seconds) * 1_000_000_000 + int(now.nanoseconds) if answer == 0 else None


def clock_off_ns() -> int | None:
    """Return how far the clock that stamps the columns lies outside of two readings of the kernel's around it, ns."""
    off: int | None = None
    for _ in range(_LOOKS):
        before, stamp, after = monotonic_ns(), dispatch._now(), monotonic_ns()
        if before is None or after is None:
            return None
        outside = max(before - stamp, stamp - after, 0)
        off = outside if off is None else min(off, outside)
    return off
