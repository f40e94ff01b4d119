"""The nightly page: what is an alarm and what is none, from nights with known changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from npubench.analyze.estimate import Estimate
from npubench.analyze.trend import level_changes, levels, scatter, step
from npubench.contract.runspec import Scenario
from npubench.errors import StoreError
from npubench.record.store import Entry, Store
from npubench.report.document import Grid, Plot
from npubench.report.nightly import alarms, build_nightly
from npubench.report.nightly_nights import Nights, cut_nights, follow
from npubench.verbs.report_nightly import write_nightly

Add = Callable[..., Entry]


def moment(night: int, hour: int = 13, minute: int = 0) -> str:
    """Return 22:00 KST of a night, UTC, unless said otherwise."""
    return f"2026-08-{night + 1:02}T{hour:02}:{minute:02}:00+00:00"


@pytest.fixture
def night(add: Add) -> Callable[..., Entry]:
    """Publish one night's run of a cell with a throughput."""

    def night(n: int, rate: float | None, *, target: str = "card", status: str = "ok", minute: int = 0, work: str = "0") -> Entry:
        metrics = {"throughput": Estimate(rate, "samples/s", rate * 0.999, rate * 1.001, 0.95)} if rate is not None else None
        return add(
            target,
            scenario=Scenario.OFFLINE,
            spec={"round": str(n)},
            started_at=moment(n, minute=minute),
            queries=64,
            metrics=metrics,
            status=status,
            work_digest="sha256:" + work * 64,
        )

    return night


def states(nights: Nights) -> dict[str, str]:
    return {line.cell[1]: line.state for line in nights.lines}


def run(night: Callable[..., Entry], rates: Iterable[float | None], **changes: str) -> list[Entry]:
    return [night(n, rate, **changes) for n, rate in enumerate(rates) if rate is not None]


STEADY = [100.0, 100.4, 99.8, 100.1, 99.9, 100.2, 99.7, 100.3]


def test_a_drop_beyond_scatter_is_an_alarm_and_a_rise_is_none(night: Callable[..., Entry]) -> None:
    entries = [
        *run(night, [*STEADY, 90.0], target="worse"),
        *run(night, [*STEADY, 110.0], target="better"),
        *run(night, [*STEADY, 99.6], target="same"),
    ]
    nights = follow(entries)
    assert states(nights) == {"worse": "worse", "better": "better", "same": "same"}
    assert alarms(nights) == 1


def test_coming_back_from_an_odd_night_is_no_change(night: Callable[..., Entry]) -> None:
    assert states(follow(run(night, [*STEADY, 120.0, 100.0]))) == {"card": "same"}


def test_a_noisy_cell_is_in_quarantine_and_raises_no_alarm(night: Callable[..., Entry]) -> None:
    nights = follow(run(night, [100, 130, 80, 120, 75, 125, 90, 40]))
    assert states(nights) == {"card": "noisy"}
    assert alarms(nights) == 0


def test_a_step_long_ago_is_no_noise(night: Callable[..., Entry]) -> None:
    nights = follow(run(night, [*STEADY, *(2 * rate for rate in STEADY)]))
    line = nights.lines[0]
    assert line.state == "same"
    assert line.scatter is not None
    assert line.scatter < 0.02
    assert [change.index for change in line.changes] == [len(STEADY)]


@pytest.mark.parametrize(
    ("before", "now", "state"), [("ok", "failed", "broken"), ("failed", "failed", "bad"), ("failed", "ok", "mended")]
)
def test_what_became_of_the_run_counts_before_its_figure(night: Callable[..., Entry], before: str, now: str, state: str) -> None:
    entries = [night(0, 100.0), *(night(n, 100.0 if s == "ok" else None, status=s) for n, s in ((1, before), (2, now)))]
    assert states(follow(entries)) == {"card": state}


def test_a_cell_that_is_not_there_is_missed_for_a_week(night: Callable[..., Entry]) -> None:
    here = run(night, [100.0] * 12, target="here")
    gone = [night(n, 100.0, target="gone") for n in range(9)]
    once = [night(7, 100.0, target="once")]
    long_gone = [night(n, 100.0, target="long-gone") for n in range(3)]
    nights = follow([*here, *gone, *once, *long_gone])
    assert states(nights) == {"here": "same", "gone": "missing"}
    last = follow([*here[:9], *once, night(8, 1.0, target="last")])
    assert states(last)["last"] == "new"


def test_other_work_is_never_compared(night: Callable[..., Entry]) -> None:
    assert states(follow([night(0, 100.0), night(1, 50.0, work="1")])) == {"card": "other-work"}


def test_two_nights_alone_need_a_large_change_without_overlap(night: Callable[..., Entry]) -> None:
    assert states(follow([night(0, 100.0, target="a"), night(1, 96.0, target="a")])) == {"a": "same"}
    assert states(follow([night(0, 100.0, target="b"), night(1, 94.0, target="b")])) == {"b": "worse"}


def test_a_night_that_crosses_midnight_is_one(add: Add) -> None:
    times = ["2026-08-01T13:00:00+00:00", "2026-08-01T16:30:00Z", "2026-08-01T20:00:00", "2026-08-02T13:00:00+00:00", "no time"]
    entries = [add(f"t{n}", started_at=time) for n, time in enumerate(times)]
    found = cut_nights(entries)
    assert {name: len(there) for name, there in found.items()} == {"1970-01-02": 1, "2026-08-01": 3, "2026-08-02": 1}


def test_one_night_compares_nothing_and_alarms_nobody(night: Callable[..., Entry]) -> None:
    entries = [night(0, 100.0), night(0, None, target="b", status="failed")]
    document = build_nightly(entries, subject="store")
    assert document.sections[0].blocks[0].sentence.key == "nightly.summary.first"  # type: ignore[union-attr]
    assert alarms(follow(entries)) == 0


def test_every_number_leads_to_a_run_that_is_listed(night: Callable[..., Entry]) -> None:
    entries = [*run(night, [*STEADY, 90.0]), night(7, 1.0, target="gone")]
    document = build_nightly(entries, subject="store")
    listed = {line.run_id for line in document.runs}
    names = []
    for section in document.sections:
        for block in section.blocks:
            grid = block.table if isinstance(block, Plot) else block
            if isinstance(grid, Grid):
                names.append(grid.name)
                for row in grid.rows:
                    assert len(row.cells) == len(grid.columns) - 1
                    for cell in (row.heading, *row.cells):
                        assert {*cell.runs} <= listed
                        assert cell.runs or not isinstance(cell.content, Estimate)
    assert len(names) == len(set(names))


def test_the_exit_code_and_junit_speak(night: Callable[..., Entry], store: Store, tmp_path: Path) -> None:
    run(night, [*STEADY, 90.0], target="<b>=1+1</b>/x")
    run(night, STEADY, target="gone")
    run(night, [*STEADY, 100.0], target="fine")
    path = tmp_path / "night.xml"
    assert write_nightly(store.root, path, tmp_path / "page.json", "", "ko") == 1
    root = ElementTree.parse(path).getroot()
    assert (root.get("tests"), root.get("failures")) == ("3", "2")
    failed = [case.get("classname", "") for case in root.iter("testcase") if case.find("failure") is not None]
    assert [name.partition(".")[0].rpartition(" ")[0] != "" for name in failed] == [True, True]
    assert (tmp_path / "page.json").stat().st_size > 1000


def test_a_quiet_night_exits_with_0(night: Callable[..., Entry], store: Store, tmp_path: Path) -> None:
    run(night, STEADY)
    assert write_nightly(store.root, None, tmp_path / "page.md", "", "en") == 0


def test_an_empty_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no run in this store"):
        write_nightly(tmp_path, None, None, "md", "ko")


def of(values: Sequence[float]) -> list[Estimate]:
    return [Estimate(value, "ns") for value in values]


def test_scatter_is_that_of_the_law_and_blind_to_one_step() -> None:
    values = 100 * np.exp(np.random.default_rng(1).normal(0, 0.03, 400))
    assert scatter(values.tolist()) == pytest.approx(0.03, rel=0.15)
    values[200:] *= 2
    assert scatter(values.tolist()) == pytest.approx(0.03, rel=0.15)
    assert scatter([1.0] * 4) is None


def test_steady_nights_raise_hardly_an_alarm() -> None:
    rng = np.random.default_rng(2)
    moves = []
    for _ in range(400):
        values = 100 * np.exp(rng.normal(0, 0.02, 15))
        found = step(of(values[:-1].tolist()), of([float(values[-1])])[0], higher_is_better=True)
        assert found is not None
        moves.append(found.move)
    assert moves.count("worse") <= 8


def test_direction_is_turned() -> None:
    found = step(of([100.0] * 8), of([50.0])[0], higher_is_better=False)
    assert found is not None
    assert (found.move, found.ratio) == ("better", 2.0)
    assert step([], of([1.0])[0], higher_is_better=True) is None
    assert step(of([1.0]), Estimate(None, "ns", reason="no"), higher_is_better=True) is None


def test_levels_are_the_medians_between_changes() -> None:
    values = [*STEADY, *(2 * rate for rate in STEADY)]
    changes = level_changes(values)
    assert levels(values, changes) == (*[float(np.median(STEADY))] * 8, *[2 * float(np.median(STEADY))] * 8)
    assert level_changes([1.0, 2.0]) == ()


def test_steady_nights_have_hardly_a_change_of_level() -> None:
    rng = np.random.default_rng(3)
    found = [bool(level_changes((100 * np.exp(rng.normal(0, 0.02, n))).tolist())) for n in (8, 14, 30) for _ in range(100)]
    assert sum(found) <= 10
