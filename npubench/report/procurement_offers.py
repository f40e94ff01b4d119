"""Candidates as a buyer sees them: each place of the comparison with its six metrics, and ranks in which ties are ties.

The six metrics are those of ITU-T F.748.11 (08/2020), 9.1.1 to 9.1.6: latency, throughput, power consumption, energy
efficiency, accelerator utilisation, accuracy. Nothing is measured or compared here that ``report.comparison`` has not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.metrics import HEADLINE, percentile_key
from npubench.contract.runspec import Scenario
from npubench.record.schema import Record
from npubench.report.page import Cell, ComparisonPage, EnergyCell, EnergyLine, Subject
from npubench.report.procurement_loads import Measurement

#: (workload, scenario).
Place = tuple[str, str]

#: What a utilisation is absent for, by the roofline's own id; ``{}`` takes the words that belong to it.
NO_UTILISATION = {
    "simulated": "a simulated device has no declared peak",
    "unknown-device": "not measured: the hardware catalogue has no declared peak of '{}'",
    "no-throughput": "not measured: there is no throughput",
    "no-operations": "not measured: the operations an inference are not known",
    "unknown-precision": "not measured: the backend chooses the precision, so that no declared peak is known to be its",
    "no-peak": "not measured: no verified peak is declared for this precision, only for: {}",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """One candidate in one place.

    Args:
        offer: The candidate's key.
        cell: Its outcome, as the comparison has it.
        energy: Its power and energy, best evidence first.
        records: Its repeats.
        rank: 1 for the best, shared by those whose intervals overlap; ``None`` where it must not be ranked.
        tied: Whether another shares the rank.
        loads: Everything it was measured under here where that is more than one load, the one it stands with first.
        detailed: Whether the report goes into it (``procurement_detail``); where not, no trace of it is read.
    """

    offer: str
    cell: Cell
    energy: EnergyCell
    records: tuple[Record, ...]
    rank: int | None = None
    tied: bool = False
    loads: tuple[Measurement, ...] = ()
    detailed: bool = True

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs it stands on."""
        return tuple(record.run_id for record in self.records)

    @property
    def decides(self) -> str:
        """Why nothing may be decided by it, as an id of ``unranked``; empty where it may."""
        return self.cell.decides

    @property
    def trouble(self) -> str:
        """Why the runs are not valid, as a sentence; empty where they are."""
        if self.cell.status == "invalid":
            rules = dict.fromkeys(finding.rule for finding in self.cell.findings if finding.severity == "invalid")
            return f"the run is invalid: {', '.join(rules)}" if rules else "the run is invalid"
        return self.cell.reason or ("" if self.cell.status == "ok" else f"the run is {self.cell.status}")

    def line(self, domain: str | None = None) -> EnergyLine | None:
        """Return power and energy of a domain by its best evidence; of the best evidence whatever the domain for ``None``."""
        return next((line for line in self.energy.lines if domain in (None, line.domain)), None)

    def compared(self) -> EnergyLine | None:
        """Return power and energy by the best evidence that the reference has as well, else by the best there is."""
        same = (line for line in self.energy.lines if line.ratio is not None and line.ratio.value is not None)
        return next(same, self.line())


@dataclass(frozen=True)
class Spot:
    """One workload in one scenario with everybody who was measured there, the reference first; ``brief`` is for headings.

    ``drawn`` says whether its figures are drawn beside the tables (``procurement_detail``).
    """

    place: Place
    title: Mapping[str, str]
    brief: Mapping[str, str]
    task: Mapping[str, str]
    gate_metric: str
    gate_higher_is_better: bool | None
    standings: tuple[Standing, ...]
    drawn: bool = True

    def of(self, offer: str) -> Standing | None:
        """Return the standing of a candidate, or ``None``."""
        return self._by_offer.get(offer)

    @cached_property
    def _by_offer(self) -> Mapping[str, Standing]:
        return {standing.offer: standing for standing in self.standings}

    @cached_property
    def detailed(self) -> tuple[Standing, ...]:
        """Those that the report goes into; ranks are among all of ``standings``."""
        return tuple(standing for standing in self.standings if standing.detailed)


@dataclass(frozen=True)
class Lineup:
    """All candidates and all places, with the comparison they come from.

    Args:
        page: The comparison.
        offers: The candidates, the reference first.
        reference: The reference's key, or empty.
        spots: The places, in order.
        superseded: How many runs stand nowhere: of the same load, but looser or older than another measurement.
        batches: Batch → the same of runs with that batch alone, for requirements that name one.
        unlisted: Candidates without a row in the tables of candidates (``procurement_detail``).
    """

    page: ComparisonPage
    offers: tuple[Subject, ...]
    reference: str
    spots: tuple[Spot, ...]
    superseded: int = 0
    batches: Mapping[int, Lineup] = field(default_factory=dict)
    unlisted: frozenset[str] = frozenset()

    def subject(self, offer: str) -> Subject:
        """Return a candidate by its key."""
        return self._by_key[offer]

    def label(self, offer: str) -> str:
        """Return what a candidate is called."""
        return self._by_key[offer].label

    def spot(self, place: Place) -> Spot | None:
        """Return a place, or ``None`` where nobody was measured."""
        return self._by_place.get(place)

    @cached_property
    def _by_key(self) -> Mapping[str, Subject]:
        return {subject.key: subject for subject in self.offers}

    @cached_property
    def _by_place(self) -> Mapping[Place, Spot]:
        return {spot.place: spot for spot in self.spots}

    @cached_property
    def whole(self) -> bool:
        """Whether the report goes into everything there is."""
        return all(standing.detailed for spot in self.spots for standing in spot.standings)

    @cached_property
    def listed(self) -> tuple[Subject, ...]:
        """Candidates with a row in the tables of candidates, the reference first."""
        return tuple(subject for subject in self.offers if subject.key not in self.unlisted)


def ranks_of(values: Mapping[str, Estimate], higher_is_better: bool) -> dict[str, tuple[int, bool]]:
    """Return key → (rank, whether it is shared); empty for fewer than two. Every value has both ends of its interval."""
    if len(values) < 2:
        return {}
    ends = {key: _ends(estimate, higher_is_better) for key, estimate in values.items()}
    # How many are certainly better: those whose worse end is above the best that this one can be.
    below = sorted(-worst for worst, _ in ends.values())
    ranks = {key: 1 + bisect_left(below, -best) for key, (_, best) in ends.items()}
    shared = Counter(ranks.values())
    return {key: (rank, shared[rank] > 1) for key, rank in ranks.items()}


def _ends(estimate: Estimate, higher_is_better: bool) -> tuple[float, float]:
    """Return an interval as (worst, best), turned so that more is better."""
    low, high = float(estimate.low or 0.0), float(estimate.high or 0.0)
    return (low, high) if higher_is_better else (-high, -low)


def latency(standing: Standing) -> Estimate:
    """Return the percentile of latency that the scenario is judged by (9.1.1), or why there is none."""
    spec = standing.records[0].spec.load
    if spec.scenario is Scenario.OFFLINE:
        return absent("ns", "offline sends everything as one query, so it has no latencies")
    headline = HEADLINE[spec.scenario].metric
    return metric(standing, headline if headline.startswith("latency") else percentile_key(spec.percentile))


def metric(standing: Standing, name: str, unit: str = "ns") -> Estimate:
    """Return a metric of the record by name, or why there is none."""
    cell = standing.cell
    if cell.status in ("failed", "skipped"):
        return absent(unit, standing.trouble)
    found = {**cell.details, **({"accuracy": cell.accuracy} if cell.accuracy is not None else {})}.get(name)
    if found is None and name == HEADLINE[standing.records[0].spec.load.scenario].metric:
        found = cell.headline
    return found if found is not None else absent(unit, "not measured in this run")


def power(standing: Standing, name: str, unit: str, domain: str | None = None) -> Estimate:
    """Return a figure of power or energy by the best evidence (9.1.3, 9.1.4), or why there is none."""
    line = standing.line(domain)
    if line is None:
        if standing.cell.status in ("failed", "skipped"):
            return absent(unit, standing.trouble)
        if domain is not None and standing.energy.lines:
            return absent(unit, f"the power of the {domain} was not measured, only of: {_domains(standing.energy.lines)}")
        return absent(unit, "not measured: no sensor or meter was read")
    found: Estimate = getattr(line, name)
    return found


def _domains(lines: Iterable[EnergyLine]) -> str:
    return ", ".join(dict.fromkeys(line.domain for line in lines))


def utilisation(standing: Standing) -> Estimate:
    """Return the part of the declared peak that was reached (9.1.5), or why it is not known.

    Counted operations × throughput ÷ the vendor's declared peak of the precision (``analyze.roofline``); its interval is the
    throughput's alone, since a declaration has none.
    """
    roof = standing.energy.roofline
    if standing.cell.status in ("failed", "skipped"):
        return absent("share", standing.trouble)
    if roof.compute is None:
        return absent("share", NO_UTILISATION.get(roof.reason, "not measured").format(roof.words))
    rate = metric(standing, "throughput", "samples/s")
    low, high = (None if not rate.value or end is None else roof.compute * end / rate.value for end in (rate.low, rate.high))
    return Estimate(roof.compute, "share", low, high, rate.confidence)
