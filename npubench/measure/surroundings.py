"""Look at what on this machine would spoil a measurement: clocks, heat, memory, limits. Standard library only.

Every function reads the kernel's files below ``root`` and nothing else, so that a folder can stand for a machine. What
cannot be read is ``unknown`` and never ``ok``. Who else uses the machine is in :mod:`npubench.measure.neighbours`.

The files are those of the kernel's own documentation: Documentation/ABI/{stable,testing}/sysfs-*,
Documentation/admin-guide/{pm,cgroup-v1,cgroup-v2,sysctl}, and proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path("/")

Verdict = Literal["ok", "warn", "unknown"]

#: Below this share of memory the kernel begins to write pages back and to swap.
LEAST_AVAILABLE = 0.10
#: Swap in use below this is what an idle system has parked, bytes.
SWAP_PARKED = 64 << 20
#: This near to a trip point of its zone, a chip is about to be slowed, m°C.
NEAR_TRIP_MC = 10_000
#: Room for records and bundles, bytes.
LEAST_ROOM = 2 << 30
#: A worker with a vendor's SDK opens several hundred files.
LEAST_FILES = 1024

#: Clock sources that are read without leaving user space (a vDSO read), so that a time stamp costs some 20 ns.
_FAST_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "timebase", "riscv_clocksource", "tod")
#: Those that cost a microsecond or more a reading.
_SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit", "xen")


@dataclass(frozen=True, slots=True)
class Sight:
    """One thing looked at.

    Args:
        name: What it is, in a few words; unique in an examination.
        verdict: ``"ok"``, ``"warn"``, or ``"unknown"``: it cannot be read here.
        seen: What is there.
        why: What it does to a measurement.
        advice: What to do about it; empty when ok.
    """

    name: str
    verdict: Verdict
    seen: str
    why: str
    advice: str = ""


def governor(root: Path = ROOT) -> Sight:
    """Look at the frequency governor of every core."""
    why = "a governor that saves power runs the first queries of a burst at a low clock"
    found = _values(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    if not found:
        return Sight("governor", "unknown", "this machine shows none", why, "on a virtual machine, set it on its host")
    if found == ["performance"]:
        return Sight("governor", "ok", "performance on every core", why)
    return Sight("governor", "warn", ", ".join(found), why, "sudo cpupower frequency-set -g performance")


def turbo(root: Path = ROOT) -> Sight:
    """Look whether clocks may rise above the base clock."""
    why = "boosted clocks follow heat and neighbours, so that the same run differs from hour to hour"
    cpu = root / "sys/devices/system/cpu"
    no_turbo, boost = _number(cpu / "intel_pstate/no_turbo"), _number(cpu / "cpufreq/boost")
    if no_turbo is None and boost is None:
        return Sight("turbo", "unknown", "this machine does not say", why, "see the firmware's setting, or the host's")
    if no_turbo == 1 or (no_turbo is None and boost == 0):
        return Sight("turbo", "ok", "off", why)
    file, value = ("intel_pstate/no_turbo", 1) if no_turbo is not None else ("cpufreq/boost", 0)
    return Sight(
        "turbo", "warn", "on", why, f"echo {value} | sudo tee /sys/devices/system/cpu/{file}, or declare it with the system"
    )


def smt(root: Path = ROOT) -> Sight:
    """Look whether two logical CPUs share a core."""
    why = "two threads on one core slow each other down, at random"
    active = _number(root / "sys/devices/system/cpu/smt/active")
    if active is None:
        return Sight("SMT", "unknown", "this machine does not say", why, "see the firmware's setting, or the host's")
    if active == 0:
        return Sight("SMT", "ok", "off", why)
    advice = "echo off | sudo tee /sys/devices/system/cpu/smt/control, or keep the second thread of each core in free_cores"
    return Sight("SMT", "warn", "on", why, advice)


def power_supply(root: Path = ROOT) -> Sight:
    """Look whether the machine runs on its battery."""
    why = "on a battery, clocks are held down"
    supplies = [path.parent for path in sorted(root.glob("sys/class/power_supply/*/type"))]
    mains = [_number(each / "online") for each in supplies if text_of(each / "type") in ("Mains", "USB")]
    has_battery = any(text_of(each / "type") == "Battery" and text_of(each / "scope") != "Device" for each in supplies)
    if has_battery and 1 not in mains:
        return Sight("power supply", "warn", "battery", why, "plug the machine in")
    return Sight("power supply", "ok", "mains" if 1 in mains else "no battery", why)


def heat(root: Path = ROOT) -> Sight:
    """Look at every thermal zone against its trip points, and whether a core has been throttled since boot."""
    why = "a hot chip lowers its clock in the middle of a window"
    advice = "let it cool, clear its air, and look again; a record's temperatures show it as well"
    zones, near = [], []
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        now = _number(zone / "temp")
        # A zone that is off reads as nothing, 0 or below; a trip point of 0 or below is none.
        if now is None or now <= 0:
            continue
        name = text_of(zone / "type") or zone.name
        zones.append(f"{name} {now / 1000:.0f} °C")
        trips = [trip for file in zone.glob("trip_point_*_temp") if _is_limit(file) and (trip := _number(file)) and trip > 0]
        if trips and now >= min(trips) - NEAR_TRIP_MC:
            near.append(zones[-1])
    counts = [_number(path) or 0 for path in root.glob("sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")]
    if near:
        return Sight("heat", "warn", f"near its limit: {', '.join(near)}", why, advice)
    if any(counts):
        return Sight("heat", "warn", f"cores were throttled {max(counts)} times since boot", why, advice)
    if not zones and not counts:
        return Sight("heat", "unknown", "this machine shows no thermal zone", why, "see the host's, or the board's own monitor")
    seen = ", ".join(zones[:4]) + (f" and {len(zones) - 4} more" if len(zones) > 4 else "")
    return Sight("heat", "ok", seen or "no core was throttled since boot", why)


def clock_source(root: Path = ROOT) -> Sight:
    """Look at what the kernel reads the time from."""
    why = "a slow clock adds its own microseconds to every query"
    path = "sys/devices/system/clocksource/clocksource0"
    now = text_of(root / path / "current_clocksource")
    if now is None:
        return Sight("clock source", "unknown", "this machine does not say", why, "npubench calibrate measures what it costs")
    if now in _FAST_CLOCKS:
        return Sight("clock source", "ok", now + (", a virtual machine's own" if now.startswith(("kvm", "hyperv")) else ""), why)
    there = (text_of(root / path / "available_clocksource") or "").split()
    better = next((name for name in _FAST_CLOCKS if name in there), None)
    advice = f"echo {better} | sudo tee /{path}/current_clocksource" if better else "look in dmesg why tsc was given up"
    if now in _SLOW_CLOCKS:
        return Sight("clock source", "warn", now, why, advice)
    return Sight("clock source", "unknown", now, why, "npubench calibrate measures what it costs")


def timer(resolution_ns: int | None, slack_ns: int | None) -> Sight:
    """Judge how finely this process can be woken.

    Args:
        resolution_ns: What ``clock_getres`` says of the monotonic clock, ns.
        slack_ns: The timer slack that took effect after 1 ns was asked for, ns; ``None`` where it cannot be set.
    """
    why = "the server scenario issues each query at its own instant; a coarse timer makes it late"
    seen = ", ".join(
        f"{what} {value} ns" for what, value in (("resolution", resolution_ns), ("slack", slack_ns)) if value is not None
    )
    if resolution_ns is not None and resolution_ns > 1_000:
        return Sight("timer", "warn", seen, why, "boot a kernel with CONFIG_HIGH_RES_TIMERS and without highres=off")
    if slack_ns is not None and slack_ns > 1:
        return Sight("timer", "warn", seen, why, "run npubench outside a sandbox that refuses prctl(PR_SET_TIMERSLACK)")
    if resolution_ns is None or slack_ns is None:
        return Sight("timer", "unknown", seen or "cannot be read", why, "a record's finding 'timer-slack' says what a worker got")
    return Sight("timer", "ok", seen, why)


def memory(root: Path = ROOT) -> Sight:
    """Look how much memory is left, and whether processes wait for it."""
    why = "the kernel takes pages away and stalls whoever touches them"
    found = _table(root / "proc/meminfo")
    total, left = found.get("MemTotal"), found.get("MemAvailable")
    if not total or left is None:
        return Sight("memory", "unknown", "cannot be read", why, "look with: free -m")
    waiting = _pressure(root / "proc/pressure/memory")
    seen = f"{left / 2**20:.1f} of {total / 2**20:.1f} GiB available" + (f", pressure {waiting:g} %" if waiting else "")
    if left < LEAST_AVAILABLE * total or waiting >= 1.0:
        return Sight("memory", "warn", seen, why, "end what holds it, or measure smaller batches; see: ps aux --sort=-rss")
    return Sight("memory", "ok", seen, why)


def swap(root: Path = ROOT) -> Sight:
    """Look whether memory was swapped out."""
    why = "a page that has to be read back from disk is a latency of milliseconds"
    found = _table(root / "proc/meminfo")
    total, left = found.get("SwapTotal"), found.get("SwapFree")
    if total is None or left is None:
        return Sight("swap", "unknown", "cannot be read", why, "look with: swapon --show")
    used = total - left
    if used << 10 > SWAP_PARKED:
        return Sight(
            "swap", "warn", f"{used / 2**10:.0f} MiB in use", why, "sudo swapoff -a && sudo swapon -a, once memory allows"
        )
    return Sight("swap", "ok", f"{used / 2**10:.0f} MiB in use" if total else "none", why)


def huge_pages(root: Path = ROOT) -> Sight:
    """Look whether the kernel stops a process to make huge pages for it."""
    why = "compacting memory inside a page fault stalls the query that took it"
    folder = root / "sys/kernel/mm/transparent_hugepage"
    enabled, defrag = _chosen(folder / "enabled"), _chosen(folder / "defrag")
    if enabled is None:
        return Sight("huge pages", "unknown", "this machine does not say", why, "see the host's setting")
    seen = f"{enabled}, defrag {defrag or 'unknown'}"
    if enabled == "always" and defrag == "always":
        advice = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/defrag"
        return Sight("huge pages", "warn", seen, why, advice)
    return Sight("huge pages", "ok", seen, why)


def numa(cores: Iterable[int], root: Path = ROOT) -> Sight:
    """Look whether the cores that workers may use lie on one memory node.

    Args:
        cores: Logical CPUs that workers may use.
    """
    why = "memory of another node is slower, and which a worker gets changes from run to run"
    nodes = {path.name: cpu_list(text_of(path / "cpulist") or "") for path in root.glob("sys/devices/system/node/node[0-9]*")}
    if not nodes:
        return Sight("memory nodes", "unknown", "this machine does not say", why, "look with: numactl --hardware")
    used = {name for name, cpus in nodes.items() if cpus & set(cores)}
    moves = _number(root / "proc/sys/kernel/numa_balancing") or 0
    reclaims = _number(root / "proc/sys/vm/zone_reclaim_mode") or 0
    if len(used) > 1:
        one = min(used)
        advice = f"run it as: numactl --cpunodebind={one[4:]} --membind={one[4:]} npubench run …, on the device's own node"
        return Sight("memory nodes", "warn", f"cores on {len(used)} of {len(nodes)} nodes", why, advice)
    if len(nodes) > 1 and (moves or reclaims):
        seen = " and ".join(w for w, on in (("numa_balancing", moves), ("zone_reclaim_mode", reclaims)) if on) + " on"
        return Sight("memory nodes", "warn", seen, why, "sudo sysctl kernel.numa_balancing=0 vm.zone_reclaim_mode=0")
    return Sight("memory nodes", "ok", f"cores on {len(used)} of {len(nodes)} nodes", why)


def limits(root: Path = ROOT) -> Sight:
    """Look at this process's limits on open files and locked memory."""
    why = "drivers map and lock buffers; at a limit an SDK fails in the middle of a night"
    soft: dict[str, str] = {}
    for row in (text_of(root / "proc/self/limits") or "").splitlines():
        for name in ("Max open files", "Max locked memory"):
            if row.startswith(name) and len(row.split()) > 3:
                soft[name] = row.removeprefix(name).split()[0]
    files = soft.get("Max open files", "")
    if not files:
        return Sight("limits", "unknown", "cannot be read", why, "look with: ulimit -a")
    seen = f"open files {files}, locked memory {soft.get('Max locked memory', 'unknown')}"
    if files.isdigit() and int(files) < LEAST_FILES:
        return Sight("limits", "warn", seen, why, "ulimit -n 65536, in the shell that starts npubench")
    return Sight("limits", "ok", seen, why)


def meters(root: Path = ROOT) -> Sight:
    """Look for energy counters and power sensors of the host that a host file could name; devices bring their own."""
    why = "without one there is no figure for the host's energy; devices bring their own by their backends"
    counters = sorted(root.glob("sys/class/powercap/*/energy_uj"))
    gauges = sorted([*root.glob("sys/class/hwmon/*/power*_input"), *root.glob("sys/class/hwmon/*/energy*_input")])
    readable = [path for path in (*counters, *gauges) if os.access(path, os.R_OK)]
    if readable:
        chips = sorted({text_of(path.parent / "name") or "hwmon" for path in readable if path in gauges})
        names = [*(["RAPL"] if any(path in counters for path in readable) else []), *chips]
        named = 'meter.cpu = { kind = "rapl", domain = "chip" }'
        if names[0] != "RAPL":
            named = f'meter.board = {{ kind = "hwmon", domain = "board", settings = {{ chip = "{names[0]}" }} }}'
        return Sight(
            "meters", "warn", f"{', '.join(names)} here, and no host file names it", why, f"write in testbed.toml: {named}"
        )
    if counters or gauges:
        advice = f"sudo chmod a+r /{(*counters, *gauges)[0].relative_to(root)}, which the kernel keeps from users since 5.10"
        return Sight("meters", "warn", "there, and not readable by this user", why, advice)
    advice = "put a meter before the machine, or measure on bare metal with RAPL or a BMC, and name it in the host file"
    return Sight("meters", "warn", "none", why, advice)


def room(what: str, folder: Path, least: int = LEAST_ROOM) -> Sight:
    """Look how much room a folder's disk has.

    Args:
        what: What the folder is for, such as ``"store"``.
        folder: The folder; it need not be there yet.
        least: What a night may need, bytes.
    """
    why = "a full disk ends the night; finished runs are kept"
    there = next((each for each in (folder, *folder.parents) if each.exists()), None)
    try:
        found = os.statvfs(there or folder)
    except OSError:
        return Sight(f"room of {what}", "unknown", f"{folder} cannot be looked at", why, "choose another folder")
    free = found.f_bavail * found.f_frsize
    seen = f"{free / 2**30:.1f} GiB free at {folder}"
    if free < least:
        return Sight(f"room of {what}", "warn", seen, why, "make room, or choose another folder")
    return Sight(f"room of {what}", "ok", seen, why)


def cpu_list(text: str) -> set[int]:
    """Return the logical CPUs of a list as the kernel writes it, such as ``"0-3,8"``; what is no number is left out."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (last or first).isdigit():
            found |= set(range(int(first), int(last or first) + 1))
    return found


def _is_limit(trip: Path) -> bool:
    kind = text_of(trip.with_name(trip.name.replace("_temp", "_type")))
    return kind in ("passive", "hot", "critical")


def text_of(path: Path) -> str | None:
    """Return a file's text; ``None`` where it is not there or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    try:
        return int(text_of(path) or "")
    except ValueError:
        return None


def _values(root: Path, pattern: str) -> list[str]:
    """Return the different texts of all files that fit, sorted."""
    return sorted({text for path in root.glob(pattern) if (text := text_of(path))})


def _table(path: Path) -> dict[str, int]:
    """Return ``Name: 123 kB`` rows as name → number."""
    found = {}
    for row in (text_of(path) or "").splitlines():
        name, _, rest = row.partition(":")
        if rest.split()[:1] and rest.split()[0].isdigit():
            found[name] = int(rest.split()[0])
    return found


def _pressure(path: Path) -> float:
    """Return the share of the last 10 s in which some process waited, %; 0 where the kernel does not count it."""
    for row in (text_of(path) or "").splitlines():
        for part in row.split() if row.startswith("some") else ():
            if part.startswith("avg10="):
                return float(part.removeprefix("avg10="))
    return 0.0


def _chosen(path: Path) -> str | None:
    """Return the word in brackets, as in ``always [madvise] never``."""
    return next((word[1:-1] for word in (text_of(path) or "").split() if word.startswith("[") and word.endswith("]")), None)
