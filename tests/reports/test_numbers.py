"""Figures as people read them never say more than the record does."""

from __future__ import annotations

from decimal import Decimal

import pytest
from babel.core import Locale
from babel.numbers import format_decimal
from hypothesis import given
from hypothesis import strategies as st

from npubench.analyze.estimate import Estimate, absent
from npubench_reports import numbers

EN = Locale.parse("en")
KO = Locale.parse("ko")


def shown(value: float, unit: str, low: float | None = None, high: float | None = None, **rest: float) -> tuple[str, str, str]:
    figure = numbers.figure(Estimate(value, unit, low, high, **rest), numbers.scale_for([value], unit), EN)  # type: ignore[arg-type]
    assert figure is not None
    return figure.text, figure.interval, figure.unit


@pytest.mark.parametrize(
    ("value", "unit", "low", "high", "expected"),
    [
        (5_304_000.0, "ns", 5_282_100.0, 5_325_900.0, ("5.304", "5.282 – 5.326", "ms")),
        (812_345.0, "ns", 790_000.0, 840_000.0, ("812", "790 – 840", "µs")),
        (999_600.0, "ns", None, None, ("1.000", "", "ms")),
        (12_345.6, "samples/s", 12_300.0, 12_400.0, ("12,350", "12,300 – 12,400", "samples/s")),
        (0.0123456, "J", None, None, ("12.3", "", "mJ")),
        (0.0, "ns", 0.0, 0.0, ("0.00", "0.00 – 0.00", "ns")),
        (5e6, "ns", None, 5.2e6, ("5.00", "≤ 5.20", "ms")),
        (71.0, "ratio", None, None, ("71.0", "", "")),
    ],
)
def test_a_value_is_scaled_and_rounded_to_what_its_interval_warrants(
    value: float, unit: str, low: float | None, high: float | None, expected: tuple[str, str, str]
) -> None:
    assert shown(value, unit, low, high) == expected


def test_neighbours_share_a_unit() -> None:
    assert numbers.scale_for([812e3, 7.9e6], "ns") == numbers.Scale(1e6, "ms")
    assert numbers.scale_for([90e3, 150e6], "ns") == numbers.Scale(1e3, "µs")
    assert numbers.scale_for([], "ns") == numbers.Scale(1.0, "ns")
    assert numbers.scale_for([None, 3.0], "widgets") == numbers.Scale(1.0, "widgets")


@given(
    st.floats(1e-6, 1e12),
    st.floats(0.0, 0.5),
    st.floats(0.0, 0.5),
)
def test_an_interval_is_never_shown_narrower_than_it_is(value: float, below: float, above: float) -> None:
    low, high = value * (1 - below), value * (1 + above)
    figure = numbers.figure(Estimate(value, "x", low, high), numbers.Scale(1.0, "x"), EN)
    assert figure is not None
    ends = [float(end.replace(",", "")) for end in figure.interval.split(" – ")]
    assert ends[0] <= low
    assert ends[1] >= high
    assert ends[0] <= float(figure.text.replace(",", "")) <= ends[1]


@pytest.mark.parametrize(
    ("value", "bound", "text"), [(0.9942, 0.99, "0.9942"), (0.97499, 0.975, "0.97499"), (0.9749999999, 0.975, "0.9749999999")]
)
def test_rounding_never_makes_a_missed_bound_look_met(value: float, bound: float, text: str) -> None:
    assert numbers.against(value, bound, EN) == text


def test_everything_exact_stands_in_the_title() -> None:
    estimate = Estimate(5304123.5, "ns", 5282000.0, 5326000.0, 0.99, 4096)
    assert numbers.exactly(estimate) == "5304123.5 ns; [5282000 – 5326000] @ 0.99; n = 4096"
    assert numbers.exactly(absent("ns", "too few")) == ""
    assert numbers.figure(absent("ns", "too few"), numbers.Scale(1.0, "ns"), EN) is None


def test_settings_keep_no_digits_they_do_not_have() -> None:
    assert numbers.setting(50_000_000, "ns", EN).text == "50"
    assert numbers.setting(1_500, "ns", EN).unit == "µs"


def test_times_are_korean_in_both_languages() -> None:
    assert numbers.moment("2026-03-04T21:12:09Z", KO) == "2026년 3월 5일 06:12 KST"
    assert numbers.moment("2026-03-04T21:12:09+00:00", EN) == "March 5, 2026 06:12 KST"
    assert numbers.moment("2026-03-04T21:12:09", EN) == "March 5, 2026 06:12 KST"
    assert numbers.moment("some day", EN) == "some day"


@pytest.mark.parametrize("language", ["en", "ko", "de", "fr"])
@given(value=st.floats(-1e12, 1e12), digit=st.integers(-9, 6))
def test_digits_are_set_as_babel_sets_them(language: str, value: float, digit: int) -> None:
    """Thousands of figures a page are not worth Babel's time, but its separators are."""
    locale = Locale.parse(language)
    rounded = round(Decimal(repr(value)), -digit)
    pattern = "#,##0" + ("." + "0" * -digit if digit < 0 else "")
    assert numbers.decimal(value, digit, locale) == format_decimal(
        Decimal(int(rounded)) if digit >= 0 else rounded, pattern, locale
    )
    assert numbers.count(int(value), locale) == format_decimal(int(value), locale=locale)
