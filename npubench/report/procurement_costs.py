"""What running the candidates comes to, input by input: electricity, the total over a term, sensitivity, and sizing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from npubench.analyze.estimate import Estimate, absent
from npubench.plan.hardware import Hardware, declared_tdp
from npubench.report.document import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Grid,
    Notice,
    Paragraph,
    Phrase,
    Row,
    Section,
    Setting,
    Text,
    Titles,
)
from npubench.report.operating_cost import (
    LOADS,
    PUES,
    TARIFFS,
    Costs,
    Service,
    electricity_per_year,
    krw_per_million,
    kwh_per_year,
    total_cost,
)
from npubench.report.page import EnergyLine
from npubench.report.procurement_detail import count_detailed
from npubench.report.procurement_offers import Lineup, Spot, Standing, metric
from npubench.report.procurement_places import heading_cell
from npubench.report.sizing import Sized, size_all
from npubench.report.verdicts import status_mark

#: What covers a whole server; everything else is the device alone, without host, fans and power supply.
WHOLE = ("host", "wall")


def cost_sections(lineup: Lineup, costs: Costs, hardware: Hardware) -> tuple[Section, ...]:
    """Return the sections on cost, and on sizing where the file has services."""
    made = [
        Section(
            "cost",
            Phrase("procurement.cost.heading"),
            (
                Paragraph(
                    (Phrase("procurement.cost.lead"), Phrase("procurement.cost.formula"), Phrase("procurement.cost.basic"))
                ),
                *_notices(lineup, costs),
                _inputs(costs),
                *_prices(costs),
                *_declared(lineup, costs, hardware),
            ),
            tuple(_place(lineup, spot, costs) for spot in lineup.spots if any(s.energy.lines for s in spot.detailed)),
        )
    ]
    if costs.file.service:
        sized = tuple(_service(lineup, service, costs, n) for n, service in enumerate(costs.file.service, start=1))
        lead = Paragraph((Phrase("procurement.sizing.lead"), Phrase("procurement.sizing.formula")))
        made.append(Section("sizing", Phrase("procurement.sizing.heading"), (lead,), sized))
    return tuple(made)


def _notices(lineup: Lineup, costs: Costs) -> Iterator[Block]:
    """Yield what keeps the section from having figures."""
    if costs.file.pue is None:
        yield Notice("warning", Phrase("procurement.cost.no-pue"))
    if not lineup.whole:
        yield Notice("note", Phrase("procurement.others.costs", count_detailed(lineup)))
    without = sum(not any(s.energy.lines for s in spot.standings) for spot in lineup.spots)
    if without:
        yield Notice("warning", Phrase("procurement.cost.no-power", {"places": without, "all": len(lineup.spots)}))


def _inputs(costs: Costs) -> Grid:
    """Return every input with its source, so that the table can be worked out again by hand."""
    file, tariff = costs.file, costs.file.tariff
    own = Phrase("procurement.cost.file")
    rows: list[tuple[Phrase, Setting, Text | Phrase, str]] = [
        (
            Phrase("procurement.input.price", {"name": tariff.name}),
            Setting(costs.price, "KRW/kWh"),
            Text(tariff.source),
            tariff.date,
        )
    ]
    for period in tariff.period:
        name = Phrase("procurement.input.period", {"name": period.name, "hours": period.hours_per_year})
        rows.append((name, Setting(period.krw_per_kwh, "KRW/kWh"), Text(tariff.source), tariff.date))
    basic = Setting(tariff.basic_krw_per_kw_month, "KRW/(kW·month)")
    rows.append((Phrase("procurement.input.basic", {"name": tariff.name}), basic, Text(tariff.source), tariff.date))
    if file.pue is not None:
        rows.append((Phrase("procurement.input.pue"), Setting(file.pue.value, ""), Text(file.pue.source), file.pue.date))
    rows += [
        (Phrase("procurement.input.utilisation"), Setting(file.utilisation, "share"), own, ""),
        (Phrase("procurement.input.term"), Setting(float(file.term_years), "years"), own, ""),
        (Phrase("procurement.input.discount"), Setting(file.discount_rate, "share"), own, ""),
    ]
    return Grid(
        name="cost-inputs",
        caption=Phrase("procurement.cost.inputs", {"name": file.name}),
        columns=(
            Column(Phrase("document.column.item")),
            Column(Phrase("document.column.value"), True),
            Column(Phrase("document.column.source")),
            Column(Phrase("document.column.date")),
        ),
        rows=tuple(
            Row(Cell(name), (Cell(value), Cell(source), Cell(Text(date) if date else None))) for name, value, source, date in rows
        ),
        remarks=(Phrase("procurement.cost.flat-load"),) if tariff.period else (),
    )


def _prices(costs: Costs) -> Iterator[Grid]:
    if costs.file.device:
        yield Grid(
            name="cost-devices",
            caption=Phrase("procurement.cost.devices"),
            columns=(
                Column(Phrase("document.column.target")),
                Column(Phrase("procurement.column.capital"), True),
                Column(Phrase("procurement.column.upkeep"), True),
                Column(Phrase("procurement.column.count"), True),
                Column(Phrase("document.column.source")),
            ),
            rows=tuple(
                Row(
                    Cell(Text(device.target)),
                    (
                        Cell(Setting(device.capital_krw, "KRW")),
                        Cell(Setting(device.maintenance_krw_per_year, "KRW")),
                        Cell(device.count),
                        Cell(Text(device.source)),
                    ),
                )
                for device in costs.file.device
            ),
        )


def _declared(lineup: Lineup, costs: Costs, hardware: Hardware) -> Iterator[Grid]:
    """Yield electricity by declared TDP, apart from everything measured: what a vendor says, at all hours, and no more."""
    rows = []
    for subject in lineup.listed:
        kinds = {
            s.records[0].system.device.get("kind", "")
            for spot in lineup.spots
            if (s := spot.of(subject.key)) and not subject.simulated
        }
        entries = {entry.name: entry for kind in kinds if (entry := hardware.find(kind)) is not None}
        for entry in entries.values():
            for tdp in declared_tdp(entry)[:1]:
                watts = Estimate(tdp.size, "W")
                year = kwh_per_year(watts, watts, 1.0)
                cost = absent("KRW", "no operator-declared PUE: see the table of sensitivity")
                if costs.pue is not None:
                    cost = electricity_per_year(year, watts, costs, costs.pue)
                source = Phrase("procurement.source", {"source": tdp.source, "date": tdp.date})
                rows.append(
                    Row(Cell(Text(subject.label), (), Phrase("document.declared")), (Cell(watts), Cell(cost), Cell(source)))
                )
    if rows:
        yield Grid(
            name="cost-declared",
            caption=Phrase("procurement.cost.declared"),
            columns=(
                Column(Phrase("document.column.candidate")),
                Column(Phrase("procurement.column.tdp"), True),
                Column(Phrase("procurement.column.yearly"), True),
                Column(Phrase("document.column.source")),
            ),
            rows=tuple(rows),
            remarks=(Phrase("procurement.cost.declared-remark"),),
        )


def _place(lineup: Lineup, spot: Spot, costs: Costs) -> Section:
    """Return the costs of one place: what whole servers draw and what devices draw, in tables of their own."""
    workload, scenario = spot.place
    name = f"cost-{workload}-{scenario}"
    blocks: list[Block] = []
    for part, whole in (("whole", True), ("device", False)):
        lines = [(s, line) for s in spot.detailed for line in s.energy.lines if (line.domain in WHOLE) == whole]
        if lines:
            blocks.append(_costs(lineup, lines, costs, f"{name}-{part}", part))
            if spot.drawn:
                blocks.append(_sensitivity(lineup, lines, costs, f"{name}-{part}-sensitivity", part))
    without = [standing for standing in spot.detailed if not standing.energy.lines]
    if without:
        names = ", ".join(lineup.label(standing.offer) for standing in without)
        blocks.append(Notice("note", Phrase("procurement.cost.unmeasured", {"names": names})))
    return Section(
        name, Phrase("procurement.place.heading", {"workload": Titles(spot.brief, workload), "scenario": scenario}), tuple(blocks)
    )


Lines = Iterable[tuple[Standing, EnergyLine]]


def _costs(lineup: Lineup, lines: Lines, costs: Costs, name: str, part: str) -> Grid:
    rows = []
    for standing, line in lines:
        subject = lineup.subject(standing.offer)
        device = costs.device(subject.target)
        count = device.count if device is not None else 1
        energy = kwh_per_year(line.watts, line.idle_watts, costs.file.utilisation, count)
        yearly = absent("KRW", "no operator-declared PUE: see the table of sensitivity")
        if costs.pue is not None:
            yearly = electricity_per_year(energy, line.watts, costs, costs.pue, count)
        total = total_cost(yearly, device, costs, count)
        figures = (
            krw_per_million(line.joules_per_sample, costs.pue, costs.price),
            energy,
            yearly,
            total,
            _whole(standing, total, costs, count),
        )
        rows.append(
            Row(
                heading_cell(lineup, standing),
                (
                    Cell(Phrase(f"domain.{line.domain}"), standing.runs, Phrase(f"evidence.{line.evidence}")),
                    Cell(status_mark(standing.cell.status), standing.runs, _doubt(standing)),
                    Cell(count),
                    *(Cell(figure, standing.runs) for figure in figures),
                ),
            )
        )
    return Grid(
        name=name,
        caption=Phrase(f"procurement.cost.caption.{part}"),
        columns=(
            Column(Phrase("document.column.candidate")),
            Column(Phrase("procurement.column.evidence")),
            Column(Phrase("document.column.status")),
            Column(Phrase("procurement.column.count"), True),
            Column(Phrase("procurement.column.per-million"), True),
            Column(Phrase("procurement.column.kwh"), True),
            Column(Phrase("procurement.column.yearly"), True),
            Column(Phrase("procurement.column.total", {"years": costs.file.term_years}), True),
            Column(Phrase("procurement.column.all-per-million"), True),
        ),
        rows=tuple(rows),
        remarks=(Phrase(f"procurement.cost.remark.{part}"),),
    )


def _doubt(standing: Standing) -> Phrase | None:
    return Phrase("procurement.undecided", {"why": standing.decides}) if standing.decides else None


def _whole(standing: Standing, total: Estimate, costs: Costs, count: int) -> Estimate:
    """Return KRW of everything for a million samples: total ÷ (devices × throughput × time at load over the term)."""
    rate = metric(standing, "throughput", "samples/s")
    if total.value is None or not rate.value:
        return absent("KRW", total.reason or rate.reason or "not measured")
    millions = count * rate.value * costs.file.utilisation * costs.file.term_years * 8760 * 3600 / 1e6
    return Estimate(total.value / millions, "KRW")


def _sensitivity(lineup: Lineup, lines: Lines, costs: Costs, name: str, part: str) -> Grid:
    """Return electricity a year of one device under other tariffs, PUEs and utilisations, one thing changed at a time."""
    pues = sorted({*PUES, *([costs.pue] if costs.pue is not None else [])})
    own = costs.pue
    columns = [
        Column(Phrase("document.column.candidate")),
        *(Column(Phrase("procurement.column.pue", {"pue": pue}), True) for pue in pues),
    ]
    if own is not None:
        columns += [Column(Phrase("procurement.column.tariff", {"change": change}), True) for change in TARIFFS if change]
        columns += [Column(Phrase("procurement.column.load", {"load": load}), True) for load in LOADS]
    rows = []
    for standing, line in lines:
        energy = kwh_per_year(line.watts, line.idle_watts, costs.file.utilisation)
        cells = [electricity_per_year(energy, line.watts, costs, pue) for pue in pues]
        if own is not None:
            cells += [
                electricity_per_year(energy, line.watts, costs, own, price=costs.price * (1 + change))
                for change in TARIFFS
                if change
            ]
            for load in LOADS:
                cells.append(electricity_per_year(kwh_per_year(line.watts, line.idle_watts, load), line.watts, costs, own))
        heading = heading_cell(lineup, standing)
        where = Phrase("procurement.domain", {"domain": line.domain, "evidence": line.evidence})
        rows.append(Row(Cell(heading.content, heading.runs, where), tuple(Cell(value, standing.runs) for value in cells)))
    return Grid(
        name=name,
        caption=Phrase(f"procurement.sensitivity.caption.{part}"),
        columns=tuple(columns),
        rows=tuple(rows),
        remarks=(Phrase("procurement.sensitivity.remark"),),
    )


def _service(lineup: Lineup, service: Service, costs: Costs, number: int) -> Section:
    sized = size_all(lineup, service, costs)
    facts = Facts(
        (
            Fact(Phrase("document.column.workload"), Cell(Text(service.workload))),
            Fact(Phrase("procurement.sizing.load"), Cell(Setting(service.queries_per_s, "queries/s"))),
            Fact(Phrase("procurement.sizing.latency"), Cell(Setting(service.latency_ms * 1e6, "ns"))),
            Fact(Phrase("procurement.sizing.percentile"), Cell(Setting(service.percentile, "share"))),
            Fact(Phrase("procurement.sizing.headroom"), Cell(Setting(service.headroom, "share"))),
        )
    )
    return Section(f"sizing-{number}", Text(service.name), (facts, _sizes(lineup, sized, costs, f"sizing-{number}-devices")))


def _sizes(lineup: Lineup, sized: tuple[Sized, ...], costs: Costs, name: str) -> Grid:
    rows = []
    for each in sized:
        if each.offer in lineup.unlisted:
            continue
        remark = Phrase("procurement.reference") if each.offer == lineup.reference else None
        doubt = Phrase("procurement.undecided", {"why": each.doubt}) if each.doubt else None
        domain = Phrase(f"domain.{each.domain}") if each.domain and each.watts.value is not None else None
        devices = each.devices if each.devices.value is None else Setting(each.devices.value, "devices")
        rows.append(
            Row(
                Cell(Text(lineup.label(each.offer)), each.runs, remark),
                (
                    Cell(each.rate, each.runs),
                    Cell(devices, each.runs, doubt),
                    Cell(each.replaces, each.runs, _replaced(each)),
                    Cell(each.watts, each.runs, domain),
                    Cell(each.yearly, each.runs),
                    Cell(each.total, each.runs),
                ),
            )
        )
    return Grid(
        name=name,
        caption=Phrase("procurement.sizing.caption"),
        columns=(
            Column(Phrase("document.column.candidate")),
            Column(Phrase("procurement.column.certified"), True),
            Column(Phrase("procurement.column.devices"), True),
            Column(Phrase("procurement.column.replaces"), True),
            Column(Phrase("procurement.column.power"), True),
            Column(Phrase("procurement.column.yearly"), True),
            Column(Phrase("procurement.column.total", {"years": costs.file.term_years}), True),
        ),
        rows=tuple(rows),
        remarks=(Phrase("procurement.sizing.remark"),),
    )


def _replaced(each: Sized) -> Phrase | None:
    if each.devices.value is None or each.reference_devices.value is None:
        return None
    return Phrase("procurement.replaces", {"devices": each.devices.value, "reference": each.reference_devices.value})
