"""Which cards there are, and what is read of them; on fakes of both SMI bindings and on trees like the kernel's.

Nothing here proves a reading of a real card: the units that are taken for granted are in the README.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from npubench.contract import Rung
from npubench_furiosa import FuriosaBackend, WarboyBackend, cards, smi, telemetry


def readings(backend, device) -> dict[str, int | None]:
    return {sensor.name: sensor.read() for sensor in backend.sensors(device)}


def test_cards_of_the_newer_binding_come_in_the_drivers_order(fakes, monkeypatch) -> None:
    fakes("smi", "rngd")
    monkeypatch.setenv("FAKE_RNGD", "12")
    found = FuriosaBackend().probe()
    assert found.rung is Rung.READY
    assert [d.name for d in found.devices] == [f"rngd:{n}" for n in range(12)]
    assert [d.details["card"] for d in found.devices] == [f"npu{n}" for n in range(12)]
    first = found.devices[0]
    assert first.kind == "RNGD"
    assert first.details["pci"] == "0000:17:00.0"
    assert first.details["serial"] == "RNGD0000"
    assert first.details["firmware"] == "2026.4.0"
    assert found.versions["driver"] == "2026.4.0"


def test_both_bindings_name_a_card_once(fakes) -> None:
    fakes("smi", "smi_py", "rngd")
    listed = smi.listing()
    assert [h.binding for h in listed.handles] == ["furiosa_smi", "furiosa_smi_py"]
    assert [card.name for card in listed.cards(warboy=False)] == ["npu0"]
    assert listed.cards(warboy=True) == ()


def test_an_rngd_is_no_warboy(fakes, monkeypatch) -> None:
    fakes("smi_py", "warboy", "rngd")
    monkeypatch.setenv("FAKE_WARBOY", "1")
    warboys = WarboyBackend().probe().devices
    assert [(d.name, d.kind, d.details["card"]) for d in warboys] == [("warboy:0", "Warboy", "npu1")]


def test_available_with_no_card_is_no_card(fakes, monkeypatch) -> None:
    """The SDK lists 64 devices and says that it is available; the SMI lists none."""
    fakes("smi", "rngd")
    monkeypatch.setenv("FAKE_RNGD", "0")
    monkeypatch.setattr(cards, "CLASSES", Path("/nonexistent"))
    sdk = importlib.import_module("furiosa.torch")
    assert sdk.is_available() and len(sdk.get_available_devices()) == 64
    found = FuriosaBackend().probe()
    assert found.rung is Rung.DRIVER_MISSING
    assert "the RNGD driver is not loaded" in found.reason and "PCI" in found.reason
    assert "furiosa-driver-rngd" in found.advice


def kernel(root: Path, folder: str, *names: str) -> Path:
    for name in names:
        card = root / folder / name
        card.mkdir(parents=True)
        (card / "device_sn").write_text(f"SN-{name}\n")
        (card / "busname").write_text("0000:17:00.0\n")
    return root


def test_the_kernels_list_serves_where_there_is_no_binding(tmp_path: Path) -> None:
    root = kernel(tmp_path, "npu_mgmt", "npu10_mgmt", "npu2_mgmt", "npu2pe0_mgmt")
    (root / "npu_mgmt" / "version").write_text("1.9.2")
    found = cards.kernel_cards("npu_mgmt", "Warboy", root)
    assert [card.name for card in found] == ["npu2", "npu10"]
    assert found[0].details["pci"] == "0000:17:00.0"
    rngd = kernel(tmp_path, "rngd_mgmt", "rngd!npu0mgmt")
    assert [card.name for card in cards.kernel_cards("rngd_mgmt", "RNGD", rngd)] == ["npu0"]
    assert cards.kernel_cards("rngd_mgmt", "RNGD", tmp_path / "nothing") == ()


def test_a_driver_without_a_card_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "rngd_mgmt").mkdir()
    loaded, reason = cards.missing_card("rngd_mgmt", "no-such-file*", "RNGD", tmp_path)
    assert loaded and "lists no card" in reason


def test_the_older_binding_reads_where_both_are_there(fakes) -> None:
    fakes("smi", "smi_py", "rngd")
    backend = FuriosaBackend()
    (device,) = backend.probe().devices
    assert readings(backend, device) == {
        "card power": 39_000,
        "chip temperature, peak": 40_250,
        "slowest PE clock": 993_000_000,
        "throttled": 0,
    }
    power = backend.sensors(device)[0]
    assert (power.kind, power.domain, power.quantum, power.update_period_ns) == ("power", "card", 1000, None)


@pytest.mark.parametrize(
    ("said", "milliwatts"), [("41.0", 41_000), ("41000", 41_000), ("0", None), ("3000", None), ("nan", None)]
)
def test_the_newer_bindings_power_says_that_its_unit_is_guessed(fakes, monkeypatch, said: str, milliwatts: int | None) -> None:
    fakes("smi", "rngd")
    monkeypatch.setenv("FAKE_POWER", said)
    backend = FuriosaBackend()
    seen = readings(backend, backend.probe().devices[0])
    assert seen["card power (unit by magnitude)"] == milliwatts
    assert seen["chip temperature, peak"] == 38_500
    assert seen["slowest PE clock"] == 1_000_000_000


def test_a_confirmed_watt_is_not_guessed_at() -> None:
    assert telemetry.watts_to_mw(41.4) == 41_400
    assert telemetry.watts_to_mw(41_000) is None
    assert telemetry.watts_to_mw(None) is None
    assert telemetry.watts_to_mw(True) is None
    assert telemetry.clock_to_hz([1000, 0]) is None
    assert telemetry.clock_to_hz([]) is None


@pytest.mark.parametrize(("reason", "value"), [("Idle", 0), ("ThermalSlowdown", 1), ("HwPowerCap", 1), ("Unknown", None)])
def test_idling_is_not_throttling(fakes, monkeypatch, reason: str, value: int | None) -> None:
    fakes("smi", "rngd")
    monkeypatch.setenv("FAKE_THROTTLE", reason)
    backend = FuriosaBackend()
    assert readings(backend, backend.probe().devices[0])["throttled"] == value


@pytest.mark.parametrize(("mask", "value"), [("0", 0), ("1", 0), ("2", 1), ("3", 1), ("128", 1)])
def test_the_older_bindings_reason_is_a_mask(fakes, monkeypatch, mask: str, value: int) -> None:
    fakes("smi_py", "rngd")
    monkeypatch.setenv("FAKE_THROTTLE_MASK", mask)
    backend = FuriosaBackend()
    assert readings(backend, backend.probe().devices[0])["throttled"] == value


def test_a_reading_that_fails_is_no_reading(fakes, monkeypatch) -> None:
    fakes("smi", "rngd")
    backend = FuriosaBackend()
    sensors = backend.sensors(backend.probe().devices[0])
    monkeypatch.setattr(sys.modules["furiosa_smi"].Device, "power_consumption", lambda self: 1 / 0)
    assert sensors[0].read() is None


def test_a_binding_that_does_not_import_is_no_obstacle(fakes, monkeypatch, tmp_path: Path) -> None:
    fakes("rngd")
    (tmp_path / "furiosa_smi.py").write_text("raise OSError('libfuriosa_smi.so: wrong ELF class')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cards, "CLASSES", Path("/nonexistent"))
    found = FuriosaBackend().probe()
    assert found.rung is Rung.DRIVER_MISSING
    assert "wrong ELF class" in found.reason


def test_an_sdk_that_is_not_there(fakes) -> None:
    fakes()
    for backend, extra in ((FuriosaBackend(), "[rngd]"), (WarboyBackend(), "[warboy]")):
        found = backend.probe()
        assert found.rung is Rung.NOT_INSTALLED
        assert "not installed" in found.reason and extra in found.advice


def test_an_sdk_that_breaks_the_import_of_torch(fakes, monkeypatch) -> None:
    fakes("rngd", "smi")
    monkeypatch.setenv("FAKE_TORCH", "broken")
    found = FuriosaBackend().probe()
    assert found.rung is Rung.SDK_BROKEN
    assert "PrivateUse1 backend already registered as 'rbln'" in found.reason
    assert found.advice


def test_torch_without_the_sdk_and_the_sdk_without_a_part(fakes, monkeypatch, tmp_path: Path) -> None:
    fakes()
    (tmp_path / "torch.py").write_text("__version__ = '2.10.0'")
    monkeypatch.syspath_prepend(tmp_path)
    assert FuriosaBackend().probe().rung is Rung.NOT_INSTALLED
    sdk = tmp_path / "furiosa" / "torch"
    sdk.mkdir(parents=True)
    (sdk / "__init__.py").write_text("import furiosa_kernels_of_old")
    importlib.invalidate_caches()
    for name in [n for n in sys.modules if n.startswith("furiosa")]:
        del sys.modules[name]
    found = FuriosaBackend().probe()
    assert found.rung is Rung.SDK_BROKEN
    assert "furiosa_kernels_of_old" in found.reason


def test_a_missing_driver_library_is_a_missing_driver(fakes, monkeypatch) -> None:
    """The words are those of the real runtime without its driver: a RuntimeError, and no ImportError."""
    fakes("warboy")
    monkeypatch.setenv("FAKE_HAL", "missing")
    found = WarboyBackend().probe()
    assert found.rung is Rung.DRIVER_MISSING
    assert "libfuriosa_hal.so" in found.reason and "furiosa-libhal-warboy" in found.advice


def test_another_broken_library_is_a_broken_sdk(fakes, monkeypatch) -> None:
    fakes("warboy")
    monkeypatch.setenv("FAKE_HAL", "broken")
    found = WarboyBackend().probe()
    assert found.rung is Rung.SDK_BROKEN
    assert "undefined symbol" in found.reason
