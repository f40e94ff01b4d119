"""What the operator declares is held against the machine: a contradiction is found, another way of writing is none."""

from __future__ import annotations

import pytest

from npubench.analyze.declaration import agrees, compare_declared

CAPTURED = {"memory": "62.7 GiB", "cpu": "AMD EPYC 9354 32-Core Processor", "device-serial": "A7"}


def test_a_contradiction_is_a_finding_that_names_both() -> None:
    (finding,) = compare_declared({"memory": "512 GiB"}, CAPTURED, "nightly")
    assert (finding.rule, finding.severity) == ("declaration-differs", "warning")
    assert finding.observed == "memory is 62.7 GiB"
    assert "512 GiB" in finding.required


def test_at_grade_official_it_is_grave() -> None:
    assert [f.severity for f in compare_declared({"memory": "512 GiB"}, CAPTURED, "official")] == ["invalid"]


def test_keys_of_ones_own_and_facts_that_were_not_captured_contradict_nothing() -> None:
    declared = {"cooling": "water", "memory": "64 GiB", "bios-version": "2.1", "cpu": "EPYC 9354"}
    assert list(compare_declared(declared, CAPTURED, "official")) == []


@pytest.mark.parametrize(
    ("declared", "captured"),
    [
        ("64 GiB", "62.7 GiB"),
        ("64 GB", "62.7 GiB"),
        ("64GB", "59.1 GiB"),
        ("0.0625 TiB", "62.7 GiB"),
        ("3.7 GHz", "3700 MHz"),
        ("3.7 GHz", "3693 MHz"),
        ("150 W", "150 W"),
        ("150000 mW", "150 W"),
        ("16 GT/s", "16 GT/s"),
        ("x16", "x16"),
        ("2", "2"),
        ("epyc 9354", "AMD EPYC 9354 32-Core Processor"),
        ("A7, B8", "A7"),
        ("2", "2 CPUs"),
    ],
)
def test_the_same_said_otherwise_agrees(declared: str, captured: str) -> None:
    assert agrees(declared, captured)


@pytest.mark.parametrize(
    ("declared", "captured"),
    [
        ("512 GiB", "62.7 GiB"),
        ("32 GiB", "62.7 GiB"),
        ("128 GB", "62.7 GiB"),
        ("4 GHz", "3700 MHz"),
        ("150 W", "250 W"),
        ("x16", "x8"),
        ("2", "1"),
        ("EPYC 9654", "AMD EPYC 9354 32-Core Processor"),
        ("A7", "B8"),
        ("", "A7"),
    ],
)
def test_something_else_does_not(declared: str, captured: str) -> None:
    assert not agrees(declared, captured)
