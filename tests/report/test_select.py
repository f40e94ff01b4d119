"""Runs are chosen by what a person writes; what matches nothing names what there is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from npubench.contract.runspec import Scenario
from npubench.errors import InputError
from npubench.record.store import Entry, Store
from npubench.report.select import COORDINATES, coordinates, latest, select

Add = Callable[..., Entry]


@pytest.fixture
def night(add: Add) -> dict[str, Entry]:
    return {
        "cpu": add("cpu"),
        "cpu-int8": add("cpu", spec={"precision": "int8"}),
        "card": add("card"),
        "card-offline": add("card", scenario=Scenario.OFFLINE),
        "card-again": add("card", spec={"round": "after"}),
    }


def chosen(text: str, store: Store, night: dict[str, Entry]) -> set[str]:
    folders = {entry.folder for entry in select(text, store).entries}
    return {name for name, entry in night.items() if entry.folder in folders}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cpu", {"cpu", "cpu-int8"}),
        ("cpu/int8", {"cpu-int8"}),
        ("target=cpu,precision=fp32", {"cpu"}),
        ("scenario=offline", {"card-offline"}),
        ("round=after", {"card-again"}),
        ("round=", {"cpu", "cpu-int8", "card", "card-offline"}),
        ("backend=acme", {"cpu", "cpu-int8", "card", "card-offline", "card-again"}),
    ],
)
def test_runs_are_chosen_by_target_or_by_pairs(store: Store, night: dict[str, Entry], text: str, names: set[str]) -> None:
    assert chosen(text, store, night) == names


def test_a_runs_folder_is_that_run(store: Store, night: dict[str, Entry]) -> None:
    selection = select(str(night["cpu"].folder), store)
    assert selection.entries == (night["cpu"],)
    assert list(selection.fixed) == ["run"]


def test_a_stores_folder_is_all_its_runs(store: Store, night: dict[str, Entry], tmp_path: Path) -> None:
    selection = select(str(store.root), Store(tmp_path / "another"))
    assert len(selection.entries) == 5
    assert list(selection.fixed) == ["store"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cqu", "'cqu': no run with target 'cqu' in {store}; did you mean 'cpu'?"),
        ("cpu/int4", "'cpu/int4': no run with precision 'int4' in {store}; did you mean 'int8'?"),
        ("targt=cpu", "'targt=cpu': unknown key 'targt'; did you mean 'target'?"),
        ("target=cpu,int8", "'target=cpu,int8': unknown key 'int8'"),
        ("target=cpu,scenario=offline", "'target=cpu,scenario=offline': no run in {store} has all of these"),
    ],
)
def test_what_matches_nothing_names_what_there_is(store: Store, night: dict[str, Entry], text: str, words: str) -> None:
    with pytest.raises(InputError, match="^" + re.escape(words.format(store=store.root))):
        select(text, store)


def test_an_empty_store_says_how_to_fill_it(store: Store) -> None:
    with pytest.raises(InputError, match="there is no run in this store; 'npubench run SUITE' makes some"):
        select("cpu", store)


def test_a_folder_without_a_run_says_so(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no readable run in this store"):
        select(str(tmp_path / "empty"), store)


def test_a_runs_coordinates_are_all_there_is_to_choose_by(night: dict[str, Entry]) -> None:
    assert set(coordinates(night["cpu"].record)) == set(COORDINATES)


def test_the_strictest_grade_counts_and_then_the_latest(add: Add) -> None:
    smoke = add(spec={"grade": "smoke"}, started_at="2026-09-01T00:00:00+00:00")
    old = add(spec={"grade": "nightly"}, started_at="2026-08-01T00:00:00+00:00")
    new = add(spec={"grade": "nightly", "round": "b"}, started_at="2026-08-02T00:00:00+00:00")
    assert latest([smoke, old, new]) == (new,)
    assert latest([smoke, old]) == (old,)
    official = add(spec={"grade": "official"}, started_at="2026-01-01T00:00:00+00:00")
    assert latest([new, official, smoke]) == (official,)


def test_repeats_of_one_plan_entry_stay_together(add: Add) -> None:
    repeats = [
        add(seed=n, spec={"grade": "official", "repeat": n}, started_at=f"2026-08-0{n + 1}T00:00:00+00:00") for n in range(3)
    ]
    assert set(map(id, latest(repeats))) == set(map(id, repeats))


@pytest.mark.parametrize(
    "changes", [{"load": {"batch": 4}}, {"on": {"options": {"threads": 2}}}, {"spec": {"bundle_digest": "sha256:new"}}]
)
def test_runs_of_another_plan_are_no_repeats_of_this_one(add: Add, changes: dict[str, object]) -> None:
    """Someone changed the suite and ran it again: the mean of both would be of nothing."""
    before = add(started_at="2026-08-01T00:00:00+00:00")
    after = add(**changes, started_at="2026-08-02T00:00:00+00:00")
    assert latest([before, after]) == (after,)


def test_every_cell_keeps_its_own(store: Store, night: dict[str, Entry]) -> None:
    found = latest(night.values())
    assert {coordinates(entry.record)["scenario"] for entry in found if entry.record.spec.target.name == "card"} == {
        "single-stream",
        "offline",
    }
    assert len(found) == 4
