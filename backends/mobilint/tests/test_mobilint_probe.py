"""The ladder: the rungs below a device on the published wheels, those above on stand-ins."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.contract import Availability, Rung
from npubench_mobilint import MobilintBackend, presence

_PROBE = """
import json
from npubench_mobilint import MobilintBackend
found = MobilintBackend().probe()
print("\\nFOUND " + json.dumps([found.rung.word, found.reason, found.advice, dict(found.versions), len(found.devices)]))
"""
_JUNK = """
import sys, pathlib
from npubench.contract import WrongArtefact
from npubench_mobilint import MobilintOptions
from npubench_mobilint.sdk import import_runtime
from npubench_mobilint.session import configure, open_model
runtime = import_runtime()
modes = [{}, {"core_mode": "single", "cores": ("0.0", "1.3")}, {"core_mode": "multi"}, {"core_mode": "global4", "clusters": (1,)},
         {"core_mode": "global8", "slots": 3, "asynchronous": True}]
for options in [MobilintOptions(**mode) for mode in modes]:
    config, slots, forced = configure(runtime, options)
    print("FOUND", options.core_mode, slots, forced)
    try:
        open_model(runtime, pathlib.Path(sys.argv[1]), config, options)
    except WrongArtefact as error:
        print("FOUND", error)
"""


def said(python: Path | str, program: str, *arguments: str) -> list[str]:
    done = subprocess.run([python, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return [line.removeprefix("FOUND ") for line in done.stdout.splitlines() if line.startswith("FOUND ")]


@pytest.fixture(scope="module")
def real(vendor_python: Callable[..., Path]) -> Path:
    """An environment with the vendor's published wheels."""
    return vendor_python("mobilint", "mobilint-qb-runtime==1.5.0", "mobilint-ml==1.5.0")


def test_without_the_runtime_it_says_what_to_install(vendor_python: Callable[..., Path]) -> None:
    rung, reason, advice, _, devices = json.loads(said(vendor_python("mobilint"), _PROBE)[0])
    assert (rung, devices) == ("not_installed", 0)
    assert "neither qbruntime nor maccel" in reason
    assert "pip install mobilint-qb-runtime" in advice


@pytest.mark.skipif(presence.driver_loaded(presence.MODULES, presence.DEVICE_FILES), reason="this machine has Mobilint's driver")
def test_the_published_wheels_without_a_driver(real: Path) -> None:
    """The real library's own start, its own failure, and the rung made of it."""
    rung, reason, advice, versions, devices = json.loads(said(real, _PROBE)[0])
    assert (rung, devices) == ("driver_missing", 0)
    assert "PCI bus" in reason
    assert "mobilint-aries-driver" in advice
    assert versions == {"qbruntime": "v1.5.0", "mbltml": "mobilint-ml 1.5.0"}


@pytest.mark.skipif(presence.driver_loaded(presence.MODULES, presence.DEVICE_FILES), reason="this machine has Mobilint's driver")
def test_the_old_meter_without_a_driver(vendor_python: Callable[..., Path]) -> None:
    python = vendor_python("mobilint", "mobilint-qb-runtime==1.5.0", "mbltml==0.0.0")
    rung, _, _, versions, _ = json.loads(said(python, _PROBE)[0])
    assert (rung, versions["mbltml"]) == ("driver_missing", "mbltml 0.0.0")


def test_the_published_runtime_takes_every_core_mode_and_refuses_junk(real: Path, tmp_path: Path) -> None:
    """ModelConfig and the parser of MXQ work without a device; the slots are the real runtime's own numbers."""
    junk = tmp_path / "junk.mxq"
    junk.write_bytes(b"no MXQ at all" * 99)
    found = said(real, _JUNK, str(junk))
    assert found[::2] == ["auto 1 True", "single 4 True", "multi 4 True", "global4 2 True", "global8 3 True"]
    assert all("qbruntime v1.5.0 cannot read it as an MXQ (Model_FailedToLoadMXQ)" in text for text in found[1::2])
    assert len(found) == 10


def probe() -> Availability:
    return MobilintBackend().probe()


def test_devices_are_named_by_family_and_kind_by_revision(vendor: Callable[..., Any]) -> None:
    vendor(machine={"devices": {"aries-rb": [0, 1], "regulus-ra-usb": [0]}}, meters=[])
    found = probe()
    assert found.rung is Rung.READY
    assert [(device.name, device.kind) for device in found.devices] == [
        ("aries:0", "ARIES-RB"),
        ("aries:1", "ARIES-RB"),
        ("regulus-usb:0", "REGULUS-RA-USB"),
    ]
    assert (found.versions["qbruntime"], found.versions["aries driver"], found.reason) == ("v1.5.0", "1.13.0", "")


def test_a_driver_without_a_device(vendor: Callable[..., Any]) -> None:
    vendor(machine={}, meters=[])
    found = probe()
    assert (found.rung, found.devices) == (Rung.NO_DEVICE, ())
    assert "qbruntime v1.5.0 lists no device" in found.reason


def test_a_device_file_that_may_not_be_opened_is_named(
    vendor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vendor(machine={}, meters=[])
    (tmp_path / "aries0").touch()
    monkeypatch.setattr(presence, "DEV", tmp_path)
    monkeypatch.setattr(presence.os, "access", lambda *_: False)
    assert f"may not open {tmp_path / 'aries0'}" in probe().reason


def test_a_card_without_a_driver_is_seen(vendor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Presence is the PCI bus's word, whatever the runtime lists."""
    vendor(meter=None)
    monkeypatch.setattr(presence, "driver_loaded", lambda *_: False)
    monkeypatch.setattr(presence, "pci_cards", lambda vendor: ("0000:03:00.0",) if vendor == 0x209F else ())
    found = probe()
    assert found.rung is Rung.DRIVER_MISSING
    assert "a Mobilint card is seen on the PCI bus at 0000:03:00.0" in found.reason


def test_a_board_without_the_meter_is_ready_by_its_device_file(
    vendor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor(meter=None, machine={"devices": {"regulus-ra": [0]}})
    monkeypatch.setattr(presence, "driver_loaded", lambda *_: True)
    found = probe()
    assert [device.name for device in found.devices] == ["regulus:0"]
    assert found.devices[0].details["telemetry"].startswith("no telemetry: mbltml is not installed")
    assert MobilintBackend().sensors(found.devices[0]) == ()


def test_an_old_runtime_without_a_list_has_its_device_files(
    vendor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What ``maccel`` offers: the same calls, and no list of devices."""
    vendor(meter=None, runtime=False)
    monkeypatch.setitem(sys.modules, "maccel", type(sys)("maccel"))
    monkeypatch.setattr(presence, "driver_loaded", lambda *_: True)
    monkeypatch.setattr(presence, "DEV", tmp_path)
    for name in ("regulus-npu0", "aries1", "aries_other", "null"):
        (tmp_path / name).touch()
    found = probe()
    assert [device.name for device in found.devices] == ["aries:1", "regulus:0"]
    assert found.versions["maccel"] == "not told"


@pytest.mark.parametrize(
    "source",
    ["raise OSError('libqb.so: cannot open shared object file')", "import numpy_that_is_not_there", "raise RuntimeError('x')"],
)
def test_a_runtime_that_does_not_import_is_broken(
    vendor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    vendor(meter=None, runtime=False)
    (tmp_path / "qbruntime.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = probe()
    assert found.rung is Rung.SDK_BROKEN
    assert "cannot be used" in found.reason
    assert found.advice
