"""The page ranks like with like and nothing else, and shows a number only where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from npubench.analyze.finding import Finding
from npubench.contract.runspec import Scenario
from npubench.record.schema import ArtefactReference
from npubench.record.store import Entry
from npubench.report.comparison import QUANTILES, build_page
from npubench.report.comparison_document import comparison_sections
from npubench.report.document import Grid
from npubench.report.page import Cell, ComparisonPage
from npubench.report.select import latest

Add = Callable[..., Entry]


def page(*entries: Entry, baseline: str = "") -> ComparisonPage:
    return build_page("A night", latest(entries), baseline)


def cells(built: ComparisonPage, row: int = 0) -> dict[str, Cell]:
    labels = {subject.key: subject.label for subject in built.subjects}
    (table,) = built.tables
    return {labels[cell.subject]: cell for cell in table.rows[row].cells}


@pytest.mark.parametrize("scenario", Scenario)
def test_the_best_is_first_in_every_scenario(add: Add, scenario: Scenario) -> None:
    found = cells(page(*(add(name, ms, scenario=scenario) for name, ms in (("a", 2.0), ("b", 1.0), ("c", 3.0)))))
    assert {label: cell.rank for label, cell in found.items()} == {"a · fp32": 2, "b · fp32": 1, "c · fp32": 3}
    assert all(cell.unranked == "" for cell in found.values())


def host_operators(n: int | None) -> ArtefactReference:
    return ArtefactReference(
        format="onnx",
        digest="sha256:1",
        size_bytes=1,
        compiler="",
        ready=False,
        cached=False,
        notes={},
        device_operators=3,
        host_operators=n,
        offload_source="x",
    )


UNRANKED: list[tuple[str, dict[str, Any]]] = [
    ("simulated", {"simulated": True}),
    ("failed", {"status": "failed"}),
    ("skipped", {"status": "skipped"}),
    ("invalid", {"status": "invalid"}),
    ("smoke", {"spec": {"grade": "smoke"}}),
    ("host-operators", {"artefact": host_operators(1)}),
    # Asked for, and the runtime cannot tell whether they are: nobody knows what was measured.
    ("host-operators", {"artefact": host_operators(None), "on": {"options": {"allow_host_operators": True}}}),
    ("different-work", {"work_digest": "sha256:other"}),
]


@pytest.mark.parametrize(("why", "changes"), UNRANKED, ids=[f"{n}-{case[0]}" for n, case in enumerate(UNRANKED)])
def test_what_must_not_be_ranked_has_no_rank_and_says_why(add: Add, why: str, changes: dict[str, Any]) -> None:
    found = cells(page(add("a"), add("b", 2.0), add("odd", 0.1, **changes)))
    assert (found["odd · fp32"].rank, found["odd · fp32"].unranked) == (None, why)
    assert [found[label].rank for label in ("a · fp32", "b · fp32")] == [1, 2]


def test_operators_all_on_the_device_are_ranked(add: Add) -> None:
    assert cells(page(add("a", artefact=host_operators(0)), add("b", 2.0)))["a · fp32"].rank == 1


def official(add: Add, target: str, ms: float, repeats: int = 3) -> list[Entry]:
    return [add(target, ms, seed=n, spec={"grade": "official", "repeat": n}) for n in range(repeats)]


def test_an_official_cell_that_lacks_a_process_is_not_ranked_and_not_compared(add: Add) -> None:
    found = cells(page(*official(add, "a", 1.0), *official(add, "b", 2.0), *official(add, "c", 0.5, repeats=2)))
    assert {label[0]: (cell.rank, cell.unranked) for label, cell in found.items()} == {
        "a": (1, ""),
        "b": (2, ""),
        "c": (None, "incomplete"),
    }
    ratio = found["c · fp32"].ratio
    assert ratio is not None
    assert (ratio.verdict, ratio.reason) == ("not-comparable", "incomplete")


def test_the_strictest_grade_is_ranked_and_the_others_say_why(add: Add) -> None:
    found = cells(page(add("a"), add("b", 2.0), *official(add, "c", 3.0), *official(add, "d", 4.0)))
    assert {label[0]: (cell.rank, cell.unranked) for label, cell in found.items()} == {
        "a": (None, "different-grade"),
        "b": (None, "different-grade"),
        "c": (1, ""),
        "d": (2, ""),
    }


def test_another_latency_bound_is_not_ranked_with_the_most(add: Add) -> None:
    server = {"scenario": Scenario.SERVER}
    odd = add("odd", 0.5, **server, load={"latency_bound_ns": 99_000_000})
    found = cells(page(odd, add("a", **server), add("b", 2.0, **server)))
    assert {label.split()[0]: (cell.rank, cell.unranked) for label, cell in found.items()} == {
        "odd": (None, "different-bound"),
        "a": (1, ""),
        "b": (2, ""),
    }


def test_one_alone_has_no_rank(add: Add) -> None:
    (cell,) = cells(page(add("a"))).values()
    assert (cell.rank, cell.unranked, cell.ratio) == (None, "single", None)
    found = cells(page(add("a", spec={"workload": "w"}), add("b", status="failed", spec={"workload": "w"})))
    assert (found["a · fp32"].rank, found["a · fp32"].unranked) == (None, "single")


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_run_without_a_number_shows_its_reason_and_no_number(add: Add, status: str) -> None:
    cell = cells(page(add("a"), add("b", status=status, reason="NPU fault 0x1f")))["b · fp32"]
    assert (cell.status, cell.reason, cell.headline, cell.accuracy, cell.details) == (status, "NPU fault 0x1f", None, None, {})
    assert cell.ratio is not None
    assert (cell.ratio.value, cell.ratio.verdict) == (None, "not-comparable")


def test_one_failed_repeat_leaves_the_cell_without_a_number(add: Add) -> None:
    first = add("a", spec={"grade": "official"})
    second = add("a", status="failed", reason="lost", spec={"grade": "official", "repeat": 1})
    cell = cells(page(first, second, add("b", spec={"grade": "official"})))["a · fp32"]
    assert (cell.status, cell.reason, cell.headline, cell.rank) == ("failed", "lost", None, None)


def test_an_invalid_run_keeps_its_number_beside_its_findings(add: Add) -> None:
    finding = Finding("drift", "invalid", "o", "r", "A.")
    cell = cells(page(add("a", status="invalid", findings=(finding,))))["a · fp32"]
    assert cell.headline is not None
    assert cell.headline.value is not None
    assert cell.findings == (finding,)


def test_repeats_are_one_cell_with_their_mean(add: Add) -> None:
    repeats = [add("a", ms, seed=n, spec={"grade": "official", "repeat": n}) for n, ms in enumerate((1.0, 1.1, 1.2))]
    cell = cells(page(*repeats))["a · fp32"]
    values = [entry.record.metrics["latency_p90"].value for entry in repeats]
    assert cell.headline is not None
    assert cell.headline.value == pytest.approx(sum(values) / 3)
    assert cell.headline.n == 3
    assert cell.run_id.count(", ") == 2


def test_ratios_are_against_the_baseline_which_has_none(add: Add) -> None:
    entries = [add("a"), add("b", 1.2, seed=1)]
    for name in ("b · fp32", "b/fp32"):
        built = page(*entries, baseline=name)
        assert built.baseline == next(subject.key for subject in built.subjects if subject.target == "b")
        found = cells(built)
        assert found["b · fp32"].ratio is None
        assert found["a · fp32"].ratio is not None
        assert found["a · fp32"].ratio.verdict == "better"


def test_what_some_subject_lacks_is_named(add: Add) -> None:
    built = page(add("a"), add("b"), add("a", scenario=Scenario.OFFLINE), add("b", spec={"workload": "w"}))
    (section,) = (each for each in comparison_sections(built) if each.name == "missing")
    (grid,) = (block for block in section.blocks if isinstance(block, Grid))
    said = {(row.heading.content.values["scenario"], row.cells[0].content.text) for row in grid.rows}
    assert said == {("offline", "b · fp32"), ("single-stream", "a · fp32")}


def test_labels_name_system_and_round_only_where_they_differ(add: Add) -> None:
    assert [s.label for s in page(add("a"), add("b")).subjects] == ["a · fp32", "b · fp32"]
    labels = {s.label for s in page(add("c", system_id="n1"), add("c", system_id="n2")).subjects}
    assert labels == {"c · fp32 · n1", "c · fp32 · n2"}


def test_latency_curves_never_fall_and_offline_has_none(add: Add) -> None:
    built = page(add("a"), add("b", 1.5), add("a", scenario=Scenario.OFFLINE))
    (distribution,) = built.distributions
    assert distribution.scenario == "single-stream"
    assert len(distribution.curves) == 2
    for curve in distribution.curves:
        assert curve.quantiles == QUANTILES
        assert list(curve.latency_ns) == sorted(curve.latency_ns)


def test_a_page_names_every_grade_and_system_on_it(add: Add) -> None:
    built = page(add("a", spec={"grade": "smoke"}), add("b", system_id="n2"), add("c"))
    assert built.grades == ("smoke", "nightly")
    assert {card.system_id for card in built.systems} == {"node-1", "n2"}


def test_no_runs_are_an_empty_page() -> None:
    built = page()
    assert (built.subjects, built.tables, built.baseline, built.distributions) == ((), (), "", ())
