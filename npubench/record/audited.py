"""Judge a run's audits from what stands in its folder. Pure: the same folder gives the same verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npubench.analyze.audits.facts import AuditFacts
from npubench.analyze.audits.idle_baseline import NAME as REST
from npubench.analyze.audits.idle_baseline import flattered
from npubench.analyze.audits.judge import audit_findings, judge_audits
from npubench.analyze.audits.verdict import Audit
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.finding import Finding
from npubench.analyze.outputs import Canary
from npubench.analyze.readings import EnergyAccount, account_energy
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import RunSpec
from npubench.measure.audits.session import ARRAYS, OBSERVATIONS
from npubench.measure.sampler import METERS, READINGS
from npubench.measure.trace import Trace, read_arrays
from npubench.record.challenge import ANSWERS, FACTS
from npubench.record.declared import read_declared


class Audited(NamedTuple):
    """What the audits of a run came to, and its energy as far as they leave it."""

    audits: tuple[Audit, ...] = ()
    findings: tuple[Finding, ...] = ()
    accounts: tuple[EnergyAccount, ...] = ()


class Checked(NamedTuple):
    """What the outputs of a run came to: all of the accuracy phase, and how the timed ones compare."""

    accuracy: Sequence[np.ndarray[Any, Any]]
    canary: Canary
    unsettled: int


def audit_run(
    folder: Path,
    spec: RunSpec,
    bundle: Bundle,
    trace: Trace,
    metrics: Mapping[str, Estimate],
    observed: Mapping[str, Any],
    checked: Checked,
    accounts: tuple[EnergyAccount, ...],
) -> Audited:
    """Judge the audits of a run; nothing where none were asked for.

    Args:
        folder: The run's.
        spec, bundle, trace, metrics: Of the run.
        observed: What the worker wrote down.
        checked: What its outputs came to.
        accounts: Its energy.

    Raises:
        ValueError, KeyError, TypeError: What the probes left is damaged.
        OSError: They left nothing.
    """
    if not spec.audits:
        return Audited(accounts=accounts)
    observations: Mapping[str, Any] = json.loads((folder / OBSERVATIONS).read_text(encoding="utf-8"))
    arrays = read_arrays(folder / ARRAYS) if (folder / ARRAYS).exists() else {}
    rest = observations[REST]
    span = (int(rest["start_ns"]), int(rest["end_ns"])) if rest.get("sampled") else None
    window = (trace.start_ns, trace.end_ns)
    facts = AuditFacts(
        spec=spec,
        bundle=bundle,
        trace=trace,
        metrics=metrics,
        observed=observed,
        observations=observations,
        arrays=arrays,
        accuracy=checked.accuracy,
        canary=checked.canary,
        unsettled=checked.unsettled,
        accounts=accounts,
        rested=account_energy([folder / READINGS, folder / METERS], window, trace.samples, idle=span) if span else (),
        declared=read_declared(folder),
        references=json.loads((folder / FACTS).read_text(encoding="utf-8")),
        answers=read_arrays(folder / ANSWERS),
    )
    audits = judge_audits(facts)
    reasons = flattered(facts)
    kept = tuple(
        replace(account, above_idle_joules=absent("J", why))
        if (why := reasons.get((account.sensor, account.domain, account.evidence)))
        else account
        for account in accounts
    )
    return Audited(audits, audit_findings(audits), kept)
