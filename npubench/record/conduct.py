"""Conduct one run: start the worker, have its record made of what it left, and publish it. Decides neither load nor verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import npubench
from npubench.analyze.outputs import Score
from npubench.contract.bundle import Bundle
from npubench.contract.runspec import Phase, RunSpec, to_plain
from npubench.errors import StoreError
from npubench.measure.capture import WITHHELD, capture_machine, is_secret
from npubench.measure.profiler import profile_operators
from npubench.measure.runner import OnEvent, interpreter, run_worker
from npubench.record.account import build_record
from npubench.record.challenge import make_challenge
from npubench.record.declared import write_declared
from npubench.record.machine import Machine
from npubench.record.schema import Record
from npubench.record.store import Store
from npubench.record.supervised import Supervised, write_supervised


def conduct(
    spec: RunSpec,
    bundle: Bundle,
    score: Score,
    store: Store,
    machine: Machine,
    calibration: str | None,
    declared: Mapping[str, str],
    on_event: OnEvent = lambda event: None,
) -> Record:
    """Carry out one run and publish its record, whatever came of it.

    Args:
        spec: The run.
        bundle: Its workload.
        score: The workload's metric.
        store: Held for writing by the caller.
        machine: This host.
        calibration: The digest of this system's calibration, or ``None``.
        declared: The operator's declaration of the system.
        on_event: Told of the worker's events, for progress.

    Raises:
        StoreError: The record cannot be written.
    """
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    folder = store.open_run(spec.run_id)
    captured = capture_machine()
    challenge = make_challenge(spec, bundle) if spec.audits else None

    def tell(event: Mapping[str, Any]) -> None:
        if challenge is not None:
            challenge.hand_over(folder, event)
        on_event(event)

    try:
        outcome = run_worker(spec, folder, tell)
    finally:
        if challenge is not None:
            challenge.discard(folder)
    if outcome.kind == "store":
        # Nothing is known of the run, so nothing is kept of it: the same command measures it once there is room.
        raise StoreError(
            f"{folder}: cannot be written: {outcome.reason}; finished runs are kept, make room or choose another --store"
        )
    supervised = Supervised(
        harness=npubench.__version__,
        started_at=started_at,
        interpreter=interpreter(spec),
        calibration=calibration,
        declared=declared,
        machine=machine,
        outcome=outcome,
        captured=captured,
    )
    try:
        # A plug-in shares the worker's process and can reach its order: what is kept is the supervisor's own.
        kept = json.dumps(to_plain(_kept(spec)), indent=1, ensure_ascii=False)
        (folder / "spec.json").write_text(kept, encoding="utf-8")
        write_supervised(folder, supervised)
        if spec.audits:
            write_declared(folder, spec)
        if spec.profile and outcome.kind == "finished":
            on_event({"event": "phase", "phase": Phase.PROFILE.value})
            profile_operators(spec, folder)
        if challenge is not None:
            challenge.conclude(spec, folder, outcome)
        try:
            record = build_record(folder, bundle, score)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            # And it may have spoilt what the worker wrote; the run is then failed, not lost.
            damage = f"the worker left a damaged account: {' '.join(str(error).split())[:500]}"
            kind = "harness" if outcome.kind == "finished" else outcome.kind
            spoilt = replace(outcome, kind=kind, reason=f"{outcome.reason}; {damage}" if outcome.reason else damage)
            write_supervised(folder, replace(supervised, outcome=spoilt, heeded=False))
            record = build_record(folder, bundle, score)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written: {(error.strerror or str(error)).lower()}; finished runs are kept, make room or choose "
            "another --store"
        ) from error
    store.publish(folder, record)
    return record


def _kept(spec: RunSpec) -> RunSpec:
    """Return an order as it is kept: records are handed on and sealed, so values of secrets in a target's environment are not."""
    env = {name: WITHHELD if is_secret(name) else value for name, value in spec.target.env.items()}
    return replace(spec, target=replace(spec.target, env=env))
