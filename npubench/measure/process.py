"""Set up the worker's process for measuring, say what took effect, and end processes with all that they started."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

#: linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29
PR_GET_TIMERSLACK = 30

#: How long a thread that was joined may stand in /proc, ns: the kernel takes it away a moment after its end is seen.
_LEAVE_NS = 50_000_000

#: How long a thread may keep the interpreter while another wants it, s. The default of 5 ms is longer than
#: many inferences; below 0.1 ms switching itself shows.
SWITCH_INTERVAL_S = 0.0005

Setting = str | int | float | bool | None


def _prctl(option: int, argument: int) -> int | None:
    """Call ``prctl``; ``None`` where there is none."""
    try:
        return int(ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(argument), 0, 0, 0))
    except (OSError, AttributeError):
        return None


def die_with_parent(parent: int) -> None:
    """Be killed when the supervisor dies, whatever kills it. Threads of a plug-in go with the process."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a process group and reap its leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def prepare(cores: Sequence[int]) -> dict[str, Setting]:
    """Set timer slack to 1 ns, a short switch interval and the CPU affinity.

    A trial halved server-scenario latency by the timer slack alone: the default of 50 µs delays every sleep.

    Returns:
        What took effect, for the record.
    """
    # The slack of a new thread is its creator's, so LoadGen's and the plug-in's threads have it too.
    _prctl(PR_SET_TIMERSLACK, 1)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if cores:
        with contextlib.suppress(OSError, AttributeError):
            os.sched_setaffinity(0, cores)
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return {
        "timer_slack_ns": _prctl(PR_GET_TIMERSLACK, 0),
        "switch_interval_s": sys.getswitchinterval(),
        "garbage_collection": "off while measuring",
        "cores": ",".join(str(core) for core in affinity),
    }


def bearings() -> Callable[[], None]:
    """Note the working folder and the file mode mask; the function returned puts them back, whatever an SDK made of them."""
    folder = os.getcwd()  # noqa: PTH109 - what chdir takes
    mask = os.umask(0o077)
    os.umask(mask)

    def restore() -> None:
        os.umask(mask)
        with contextlib.suppress(OSError):
            os.chdir(folder)

    return restore


@contextlib.contextmanager
def quiet_interpreter() -> Iterator[None]:
    """Collect garbage once, then keep the collector off: a collection inside the window is a latency spike."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def residue(threads_before: int) -> list[str]:
    """Say what a closed executor left behind in this process: threads, children, open devices."""
    found = []
    with contextlib.suppress(OSError):
        left = _lasting_threads(threads_before)
        if left > 0:
            found.append(f"{left} threads")
    with contextlib.suppress(OSError):
        children = [c for t in os.listdir("/proc/self/task") for c in _children(t)]  # noqa: PTH208
        if children:
            found.append(f"{len(children)} child processes")
    with contextlib.suppress(OSError):
        devices = {d for d in map(_opened, os.listdir("/proc/self/fd")) if d.startswith("/dev/")}  # noqa: PTH208
        devices -= {"/dev/null", "/dev/urandom", "/dev/random", "/dev/tty"}
        found.extend(f"open {device}" for device in sorted(devices) if not device.startswith(("/dev/pts", "/dev/shm")))
    return found


def _lasting_threads(threads_before: int) -> int:
    """Return how many more threads there are than before; a thread that was joined may stand in /proc for a moment."""
    until = time.monotonic_ns() + _LEAVE_NS
    while (left := len(os.listdir("/proc/self/task")) - threads_before) > 0:  # noqa: PTH208 - /proc has no use for Path
        if time.monotonic_ns() > until:
            break
        time.sleep(0.001)
    return left


def _children(thread: str) -> list[str]:
    with open(f"/proc/self/task/{thread}/children") as file:  # noqa: PTH123
        return file.read().split()


def _opened(descriptor: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    return ""
