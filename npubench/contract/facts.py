"""What is captured of a machine, by id: the one table of facts, their places and their units. Reads nothing itself.

A stable fact changes only when somebody changes the machine; a volatile one changes by itself. What cannot be read is
left out: a fact that is missing from a record was not there to be read, and never stands for none or zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Fact:
    """One captured fact.

    Args:
        what: What it is, in a few words.
        where: Where it is read.
        unit: The unit that its text ends in; "" for words and counts.
        volatile: Whether it changes by itself.
    """

    what: str
    where: str
    unit: str = ""
    volatile: bool = False


_DMI = "/sys/class/dmi/id/"
_CPU = "/sys/devices/system/cpu/"
_PCI = "/sys/bus/pci/devices/ADDRESS/"

#: Fact id → fact. Ids of a kind that there are several of end in ``:NAME``; see :func:`fact_of`.
FACTS: Mapping[str, Fact] = {
    # The host
    "host-vendor": Fact("who made the machine", _DMI + "sys_vendor"),
    "host-product": Fact("the machine's model", _DMI + "product_name"),
    "host-serial": Fact("the machine's serial number", _DMI + "product_serial"),
    "board": Fact("maker and model of the main board", _DMI + "board_vendor, board_name"),
    "bios-version": Fact("version of the firmware", _DMI + "bios_vendor, bios_version"),
    "bios-date": Fact("date of the firmware", _DMI + "bios_date"),
    # Memory
    "memory": Fact("main memory that the kernel may use", "/proc/meminfo MemTotal", "GiB"),
    "memory-modules": Fact("count, size, type and speed of the DIMMs", "/sys/firmware/dmi/tables/DMI, edac/mc/mc*/dimm*"),
    "swap": Fact("swap space", "/proc/meminfo SwapTotal", "GiB"),
    "huge-pages": Fact("huge pages set aside, and their size", "/proc/meminfo HugePages_Total, Hugepagesize"),
    "transparent-huge-pages": Fact("use of transparent huge pages", "/sys/kernel/mm/transparent_hugepage/enabled"),
    # Processors
    "cpu": Fact("model of the processor", "/proc/cpuinfo model name"),
    "sockets": Fact("processor sockets", _CPU + "cpu*/topology/physical_package_id"),
    "cores": Fact("physical cores", _CPU + "cpu*/topology/core_id"),
    "threads": Fact("logical CPUs that are online", _CPU + "online"),
    "cpu-max": Fact("highest clock of the processor", _CPU + "cpu0/cpufreq/cpuinfo_max_freq", "MHz"),
    "cpu-base": Fact("base clock of the processor", _CPU + "cpu0/cpufreq/base_frequency", "MHz"),
    "microcode": Fact("version of the microcode", "/proc/cpuinfo microcode"),
    "caches": Fact("size of each level of cache seen by one core", _CPU + "cpu0/cache/index*"),
    "smt": Fact("whether cores run two threads", _CPU + "smt/control"),
    "mitigations": Fact("mitigations of the processor's faults", _CPU + "vulnerabilities/*"),
    "governor": Fact("frequency governor, of every core", _CPU + "cpu*/cpufreq/scaling_governor"),
    "frequency-driver": Fact("driver that sets the clocks", _CPU + "cpu0/cpufreq/scaling_driver"),
    "turbo": Fact("whether clocks above the base are allowed", _CPU + "intel_pstate/no_turbo, cpufreq/boost"),
    "isolated-cores": Fact("logical CPUs kept from the scheduler", _CPU + "isolated"),
    "numa-nodes": Fact("NUMA nodes, with their logical CPUs and memory", "/sys/devices/system/node/node*"),
    # Kernel and container
    "kernel": Fact("release and build of the kernel", "/proc/sys/kernel/osrelease, version"),
    "kernel-command-line": Fact("command line of the kernel, without its secrets", "/proc/cmdline"),
    "clock-source": Fact("the kernel's clock", "/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    "cpu-quota": Fact("CPU time the control group may use", "/sys/fs/cgroup cpu.max", "CPUs"),
    "cpu-set": Fact("logical CPUs the control group may use", "/sys/fs/cgroup cpuset.cpus.effective"),
    "memory-limit": Fact("memory the control group may use", "/sys/fs/cgroup memory.max", "GiB"),
    "container": Fact("kind of the container", "/.dockerenv, /run/.containerenv, /proc/1/environ container="),
    "container-image": Fact("image of the container, with its digest", "/run/.containerenv"),
    # The device
    "device-kind": Fact("the chip", "the plug-in's Device.kind"),
    "device-serial": Fact("serial number of the device", "the plug-in's Device.details: serial, sid, uuid"),
    "device-firmware": Fact("firmware of the device", "the plug-in's Device.details or versions: firmware"),
    "device-driver": Fact("driver of the device", "the plug-in's versions: driver; " + _PCI + "driver/module/version"),
    "device-memory": Fact("memory of the device", "the plug-in's Device.details: memory_bytes", "GiB"),
    "device-power-cap": Fact("power that the device is limited to", "the plug-in's or the vendor's own account", "W"),
    "pcie-address": Fact("PCIe address of the device", "the plug-in's Device.details: pci, bus_id"),
    "pcie-id": Fact("vendor and device id of the device", _PCI + "vendor, device, subsystem_vendor, subsystem_device"),
    "pcie-width": Fact("lanes of the device's link in use", _PCI + "current_link_width"),
    "pcie-width-max": Fact("lanes of the device's link at most", _PCI + "max_link_width"),
    "pcie-speed-max": Fact("speed of the device's link at most", _PCI + "max_link_speed", "GT/s"),
    "device-numa-node": Fact("NUMA node that the device hangs on", _PCI + "numa_node"),
    # Software
    "packages-digest": Fact("digest over the packages of the worker's interpreter", "their names and versions"),
    # What changes by itself
    "clock-now": Fact("clock of the first core", _CPU + "cpu0/cpufreq/scaling_cur_freq, /proc/cpuinfo cpu MHz", "MHz", True),
    "temperature": Fact("temperature of a thermal zone or sensor chip", "/sys/class/thermal, /sys/class/hwmon", "°C", True),
    "load-average": Fact("processes that run or wait, over the last minute", "/proc/loadavg", "", True),
    "memory-available": Fact("memory that can still be had", "/proc/meminfo MemAvailable", "GiB", True),
    "swap-used": Fact("swap space in use", "/proc/meminfo SwapTotal, SwapFree", "GiB", True),
    "container-id": Fact("id of the container", "/proc/self/cgroup, /proc/self/mountinfo, /run/.containerenv", "", True),
    "uptime": Fact("time since the machine started", "/proc/uptime", "s", True),
    "time-sync": Fact("whether the clock is held to another one, and how far it may be off", "adjtimex(2)", "", True),
    "pcie-speed": Fact("speed of the device's link after the window", _PCI + "current_link_speed", "GT/s", True),
    "device-clock": Fact("clock of the device in the window, its median", "the plug-in's sensors of kind clock", "MHz", True),
    "device-temperature": Fact("temperature of the device in the window, its highest", "its sensors of that kind", "°C", True),
}

#: So alike must a key be to a fact's id to be taken for a slip of the pen: "memroy" is 0.833 like "memory".
_SLIP = 0.83


def fact_of(key: str) -> Fact | None:
    """Return the fact with this id, whatever its ``:NAME``; ``None`` where there is none."""
    return FACTS.get(key.partition(":")[0])


def meant(key: str) -> str | None:
    """Return the id that ``key`` is most likely a misspelling of; ``None`` where it is one, or is like none."""
    close = get_close_matches(key.lower().replace("_", "-").replace(" ", "-"), FACTS, n=1, cutoff=_SLIP)
    return close[0] if close and fact_of(key) is None else None
