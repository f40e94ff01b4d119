"""The difference of two records is one call: everything that differs, by group, and every figure with its ratio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.analyze.estimate import Estimate, absent
from npubench.contract.runspec import RunSpec, Scenario
from npubench.measure.capture import WITHHELD
from npubench.record.schema import Record
from npubench.report.differences import MISSING
from npubench.report.records import compare_records, ratio_of

Make = Callable[..., Record]


def differing(a: Record, b: Record, group: str) -> dict[str, tuple[str, str]]:
    found = compare_records(a, b).groups.get(group, ())
    return {difference.what: (difference.values["a"], difference.values["b"]) for difference in found}


def with_system(record: Record, **changes: Any) -> Record:
    return record.model_copy(update={"system": record.system.model_copy(update=changes)})


def test_a_record_does_not_differ_from_itself(make_record: Make) -> None:
    found = compare_records(make_record(), make_record())
    assert found.groups == {}
    assert (found.unlike, found.incomparable) == ((), "")


def test_each_group_has_what_is_its_own(make_record: Make, make_spec: Callable[..., RunSpec]) -> None:
    a = make_record()
    b = with_system(
        make_record(make_spec(load={"batch": 8}), exclusions=("host-transpose",), work_digest="sha256:1"),
        stable={"microcode": "0x1"},
        volatile={"uptime": "9 s"},
        packages={"numpy": "2.1"},
        environment={"OMP_NUM_THREADS": "4"},
    )
    assert differing(a, b, "spec") == {"load.batch": ("1", "8")}
    assert differing(a, b, "system") == {"microcode": (MISSING, "0x1")}
    assert differing(a, b, "volatile") == {"uptime": (MISSING, "9 s")}
    assert differing(a, b, "versions") == {
        "package:numpy": ("2.0", "2.1"),
        "environment:OMP_NUM_THREADS": (MISSING, "4"),
    }
    assert list(differing(a, b, "work")) == ["work_digest"]
    assert differing(a, b, "run") == {"exclusions": ("", "host-transpose"), "setting.batch": ("1", "8")}


def test_it_says_in_what_the_two_are_not_comparable(make_record: Make, make_spec: Callable[..., RunSpec]) -> None:
    a = make_record()
    assert compare_records(a, make_record(make_spec(precision="int8"))).unlike == ("precision",)
    assert compare_records(a, make_record(make_spec(grade="official"))).incomparable == "different-grade"
    other = make_record(make_spec(Scenario.OFFLINE, load={"latency_bound_ns": None}))
    assert compare_records(a, other).incomparable == "different-scenario"


def test_secrets_are_not_shown(make_record: Make, make_spec: Callable[..., RunSpec]) -> None:
    a = make_record(make_spec(target={"env": {"ACME_API_KEY": "one", "ACME_MODE": "1"}}))
    b = make_record(make_spec(target={"env": {"ACME_MODE": "2"}}))
    assert differing(a, b, "spec") == {
        "target.env.ACME_API_KEY": (WITHHELD, MISSING),
        "target.env.ACME_MODE": ("1", "2"),
    }


def test_every_figure_of_either_stands_beside_the_others(make_record: Make) -> None:
    a = make_record(metrics={"latency_p90": Estimate(2.0, "ns", 1.9, 2.2, 0.99), "accuracy": Estimate(1.0, "ratio")})
    b = make_record(metrics={"latency_p90": Estimate(1.0, "ns", 0.9, 1.1, 0.99)})
    figures = {figure.name: figure for figure in compare_records(a, b).figures}
    ratio = figures["latency_p90"].ratio
    assert (ratio.value, ratio.low, ratio.high) == (2.0, pytest.approx(1.9 / 1.1), pytest.approx(2.2 / 0.9))
    assert ratio.confidence == pytest.approx(0.98)
    assert figures["accuracy"].b is None
    assert figures["accuracy"].ratio.value is None


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (None, Estimate(1.0, "J"), "one side has no such figure"),
        (absent("J", "why"), Estimate(1.0, "J"), "one side has no such figure"),
        (Estimate(1.0, "J"), Estimate(1.0, "W"), "the units differ: J and W"),
        (Estimate(1.0, "J"), Estimate(0.0, "J"), "the denominator is not above 0"),
    ],
)
def test_what_cannot_be_divided_is_absent_with_its_reason(a: Estimate | None, b: Estimate | None, reason: str) -> None:
    assert ratio_of(a, b) == absent("ratio", reason)


AMOUNT = st.floats(1e-3, 1e6)


@given(AMOUNT, AMOUNT, st.floats(0, 0.5), st.floats(0, 0.5))
def test_the_spanned_interval_holds_every_ratio_of_the_two(a: float, b: float, x: float, y: float) -> None:
    one, other = (Estimate(v, "J", v * (1 - s), v * (1 + s), 0.95) for v, s in ((a, x), (b, y)))
    ratio = ratio_of(one, other)
    assert ratio.value is not None
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low <= ratio.value <= ratio.high
    assert ratio.low <= one.low / other.high * (1 + 1e-12)  # type: ignore[operator]
