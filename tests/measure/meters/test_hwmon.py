"""hwmon rails on trees that are folders: the right files, units and paces, and never a sum of a rail with its own part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.contract.runspec import MeterSpec
from npubench.measure.meters import open_meter
from npubench.measure.meters.sensor import MeterError, MeterSensor

#: The three rails of a Jetson's INA3221: voltage and current, and the shunt's own voltages, which have no current.
INA3221 = {
    "name": "ina3221",
    **{f"in{n}_input": str(5000 + n) for n in (1, 2, 3)},
    **{f"curr{n}_input": str(1000 * n) for n in (1, 2, 3)},
    **{f"in{n}_label": label for n, label in ((1, "VDD_IN"), (2, "VDD_CPU"), (3, "VDD_SOC"))},
    **{f"in{n}_input": "12" for n in (4, 5, 6)},
    "update_interval": "10",
}
#: An INA226: its own power beside bus and shunt voltage.
INA226 = {"name": "ina226", "in0_input": "9", "in1_input": "12000", "curr1_input": "2000", "power1_input": "24012345"}
#: A card's driver with an energy counter and power of the card and of the package.
XE = {
    "name": "xe",
    "energy1_input": "81000000",
    "energy1_label": "card",
    "energy2_input": "71000000",
    "energy2_label": "pkg",
    "power1_input": "31000000",
    "power1_label": "card",
}
ACPI = {"name": "power_meter", "power1_average": "180000000", "power1_average_interval": "500"}


@pytest.fixture
def hwmon(tmp_path: Path) -> Callable[..., Path]:
    def build(*chips: dict[str, str]) -> Path:
        for n, files in enumerate(chips):
            folder = tmp_path / f"hwmon{n}"
            device = tmp_path / "devices" / f"1-004{n}"
            folder.mkdir()
            device.mkdir(parents=True)
            (folder / "device").symlink_to(device)
            for name, text in files.items():
                (folder / name).write_text(text + "\n")
        return tmp_path

    return build


def opened(root: Path, chip: str, **settings: Any) -> list[MeterSensor]:
    return list(open_meter(MeterSpec("board", "hwmon", "board", {"root": str(root), "chip": chip, **settings})))


def refusal(root: Path, chip: str, **settings: Any) -> str:
    with pytest.raises(MeterError) as refused:
        opened(root, chip, **settings)
    return str(refused.value)


def test_voltage_times_current_is_power_where_a_chip_has_no_other(hwmon: Callable[..., Path]) -> None:
    (rail,) = opened(hwmon(INA3221), "ina3221", rails=["VDD_CPU"])
    assert (rail.name, rail.kind, rail.domain, rail.evidence) == ("board VDD_CPU power", "power", "board", "device power gauge")
    assert rail.read() == 10_004  # 5.002 V × 2 A, mW
    assert (rail.update_period_ns, rail.averages, rail.quantum) == (10_000_000, None, None)


def test_several_rails_are_the_domain_only_where_they_are_named(hwmon: Callable[..., Path]) -> None:
    root = hwmon(INA3221)
    sentence = refusal(root, "ina3221")
    assert "one may be a part of another" in sentence
    assert sentence.endswith("VDD_IN, VDD_CPU, VDD_SOC")
    assert [rail.read() for rail in opened(root, "ina3221", rails=["VDD_CPU", "in3"])] == [10_004, 15_009]


def test_a_chips_own_power_goes_before_a_product(hwmon: Callable[..., Path]) -> None:
    (rail,) = opened(hwmon(INA226), "ina226")
    assert (rail.name, rail.read(), rail.update_period_ns, rail.averages) == ("board power1", 24_012, None, None)


def test_an_average_says_over_what(hwmon: Callable[..., Path]) -> None:
    (rail,) = opened(hwmon(ACPI), "power_meter")
    assert (rail.read(), rail.update_period_ns, rail.averages) == (180_000, 500_000_000, True)


def test_a_counter_and_a_gauge_of_one_rail_are_two_kinds_of_evidence(hwmon: Callable[..., Path]) -> None:
    root = hwmon(XE)
    sensors = opened(root, "xe", rails=["card"])
    assert [(s.name, s.kind, s.read(), s.evidence) for s in sensors] == [
        ("board card energy", "energy", 81_000_000, "device energy counter"),
        ("board card power", "power", 31_000, "device power gauge"),
    ]
    assert [s.name for s in opened(root, "xe", rails=["energy2"])] == ["board pkg energy"]


def test_chips_of_one_name_are_told_apart_by_their_device(hwmon: Callable[..., Path]) -> None:
    root = hwmon(INA226, {**INA226, "power1_input": "1000000"})
    assert refusal(root, "ina226").endswith("settings: device: there are 2 chips 'ina226'; name one of 1-0040, 1-0041")
    assert opened(root, "ina226", device="1-0041")[0].read() == 1000
    assert (
        refusal(root, "ina226", device="1-0042").split(": ", 3)[3].startswith("no chip 'ina226' is '1-0042'; did you mean '1-004")
    )


@pytest.mark.parametrize(
    ("chip", "settings", "said"),
    [
        ("ina322", {}, "there is no 'ina322' below"),
        ("ina322", {}, "; did you mean 'ina3221'?"),
        ("coretemp", {}, "shows neither energy nor power, nor a voltage with its current"),
        ("ina3221", {"rails": ["VDD_INN"]}, "has no rail 'VDD_INN'; did you mean 'VDD_IN'?"),
        ("ina3221", {"rail": ["VDD_IN"]}, "meter.board.settings: unknown key 'rail'; did you mean 'rails'?"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    hwmon: Callable[..., Path], chip: str, settings: dict[str, Any], said: str
) -> None:
    assert said in refusal(hwmon(INA3221, {"name": "coretemp", "temp1_input": "41000"}), chip, **settings)


def test_a_machine_without_power_sensors_is_told_so(hwmon: Callable[..., Path]) -> None:
    assert "no chip here shows power" in refusal(hwmon({"name": "coretemp"}), "ina226")


def test_a_rail_that_goes_away_is_an_error_and_no_zero(hwmon: Callable[..., Path]) -> None:
    root = hwmon(INA3221)
    (rail,) = opened(root, "ina3221", rails=["VDD_IN"])
    (root / "hwmon0" / "curr1_input").unlink()
    with pytest.raises(FileNotFoundError):
        rail.read()
    assert "no rail 'VDD_IN'" in refusal(root, "ina3221", rails=["VDD_IN"])
