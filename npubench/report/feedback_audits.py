"""Audits as the chip's maker reads them: which failed or could not tell, what was seen, and what is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from npubench.report.advice import Proof, Symptom, why
from npubench.report.audit_states import STATES, AuditState, audits_of, state_word
from npubench.report.document import Cell, Column, Grid, Notice, Paragraph, Phrase, Reason, Row, Section
from npubench.report.feedback_cases import Case


def audit_symptoms(case: Case) -> Iterator[Symptom]:
    """Yield what audits have to say to the maker: a failed one blocks the case, an undecided one leaves it in doubt."""
    if proofs := _proofs(case, "failed"):
        yield Symptom("audit-failed", case, *why("strong", "audit"), proofs, no_gain=Phrase("advice.gain.counts"))
    if proofs := _proofs(case, "undecided"):
        yield Symptom("audit-undecided", case, *why("hint", "audit-undecided"), proofs, no_gain=Phrase("advice.gain.trust"))


def _proofs(case: Case, wanted: AuditState) -> tuple[Proof, ...]:
    """Return what was seen by every audit in a state, with what it asks for under it."""
    return tuple(
        Proof(Phrase(f"audit.{audit.name}"), Cell(Reason(audit.observed), (record.run_id,), Reason(audit.required)))
        for record in case.records
        for audit, state in audits_of(record)
        if state == wanted
    )


def audit_section(cases: Sequence[Case]) -> Section:
    """Return every audit of every case that did not pass, the failed ones first; how many did, and where none was asked for."""
    rows: dict[AuditState, list[Row]] = {state: [] for state in STATES}
    counts: dict[AuditState, int] = dict.fromkeys(STATES, 0)
    audited = 0
    for case in cases:
        audited += any(record.audits for record in case.records)
        for record in case.records:
            for audit, state in audits_of(record):
                counts[state] += 1
                if state != "passed":
                    run = (record.run_id,)
                    cells = (
                        Cell(Phrase(f"audit.{audit.name}"), run),
                        Cell(state_word(state), run),
                        Cell(Reason(audit.observed), run),
                        Cell(Reason(audit.required), run),
                    )
                    rows[state].append(Row(Cell(Phrase("feedback.where", case.where()), run), cells))
    heading = Phrase("feedback.audits.heading")
    if not audited:
        return Section("audits", heading, (Notice("note", Phrase("feedback.audits.unasked")),))
    values = {"audited": audited, "cases": len(cases), "passed": counts["passed"]}
    lead = Paragraph((Phrase("feedback.audits.lead", values), Phrase("feedback.audits.meaning")))
    listed = tuple(row for there in rows.values() for row in there)
    if not listed:
        return Section("audits", heading, (lead, Notice("note", Phrase("feedback.audits.passed"))))
    columns = (
        Column(Phrase("feedback.column.place")),
        Column(Phrase("feedback.column.audit")),
        Column(Phrase("document.column.verdict")),
        Column(Phrase("document.column.observed")),
        Column(Phrase("document.column.required")),
    )
    return Section("audits", heading, (lead, Grid("audits", Phrase("feedback.audits.caption"), columns, listed)))
