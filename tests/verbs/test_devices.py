"""What a person sees of backends on a terminal of eighty columns, and what a program gets."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from npubench.contract.availability import Availability, Device, Rung
from npubench.errors import InputError
from npubench.measure.survey import Ask, Survey
from npubench.plan.suite import HostFile
from npubench.verbs import devices
from npubench.verbs.devices import EP_LIBRARY, Place, places_of, show_devices

LONG = "the driver of the card at 0000:03:00.0 is not loaded: neither [/dev/acme0] nor the module [bold]acme is there, as said "

GOOD = Survey(
    "acme",
    "acme:Acme",
    Availability(
        Rung.READY,
        versions={"SDK": "1.2"},
        devices=(Device("npu:0", "ACME-1", {"serial": "0xF00"}), Device("npu:1", "ACME-1", simulated=True)),
    ),
    options={"mode": "''"},
    plugin={"distribution": "acme", "version": "1.2"},
    has_sensors=True,
)
MISSING = Survey("vendor", "vendor:Vendor", Availability(Rung.DRIVER_MISSING, LONG + "\x1b[31mred\ud800", "sudo modprobe acme"))
NO_ANSWER = Survey("", "", Availability(Rung.SDK_BROKEN, "python '/nowhere' cannot be started: no such file", "mend the path"))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """This interpreter has two backends, any other cannot be started."""
    known = {"acme": GOOD, "vendor": MISSING}

    def survey_all(asks: Sequence[Ask], answered: Callable[[Ask, Survey], None] = lambda ask, found: None) -> list[Survey]:
        found = []
        for ask in asks:
            listing = Survey("", "", Availability(Rung.READY), known=tuple(known))
            found.append(NO_ANSWER if ask.python else known[ask.backend] if ask.backend else listing)
            answered(ask, found[-1])
        return found

    monkeypatch.setattr(devices, "survey_all", survey_all)
    monkeypatch.setattr(devices, "host_path", lambda given: given)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    path = tmp_path / "testbed.toml"
    path.write_text('schema_version = 1\n[target.far]\npython = "/nowhere"\n[target.here]\ndevice = "npu:0"\n')
    return path


@pytest.mark.parametrize("width", [80, 120])
def test_everything_is_legible_and_no_line_is_longer_than_the_terminal(
    answers: None, host: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(width=width, record=True, file=None, force_terminal=False, highlight=False)
    monkeypatch.setattr(devices, "out", console)
    assert show_devices(host, as_json=False) == 0
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    # Markup in a vendor's words is no markup, and what is wrapped is whole.
    whole = " ".join(text.split())
    assert " ".join(LONG.split()) in whole
    assert "[31mred?" in whole
    assert "\x1b" not in text
    for words in (
        "✔ acme ready",
        "✘ vendor driver_missing",
        "✘ no answer sdk_broken",
        "sudo modprobe acme",
        "/nowhere · of target far",
    ):
        assert words in whole
    assert "npu:1 ACME-1 SIMULATED" in whole
    assert "serial" not in whole
    assert "1 of 3 ready" in whole


def test_details_are_shown_on_demand(answers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=80, record=True, file=None, force_terminal=False, highlight=False)
    monkeypatch.setattr(devices, "out", console)
    show_devices(None, as_json=False, details=True)
    assert "serial: 0xF00" in console.export_text()


def test_a_program_gets_everything(answers: None, host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_devices(host, as_json=True) == 0
    acme, vendor, nowhere = json.loads(capsys.readouterr().out)
    assert (acme["availability"], acme["sensors"], acme["versions"]) == ("ready", True, {"SDK": "1.2"})
    shown = {"name": "npu:0", "kind": "ACME-1", "details": {"serial": "0xF00"}, "simulated": False, "host": False}
    assert acme["devices"][0] == shown
    assert (vendor["availability"], vendor["advice"]) == ("driver_missing", "sudo modprobe acme")
    assert (nowhere["interpreter"], nowhere["targets"], nowhere["advice"]) == ("/nowhere", ["far"], "mend the path")


def places(target: dict[str, Any], ep_library: str = "") -> list[Place]:
    return places_of(HostFile.model_validate({"schema_version": 1, "target": target}), ep_library)


def test_each_interpreter_is_looked_into_once_an_environment() -> None:
    found = places(
        {
            "a": {"python": "/vendor/python"},
            "b": {"python": "/vendor/python", "device": "npu:1"},
            "c": {"python": "/vendor/python", "env": {"ACME": "1"}},
            "d": {"env": {"ACME": "1"}},
            "e": {"device": "cpu"},
        }
    )
    assert found == [
        Place(),
        Place("/vendor/python", {}, ("a", "b")),
        Place("/vendor/python", {"ACME": "1"}, ("c",)),
        Place("", {"ACME": "1"}, ("d",)),
    ]
    assert "ACME=1 · of target d" in found[3].title()


def test_a_plugin_provider_is_for_this_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libacme.so").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    absolute = os.path.abspath("libacme.so")  # noqa: PTH100 - as the command writes it
    here, there = places({"a": {"python": "/vendor/python"}}, "libacme.so")
    assert here.env == {EP_LIBRARY: absolute}
    assert there.env == {}
    assert places({}, "Acme=libacme.so")[0].env == {EP_LIBRARY: f"Acme={absolute}"}
    with pytest.raises(InputError, match=r"--ep-library libnone\.so: libnone\.so: no such file"):
        places({}, "libnone.so")
