"""Describe the machine, read from itself and never typed in."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from npubench.analyze.courses import Course
from npubench.contract.facts import FACTS
from npubench.measure.capture import Captured, sort_facts
from npubench.measure.capture_device import told

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


def stable_facts(captured: Captured, observed: Mapping[str, Any]) -> dict[str, str]:
    """Return the captured facts that change only when somebody changes the machine, by id, in the table's order.

    Args:
        captured: Of the host, by the supervisor.
        observed: What the worker wrote down (``worker.json``).
    """
    return dict(_in_order({**captured.stable, **_of_device(observed).stable}))


def volatile_facts(
    captured: Captured, observed: Mapping[str, Any], courses: Sequence[Course] = (), window: tuple[int, int] | None = None
) -> dict[str, str]:
    """Return the captured facts that change by themselves, by id, in the table's order.

    Args:
        captured: Of the host, by the supervisor, before the run.
        observed: What the worker wrote down.
        courses: Clocks and temperatures of the device over the run.
        window: Start and end of the measured window, ns; without it nothing is taken from ``courses``.
    """
    found = {**captured.volatile, **_of_device(observed).volatile}
    start, end = window or (0, -1)
    for course in courses:
        inside = course.values[(course.times_ns >= start) & (course.times_ns <= end)]
        if len(inside) and course.kind == "clock":
            found[f"device-clock:{course.name}"] = f"{float(np.median(inside)) / 1e6:.0f} MHz"
        elif len(inside) and course.kind == "temperature":
            found[f"device-temperature:{course.name}"] = f"{float(inside.max()) / 1000:g} °C"
    return dict(_in_order(found))


def _of_device(observed: Mapping[str, Any]) -> Captured:
    """Return the facts of device and software: what the kernel shows of it stands above what the plug-in tells."""
    device = observed.get("device", {})
    facts = {
        **told(observed.get("versions", {})),
        **told(device.get("details", {})),
        **observed.get("captured", {}),
    }
    # Of the driver, the probe tells the version, and the kernel at least the name.
    driver = {name: text for name, text in told(observed.get("versions", {})).items() if name == "device-driver"}
    if device.get("kind"):
        facts["device-kind"] = str(device["kind"])
    limit = observed.get("settings", {}).get("power_limit_mw")
    if isinstance(limit, int) and limit > 0:
        facts["device-power-cap"] = f"{limit / 1000:g} W"
    packages = observed.get("packages", {})
    if packages:
        listed = "\n".join(f"{name}=={version}" for name, version in sorted(packages.items()))
        facts["packages-digest"] = f"sha256:{hashlib.sha256(listed.encode()).hexdigest()[:16]} over {len(packages)}"
    return sort_facts({**facts, **driver}.items())


def _in_order(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    order = {name: n for n, name in enumerate(FACTS)}
    return sorted(facts.items(), key=lambda item: (order.get(item[0].partition(":")[0], len(order)), item[0]))


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
