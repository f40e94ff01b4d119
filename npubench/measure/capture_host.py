"""Capture the host as the kernel shows it: firmware, memory, kernel, control group, container, clock.

Files: Documentation/ABI/testing/sysfs-firmware-dmi*, sysfs-devices-edac; proc(5); cgroups(7); containers say what they are
by ``/.dockerenv`` (Docker) and ``/run/.containerenv`` (Podman).
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

from npubench.measure import smbios
from npubench.measure.neighbours import cgroup_cores, cgroup_memory, cgroup_quota
from npubench.measure.surroundings import ROOT, text_of

#: What firmware has where its maker wrote nothing.
_BLANK = re.compile(
    r"(to be filled by o\.?e\.?m\.?|default string|not specified|none|n/a|0+|system (product name|serial number))?", re.IGNORECASE
)

#: linux/timex.h: the clock is not held to another one.
_STA_UNSYNC = 0x40


def facts(root: Path) -> dict[str, str]:
    """Return fact id → text; what cannot be read is left out."""
    memory = _table(root / "proc/meminfo")
    found: dict[str, str | None] = {
        "host-vendor": _dmi(root, "sys_vendor"),
        "host-product": _dmi(root, "product_name"),
        "host-serial": _dmi(root, "product_serial"),
        "board": _dmi(root, "board_vendor", "board_name"),
        "bios-version": _dmi(root, "bios_vendor", "bios_version"),
        "bios-date": _dmi(root, "bios_date"),
        "memory": _gib(memory.get("MemTotal")),
        "memory-modules": _modules(root),
        "swap": _gib(memory.get("SwapTotal")),
        "huge-pages": _huge_pages(memory),
        "transparent-huge-pages": _chosen(root / "sys/kernel/mm/transparent_hugepage/enabled"),
        "kernel": " ".join(filter(None, (text_of(root / f"proc/sys/kernel/{name}") for name in ("osrelease", "version")))),
        "kernel-command-line": text_of(root / "proc/cmdline"),
        "clock-source": text_of(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        **_group(root),
        **_container(root),
        "load-average": (text_of(root / "proc/loadavg") or "").partition(" ")[0],
        "memory-available": _gib(memory.get("MemAvailable")),
        "swap-used": _gib(memory["SwapTotal"] - memory["SwapFree"]) if {"SwapTotal", "SwapFree"} <= memory.keys() else None,
        "uptime": _uptime(root),
        # The clock is the kernel's, which a folder cannot stand for.
        "time-sync": time_sync() if root == ROOT else None,
        **_temperatures(root),
    }
    return {key: value for key, value in found.items() if value}


def time_sync() -> str | None:
    """Return whether the clock is held to another one and how far it may be off, by adjtimex(2); ``None`` if not told.

    The call changes nothing: its field ``modes`` is 0.
    """
    # struct timex of glibc on a machine of 64 bits: modes, offset, freq, maxerror, esterror, status, and more of no use here.
    buffer = (ctypes.c_long * 32)()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(buffer))
    except (OSError, AttributeError):
        return None
    if state < 0 or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    status = ctypes.c_int.from_buffer(buffer, 5 * 8).value
    if status & _STA_UNSYNC:
        return "not held to another clock"
    return f"held to another clock, within {buffer[3] / 1000:.3g} ms"


def _dmi(root: Path, *names: str) -> str:
    texts = [text_of(root / "sys/class/dmi/id" / name) or "" for name in names]
    return " ".join(text for text in texts if not _BLANK.fullmatch(text.strip()))


def _table(path: Path) -> dict[str, int]:
    """Return ``Name: 123 kB`` rows as name → number."""
    rows = re.findall(r"^(\w+(?:\(\w+\))?):\s+(\d+)", text_of(path) or "", re.MULTILINE)
    return {name: int(number) for name, number in rows}


def _gib(kib: int | None) -> str | None:
    return None if kib is None else f"{kib / 2**20:.1f} GiB"


def _huge_pages(memory: dict[str, int]) -> str | None:
    if not {"HugePages_Total", "Hugepagesize"} <= memory.keys():
        return None
    return f"{memory['HugePages_Total']} of {memory['Hugepagesize'] / 1024:g} MiB"


def _chosen(path: Path) -> str | None:
    """Return the word in brackets, as in ``always [madvise] never``."""
    found = re.search(r"\[(\w+)\]", text_of(path) or "")
    return found[1] if found else None


def _modules(root: Path) -> str:
    """Return the DIMMs: by the firmware's table where this user may read it, else by the memory controller's driver."""
    try:
        table = (root / "sys/firmware/dmi/tables/DMI").read_bytes()
    except OSError:
        table = b""
    found = smbios.modules(table)
    if not found:
        for dimm in sorted(root.glob("sys/devices/system/edac/mc/mc*/dimm*")):
            size, kind = text_of(dimm / "size"), text_of(dimm / "dimm_mem_type")
            if size and size.isdigit() and int(size):
                found.append(f"{int(size) / 1024:g} GiB {kind or ''}".strip())
    return ", ".join(f"{found.count(each)} × {each}" for each in dict.fromkeys(found))


def _uptime(root: Path) -> str | None:
    seconds = (text_of(root / "proc/uptime") or "").partition(".")[0]
    return f"{seconds} s" if seconds.isdigit() else None


def _group(root: Path) -> dict[str, str | None]:
    """Return the limits of the control group; one that has none has no such fact."""
    quota, memory = cgroup_quota(root), cgroup_memory(root)
    return {
        "cpu-quota": None if quota is None else f"{quota:g} CPUs",
        "cpu-set": cgroup_cores(root),
        "memory-limit": None if memory is None else f"{memory / 2**30:.1f} GiB",
    }


def _container(root: Path) -> dict[str, str | None]:
    told = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text_of(root / "run/.containerenv") or "", re.MULTILINE))
    first = dict(re.findall(r"(?:^|\0)(container)=([^\0]*)", text_of(root / "proc/1/environ") or ""))
    kind = told.get("engine") or ("docker" if (root / ".dockerenv").exists() else None) or first.get("container")
    image = " ".join(filter(None, (told.get("image"), told.get("imageid"))))
    return {"container": kind, "container-id": told.get("id") or _container_id(root), "container-image": image or None}


def _container_id(root: Path) -> str | None:
    """Return the id of 64 hexadecimal digits by which Docker, containerd and CRI-O name the group or the mounted files."""
    groups = text_of(root / "proc/self/cgroup") or ""
    mounts = text_of(root / "proc/self/mountinfo") or ""
    found = re.search(r"(?:docker|containerd|crio|libpod|kubepods)\S*?([0-9a-f]{64})", groups) or re.search(
        r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)", mounts
    )
    return found[1] if found else None


def _temperatures(root: Path) -> dict[str, str]:
    """Return the temperature of each zone and chip; of several of one name, the highest."""
    found: dict[str, float] = {}
    named = [(text_of(zone.parent / "type"), zone) for zone in root.glob("sys/class/thermal/thermal_zone*/temp")]
    named += [(text_of(chip.parent / "name"), chip) for chip in root.glob("sys/class/hwmon/hwmon*/temp*_input")]
    for name, path in named:
        text = text_of(path) or ""
        if name and re.fullmatch(r"-?\d+", text):
            found[name] = max(found.get(name, -273.0), int(text) / 1000)
    return {f"temperature:{name}": f"{value:g} °C" for name, value in sorted(found.items())}
