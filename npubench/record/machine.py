"""Describe the machine, read from itself and never typed in."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a record says of the host; fields as in :class:`npubench.record.schema.System`."""

    system_id: str
    hostname: str
    operating_system: str
    kernel: str
    architecture: str
    cpu: str
    physical_cores: int | None
    logical_cores: int
    memory_bytes: int
    governor: str | None
    virtualisation: str | None


def describe_machine() -> Machine:
    """Read the description of this machine."""
    hostname = platform.node() or "unknown"
    cpu = _cpu_model()
    logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = int(psutil.virtual_memory().total)
    architecture = platform.machine()
    # What makes it another system. Memory in GiB, since kernels reserve a little more or less of it.
    identity = f"{hostname}|{cpu}|{os.cpu_count()}|{round(memory / 2**30)}|{architecture}"
    slug = re.sub(r"[^a-z0-9]+", "-", hostname.lower()).strip("-") or "system"
    return Machine(
        system_id=f"{slug}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}",
        hostname=hostname,
        operating_system=_distribution(),
        kernel=platform.release(),
        architecture=architecture,
        cpu=cpu,
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=logical,
        memory_bytes=memory,
        governor=_read(_GOVERNOR),
        virtualisation=_hypervisor(),
    )


def device_rows(device: Mapping[str, Any]) -> dict[str, str]:
    """Flatten what the worker tells of the device."""
    rows = {key: str(device[key]) for key in ("name", "kind") if key in device}
    return rows | {str(k): str(v) for k, v in device.get("details", {}).items()}


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.platform()


def _hypervisor() -> str | None:
    """Return the hypervisor's name where the kernel shows one."""
    with contextlib.suppress(OSError):
        if re.search(r"^flags\s*:.*\bhypervisor\b", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE):
            return _read(Path("/sys/class/dmi/id/sys_vendor")) or "unknown hypervisor"
    return None


def _read(path: Path) -> str | None:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8").strip() or None
    return None
