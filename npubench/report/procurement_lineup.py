"""Set the candidates of a store beside each other: one standing a candidate and place, with its repeats, loads and rank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from npubench.analyze.estimate import Estimate
from npubench.contract.options import nearest
from npubench.errors import InputError
from npubench.plan.hardware import Hardware
from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.alike import unlike_among
from npubench.report.comparison import build_page
from npubench.report.course import power_courses
from npubench.report.detail import unread
from npubench.report.page import ComparisonPage, Subject
from npubench.report.procurement_detail import MOST_PICTURES, MOST_RATIOS, Interest, choose_detail, choose_drawn
from npubench.report.procurement_loads import Measurement, choose_loads, load_of
from npubench.report.procurement_offers import Lineup, Place, Spot, Standing, ranks_of
from npubench.report.ratio import compare, read_measured
from npubench.report.run_plots import MOST


def line_up(
    entries: Sequence[Entry],
    reference: str = "",
    hardware: Hardware | None = None,
    batches: Iterable[int] = (),
    *,
    interest: Interest | None = None,
    most: int | None = None,
) -> Lineup:
    """Set all candidates among ``entries`` beside each other, and beside the reference.

    Args:
        entries: Runs of a store; of one load that was measured more than once, the strictest and latest counts, and of several
            loads the best that may be ranked (``procurement_loads``).
        reference: The reference as target, ``target/precision``, or the label it has in a report; empty for none.
        hardware: The hardware catalogue; the installed one where it is ``None``.
        batches: Batches that runs are wanted of by themselves as well.
        interest: What the buyer has asked about; it is seen to first where not everything is detailed.
        most: How many cells are detailed (``procurement_detail``); all for ``None``.

    Raises:
        InputError: There is no such reference, or there are several; names them.
    """
    measured = choose_loads(entries)
    chosen = [_without_round(entry) for loads in measured.values() for entry in loads[0].entries]
    chosen.sort(key=lambda entry: entry.record.run_id)
    interest = interest or Interest()
    cut = most is not None and len(measured) > most
    label = _reference_label(reference, chosen) if reference else None
    page = build_page("", unread(chosen) if cut else chosen, label, hardware, 0 if cut else MOST)
    base = page.baseline if reference else ""
    by_run = {(e.record.system.system_id, e.record.run_id): e for e in chosen}
    systems = {subject.key: subject.system_id for subject in page.subjects}
    energies = {(row.workload, row.scenario): {cell.subject: cell for cell in row.cells} for row in page.energy}
    spots = []
    for table in page.tables:
        for row in table.rows:
            place = (row.workload, table.scenario)
            standings = []
            for cell in row.cells:
                records = tuple(by_run[systems[cell.subject], run].record for run in cell.run_id.split(", "))
                loads = _loads(measured, records[0])
                standings.append(Standing(cell.subject, cell, energies[place][cell.subject], records, loads=loads))
            standings.sort(key=lambda standing: standing.offer != base)
            ranked = _ranked(standings, table.headline, table.higher_is_better)
            spots.append(Spot(place, row.title, _brief(row.title), row.task, row.gate_metric, row.gate_higher_is_better, ranked))
    offers = tuple(sorted(page.subjects, key=lambda subject: subject.key != base))
    if cut and most is not None:
        shown = choose_detail(spots, base, offers, interest, most)
        page, spots = _look_closer(page, spots, by_run, shown, base, interest, hardware)
    against = next((subject for subject in offers if subject.key == base), None)
    return Lineup(
        page=page,
        offers=offers,
        reference=base,
        spots=tuple(sorted(spots, key=lambda spot: spot.place)),
        superseded=len(entries) - sum(len(each.entries) for loads in measured.values() for each in loads),
        # Of these the page shows nothing; the requirement sheet is held against them.
        batches={
            batch: _with_batch(entries, batch, against, hardware, interest.of_batch(batch), 0 if cut else None)
            for batch in sorted(set(batches))
        },
    )


def _look_closer(
    page: ComparisonPage,
    spots: Sequence[Spot],
    by_run: Mapping[tuple[str, str], Entry],
    shown: frozenset[tuple[Place, str]],
    base: str,
    interest: Interest,
    hardware: Hardware | None,
) -> tuple[ComparisonPage, list[Spot]]:
    """Read the traces of what is detailed, and of those whose ratio is asked for, into a comparison that was made without any."""

    def entries_of(standing: Standing) -> list[Entry]:
        return [by_run[record.system.system_id, record.run_id] for record in standing.records]

    closer = [entry for spot in spots for s in spot.standings if (spot.place, s.offer) in shown for entry in entries_of(s)]
    reference = next((subject for subject in page.subjects if subject.key == base), None)
    seen = build_page("", closer, _label_of(reference, closer), hardware, 0) if closer else None
    tables = seen.tables if seen is not None else ()
    ratios = {((row.workload, t.scenario), cell.subject): cell.ratio for t in tables for row in t.rows for cell in row.cells}
    asked = interest.asks_ratio(None)
    wanted = choose_detail([spot for spot in spots if spot.place in asked], base, page.subjects, interest, MOST_RATIOS)
    made = []
    for spot in spots:
        against = spot.of(base)
        measured = None if against is None or spot.place not in asked else read_measured(entries_of(against))
        standings = []
        for standing in spot.standings:
            ratio, detailed = standing.cell.ratio, (spot.place, standing.offer) in shown
            if detailed:
                ratio = ratios[spot.place, standing.offer]
            elif ratio is not None and measured is not None and (spot.place, standing.offer) in wanted:
                ratio = compare(read_measured(entries_of(standing)), measured)
            elif ratio is not None and against is not None and ratio.reason == "damaged-trace":
                # It could be formed and is not; in what the two are unlike is said all the same.
                ratio = replace(ratio, reason="not-detailed", unlike=unlike_among(standing.records, against.records))
            standings.append(replace(standing, cell=replace(standing.cell, ratio=ratio), detailed=detailed))
        made.append(replace(spot, standings=tuple(standings)))
    drawn = choose_drawn(made, interest, MOST_PICTURES)
    made = [replace(spot, drawn=spot.place in drawn) for spot in made]
    powered: dict[str, dict[Place, list[Entry]]] = {}
    for spot in made:
        for standing in spot.detailed if spot.drawn else ():
            powered.setdefault(standing.offer, {})[spot.place] = entries_of(standing)
    distributions = seen.distributions if seen is not None else ()
    return replace(page, distributions=distributions, courses=power_courses(powered, MOST)), made


def _label_of(wanted: Subject | None, entries: Sequence[Entry]) -> str | None:
    """Return the label that a candidate has among ``entries``; ``None`` where it is not there."""
    named = None if wanted is None else (wanted.target, wanted.precision, wanted.system_id)
    return next((label for label, each in _labels(entries).items() if each == named), None)


def _with_batch(
    entries: Sequence[Entry],
    batch: int,
    against: Subject | None,
    hardware: Hardware | None,
    interest: Interest,
    most: int | None,
) -> Lineup:
    """Return candidates by their runs with one batch; without a reference where that was not measured with it."""
    there = [entry for entry in entries if load_of(entry.record).batch == batch]
    return line_up(there, _label_of(against, there) or "", hardware, interest=interest, most=most)


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
