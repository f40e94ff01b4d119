"""A candidate that was measured under several loads in one place: the right one stands, and no run is dropped unsaid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from npubench.analyze.estimate import Estimate
from npubench.contract.runspec import Scenario
from npubench.errors import InputError
from npubench.record.store import Entry, Store
from npubench.report.cited import cited
from npubench.report.document import Document, Grid, Phrase, Section
from npubench.report.procurement import build_procurement
from npubench.report.procurement_lineup import line_up
from npubench.report.procurement_loads import choose_loads
from npubench.report.requirements import read_sheet
from npubench.report.scoring import score_all

Add = Callable[..., Entry]


def grids(sections: Iterator[Section] | tuple[Section, ...]) -> Iterator[Grid]:
    for section in sections:
        yield from (block for block in section.blocks if isinstance(block, Grid))
        yield from grids(section.sections)


def grid(document: Document, name: str) -> Grid:
    return next(each for each in grids(document.sections) if each.name == name)


def rate(value: float) -> dict[str, Estimate]:
    return {
        "throughput": Estimate(value, "samples/s", value * 0.99, value * 1.01, 0.95, 30),
        "accuracy": Estimate(1.0, "ratio", n=12),
    }


@pytest.fixture
def load(add: Add) -> Add:
    """Publish an offline run of ``batch`` and ``in_flight`` that reaches ``value`` samples/s."""

    def add_load(batch: int, value: float, in_flight: int = 1, **changes: Any) -> Entry:
        target = changes.pop("target", "npu")
        bound = changes.pop("bound", {})
        return add(
            target,
            scenario=Scenario.OFFLINE,
            load={"batch": batch, "in_flight": in_flight, **bound},
            metrics=rate(value) if changes.get("status", "ok") in ("ok", "invalid") else None,
            **changes,
        )

    return add_load


def stands(store: Store) -> tuple[int, int]:
    """Return batch and requests at once that the candidate ``npu`` stands with."""
    (standing,) = (s for spot in line_up(store.read()[0]).spots for s in spot.standings if s.records[0].spec.target.name == "npu")
    chosen = standing.records[0].spec.load
    return chosen.batch, chosen.in_flight


def test_the_best_stands_whenever_it_was_measured(store: Store, load: Add) -> None:
    load(4, 900.0, started_at="2026-08-01T00:00:00+00:00")
    load(1, 100.0, started_at="2026-08-03T00:00:00+00:00")
    load(8, 800.0, in_flight=2, started_at="2026-08-02T00:00:00+00:00")
    assert stands(store) == (4, 1)


def test_of_one_load_the_latest_counts_and_not_the_best(store: Store, load: Add) -> None:
    load(4, 900.0, started_at="2026-08-01T00:00:00+00:00", spec={"round": "old"})
    load(4, 300.0, started_at="2026-08-05T00:00:00+00:00", spec={"round": "new"})
    load(1, 500.0, started_at="2026-08-02T00:00:00+00:00")
    assert stands(store) == (1, 1)
    assert line_up(store.read()[0]).superseded == 1


def test_requests_at_once_are_a_load_of_their_own(store: Store, load: Add) -> None:
    load(4, 500.0)
    load(4, 700.0, in_flight=2)
    assert stands(store) == (4, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "invalid"},
        {"status": "failed"},
        {"status": "skipped"},
        {"spec": {"grade": "smoke"}},
        {"work_digest": "sha256:" + "1" * 64, "started_at": "2026-07-01T00:00:00+00:00"},
        {"bound": {"latency_bound_ns": 5}, "started_at": "2026-07-01T00:00:00+00:00"},
    ],
    ids=["invalid", "failed", "skipped", "looser grade", "other work", "other bound"],
)
def test_what_does_not_hold_or_is_no_like_question_never_stands(store: Store, load: Add, changes: dict[str, Any]) -> None:
    load(8, 9000.0, **changes)
    load(1, 100.0)
    assert stands(store) == (1, 1)


def test_where_nothing_holds_the_latest_stands_and_not_the_most_flattering(store: Store, load: Add) -> None:
    load(8, 9000.0, status="invalid", started_at="2026-08-01T00:00:00+00:00")
    load(1, 100.0, status="invalid", started_at="2026-08-02T00:00:00+00:00")
    load(2, 0.0, status="failed", started_at="2026-08-03T00:00:00+00:00")
    assert stands(store) == (1, 1)


def test_of_equals_the_smaller_load_stands(store: Store, load: Add) -> None:
    load(8, 100.0)
    load(2, 100.0)
    assert stands(store) == (2, 1)


def test_every_load_is_in_the_report_with_its_run_and_why_it_is_not_shown(store: Store, load: Add) -> None:
    added = [
        load(4, 900.0),
        load(1, 100.0),
        load(8, 800.0, status="invalid"),
        load(2, 0.0, status="failed"),
        load(16, 5000.0, spec={"grade": "smoke"}),
        load(1, 50.0, target="other"),
    ]
    document = build_procurement(store.read()[0], subject="store")
    table = grid(document, "place-tiny-offline-loads")
    said = {row.cells[0].content: row.cells[-1].content for row in table.rows}
    assert {batch: phrase.key for batch, phrase in said.items() if isinstance(phrase, Phrase)} == {
        1: "procurement.load.slower",
        2: "procurement.load.unranked",
        8: "procurement.load.unranked",
        16: "procurement.load.looser-grade",
    }
    runs = {entry.record.run_id for entry in added}
    assert cited(document.sections) == runs
    assert {line.run_id for line in document.runs} == runs
    (mine,) = (row for row in grid(document, "place-tiny-offline-standing").rows if row.heading.content.text == "npu · fp32")  # type: ignore[union-attr]
    batch = next(cell for cell in mine.cells if cell.content == 4)
    assert batch.remark == Phrase("procurement.load.chosen", {"count": 5, "batches": "1, 2, 4, 8, 16"})


def test_a_candidate_under_one_load_has_no_such_table(store: Store, load: Add) -> None:
    load(4, 900.0)
    load(4, 900.0, target="other")
    document = build_procurement(store.read()[0], subject="store")
    assert not [each for each in grids(document.sections) if each.name.endswith("-loads")]


def test_what_was_measured_again_is_counted(store: Store, load: Add) -> None:
    for n in range(3):
        load(4, 900.0, started_at=f"2026-08-0{n + 1}T00:00:00+00:00", spec={"round": str(n)})
    document = build_procurement(store.read()[0], subject="store")
    lead = next(section for section in document.sections if section.name == "places").blocks[0]
    assert Phrase("procurement.places.superseded", {"count": 2}) in lead.sentences  # type: ignore[union-attr]


def test_power_limits_are_candidates_of_their_own(store: Store, add: Add) -> None:
    for limit in (100, 150):
        add(f"npu@{limit}W", scenario=Scenario.OFFLINE, on={"power_limit_mw": limit * 1000})
    assert {subject.target for subject in line_up(store.read()[0]).offers} == {"npu@100W", "npu@150W"}
    assert all(len(found) == 1 for found in choose_loads(store.read()[0]).values())


LINE = '[[requirement]]\nworkload = "tiny"\nscenario = "offline"\nmetric = "{metric}"\n{unit}min = {least}\nweight = 1\n{batch}'


def test_a_requirement_that_names_a_batch_is_judged_by_it_alone(store: Store, load: Add, tmp_path: Path) -> None:
    load(1, 100.0)
    load(8, 900.0)
    load(8, 450.0, target="ref")
    lines = [
        LINE.format(metric="throughput", unit='unit = "samples/s"\n', least=500, batch=batch)
        for batch in ("", "batch = 1\n", "batch = 8\n", "batch = 3\n")
    ]
    lines += [LINE.format(metric="speed_ratio", unit="", least=1.5, batch=f"batch = {batch}\n") for batch in (1, 8)]
    path = tmp_path / "sheet.toml"
    path.write_text('schema_version = 1\nname = "x"\n' + "".join(lines), encoding="utf-8")
    sheet = read_sheet(path, ["tiny"])
    lineup = line_up(store.read()[0], "ref", batches=[line.asked.batch for line in sheet.lines if line.asked.batch])
    (score,) = score_all(lineup, sheet)
    assert [judged.value.value for judged in score.lines] == [900.0, 100.0, 900.0, None, None, 2.0]
    assert [judged.verdict for judged in score.lines[:4]] == ["pass", "fail", "pass", "missing"]
    assert score.lines[3].value.reason == "not run with a batch of 3"
    assert score.lines[4].value.reason == "the reference was not run here"
    document = build_procurement(store.read()[0], subject="store", reference="ref", sheet=sheet)
    assert cited(document.sections) <= {line.run_id for line in document.runs}


def test_a_batch_below_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sheet.toml"
    line = LINE.format(metric="throughput", unit='unit = "samples/s"\n', least=500, batch="batch = 0\n")
    path.write_text('schema_version = 1\nname = "x"\n' + line, encoding="utf-8")
    with pytest.raises(InputError, match="batch"):
        read_sheet(path, ["tiny"])
