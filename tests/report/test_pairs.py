"""Runs pair cell by cell; what only one side has is named, and what is no pair is never made one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.analyze.finding import Finding
from npubench.contract.runspec import Scenario
from npubench.errors import InputError
from npubench.record.store import Entry, Store
from npubench.report.pairs import Pairs, pair
from npubench.report.select import select

Add = Callable[..., Entry]


def paired(a: str, b: str, store: Store) -> Pairs:
    return pair(select(a, store), select(b, store))


def cells(pairs: Pairs) -> list[tuple[str, ...]]:
    return [found.cell for found in pairs.pairs]


def test_two_targets_pair_by_workload_scenario_and_precision(store: Store, add: Add) -> None:
    for target in ("a", "b"):
        add(target)
        add(target, spec={"precision": "int8"})
        add(target, scenario=Scenario.OFFLINE)
    pairs = paired("a", "b", store)
    assert cells(pairs) == [("tiny", "offline", "fp32"), ("tiny", "single-stream", "fp32"), ("tiny", "single-stream", "int8")]
    assert (pairs.a, pairs.b, pairs.only_a, pairs.only_b) == ("a", "b", (), ())
    assert [found.metric for found in pairs.pairs] == ["throughput", "latency_p90", "latency_p90"]


def test_two_precisions_of_one_target_pair(store: Store, add: Add) -> None:
    add("a", 1.0)
    add("a", 0.5, spec={"precision": "int8"})
    (found,) = paired("a/int8", "a/fp32", store).pairs
    assert (found.cell, found.ratio.verdict) == (("tiny", "single-stream"), "better")


def test_two_rounds_pair_by_target_too(store: Store, add: Add) -> None:
    for label in ("before", "after"):
        for target in ("a", "b"):
            add(target, spec={"round": label})
    assert cells(paired("round=before", "round=after", store)) == [
        ("tiny", "single-stream", "fp32", "a"),
        ("tiny", "single-stream", "fp32", "b"),
    ]


def test_two_stores_pair_though_their_systems_differ(store: Store, add: Add, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    add("a", system_id="n1")
    add("a", system_id="n2", into=other)
    assert cells(paired(str(store.root), str(other.root), store)) == [("tiny", "single-stream", "fp32", "a")]


def test_two_runs_pair_whatever_they_are_called(store: Store, add: Add) -> None:
    first, second = add("a"), add("b", spec={"precision": "int8"})
    assert cells(paired(str(first.folder), str(second.folder), store)) == [("tiny", "single-stream")]


def test_what_only_one_side_has_is_named(store: Store, add: Add) -> None:
    add("a")
    add("b")
    add("a", spec={"workload": "small"})
    add("b", scenario=Scenario.SERVER)
    pairs = paired("a", "b", store)
    assert cells(pairs) == [("tiny", "single-stream", "fp32")]
    assert [text.split(" · ")[:3] for text in pairs.only_a] == [["small", "single-stream", "fp32"]]
    assert [text.split(" · ")[:3] for text in pairs.only_b] == [["tiny", "server", "fp32"]]


def test_two_systems_of_one_store_do_not_pair_by_accident(store: Store, add: Add) -> None:
    add("a", system_id="n1")
    add("b", system_id="n2")
    pairs = paired("a", "b", store)
    assert pairs.pairs == ()
    assert len(pairs.only_a) == len(pairs.only_b) == 1
    assert cells(paired("system=n1", "system=n2", store)) == []


@pytest.mark.parametrize(
    ("a", "several", "words"),
    [
        ("a", {"target": ["b", "c"]}, "more than one target (b, c); choose one by target="),
        ("a/fp32", {"precision": ["fp32", "int8"]}, "more than one precision (fp32, int8); choose one by precision="),
        ("system=n1", {"system": ["n1", "n2"]}, "more than one system (n1, n2); choose one by system="),
    ],
)
def test_a_side_with_several_runs_for_a_cell_must_choose(
    store: Store, add: Add, tmp_path: Path, a: str, several: dict[str, Any], words: str
) -> None:
    """Runs of different targets are no repeats of one another."""
    add("a", system_id="n1")
    other = Store(tmp_path / "other")
    ((key, values),) = several.items()
    for value in values:
        made = {"target": {"target": value}, "precision": {"spec": {"precision": value}}, "system": {"system_id": value}}[key]
        add(**{"target": "a", **made}, into=other)
    with pytest.raises(InputError) as caught:
        paired(a, str(other.root), store)
    assert words in str(caught.value)
    assert str(other.root) in str(caught.value)


def test_a_pair_shows_the_worst_of_its_repeats(store: Store, add: Add) -> None:
    add("a")
    add("a", status="failed", spec={"repeat": 1})
    add("b")
    (found,) = paired("a", "b", store).pairs
    assert (found.a_status, found.b_status) == ("failed", "ok")
    assert found.a is not None
    assert found.a.value is None
    assert (found.ratio.verdict, found.ratio.reason) == ("not-comparable", "failed")


def test_a_pair_shows_its_doubts_but_no_notes(store: Store, add: Add) -> None:
    add("a", findings=(Finding("drift", "warning", "o", "r", "A."), Finding("governor", "note", "o", "r", "A.")))
    add("b", findings=(Finding("drift", "warning", "o", "r", "A."), Finding("residue", "warning", "o", "r", "A.")))
    (found,) = paired("a", "b", store).pairs
    assert found.findings == ("drift", "residue")


def test_differences_are_of_what_was_paired_alone(store: Store, add: Add) -> None:
    add("a", on={"options": {"threads": 1}})
    add("b", on={"options": {"threads": 4}})
    add("b", scenario=Scenario.SERVER, on={"options": {"threads": 8}})
    found = {difference.what: difference.values for difference in paired("a", "b", store).differences}
    assert found == {"option:threads": {"a": "1", "b": "4"}}


def test_a_selection_paired_with_itself_keeps_both_sides_apart(store: Store, add: Add) -> None:
    add("a")
    pairs = paired("a", "a", store)
    assert (pairs.a, pairs.b) == ("A: a", "B: a")
    assert pairs.pairs[0].ratio.verdict == "indistinguishable"
