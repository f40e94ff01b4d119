"""Samples a joule side by side: only like with like, with an interval, and with the policy's line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.plan.hardware import shipped_hardware
from npubench.record.schema import Energy, Record
from npubench.record.store import Entry, Store
from npubench.report.comparison import build_page
from npubench.report.efficiency import POLICY, compare_energy, energy_lines, policy
from npubench.report.page import EnergyLine, Ratio
from npubench.report.pairs import pair
from npubench.report.select import select

Add = Callable[..., Entry]
KEY = ("card", "device energy counter")
METER = {"evidence": "wall meter", "domain": "wall"}


def energy(per_joule: float | None = 10.0, half: float = 0.004, watts: float = 50.0, **changes: Any) -> Energy:
    """Return an energy figure; its samples a joule are uncertain by ``half`` of the value."""

    def around(value: float, unit: str) -> Estimate:
        return Estimate(value, unit, value * (1 - half), value * (1 + half))

    efficient = around(per_joule, "samples/J") if per_joule is not None else absent("samples/J", "the window is empty")
    return Energy(
        **{
            "sensor": "counter",
            "domain": KEY[0],
            "evidence": KEY[1],
            "joules": around(3000.0, "J"),
            "watts": around(watts, "W"),
            "peak_watts": Estimate(watts * 1.1, "W"),
            "idle_watts": absent("W", "no idle baseline"),
            "above_idle_joules": absent("J", "no idle baseline"),
            "joules_per_sample": absent("J/sample", "the window is empty")
            if per_joule is None
            else around(1 / per_joule, "J/sample"),
            "samples_per_joule": efficient,
            "accuracy_joules": absent("J", "no accuracy phase"),
            "warm_up_joules": absent("J", "no warm-up phase"),
            "readings": 600,
            "coverage": 1.0,
            "update_period_ns": 10_000_000,
            "clock_offset_ns": 0,
            "simulated": False,
            **changes,
        }
    )


def record(add: Add, target: str, *found: Energy, **changes: Any) -> Record:
    return add(target, energy=found, **changes).record


def page_of(entries: Sequence[Entry], baseline: str = "") -> dict[str, Any]:
    """Return target → its energy cell of the only row."""
    page = build_page("a", entries, baseline)
    names = {subject.key: subject.target for subject in page.subjects}
    return {names[cell.subject]: cell for cell in page.energy[0].cells}


def test_the_ratio_reaches_from_one_side_at_its_worst_to_its_best(add: Add) -> None:
    a, b = record(add, "a", energy(25.0)), record(add, "b", energy(10.0, 0.002))
    ratio = compare_energy([a], [b], KEY)
    assert ratio.value == pytest.approx(2.5)
    assert ratio.low == pytest.approx(2.5 * 0.996 / 1.002)
    assert ratio.high == pytest.approx(2.5 * 1.004 / 0.998)
    assert (ratio.verdict, policy(ratio)) == ("better", "met")
    back = compare_energy([b], [a], KEY)
    assert (back.verdict, policy(back)) == ("worse", "missed")


@pytest.mark.parametrize(
    ("value", "verdict"), [(20.5, "met"), (20.0, "indistinguishable"), (20.05, "indistinguishable"), (19.5, "missed")]
)
def test_policy_is_met_by_the_lower_end_alone(add: Add, value: float, verdict: str) -> None:
    assert POLICY == 2.0
    a, b = record(add, "a", energy(value)), record(add, "b", energy(10.0))
    assert policy(compare_energy([a], [b], KEY)) == verdict


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"domain": "wall", "evidence": "device energy counter"}, "different-domain"),
        ({"evidence": "device power gauge"}, "different-evidence"),
        (None, "no-energy"),
        ({"per_joule": None}, "no-efficiency"),
        ({"simulated": True}, "simulated"),
    ],
)
def test_nothing_is_set_in_ratio_with_what_it_is_not_like(add: Add, other: dict[str, Any] | None, reason: str) -> None:
    a = record(add, "a", energy())
    b = record(add, "b", *([] if other is None else [energy(**other)]))
    ratio = compare_energy([a], [b], KEY)
    assert (ratio.value, ratio.verdict, ratio.reason, policy(ratio)) == (None, "not-comparable", reason, "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"simulated": True}, "simulated"),
        ({"status": "invalid"}, "invalid"),
        ({"work_digest": "sha256:" + "1" * 64}, "different-work"),
        ({"spec": {"grade": "smoke"}}, "different-grade"),
        ({"spec": {"grade": "official"}}, "different-grade"),
    ],
)
def test_what_makes_runs_incomparable_makes_their_energy_so(add: Add, changes: dict[str, Any], reason: str) -> None:
    a, b = record(add, "a", energy(), **changes), record(add, "b", energy())
    assert compare_energy([a], [b], KEY).reason == reason


def test_an_official_ratio_wants_all_repeats_and_keeps_the_instruments_bounds(add: Add) -> None:
    def repeats(target: str, *values: float) -> list[Record]:
        return [record(add, target, energy(value), spec={"grade": "official", "repeat": n}) for n, value in enumerate(values)]

    a, b = repeats("a", 30.0, 30.3, 29.8), repeats("b", 10.0, 10.1, 9.9)
    assert compare_energy(a[:2], b[:2], KEY).reason == "incomplete"
    ratio = compare_energy(a, b, KEY)
    assert ratio.value == pytest.approx(3.0, rel=0.01)
    assert ratio.low is not None
    assert ratio.high is not None
    # Wider than either the scatter or the instruments alone.
    assert ratio.low < 3.0 * 0.996 / 1.004
    assert ratio.high > 3.0 * 1.004 / 0.996
    line = energy_lines(a, b)[0]
    assert line.samples_per_joule.confidence == 0.95
    assert line.peak_watts.value == pytest.approx(55.0)
    assert line.idle_watts.reason == "no idle baseline"


def test_a_repeat_without_the_sensor_leaves_no_mean(add: Add) -> None:
    both = [record(add, "a", energy(), spec={"grade": "official", "repeat": 0})]
    both.append(record(add, "a", energy(**METER), spec={"grade": "official", "repeat": 1}))
    lines = energy_lines(both)
    assert [line.evidence for line in lines] == ["wall meter", "device energy counter"]
    assert {line.watts.reason for line in lines} == {"absent in some repeats"}


def test_best_evidence_comes_first_and_each_is_held_against_its_like(add: Add) -> None:
    entries = [
        add("gpu", energy=(energy(10.0), energy(8.0, **METER))),
        add("npu", energy=(energy(30.0), energy(15.0, **METER))),
    ]
    lines: tuple[EnergyLine, ...] = page_of(entries, "gpu/fp32")["npu"].lines
    assert [(line.domain, line.policy) for line in lines] == [("wall", "missed"), ("card", "met")]


def test_ranks_are_given_within_a_domain_and_evidence_alone(add: Add) -> None:
    entries = [
        add("gpu", energy=(energy(10.0),)),
        add("npu", energy=(energy(30.0),)),
        add("meter", energy=(energy(99.0, **METER),)),
        add("gauge", energy=(energy(99.0, evidence="device power gauge"),)),
        add("sim", energy=(energy(500.0, simulated=True),), simulated=True),
        add("bad", energy=(energy(700.0),), status="invalid"),
    ]
    cells = page_of(entries)
    assert {name: [line.rank for line in cell.lines] for name, cell in cells.items()} == {
        "gpu": [2],
        "npu": [1],
        "meter": [None],
        "gauge": [None],
        "sim": [None],
        "bad": [None],
    }


def test_a_smoke_run_shows_watts_and_no_rank(add: Add) -> None:
    entries = [add(name, energy=(energy(value),), spec={"grade": "smoke"}) for name, value in (("a", 1.0), ("b", 2.0))]
    cells = page_of(entries)
    assert [line.rank for cell in cells.values() for line in cell.lines] == [None, None]
    assert cells["a"].lines[0].watts.value == 50.0


def test_declared_tdp_stands_apart_and_divides_nothing(add: Add, make_record: Callable[..., Record]) -> None:
    device = {"name": "npu0", "kind": "RNGD"}
    system = make_record().system.model_copy(update={"device": device})
    cell = page_of([add("npu", energy=(), system=system), add("gpu", energy=())])["npu"]
    assert [figure.value for figure in cell.declared] == [180.0, 150.0]
    assert (cell.lines, cell.reason) == ((), "no-meter")


def test_a_failed_run_has_no_energy_whatever_its_record_says(add: Add) -> None:
    cell = page_of([add("a", energy=(energy(),), status="failed")])["a"]
    assert (cell.lines, cell.reason, cell.roofline.compute) == ((), "failed", None)


def test_a_run_on_a_known_device_has_its_fraction_of_the_peak(add: Add, make_record: Callable[..., Record]) -> None:
    system = make_record().system.model_copy(update={"device": {"name": "npu0", "kind": "RBLN-CA22"}})
    entry = add("atom", 1.0, system=system, spec={"precision": "int8"})
    page = build_page("a", [entry], hardware=shipped_hardware())
    found = page.energy[0].cells[0].roofline
    assert found.device == "ATOM"
    assert found.operations == pytest.approx(16 * 1000, rel=0.02)
    assert found.compute == pytest.approx(found.operations / 128e12)


def test_compare_has_the_energy_of_both_sides(add: Add, store: Store) -> None:
    add("npu", energy=(energy(30.0),))
    add("gpu", energy=(energy(10.0),))
    one = pair(select("npu", store), select("gpu", store)).pairs[0]
    assert one.energy_a[0].ratio is not None
    assert one.energy_a[0].ratio.value == pytest.approx(3.0)
    assert one.energy_b[0].ratio is None


def test_a_ratio_without_an_interval_meets_nothing() -> None:
    assert policy(Ratio(3.0, None, None, 0.95, None, "indistinguishable")) == ""
