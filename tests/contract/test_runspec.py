"""A RunSpec crosses to the worker as plain JSON and comes out the same; a damaged one names what is wrong where."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.contract.runspec import LoadSpec, RunSpec, Scenario, Seeds, TargetSpec, from_plain, to_plain

TEXT = st.text(max_size=10)
NUMBER = st.floats(min_value=0, max_value=1e12, allow_nan=False)
COUNT = st.integers(0, 2**63)
TARGETS = st.builds(
    TargetSpec,
    name=TEXT,
    backend=TEXT,
    device=TEXT,
    entry=TEXT,
    options=st.dictionaries(
        TEXT, st.none() | st.booleans() | st.integers() | TEXT | st.lists(st.integers(), max_size=2), max_size=3
    ),
    env=st.dictionaries(TEXT, TEXT, max_size=2),
)
LOADS = st.builds(
    LoadSpec,
    scenario=st.sampled_from(Scenario),
    min_duration_ns=COUNT,
    min_queries=COUNT,
    samples_per_query=COUNT,
    batch=COUNT,
    in_flight=COUNT,
    coalesce_delay_ns=COUNT,
    target_qps=st.none() | NUMBER,
    latency_bound_ns=st.none() | COUNT,
    percentile=NUMBER,
    seeds=st.builds(Seeds, COUNT, COUNT, COUNT, COUNT),
)
SPECS = st.builds(
    RunSpec,
    schema_version=st.just(1),
    run_id=TEXT,
    suite=TEXT,
    grade=TEXT,
    target=TARGETS,
    workload=TEXT,
    precision=TEXT,
    bundle=TEXT,
    bundle_digest=TEXT,
    load=LOADS,
    repeat=COUNT,
    round=TEXT,
    warm_up_ns=COUNT,
    baseline_ns=COUNT,
    checked_queries=COUNT,
    deadlines_s=st.dictionaries(TEXT, NUMBER, max_size=3),
    watchdog_s=NUMBER,
    cache=TEXT,
    cores=st.lists(COUNT, max_size=3).map(tuple),
)


@given(SPECS)
def test_a_run_spec_comes_back_from_json_as_it_was(spec: RunSpec) -> None:
    back = from_plain(RunSpec, json.loads(json.dumps(to_plain(spec))), "spec")
    assert back == spec
    assert [type(getattr(back, f.name)) for f in fields(back)] == [type(getattr(spec, f.name)) for f in fields(spec)]


@given(SPECS)
def test_the_plain_form_is_json_and_nothing_else(spec: RunSpec) -> None:
    plain = to_plain(spec)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("load", "scenaro"), "offline", "spec.load: unknown key 'scenaro'; did you mean 'scenario'?"),
        (("nonsense",), 1, "spec: unknown key 'nonsense'"),
        (("load", "scenario"), "onstream", "spec.load.scenario: 'onstream' is not valid"),
        (("target",), [], "spec.target"),
        (("target",), None, "spec.target"),
        (("load",), "x", "spec.load"),
        (("repeat",), "0", "spec.repeat"),
        (("repeat",), True, "spec.repeat"),
        (("repeat",), None, "spec.repeat"),
        (("watchdog_s",), float("nan"), "spec.watchdog_s"),
        (("load", "target_qps"), float("inf"), "spec.load.target_qps"),
        (("load", "target_qps"), "fast", "spec.load.target_qps"),
        (("deadlines_s",), {"measure": "long"}, "spec.deadlines_s"),
        (("deadlines_s",), [1], "spec.deadlines_s"),
        (("cores",), 3, "spec.cores"),
        (("cores",), ["3"], "spec.cores"),
        (("target", "env"), {"A": 1}, "spec.target.env"),
    ],
)
def test_a_damaged_spec_names_the_place(make_spec: Callable[..., RunSpec], path: tuple[str, ...], value: Any, words: str) -> None:
    plain = to_plain(make_spec())
    there = plain
    for key in path[:-1]:
        there = there[key]
    there[path[-1]] = value
    with pytest.raises(ValueError) as caught:
        from_plain(RunSpec, plain, "spec")
    assert words in str(caught.value)


def test_a_missing_key_is_named_with_its_place(make_spec: Callable[..., RunSpec]) -> None:
    plain = to_plain(make_spec())
    del plain["load"]["batch"]
    with pytest.raises(ValueError, match=r"spec\.load: .*'batch'"):
        from_plain(RunSpec, plain, "spec")
