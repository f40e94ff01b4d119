"""What a person sees of a comparison on a terminal of eighty columns."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from npubench.analyze.estimate import Estimate
from npubench.report.page import Cell, ComparisonPage, Difference, Ratio, Row, Subject, Table
from npubench.report.pairs import Pair, Pairs
from npubench.verbs import tables

GOOD = Ratio(1.25, 1.2, 1.3, 0.95, 1e-6, "better")
SHORT = Ratio(1.1, None, None, 0.95, None, "indistinguishable", "no interval: too few")
NOT = Ratio(None, None, None, 0.95, None, "not-comparable", "different-work")


def pair(workload: str, scenario: str, ratio: Ratio, status: str = "ok") -> Pair:
    figure = Estimate(2e6, "ns") if status == "ok" else None
    return Pair((workload, scenario, "fp32"), "latency_p90", figure, Estimate(4e6, "ns"), status, "ok", ("smoke",), ratio, ())


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Any:
    console = Console(width=80, record=True, file=None, force_terminal=False, highlight=False)
    monkeypatch.setattr(tables, "out", console)

    def show(*pairs: Pair) -> str:
        tables.print_pairs(
            Pairs("old", "new", pairs, (), ("only · there",), (Difference("package:numpy", {"old": "1", "new": "2"}),))
        )
        text: str = console.export_text()
        return text

    return show


def test_a_table_a_scenario_with_names_whole_and_reasons_below(shown: Any) -> None:
    text = shown(
        pair("image-classification", "single-stream", GOOD),
        pair("ocr-line", "single-stream", SHORT),
        pair("resnet50", "offline", SHORT),
        pair("file-type", "offline", NOT, status="failed"),
    )
    assert text.count("single-stream: latency_p90") == text.count("offline: latency_p90") == 1
    assert "image-classification · fp32" in text
    assert "1.250 [1.200 … 1.300]" in text
    assert text.count("no interval: too few") == 1
    assert "different work" in text
    assert "failed" in text
    assert "only B has: only · there" in text
    assert "package:numpy" in text
    assert "grade smoke" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def page_of(subjects: int, monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    """Return what is shown of one scenario with so many subjects, and of a second with one of them, on a terminal so wide."""
    console = Console(width=width, record=True, file=None, force_terminal=False, highlight=False)
    monkeypatch.setattr(tables, "out", console)
    people = tuple(
        Subject(f"s{n}", f"target-{n} · fp32", f"target-{n}", "b", "cpu", "fp32", {}, "m", False) for n in range(subjects)
    )
    cells = tuple(
        Cell(s.key, "run", "ok", "", "nightly", Estimate(2e6, "ns"), {}, None, None, "accuracy", GOOD, None, "", ())
        for s in people
    )
    every = Table("single-stream", "latency_p90", "ns", False, (Row("image-classification", {}, {}, 1, "top1", "ratio", cells),))
    one = Table("server", "query_rate", "queries/s", True, (Row("ocr-line", {}, {}, 1, "top1", "ratio", cells[:1]),))
    tables.print_page(ComparisonPage("t", ("nightly",), "s0", people, (), (every, one), (), (), ()))
    text: str = console.export_text()
    return text


@pytest.mark.parametrize("subjects", [2, 12])
def test_every_name_and_figure_is_whole_however_many_are_compared(monkeypatch: pytest.MonkeyPatch, subjects: int) -> None:
    text = page_of(subjects, monkeypatch, 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.count("2 ms") == subjects + 1
    assert all(text.count(f"target-{n} · fp32") >= 1 for n in range(subjects))
    assert "…" not in text.replace("more is better", "")
    # What was asked of one subject alone has one column.
    assert f"target-{subjects - 1}" not in text[text.index("server: ") :]
