"""The idle baseline is idle: a device kept at high power before the window would flatter the energy above idle."""

from __future__ import annotations

from collections.abc import Mapping

from npubench.analyze.audits.facts import AuditFacts, Evidence, not_carried_out, observation, verdict
from npubench.analyze.audits.verdict import Audit
from npubench.analyze.readings import EnergyAccount

NAME = "idle-baseline"

#: How much more than at rest a baseline may draw: a loaded model keeps memory refreshed and clocks awake.
MOST_ABOVE = 0.25


def judge_idle_baseline(facts: AuditFacts) -> Audit:
    """Fail where the baseline before the window draws more than 25 % above the rest after ``close``, beyond both intervals.

    A device that keeps its clocks up for as long as a model is loaded is seen here as well; what it draws above such an idle
    is not what a buyer would call so. A failed one is a warning, and the energy above idle is absent: no other figure hangs
    on it.
    """
    required = f"a baseline at most {MOST_ABOVE:.0%} above the rest after close"
    seen, why = observation(facts, NAME)
    if why or not seen.get("sampled"):
        return not_carried_out(NAME, why or "no sensor or meter was read", required)
    pairs = [(account, rest) for account in facts.accounts if (rest := _rest_of(account, facts)) is not None]
    if not pairs:
        both = (*facts.rested, *facts.accounts)
        reason = next((each.idle_watts.reason for each in both if each.idle_watts.reason), "no sensor shows both")
        return not_carried_out(NAME, reason, required)
    account, rest = max(pairs, key=lambda pair: _above(*pair))
    idle_w, rest_w = account.idle_watts.value or 0.0, rest.idle_watts.value or 0.0
    evidence: Evidence = {"sensor": account.sensor, "idle_w": idle_w, "rest_w": rest_w, "allowed": MOST_ABOVE}
    observed = f"{idle_w:.4g} W in the baseline, {rest_w:.4g} W at rest ({account.sensor})"
    return verdict(NAME, bool(flattered(facts)), observed, required, evidence)


def flattered(facts: AuditFacts) -> Mapping[tuple[str, str, str], str]:
    """Return the sensors whose baseline was no idle, by sensor, domain and evidence, with the reason for what is absent."""
    found = {}
    for account in facts.accounts:
        rest = _rest_of(account, facts)
        if rest is None or _above(account, rest) <= 1.0 + MOST_ABOVE:
            continue
        found[_key(account)] = (
            f"the idle baseline was no idle: {account.idle_watts.value:.4g} W, {rest.idle_watts.value:.4g} W at rest"
        )
    return found


def _key(account: EnergyAccount) -> tuple[str, str, str]:
    return account.sensor, account.domain, account.evidence


def _rest_of(account: EnergyAccount, facts: AuditFacts) -> EnergyAccount | None:
    """Return the account of the same sensor at rest, where both have a figure."""
    for rest in facts.rested:
        both = account.idle_watts, rest.idle_watts
        if _key(rest) == _key(account) and all(each.value is not None for each in both) and (rest.idle_watts.high or 0) > 0:
            return rest
    return None


def _above(account: EnergyAccount, rest: EnergyAccount) -> float:
    """Return the baseline ÷ the rest at the ends of their intervals that speak for it."""
    return (account.idle_watts.low or 0.0) / (rest.idle_watts.high or 1.0)
