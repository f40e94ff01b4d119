"""What a machine is captured by is what its kernel shows; what it does not show is left out, and secrets always are."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from npubench.contract.facts import FACTS, fact_of
from npubench.measure import capture_device, smbios
from npubench.measure.capture import (
    WITHHELD,
    capture_machine,
    is_secret,
    sort_facts,
    telling_environment,
    without_secrets,
)

CPU = "sys/devices/system/cpu"
PCI = "sys/bus/pci/devices/0000:03:00.0"


def dimm(megabytes: int, kind: int, speed: int) -> bytes:
    """Return one structure of type 17, SMBIOS 3.2, without strings."""
    body = bytearray(0x54)
    body[0], body[1] = 17, 0x54
    struct.pack_into("<H", body, 0x0C, megabytes if megabytes < 0x7FFF else 0x7FFF)
    body[0x12] = kind
    struct.pack_into("<I", body, 0x1C, megabytes)
    struct.pack_into("<H", body, 0x20, speed)
    return bytes(body) + b"\0\0"


SERVER = {
    "sys/class/dmi/id/sys_vendor": "Acme",
    "sys/class/dmi/id/product_name": "R-9",
    "sys/class/dmi/id/product_serial": "To Be Filled By O.E.M.",
    "sys/class/dmi/id/bios_vendor": "AMI",
    "sys/class/dmi/id/bios_version": "2.1",
    "sys/class/dmi/id/bios_date": "01/02/2026",
    "proc/meminfo": "MemTotal: 65781234 kB\nMemAvailable: 1048576 kB\nHugePages_Total: 4\nHugepagesize: 2048 kB\n",
    "proc/cpuinfo": "processor: 0\nmodel name\t: A CPU\nmicrocode\t: 0xd0\ncpu MHz\t: 2596.128\n",
    "proc/cmdline": "quiet isolcpus=2 db.password=hunter2 --token abc --verbose",
    "proc/self/cgroup": "0::/night\n",
    "proc/sys/kernel/osrelease": "6.1.0",
    "proc/uptime": "123.4 1.0",
    "run/.containerenv": 'engine="podman-5"\nid="abc"\nimage="testbed:1"\nimageid="sha256:9"\n',
    "sys/fs/cgroup/night/cpu.max": "150000 100000",
    "sys/fs/cgroup/night/cpuset.cpus.effective": "0-3",
    "sys/fs/cgroup/night/memory.max": str(8 << 30),
    "sys/fs/cgroup/night/memory.current": "4096",
    f"{CPU}/online": "0-3",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "performance",
    f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave",
    f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "3700000",
    f"{CPU}/cpufreq/boost": "1",
    f"{CPU}/vulnerabilities/meltdown": "Not affected",
    f"{CPU}/vulnerabilities/spectre_v1": "Mitigation: usercopy",
    "sys/devices/system/node/node0/cpulist": "0-3",
    "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal: 65781234 kB",
    "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp",
    "sys/class/thermal/thermal_zone0/temp": "45500",
    **{f"{CPU}/cpu{n}/topology/physical_package_id": str(n // 2) for n in range(4)},
    **{f"{CPU}/cpu{n}/topology/core_id": "0" for n in range(4)},
    **{f"{PCI}/{name}": text for name, text in {"vendor": "0x1eff", "device": "0x1220", "numa_node": "1"}.items()},
    f"{PCI}/current_link_width": "8",
    f"{PCI}/max_link_width": "16",
    f"{PCI}/current_link_speed": "16.0 GT/s PCIe",
    f"{PCI}/max_link_speed": "32.0 GT/s PCIe",
}


@pytest.fixture
def server(tmp_path: Path) -> Path:
    for name, text in SERVER.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    table = tmp_path / "sys/firmware/dmi/tables/DMI"
    table.parent.mkdir(parents=True)
    table.write_bytes(dimm(65536, 0x22, 4800) * 2 + dimm(0, 0x22, 4800) + bytes([127, 4, 0, 0, 0, 0]))
    return tmp_path


def test_a_server_is_captured(server: Path) -> None:
    found = capture_machine(server)
    expected = {
        "host-vendor": "Acme",
        "host-product": "R-9",
        "bios-version": "AMI 2.1",
        "memory": "62.7 GiB",
        "memory-modules": "2 × 64 GiB DDR5 4800 MT/s",
        "huge-pages": "4 of 2 MiB",
        "cpu": "A CPU",
        "microcode": "0xd0",
        "sockets": "2",
        "cores": "2",
        "threads": "4",
        "cpu-max": "3700 MHz",
        "governor": "performance, powersave",
        "turbo": "on",
        "numa-nodes": "0: CPUs 0-3, 62.7 GiB",
        "cpu-quota": "1.5 CPUs",
        "cpu-set": "0-3",
        "memory-limit": "8.0 GiB",
        "container": "podman-5",
        "container-image": "testbed:1 sha256:9",
        "kernel-command-line": f"quiet isolcpus=2 db.password={WITHHELD} --token {WITHHELD} --verbose",
    }
    assert {key: found.stable.get(key) for key in expected} == expected
    assert "host-serial" not in found.stable
    assert found.stable["mitigations"].startswith("spectre_v1: Mitigation: usercopy (digest ")
    assert found.volatile["memory-available"] == "1.0 GiB"
    assert found.volatile["temperature:x86_pkg_temp"] == "45.5 °C"
    assert found.volatile["uptime"] == "123 s"
    assert found.volatile["container-id"] == "abc"


def test_a_mitigation_that_changes_shows(server: Path) -> None:
    before = capture_machine(server).stable["mitigations"]
    (server / f"{CPU}/vulnerabilities/meltdown").write_text("Vulnerable")
    assert capture_machine(server).stable["mitigations"] != before


def test_what_a_machine_does_not_show_is_left_out(tmp_path: Path) -> None:
    found = capture_machine(tmp_path)
    assert found.stable == {}
    assert found.volatile == {}


def test_this_machine_is_captured_by_ids_of_the_table() -> None:
    found = capture_machine()
    assert {"memory", "threads", "kernel"} <= found.stable.keys()
    assert all(fact_of(key) == FACTS[key] and not FACTS[key].volatile for key in found.stable)
    assert all((fact := fact_of(key)) is not None and fact.volatile for key in found.volatile)
    assert all(found.stable.values())


@pytest.mark.parametrize("key", ["pci", "Bus-ID", "PCI bus id"])
@pytest.mark.parametrize("address", ["0000:03:00.0", "03:00.0", "00000000:03:00.0"])
def test_a_device_is_found_on_the_bus_by_what_its_plug_in_tells(server: Path, key: str, address: str) -> None:
    found = sort_facts(capture_device.facts({key: address}, server).items())
    assert found.stable == {
        "pcie-address": "0000:03:00.0",
        "pcie-id": "1eff:1220",
        "pcie-width": "x8",
        "pcie-width-max": "x16",
        "pcie-speed-max": "32 GT/s",
        "device-numa-node": "1",
    }
    assert found.volatile == {"pcie-speed": "16 GT/s"}


def test_a_device_without_an_address_has_no_link(server: Path) -> None:
    assert capture_device.facts({"pci": "../../etc"}, server) == {}
    assert capture_device.facts({}, server) == {}


def test_a_devices_driver_is_the_kernels(server: Path) -> None:
    driver = server / "drivers/acme"
    (driver / "module").mkdir(parents=True)
    (driver / "module/version").write_text("1.4")
    (server / PCI / "driver").symlink_to(driver)
    assert capture_device.facts({"pci": "03:00.0"}, server)["device-driver"] == "acme 1.4"


def test_what_a_plug_in_tells_of_its_device_becomes_facts() -> None:
    told = capture_device.told({"Serial Number": "A7", "fw_ver": "x", "Firmware": "2.0", "memory_bytes": str(16 << 30)})
    assert told == {"device-serial": "A7", "device-firmware": "2.0", "device-memory": "16.0 GiB"}
    assert capture_device.told({"memory_bytes": "much", "power_limit_w": "150 W"}) == {"device-power-cap": "150 W"}


@pytest.mark.parametrize("cut", [0, 1, 10, 83, 84, 85])
def test_a_damaged_table_of_the_firmware_ends_the_list(cut: int) -> None:
    assert smbios.modules(dimm(1024, 0x1A, 3200)[:cut]) == []


def test_secrets_never_get_in() -> None:
    environment = {
        "ORT_THREADS": "4",
        "CUDA_API_KEY": "a",
        "RBLN_TOKEN": "b",
        "OMP_SECRET_X": "c",
        "MKL_PASSWORD": "d",
        "FURIOSA_URL": "https://me:pw@example.com/x",
        "HOME": "/root",
    }
    kept = telling_environment(environment, ("ORT_", "CUDA_", "RBLN_", "OMP_", "MKL_", "FURIOSA_"))
    assert kept == {"ORT_THREADS": "4", "FURIOSA_URL": f"https://{WITHHELD}@example.com/x"}
    assert is_secret("my_api_key")
    assert without_secrets("a=1 root=UUID-2") == "a=1 root=UUID-2"
