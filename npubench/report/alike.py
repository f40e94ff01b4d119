"""Say in what two runs of the same work are not comparable, though a ratio of their figures can be formed.

What rules a ratio out altogether (other work, other grade, a run that is not ok) is ``ratio.incomparable``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from npubench.record.schema import Record

#: Host facts that set how fast a machine is: a change of one is another system, whatever the host is called.
HOST_FACTS = (
    *("bios-version", "microcode", "mitigations", "memory-modules", "smt", "turbo", "governor", "isolated-cores"),
    *("kernel", "kernel-command-line", "cpu-quota", "cpu-set", "memory-limit", "pcie-width", "pcie-speed-max"),
)

#: The ids of conditions, in the order they are named.
CONDITIONS = ("system", "driver", "firmware", "power-cap", "precision", "boundary", "client")

#: Findings by which the client had a part in the figure.
CLIENT_RULES = ("client-lag", "client-cpu", "run-queue", "page-faults", "foreign-load", "stolen-time", "device-shared")


def unlike(a: Record, b: Record) -> tuple[str, ...]:
    """Return the conditions in which two runs differ so that their ratio is not the devices' alone, as ids.

    ``system``: another host, or one that was changed since · ``driver``, ``firmware``, ``power-cap``: other ones of one kind
    of device · ``precision`` · ``boundary``: time and energy do not leave out the same · ``client``: the harness or other
    processes had a part in one of the figures. What one of two records of different age does not tell is no difference.
    """
    same_kind = a.spec.target.backend == b.spec.target.backend and a.system.device.get("kind") == b.system.device.get("kind")
    checks = {
        "system": a.system.system_id != b.system.system_id or _changed(a, b, HOST_FACTS),
        "driver": same_kind and (a.system.versions != b.system.versions or _changed(a, b, ("device-driver",))),
        "firmware": same_kind and _changed(a, b, ("device-firmware",)),
        "power-cap": a.spec.target.power_limit_mw != b.spec.target.power_limit_mw
        or (same_kind and _changed(a, b, ("device-power-cap",))),
        "precision": a.spec.precision != b.spec.precision,
        "boundary": set(a.exclusions) != set(b.exclusions),
        "client": any(_has_client_finding(record) for record in (a, b)),
    }
    return tuple(name for name in CONDITIONS if checks[name])


def unlike_among(a: Iterable[Record], b: Sequence[Record]) -> tuple[str, ...]:
    """Return the conditions of :func:`unlike` over every pair of two sides."""
    return tuple(dict.fromkeys(name for one in a for other in b for name in unlike(one, other)))


def _changed(a: Record, b: Record, facts: Iterable[str]) -> bool:
    """Return whether one of these facts is not the same in both; a record of before facts were captured has none to tell."""
    one, other = a.system.stable, b.system.stable
    if not one or not other:
        return False
    return any(one.get(fact) != other.get(fact) for fact in facts)


def _has_client_finding(record: Record) -> bool:
    return any(finding.rule in CLIENT_RULES and finding.severity != "note" for finding in record.findings)
