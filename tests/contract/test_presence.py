"""Cards and drivers are found as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

from npubench.contract import driver_loaded, pci_cards


def card(root: Path, address: str, vendor: str) -> None:
    (root / address).mkdir(parents=True)
    (root / address / "vendor").write_text(vendor)


def test_a_vendors_cards_are_found_by_their_id(tmp_path: Path) -> None:
    card(tmp_path, "0000:04:00.0", "0x1eff\n")
    card(tmp_path, "0000:03:00.0", "0x1eff\n")
    card(tmp_path, "0000:05:00.0", "0x10de\n")
    card(tmp_path, "0000:06:00.0", "gone")
    assert pci_cards(0x1EFF, tmp_path) == ("0000:03:00.0", "0000:04:00.0")
    assert pci_cards(0x209F, tmp_path) == ()


def test_a_machine_without_the_bus_has_no_cards(tmp_path: Path) -> None:
    assert pci_cards(0x1EFF, tmp_path / "nothing") == ()


def test_a_driver_is_its_module_or_its_device_file(tmp_path: Path) -> None:
    (tmp_path / "module" / "aries").mkdir(parents=True)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "regulus-npu0").write_text("")
    places = {"root": tmp_path / "module", "dev": tmp_path / "dev"}
    assert driver_loaded(["aries"], **places)
    assert driver_loaded([], ["regulus*"], **places)
    assert not driver_loaded(["other"], ["other*"], **places)
