"""What IREE is here: its runtime, its compiler, and the CPU it compiles for."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import platform
from pathlib import Path

from npubench.contract import Availability, Device, Rung

INSTALL = "pip install 'npubench-iree[compiler]'"

#: Where Linux describes the CPUs (proc_cpuinfo(5)); x86 says ``flags``, Arm says ``Features``.
_CPUINFO = Path("/proc/cpuinfo")


def probe() -> Availability:
    """Say whether IREE's runtime is here; the device is ``cpu``."""
    try:
        runtime = importlib.import_module("iree.runtime")
        drivers = list(runtime.query_available_drivers())
    except ModuleNotFoundError as error:
        if error.name not in ("iree", "iree.runtime"):
            return _broken(error)
        return Availability(Rung.NOT_INSTALLED, "the Python package iree.runtime is not installed", INSTALL)
    except Exception as error:
        return _broken(error)
    versions = {name: text for name in ("iree-base-runtime", "iree-base-compiler") if (text := installed(name))}
    if "local-task" not in drivers:
        return Availability(
            Rung.NO_DEVICE,
            f"this build of IREE's runtime has no driver for the CPU; it has {', '.join(drivers) or 'none'}",
            f"install the published build: {INSTALL}",
            versions,
        )
    return Availability(Rung.READY, versions=versions, devices=(cpu(),))


def cpu() -> Device:
    """Return this machine's CPU; ``features`` is a digest of what it can do, for code that is compiled for it alone."""
    said: dict[str, str] = {}
    try:
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            said.setdefault(key.strip().lower(), value.strip())
    except OSError:
        pass
    features = " ".join(sorted((said.get("flags") or said.get("features") or "").split()))
    kind = said.get("model name") or platform.processor() or platform.machine()
    digest = hashlib.sha256(features.encode()).hexdigest()[:12] if features else "unknown"
    return Device("cpu", kind, {"architecture": platform.machine(), "features": digest}, host=True)


def installed(distribution: str) -> str:
    """Return the version of an installed distribution; "" where there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _broken(error: Exception) -> Availability:
    words = " ".join(str(error).split())
    return Availability(
        Rung.SDK_BROKEN, f"iree.runtime cannot be used: {type(error).__name__}: {words}", f"reinstall it: {INSTALL}"
    )
