"""The page on what the statistics hold is what its command makes, and it holds what is asked for."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from npubench.verbs import statistics
from npubench.verbs.statistics import Row, compare_with_loadgen, make_rows, markdown, show_statistics
from npubench.verbs.statistics_trials import questions

PAGE = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")

#: The first runs of every row, which the page's share is counted on from.
FEW = 3
ROWS = make_rows(FEW)

#: A row of the page: what the runs are like, how many came true, of how many.
LINE = re.compile(r"^\| (.+) \| (\d+) of (\d+) \| (?:[\d.]+%|—) \| .* ?\|$", re.MULTILINE)


def test_the_page_has_every_row_and_counts_on_from_the_first_runs() -> None:
    lines = [(about, int(true), int(runs)) for about, true, runs in LINE.findall(PAGE)]
    assert [about for about, *_ in lines] == [row.about for row in ROWS], f"run: {statistics.COMMAND}"
    for (about, true, runs), row, question in zip(lines, ROWS, questions(), strict=True):
        assert runs <= question.runs, about
        # What came of the first runs is among what came of all.
        assert row.runs <= runs, about
        assert row.true <= true, about
        assert row.runs - row.true <= runs - true, about


def test_the_page_is_made_of_rows_and_every_one_is_as_asked() -> None:
    counts = LINE.findall(PAGE)
    rows = [replace(row, true=int(true), runs=int(runs)) for row, (_, true, runs) in zip(ROWS, counts, strict=True)]
    equal = re.search(r"(\d+) of\n(\d+) estimates equal ours", PAGE)
    assert equal is not None
    assert equal[1] == equal[2]
    assert markdown(rows, [("window", 0.9, True)] * int(equal[2])) == PAGE, f"run: {statistics.COMMAND}"
    assert [row.about for row in rows if not row.holds] == []


def test_change_points_are_asked_of_a_thousand_runs_a_law_and_certified_bounds_as_well() -> None:
    asked = {q.section: q for q in questions()}
    assert (asked["false change-point"].runs, asked["false change-point"].most) == (1000, 0.01)
    assert asked["certified"].most == 0.01
    assert asked["certified"].runs >= 1000
    assert {asked[section].least for section in ("throughput", "ratio", "repeats")} == {0.95}


def test_a_share_that_is_not_as_asked_is_seen() -> None:
    row = Row("certified", "x", 1000, 10, 0, 0.01, None)
    assert row.holds
    assert replace(row, true=19).holds  # luck: three standard errors are 9.4
    assert not replace(row, true=20).holds
    covered = Row("ratio", "x", 1000, 950, 0, None, 0.95)
    assert covered.holds
    assert not replace(covered, true=928).holds
    assert replace(covered, runs=0, true=0).holds


def test_certified_percentiles_equal_loadgens_on_the_same_run() -> None:
    agreed = compare_with_loadgen()
    assert len(agreed) == 11
    assert [one for one in agreed if not one[2]] == []


def test_the_exit_code_says_whether_it_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = Row("certified", "p90", 100, 1, 0, 0.01, None)
    monkeypatch.setattr(statistics, "make_rows", lambda on_row: [row])
    monkeypatch.setattr(statistics, "compare_with_loadgen", lambda: [("single-stream 64", 0.9, True)])
    assert show_statistics(tmp_path / "new" / "table.md", True) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["share"] == 0.01
    assert "| p90 | 1 of 100 | 1.0% | ≤ 1% |" in (tmp_path / "new" / "table.md").read_text(encoding="utf-8")
    monkeypatch.setattr(statistics, "make_rows", lambda on_row: [replace(row, true=50)])
    assert show_statistics(None, False) == 1
    assert "50 of 100" in capsys.readouterr().out
