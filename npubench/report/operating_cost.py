"""Read a cost file, and work out what electricity, and owning a device over a term, comes to. Nothing in it is assumed.

With e = J/sample, p = KRW/kWh, PUE = facility energy ÷ IT energy (ISO/IEC 30134-2), n devices, W = mean power at the measured
load, I = idle power, u = part of the time at that load, r = discount rate, T = term in years:

* KRW per million samples = 10⁶ × e ÷ 3.6×10⁶ J/kWh × PUE × p
* kWh a year              = n × (u × W + (1 − u) × I) ÷ 1000 × 8760
* electricity a year      = kWh a year × PUE × p + n × W ÷ 1000 × PUE × basic charge × 12
* total cost              = n × capital + Σ_{y=1…T} (electricity a year + n × maintenance a year) ÷ (1 + r)^y

The basic charge is taken on the mean power at the measured load, since a utility bills demand over a quarter of an hour. A
tariff of several periods counts by its hours, as for a load that is the same at every hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from npubench.analyze.estimate import Estimate, absent
from npubench.contract.options import nearest
from npubench.errors import InputError
from npubench.plan.suite import Part, parse_file

HOURS = 8760.0
#: J in a kWh.
KWH = 3.6e6
#: What is shown beside, or in place of, an operator's own PUE.
PUES = (1.1, 1.3, 1.5, 1.8)
#: How far a tariff may be off for the table of sensitivity.
TARIFFS = (-0.2, 0.0, 0.2)
#: Parts of the time at load for the same table.
LOADS = (0.3, 0.6, 0.9)

Amount = Annotated[float, Field(ge=0, le=1e15, strict=False)]
Named = Annotated[str, Field(min_length=1, max_length=300)]
Date = Annotated[str, Field(pattern=r"^\d{4}(-\d\d(-\d\d)?)?$")]


class Period(Part):
    """Hours of a year with a price of their own."""

    name: Named
    """Season and time of day, as the tariff calls it."""
    hours_per_year: Annotated[float, Field(gt=0, le=8784, strict=False)]
    """How many hours of a year it is."""
    krw_per_kwh: Amount
    """The price in these hours."""


class Tariff(Part):
    """What electricity costs."""

    name: Named
    """The tariff's name, such as a class and a choice of a utility."""
    date: Date
    """Since when it holds."""
    source: Named
    """Where it was read."""
    krw_per_kwh: Amount | None = None
    """One price for all hours."""
    period: Annotated[tuple[Period, ...], Field(strict=False)] = ()
    """Prices by season and time of day, in place of one price."""
    basic_krw_per_kw_month: Amount = 0.0
    """The basic charge for a kW of demand a month; 0 where there is none."""


class Pue(Part):
    """The facility's power usage effectiveness, as its operator declares it."""

    value: Annotated[float, Field(ge=1.0, le=10.0, strict=False)]
    """Facility energy ÷ IT energy."""
    source: Named
    """Who declares it, and where."""
    date: Date
    """When."""


class Device(Part):
    """What a device of a target costs, whatever its precision."""

    target: Named
    """The target's name in the store."""
    capital_krw: Amount
    """Its price."""
    source: Named
    """Where the price is from: an offer, a contract."""
    maintenance_krw_per_year: Amount = 0.0
    """Upkeep a year."""
    count: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    """How many the total cost is of."""


class Service(Part):
    """A service that devices are counted for."""

    name: Named
    """What it is."""
    workload: Named
    """The workload it runs."""
    queries_per_s: Annotated[float, Field(gt=0, le=1e12, strict=False)]
    """The load that it must bear."""
    latency_ms: Annotated[float, Field(gt=0, le=1e9, strict=False)]
    """The latency that it must keep."""
    percentile: Annotated[float, Field(ge=0.5, lt=1.0, strict=False)] = 0.99
    """The part of queries that must keep it."""
    headroom: Annotated[float, Field(ge=0.0, lt=1.0, strict=False)]
    """The part of every device's certified rate that stays unused."""


class CostFile(Part):
    """The file as it is written."""

    schema_version: Literal[1]
    """The version of this format."""
    name: Named
    """What the figures are of."""
    term_years: Annotated[int, Field(ge=1, le=50)]
    """Over how many years the total cost is."""
    discount_rate: Annotated[float, Field(ge=0.0, lt=1.0, strict=False)]
    """By how much a cost of the next year weighs less."""
    utilisation: Annotated[float, Field(gt=0.0, le=1.0, strict=False)]
    """The part of the time at the measured load; the rest is idle."""
    tariff: Tariff
    """What electricity costs."""
    pue: Pue | None = None
    """The facility's, where its operator declares one."""
    device: Annotated[tuple[Device, ...], Field(strict=False)] = ()
    """What devices cost."""
    service: Annotated[tuple[Service, ...], Field(strict=False)] = ()
    """What devices are counted for."""


@dataclass(frozen=True, slots=True)
class Costs:
    """A cost file that makes sense, and the mean price that follows from its tariff, KRW/kWh."""

    path: str
    file: CostFile
    price: float

    def device(self, target: str) -> Device | None:
        """Return what a device of a target costs; a target under a power limit costs what it costs without one."""
        names = (target, target.partition("@")[0])
        return next((device for device in self.file.device if device.target in names), None)

    @property
    def pue(self) -> float | None:
        """The operator's PUE, or ``None``."""
        return None if self.file.pue is None else self.file.pue.value


def read_costs(path: Path, targets: Iterable[str], workloads: Iterable[str]) -> Costs:
    """Read a cost file.

    Args:
        path: The TOML file.
        targets: Targets in the store; what a device is called must be one of them.
        workloads: Workloads that a service may have.

    Raises:
        InputError: One sentence with file, key and what is valid there.
    """
    written = parse_file(path, CostFile)
    targets, workloads = sorted(set(targets)), sorted(set(workloads))
    names = {name for target in targets for name in (target, target.partition("@")[0])}
    for n, device in enumerate(written.device):
        if device.target not in names:
            raise InputError(
                f"{path}: device[{n}].target: no target '{device.target}' in the store{nearest(device.target, names)}"
            )
        if device.target in [other.target for other in written.device[:n]]:
            raise InputError(f"{path}: device[{n}].target: '{device.target}' stands there twice; which price holds?")
    for n, service in enumerate(written.service):
        if service.workload not in workloads:
            hint = nearest(service.workload, workloads)
            raise InputError(f"{path}: service[{n}].workload: there is no workload '{service.workload}'{hint}")
    return Costs(str(path), written, _price(path, written.tariff))


def _price(path: Path, tariff: Tariff) -> float:
    if (tariff.krw_per_kwh is None) == (not tariff.period):
        raise InputError(f"{path}: tariff: give either krw_per_kwh or [[tariff.period]], one of the two")
    if tariff.krw_per_kwh is not None:
        return tariff.krw_per_kwh
    hours = math.fsum(period.hours_per_year for period in tariff.period)
    if not HOURS - 1 <= hours <= HOURS + 25:
        raise InputError(f"{path}: tariff.period: their hours add up to {hours:g}, a year has 8760 (8784 in a leap year)")
    return math.fsum(period.hours_per_year * period.krw_per_kwh for period in tariff.period) / hours


def krw_per_million(joules_per_sample: Estimate, pue: float | None, price: float) -> Estimate:
    """Return KRW of electricity for a million samples at the measured load, by the formula above."""
    if joules_per_sample.value is None:
        return absent("KRW", joules_per_sample.reason or "not measured")
    if pue is None:
        return absent("KRW", "no operator-declared PUE: see the table of sensitivity")
    return scaled(joules_per_sample, 1e6 / KWH * pue * price, "KRW")


def scaled(estimate: Estimate, factor: float, unit: str) -> Estimate:
    """Return an estimate times a certain number."""
    low, high = (None if end is None else end * factor for end in (estimate.low, estimate.high))
    value = None if estimate.value is None else estimate.value * factor
    return Estimate(value, unit, low, high, estimate.confidence, reason=estimate.reason)


def kwh_per_year(watts: Estimate, idle: Estimate, utilisation: float, count: int = 1) -> Estimate:
    """Return kWh a year before the facility's share, by the formula above; absent where a power is not known."""
    if watts.value is None:
        return absent("kWh", watts.reason or "not measured")
    if idle.value is None and utilisation < 1.0:
        return absent("kWh", idle.reason or "no idle baseline")
    factor = count * HOURS / 1000.0
    rest = 1.0 - utilisation

    def mean(load: float, none: float) -> float:
        return factor * (utilisation * load + rest * none)

    resting = idle.value or 0.0
    low, high = (
        None if end is None else mean(end, resting if other is None else other)
        for end, other in ((watts.low, idle.low), (watts.high, idle.high))
    )
    return Estimate(mean(watts.value, resting), "kWh", low, high, watts.confidence)


def electricity_per_year(
    energy: Estimate, watts: Estimate, costs: Costs, pue: float, count: int = 1, price: float = 0.0
) -> Estimate:
    """Return KRW of electricity a year with the basic charge, by the formula above.

    Args:
        energy: kWh a year of all devices.
        watts: Mean power of one device at the measured load.
        costs: Where the basic charge is from.
        pue: The facility's.
        count: How many devices.
        price: KRW/kWh, in place of the tariff's where it is above 0.
    """
    if energy.value is None or watts.value is None:
        return absent("KRW", energy.reason or watts.reason or "not measured")
    basic = count / 1000.0 * pue * costs.file.tariff.basic_krw_per_kw_month * 12.0
    per_kwh = pue * (price or costs.price)
    low, high = (
        None if e is None or w is None else e * per_kwh + w * basic
        for e, w in ((energy.low, watts.low), (energy.high, watts.high))
    )
    return Estimate(energy.value * per_kwh + watts.value * basic, "KRW", low, high, energy.confidence)


def total_cost(electricity: Estimate, device: Device | None, costs: Costs, count: int) -> Estimate:
    """Return capital, upkeep and electricity over the term, discounted by year, by the formula above."""
    if device is None:
        return absent("KRW", "the cost file has no price of this target")
    if electricity.value is None:
        return absent("KRW", electricity.reason or "not measured")
    weight = math.fsum((1.0 + costs.file.discount_rate) ** -year for year in range(1, costs.file.term_years + 1))
    fixed = count * (device.capital_krw + device.maintenance_krw_per_year * weight)
    low, high = (None if end is None else fixed + end * weight for end in (electricity.low, electricity.high))
    return Estimate(fixed + electricity.value * weight, "KRW", low, high, electricity.confidence)
