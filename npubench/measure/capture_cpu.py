"""Capture processors and NUMA nodes as the kernel shows them (Documentation/ABI/testing/sysfs-devices-system-cpu)."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from npubench.measure.surroundings import cpu_list, text_of

_CPU = "sys/devices/system/cpu"
_NODE = "sys/devices/system/node"

#: What a machine without a faulty or mitigated part says of a fault.
_SOUND = "Not affected"


def facts(root: Path) -> dict[str, str]:
    """Return fact id → text; what cannot be read is left out."""
    cpu = root / _CPU
    info = text_of(root / "proc/cpuinfo") or ""
    found = {
        "cpu": _row(info, "model name") or _row(info, "Model"),
        "microcode": _row(info, "microcode"),
        "sockets": _count(root, "physical_package_id"),
        "cores": _cores(root),
        "threads": str(len(cpu_list(text_of(cpu / "online") or "")) or ""),
        "cpu-max": _megahertz(cpu / "cpu0/cpufreq/cpuinfo_max_freq"),
        "cpu-base": _megahertz(cpu / "cpu0/cpufreq/base_frequency"),
        "caches": _caches(root),
        "smt": text_of(cpu / "smt/control"),
        "mitigations": _mitigations(root),
        "governor": _of_all(root, "scaling_governor"),
        "frequency-driver": text_of(cpu / "cpu0/cpufreq/scaling_driver"),
        "turbo": _turbo(cpu),
        "isolated-cores": text_of(cpu / "isolated"),
        "numa-nodes": _nodes(root),
        "clock-now": _megahertz(cpu / "cpu0/cpufreq/scaling_cur_freq") or _spoken(_row(info, "cpu MHz")),
    }
    return {key: value for key, value in found.items() if value}


def _row(info: str, name: str) -> str | None:
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", info, re.MULTILINE)
    return found[1].strip() if found else None


def _spoken(megahertz: str | None) -> str | None:
    return f"{float(megahertz):.0f} MHz" if megahertz and re.fullmatch(r"\d+(\.\d+)?", megahertz) else None


def _megahertz(path: Path) -> str | None:
    """Return what cpufreq writes in kHz."""
    text = text_of(path) or ""
    return f"{int(text) / 1000:g} MHz" if text.isdigit() else None


def _topology(root: Path, name: str) -> dict[str, str]:
    """Return logical CPU → one of the files below its ``topology``."""
    paths = root.glob(f"{_CPU}/cpu[0-9]*/topology/{name}")
    # A core that the firmware does not place has -1.
    return {path.parent.parent.name: text for path in paths if (text := text_of(path)) and text != "-1"}


def _count(root: Path, name: str) -> str:
    return str(len(set(_topology(root, name).values())) or "")


def _cores(root: Path) -> str:
    """Return how many pairs of package and core there are."""
    packages, cores = _topology(root, "physical_package_id"), _topology(root, "core_id")
    dies = _topology(root, "die_id")
    return str(len({(packages.get(cpu), dies.get(cpu), core) for cpu, core in cores.items()}) or "")


def _of_all(root: Path, name: str) -> str:
    """Return a cpufreq setting of every core: one word where they agree."""
    return ", ".join(sorted({text for path in root.glob(f"{_CPU}/cpu[0-9]*/cpufreq/{name}") if (text := text_of(path))}))


def _turbo(cpu: Path) -> str | None:
    if (off := text_of(cpu / "intel_pstate/no_turbo")) in ("0", "1"):
        return "off" if off == "1" else "on"
    if (on := text_of(cpu / "cpufreq/boost")) in ("0", "1"):
        return "on" if on == "1" else "off"
    return None


def _caches(root: Path) -> str:
    """Return ``L1d 32K, L1i 32K, L2 1024K, L3 32768K``."""
    found = {}
    for index in root.glob(f"{_CPU}/cpu0/cache/index[0-9]*"):
        level, kind, size = (text_of(index / name) for name in ("level", "type", "size"))
        if level and size:
            found[f"L{level}{ {'Data': 'd', 'Instruction': 'i'}.get(kind or '', '') }"] = size
    return ", ".join(f"{name} {size}" for name, size in sorted(found.items()))


def _mitigations(root: Path) -> str:
    """Return each fault that the processor has with what is done about it, and a digest that changes with any of them."""
    states = {path.name: text for path in sorted(root.glob(f"{_CPU}/vulnerabilities/*")) if (text := text_of(path))}
    if not states:
        return ""
    digest = hashlib.sha256("\n".join(f"{name}: {state}" for name, state in states.items()).encode()).hexdigest()[:8]
    there = [f"{name}: {state}" for name, state in states.items() if state != _SOUND]
    return f"{'; '.join(there) or 'none needed'} (digest {digest})"


def _nodes(root: Path) -> str:
    """Return each node with its logical CPUs and memory."""
    found = []
    for node in sorted(root.glob(f"{_NODE}/node[0-9]*"), key=lambda path: int(path.name.removeprefix("node"))):
        cpus = text_of(node / "cpulist")
        total = re.search(r"MemTotal:\s+(\d+) kB", text_of(node / "meminfo") or "")
        memory = f", {int(total[1]) / 2**20:.1f} GiB" if total else ""
        found.append(f"{node.name.removeprefix('node')}: CPUs {cpus or 'none'}{memory}")
    return "; ".join(found)
