"""A section a workload and scenario: candidates beside the reference with the six metrics, ratios, power, and percentiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.roofline import Roofline
from npubench.report.detail import MOST_MISSING
from npubench.report.document import (
    Block,
    Cell,
    Column,
    Grid,
    Mark,
    Notice,
    Paragraph,
    Phrase,
    Reason,
    Row,
    Section,
    Text,
    Titles,
)
from npubench.report.efficiency import POLICY
from npubench.report.page import EnergyLine, Subject
from npubench.report.procurement_detail import count_detailed, some_names
from npubench.report.procurement_loads import load_of
from npubench.report.procurement_measured import batch_cell, load_blocks
from npubench.report.procurement_offers import Lineup, Place, Spot, Standing, latency, metric, power, utilisation
from npubench.report.procurement_plots import place_plots
from npubench.report.verdicts import conditions, policy_mark, status_mark, times, verdict_mark

#: The percentiles that are shown beside each other.
TAIL = ("latency_p50", "latency_p90", "latency_p99", "latency_p999", "latency_max")

#: The six metrics of ITU-T F.748.11, in its order.
SIX = ("latency", "throughput", "power", "efficiency", "utilisation", "accuracy")


def place_section(lineup: Lineup, spot: Spot) -> Section:
    """Return the section of one place, on those that are detailed."""
    workload, scenario = spot.place
    name = f"place-{workload}-{scenario}"
    blocks: list[Block] = [
        Paragraph(
            (
                Phrase("procurement.place.lead", {"title": Titles(spot.title, workload), "task": Titles(spot.task, workload)}),
                Phrase("procurement.place.gate", {"metric": spot.gate_metric, "rule": spot.standings[0].records[0].bundle.rule}),
            )
        ),
        _metrics(lineup, spot, name),
        _standing_grid(lineup, spot, name),
        *load_blocks(lineup, spot, name),
    ]
    if lineup.reference:
        blocks.append(_ratios(lineup, spot, name))
    if any(standing.energy.lines for standing in spot.detailed):
        blocks.append(_power(lineup, spot, name))
    if scenario != "offline":
        blocks.append(_tail(lineup, spot, name))
    return Section(
        name=name,
        heading=place_heading(spot),
        blocks=(*blocks, *(place_plots(lineup, spot, name) if spot.drawn else ())),
    )


def heading_cell(lineup: Lineup, standing: Standing) -> Cell:
    """Return what stands before a candidate's row: its label, and whether it is the reference or no hardware."""
    remark = None
    if standing.cell.unranked == "simulated" or any(record.system.simulated for record in standing.records):
        remark = Phrase("document.simulated")
    elif standing.offer == lineup.reference:
        remark = Phrase("procurement.reference")
    return Cell(Text(lineup.label(standing.offer)), standing.runs, remark)


def six_metrics(standing: Standing) -> tuple[Estimate, ...]:
    """Return the six metrics in the order of :data:`SIX`."""
    return (
        latency(standing),
        metric(standing, "throughput", "samples/s"),
        power(standing, "watts", "W"),
        power(standing, "samples_per_joule", "samples/J"),
        utilisation(standing),
        metric(standing, "accuracy", standing.records[0].bundle.metric_unit),
    )


def _metrics(lineup: Lineup, spot: Spot, name: str) -> Grid:
    line_remarks = [_domain(standing.line()) for standing in spot.detailed]
    rows = []
    for standing, remark in zip(spot.detailed, line_remarks, strict=True):
        cells = [Cell(value, standing.runs) for value in six_metrics(standing)]
        cells[2] = Cell(cells[2].content, standing.runs, remark)
        cells[3] = Cell(cells[3].content, standing.runs, remark)
        cells[4] = Cell(cells[4].content, standing.runs, _peak(standing.energy.roofline))
        rows.append(Row(heading_cell(lineup, standing), tuple(cells)))
    return Grid(
        name=f"{name}-metrics",
        caption=Phrase("procurement.metrics.caption"),
        columns=(
            Column(Phrase("document.column.candidate")),
            Column(Phrase("procurement.column.latency", {"percentile": _percentile(spot)}), True),
            *(Column(Phrase(f"procurement.column.{each}"), True) for each in SIX[1:5]),
            Column(Phrase("procurement.column.accuracy", {"metric": spot.gate_metric}), True),
        ),
        rows=tuple(rows),
        remarks=(Phrase("procurement.metrics.remark"),),
    )


def _percentile(spot: Spot) -> float:
    return spot.standings[0].records[0].spec.load.percentile * 100


def _domain(line: EnergyLine | None) -> Phrase | None:
    if line is None:
        return None
    return Phrase("procurement.domain", {"domain": line.domain, "evidence": line.evidence})


def _peak(roof: Roofline) -> Phrase | None:
    """Return which declared peak a utilisation is of, or the doubt that one above it raises."""
    if roof.compute is None or roof.peak is None:
        return None
    if roof.doubt == "above-peak":
        return Phrase("doubt.above-peak")
    return Phrase("procurement.peak", {"peak": roof.peak.value, "unit": roof.peak.unit, "source": roof.peak.source})


def _standing_grid(lineup: Lineup, spot: Spot, name: str) -> Grid:
    """Return rank, validity, grade and doubts of every candidate."""
    rows = []
    for standing in spot.detailed:
        doubts = [finding.rule for finding in standing.cell.findings if finding.severity != "note"]
        rows.append(
            Row(
                heading_cell(lineup, standing),
                (
                    Cell(rank_mark(standing), standing.runs),
                    Cell(
                        status_mark(standing.cell.status),
                        standing.runs,
                        Reason(standing.trouble) if standing.trouble else None,
                    ),
                    Cell(Phrase(f"grade.{standing.cell.grade}"), standing.runs),
                    Cell(len(standing.records), standing.runs),
                    batch_cell(standing),
                    Cell(load_of(standing.records[0]).in_flight, standing.runs),
                    Cell(_doubts(doubts), standing.runs),
                ),
            )
        )
    return Grid(
        name=f"{name}-standing",
        caption=Phrase("procurement.standing.caption"),
        columns=(
            Column(Phrase("document.column.candidate")),
            Column(Phrase("procurement.column.rank")),
            Column(Phrase("document.column.status")),
            Column(Phrase("document.column.grade")),
            Column(Phrase("procurement.column.repeats"), True),
            Column(Phrase("procurement.column.batch"), True),
            Column(Phrase("procurement.column.in-flight"), True),
            Column(Phrase("procurement.column.findings")),
        ),
        rows=tuple(rows),
        remarks=(Phrase("procurement.standing.remark"),),
    )


def _doubts(rules: Iterable[str]) -> Phrase:
    once = list(dict.fromkeys(rules))
    return Phrase("procurement.findings", {"rules": ", ".join(once)}) if once else Phrase("procurement.findings.none")


def rank_mark(standing: Standing) -> Mark | Phrase:
    """Return a candidate's rank in its place among all candidates there, or why it has none."""
    if standing.rank is not None:
        word = Phrase("procurement.rank.tied" if standing.tied else "procurement.rank", {"rank": standing.rank})
        return Mark("tie", word) if standing.tied else Mark("best", word) if standing.rank == 1 else word
    if standing.cell.rank is not None:
        return Phrase("procurement.unranked.interval")
    return Phrase("procurement.unranked", {"why": standing.cell.unranked or "single"})


def _ratios(lineup: Lineup, spot: Spot, name: str) -> Grid:
    rows = []
    for standing in spot.detailed:
        if standing.offer == lineup.reference:
            continue
        energy = standing.compared()
        found = energy.ratio if energy is not None else None
        rows.append(
            Row(
                heading_cell(lineup, standing),
                (
                    Cell(times(standing.cell.ratio), standing.runs),
                    Cell(verdict_mark(standing.cell.ratio), standing.runs),
                    Cell(times(found, "no energy was measured"), standing.runs),
                    Cell(policy_mark(energy), standing.runs),
                    Cell(conditions(standing.cell.ratio, found), standing.runs),
                ),
            )
        )
    return Grid(
        name=f"{name}-ratios",
        caption=Phrase("procurement.ratios.caption", {"reference": lineup.label(lineup.reference)}),
        columns=(
            Column(Phrase("document.column.candidate")),
            Column(Phrase("procurement.column.speed-ratio"), True),
            Column(Phrase("document.column.verdict")),
            Column(Phrase("procurement.column.efficiency-ratio"), True),
            Column(Phrase("procurement.column.policy", {"policy": POLICY})),
            Column(Phrase("procurement.column.unlike")),
        ),
        rows=tuple(rows),
        remarks=(Phrase("procurement.ratios.remark", {"policy": POLICY}),),
    )


def _power(lineup: Lineup, spot: Spot, name: str) -> Grid:
    """Return every kind of evidence of every candidate apart; none is ever set beside another's."""
    rows = []
    for standing in spot.detailed:
        for line in standing.energy.lines:
            figures = (line.watts, line.idle_watts, line.peak_watts, line.joules_per_sample, line.samples_per_joule)
            share = absent("share", "not kept") if line.coverage is None else Estimate(line.coverage, "share")
            rows.append(
                Row(
                    heading_cell(lineup, standing),
                    (
                        Cell(Phrase(f"domain.{line.domain}"), standing.runs, Phrase(f"evidence.{line.evidence}")),
                        *(Cell(figure, standing.runs) for figure in figures),
                        Cell(share, standing.runs),
                    ),
                )
            )
    return Grid(
        name=f"{name}-power",
        caption=Phrase("procurement.power.caption"),
        columns=(
            Column(Phrase("document.column.candidate")),
            Column(Phrase("procurement.column.evidence")),
            *(Column(Phrase(f"procurement.column.{each}"), True) for each in ("power", "idle", "peak", "joules", "efficiency")),
            Column(Phrase("procurement.column.coverage"), True),
        ),
        rows=tuple(rows),
        remarks=(Phrase("procurement.power.remark"),),
    )


def _tail(lineup: Lineup, spot: Spot, name: str) -> Grid:
    return Grid(
        name=f"{name}-tail",
        caption=Phrase("procurement.tail.caption"),
        columns=(Column(Phrase("document.column.candidate")), *(Column(Phrase(f"metric.{each}"), True) for each in TAIL)),
        rows=tuple(
            Row(
                heading_cell(lineup, standing),
                tuple(Cell(metric(standing, each), standing.runs) for each in TAIL),
            )
            for standing in spot.detailed
        ),
    )


def missing_section(lineup: Lineup) -> Section:
    """Return what is missing of whom, and why: a row a place and reason, and one row for what is missing everywhere.

    Where not all cells are detailed, it is of those that are, and of candidates in the tables that were not run in a place.
    """
    gone: dict[tuple[tuple[str, ...], str], dict[Place, list[Subject]]] = {}
    spots = [spot for spot in lineup.spots if spot.detailed]
    for spot in spots:
        for subject in lineup.listed:
            standing = spot.of(subject.key)
            for what, reason in _missing(spot, standing) if standing is None or standing.detailed else ():
                gone.setdefault((what, reason), {}).setdefault(spot.place, []).append(subject)
    rows = []
    for (what, reason), places in gone.items():
        everywhere = len(places) == len(spots) > 1 and all(len(who) == len(lineup.offers) for who in places.values())
        for place, who in list(places.items())[: 1 if everywhere else None]:
            there = lineup.spot(place)
            assert there is not None, "it was gone through above"
            standings = [] if everywhere else [standing for s in who if (standing := there.of(s.key)) is not None]
            runs = tuple(run for standing in standings for run in standing.runs)
            where = Phrase("procurement.missing.everywhere") if everywhere else place_heading(there)
            names = Text(some_names(lineup, [subject.label for subject in who]))
            metrics = Phrase("procurement.missing.metrics", {"metrics": ", ".join(what)})
            cells = (
                Cell(Phrase("procurement.missing.everybody") if len(who) == len(lineup.offers) else names, runs),
                Cell(metrics if what else Phrase("procurement.missing.all"), runs),
                Cell(Reason(reason), runs),
            )
            rows.append(Row(Cell(where, runs), cells))
    kept = rows if lineup.whole else rows[:MOST_MISSING]
    remarks = [] if lineup.whole else [Phrase("procurement.others.missing", count_detailed(lineup))]
    if len(rows) > len(kept):
        remarks.append(Phrase("procurement.others.rows", {"count": len(rows) - len(kept)}))
    grid = Grid(
        name="missing",
        caption=Phrase("procurement.missing.caption"),
        columns=(
            Column(Phrase("procurement.column.place")),
            Column(Phrase("procurement.column.who")),
            Column(Phrase("procurement.column.missing")),
            Column(Phrase("document.column.reason")),
        ),
        rows=tuple(kept),
        remarks=tuple(remarks),
    )
    nothing = Notice("note", Phrase("procurement.missing.none"))
    return Section("missing", Phrase("procurement.missing.heading"), (grid if rows else nothing,))


def _missing(spot: Spot, standing: Standing | None) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield which of the six metrics a candidate lacks in a place, and why; no names for all of them."""
    if standing is None:
        yield (), "not run"
        return
    gone: dict[str, list[str]] = {}
    for each, value in zip(SIX, six_metrics(standing), strict=True):
        if value.value is None and not (each == "latency" and spot.place[1] == "offline"):
            gone.setdefault(value.reason or "not measured", []).append(each)
    for reason, names in gone.items():
        yield tuple(names), reason


def place_heading(spot: Spot) -> Phrase:
    """Return what a place is called."""
    return Phrase("procurement.place.heading", {"workload": Titles(spot.brief, spot.place[0]), "scenario": spot.place[1]})
