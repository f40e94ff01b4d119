"""What is not the same for all subjects is listed, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from npubench.contract.runspec import RunSpec
from npubench.record.schema import Record
from npubench.report.differences import MISSING, SYSTEM_ROWS, find_differences, system_rows

Make = Callable[..., Record]


def differing(**subjects: list[Record]) -> dict[str, dict[str, str]]:
    return {difference.what: dict(difference.values) for difference in find_differences(subjects)}


def test_the_same_has_no_differences(make_record: Make) -> None:
    assert differing(a=[make_record()], b=[make_record()]) == {}
    assert differing(a=[make_record()]) == {}
    assert differing() == {}


def with_system(record: Record, **changes: Any) -> Record:
    return record.model_copy(update={"system": record.system.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"python": "3.12"}, {"python": {"a": "3.11.7", "b": "3.12"}}),
        ({"cpu": "Another"}, {"system:cpu": {"a": "A CPU", "b": "Another"}}),
        ({"governor": "powersave"}, {"system:governor": {"a": MISSING, "b": "powersave"}}),
        ({"packages": {"numpy": "2.1"}}, {"package:numpy": {"a": "2.0", "b": "2.1"}}),
        ({"packages": {}}, {"package:numpy": {"a": "2.0", "b": MISSING}}),
        ({"versions": {"sdk": "1.0", "driver": "7"}}, {"version:driver": {"a": MISSING, "b": "7"}}),
        ({"environment": {"OMP_NUM_THREADS": "4"}}, {"environment:OMP_NUM_THREADS": {"a": MISSING, "b": "4"}}),
        ({"hostname": "other"}, {}),
    ],
)
def test_each_difference_is_listed_with_each_ones_value(
    make_record: Make, change: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert differing(a=[make_record()], b=[with_system(make_record(), **change)]) == expected


def test_options_precision_and_device_are_differences(make_record: Make, make_spec: Callable[..., RunSpec]) -> None:
    a = make_record(make_spec(target={"options": {"threads": 1, "same": 0}}))
    b = make_record(make_spec(target={"options": {"threads": 4, "same": 0}, "device": "npu1"}, precision="int8"))
    assert differing(a=[a], b=[b]) == {
        "device": {"a": "npu0", "b": "npu1"},
        "precision": {"a": "fp32", "b": "int8"},
        "option:threads": {"a": "1", "b": "4"},
    }


def test_batch_and_requests_in_flight_are_told_load_by_load(make_record: Make, make_spec: Callable[..., RunSpec]) -> None:
    a, b = make_spec(), make_spec()
    b = replace(b, load=replace(b.load, batch=8))
    assert differing(a=[make_record(a)], b=[make_record(b)]) == {"batch:tiny single-stream": {"a": "1", "b": "8"}}


def test_other_work_is_a_difference(make_record: Make) -> None:
    found = differing(a=[make_record()], b=[make_record(work_digest="sha256:" + "1" * 64)])
    assert found == {"bundle:tiny": {"a": "0" * 12, "b": "1" * 12}}


def test_a_subject_with_several_values_names_them_all(make_record: Make) -> None:
    a = [make_record(), with_system(make_record(), python="3.12"), make_record()]
    assert differing(a=a, b=[make_record()]) == {"python": {"a": "3.11.7 / 3.12", "b": "3.11.7"}}


def test_three_subjects_each_have_their_value(make_record: Make) -> None:
    found = differing(a=[make_record()], b=[make_record()], c=[with_system(make_record(), kernel="6.8")])
    assert found == {"system:kernel": {"a": "6.1", "b": "6.1", "c": "6.8"}}


def test_a_hosts_rows_are_text_and_never_empty(make_record: Make) -> None:
    rows = system_rows(make_record())
    assert set(SYSTEM_ROWS) <= set(rows)
    assert all(isinstance(value, str) and value for value in rows.values())
    assert rows["memory"] == "16.0 GiB"
    assert rows["virtualisation"] == MISSING
