"""Where a run's time goes by operator: what a profile says, as times a sample and shares. Pure functions of ``operators.json``.

All times are the runtime's own, of a run of their own: they say how the time divides, and no metric is computed from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from npubench.analyze.estimate import RECORD_CONFIG, Estimate, absent
from npubench.contract.profile import OperatorTime
from npubench.measure.profiled import ProfileError, read_profile

#: Operators and kinds that are told one by one; all others are summed. What is left out is below any that is there.
MOST_SHARES, MOST_KINDS = 200, 100

#: Why a profile of nothing but zeros divides nothing.
NO_TIME = "no operator took any time by the runtime's clock"
#: Why the host's part is not told.
NO_PLACE = "the runtime does not say where each operator ran"


@dataclass(frozen=True, slots=True)
class OperatorShare:
    """One operator, or all of one kind in one place, and its part of the time."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    name: str
    """The runtime's name of it; empty for a kind."""
    kind: str
    """Its type."""
    where: str
    """device, host, or empty where the runtime does not say."""
    operators: int
    """How many operators are summed in it: 1 for a single one."""
    calls: int
    """How often it ran over all requests of the profile."""
    ns: float
    """Its time a sample, ns, by the runtime's own clock."""
    share: float
    """Its part of the time of all operators, 0…1."""


@dataclass(frozen=True, slots=True)
class Operators:
    """A profile of operators, made by the runtime in a run of its own after the measured one; or the reason why there is none."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    reason: str | None
    """Why there is no profile; null where there is one."""
    samples: int
    """Samples it stands on; 0 where there is none."""
    batch: int
    """Samples a request; 0 where there is none."""
    total: Estimate
    """The time of all operators a sample, ns, by the runtime's own clock."""
    host_share: Estimate
    """The part of it in operators that fell back to the host's CPU."""
    shares: tuple[OperatorShare, ...] = ()
    """Operators, the longest first; at most 200."""
    kinds: tuple[OperatorShare, ...] = ()
    """The same by kind and place, the longest first; at most 100."""
    others: OperatorShare | None = None
    """All operators that are not told one by one, summed; null where there are none."""


def account_operators(path: Path) -> Operators:
    """Return what a run's ``operators.json`` comes to; a file that is missing or damaged is a reason like any other."""
    try:
        profile = read_profile(path)
    except ProfileError as why:
        return without(str(why))
    found = profile.operators
    whole = sum(each.nanoseconds for each in found)
    if not whole:
        return without(NO_TIME)
    ordered = sorted(found, key=lambda each: (-each.nanoseconds, each.name, each.kind, each.where, each.calls))

    def summed(name: str, kind: str, where: str, parts: list[OperatorTime]) -> OperatorShare:
        took = sum(part.nanoseconds for part in parts)
        calls = sum(part.calls for part in parts)
        return OperatorShare(name, kind, where, len(parts), calls, took / profile.samples, took / whole)

    kinds: dict[tuple[str, str], list[OperatorTime]] = {}
    for each in ordered:
        kinds.setdefault((each.kind, each.where), []).append(each)
    by_kind = [summed("", kind, where, parts) for (kind, where), parts in kinds.items()]
    rest = ordered[MOST_SHARES:]
    return Operators(
        reason=None,
        samples=profile.samples,
        batch=profile.batch,
        total=Estimate(whole / profile.samples, "ns", n=profile.samples),
        host_share=_host_share(found, whole),
        shares=tuple(summed(each.name, each.kind, each.where, [each]) for each in ordered[:MOST_SHARES]),
        kinds=tuple(sorted(by_kind, key=lambda each: (-each.share, each.kind, each.where))[:MOST_KINDS]),
        others=summed("", "", "", rest) if rest else None,
    )


def without(reason: str) -> Operators:
    """Return what stands in a record where a profile was asked for and there is none."""
    return Operators(reason, 0, 0, absent("ns", reason), absent("share", reason))


def _host_share(found: tuple[OperatorTime, ...], whole: int) -> Estimate:
    """Return the host's part of the time; absent where more than a hundredth of it ran nobody knows where."""
    unknown = sum(each.nanoseconds for each in found if not each.where)
    if unknown > 0.01 * whole:
        return absent("share", NO_PLACE)
    return Estimate(sum(each.nanoseconds for each in found if each.where == "host") / whole, "share", n=len(found))
