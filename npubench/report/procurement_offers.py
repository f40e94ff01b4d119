"""Candidates as a buyer sees them: each place of the comparison with its six metrics, and ranks in which ties are ties.

The six metrics are those of ITU-T F.748.11 (08/2020), 9.1.1 to 9.1.6: latency, throughput, power consumption, energy
efficiency, accelerator utilisation, accuracy. Nothing is measured or compared here that ``report.comparison`` has not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.metrics import HEADLINE, percentile_key
from npubench.contract.options import nearest
from npubench.contract.runspec import Scenario
from npubench.errors import InputError
from npubench.plan.hardware import Hardware
from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.comparison import build_page
from npubench.report.page import Cell, ComparisonPage, EnergyCell, EnergyLine, Subject
from npubench.report.procurement_loads import Measurement, choose_loads, load_of
from npubench.report.run_plots import MOST

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
    """

    offer: str
    cell: Cell
    energy: EnergyCell
    records: tuple[Record, ...]
    rank: int | None = None
    tied: bool = False
    loads: tuple[Measurement, ...] = ()

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs it stands on."""
        return tuple(record.run_id for record in self.records)

    @property
    def decides(self) -> str:
        """Why nothing may be decided by it, as an id of ``unranked``; empty where it may."""
        return (
            "" if self.cell.unranked in ("single", "different-work", "different-grade", "different-bound") else self.cell.unranked
        )

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


@dataclass(frozen=True, slots=True)
class Spot:
    """One workload in one scenario with everybody who was measured there, the reference first; ``brief`` is for headings."""

    place: Place
    title: Mapping[str, str]
    brief: Mapping[str, str]
    task: Mapping[str, str]
    gate_metric: str
    gate_higher_is_better: bool | None
    standings: tuple[Standing, ...]

    def of(self, offer: str) -> Standing | None:
        """Return the standing of a candidate, or ``None``."""
        return next((standing for standing in self.standings if standing.offer == offer), None)


@dataclass(frozen=True, slots=True)
class Lineup:
    """All candidates and all places, with the comparison they come from.

    Args:
        page: The comparison.
        offers: The candidates, the reference first.
        reference: The reference's key, or empty.
        spots: The places, in order.
        superseded: How many runs stand nowhere: of the same load, but looser or older than another measurement.
        batches: Batch → the same of runs with that batch alone, for requirements that name one.
    """

    page: ComparisonPage
    offers: tuple[Subject, ...]
    reference: str
    spots: tuple[Spot, ...]
    superseded: int = 0
    batches: Mapping[int, Lineup] = field(default_factory=dict)

    def label(self, offer: str) -> str:
        """Return what a candidate is called."""
        return next(subject.label for subject in self.offers if subject.key == offer)

    def spot(self, place: Place) -> Spot | None:
        """Return a place, or ``None`` where nobody was measured."""
        return next((spot for spot in self.spots if spot.place == place), None)


def line_up(
    entries: Sequence[Entry], reference: str = "", hardware: Hardware | None = None, batches: Iterable[int] = ()
) -> Lineup:
    """Set all candidates among ``entries`` beside each other, and beside the reference.

    Args:
        entries: Runs of a store; of one load that was measured more than once, the strictest and latest counts, and of several
            loads the best that may be ranked (``procurement_loads``).
        reference: The reference as target, ``target/precision``, or the label it has in a report; empty for none.
        hardware: The hardware catalogue; the installed one where it is ``None``.
        batches: Batches that runs are wanted of by themselves as well.

    Raises:
        InputError: There is no such reference, or there are several; names them.
    """
    measured = choose_loads(entries)
    chosen = [_without_round(entry) for loads in measured.values() for entry in loads[0].entries]
    chosen.sort(key=lambda entry: entry.record.run_id)
    page = build_page("", chosen, _reference_label(reference, chosen) if reference else None, hardware, MOST)
    base = page.baseline if reference else ""
    by_run = {(e.record.system.system_id, e.record.run_id): e.record for e in chosen}
    systems = {subject.key: subject.system_id for subject in page.subjects}
    energies = {(row.workload, row.scenario): {cell.subject: cell for cell in row.cells} for row in page.energy}
    spots = []
    for table in page.tables:
        for row in table.rows:
            place = (row.workload, table.scenario)
            standings = []
            for cell in row.cells:
                records = tuple(by_run[systems[cell.subject], run] for run in cell.run_id.split(", "))
                loads = _loads(measured, records[0])
                standings.append(Standing(cell.subject, cell, energies[place][cell.subject], records, loads=loads))
            standings.sort(key=lambda standing: standing.offer != base)
            ranked = _ranked(standings, table.headline, table.higher_is_better)
            spots.append(Spot(place, row.title, _brief(row.title), row.task, row.gate_metric, row.gate_higher_is_better, ranked))
    offers = tuple(sorted(page.subjects, key=lambda subject: subject.key != base))
    against = next((subject for subject in offers if subject.key == base), None)
    return Lineup(
        page=page,
        offers=offers,
        reference=base,
        spots=tuple(sorted(spots, key=lambda spot: spot.place)),
        superseded=len(entries) - sum(len(each.entries) for loads in measured.values() for each in loads),
        batches={batch: _with_batch(entries, batch, against, hardware) for batch in sorted(set(batches))},
    )


def _with_batch(entries: Sequence[Entry], batch: int, against: Subject | None, hardware: Hardware | None) -> Lineup:
    """Return candidates by their runs with one batch; without a reference where that was not measured with it."""
    there = [entry for entry in entries if load_of(entry.record).batch == batch]
    wanted = None if against is None else (against.target, against.precision, against.system_id)
    labels = (label for label, named in _labels(there).items() if named == wanted)
    return line_up(there, next(labels, ""), hardware)


def _loads(measured: Mapping[tuple[str, str, str, str, str], tuple[Measurement, ...]], record: Record) -> tuple[Measurement, ...]:
    """Return everything that the candidate of a run was measured under in its place; empty where that is one load."""
    spec = record.spec
    cell = (record.system.system_id, spec.target.name, spec.precision, spec.workload, spec.load.scenario.value)
    return found if len(found := measured[cell]) > 1 else ()


def _brief(title: Mapping[str, str]) -> Mapping[str, str]:
    """Return a title without what stands behind its colon: what it is, and not how it is done."""
    return {language: text.partition(": ")[0] for language, text in title.items()}


def _without_round(entry: Entry) -> Entry:
    """Return a run without the label of when it was measured: a candidate stays one, though parts of it were measured again."""
    if not entry.record.spec.round:
        return entry
    return replace(entry, record=entry.record.model_copy(update={"spec": replace(entry.record.spec, round="")}))


def _reference_label(text: str, entries: Sequence[Entry]) -> str:
    """Return ``target/precision`` or the label of the reference that is meant.

    Raises:
        InputError: None is, or several are.
    """
    labels = _labels(entries)
    meant = [label for label, (t, p, _) in labels.items() if text in (t, f"{t}/{p}", label)]
    if not meant:
        there = dict.fromkeys(f"{t}/{p}" for t, p, _ in labels.values())
        raise InputError(f"--reference '{text}': no such target in this store{nearest(text, there)}")
    if len(meant) > 1:
        raise InputError(f"--reference '{text}': several are called so; choose one of: {', '.join(repr(m) for m in meant)}")
    return meant[0]


def _labels(entries: Sequence[Entry]) -> dict[str, tuple[str, str, str]]:
    """Return the label of every candidate among ``entries`` → (target, precision, system)."""
    specs = {(e.record.system.system_id, e.record.spec.target.name, e.record.spec.precision) for e in entries}
    wide = len({system for system, _, _ in specs}) > 1
    return {" · ".join([t, p, *([s] if wide else [])]): (t, p, s) for s, t, p in sorted(specs)}


def _ranked(standings: Sequence[Standing], metric: str, higher_is_better: bool) -> tuple[Standing, ...]:
    """Give ranks to those the comparison would rank, among those whose time leaves out the same; the largest such group.

    A rank is one more than how many are certainly better, their intervals beside each other: so ties are ties, whatever
    the order. One without an interval cannot be told from anybody and has no rank.
    """
    groups: dict[frozenset[str], dict[str, Estimate]] = {}
    for standing in standings:
        headline = standing.cell.headline
        if standing.cell.rank is not None and headline is not None and headline.low is not None and headline.high is not None:
            boundary = frozenset(x for record in standing.records for x in record.exclusions)
            groups.setdefault(boundary, {})[standing.offer] = headline
    able = max(groups.values(), key=len, default={})
    ranks = ranks_of(able, higher_is_better)
    return tuple(
        replace(standing, rank=ranks[standing.offer][0], tied=ranks[standing.offer][1]) if standing.offer in ranks else standing
        for standing in standings
    )


def ranks_of(values: Mapping[str, Estimate], higher_is_better: bool) -> dict[str, tuple[int, bool]]:
    """Return key → (rank, whether it is shared); empty for fewer than two. Every value has both ends of its interval."""
    if len(values) < 2:
        return {}
    ends = {key: _ends(estimate, higher_is_better) for key, estimate in values.items()}
    ranks = {key: 1 + sum(other_worst > best for other_worst, _ in ends.values()) for key, (_, best) in ends.items()}
    shared = list(ranks.values())
    return {key: (rank, shared.count(rank) > 1) for key, rank in ranks.items()}


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
