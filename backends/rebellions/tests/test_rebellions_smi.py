"""What rbln-smi says, and the sensors made of it. The program is a stand-in that replays captured payloads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.contract import Device
from npubench_rebellions import smi as command
from npubench_rebellions.sensors import POWER_PERIOD_NS, sensors

DEVICE = Device("rbln:0", "RBLN-CA22", {"sid": "0000000022500042"})


def calls(path: str) -> int:
    return len((Path(path.partition(":")[0]) / "calls").read_text().split())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("17521800uW", 17522),
        ("17521800µW", 17522),
        ("17521800μW", 17522),
        ("17521.8 mW", 17522),
        ("38.5W", 38500),
        ("17521800", None),
        ("17521800C", None),
        ("17521800kW", None),
        ("17521800W", None),
        ("0uW", None),
        ("-3W", None),
        ("N/A", None),
        ("9" * 400 + "W", None),
        ("", None),
        (17521800, None),
        (None, None),
    ],
)
def test_power_is_milliwatts_or_nothing(text: object, value: int | None) -> None:
    assert command.power_mw(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("31C", 31000), ("31.5 °C", 31500), ("31000mC", 31000), ("31000C", None), ("31", None), (None, None)]
)
def test_temperature_is_thousandths_of_a_degree_or_nothing(text: object, value: int | None) -> None:
    assert command.temperature_mc(text) == value


@pytest.mark.parametrize("key", ["KMD_version", "driver_version"])
def test_a_listing_has_the_driver_and_the_cards(
    smi: Callable[..., str], npu: Callable[..., Any], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", smi([npu(0), npu(1, npu="1")], driver_key=key))
    found = command.ask()
    assert (found.driver, found.problem) == ("3.0.0", "")
    assert [(each.index, each.name, each.power_mw, each.temperature_mc) for each in found.npus] == [
        (0, "RBLN-CA22", 17522, 31000),
        (1, "RBLN-CA22", 17522, 31000),
    ]
    assert found.npus[0].details["pci"] == "0000:00:00.0"
    assert found.npus[0].details["firmware"] == "3.0.0"


def test_the_older_name_of_the_command_is_found(
    smi: Callable[..., str], npu: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", smi([npu(0)], name="rbln-stat"))
    assert len(command.ask().npus) == 1


def test_dies_of_a_card_keep_their_own_numbers(npu: Callable[..., Any]) -> None:
    """A four-die card repeats the key npu; the device file tells the dies apart."""
    entries = [npu(0, device=f"rbln{die}", name="RBLN-CA25", sid="A") for die in range(4)]
    assert [each.index for each in command.read(json.dumps({"devices": entries})).npus] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("echo rubbish", "answered what is no listing: 'rubbish'"),
        ("echo '[1, 2]'", "answered what is no listing"),
        ("echo '{}'", "answered what is no listing"),
        ("true", "answered what is no listing: ''"),
        ("echo no permission >&2; exit 3", "ended with code 3: no permission"),
        ("exec sleep 60", "gave no answer within 0.2 s"),
    ],
)
def test_what_goes_wrong_is_said(smi: Callable[..., str], monkeypatch: pytest.MonkeyPatch, body: str, problem: str) -> None:
    monkeypatch.setenv("PATH", smi([], body=body))
    # A busy machine may take longer than that to start what answers.
    monkeypatch.setattr(command, "READING_S", 0.2 if "sleep" in body else 60.0)
    found = command.ask(0)
    assert problem in found.problem
    assert (found.driver, found.npus) == ("", ())
    assert [sensor.read() for sensor in sensors(DEVICE, 0)] == [None, None, None]


def test_without_the_command_there_are_no_sensors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no rbln-smi on PATH" in command.ask().problem
    assert sensors(DEVICE, 0) == ()


def test_sensors_say_what_they_are_and_share_a_call(
    smi: Callable[..., str], npu: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = smi([npu(0), npu(1, card_power="40000000uW")])
    monkeypatch.setenv("PATH", path)
    found = sensors(DEVICE, 0)
    assert [(each.kind, each.domain) for each in found] == [("power", "card"), ("temperature", "chip"), ("throttle", "chip")]
    assert found[0].update_period_ns == POWER_PERIOD_NS
    assert [each.read() for each in found] == [17522, 31000, 0]
    assert calls(path) == 1
    assert [each.read() for each in reversed(found)] == [0, 31000, 17522]
    assert calls(path) == 2
    assert found[1].read() == 31000
    assert calls(path) == 3


def test_a_hot_card_says_that_it_throttles(
    smi: Callable[..., str], npu: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", smi([npu(0, pstate="P10")]))
    assert sensors(DEVICE, 0)[2].read() == 1


def test_a_key_that_is_missing_is_no_value(
    smi: Callable[..., str], npu: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", smi([{"device": "rbln0"}]))
    assert [each.read() for each in sensors(DEVICE, 0)] == [None, None, None]


def test_four_dies_of_a_card_are_one_power_sensor(
    smi: Callable[..., str], npu: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each die repeats the card's power: by name there is one sensor for the card, not four."""
    card = [npu(0, device=f"rbln{die}", name="RBLN-CA25", sid="A", card_power="120W") for die in range(4)]
    monkeypatch.setenv("PATH", smi([*card, npu(4, sid="B")]))
    npus = command.ask().npus
    power = [sensors(Device(f"rbln:{each.index}", each.name, each.details), each.index)[0] for each in npus]
    assert {each.name: each.read() for each in power} == {"card power A": 120_000, "card power B": 17522}
