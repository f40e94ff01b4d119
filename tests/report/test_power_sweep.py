"""A power sweep is of one target that differs by its limit alone; the best limit is marked where that is certain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.contract.runspec import Scenario
from npubench.record.schema import Energy
from npubench.record.store import Entry
from npubench.report.comparison import build_page
from npubench.report.page import PowerSweep

Add = Callable[..., Entry]


def energy(per_joule: float | None, half: float = 0.004, evidence: str = "device energy counter", **changes: Any) -> Energy:
    def around(value: float, unit: str) -> Estimate:
        return Estimate(value, unit, value * (1 - half), value * (1 + half))

    return Energy(
        **{
            "sensor": "counter",
            "domain": "card",
            "evidence": evidence,
            "joules": around(3000.0, "J"),
            "watts": around(50.0, "W"),
            "peak_watts": Estimate(55.0, "W"),
            "idle_watts": absent("W", "no idle baseline"),
            "above_idle_joules": absent("J", "no idle baseline"),
            "joules_per_sample": absent("J/sample", "the window is empty"),
            "samples_per_joule": absent("samples/J", "the window is empty")
            if per_joule is None
            else around(per_joule, "samples/J"),
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


def limited(add: Add, watts: float, per_joule: float | None, name: str = "gpu", **changes: Any) -> Entry:
    on = {"power_limit_mw": round(watts * 1000), **changes.pop("on", {})}
    found = changes.pop("energy", (energy(per_joule),))
    return add(f"{name}@{watts:g}W", on=on, energy=found, **changes)


def sweeps_of(*entries: Entry) -> Sequence[PowerSweep]:
    return build_page("sweep", entries).sweeps


def with_read(entry: Entry, milliwatts: Any) -> Entry:
    record = entry.record
    provenance = record.provenance
    settings = {**provenance.settings, "power_limit_mw": milliwatts}
    changed = record.model_copy(update={"provenance": provenance.model_copy(update={"settings": settings})})
    return replace(entry, record=changed)


def test_a_sweep_has_its_limits_in_order_and_the_target_as_it_was_found_last(add: Add) -> None:
    runs = [limited(add, 300, 9.0), limited(add, 100, 8.0), limited(add, 200, 12.0)]
    (sweep,) = sweeps_of(*runs, with_read(add("gpu", energy=(energy(7.0),)), 400_000), add("other", energy=(energy(50.0),)))
    assert (sweep.label, sweep.domain, sweep.evidence, sweep.unranked) == ("gpu · fp32", "card", "device energy counter", "")
    assert [(p.limit_watts, p.asked, p.mark) for p in sweep.points] == [
        (100.0, True, ""),
        (200.0, True, "best"),
        (300.0, True, ""),
        (400.0, False, ""),
    ]
    assert all(p.throughput is not None and p.throughput.value and p.line is not None for p in sweep.points)


@pytest.mark.parametrize("value", [None, "300000", 0, True])
def test_a_limit_that_was_not_read_is_not_known(add: Add, value: Any) -> None:
    (sweep,) = sweeps_of(limited(add, 100, 8.0), with_read(add("gpu", energy=(energy(7.0),)), value))
    assert [(p.limit_watts, p.asked) for p in sweep.points] == [(100.0, True), (None, False)]


def test_limits_whose_intervals_overlap_share_the_mark(add: Add) -> None:
    (sweep,) = sweeps_of(limited(add, 100, 8.0), limited(add, 200, 12.0), limited(add, 300, 11.95))
    assert [p.mark for p in sweep.points] == ["", "tie", "tie"]


@pytest.mark.parametrize(
    "other",
    [
        {"on": {"options": {"threads": 8}}},
        {"on": {"device": "npu1"}},
        {"spec": {"precision": "int8"}},
        {"spec": {"grade": "smoke"}},
        {"load": {"batch": 32}},
        {"scenario": Scenario.OFFLINE},
        {"work_digest": "sha256:" + "1" * 64},
        {"name": "npu"},
    ],
)
def test_what_differs_by_more_than_the_limit_is_no_sweep(add: Add, other: dict[str, Any]) -> None:
    first = limited(add, 100, 8.0)
    assert len(sweeps_of(first, limited(add, 200, 12.0))) == 1
    assert sweeps_of(first, limited(add, 300, 12.0, **other)) == ()


def test_targets_without_a_limit_are_no_sweep(add: Add) -> None:
    assert sweeps_of(add("gpu", energy=(energy(7.0),)), add("npu", energy=(energy(9.0),))) == ()
    assert sweeps_of(limited(add, 100, 8.0)) == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"simulated": True}, "simulated"), ({"spec": {"grade": "smoke"}}, "smoke"), ({"status": "invalid"}, "invalid")],
)
def test_nothing_is_marked_that_must_not_be_ranked(add: Add, changes: dict[str, Any], why: str) -> None:
    (sweep,) = sweeps_of(limited(add, 100, 8.0, **changes), limited(add, 200, 12.0, **changes))
    assert [p.mark for p in sweep.points] == ["", ""]
    assert sweep.unranked == why


def test_a_limit_that_could_not_be_set_stays_with_its_reason(add: Add) -> None:
    why = "power limit of 500 W: the device takes 100 to 400 W"
    entries = (limited(add, 100, 8.0), limited(add, 200, 12.0), limited(add, 500, None, status="skipped", reason=why, energy=()))
    (sweep,) = sweeps_of(*entries)
    last = sweep.points[-1]
    assert (last.limit_watts, last.status, last.reason, last.throughput, last.line) == (500.0, "skipped", why, None, None)
    assert sweep.points[1].mark == "best"


def test_the_evidence_that_says_most_is_taken_for_all(add: Add) -> None:
    both = [(energy(None), energy(v, evidence="device power gauge", sensor="gauge")) for v in (8.0, 9.0)]
    (sweep,) = sweeps_of(limited(add, 100, 0, energy=both[0]), limited(add, 200, 0, energy=both[1]))
    assert sweep.evidence == "device power gauge"
    assert [p.line.samples_per_joule.value for p in sweep.points if p.line] == [8.0, 9.0]


def test_without_a_meter_throughput_is_still_set_beside_the_limit(add: Add) -> None:
    (sweep,) = sweeps_of(limited(add, 100, None, energy=()), limited(add, 200, None, energy=()))
    assert (sweep.domain, sweep.evidence, sweep.unranked) == ("", "", "single")
    assert all(p.throughput is not None and p.line is None for p in sweep.points)
