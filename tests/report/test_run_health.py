"""A run's page tells how still it held, how the harness fared and what was ranged; what is not known is said to be unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from npubench.analyze.audits.verdict import Audit
from npubench.analyze.client import Client
from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding
from npubench.analyze.ranging import Ranging
from npubench.analyze.stability import Stability
from npubench.contract.runspec import Scenario
from npubench.record.schema import Energy
from npubench.record.store import Entry
from npubench.report.document import Cell, Grid, Level, Mark, Paragraph, Phrase, Plot, Section
from npubench.report.run_page import run_sections

Add = Callable[..., Entry]

CHANGED = Stability(warm_up_windows=6, warmed_up=False, change_points=(0.25, 1.5), changes=(0.03, -0.08), modes=2, queries=2000)
BUSY = Client(
    lag_p99_ns=None,
    cpu_share=1.5,
    run_delay_share=0.2,
    major_faults=None,
    foreign_cpu_share=0.5,
    foreign=("backup (77) 0.50",),
    cores=2,
    device_holders=("other (78)",),
)


def section(entry: Entry, name: str) -> Section | None:
    return next((each for each in run_sections(entry) if each.name == name), None)


def rows(entry: Entry, name: str, grid: str = "") -> dict[str, tuple[Any, ...]]:
    found = section(entry, name)
    assert found is not None
    (table,) = (block for block in found.blocks if isinstance(block, Grid) and block.name == (grid or name))
    return {
        row.heading.content.key.split(".")[-1] if isinstance(row.heading.content, Phrase) else str(row.heading.content): tuple(
            cell.content for cell in row.cells
        )
        for row in table.rows
    }


def test_changes_of_level_are_told_and_marked_in_the_course(add: Add) -> None:
    finding = Finding("change-point", "invalid", "2 changes", "none", "x", {"count": 2})
    entry = add(stability=CHANGED, findings=(finding,), status="invalid", reason="x")
    assert rows(entry, "stability")["change-points"] == (2, 0, Mark("fail", Phrase("severity.invalid")))
    at = rows(entry, "stability", "changes")
    assert list(at.values()) == [
        (Estimate(0.25, "s"), Phrase("serve.change-of", {"change": 0.03})),
        (Estimate(1.5, "s"), Phrase("serve.change-of", {"change": -0.08})),
    ]
    trace = section(entry, "trace")
    assert trace is not None
    (plot,) = (block for block in trace.blocks if isinstance(block, Plot) and block.name == "over-time")
    assert plot.levels == tuple(
        Level(Phrase("serve.change-of", {"change": change}), place, across=False)
        for place, change in ((0.25, 0.03), (1.5, -0.08))
    )


def test_many_changes_leave_the_largest_in_the_picture_and_all_in_the_table(add: Add) -> None:
    sizes = tuple(0.03 + n / 100 for n in range(9))
    entry = add(stability=Stability(2, True, tuple(map(float, range(9))), changes=sizes))
    trace = section(entry, "trace")
    assert trace is not None
    (plot,) = (block for block in trace.blocks if isinstance(block, Plot) and block.name == "over-time")
    assert [level.at for level in plot.levels] == [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert len(rows(entry, "stability", "changes")) == 9


def test_the_harness_and_those_beside_it_are_told(add: Add) -> None:
    finding = Finding("foreign-load", "warning", "others", "fewer", "x", {})
    entry = add(client=BUSY, findings=(finding,))
    found = rows(entry, "client")
    assert found["foreign-cpu"] == (
        Phrase("feedback.cores", {"cores": 0.5}),
        Phrase("feedback.cores", {"cores": 0.2}),
        Mark("open", Phrase("severity.warning")),
    )
    assert found["major-faults"] == (Phrase("serve.health.unknown"), None, None)
    assert found["own-cpu"] == (Phrase("feedback.cores", {"cores": 1.5}), None, None)
    assert set(rows(entry, "client", "others")) == {"foreign-process", "device-holder"}
    assert "lag" not in found


def test_only_a_server_run_has_a_lag(add: Add) -> None:
    assert "lag" in rows(add(scenario=Scenario.SERVER, client=BUSY), "client")


def test_offline_has_no_shape(add: Add) -> None:
    assert "modes" not in rows(add(scenario=Scenario.OFFLINE, stability=CHANGED), "stability")


def test_no_finding_on_drift_is_no_proof_that_there_was_none(add: Add) -> None:
    found = rows(add(stability=CHANGED), "stability")
    assert found["drift"][0] == Phrase("serve.health.nothing-found")
    assert found["drift"][2] is None
    assert found["throttling"][2] is None


def test_a_record_that_does_not_tell_says_so(add: Add) -> None:
    entry = add()
    for name in ("stability", "client"):
        found = section(entry, name)
        assert found is not None
        assert found.blocks == (Paragraph((Phrase(f"serve.no-{name}"),)),)
    assert section(entry, "ranging") is None


def test_a_run_without_a_window_has_no_such_part(add: Add) -> None:
    entry = add(status="failed", reason="broken")
    assert section(entry, "stability") is None
    assert section(entry, "client") is None


def test_ranging_stands_beside_the_window(add: Add, make_energy: Callable[..., Energy]) -> None:
    seen = Ranging("counter", "card", Estimate(51.0, "W"), Estimate(12.0, "V", n=3), Estimate(4.5, "A", n=3))
    entry = add(ranging=(seen,), energy=(make_energy(watts=50.0),))
    (cells,) = rows(entry, "ranging").values()
    assert cells[1:4] == (seen.volts, seen.amps, seen.watts)
    assert cells[4].value == pytest.approx(50.0)


def test_audits_that_have_nothing_to_ask_carry_no_sign(add: Add) -> None:
    own = Audit("host-work", "not-carried-out", "the device is the host's own processor", "below 0.9 cores")
    busy = Audit("other-seeds", "not-carried-out", "cannot tell, the machine is too busy: x", "at most 10% faster")
    found = section(add(audits=(own, busy)), "audits")
    assert found is not None
    (grid,) = found.blocks
    assert isinstance(grid, Grid)
    assert [row.cells[0] for row in grid.rows] == [
        Cell(Phrase("document.audit.not-applicable")),
        Cell(Mark("open", Phrase("document.audit.undecided"))),
    ]
