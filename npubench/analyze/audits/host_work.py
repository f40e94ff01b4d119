"""The device does the work: the host's cores are not busy in its place while it idles."""

from __future__ import annotations

import numpy as np

from npubench.analyze.audits.facts import AuditFacts, not_carried_out, verdict
from npubench.analyze.audits.verdict import Audit
from npubench.analyze.readings import EnergyAccount
from npubench.measure.trace import Column

NAME = "host-work"

#: A core kept busy for as long as requests are in flight: a computation, or a driver that spins.
BUSY = 0.9
#: What covers the device and not the host around it.
_OF_DEVICE = ("chip", "card", "board")
#: A sensor that is uncertain by more than this part of the idle power cannot tell work from idleness.
_TELLING = 0.05


def judge_host_work(facts: AuditFacts) -> Audit:
    """Fail where the host's cores were busy while requests were in flight and the device drew no more than when idle.

    A device that says it is the host's own processor is exempt (:attr:`npubench.contract.availability.Device.host`). Busy
    cores alone prove nothing, since drivers may spin; without a power sensor of the device it cannot be told. Time in which a
    thread was ready and waited for a core counts as well, so that a busy machine hides nothing. Between requests a core is the
    harness's: of that time as much is taken off as it may have used, or a quick device would answer for the harness's own work.
    """
    required = f"below {BUSY:g} cores while requests are in flight, or a device that draws more than when idle"
    if facts.observed["device"].get("host"):
        return not_carried_out(NAME, "the device is the host's own processor", required)
    cpu = facts.observed.get("cpu") or {}
    flight_s = in_flight_ns(facts.trace.started_ns, facts.trace.done_ns) * 1e-9
    if not cpu or flight_s <= 0.0:
        return not_carried_out(NAME, "no account of the process's CPU time", required)
    waited_s = float((facts.observed.get("client") or {}).get("all_run_delay_ns") or 0) * 1e-9
    between_s = max(0.0, (facts.trace.end_ns - facts.trace.start_ns) * 1e-9 - flight_s)
    cores = max(0.0, float(cpu["user_s"]) + float(cpu["system_s"]) + waited_s - between_s) / flight_s
    evidence: dict[str, float | int | str | bool | None] = {"cores": cores, "allowed_cores": BUSY}
    if cores < BUSY:
        return verdict(NAME, False, f"{cores:.2g} cores at work while requests were in flight", required, evidence)
    account = next((each for each in facts.accounts if each.domain in _OF_DEVICE and _tells(each)), None)
    if account is None:
        why = f"cannot tell: {cores:.2g} cores were at work, and no power sensor of the device shows whether it was"
        return not_carried_out(NAME, why, required)
    watts, idle = account.watts, account.idle_watts
    assert watts.value is not None and idle.value is not None and watts.low is not None and idle.high is not None
    evidence |= {"sensor": account.sensor, "watts": watts.value, "idle_w": idle.value}
    observed = f"{cores:.2g} cores at work, the device at {watts.value:.4g} W, {idle.value:.4g} W when idle ({account.sensor})"
    return verdict(NAME, watts.low <= idle.high, observed, required, evidence)


def in_flight_ns(started: Column, done: Column) -> int:
    """Return how long at least one request was with the executor, ns.

    Args:
        started: int64 ``[samples]``: when each was handed over.
        done: int64 ``[samples]``: when its outputs were there.
    """
    if not len(started):
        return 0
    order = np.argsort(started, kind="stable")
    begun, ended = started[order], np.maximum.accumulate(done[order])
    free = np.maximum(begun[1:] - ended[:-1], 0)
    return int(ended[-1] - begun[0] - free.sum())


def _tells(account: EnergyAccount) -> bool:
    """Return whether a sensor can tell work from idleness."""
    watts, idle = account.watts, account.idle_watts
    if None in (watts.value, watts.low, watts.high, idle.value, idle.low, idle.high):
        return False
    assert watts.low is not None and watts.high is not None
    assert idle.low is not None and idle.high is not None and idle.value is not None
    return (watts.high - watts.low) / 2 + (idle.high - idle.low) / 2 <= _TELLING * idle.value
