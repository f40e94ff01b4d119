"""What audits have to say to a chip's maker: a failed one comes first, one that could not tell before any gain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npubench.analyze.audits.verdict import Audit
from npubench.analyze.finding import Finding
from npubench.record.store import Entry, Store
from npubench.report.document import Document, Grid, Mark, Notice, Phrase, Reason, Section
from npubench.report.feedback import build_feedback

Add = Callable[..., Entry]

FAILED = Audit("fresh-inputs", "failed", "0 from the reference, in 900 times the time", "no more than 10% slower")
BUSY = Audit("other-seeds", "not-carried-out", "cannot tell, the machine is too busy: x", "at most 10% faster")
NOTHING = Audit("idle-baseline", "not-carried-out", "no sensor or meter was read", "a baseline at most 25% above the rest")
PASSED = Audit("same-outputs", "passed", "relative distance 0 over 16 timed samples", "within 0.05")


def invalid(*findings: Finding) -> dict[str, Any]:
    return {"status": "invalid", "reason": "it is", "findings": findings}


def on(audit: Audit) -> Finding:
    return Finding("audit", "invalid", f"{audit.name}: {audit.observed}", audit.required, "x", {"audit": audit.name})


def advised(document: Document) -> list[str]:
    """Return the kinds of advice in order."""
    section = next((each for each in document.sections if each.name == "advice"), None)
    return [] if section is None else [each.name.removeprefix("advice-") for each in section.sections]


def audits(document: Document) -> Section:
    return next(each for each in document.sections if each.name == "audits")


def build(store: Store) -> Document:
    return build_feedback(store.read()[0], "npu")


def test_a_failed_audit_is_the_first_thing_to_mend_with_its_evidence(store: Store, add: Add) -> None:
    add("npu", status="failed", reason="broken", spec={"precision": "int8"})
    run = add("npu", audits=(FAILED, PASSED), **invalid(on(FAILED))).record.run_id
    document = build(store)
    assert advised(document)[:2] == ["audit-failed", "blocked"]
    section = next(each for each in document.sections if each.name == "advice").sections[0]
    (fact,) = section.sections[0].blocks[0].facts  # type: ignore[union-attr]
    assert fact.label == Phrase("audit.fresh-inputs")
    assert (fact.cell.content, fact.cell.remark, fact.cell.runs) == (Reason(FAILED.observed), Reason(FAILED.required), (run,))


def test_a_run_that_only_an_audit_blocks_is_not_advised_on_twice(store: Store, add: Add) -> None:
    add("npu", audits=(FAILED,), **invalid(on(FAILED)))
    assert "blocked" not in advised(build(store))


def test_another_broken_rule_is_still_told_beside_it(store: Store, add: Add) -> None:
    add("npu", audits=(FAILED,), **invalid(on(FAILED), Finding("duration", "invalid", "1 s", "60 s", "x")))
    assert advised(build(store))[:2] == ["audit-failed", "blocked"]


def test_an_audit_that_could_not_tell_comes_before_any_gain(store: Store, add: Add) -> None:
    add("npu", audits=(BUSY, NOTHING, PASSED))
    found = advised(build(store))
    assert found[0] == "audit-undecided"
    assert "audit-failed" not in found


def test_audits_that_did_not_pass_are_listed_the_gravest_first(store: Store, add: Add) -> None:
    add("npu", audits=(PASSED, NOTHING, BUSY, FAILED), **invalid(on(FAILED)))
    section = audits(build(store))
    grid = next(block for block in section.blocks if isinstance(block, Grid))
    said = [row.cells[1].content for row in grid.rows]
    words = [content.word if isinstance(content, Mark) else content for content in said]
    assert words == [Phrase(f"document.audit.{state}") for state in ("failed", "undecided", "not-applicable")]
    assert [cell.content for cell in grid.rows[0].cells[2:]] == [Reason(FAILED.observed), Reason(FAILED.required)]
    assert Phrase("feedback.audits.lead", {"audited": 1, "cases": 1, "passed": 1}) in section.blocks[0].sentences  # type: ignore[union-attr]


def test_where_none_was_asked_for_it_is_said(store: Store, add: Add) -> None:
    add("npu")
    assert audits(build(store)).blocks == (Notice("note", Phrase("feedback.audits.unasked")),)


def test_where_all_passed_there_is_no_table_and_no_advice(store: Store, add: Add) -> None:
    add("npu", audits=(PASSED,))
    document = build(store)
    assert audits(document).blocks[-1] == Notice("note", Phrase("feedback.audits.passed"))
    assert not [kind for kind in advised(document) if kind.startswith("audit")]
