"""A meter's words become integers of a sensor's unit exactly, and words that are no number become nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from npubench.measure.meters.sensor import MeterError
from npubench.measure.meters.units import UNITS, number, scaled, step, unit


@pytest.mark.parametrize(
    "text",
    ["NAN", "INF", "-INF", "OF", "9.91E+37", "9.9E37", "-9.9E+37", "----", "", "1,2", "0x10", "1_000", "1.2.3", "１２", "12 W"],
)
def test_what_is_no_number_is_no_value(text: str) -> None:
    assert number(text) is None


@pytest.mark.parametrize(
    ("text", "value"), [("1.2345E+03", "1234.5"), (" -0.5 ", "-0.5"), ("+7", "7"), (".25", "0.25"), ("3.", "3"), ("0", "0")]
)
def test_numbers_as_instruments_write_them(text: str, value: str) -> None:
    assert number(text) == Decimal(value)


def test_a_long_energy_is_exact() -> None:
    """A float has 53 bits: it loses microjoules from nine digits of kWh on."""
    value = number("123456.789012345")
    assert value is not None
    assert scaled(value, UNITS["kWh"][1]) == 444_444_440_444_442_000


def test_the_step_is_what_the_last_digit_is_worth() -> None:
    wh = UNITS["Wh"][1]
    assert step(Decimal("1.23456E+02"), wh) == 3_600_000
    assert step(Decimal("1.23456E-02"), wh) == 360
    assert step(Decimal("12"), UNITS["W"][1]) == 1000
    assert step(Decimal("1E-12"), UNITS["W"][1]) == 1


def test_an_unknown_unit_names_the_nearest() -> None:
    with pytest.raises(MeterError, match=r"settings\.unit: unknown unit 'kwh'; did you mean 'kWh'\?"):
        unit("kwh", "settings.unit")
    with pytest.raises(MeterError, match="unknown unit 'W'; did you mean"):
        unit("W", "energy.unit", ("energy",))
