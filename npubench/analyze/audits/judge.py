"""Judge every audit of a run, and make findings of those that failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from npubench.analyze.audits.batch_work import judge_batch_work
from npubench.analyze.audits.declared_precision import judge_declared_precision
from npubench.analyze.audits.facts import AuditFacts, JudgeAudit
from npubench.analyze.audits.fresh_inputs import judge_fresh_inputs
from npubench.analyze.audits.host_work import judge_host_work
from npubench.analyze.audits.idle_baseline import NAME as IDLE_BASELINE
from npubench.analyze.audits.idle_baseline import judge_idle_baseline
from npubench.analyze.audits.in_turn import judge_other_seeds, judge_repeated_sample
from npubench.analyze.audits.own_process import judge_own_process
from npubench.analyze.audits.perturbed_weights import judge_perturbed_weights
from npubench.analyze.audits.roofline import judge_roofline
from npubench.analyze.audits.same_outputs import judge_same_outputs
from npubench.analyze.audits.verdict import Audit
from npubench.analyze.finding import Finding

#: In the order in which they are told.
AUDITS: Sequence[JudgeAudit] = (
    judge_same_outputs,
    judge_repeated_sample,
    judge_other_seeds,
    judge_batch_work,
    judge_fresh_inputs,
    judge_perturbed_weights,
    judge_declared_precision,
    judge_roofline,
    judge_own_process,
    judge_host_work,
    judge_idle_baseline,
)

#: A failed audit makes the run invalid; one of these takes only the figure away that hangs on it.
_WARNINGS = frozenset({IDLE_BASELINE})


def judge_audits(facts: AuditFacts) -> tuple[Audit, ...]:
    """Return every audit with its verdict.

    Raises:
        KeyError, TypeError, ValueError: What the probes left is damaged.
    """
    return tuple(judge(facts) for judge in AUDITS)


def audit_findings(audits: Iterable[Audit]) -> tuple[Finding, ...]:
    """Return a finding for every audit that failed."""
    return tuple(
        Finding(
            "audit",
            "warning" if audit.name in _WARNINGS else "invalid",
            f"{audit.name}: {audit.observed}",
            audit.required,
            "The figure is not what it says; have the plug-in's maker explain it, or measure again with npubench run --audit.",
            {**audit.evidence, "audit": audit.name, "observed": audit.observed, "required": audit.required},
        )
        for audit in audits
        if audit.status == "failed"
    )
