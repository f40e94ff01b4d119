"""Timed outputs are those of the accuracy phase (MLPerf's TEST01): the network that is timed is the one that is scored."""

from __future__ import annotations

from npubench.analyze.audits.facts import AuditFacts, not_carried_out, verdict
from npubench.analyze.audits.verdict import Audit

NAME = "same-outputs"


def judge_same_outputs(facts: AuditFacts) -> Audit:
    """Fail where an output of the checked timed subset is not what its sample gave before, or changed once handed over."""
    canary = facts.canary
    required = f"within {canary.tolerance:g} of the accuracy phase's outputs, and settled when handed over"
    if not canary.checked:
        return not_carried_out(NAME, "none of the chosen samples was reached in the window", required)
    evidence = {
        "distance": canary.worst if canary.worst < 1e9 else None,
        "allowed": canary.tolerance,
        "checked": canary.checked,
        "unsettled": facts.unsettled,
    }
    observed = f"relative distance {canary.worst:.3g} over {canary.checked} timed samples"
    if facts.unsettled:
        observed = f"{facts.unsettled} of the checked requests had outputs that changed after they were handed over"
    return verdict(NAME, canary.garbage or facts.unsettled > 0, observed, required, evidence)
