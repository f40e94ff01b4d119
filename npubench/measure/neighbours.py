"""Look at who else is on this machine: processes, holders of an accelerator, a container's limits, a hypervisor.

As in :mod:`npubench.measure.surroundings`, everything is read below ``root``, and what cannot be read is ``unknown``.
What is a rate is the difference of two :class:`Counters`, read at two times.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from npubench.measure.surroundings import ROOT, Sight, cpu_list, text_of

#: Device files of accelerators: NVIDIA, Mobilint, Furiosa, Rebellions, DeepX, AMD, Ascend, and the kernel's own class.
ACCELERATORS = re.compile(
    r"/dev/(nvidia\d+|aries\d+|regulus.*|rngd.*|npu\d+.*|warboy.*|rbln\d+|rsd\d+|dxrt.*|kfd|davinci\d+|accel/.+|dri/renderD\d+)"
)

#: Others may use this share of one CPU before it shows, and a load of so many waiting processes.
BUSY = 0.10
BUSY_LOAD = 0.5
#: Time that a hypervisor gave to others, as a share of all CPU time.
STOLEN = 0.001

#: Fields of a cpu row in proc(5): idle and iowait are no work; guest time is counted in user already.
_IDLE, _STEAL, _COUNTED = (3, 4), 7, 8


@dataclass(frozen=True, slots=True)
class Counters:
    """What the kernel has counted up to now, in its clock ticks.

    Args:
        cpu: The row ``cpu`` of ``/proc/stat``; empty where it cannot be read.
        processes: Process id → name and CPU time.
    """

    cpu: tuple[int, ...] = ()
    processes: Mapping[int, tuple[str, int]] = field(default_factory=dict)


def count(root: Path = ROOT) -> Counters:
    """Read the counters of the machine and of every visible process."""
    cpu: tuple[int, ...] = ()
    for row in (text_of(root / "proc/stat") or "").splitlines():
        if row.startswith("cpu "):
            cpu = tuple(int(part) for part in row.split()[1:] if part.isdigit())
    processes = {}
    for pid in _pids(root):
        # The name stands in parentheses and may hold any character; user and system time are fields 14 and 15.
        text = text_of(root / f"proc/{pid}/stat") or ""
        name, _, rest = text.partition("(")[2].rpartition(")")
        fields = rest.split()
        with contextlib.suppress(ValueError, IndexError):
            processes[pid] = (name, int(fields[11]) + int(fields[12]))
    return Counters(cpu, processes)


def load(before: Counters, after: Counters, cpus: int, own: Iterable[int] = (), root: Path = ROOT) -> Sight:
    """Look how much CPU time others use, and who.

    Args:
        before: The counters at the beginning of a while.
        after: Those at its end.
        cpus: Logical CPUs of the machine.
        own: Processes that do not count, such as this one.
        root: The machine.
    """
    why = "whoever shares the cores shares the latency"
    advice = "wait for them or end them; in a shared machine, ask for cores of your own"
    waiting = (text_of(root / "proc/loadavg") or "").split()[:1]
    passed = _passed(before, after)
    if not waiting or not passed:
        return Sight("load", "unknown", "cannot be read", why, "look with: top")
    all_ticks = sum(passed[:_COUNTED])
    a_cpu = all_ticks / max(1, cpus)
    used = {pid: ticks - before.processes[pid][1] for pid, (_, ticks) in after.processes.items() if pid in before.processes}
    mine = sum(used.get(pid, 0) for pid in own)
    shares = {pid: used[pid] / a_cpu for pid in used if pid not in set(own) and a_cpu}
    busy = (all_ticks - sum(passed[i] for i in (*_IDLE, _STEAL)) - mine) / a_cpu if a_cpu else 0.0
    top = sorted((pid for pid in shares if shares[pid] >= BUSY / 2), key=lambda pid: -shares[pid])[:3]
    names = ", ".join(f"{after.processes[pid][0]} ({pid}) {shares[pid]:.0%}" for pid in top)
    hidden = busy - sum(shares.values())
    if hidden >= BUSY:
        names += ("; " if names else "") + f"{hidden:.0%} by processes not visible from here"
    seen = f"load {float(waiting[0]):.2f}, others use {max(0.0, busy):.0%} of one CPU" + (f": {names}" if names else "")
    if busy >= BUSY or float(waiting[0]) >= BUSY_LOAD:
        return Sight("load", "warn", seen, why, advice)
    return Sight("load", "ok", seen, why)


def virtualisation(before: Counters, after: Counters, root: Path = ROOT) -> Sight:
    """Look whether a hypervisor is below, and how much time it gives to others."""
    why = "a hypervisor takes the CPU away without a trace in the guest's clocks"
    cpuinfo = text_of(root / "proc/cpuinfo")
    if cpuinfo is None:
        return Sight("hypervisor", "unknown", "cannot be read", why, "look with: systemd-detect-virt")
    passed = _passed(before, after)
    stolen = passed[_STEAL] / max(1, sum(passed[:_COUNTED])) if len(passed) > _STEAL else 0.0
    guest = re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE) or (root / "sys/hypervisor/type").exists()
    if not guest and stolen < STOLEN:
        return Sight("hypervisor", "ok", "none shown", why)
    name = text_of(root / "sys/class/dmi/id/sys_vendor") or text_of(root / "sys/hypervisor/type") or "unknown hypervisor"
    advice = "measure on bare metal for figures to publish; here, reserve the CPUs for this guest"
    return Sight("hypervisor", "warn", f"{name}, {stolen:.1%} of the time stolen just now", why, advice)


def holders(own: Iterable[int] = (), root: Path = ROOT) -> Sight:
    """Look which processes hold an accelerator's device file.

    Args:
        own: Processes that do not count, such as this one.
        root: The machine.
    """
    why = "two users of one device measure each other"
    found: dict[str, list[str]] = {}
    hidden = 0
    for pid in _pids(root):
        if pid in set(own):
            continue
        folder = root / f"proc/{pid}/fd"
        try:
            opened = {os.readlink(folder / name) for name in os.listdir(folder)}  # noqa: PTH115, PTH208 - links into nowhere
        except FileNotFoundError:
            continue
        except OSError:
            hidden += 1
            continue
        for device in sorted(each for each in opened if ACCELERATORS.fullmatch(each)):
            found.setdefault(device, []).append(f"{text_of(root / f'proc/{pid}/comm') or 'process'} ({pid})")
    if found:
        seen = "; ".join(f"{device} by {', '.join(who)}" for device, who in sorted(found.items()))
        return Sight("device in use", "warn", seen, why, "end them, or measure when they are done; see: fuser -v DEVICE")
    if hidden:
        seen = f"none seen, but {hidden} processes of other users cannot be looked into"
        return Sight("device in use", "unknown", seen, why, "run this once as root")
    return Sight("device in use", "ok", "no accelerator is held by another process", why)


def cpu_quota(root: Path = ROOT) -> Sight:
    """Look whether a container may use its CPUs only for a part of the time."""
    why = "at a quota's end every thread stands still until the next period, up to 100 ms"
    advice = "give the container whole cores instead (--cpuset-cpus, or a static CPU manager) and no --cpus"
    quotas = [q for q in (_quota(folder) for folder in _groups(root, "cpu")) if q is not None]
    known = any(
        (folder / name).exists() for folder in _groups(root, "cpu") for name in ("cpu.max", "cpu.cfs_quota_us", "cpu.stat")
    )
    stat = "\n".join(text_of(folder / "cpu.stat") or "" for folder in _groups(root, "cpu"))
    throttled = max((int(n) for n in re.findall(r"^nr_throttled (\d+)", stat, re.MULTILINE)), default=0)
    if quotas:
        times = f", held back {throttled} times so far" if throttled else ""
        return Sight("CPU quota", "warn", f"{min(quotas):g} CPUs{times}", why, advice)
    if not known:
        return Sight("CPU quota", "unknown", "no control group is visible", why, "see how the container was started")
    return Sight("CPU quota", "ok", "none", why)


def cores(allowed: Iterable[int], root: Path = ROOT) -> Sight:
    """Look which of the machine's cores this process may use, and whether others may use them too.

    Args:
        allowed: Logical CPUs this process may use.
        root: The machine.
    """
    why = "cores that others may use as well are theirs at any time"
    online = cpu_list(text_of(root / "sys/devices/system/cpu/online") or "")
    mine = set(allowed)
    if not online:
        return Sight("cores", "unknown", f"{len(mine)} may be used", why, "look with: lscpu --online")
    isolated = cpu_list(text_of(root / "sys/devices/system/cpu/isolated") or "")
    seen = f"{len(mine)} of {len(online)} may be used"
    if mine and mine <= isolated:
        return Sight("cores", "ok", f"{seen}, all isolated", why)
    if len(mine) < 2:
        advice = "allow a second core, so that the supervisor is not on the worker's"
        return Sight("cores", "warn", seen, why, advice)
    return Sight("cores", "ok", seen, why)


def memory_limit(root: Path = ROOT) -> Sight:
    """Look whether a container's memory limit is near."""
    why = "at the limit the kernel takes pages back, then kills the worker"
    least: tuple[float, int, int] | None = None
    known = False
    for folder in _groups(root, "memory"):
        limit, used = _limit(folder)
        known = known or used is not None
        # Version 1 writes "no limit" as the largest multiple of a page.
        if limit is None or used is None or limit >= 1 << 60:
            continue
        candidate = (1 - used / max(1, limit), used, limit)
        least = min(least, candidate) if least else candidate
    if least is not None:
        left, used, limit = least
        seen = f"{used / 2**30:.1f} of {limit / 2**30:.1f} GiB used"
        if left < 0.2:
            return Sight("memory limit", "warn", seen, why, "raise the container's --memory, or measure smaller batches")
        return Sight("memory limit", "ok", seen, why)
    if not known:
        return Sight("memory limit", "unknown", "no control group is visible", why, "see how the container was started")
    return Sight("memory limit", "ok", "none", why)


def cgroup_quota(root: Path = ROOT) -> float | None:
    """Return the tightest limit of CPU time over this process's control groups, in CPUs; ``None`` where there is none."""
    return min((quota for folder in _groups(root, "cpu") if (quota := _quota(folder)) is not None), default=None)


def cgroup_memory(root: Path = ROOT) -> int | None:
    """Return the tightest memory limit over this process's control groups, bytes; ``None`` where there is none."""
    limits = [limit for folder in _groups(root, "memory") if (limit := _limit(folder)[0]) is not None]
    # Version 1 writes "no limit" as the largest multiple of a page.
    return min((limit for limit in limits if limit < 1 << 60), default=None)


def cgroup_cores(root: Path = ROOT) -> str | None:
    """Return the logical CPUs of this process's control group as the kernel writes them; ``None`` where it says nothing."""
    names = ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus")
    return next((text for folder in _groups(root, "cpuset") for name in names if (text := text_of(folder / name))), None)


def _passed(before: Counters, after: Counters) -> tuple[int, ...]:
    """Return the ticks that passed between two readings, by kind; empty where either cannot be read."""
    return tuple(b - a for a, b in zip(before.cpu, after.cpu, strict=False))


def _pids(root: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(root / "proc") if name.isdigit())  # noqa: PTH208
    except OSError:
        return []


def _groups(root: Path, controller: str) -> list[Path]:
    """Return the folders of this process's control group and of those above it, version 2 before version 1.

    Inside a container the path that ``/proc/self/cgroup`` names may not be mounted; the mount's own root is its group then.
    """
    found = []
    mount = root / "sys/fs/cgroup"
    for row in (text_of(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = row.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            tops = [mount, mount / "unified"]
        elif controller in controllers.split(","):
            tops = [mount / controllers, mount / controller]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        found += [top.joinpath(*parts[:n]) for top in tops for n in range(len(parts), -1, -1)]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def _quota(folder: Path) -> float | None:
    """Return a group's limit in CPUs; ``None`` where it has none."""
    text = (text_of(folder / "cpu.max") or "").split()
    if not text:
        text = [text_of(folder / f"cpu.cfs_{what}_us") or "" for what in ("quota", "period")]
    if len(text) == 2 and all(part.isdigit() for part in text) and int(text[1]):
        return int(text[0]) / int(text[1])
    return None


def _limit(folder: Path) -> tuple[int | None, int | None]:
    """Return a group's memory limit and what it uses, bytes."""
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        values = [text_of(folder / name) or "" for name in (limit, used)]
        if values[1].isdigit():
            return (int(values[0]) if values[0].isdigit() else None), int(values[1])
    return None, None
