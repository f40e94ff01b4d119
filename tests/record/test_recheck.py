"""A record is made again of its run's folder, and every value that differs is named with its key."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.record.crew import MAX_ADDRESS_SPACE, look_at
from npubench.record.recheck import RELATIVE, RunVerdict, differences_of, recheck_run
from npubench.record.store import Store
from npubench.record.verify import verify

from .evidence import GATE, Maker


@pytest.fixture
def maker(tmp_path: Path, make_spec: Callable[..., Any], make_bundle: Callable[..., Any], make_trace: Any) -> Maker:
    return Maker(Store(tmp_path / "store"), make_bundle(tmp_path / "bundle", gate=GATE), make_spec, make_trace)


def edit(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a record as somebody with an editor would."""
    data = json.loads((run / "record.json").read_text(encoding="utf-8"))
    change(data)
    (run / "record.json").write_text(json.dumps(data), encoding="utf-8")


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("spec.json")


def recheck(maker: Maker, run: Path) -> RunVerdict:
    return recheck_run(run, maker.bundle.root)


def test_a_run_as_it_was_published_holds(maker: Maker) -> None:
    assert recheck(maker, maker()) == RunVerdict("node-1", "run-a", recheck(maker, maker.store.folders()[0]).status)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("metrics.throughput.value", lambda r: r["metrics"]["throughput"].update(value=200.0)),
        ("metrics.latency_p90.high", lambda r: r["metrics"]["latency_p90"].update(high=None)),
        ("metrics.accuracy.value", lambda r: r["metrics"]["accuracy"].update(value=0.995)),
        ("status", lambda r: r.update(status="failed", reason="because")),
        ("findings", lambda r: r.update(findings=[])),
        ("bundle.required", lambda r: r["bundle"].update(required=0.5)),
        ("system.cpu", lambda r: r["system"].update(cpu="A better CPU")),
        ("provenance.settings.batch", lambda r: r["provenance"]["settings"].update(batch=2)),
        ("spec.grade", lambda r: r["spec"].update(grade="official")),
    ],
)
def test_every_figure_and_verdict_that_was_changed_is_named(maker: Maker, key: str, change: Any) -> None:
    run = maker()
    before = json.loads((run / "record.json").read_text(encoding="utf-8"))
    assert before["findings"]
    edit(run, change)
    found = recheck(maker, run)
    assert found.problems == ()
    assert any(one.key.startswith(key) for one in found.differences), found.differences
    exact = next((one for one in found.differences if one.key == key), None)
    if exact is not None:
        value: Any = before
        for part in key.split("."):
            value = value[part]
        assert exact.recomputed == (pytest.approx(value) if isinstance(value, float) else value)


def test_a_trace_that_was_changed_with_its_digest_is_seen_in_the_figures(maker: Maker) -> None:
    run = maker()
    with np.load(run / "trace.npz") as stored:
        columns = {name: stored[name] for name in stored.files}
    np.savez_compressed(run / "trace.npz", **{**columns, "done_ns": columns["done_ns"] // 2})
    found = recheck(maker, run)
    assert "trace.npz: was changed since the record was made: another digest" in found.problems
    assert {one.key.split(".")[0] for one in found.differences} >= {"metrics", "provenance"}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda run: (run / "worker.log").unlink(), "worker.log: is missing"),
        (lambda run: (run / "note.txt").write_text("x"), "note.txt: is not among the files that the record names"),
        (
            lambda run: ((run / "worker.log").unlink(), (run / "worker.log").symlink_to("spec.json")),
            "worker.log: is a symbolic link",
        ),
        (lambda run: os.mkfifo(run / "pipe"), "pipe: is no plain file"),
        (lambda run: (run / "loadgen" / "up").symlink_to("/"), "loadgen/up: is a symbolic link"),
    ],
)
def test_a_file_that_is_not_as_it_was_is_named(maker: Maker, wrong: Any, sentence: str) -> None:
    run = maker()
    wrong(run)
    assert sentence in recheck(maker, run).problems


def test_a_workload_unknown_here_leaves_accuracy_alone_unchecked(
    tmp_path: Path, make_spec: Any, make_bundle: Any, make_trace: Any
) -> None:
    maker = Maker(Store(tmp_path / "store"), make_bundle(tmp_path / "bundle"), make_spec, make_trace)
    run = maker(score=lambda outputs, labels, reference: 1.0)
    found = recheck(maker, run)
    assert found.holds
    assert [text.partition(": unknown workload")[0] for text in found.unchecked] == ["metrics.accuracy: not recomputed"]
    edit(run, lambda r: r["metrics"]["throughput"].update(value=1e9))
    assert [one.key for one in recheck(maker, run).differences] == ["metrics.throughput.value"]
    absent = maker("run-nan", score=lambda outputs, labels, reference: math.nan)
    assert recheck(maker, absent).holds


def test_a_run_by_another_version_is_said_to_be_so(maker: Maker) -> None:
    found = recheck(maker, maker(harness="0.0.9"))
    assert found.holds
    assert [note.partition(",")[0] for note in found.notes] == ["made by npubench 0.0.9"]


def test_a_run_of_before_the_supervisor_wrote_things_down_is_not_recomputed(maker: Maker) -> None:
    run = maker()
    (run / "supervisor.json").unlink()
    edit(run, lambda r: r["provenance"]["files"].pop("supervisor.json"))
    found = recheck(maker, run)
    assert found.holds
    assert "there is no supervisor.json" in found.unchecked[0]


def test_a_bundle_that_is_not_at_hand_is_said(maker: Maker, tmp_path: Path) -> None:
    run = maker()
    maker.bundle.root.rename(tmp_path / "moved")
    verdict = verify(run, {}, (), tmp_path / "cache", 0)
    assert (verdict.differs, verdict.unchecked) == (False, True)
    (tmp_path / "cache" / "bundles").mkdir(parents=True)
    (tmp_path / "moved").rename(tmp_path / "cache" / "bundles" / "any")
    verdict = verify(run, {}, (), tmp_path / "cache", 0)
    assert (verdict.differs, verdict.unchecked) == (False, False)


def test_a_store_names_its_wrong_runs_and_no_others(maker: Maker, tmp_path: Path) -> None:
    for n in range(3):
        maker(f"run-{n}", start=n)
    edit(maker.store.root / "node-1" / "run-1", lambda r: r.update(status="skipped", reason="x"))
    verdict = verify(maker.store.root, {}, (), tmp_path, 0)
    assert [run.run_id for run in verdict.runs if not run.holds] == ["run-1"]
    assert [check.text for check in verdict.checks if check.name == "runs"] == ["1 of 3 do not hold"]


# -- comparing --------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_a_value_equals_itself(value: Any) -> None:
    assert list(differences_of(value, value)) == []


@given(VALUES, VALUES)
def test_differences_are_seen_from_both_sides(one: Any, other: Any) -> None:
    keys = [difference.key for difference in differences_of(one, other)]
    assert keys == [difference.key for difference in differences_of(other, one)]
    if json.dumps(one) == json.dumps(other):
        assert keys == []


@pytest.mark.parametrize(
    ("one", "other", "keys"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, ["a[1].b"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a[1]"]),
        ({"a": 1}, {"b": 1}, ["a", "b"]),
        ({"a": None}, {}, ["a"]),
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": "1"}, {"a": 1}, ["a"]),
        ({"a": 1.0}, {"a": 1.0 * (1 + RELATIVE / 2)}, []),
        ({"a": 1.0}, {"a": 1.0 * (1 + RELATIVE * 3)}, ["a"]),
        ({"a": 0.0}, {"a": 1e-15}, []),
        ({"a": {}}, {"a": []}, ["a"]),
    ],
)
def test_what_counts_as_a_difference(one: Any, other: Any, keys: list[str]) -> None:
    assert [difference.key for difference in differences_of(one, other)] == keys


# -- side by side -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="address space is bounded by Linux")
def test_a_process_that_dies_takes_nothing_along() -> None:
    fatal = "__import__('os')._exit(9)"
    assert dict(look_at(eval, ["1 + 1", fatal, "2 + 2", "3 + 3", "4 + 4"], 2)) == {
        "1 + 1": 2,
        fatal: None,
        "2 + 2": 4,
        "3 + 3": 6,
        "4 + 4": 8,
    }


@pytest.mark.skipif(sys.platform != "linux", reason="address space is bounded by Linux")
def test_a_process_that_asks_for_too_much_gets_no_memory() -> None:
    with pytest.raises(MemoryError):
        list(look_at(eval, [f"bytearray({MAX_ADDRESS_SPACE})"], 1))


def test_without_processes_things_are_looked_at_here_one_by_one() -> None:
    assert list(look_at(len, ["a", "bb"], 0)) == [("a", 1), ("bb", 2)]
