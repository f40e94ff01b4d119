"""No device computes faster than its maker declares: a fraction of the peak above 1 says that work was left out."""

from __future__ import annotations

from npubench.analyze.audits.facts import AuditFacts, Evidence, not_carried_out, verdict
from npubench.analyze.audits.verdict import Audit

NAME = "roofline"


def judge_roofline(facts: AuditFacts) -> Audit:
    """Fail where counted operations × throughput lie above the declared peak of dense arithmetic at the run's precision.

    The lower end of the throughput's interval counts, where it has one. The catalogue's figures of sparse arithmetic, of
    servers of several cards and those nobody could verify are no such peak.
    """
    required = "at most 100% of the declared peak"
    peak, rate = facts.declared.operations_per_s, facts.metrics.get("throughput")
    if peak is None:
        return not_carried_out(NAME, facts.declared.reason or "no peak is declared", required)
    if rate is None or rate.value is None:
        return not_carried_out(NAME, "no throughput", required)
    if facts.bundle.operations <= 0:
        return not_carried_out(NAME, "the workload's operations are not counted", required)
    fraction = facts.bundle.operations * (rate.low if rate.low is not None else rate.value) / peak
    evidence: Evidence = {"fraction": fraction, "peak_operations_per_s": peak, "device": facts.declared.device}
    return verdict(NAME, fraction > 1.0, f"{fraction:.3%} of the declared peak of {facts.declared.device}", required, evidence)
