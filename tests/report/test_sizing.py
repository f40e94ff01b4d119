"""How many devices a service needs: from rates certified under a bound no looser than asked, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate
from npubench.contract.runspec import Scenario
from npubench.record.schema import Energy
from npubench.record.store import Entry, Store
from npubench.report.operating_cost import Costs, read_costs
from npubench.report.procurement_lineup import line_up
from npubench.report.sizing import Sized, size_all

Add = Callable[..., Entry]

FILE = """
schema_version = 1
name = "center"
term_years = 1
discount_rate = 0.0
utilisation = 1.0
[tariff]
name = "flat"
date = "2026-01"
source = "table"
krw_per_kwh = 100.0
[pue]
value = 1.0
source = "the operator"
date = "2026-01"
[[device]]
target = "card"
capital_krw = 1000
source = "an offer"
[[service]]
name = "cctv"
workload = "tiny"
queries_per_s = 1000
latency_ms = 10
headroom = 0.2
"""


def costs(tmp_path: Path, text: str = FILE) -> Costs:
    path = tmp_path / "cost.toml"
    path.write_text(text, encoding="utf-8")
    return read_costs(path, ["card"], ["tiny"])


def sized(store: Store, of: Costs, reference: str = "") -> Mapping[str, Sized]:
    lineup = line_up(store.read()[0], reference)
    names = {subject.key: subject.target for subject in lineup.offers}
    return {names[each.offer]: each for each in size_all(lineup, of.file.service[0], of)}


def rate(value: float, low: float | None = None) -> dict[str, Any]:
    """Return a server run's certified rate."""
    high = None if low is None else 2 * value - low
    metrics = {"query_rate": Estimate(value, "queries/s", low, high), "throughput": Estimate(value, "samples/s", low, high)}
    return {"scenario": Scenario.SERVER, "metrics": metrics}


@pytest.mark.parametrize(
    ("value", "low", "count"), [(125.0, None, 10), (126.0, 125.0, 10), (124.9, None, 11), (2000.0, 1999.0, 1)]
)
def test_devices_by_the_lower_end_of_the_rate_less_headroom(
    store: Store, add: Add, tmp_path: Path, value: float, low: float | None, count: int
) -> None:
    add("card", **rate(value, low))
    assert sized(store, costs(tmp_path))["card"].devices.value == count


def test_watts_won_and_the_references_devices(store: Store, add: Add, tmp_path: Path, make_energy: Callable[..., Energy]) -> None:
    """Ten cards of 50 W for a year: 4380 kWh at 100 KRW, and 1000 KRW each; twenty of the reference's."""
    add("card", **rate(125.0), energy=(make_energy(watts=50),))
    add("gpu", **rate(62.5))
    found = sized(store, costs(tmp_path), "gpu")
    card = found["card"]
    assert (card.devices.value, card.reference_devices.value, card.replaces.value) == (10, 20, 2.0)
    assert (card.watts.value, card.domain) == (pytest.approx(500), "card")
    assert card.yearly.value == pytest.approx(438_000)
    assert card.total.value == pytest.approx(448_000)
    assert found["gpu"].watts.reason == "not measured: no sensor or meter was read"
    assert found["gpu"].total.reason == "the cost file has no price of this target"


@pytest.mark.parametrize(
    ("load", "text", "reason"),
    [
        (
            {"latency_bound_ns": 20_000_000},
            FILE,
            "certified at a bound of 20 ms, the service asks for 10 ms: nothing is extrapolated",
        ),
        ({}, FILE + "percentile = 0.999\n", "certified at percentile 99, the service asks for 99.9: nothing is extrapolated"),
        ({"latency_bound_ns": None}, FILE, "the run has no latency bound"),
    ],
)
def test_nothing_is_extrapolated(store: Store, add: Add, tmp_path: Path, load: dict[str, Any], text: str, reason: str) -> None:
    add("card", **rate(125.0), load=load)
    card = sized(store, costs(tmp_path, text))["card"]
    assert (card.rate.value, card.rate.reason) == (None, reason)
    assert (card.devices.value, card.total.value) == (None, None)


def test_a_stricter_bound_than_asked_counts(store: Store, add: Add, tmp_path: Path) -> None:
    add("card", **rate(125.0), load={"latency_bound_ns": 5_000_000})
    assert sized(store, costs(tmp_path))["card"].devices.value == 10


def test_an_invalid_run_sizes_nothing_and_a_smoke_run_says_that_it_decides_nothing(
    store: Store, add: Add, tmp_path: Path
) -> None:
    add("card", **rate(125.0), status="invalid")
    add("gpu", **rate(125.0), spec={"grade": "smoke"})
    add("other", scenario=Scenario.OFFLINE)
    found = sized(store, costs(tmp_path))
    assert found["card"].devices.value is None
    assert (found["gpu"].devices.value, found["gpu"].doubt) == (10, "smoke")
    assert found["other"].rate.reason == "not run in the server scenario"
    assert found["card"].replaces.reason == "no certified rate"


def test_without_a_declared_pue_there_is_no_single_sum(
    store: Store, add: Add, tmp_path: Path, make_energy: Callable[..., Energy]
) -> None:
    add("card", **rate(125.0), energy=(make_energy(watts=50),))
    without = FILE[: FILE.index("[pue]")] + FILE[FILE.index("[[device]]") :]
    card = sized(store, costs(tmp_path, without))["card"]
    assert card.watts.value == pytest.approx(500)
    assert (card.yearly.value, card.total.value) == (None, None)
    assert "PUE" in str(card.total.reason)
