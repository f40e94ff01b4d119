"""A ratio over differing conditions is shown with the conditions, and one over the same ones without any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from npubench.analyze.finding import Finding
from npubench.contract.runspec import RunSpec
from npubench.record.schema import Record
from npubench.report.alike import CONDITIONS, unlike, unlike_among

Make = Callable[..., Record]


def with_system(record: Record, **changes: Any) -> Record:
    return record.model_copy(update={"system": record.system.model_copy(update=changes)})


def lag(severity: Any) -> tuple[Finding, ...]:
    return (Finding("foreign-load", severity, "seen", "wanted", "do"),)


def test_the_same_conditions_have_no_mark(make_record: Make) -> None:
    assert unlike(make_record(), make_record()) == ()


def test_a_record_of_before_facts_were_captured_tells_of_no_change(make_record: Make) -> None:
    assert unlike(make_record(), with_system(make_record(), stable={"microcode": "0x1"})) == ()


@pytest.mark.parametrize(
    ("condition", "changes"),
    [
        ("system", {"stable": {"bios-version": "2"}}),
        ("system", {"stable": {"bios-version": "1", "cpu-quota": "1.5 CPUs"}}),
        ("driver", {"versions": {"sdk": "1.1"}}),
        ("driver", {"stable": {"bios-version": "1", "device-driver": "2"}}),
        ("firmware", {"stable": {"bios-version": "1", "device-firmware": "2"}}),
        ("power-cap", {"stable": {"bios-version": "1", "device-power-cap": "150 W"}}),
    ],
)
def test_each_condition_of_the_system_is_named(make_record: Make, condition: str, changes: dict[str, Any]) -> None:
    plain = with_system(make_record(), stable={"bios-version": "1"})
    odd = with_system(plain, **changes)
    assert unlike(plain, odd) == unlike(odd, plain) == (condition,)


def test_each_condition_of_the_run_is_named(make_record: Make, make_spec: Callable[..., RunSpec]) -> None:
    plain = make_record()
    assert unlike(plain, make_record(system_id="node-2")) == ("system",)
    assert unlike(plain, make_record(make_spec(precision="int8"))) == ("precision",)
    assert unlike(plain, make_record(exclusions=("host-transpose",))) == ("boundary",)
    assert unlike(plain, make_record(make_spec(target={"power_limit_mw": 150_000}))) == ("power-cap",)
    assert unlike(plain, make_record(findings=lag("warning"))) == ("client",)
    assert unlike(plain, make_record(findings=lag("note"))) == ()


def test_facts_that_change_by_themselves_mark_nothing(make_record: Make) -> None:
    assert unlike(make_record(), with_system(make_record(), volatile={"load-average": "9"})) == ()


def test_another_kind_of_device_has_its_own_driver_and_cap(make_record: Make) -> None:
    stable = {"device-driver": "1", "device-power-cap": "150 W"}
    other = with_system(make_record(), stable=stable, versions={"other": "9"}, device={"name": "npu0", "kind": "ACME-2"})
    assert unlike(with_system(make_record(), stable={"device-driver": "0"}), other) == ()


def test_repeats_are_marked_by_any_of_them(make_record: Make) -> None:
    plain, odd = make_record(), make_record(exclusions=("host-transpose",))
    assert unlike_among([plain, plain], [plain, odd]) == ("boundary",)
    assert set(unlike_among([plain], [odd])) <= set(CONDITIONS)
