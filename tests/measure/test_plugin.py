"""A plug-in that cannot be used is named with the reason, before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Rung
from npubench.measure.plugin import PluginError, distribution_of, find_device, load_backend, probe
from npubench.plugins import disputed_entries, plugin_entries

MODULE = """
from dataclasses import dataclass

from npubench.contract import Availability, Backend, Device, Rung

class Good(Backend):
    def probe(self):
        return Availability(Rung.READY, devices=(Device("npu:0", "ACME-1"),))
    def load(self, artefact, device, options):
        raise NotImplementedError

class Newer(Good):
    contract = 2

class Older(Good):
    contract = 0

class Odd(Good):
    contract = "1.0"

class Untyped(Good):
    Options = dict

@dataclass
class Lost:
    mode: "Nowhere" = ""

class Unresolved(Good):
    Options = Lost

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
        ("acme_plugin:Older", "is written for contract 0, this npubench has 1"),
        ("acme_plugin:Odd", "is written for contract '1.0', this npubench has 1"),
        ("acme_plugin:Untyped", "its Options is no dataclass"),
        ("acme_plugin:Unresolved", "the types of its Options cannot be resolved: NameError: name 'Nowhere' is not defined"),
        ("acme_plugin", "its entry point 'acme_plugin' is not written as module:Class"),
        ("acme_plugin:", "its entry point 'acme_plugin:' is not written as module:Class"),
        (":Good", "its entry point ':Good' is not written as module:Class"),
        ("acme_plugin:Half", "its constructor raises TypeError"),
        ("acme_plugin:Failing", "its constructor raises SystemExit: no licence"),
    ],
)
def test_what_is_wrong_with_a_plug_in_is_said_with_its_name(load: Callable[[str], Backend], entry: str, words: str) -> None:
    with pytest.raises(PluginError) as caught:
        load(entry)
    assert str(caught.value).startswith("backend 'acme'")
    assert words in str(caught.value)
    assert caught.value.advice


def test_who_has_to_be_newer_is_said(load: Callable[[str], Backend]) -> None:
    advice = {}
    for name in ("Newer", "Older", "Odd"):
        with pytest.raises(PluginError) as caught:
            load(f"acme_plugin:{name}")
        advice[name] = caught.value.advice
    assert advice["Newer"] == "install a newer npubench, which knows contract 2"
    assert advice["Older"] == "install a newer plug-in"
    assert "npubench check acme" in advice["Odd"]


@pytest.mark.parametrize(("name", "words"), [("Broken", "probe raises SystemExit: driver gone"), ("Wrong", "probe returns bool")])
def test_a_probe_that_breaks_the_contract_is_a_broken_sdk(load: Callable[[str], Backend], name: str, words: str) -> None:
    found = probe("acme", load(f"acme_plugin:{name}"))
    assert found.rung is Rung.SDK_BROKEN
    assert words in found.reason


class Answering(Backend):
    """Answers a probe with whatever it was given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def probe(self) -> Availability:
        if isinstance(self.answer, BaseException):
            raise self.answer
        found: Availability = self.answer
        return found

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        raise NotImplementedError


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


CARD: Any = Device("npu:0", "ACME-1")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Availability(4, devices=(CARD,)), "says rung 4, which is no Rung"),  # type: ignore[arg-type]
        (Availability(Rung.READY), "says ready and names no device"),
        (Availability(Rung.READY, devices=(CARD, CARD)), "names two devices 'npu:0'"),
        (Availability(Rung.READY, devices=("npu:0",)), "names a device as str, not Device"),  # type: ignore[arg-type]
        (Availability(Rung.READY, devices=(Device(0, "ACME"),)), "gives a device the name 0, which is not text"),  # type: ignore[arg-type]
        (Availability(Rung.READY, devices=(Device("npu:0", ""),)), "gives a device the kind '', which is not text"),
        (Availability(Rung.READY, devices=(Device("a", "b", [1]),)), "details of device 'a' as list, not a mapping"),  # type: ignore[arg-type]
        (Availability(Rung.READY, devices=(Device("a", "b", simulated=1),)), "by True or False whether device 'a' is"),  # type: ignore[arg-type]
        (Availability(Rung.READY, devices=7), "cannot be read: TypeError"),  # type: ignore[arg-type]
        (Availability(Rung.NO_DEVICE, b"none"), "gives as reason bytes, not text"),  # type: ignore[arg-type]
        (Availability(Rung.NO_DEVICE, "none", None), "gives as advice NoneType, not text"),  # type: ignore[arg-type]
        (Availability(Rung.READY, versions="1.0", devices=(CARD,)), "gives versions as str, not a mapping"),  # type: ignore[arg-type]
        (None, "returns NoneType, not Availability"),
        (UnspeakableError(), "raises UnspeakableError"),
        (KeyboardInterrupt(), "raises KeyboardInterrupt"),
    ],
)
def test_an_answer_that_is_not_what_the_contract_says_is_told(answer: Any, words: str) -> None:
    found = probe("acme", Answering(answer))
    assert found.rung is Rung.SDK_BROKEN
    assert found.reason.startswith("backend 'acme': ")
    assert words in found.reason
    assert found.advice
    assert found.devices == ()


def test_a_rung_without_a_reason_is_kept_and_said() -> None:
    found = probe("acme", Answering(Availability(Rung.NO_DEVICE, " ")))
    assert found.rung is Rung.NO_DEVICE
    assert found.reason == "backend 'acme': its probe says no_device and gives no reason"
    assert "README of backend 'acme'" in found.advice


def test_what_a_probe_tells_comes_out_as_plain_values() -> None:
    """Versions and details are often objects of an SDK's own; the survey and the record need text."""
    told: Any = {"driver": 12, Path("fw"): 1.5}
    found = probe("acme", Answering(Availability(Rung.READY, versions=told, devices=(Device("a", "b", told),))))
    assert found.versions == found.devices[0].details == {"driver": "12", "fw": "1.5"}


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


def _claim(site: Path, distribution: str, version: str, value: str, group: str = "npubench.backends") -> None:
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{group}]\ntwin = {value}\nonly-{distribution} = {value}\n")


def test_a_name_that_two_distributions_claim_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _claim(tmp_path / "a", "acme", "1.2", "acme.a:A")
    _claim(tmp_path / "b", "other", "3", "other:B")
    for folder in "ab":
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    entries, disputed = plugin_entries("npubench.backends"), disputed_entries("npubench.backends")
    assert "twin" not in entries
    assert (entries["only-acme"], entries["only-other"]) == ("acme.a:A", "other:B")
    assert list(disputed) == ["twin"]
    for words in ("acme 1.2 (acme.a:A)", "other 3 (other:B)", "uninstall"):
        assert words in disputed["twin"]


def test_a_distribution_seen_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a source tree is on the path beside the installed copy of it."""
    for folder in "ab":
        _claim(tmp_path / folder, "acme", "1.2", "acme.a:A")
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    assert plugin_entries("npubench.backends")["twin"] == "acme.a:A"
    assert disputed_entries("npubench.backends") == {}
