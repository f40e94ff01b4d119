"""What would spoil a measurement, seen on machines that are folders; and what cannot be read is never ok."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.measure import neighbours, surroundings
from npubench.measure.neighbours import Counters
from npubench.measure.surroundings import Sight, cpu_list

CPU = "sys/devices/system/cpu"
NODE = "sys/devices/system/node"
ZONE = "sys/class/thermal/thermal_zone0"
CLOCK = "sys/devices/system/clocksource/clocksource0"
GROUP = "sys/fs/cgroup"
IDLE = Counters((0, 0, 0, 0, 0, 0, 0, 0), {7: ("python", 0), 8: ("make", 0)})


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    def build(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        return tmp_path

    return build


#: What to call, the machine, the verdict and what must be seen.
MACHINES: list[tuple[Callable[..., Sight], dict[str, str], str, str]] = [
    (surroundings.governor, {f"{CPU}/cpu{n}/cpufreq/scaling_governor": "performance" for n in (0, 1)}, "ok", "every core"),
    (
        surroundings.governor,
        {f"{CPU}/cpu0/cpufreq/scaling_governor": "performance", f"{CPU}/cpu9/cpufreq/scaling_governor": "powersave"},
        "warn",
        "performance, powersave",
    ),
    (surroundings.turbo, {f"{CPU}/intel_pstate/no_turbo": "1"}, "ok", "off"),
    (surroundings.turbo, {f"{CPU}/intel_pstate/no_turbo": "0"}, "warn", "on"),
    (surroundings.turbo, {f"{CPU}/cpufreq/boost": "0"}, "ok", "off"),
    (surroundings.turbo, {f"{CPU}/cpufreq/boost": "1"}, "warn", "on"),
    (surroundings.smt, {f"{CPU}/smt/active": "0"}, "ok", "off"),
    (surroundings.smt, {f"{CPU}/smt/active": "1"}, "warn", "on"),
    (surroundings.power_supply, {"sys/class/power_supply/BAT0/type": "Battery"}, "warn", "battery"),
    (
        surroundings.power_supply,
        {
            "sys/class/power_supply/BAT0/type": "Battery",
            "sys/class/power_supply/AC/type": "Mains",
            "sys/class/power_supply/AC/online": "1",
        },
        "ok",
        "mains",
    ),
    (
        surroundings.heat,
        {
            f"{ZONE}/type": "x86_pkg_temp",
            f"{ZONE}/temp": "45000",
            f"{ZONE}/trip_point_0_type": "passive",
            f"{ZONE}/trip_point_0_temp": "90000",
        },
        "ok",
        "x86_pkg_temp 45 °C",
    ),
    (
        surroundings.heat,
        {
            f"{ZONE}/type": "x86_pkg_temp",
            f"{ZONE}/temp": "81000",
            # An active trip point starts a fan and slows nothing; one below 0 is switched off.
            f"{ZONE}/trip_point_0_type": "active",
            f"{ZONE}/trip_point_0_temp": "50000",
            f"{ZONE}/trip_point_1_type": "hot",
            f"{ZONE}/trip_point_1_temp": "-274000",
            f"{ZONE}/trip_point_2_type": "passive",
            f"{ZONE}/trip_point_2_temp": "90000",
        },
        "warn",
        "near its limit: x86_pkg_temp 81 °C",
    ),
    (
        surroundings.heat,
        {f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "12", f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "0"},
        "warn",
        "throttled 12 times",
    ),
    (surroundings.clock_source, {f"{CLOCK}/current_clocksource": "tsc"}, "ok", "tsc"),
    (surroundings.clock_source, {f"{CLOCK}/current_clocksource": "kvm-clock"}, "ok", "a virtual machine's own"),
    (
        surroundings.clock_source,
        {f"{CLOCK}/current_clocksource": "hpet", f"{CLOCK}/available_clocksource": "tsc hpet"},
        "warn",
        "hpet",
    ),
    (surroundings.clock_source, {f"{CLOCK}/current_clocksource": "acme"}, "unknown", "acme"),
    (surroundings.memory, {"proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 800 kB"}, "ok", "available"),
    (surroundings.memory, {"proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 80 kB"}, "warn", "available"),
    (
        surroundings.memory,
        {
            "proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 800 kB",
            "proc/pressure/memory": "some avg10=3.50 avg60=0.00 avg300=0.00 total=9\nfull avg10=9.00 avg60=0.00",
        },
        "warn",
        "pressure 3.5 %",
    ),
    (surroundings.swap, {"proc/meminfo": "SwapTotal: 0 kB\nSwapFree: 0 kB"}, "ok", "none"),
    (surroundings.swap, {"proc/meminfo": "SwapTotal: 2097152 kB\nSwapFree: 1048576 kB"}, "warn", "1024 MiB in use"),
    (
        surroundings.huge_pages,
        {
            "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
            "sys/kernel/mm/transparent_hugepage/defrag": "[always] defer madvise never",
        },
        "warn",
        "always, defrag always",
    ),
    (surroundings.huge_pages, {"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never"}, "ok", "madvise"),
    (surroundings.limits, {"proc/self/limits": "Max open files            256        4096        files"}, "warn", "256"),
    (surroundings.limits, {"proc/self/limits": "Max open files            20000      20000       files"}, "ok", "20000"),
    (surroundings.meters, {"sys/class/powercap/intel-rapl:0/energy_uj": "5"}, "warn", "RAPL here, and no host file names it"),
    (
        surroundings.meters,
        {"sys/class/hwmon/hwmon3/power1_input": "5", "sys/class/hwmon/hwmon3/name": "ina226"},
        "warn",
        "ina226 here, and no host file names it",
    ),
    (surroundings.meters, {}, "warn", "none"),
    (neighbours.cpu_quota, {"proc/self/cgroup": "0::/a/b", f"{GROUP}/a/b/cpu.max": "max 100000"}, "ok", "none"),
    (
        neighbours.cpu_quota,
        {
            "proc/self/cgroup": "0::/a/b",
            f"{GROUP}/a/b/cpu.max": "max 100000",
            f"{GROUP}/a/cpu.max": "150000 100000",
            f"{GROUP}/a/cpu.stat": "nr_periods 9\nnr_throttled 4",
        },
        "warn",
        "1.5 CPUs, held back 4 times",
    ),
    # Inside a container the path is the host's, and the mount's root is the group.
    (
        neighbours.cpu_quota,
        {
            "proc/self/cgroup": "3:cpu,cpuacct:/docker/0a1b",
            f"{GROUP}/cpu,cpuacct/cpu.cfs_quota_us": "200000",
            f"{GROUP}/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        "warn",
        "2 CPUs",
    ),
    (
        neighbours.cpu_quota,
        {
            "proc/self/cgroup": "3:cpu:/",
            f"{GROUP}/cpu/cpu.cfs_quota_us": "-1",
            f"{GROUP}/cpu/cpu.cfs_period_us": "100000",
        },
        "ok",
        "none",
    ),
    (
        neighbours.memory_limit,
        {"proc/self/cgroup": "0::/", f"{GROUP}/memory.max": "1073741824", f"{GROUP}/memory.current": "1000000000"},
        "warn",
        "0.9 of 1.0 GiB used",
    ),
    (
        neighbours.memory_limit,
        {"proc/self/cgroup": "0::/", f"{GROUP}/memory.max": "max", f"{GROUP}/memory.current": "1000000000"},
        "ok",
        "none",
    ),
    (
        neighbours.memory_limit,
        {
            "proc/self/cgroup": "4:memory:/x",
            f"{GROUP}/memory/memory.limit_in_bytes": "9223372036854771712",
            f"{GROUP}/memory/memory.usage_in_bytes": "5",
        },
        "ok",
        "none",
    ),
]


@pytest.mark.parametrize(("look", "files", "verdict", "seen"), MACHINES)
def test_a_machine_is_seen_as_it_is(
    machine: Callable[[dict[str, str]], Path], look: Callable[..., Sight], files: dict[str, str], verdict: str, seen: str
) -> None:
    sight = look(root=machine(files))
    assert (sight.verdict, bool(sight.advice)) == (verdict, verdict != "ok"), sight
    assert seen in sight.seen
    assert sight.why


#: Every look with what it needs beside the root; those that look at no file are tested apart.
LOOKS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("governor", "turbo", "smt", "heat", "clock_source", "memory", "swap", "huge_pages", "limits"), ()),
    **dict.fromkeys(("cpu_quota", "memory_limit"), ()),
    "numa": ((0, 1),),
    "cores": ((0, 1),),
    "load": (IDLE, IDLE, 2),
    "virtualisation": (IDLE, IDLE),
}
APART = {"timer", "room", "power_supply", "meters", "holders"}


@pytest.mark.parametrize("name", LOOKS)
def test_what_cannot_be_read_is_unknown_and_never_ok(name: str, tmp_path: Path) -> None:
    look = getattr(surroundings, name, None) or getattr(neighbours, name)
    sight = look(*LOOKS[name], root=tmp_path)
    assert sight.verdict == "unknown"
    assert sight.seen
    assert sight.advice


def test_every_look_is_tested() -> None:
    looks = {
        name
        for module in (surroundings, neighbours)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if inspect.signature(function).return_annotation == "Sight" and function.__module__ == module.__name__
    }
    assert looks == {*LOOKS, *APART}


def test_damaged_numbers_are_unknown(machine: Callable[[dict[str, str]], Path]) -> None:
    files = {f"{CPU}/intel_pstate/no_turbo": "?", "proc/meminfo": "MemTotal: many kB\n\x00", "proc/stat": "cpu x"}
    root = machine({**files, "proc/self/cgroup": "nonsense", "proc/12/stat": "12 (a"})
    assert surroundings.turbo(root).verdict == "unknown"
    assert surroundings.memory(root).verdict == "unknown"
    assert neighbours.cpu_quota(root).verdict == "unknown"
    assert neighbours.count(root) == Counters()


@pytest.mark.parametrize(
    ("resolution", "slack", "verdict"),
    [(1, 1, "ok"), (4_000_000, 1, "warn"), (1, 50_000, "warn"), (1, None, "unknown"), (None, None, "unknown")],
)
def test_a_timer_is_judged_by_both(resolution: int | None, slack: int | None, verdict: str) -> None:
    assert surroundings.timer(resolution, slack).verdict == verdict


def test_memory_nodes(machine: Callable[[dict[str, str]], Path]) -> None:
    root = machine({f"{NODE}/node0/cpulist": "0-3", f"{NODE}/node1/cpulist": "4-7"})
    across, inside = surroundings.numa((3, 4), root), surroundings.numa((4, 5), root)
    assert (across.verdict, across.seen) == ("warn", "cores on 2 of 2 nodes")
    assert "--cpunodebind=0" in across.advice
    assert inside.verdict == "ok"
    machine({"proc/sys/kernel/numa_balancing": "1"})
    assert surroundings.numa((4, 5), root).seen == "numa_balancing on"


def test_cores(machine: Callable[[dict[str, str]], Path]) -> None:
    root = machine({f"{CPU}/online": "0-7", f"{CPU}/isolated": "6-7"})
    assert neighbours.cores((0, 1), root).seen == "2 of 8 may be used"
    assert neighbours.cores((6, 7), root).seen == "2 of 8 may be used, all isolated"
    assert neighbours.cores((0,), root).verdict == "warn"


def test_whoever_uses_the_cores_is_named(machine: Callable[[dict[str, str]], Path]) -> None:
    """200 ticks on two CPUs: this process has 20, make 50, and 30 are another container's."""
    root = machine({"proc/loadavg": "0.10 0.2 0.3 1/2 3"})
    after = Counters((100, 0, 0, 100, 0, 0, 0, 0), {7: ("python", 20), 8: ("make", 50), 9: ("new", 70)})
    sight = neighbours.load(IDLE, after, 2, own={7}, root=root)
    assert sight.verdict == "warn"
    assert sight.seen == "load 0.10, others use 80% of one CPU: make (8) 50%; 30% by processes not visible from here"


def test_this_process_is_nobody_else(machine: Callable[[dict[str, str]], Path]) -> None:
    root = machine({"proc/loadavg": "0.10 0.2 0.3 1/2 3"})
    after = Counters((20, 0, 0, 180, 0, 0, 0, 0), {7: ("python", 20), 8: ("make", 0)})
    assert neighbours.load(IDLE, after, 2, own={7}, root=root).verdict == "ok"
    machine({"proc/loadavg": "3.00 0.2 0.3 1/2 3"})
    assert neighbours.load(IDLE, after, 2, own={7}, root=root).verdict == "warn"


def test_counters_are_those_of_proc(machine: Callable[[dict[str, str]], Path]) -> None:
    row = " ".join(str(n) for n in range(3, 53))
    found = neighbours.count(machine({"proc/stat": "cpu 1 2 3 4\ncpu0 1 2", "proc/31/stat": f"31 (a (b) c) S {row[2:]}"}))
    assert found.cpu == (1, 2, 3, 4)
    # Fields 14 and 15 of proc(5), counted from 1; the third is the state.
    fields = f"31 (x) S {row[2:]}".split()
    assert found.processes == {31: ("a (b) c", int(fields[13]) + int(fields[14]))}


def test_a_hypervisor_and_what_it_takes(machine: Callable[[dict[str, str]], Path]) -> None:
    root = machine({"proc/cpuinfo": "flags\t: fpu hypervisor sse", "sys/class/dmi/id/sys_vendor": "QEMU"})
    stolen = Counters((80, 0, 0, 100, 0, 0, 0, 20))
    assert neighbours.virtualisation(IDLE, stolen, root).seen == "QEMU, 10.0% of the time stolen just now"
    machine({"proc/cpuinfo": "flags\t: fpu sse"})
    assert neighbours.virtualisation(IDLE, IDLE, root).verdict == "ok"
    assert neighbours.virtualisation(IDLE, stolen, root).verdict == "warn"


@pytest.mark.parametrize(
    "device",
    [
        "/dev/nvidia0",
        "/dev/aries0",
        "/dev/rngd/npu0mgmt",
        "/dev/rbln0",
        "/dev/rsd0",
        "/dev/regulus-npu0",
        "/dev/dxrt0",
        "/dev/accel/accel0",
    ],
)
def test_who_holds_an_accelerator_is_named(machine: Callable[[dict[str, str]], Path], device: str) -> None:
    root = machine({"proc/31/comm": "trainer", "proc/32/comm": "mine"})
    for pid, target in ((31, device), (31, "/dev/null"), (32, device)):
        folder = root / f"proc/{pid}/fd"
        folder.mkdir(exist_ok=True)
        (folder / str(len(os.listdir(folder)))).symlink_to(target)  # noqa: PTH208
    sight = neighbours.holders(own={32}, root=root)
    assert (sight.verdict, sight.seen) == ("warn", f"{device} by trainer (31)")
    assert neighbours.holders(own={31, 32}, root=root).verdict == "ok"


@pytest.mark.parametrize("device", ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/null", "/dev/dri/card0", "socket:[1]"])
def test_what_every_desktop_opens_is_no_use_of_a_device(device: str) -> None:
    assert not neighbours.ACCELERATORS.fullmatch(device)


def test_processes_that_cannot_be_looked_into_are_not_ok(
    machine: Callable[[dict[str, str]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine({"proc/31/comm": "other"})
    listdir = os.listdir

    def refuse(path: Any) -> list[str]:
        if str(path).endswith("fd"):
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert neighbours.holders(root=root).verdict == "unknown"


def test_room_is_looked_at_before_the_folder_is_there(tmp_path: Path) -> None:
    assert surroundings.room("store", tmp_path / "a" / "b", least=1).verdict == "ok"
    sight = surroundings.room("store", tmp_path / "a" / "b", least=1 << 80)
    assert sight.verdict == "warn"
    assert sight.name == "room of store"


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3,8", {0, 1, 2, 3, 8}), ("5", {5}), ("", set()), ("0-,x,3-x", {0}), ("4-2", set())]
)
def test_lists_of_cpus(text: str, cpus: set[int]) -> None:
    assert cpu_list(text) == cpus
