"""The plots of a place as data, each with its table: latency and its tail, efficiency over throughput, roofline, power."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.document import (
    Axis,
    Block,
    Cell,
    Column,
    Grid,
    Mark,
    Phrase,
    Plot,
    Point,
    Row,
    Series,
    Text,
    Titles,
)
from npubench.report.procurement_offers import Lineup, Spot, Standing, metric
from npubench.report.run_plots import MOST, Drawn, Nature, latency_plot, power_plot, roofline_plot

#: What heads the labels of those who are drawn.
WHOM = Phrase("document.column.candidate")


def place_plots(lineup: Lineup, spot: Spot, name: str) -> tuple[Block, ...]:
    """Return the plots of one place."""
    return (
        *_latencies(lineup, spot, name),
        *_pareto(lineup, spot, name),
        *_rooflines(lineup, spot, name),
        *_courses(lineup, spot, name),
    )


def _nature(standing: Standing) -> Nature:
    return "simulated" if any(record.system.simulated for record in standing.records) else "measured"


def _drawn(lineup: Lineup, standing: Standing) -> Drawn:
    return Drawn(lineup.label(standing.offer), standing.runs, _nature(standing))


def _where(spot: Spot) -> dict[str, str | Titles]:
    return {"workload": Titles(spot.brief, spot.place[0]), "scenario": spot.place[1]}


def _latencies(lineup: Lineup, spot: Spot, name: str) -> Iterator[Plot]:
    found = next((d for d in lineup.page.distributions if (d.workload, d.scenario) == spot.place), None)
    curves = {curve.subject: curve for curve in found.curves} if found is not None else {}
    drawn = [
        (_drawn(lineup, standing), curves[standing.offer], metric(standing, "latency_max").n or 0)
        for standing in spot.detailed
        if standing.offer in curves
    ]
    if found is not None and drawn:
        yield latency_plot(drawn, found.bound_ns, _where(spot), f"{name}-latency", WHOM)


def _pareto(lineup: Lineup, spot: Spot, name: str) -> Iterator[Plot]:
    """Yield efficiency over throughput, a picture a domain and evidence, with those that nobody beats in both."""
    kinds = dict.fromkeys((line.domain, line.evidence) for s in spot.detailed for line in s.energy.lines)
    for n, kind in enumerate(kinds, start=1):
        there = [(s, line) for s in spot.detailed for line in s.energy.lines if (line.domain, line.evidence) == kind]
        known = [
            (s, rate, line.samples_per_joule)
            for s, line in there
            if (rate := metric(s, "throughput", "samples/s")).value is not None and line.samples_per_joule.value is not None
        ]
        if len(known) < 2:
            continue
        front = _front([(float(rate.value or 0.0), float(each.value or 0.0)) for _, rate, each in known])
        rows, series = [], []
        for (standing, rate, each), best in zip(known, front, strict=True):
            label = lineup.label(standing.offer)
            point = Point(float(rate.value or 0.0), each.value, each.low, each.high, label)
            series.append(Series(Text(label), (point,), _nature(standing), joined=False))
            word = Mark("best", Phrase("procurement.pareto.front")) if best else Phrase("procurement.pareto.behind")
            cells = (Cell(rate, standing.runs), Cell(each, standing.runs), Cell(word, standing.runs))
            rows.append(Row(Cell(Text(label), standing.runs), cells))
        line = sorted((p.points[0] for p, best in zip(series, front, strict=True) if best), key=lambda point: point.x)
        if len(line) > 1:
            joined = tuple(Point(point.x, point.y) for point in line)
            series.append(Series(Phrase("procurement.pareto.front"), joined, "measured"))
        yield Plot(
            name=f"{name}-pareto-{n}",
            caption=Phrase("procurement.plot.pareto.caption", {**_where(spot), "domain": kind[0], "evidence": kind[1]}),
            alt=Phrase("procurement.plot.pareto.alt", {**_where(spot), "count": len(known), "front": sum(front)}),
            form="points",
            x=Axis(Phrase("metric.throughput"), "samples/s", from_zero=True),
            y=Axis(Phrase("procurement.column.efficiency"), "samples/J", from_zero=True),
            series=tuple(series),
            table=Grid(
                name=f"{name}-pareto-{n}-data",
                caption=Phrase("procurement.plot.pareto.data"),
                columns=(
                    Column(Phrase("document.column.candidate")),
                    Column(Phrase("metric.throughput"), True),
                    Column(Phrase("procurement.column.efficiency"), True),
                    Column(Phrase("procurement.pareto.heading")),
                ),
                rows=tuple(rows),
            ),
        )


def _front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each point whether no other is as good in both and better in one."""
    return [not any(u >= x and v >= y and (u > x or v > y) for u, v in points) for x, y in points]


def _rooflines(lineup: Lineup, spot: Spot, name: str) -> Iterator[Plot]:
    """Yield operations/s over operations a byte under the declared roofs, for those whose device has one."""
    drawn = [s for s in spot.detailed if s.energy.roofline.peak and s.energy.roofline.intensity and s.energy.roofline.operations]
    if drawn:
        caption = Phrase("plot.roofline.caption", _where(spot))
        alt = Phrase("plot.roofline.alt", {**_where(spot), "count": len(drawn)})
        runs = [(_drawn(lineup, standing), standing.energy.roofline) for standing in drawn]
        yield roofline_plot(runs, caption, alt, f"{name}-roofline", WHOM)


def _courses(lineup: Lineup, spot: Spot, name: str) -> Iterator[Plot]:
    """Yield power over time with the phases, a picture a candidate."""
    mine = [course for course in lineup.page.courses if (course.workload, course.scenario) == spot.place]
    for n, course in enumerate(mine[:MOST], start=1):
        standing = spot.of(course.subject)
        drawn = Drawn(lineup.label(course.subject), (course.run_id,), _nature(standing) if standing else "measured")
        yield power_plot(course, drawn, _where(spot), f"{name}-course-{n}")


def batch_plots(lineup: Lineup, entries: Sequence[Entry]) -> tuple[Plot, ...]:
    """Return throughput over batch for every workload that some target was measured at with several batches, offline.

    Of runs of one batch the strictest and latest counts; other rounds and load settings are not mixed in. Candidates that are
    not detailed there are left out.
    """
    found: dict[str, dict[tuple[str, str, str], dict[int, Entry]]] = {}
    strictness = {"official": 2, "nightly": 1, "smoke": 0}
    for entry in sorted(entries, key=lambda e: (strictness[e.record.spec.grade], e.record.provenance.started_at)):
        record, spec = entry.record, entry.record.spec
        batch = record.provenance.settings.get("batch")
        rate = record.metrics.get("throughput")
        if spec.load.scenario.value == "offline" and isinstance(batch, int) and rate is not None and rate.value is not None:
            found.setdefault(spec.workload, {}).setdefault(_who(record), {})[batch] = entry
    plots = []
    for workload, curves in sorted(found.items()):
        spot = lineup.spot((workload, "offline"))
        shown = {_who(standing.records[0]) for standing in spot.detailed} if spot is not None else set()
        several = {key: points for key, points in curves.items() if len(points) > 1 and key in shown}
        if several:
            plots.append(_batches(workload, several))
    return tuple(plots)


def _who(record: Record) -> tuple[str, str, str]:
    return record.system.system_id, record.spec.target.name, record.spec.precision


def _batches(workload: str, curves: dict[tuple[str, str, str], dict[int, Entry]]) -> Plot:
    first = next(iter(next(iter(curves.values())).values())).record
    where = {"workload": Titles(first.bundle.title, workload)}
    series, rows = [], []
    for (_, target, precision), points in curves.items():
        label = f"{target} · {precision}"
        made = []
        for batch, entry in sorted(points.items()):
            record = entry.record
            rate = record.metrics["throughput"]
            made.append(Point(float(batch), rate.value, rate.low, rate.high))
            status = Phrase(f"status.{record.status}")
            rows.append(Row(Cell(Text(label), (record.run_id,)), (Cell(batch), Cell(rate, (record.run_id,)), Cell(status))))
        nature: Nature = "simulated" if any(e.record.system.simulated for e in points.values()) else "measured"
        series.append(Series(Text(label), tuple(made), nature))
    return Plot(
        name=f"batch-{workload}",
        caption=Phrase("procurement.plot.batch.caption", where),
        alt=Phrase("procurement.plot.batch.alt", {**where, "count": len(series)}),
        form="lines",
        x=Axis(Phrase("procurement.column.batch"), "", logarithmic=True),
        y=Axis(Phrase("metric.throughput"), "samples/s", from_zero=True),
        series=tuple(series[:MOST]),
        table=Grid(
            name=f"batch-{workload}-data",
            caption=Phrase("procurement.plot.batch.data"),
            columns=(
                Column(Phrase("document.column.candidate")),
                Column(Phrase("procurement.column.batch"), True),
                Column(Phrase("metric.throughput"), True),
                Column(Phrase("document.column.status")),
            ),
            rows=tuple(rows),
        ),
    )
