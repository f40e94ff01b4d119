"""How far figures can be trusted: a failed audit is seen first and ranked nowhere, and what nobody knows is never called well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from npubench.analyze.audits.verdict import Audit
from npubench.analyze.client import Client
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.finding import Finding
from npubench.analyze.ranging import Ranging
from npubench.analyze.stability import Stability
from npubench.record.schema import Energy, Record
from npubench.record.store import Entry, Store
from npubench.report import procurement_trust
from npubench.report.audit_states import audits_of, failed_audits
from npubench.report.document import Document, Grid, Mark, Notice, Phrase, Reason, Section, Told
from npubench.report.procurement import build_procurement
from npubench.report.procurement_lineup import line_up
from npubench.report.procurement_trust import CHECKS
from npubench_reports.messages import load
from npubench_reports.spoken import grid as spoken_grid

Add = Callable[..., Entry]

STILL = Stability(warm_up_windows=2, warmed_up=True, modes=1, outlier_share=0.0, warm_up_change=0.001, queries=2000)
HEALTHY = Client(lag_p99_ns=None, cpu_share=1.0, run_delay_share=0.0, major_faults=0, foreign_cpu_share=0.0, cores=8)
GOOD: dict[str, Any] = {"stability": STILL, "client": HEALTHY}


def audit(
    name: str = "same-outputs", status: Any = "passed", observed: str = "relative distance 0 over 16 timed samples"
) -> Audit:
    return Audit(name, status, observed, "within 0.05 of the accuracy phase's outputs, and settled when handed over")


FAILED = audit(status="failed", observed="relative distance 0.7 over 16 timed samples")
TOO_BUSY = "cannot tell, the machine is too busy: the measured seeds: +3% against other seeds (-9% to +40%, 10 pairs of windows)"


def of_audit(failed: Audit, severity: Any = "invalid") -> Finding:
    return Finding("audit", severity, f"{failed.name}: {failed.observed}", failed.required, "x", {"audit": failed.name})


def trust(store: Store, reference: str = "") -> Section:
    return next(section for section in report(store, reference).sections if section.name == "trust")


def report(store: Store, reference: str = "") -> Document:
    return build_procurement(store.read()[0], subject="store", reference=reference)


def table(section: Section, name: str) -> Grid | None:
    return next((block for block in section.blocks if isinstance(block, Grid) and block.name == name), None)


def states(section: Section, candidate: str = "npu · fp32", name: str = "trust") -> dict[str, str]:
    """Return check → the state it is in, of one candidate."""
    grid = table(section, name)
    assert grid is not None
    (row,) = (row for row in grid.rows if row.heading.content.text == candidate)  # type: ignore[union-attr]
    cells = row.cells[-len(CHECKS) :]
    words = [cell.content.word if isinstance(cell.content, Mark) else cell.content for cell in cells]
    return {check: word.key.split(".")[2] for check, word in zip(CHECKS, words, strict=True) if isinstance(word, Phrase)}


def test_a_failed_audit_is_in_the_summary_and_ranked_nowhere(store: Store, add: Add) -> None:
    add("gpu", 1.0, audits=(audit(),), **GOOD)
    add(
        "npu",
        0.5,
        seed=1,
        audits=(FAILED,),
        findings=(of_audit(FAILED),),
        status="invalid",
        reason="audit: x; required: y",
        **GOOD,
    )
    add("slow", 2.0, seed=2, audits=(audit(),), **GOOD)
    ranks = {s.records[0].spec.target.name: s.rank for spot in line_up(store.read()[0]).spots for s in spot.standings}
    assert ranks == {"gpu": 1, "slow": 2, "npu": None}
    document = report(store, "gpu")
    summary = document.sections[0]
    assert summary.name == "summary"
    stops = [block.sentence for block in summary.blocks if isinstance(block, Notice) and block.gravity == "stop"]
    values = {"name": "npu · fp32", "number": 1, "audits": "same-outputs"}
    assert stops == [Phrase("procurement.summary.audit-failed", values)]
    caveats = {row.heading.content.text: row.cells[-1].content.key for row in table(summary, "summary").rows}  # type: ignore[union-attr]
    assert caveats["npu · fp32"] == "procurement.caveat.audit"
    assert "procurement.caveat.audit" not in (caveats["slow · fp32"],)
    section = next(each for each in document.sections if each.name == "trust")
    assert states(section)["audits"] == "ill"
    doubts = table(section, "trust-doubts")
    assert doubts is not None
    (row,) = doubts.rows
    assert [cell.content for cell in row.cells[-2:]] == [Reason(FAILED.observed), Reason(FAILED.required)]
    assert row.heading.runs == tuple(e.record.run_id for e in store.read()[0] if e.record.spec.target.name == "npu")


def test_an_audit_that_failed_in_a_failed_run_is_told_as_well(store: Store, add: Add) -> None:
    add("npu", status="failed", reason="outputs differ", audits=(FAILED,))
    add("gpu", **GOOD)
    section = trust(store)
    assert states(section) == {"audits": "ill", **{name: "none" for name in CHECKS if name != "audits"}}


def test_an_idle_baseline_takes_its_figure_alone(store: Store, add: Add) -> None:
    rest = audit("idle-baseline", "failed", "10 W in the baseline, 5 W at rest (gauge)")
    entry = add("npu", audits=(rest,), findings=(of_audit(rest, "warning"),), **GOOD)
    add("gpu", 2.0, seed=1, **GOOD)
    assert failed_audits(entry.record) == ()
    assert states(trust(store))["audits"] == "doubtful"
    standings = line_up(store.read()[0]).spots[0].standings
    assert all(standing.rank is not None for standing in standings)


def test_where_all_is_well_there_is_one_table_and_a_sentence(store: Store, add: Add) -> None:
    add("npu", audits=(audit(), audit("own-process")), **GOOD)
    add("gpu", 2.0, seed=1, audits=(audit(),), **GOOD)
    section = trust(store)
    assert [block.name for block in section.blocks if isinstance(block, Grid)] == ["trust"]
    assert Notice("note", Phrase("procurement.trust.nothing")) in section.blocks
    assert Phrase("procurement.trust.audited", {"audited": 2, "runs": 2, "clean": 2}) in section.blocks[0].sentences  # type: ignore[union-attr]
    well = dict.fromkeys(CHECKS, "well")
    assert states(section) == {**well, "throttling": "unknown", "ranging": "none"}


def test_what_no_record_tells_is_unknown_and_not_well(store: Store, add: Add) -> None:
    add("npu")
    found = states(trust(store))
    assert found["audits"] == "unasked"
    assert {found[name] for name in ("settled", "level", "shape", "throttling", "client")} == {"unknown"}


def test_throttling_is_known_where_the_device_tells_its_clock(store: Store, add: Add, make_record: Callable[..., Record]) -> None:
    volatile = {"device-clock:clk": "1000 MHz"}
    system = make_record(system_id="node-1").system.model_copy(update={"volatile": volatile})
    add("npu", system=system, **GOOD)
    assert states(trust(store))["throttling"] == "well"


@pytest.mark.parametrize(
    ("rule", "check"), [(rule, check) for check, rules in CHECKS.items() for rule in rules if rule != "wide-interval"]
)
@pytest.mark.parametrize(("severity", "state"), [("invalid", "ill"), ("warning", "doubtful"), ("note", None)])
def test_findings_speak_where_they_belong(
    store: Store, add: Add, rule: str, check: str, severity: Any, state: str | None
) -> None:
    finding = Finding(rule, severity, "seen 7", "at most 3", "x")
    status = {"status": "invalid", "reason": "x"} if severity == "invalid" else {}
    add("npu", findings=(finding,), **status, **GOOD)
    section = trust(store)
    if state is None:
        assert states(section)[check] in ("well", "unknown", "none")
        assert table(section, "trust-doubts") is None
        return
    assert states(section)[check] == state == states(section, name="trust-places")[check]
    doubts = table(section, "trust-doubts")
    assert doubts is not None
    assert [cell.content for cell in doubts.rows[0].cells[-2:]] == [Told(finding, "observed"), Told(finding, "required")]


def test_an_audit_that_cannot_tell_is_not_one_that_has_nothing_to_ask(store: Store, add: Add) -> None:
    busy = audit("other-seeds", "not-carried-out", TOO_BUSY)
    own = audit("host-work", "not-carried-out", "the device is the host's own processor")
    roof = audit("roofline", "not-carried-out", "the hardware catalogue has no device 'CPU'")
    npu = add("npu", audits=(audit(), busy, roof), **GOOD)
    cpu = add("cpu", 2.0, seed=1, audits=(audit(), own, roof), **GOOD)
    assert [state for _, state in audits_of(npu.record)] == ["passed", "undecided", "undecided"]
    assert [state for _, state in audits_of(cpu.record)] == ["passed", "not-applicable", "not-applicable"]
    section = trust(store)
    assert states(section)["audits"] == "unknown"
    assert states(section, "cpu · fp32")["audits"] == "well"
    undecided = table(section, "trust-undecided")
    assert undecided is not None
    assert {(row.heading.content.key, row.cells[2].content.text) for row in undecided.rows} == {  # type: ignore[union-attr]
        ("audit.other-seeds", "npu · fp32"),
        ("audit.roofline", "npu · fp32"),
    }


def test_a_long_list_of_undecided_audits_says_what_it_leaves_out(store: Store, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procurement_trust, "MOST_DOUBTS", 1)
    add("npu", audits=tuple(audit(name, "not-carried-out", TOO_BUSY) for name in ("other-seeds", "repeated-sample")), **GOOD)
    undecided = table(trust(store), "trust-undecided")
    assert undecided is not None
    assert (len(undecided.rows), undecided.remarks) == (1, (Phrase("procurement.trust.left-out-audits", {"count": 1}),))


def test_missing_repeats_are_told(store: Store, add: Add) -> None:
    add("npu", spec={"grade": "official"}, audits=(audit(),), **GOOD)
    section = trust(store)
    assert states(section)["repeats"] == "ill"
    doubts = table(section, "trust-doubts")
    assert doubts is not None
    said = [cell.content for cell in doubts.rows[0].cells[-2:]]
    assert said == [Phrase("procurement.trust.repeats-are", {"count": n}) for n in (1, 3)]


def test_the_ranging_run_stands_beside_the_window(store: Store, add: Add, make_energy: Callable[..., Energy]) -> None:
    watts, none = Estimate(100.0, "W"), absent("V", "the sensor shows no voltage")
    ranging = Ranging("counter", "card", watts, none, absent("A", "the sensor shows no current"))
    add("npu", energy=(make_energy(watts=95.0),), ranging=(ranging,), spec={"grade": "official", "ranging_ns": 9}, **GOOD)
    add("gpu", energy=(make_energy(),), spec={"grade": "official", "ranging_ns": 9}, **GOOD)
    section = trust(store)
    assert states(section)["ranging"] == "well"
    assert states(section, "gpu · fp32")["ranging"] == "unknown"
    ranged = table(section, "trust-ranging")
    assert ranged is not None
    (row,) = ranged.rows
    assert row.cells[-1].content == Estimate(pytest.approx(-0.05), "share")


def test_a_long_list_keeps_the_gravest_and_says_what_it_leaves_out(
    store: Store, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procurement_trust, "MOST_PLACES", 2)
    monkeypatch.setattr(procurement_trust, "MOST_DOUBTS", 1)
    drift = Finding("drift", "invalid", "seen", "asked", "x")
    modes = Finding("several-modes", "warning", "seen", "asked", "x")
    add("a-warned", findings=(modes,), **GOOD)
    add("b-drifting", findings=(drift,), status="invalid", reason="x", **GOOD)
    add("c-caught", findings=(of_audit(FAILED),), audits=(FAILED,), status="invalid", reason="x", **GOOD)
    section = trust(store)
    places, doubts = table(section, "trust-places"), table(section, "trust-doubts")
    assert places is not None
    assert doubts is not None
    assert [row.heading.content.text for row in places.rows] == ["c-caught · fp32", "b-drifting · fp32"]  # type: ignore[union-attr]
    assert [row.heading.content.text for row in doubts.rows] == ["c-caught · fp32"]  # type: ignore[union-attr]
    assert places.remarks == (Phrase("procurement.trust.left-out", {"count": 1}),)
    assert doubts.remarks == (Phrase("procurement.trust.left-out", {"count": 2}),)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_word_of_it_is_in_both_languages(store: Store, add: Add, language: str) -> None:
    drift = Finding(
        "drift",
        "invalid",
        "+5.0% from the first to the last third of the window",
        "within ±2%",
        "x",
        {"change": 0.05, "allowed": 0.02},
    )
    busy = audit("other-seeds", "not-carried-out", TOO_BUSY)
    add("npu", findings=(drift, of_audit(FAILED)), audits=(FAILED, busy), status="invalid", reason="x", **GOOD)
    messages = load(language)
    section = trust(store)
    said = [
        str(cell.said)
        for block in section.blocks
        if isinstance(block, Grid)
        for row in spoken_grid(block, messages).rows
        for cell in (row.heading, *row.cells)
    ]
    assert not [text for text in said if text.startswith(("procurement.", "finding.", "audit.", "document."))]
    expected = {
        "ko": "측정 구간의 처음 1/3에서 마지막 1/3까지 +5.0%",
        "en": "+5.0% from the first to the last third of the window",
    }
    assert expected[language] in said
