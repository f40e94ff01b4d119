"""What the audits of runs come to for a reader: an audit that could not tell is another thing than one that has nothing to ask.

A record has one word, ``not-carried-out``, for both, and says which in ``observed``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from npubench.analyze.audits.verdict import Audit
from npubench.record.schema import Record
from npubench.report.document import Mark, Phrase, Sign

#: undecided: it could not tell, whether it was tried or not; not-applicable: there is nothing for it to ask of this run.
AuditState = Literal["passed", "failed", "undecided", "not-applicable"]

#: Each with the sign beside it, the gravest first; where there is nothing to ask, no sign says anything.
STATES: Mapping[AuditState, Sign | None] = {"failed": "fail", "undecided": "open", "not-applicable": None, "passed": "pass"}

#: What an audit observes of a device that is the host's own processor: such a one has no declared peak to be held against either.
OWN_PROCESSOR = "the device is the host's own processor"
#: How an audit begins that has nothing to ask: there is no such device, sensor or number.
NOTHING_TO_ASK = (
    OWN_PROCESSOR,
    "the device is no hardware",
    "no sensor or meter was read",
    "no bound is known for ",
    "the workload has ",
    "the workload's operations are not counted",
)


def audits_of(record: Record) -> tuple[tuple[Audit, AuditState], ...]:
    """Return every audit of a run with what it came to; empty where none was asked for, or the run came to no audits."""
    own = any(audit.observed == OWN_PROCESSOR for audit in record.audits)
    return tuple((audit, _state(audit, own)) for audit in record.audits)


def _state(audit: Audit, own_processor: bool) -> AuditState:
    if audit.status != "not-carried-out":
        return audit.status
    if audit.observed.startswith(NOTHING_TO_ASK) or (own_processor and audit.name == "roofline"):
        return "not-applicable"
    return "undecided"


def state_word(state: AuditState) -> Mark | Phrase:
    """Return what an audit came to as words, with its sign."""
    word, sign = Phrase(f"document.audit.{state}"), STATES[state]
    return word if sign is None else Mark(sign, word)


def count_states(records: Iterable[Record]) -> Counter[AuditState]:
    """Return how many audits of all the records came to what."""
    return Counter(state for record in records for _, state in audits_of(record))


def failed_audits(record: Record) -> tuple[Audit, ...]:
    """Return the audits that failed and take the run out of every ranking.

    One on the idle baseline alone takes away no more than the figure that hangs on it, and is a warning.
    """
    lesser = {f.evidence.get("audit") for f in record.findings if f.rule == "audit" and f.severity != "invalid"}
    return tuple(audit for audit in record.audits if audit.status == "failed" and audit.name not in lesser)
