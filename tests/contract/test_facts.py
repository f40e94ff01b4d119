"""One table says of every captured fact what it is, and helps with names that are nearly one."""

from __future__ import annotations

import re

import pytest

from npubench.contract.facts import FACTS, fact_of, meant


def test_every_fact_says_what_it_is_and_where_it_is_read() -> None:
    for name, fact in FACTS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert fact.what, name
        assert fact.where, name


def test_a_fact_of_which_there_are_several_is_found_by_its_kind() -> None:
    assert fact_of("temperature:k10temp") is FACTS["temperature"]
    assert fact_of("cooling") is None


@pytest.mark.parametrize(
    ("key", "near"),
    [("memroy", "memory"), ("bios_version", "bios-version"), ("Micro code", "microcode"), ("device-firmwre", "device-firmware")],
)
def test_a_slip_of_the_pen_is_told_from_a_key_of_ones_own(key: str, near: str) -> None:
    assert meant(key) == near


@pytest.mark.parametrize("key", ["memory", "temperature:cpu", "cooling", "rack", "power supply", "location", "serial"])
def test_a_facts_own_name_and_the_operators_keys_are_no_slips(key: str) -> None:
    assert meant(key) is None
