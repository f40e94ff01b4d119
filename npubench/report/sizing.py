"""How many devices a service needs, and how many of the reference's that replaces: from certified server rates alone.

n = ⌈load ÷ (rate × (1 − headroom))⌉, with rate the lower end of the query rate of a valid server run whose own latency
bound is no looser than the service's, at a percentile no lower. Rates are of one device under its own measured load; nothing
is extrapolated to another bound, percentile or workload, and a shared host's own limits are not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from npubench.analyze.estimate import Estimate, absent
from npubench.contract.runspec import Scenario
from npubench.report.operating_cost import Costs, Service, electricity_per_year, kwh_per_year, scaled, total_cost
from npubench.report.procurement_offers import Lineup, Standing, metric, power

_NO_BASE = "the reference has no certified rate"


@dataclass(frozen=True, slots=True)
class Sized:
    """What one candidate needs for one service.

    Args:
        offer: The candidate's key.
        rate: The certified rate of one device, queries/s, or why there is none that counts.
        devices: How many; its reason is the rate's where there is none.
        replaces: How many of the reference's devices one of these stands for, with the whole numbers of both.
        reference_devices: How many of the reference's the service needs.
        watts: Power of all devices at the measured load, by the best evidence; the most the service draws of such devices.
        domain: What that power covers; empty without one.
        yearly: KRW of electricity a year.
        total: KRW over the term.
        runs: The runs behind it.
        doubt: Why nothing may be decided by it, as an id of ``unranked``; empty where it may.
    """

    offer: str
    rate: Estimate
    devices: Estimate
    replaces: Estimate
    reference_devices: Estimate
    watts: Estimate
    domain: str
    yearly: Estimate
    total: Estimate
    runs: tuple[str, ...]
    doubt: str


def size_all(lineup: Lineup, service: Service, costs: Costs) -> tuple[Sized, ...]:
    """Count devices for a service, of every candidate and of the reference, which stands first."""
    spot = lineup.spot((service.workload, Scenario.SERVER.value))
    counted = {subject.key: _rate(spot.of(subject.key) if spot else None, service) for subject in lineup.offers}
    needed = {key: _devices(rate, service) for key, rate in counted.items()}
    base = needed.get(lineup.reference, absent("devices", "no reference is named"))
    found = []
    for subject in lineup.offers:
        standing = spot.of(subject.key) if spot else None
        found.append(_sized(subject.key, subject.target, standing, counted[subject.key], needed[subject.key], base, costs))
    return tuple(found)


def _rate(standing: Standing | None, service: Service) -> Estimate:
    """Return the rate that counts for a service, or why none does."""
    if standing is None:
        return absent("queries/s", "not run in the server scenario")
    if standing.cell.status != "ok":
        return absent("queries/s", standing.trouble)
    load = standing.records[0].spec.load
    if load.latency_bound_ns is None:
        return absent("queries/s", "the run has no latency bound")
    if load.latency_bound_ns > service.latency_ms * 1e6:
        return absent(
            "queries/s",
            f"certified at a bound of {load.latency_bound_ns / 1e6:g} ms, the service asks for {service.latency_ms:g} ms: "
            "nothing is extrapolated",
        )
    if load.percentile < service.percentile:
        return absent(
            "queries/s",
            f"certified at percentile {load.percentile * 100:g}, the service asks for {service.percentile * 100:g}: "
            "nothing is extrapolated",
        )
    return metric(standing, "query_rate", "queries/s")


def _devices(rate: Estimate, service: Service) -> Estimate:
    if rate.value is None:
        return absent("devices", "no certified rate")
    certain = rate.value if rate.low is None else rate.low
    if certain <= 0:
        return absent("devices", "the certified rate is not above 0")
    # A quotient that is whole but for rounding is whole: 3 × 0.1 ÷ 0.3 takes one device.
    return Estimate(float(math.ceil(service.queries_per_s / (certain * (1.0 - service.headroom)) - 1e-9)), "devices")


def _sized(
    offer: str, target: str, standing: Standing | None, rate: Estimate, devices: Estimate, base: Estimate, costs: Costs
) -> Sized:
    count = None if devices.value is None else int(devices.value)
    gone = "no certified rate"
    replaces = absent("times", "no reference is named" if base.reason == "no reference is named" else _NO_BASE)
    if count is None:
        replaces = absent("times", gone)
    if count and base.value is not None:
        replaces = Estimate(base.value / count, "times")
    line = standing.line() if standing is not None else None
    watts = yearly = whole = absent("W", gone)
    if count and standing is not None:
        one, idle = power(standing, "watts", "W"), power(standing, "idle_watts", "W")
        watts = scaled(one, count, "W")
        energy = kwh_per_year(one, idle, costs.file.utilisation, count)
        if costs.pue is None:
            yearly = absent("KRW", "no operator-declared PUE: see the table of sensitivity")
        else:
            yearly = electricity_per_year(energy, one, costs, costs.pue, count)
        whole = total_cost(yearly, costs.device(target), costs, count)
    return Sized(
        offer=offer,
        rate=rate,
        devices=devices,
        replaces=replaces,
        reference_devices=base,
        watts=watts,
        domain=line.domain if line is not None else "",
        yearly=yearly if count else absent("KRW", gone),
        total=whole if count else absent("KRW", gone),
        runs=standing.runs if standing is not None else (),
        doubt=standing.decides if standing is not None else "",
    )
