"""What operation comes to, against sums worked out by hand; nothing is assumed and nothing missing counts as zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.errors import InputError
from npubench.report.operating_cost import (
    Costs,
    electricity_per_year,
    krw_per_million,
    kwh_per_year,
    read_costs,
    total_cost,
)

FILE = """
schema_version = 1
name = "center"
term_years = 2
discount_rate = 0.1
utilisation = 0.5
[tariff]
name = "산업용"
date = "2024-10-24"
source = "tariff table"
krw_per_kwh = 120.0
basic_krw_per_kw_month = 6000
[pue]
value = 1.5
source = "the operator"
date = "2026-01"
[[device]]
target = "card"
capital_krw = 1000000
source = "an offer"
maintenance_krw_per_year = 10000
count = 2
"""


def read(tmp_path: Path, text: str = FILE) -> Costs:
    path = tmp_path / "cost.toml"
    path.write_text(text, encoding="utf-8")
    return read_costs(path, ["card", "gpu@150W"], ["tiny"])


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-12)


def test_a_million_inferences() -> None:
    """0.036 J each is 0.01 kWh a million: at PUE 1.5 and 120 KRW/kWh, 1.8 KRW; the interval goes along."""
    found = krw_per_million(Estimate(0.036, "J/sample", 0.018, 0.072, 0.99), 1.5, 120.0)
    assert (found.value, found.low, found.high, found.unit, found.confidence) == (near(1.8), near(0.9), near(3.6), "KRW", 0.99)


def test_without_energy_or_pue_there_is_no_figure() -> None:
    assert krw_per_million(absent("J/sample", "the sensor is slow"), 1.5, 120.0) == absent("KRW", "the sensor is slow")
    without = krw_per_million(Estimate(1.0, "J/sample"), None, 120.0)
    assert without.value is None
    assert "PUE" in str(without.reason)


def test_a_year_of_load_and_idle() -> None:
    """Two devices, half of the time at 100 W and half at 20 W: 2 × 60 W × 8760 h = 1051.2 kWh."""
    found = kwh_per_year(Estimate(100.0, "W", 90.0, 110.0), Estimate(20.0, "W"), 0.5, 2)
    assert (found.value, found.low, found.high) == (near(1051.2), near(963.6), near(1138.8))


def test_an_unknown_idle_power_is_no_zero() -> None:
    found = kwh_per_year(Estimate(100.0, "W"), absent("W", "no idle baseline"), 0.5)
    assert (found.value, found.reason) == (None, "no idle baseline")
    assert kwh_per_year(Estimate(100.0, "W"), absent("W", "no idle baseline"), 1.0).value == near(876.0)


def test_electricity_and_the_total(tmp_path: Path) -> None:
    """1051.2 kWh × 1.5 × 120 + 0.2 kW × 1.5 × 6000 × 12; two devices, two years at 10 %."""
    costs = read(tmp_path)
    watts = Estimate(100.0, "W")
    yearly = electricity_per_year(kwh_per_year(watts, Estimate(20.0, "W"), 0.5, 2), watts, costs, 1.5, 2)
    assert yearly.value == near(1051.2 * 180 + 0.2 * 1.5 * 72000)
    total = total_cost(yearly, costs.device("card"), costs, 2)
    assert total.value == near(2e6 + (float(yearly.value or 0) + 20000) * (1 / 1.1 + 1 / 1.21))
    assert total_cost(yearly, None, costs, 2).reason == "the cost file has no price of this target"


def test_prices_by_period_are_averaged_by_their_hours(tmp_path: Path) -> None:
    periods = '[[tariff.period]]\nname = "경부하"\nhours_per_year = 2190\nkrw_per_kwh = 60\n'
    periods += '[[tariff.period]]\nname = "최대부하"\nhours_per_year = 6570\nkrw_per_kwh = 100\n'
    text = FILE.replace("krw_per_kwh = 120.0\n", "").replace("[pue]", periods + "[pue]")
    assert read(tmp_path, text).price == near(90.0)


def test_a_target_under_a_power_limit_costs_the_same(tmp_path: Path) -> None:
    found = read(tmp_path).device("card@100W")
    assert found is not None
    assert found.target == "card"


WRONG = {
    "unknown target": (('target = "card"', 'target = "crad"'), r"device\[0\].target: no target 'crad' in the store"),
    "no price": (("krw_per_kwh = 120.0\n", ""), r"give either krw_per_kwh or \[\[tariff.period\]\]"),
    "PUE below 1": (("value = 1.5", "value = 0.9"), r"pue.value"),
    "PUE of nobody": (('source = "the operator"\n', ""), r"key 'pue.source' is missing"),
    "tariff of no date": (('date = "2024-10-24"\n', ""), r"key 'tariff.date' is missing"),
    "load above all": (("utilisation = 0.5", "utilisation = 1.5"), r"utilisation"),
    "negative price": (("capital_krw = 1000000", "capital_krw = -1"), r"device.*capital_krw"),
    "endless price": (("krw_per_kwh = 120.0", "krw_per_kwh = inf"), r"tariff.krw_per_kwh"),
    "half a year": (
        ("krw_per_kwh = 120.0\n", '[[tariff.period]]\nname = "x"\nhours_per_year = 4000\nkrw_per_kwh = 1\n[tariff.none]\n'),
        r"tariff",
    ),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_a_wrong_file_is_one_sentence(case: str, tmp_path: Path) -> None:
    (old, new), said = WRONG[case]
    with pytest.raises(InputError, match=said) as raised:
        read(tmp_path, FILE.replace(old, new))
    assert "\n" not in str(raised.value)


def test_hours_must_make_a_year(tmp_path: Path) -> None:
    periods = '[[tariff.period]]\nname = "x"\nhours_per_year = 4000\nkrw_per_kwh = 1\n'
    text = FILE.replace("krw_per_kwh = 120.0\n", "").replace("[pue]", periods + "[pue]")
    with pytest.raises(InputError, match=r"hours add up to 4000, a year has 8760"):
        read(tmp_path, text)


def test_a_service_has_a_workload_that_is_known(tmp_path: Path) -> None:
    service = '[[service]]\nname = "x"\nworkload = "tinny"\nqueries_per_s = 1\nlatency_ms = 1\nheadroom = 0\n'
    with pytest.raises(InputError, match=r"service\[0\].workload: there is no workload 'tinny'"):
        read(tmp_path, FILE + service)


def test_headroom_is_stated_and_never_assumed(tmp_path: Path) -> None:
    service = '[[service]]\nname = "x"\nworkload = "tiny"\nqueries_per_s = 1\nlatency_ms = 1\n'
    with pytest.raises(InputError, match=r"service.*headroom.* is missing"):
        read(tmp_path, FILE + service)
