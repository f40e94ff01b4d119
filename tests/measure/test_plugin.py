"""A plug-in that cannot be used is named with the reason, before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from npubench.contract import Availability, Backend, Device, Rung
from npubench.measure.plugin import PluginError, distribution_of, find_device, load_backend, probe

MODULE = """
from npubench.contract import Availability, Backend, Device, Rung

class Good(Backend):
    def probe(self):
        return Availability(Rung.READY, devices=(Device("npu:0", "ACME-1"),))
    def load(self, artefact, device, options):
        raise NotImplementedError

class Newer(Good):
    contract = 2

class Half(Backend):
    def probe(self):
        raise NotImplementedError

class Failing(Good):
    def __init__(self):
        raise SystemExit("no licence")

class Broken(Good):
    def probe(self):
        raise SystemExit("driver gone")

class Wrong(Good):
    def probe(self):
        return True

def function():
    pass
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Backend]:
    (tmp_path / "acme_plugin.py").write_text(MODULE)
    (tmp_path / "acme_broken.py").write_text("import acme_sdk_that_is_not_there\n")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("acme_plugin", "acme_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return lambda entry: load_backend("acme", entry)


def test_a_backend_is_made_of_its_entry(load: Callable[[str], Backend]) -> None:
    assert type(load("acme_plugin:Good")).__name__ == "Good"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("acme_none:Good", "cannot be imported: ModuleNotFoundError: No module named 'acme_none'"),
        ("acme_broken:Good", "cannot be imported: ModuleNotFoundError: No module named 'acme_sdk_that_is_not_there'"),
        ("acme_plugin:None", "cannot be imported: AttributeError"),
        ("acme_plugin:function", "is not a subclass of npubench.contract.Backend"),
        ("acme_plugin:Newer", "is written for contract 2, this npubench has 1"),
        ("acme_plugin:Half", "its constructor raises TypeError"),
        ("acme_plugin:Failing", "its constructor raises SystemExit: no licence"),
    ],
)
def test_what_is_wrong_with_a_plug_in_is_said_with_its_name(load: Callable[[str], Backend], entry: str, words: str) -> None:
    with pytest.raises(PluginError) as caught:
        load(entry)
    assert str(caught.value).startswith("backend 'acme'")
    assert words in str(caught.value)


@pytest.mark.parametrize(("name", "words"), [("Broken", "probe raises SystemExit: driver gone"), ("Wrong", "probe returns bool")])
def test_a_probe_that_breaks_the_contract_is_a_broken_sdk(load: Callable[[str], Backend], name: str, words: str) -> None:
    found = probe("acme", load(f"acme_plugin:{name}"))
    assert found.rung is Rung.SDK_BROKEN
    assert words in found.reason


def test_a_device_is_found_by_name_and_one_that_is_not_there_names_the_nearest(load: Callable[[str], Backend]) -> None:
    availability = probe("acme", load("acme_plugin:Good"))
    assert find_device("acme", availability, "npu:0") == Device("npu:0", "ACME-1")
    with pytest.raises(PluginError, match="backend 'acme' has no device 'npu:1'; did you mean 'npu:0'"):
        find_device("acme", availability, "npu:1")


def test_a_backend_that_is_not_ready_says_how_far_it_gets() -> None:
    with pytest.raises(PluginError, match=r"backend 'acme' is not ready \(driver_missing\): load the driver"):
        find_device("acme", Availability(Rung.DRIVER_MISSING, "load the driver"), "npu:0")


def test_a_plug_ins_distribution_is_told_where_it_has_one() -> None:
    found = distribution_of("npubench.testing.simulated:SimulatedBackend")
    assert found["distribution"] == "npubench"
    assert found["version"]
    assert distribution_of("acme_none:Good") == {"entry": "acme_none:Good"}
