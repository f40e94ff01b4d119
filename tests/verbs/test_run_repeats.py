"""Official cells are measured again until their interval is narrow or the limit is reached, and then it is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate
from npubench.contract.runspec import RunSpec
from npubench.plan.decide import draw_round, repeated
from npubench.plan.grades import GRADES
from npubench.plan.suite import HostFile, SuiteFile
from npubench.record.schema import Record
from npubench.record.store import Entry, Store
from npubench.report.pairs import pair
from npubench.report.ratio import doubt_about
from npubench.report.select import select
from npubench.verbs import run

#: Target → its headline in each process, ns: one that agrees at once, one that does from the fifth on, one that never does.
VALUES = {
    "calm": [100.0, 100.1, 99.9],
    "late": [100.0, 101.0, 100.0, 100.9, 100.1, 100.5, 100.5, 100.5],
    "wild": [100.0, 120.0, 90.0, 110.0, 80.0, 105.0, 95.0, 115.0],
}


@pytest.fixture
def suite() -> SuiteFile:
    return SuiteFile.model_validate(
        {
            "schema_version": 1,
            "name": "buy",
            "grade": "official",
            "target": {name: {"backend": "acme", "device": "npu:0"} for name in VALUES},
            "run": [{"targets": list(VALUES), "workloads": ["tiny"]}],
        }
    )


@pytest.fixture
def carry_out(
    tmp_path: Path,
    suite: SuiteFile,
    monkeypatch: pytest.MonkeyPatch,
    make_spec: Callable[..., RunSpec],
    make_record: Callable[..., Record],
) -> Callable[..., tuple[int, list[tuple[str, int]]]]:
    """Carry the suite out with a made-up conduct; returns the exit code and what was measured, in order."""
    first = [make_spec(grade="official", suite="buy", target={"name": name}) for name in VALUES]
    planned = [spec for repeat in range(GRADES["official"].repeats) for spec in draw_round(first, suite, repeat)]
    ready = SimpleNamespace(runs=tuple((spec, None, None) for spec in planned), unusable={})
    monkeypatch.setattr(run, "make_ready", lambda *_: ready)
    monkeypatch.setattr(run, "describe_machine", lambda: SimpleNamespace(system_id="node-1"))

    def carry_out(stop_after: int | None = None, status: Callable[[RunSpec], str] = lambda spec: "ok") -> Any:
        measured: list[tuple[str, int]] = []

        def conduct(spec: RunSpec, bundle: Any, score: Any, store: Store, *_: Any) -> Record:
            if len(measured) == stop_after:
                raise KeyboardInterrupt
            measured.append((spec.target.name, spec.repeat))
            value = Estimate(VALUES[spec.target.name][spec.repeat], "ns")
            record = make_record(replace(spec, run_id=spec.run_id), status=status(spec), metrics={"latency_p90": value})
            store.publish(store.open_run(spec.run_id), record)
            return record

        monkeypatch.setattr(run, "conduct", conduct)
        code = run.run_suite(suite, Path("buy.toml"), HostFile(schema_version=1), Store(tmp_path / "store"), "")
        return code, measured

    return carry_out


Carry = Callable[..., tuple[int, list[tuple[str, int]]]]


def test_what_is_wide_is_measured_again_and_no_more_than_the_grade_allows(
    carry_out: Carry, capsys: pytest.CaptureFixture[str]
) -> None:
    code, measured = carry_out()
    assert code == 0
    counts = {name: sum(each == name for each, _ in measured) for name in VALUES}
    assert counts["calm"] == 3
    assert 3 < counts["late"] < 8
    assert counts["wild"] == GRADES["official"].most_repeats == 8
    said = capsys.readouterr().err
    assert "2 measured once more, as #4: their interval is wider than ±2%" in said
    assert "tiny fp32 single-stream on wild: the interval is still ±" in said
    assert "after 8 repeats" in said
    assert "on late: the interval is still" not in said


def test_a_suite_that_was_stopped_goes_on_as_it_would_have(carry_out: Carry, tmp_path: Path) -> None:
    whole = carry_out()[1]
    for stop in (4, 10, 13):
        (tmp_path / "store").rename(tmp_path / f"store-{stop}")
        with pytest.raises(KeyboardInterrupt):
            carry_out(stop_after=stop)
        assert carry_out()[1] == whole[stop:]
    assert carry_out()[1] == []


def test_a_cell_with_a_run_that_is_not_ok_is_left_at_that(carry_out: Carry) -> None:
    _, measured = carry_out(status=lambda spec: "invalid" if spec.target.name == "wild" and spec.repeat == 1 else "ok")
    assert sum(name == "wild" for name, _ in measured) == 3


def test_the_comparison_says_what_is_still_wide(carry_out: Carry, tmp_path: Path) -> None:
    carry_out()
    store = Store(tmp_path / "store")
    (found,) = pair(select("target=wild", store), select("target=calm", store)).pairs
    assert "wide-interval" in found.findings
    assert found.a is not None
    assert found.a.n == 8
    entries: list[Entry] = store.read()[0]
    (doubt,) = doubt_about([entry.record for entry in entries if entry.record.spec.target.name == "wild"])
    assert doubt.observed.endswith("after 8 repeats")
    assert doubt_about([entry.record for entry in entries if entry.record.spec.target.name == "calm"]) == ()


def test_a_further_process_has_seeds_and_a_name_of_its_own(make_spec: Callable[..., RunSpec]) -> None:
    names = {repeated(make_spec(), n).run_id for n in range(8)}
    assert len(names) == 8
