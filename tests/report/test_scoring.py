"""Requirements held against runs: certain by the whole interval, points as the sheet says, ties as ties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate
from npubench.record.schema import Energy
from npubench.record.store import Entry, Store
from npubench.report.procurement_lineup import line_up
from npubench.report.procurement_offers import ranks_of
from npubench.report.requirements import Sheet, read_sheet
from npubench.report.scoring import Score, points_of, score_all

Add = Callable[..., Entry]
P90 = 'workload = "tiny"\nscenario = "single-stream"\nmetric = "latency_p90"\nunit = "ms"\n'


def read(tmp_path: Path, *lines: str) -> Sheet:
    path = tmp_path / "sheet.toml"
    path.write_text(
        'schema_version = 1\nname = "x"\n' + "".join(f"[[requirement]]\n{each}\n" for each in lines), encoding="utf-8"
    )
    return read_sheet(path, ["tiny", "other"])


def scores(store: Store, sheet: Sheet, reference: str = "") -> Mapping[str, Score]:
    """Return target → score."""
    lineup = line_up(store.read()[0], reference)
    names = {subject.key: subject.target for subject in lineup.offers}
    return {names[score.offer]: score for score in score_all(lineup, sheet)}


def measured(value: float, low: float, high: float) -> dict[str, Estimate]:
    return {"latency_p90": Estimate(value * 1e6, "ns", low * 1e6, high * 1e6, 0.99), "accuracy": Estimate(0.97, "ratio")}


@pytest.mark.parametrize(
    ("low", "high", "verdict", "certain", "possible"),
    [(8, 9.9, "pass", 100, 100), (8, 10, "pass", 100, 100), (9, 10.1, "open", 0, 100), (10.1, 11, "fail", 0, 0)],
)
def test_a_verdict_is_of_the_whole_interval(
    store: Store, add: Add, tmp_path: Path, low: float, high: float, verdict: str, certain: float, possible: float
) -> None:
    add("a", metrics=measured((low + high) / 2, low, high))
    score = scores(store, read(tmp_path, P90 + "max = 10\nweight = 5\nmandatory = true"))["a"]
    assert (score.lines[0].verdict, score.verdict) == (verdict, verdict)
    assert (score.score.low, score.score.high, score.score.value) == (certain, possible, certain)


def test_points_grow_from_the_bound_to_full_and_no_further(store: Store, tmp_path: Path) -> None:
    (line,) = read(tmp_path, P90 + "max = 10\nweight = 5\nfull = 6\nat_bound = 0.6").lines
    assert [points_of(line, ms * 1e6) for ms in (10.1, 10.0, 8.0, 6.0, 1.0)] == pytest.approx([0.0, 0.6, 0.8, 1.0, 1.0])


def test_the_score_is_the_weighted_mean_by_the_worse_end(store: Store, add: Add, tmp_path: Path) -> None:
    """8 ms at the worse end: 0.8 of weight 30; accuracy 0.97 meets 95 %: all of 10; it misses 0.98: none of 10."""
    add("a", metrics=measured(7.5, 7.0, 8.0))
    accuracy = 'workload = "tiny"\nscenario = "single-stream"\nmetric = "accuracy"\n'
    sheet = read(
        tmp_path,
        P90 + "max = 10\nweight = 30\nfull = 6\nat_bound = 0.6",
        accuracy + 'min = 95\nunit = "%"\nweight = 10',
        accuracy + 'precision = "fp32"\nmin = 0.98\nweight = 10',
    )
    score = scores(store, sheet)["a"]
    assert [judged.verdict for judged in score.lines] == ["pass", "pass", "fail"]
    assert score.verdict is None
    assert score.score.low == pytest.approx(100 * (30 * 0.8 + 10) / 50)
    assert score.score.high == pytest.approx(100 * (30 * 0.9 + 10) / 50)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"spec": {"grade": "smoke"}}, "nothing is decided by this run: smoke"),
        ({"simulated": True}, "SIMULATED: the device is no hardware"),
        ({"status": "invalid"}, "the run is invalid"),
    ],
)
def test_what_must_not_decide_leaves_a_line_open(
    store: Store, add: Add, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    add("a", metrics=measured(1, 0.9, 1.1), **changes)
    (judged,) = scores(store, read(tmp_path, P90 + "max = 10\nmandatory = true"))["a"].lines
    assert (judged.verdict, judged.points, judged.why) == ("open", 0.0, why)


def test_what_was_not_measured_is_missing_and_no_zero(store: Store, add: Add, tmp_path: Path) -> None:
    add("a", metrics=measured(1, 0.9, 1.1))
    add("b", status="failed", reason="it broke")
    power = (
        'workload = "tiny"\nscenario = "single-stream"\nmetric = "watts"\nunit = "W"\ndomain = "card"\nmax = 75\nmandatory = true'
    )
    other = P90.replace("tiny", "other") + "max = 10\nweight = 1"
    found = scores(store, read(tmp_path, power, other))
    assert [(j.verdict, j.value.value, j.value.reason) for j in found["a"].lines] == [
        ("missing", None, "not measured: no sensor or meter was read"),
        ("missing", None, "not run"),
    ]
    assert found["b"].lines[0].value.reason == "it broke"
    assert (found["a"].verdict, found["a"].score.low, found["a"].score.high) == ("open", 0.0, 100.0)


def test_a_bound_on_power_is_held_against_its_own_domain(
    store: Store, add: Add, tmp_path: Path, make_energy: Callable[..., Energy]
) -> None:
    add("a", energy=(make_energy(watts=50), make_energy(watts=400, domain="wall", evidence="wall meter")))
    line = 'workload = "tiny"\nscenario = "single-stream"\nmetric = "watts"\nunit = "W"\nmandatory = true\n'
    found = scores(store, read(tmp_path, line + 'domain = "card"\nmax = 75', line + 'domain = "wall"\nmax = 75'))["a"]
    assert [judged.verdict for judged in found.lines] == ["pass", "fail"]
    board = scores(store, read(tmp_path, line + 'domain = "board"\nmax = 75'))["a"].lines[0]
    assert board.value.reason == "the power of the board was not measured, only of: wall, card"


def test_twice_the_references_efficiency_is_a_line_like_any_other(
    store: Store, add: Add, tmp_path: Path, make_energy: Callable[..., Energy]
) -> None:
    add("gpu", energy=(make_energy(10),))
    add("a", energy=(make_energy(25),))
    add("b", energy=(make_energy(15),))
    sheet = read(
        tmp_path,
        'workload = "tiny"\nscenario = "single-stream"\nmetric = "efficiency_ratio"\ndomain = "card"\nmin = 2\nmandatory = true',
    )
    found = scores(store, sheet, "gpu")
    assert {name: score.verdict for name, score in found.items()} == {"a": "pass", "b": "fail"}
    assert scores(store, sheet)["a"].lines[0].value.reason == "no reference is named"


def test_ranks_count_who_is_certainly_better() -> None:
    values = {
        "a": Estimate(11, "", 10, 12),
        "b": Estimate(12, "", 11, 13),
        "c": Estimate(13.5, "", 12.5, 14),
        "d": Estimate(20, "", 19, 21),
    }
    assert ranks_of(values, False) == {"a": (1, True), "b": (1, True), "c": (2, False), "d": (4, False)}
    assert ranks_of(values, True) == {"d": (1, False), "c": (2, True), "b": (2, True), "a": (3, False)}
    assert ranks_of({"a": values["a"]}, True) == {}


def test_candidates_whose_scores_overlap_are_tied_and_who_fails_is_not_ranked(store: Store, add: Add, tmp_path: Path) -> None:
    add("a", metrics=measured(7, 6.9, 7.1))
    add("b", metrics=measured(7.05, 6.95, 7.15))
    add("c", metrics=measured(9.5, 9.4, 9.6))
    add("d", metrics=measured(20, 19, 21))
    found = scores(store, read(tmp_path, P90 + "max = 10\nweight = 5\nfull = 6\nat_bound = 0.5\nmandatory = true"))
    assert {name: (score.rank, score.tied) for name, score in found.items()} == {
        "a": (1, True),
        "b": (1, True),
        "c": (3, False),
        "d": (None, False),
    }


def test_an_accuracy_in_another_unit_decides_nothing(store: Store, add: Add, tmp_path: Path) -> None:
    add("a", metrics=measured(1, 0.9, 1.1))
    line = 'workload = "tiny"\nscenario = "single-stream"\nmetric = "accuracy"\nmax = 1\nunit = "K"\nmandatory = true'
    (judged,) = scores(store, read(tmp_path, line))["a"].lines
    assert (judged.verdict, judged.value.reason) == ("missing", "the accuracy of this workload is in ratio, the sheet asks for K")
