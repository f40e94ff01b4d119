"""What the audits of a run are judged by: the run, what the probes observed, what a vendor declares. Holds no judgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from npubench.analyze.audits.verdict import Audit
from npubench.analyze.estimate import Estimate
from npubench.analyze.outputs import Canary
from npubench.analyze.readings import EnergyAccount
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import RunSpec
from npubench.measure.audits.session import NOT_CARRIED_OUT
from npubench.measure.trace import Trace

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Declared:
    """What a vendor declares of the device at the run's precision.

    Args:
        device: The catalogue's name of the device; empty where it has none.
        operations_per_s: The peak of dense arithmetic, or ``None``.
        reason: Why there is none; empty where there is one.
    """

    device: str = ""
    operations_per_s: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """What the audits look at.

    Args:
        spec, bundle, trace, metrics: Of the run.
        observed: What the worker wrote down (``worker.json``).
        observations: What each probe observed (``audits.json``).
        arrays: What probes left beside it (``audits.npz``).
        accuracy: The accuracy phase's outputs, one array an output, ``[samples, …]``.
        canary: How the checked timed outputs compare with those.
        unsettled: How many checked requests' outputs changed after they had been handed over.
        accounts: Energy over the window, with the idle baseline.
        rested: The same accounts with the rest after ``close`` in the baseline's place.
        declared: The device's peak.
        references: What the supervisor knows of its own (``audit_reference.json``).
        answers: What the CPU reference answers to the audits' inputs (``audit_reference.npz``).
    """

    spec: RunSpec
    bundle: Bundle
    trace: Trace
    metrics: Mapping[str, Estimate]
    observed: Mapping[str, Any]
    observations: Mapping[str, Any]
    arrays: Mapping[str, Array]
    accuracy: Sequence[Array]
    canary: Canary
    unsettled: int = 0
    accounts: Sequence[EnergyAccount] = ()
    rested: Sequence[EnergyAccount] = ()
    declared: Declared = field(default_factory=Declared)
    references: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Array] = field(default_factory=dict)


#: Judges one audit of a run.
JudgeAudit = Callable[[AuditFacts], Audit]

Evidence = Mapping[str, float | int | str | bool | None]


def observation(facts: AuditFacts, name: str) -> tuple[Mapping[str, Any], str]:
    """Return what a probe observed, and why it was not carried out; one of the two is empty.

    Raises:
        KeyError: The worker left none, though every probe leaves one.
    """
    seen: Mapping[str, Any] = facts.observations[name]
    return ({}, str(seen[NOT_CARRIED_OUT])) if NOT_CARRIED_OUT in seen else (seen, "")


def not_carried_out(name: str, why: str, required: str) -> Audit:
    """Return that an audit could not be carried out."""
    return Audit(name, "not-carried-out", why, required, {"why": why})


def verdict(name: str, failed: bool, observed: str, required: str, evidence: Evidence) -> Audit:
    """Return an audit that was carried out."""
    return Audit(name, "failed" if failed else "passed", observed, required, evidence)
