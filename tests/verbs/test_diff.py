"""``npubench diff`` names two runs, shows what differs, and says in what they are not comparable."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate
from npubench.errors import InputError
from npubench.record.schema import Record
from npubench.record.store import Entry, Store
from npubench.verbs.diff import diff_records


@pytest.fixture
def runs(
    tmp_path: Path, make_record: Callable[..., Record], make_spec: Callable[..., Any], publish: Callable[..., Entry]
) -> tuple[Path, str, str]:
    store = Store(tmp_path / "store")
    figure = {"latency_p90": Estimate(2e6, "ns", 1.9e6, 2.2e6, 0.99)}
    for name, precision, system in (("run-a", "fp32", "node-1"), ("run-b", "int8", "node-1"), ("run-a", "fp32", "node-2")):
        publish(store, make_record(make_spec(run_id=name, precision=precision), metrics=figure, system_id=system))
    return store.root, "node-1/run-a", "run-b"


def test_it_shows_what_differs_and_every_figure(runs: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    store, a, b = runs
    assert diff_records(a, b, store, False) == 0
    shown = capsys.readouterr().out
    assert "not comparable in: precision" in shown
    assert "fp32" in shown
    assert "int8" in shown
    assert "1.000" in shown


def test_a_run_may_be_named_by_its_folder(runs: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    store, a, b = runs
    assert diff_records(str(store / a), str(store / "node-1" / b / "record.json"), store, True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["unlike"] == ["precision"]
    assert {difference["what"] for difference in told["groups"]["spec"]} == {"precision"}
    assert told["figures"][0]["ratio"]["value"] == 1.0


def test_a_run_that_is_not_there_has_its_nearest_name(runs: tuple[Path, str, str]) -> None:
    store, a, _ = runs
    with pytest.raises(InputError, match=r"there is no run 'run-x'.*did you mean 'run-"):
        diff_records(a, "run-x", store, False)


def test_a_name_that_two_systems_have_asks_which(runs: tuple[Path, str, str]) -> None:
    store, _, b = runs
    with pytest.raises(InputError, match=r"run-a: 2 systems have such a run; name one as .*node-1/run-a"):
        diff_records("run-a", b, store, False)
