"""The rules of power: why a watt is not shown, or is not to be trusted, and whether the device throttled.

None of them takes latency or throughput away: a run whose meter failed is kept, and stands without its energy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.courses import Course
from npubench.analyze.finding import Finding, Severity, by_gravity
from npubench.analyze.intervals import MATERIAL
from npubench.analyze.ranging import Ranging, below_ranging
from npubench.analyze.readings import MAX_UNCERTAINTY, EnergyAccount
from npubench.measure.trace import Trace

#: MLPerf power fails a run whose analyser is uncertain by more than this (power-dev ``compliance/check.py``).
OFFICIAL_UNCERTAINTY = 0.01
#: And one whose two clocks are further apart than this (``TIME_DELTA_TOLERANCE`` there), ns.
CLOCK_TOLERANCE_NS = 800_000_000
#: A baseline at this part of the power at work is no idle.
_IDLE_SHARE = 0.9
#: A clock that falls by more than this while requests take longer has been throttled.
_CLOCK_FELL = 0.1
#: A temperature that rises by less is the weather, m°C.
_WARMED = 5_000
#: How closely service time must follow temperature (rank correlation) to be put down to it.
_FOLLOWS = 0.8
#: In so many slices the window is looked at.
_SLICES = 12
#: The words of ``energy.implausible``.
_IMPLAUSIBLE = "cannot be right"


@dataclass(frozen=True, slots=True)
class PowerFacts:
    """What the rules look at.

    Args:
        grade: Of the run.
        accounts: Energy by domain and evidence, best first.
        courses: Throttle flags, clocks and temperatures.
        trace: The measured window.
        ranging: What the ranging run before it saw, where there was one.
        unfixed: Meters whose ranges no ranging run has fixed: sensor → why.
    """

    grade: str
    accounts: Sequence[EnergyAccount]
    courses: Sequence[Course]
    trace: Trace
    ranging: Sequence[Ranging] = ()
    unfixed: Mapping[str, str] = field(default_factory=dict)


def judge_power(facts: PowerFacts) -> tuple[Finding, ...]:
    """Return every finding on power, the grave ones first."""
    return by_gravity(finding for rule in POWER_RULES for finding in rule(facts))


def _missing(facts: PowerFacts) -> Iterator[Finding]:
    """No energy by any sensor; one implausible is told of by a rule of its own."""
    if any(account.joules.value is not None or _impossible(account) for account in facts.accounts):
        return
    advice = "Name a meter in the host file: [meter.NAME] with kind rapl, hwmon, nvml, redfish, snmp or scpi."
    if facts.accounts:
        first = facts.accounts[0]
        observed = first.joules.reason or "no energy"
        advice = "Measure longer where the window is short for the sensor; else look at the sensor, its log and its connection."
        evidence: dict[str, float | int | str | bool | None] = {"sensor": first.sensor, "domain": first.domain}
    else:
        observed, evidence = "no energy counter, power gauge or meter was read", {}
    yield Finding("power-missing", "note", observed, "an energy counter, a power gauge or a meter", advice, evidence)


def _impossible(account: EnergyAccount) -> bool:
    return account.joules.value is None and _IMPLAUSIBLE in (account.joules.reason or "")


def _implausible(facts: PowerFacts) -> Iterator[Finding]:
    for account in facts.accounts:
        if _impossible(account):
            yield Finding(
                "power-implausible",
                "warning",
                account.joules.reason or "",
                "power that such a thing can draw",
                "Look at the sensor's unit and scale: in the plug-in, or in the meter's settings in the host file.",
                {"sensor": account.sensor, "domain": account.domain},
            )


def _uncertain(facts: PowerFacts) -> Iterator[Finding]:
    for account in facts.accounts:
        joules = account.joules
        if joules.value is None or joules.low is None or joules.high is None or joules.value <= 0:
            continue
        uncertain = (joules.high - joules.low) / 2.0 / joules.value
        if uncertain <= MAX_UNCERTAINTY:
            continue
        grave = facts.grade == "official" and uncertain > OFFICIAL_UNCERTAINTY
        allowed = OFFICIAL_UNCERTAINTY if grave else MAX_UNCERTAINTY
        severity: Severity = "warning" if grave else "note"
        yield Finding(
            "power-uncertain",
            severity,
            f"{account.sensor}: the energy is uncertain by ±{uncertain:.2%}",
            f"at most ±{allowed:.1%}",
            "Measure longer, or use a meter that changes more often and in smaller steps.",
            {"sensor": account.sensor, "uncertain": uncertain, "allowed": allowed, "domain": account.domain},
        )


def _clock_offset(facts: PowerFacts) -> Iterator[Finding]:
    for account in facts.accounts:
        if account.clock_offset_ns > CLOCK_TOLERANCE_NS:
            yield Finding(
                "clock-offset",
                "warning",
                f"{account.sensor}: its clock may be {account.clock_offset_ns / 1e6:.0f} ms off",
                f"at most {CLOCK_TOLERANCE_NS / 1e6:.0f} ms",
                "Set both clocks by one time server, and bring the meter nearer in the network.",
                {
                    "sensor": account.sensor,
                    "offset_ms": account.clock_offset_ns / 1e6,
                    "allowed_ms": CLOCK_TOLERANCE_NS / 1e6,
                },
            )


def _idle(facts: PowerFacts) -> Iterator[Finding]:
    for account in facts.accounts:
        idle, watts, above = account.idle_watts.value, account.watts.value, account.above_idle_joules
        if idle is None or watts is None or watts <= 0 or idle < _IDLE_SHARE * watts:
            continue
        severity: Severity = "warning" if above.high is not None and above.high < 0 else "note"
        yield Finding(
            "idle-not-idle",
            severity,
            f"{account.sensor}: {idle:.4g} W idle, {watts:.4g} W at work",
            f"less than {_IDLE_SHARE:.0%} of the power at work",
            "Look for other work on the device and the host; do not use the energy above idle.",
            {"sensor": account.sensor, "idle_w": idle, "watts": watts, "allowed": _IDLE_SHARE, "domain": account.domain},
        )


def _ranging(facts: PowerFacts) -> Iterator[Finding]:
    for account in facts.accounts:
        for ranging in facts.ranging:
            if (ranging.sensor, ranging.domain) != (account.sensor, account.domain):
                continue
            below = below_ranging(ranging.watts, account.watts)
            if below is not None:
                yield Finding(
                    "below-ranging",
                    "warning",
                    f"{account.sensor}: {account.watts.value:.4g} W, {ranging.watts.value:.4g} W in the ranging run",
                    "at most 5% below the ranging run",
                    "The two runs were not of one load, or the device had warmed up or throttled; measure again.",
                    {
                        "sensor": account.sensor,
                        "watts": account.watts.value,
                        "ranging_w": ranging.watts.value,
                        "below": below,
                    },
                )


def _unfixed(facts: PowerFacts) -> Iterator[Finding]:
    """At grade official a meter's ranges are fixed: one that switches them while it measures loses readings."""
    for sensor, reason in facts.unfixed.items() if facts.grade == "official" else ():
        yield Finding(
            "ranges-not-fixed",
            "warning",
            f"{sensor}: its measuring ranges were not fixed by the ranging run: {reason}",
            "ranges fixed by what the ranging run saw",
            "Look at the meter's log and profile, or fix voltage_range and current_range in its settings in the host file.",
            {"sensor": sensor, "reason": reason},
        )


def _throttled(facts: PowerFacts) -> Iterator[Finding]:
    """A throttle flag, else a clock that fell, else a temperature that service time followed; the first that speaks."""
    by_kind: dict[str, list[Course]] = {}
    for course in facts.courses:
        by_kind.setdefault(course.kind, []).append(course)
    trace = facts.trace
    flagged = [(_share_set(course, trace.start_ns, trace.end_ns), course) for course in by_kind.get("throttle", ())]
    worst = max(flagged, key=lambda each: each[0], default=None)
    advice = "Cool the device better, raise or state its power limit, and let it reach its steady temperature first."
    if worst is not None and worst[0] > 0:
        share, course = worst
        yield Finding(
            "throttled",
            "warning",
            f"{course.name}: set in {share:.1%} of its readings",
            "no throttling in the window",
            advice,
            {"sensor": course.name, "share": share},
        )
        return
    service = _service(trace)
    if service is None:
        return
    for kind, changed in (("clock", _clock_fell), ("temperature", _grew_warm)):
        for course in by_kind.get(kind, ()):
            found = changed(_sliced(course, trace.start_ns, trace.end_ns), service)
            if found is not None:
                scale, unit = (1e6, "MHz") if kind == "clock" else (1e3, "°C")
                before, after, slower = found[0] / scale, found[1] / scale, found[2]
                yield Finding(
                    "throttled",
                    "warning",
                    f"{course.name}: from {before:.4g} {unit} to {after:.4g} {unit} while requests took {slower:+.1%}",
                    "no throttling in the window",
                    advice,
                    {
                        "sensor": course.name,
                        "before": before,
                        "after": after,
                        "unit": unit,
                        "slower": slower,
                    },
                )
                return


Floats = NDArray[np.float64]


def _share_set(course: Course, start_ns: int, end_ns: int) -> float:
    inside = (course.times_ns >= start_ns) & (course.times_ns <= end_ns)
    return float(np.mean(course.values[inside] != 0)) if np.any(inside) else 0.0


def _slices(times: NDArray[np.int64], values: Floats, start_ns: int, end_ns: int) -> Floats:
    """Return the median in each slice of the window, NaN where there is none: float64 ``[slices]``."""
    edges = np.linspace(start_ns, end_ns, _SLICES + 1)
    at = np.searchsorted(edges, times, side="right") - 1
    return np.array([np.median(values[at == n]) if np.any(at == n) else np.nan for n in range(_SLICES)])


def _sliced(course: Course, start_ns: int, end_ns: int) -> Floats:
    return _slices(course.times_ns, course.values.astype(np.float64), start_ns, end_ns)


def _service(trace: Trace) -> Floats | None:
    """Return the median time in the executor a slice, ns; None where the window is too poor in samples to say."""
    if trace.samples < 5 * _SLICES or trace.end_ns <= trace.start_ns:
        return None
    taken = (trace.done_ns - trace.started_ns).astype(np.float64)
    return _slices(trace.done_ns, taken, trace.start_ns, trace.end_ns)


def _clock_fell(clock: Floats, service: Floats) -> tuple[float, float, float] | None:
    """Return a clock before and after its fall, Hz, and how much longer requests then took."""
    known = np.flatnonzero(~np.isnan(clock) & ~np.isnan(service))
    if known.size < 2:
        return None
    best = int(known[np.argmax(clock[known])])
    later = known[known > best]
    fallen = later[(clock[later] < (1.0 - _CLOCK_FELL) * clock[best]) & (service[later] > (1.0 + MATERIAL) * service[best])]
    if not fallen.size:
        return None
    low = int(fallen[np.argmin(clock[fallen])])
    return float(clock[best]), float(clock[low]), float(service[low] / service[best] - 1.0)


def _grew_warm(warmth: Floats, service: Floats) -> tuple[float, float, float] | None:
    """Return temperature at the start and at its highest, m°C, and how much longer requests took where they follow it."""
    known = np.flatnonzero(~np.isnan(warmth) & ~np.isnan(service))
    if known.size < _SLICES // 2:
        return None
    warm, took = warmth[known], service[known]
    hottest = int(np.argmax(warm))
    slower = float(took[hottest] / took[0] - 1.0)
    if warm[hottest] - warm[0] < _WARMED or slower <= MATERIAL:
        return None
    ranks = np.array([np.argsort(np.argsort(each)) for each in (warm, took)], np.float64)
    if float(np.asarray(np.corrcoef(ranks))[0, 1]) < _FOLLOWS:
        return None
    return float(warm[0]), float(warm[hottest]), slower


POWER_RULES: tuple[Callable[[PowerFacts], Iterator[Finding]], ...] = (
    _missing,
    _implausible,
    _uncertain,
    _clock_offset,
    _idle,
    _ranging,
    _unfixed,
    _throttled,
)
