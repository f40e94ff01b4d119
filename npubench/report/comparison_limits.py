"""What limits the subjects of a comparison: their power limits, and the peaks that are declared of their devices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.roofline import Roofline
from npubench.report import page
from npubench.report.comparison_cast import WHOM, WORK, Cast, narrowed
from npubench.report.document import (
    Axis,
    Block,
    Cell,
    Column,
    Content,
    Grid,
    Mark,
    Notice,
    Paragraph,
    Phrase,
    Plot,
    Point,
    Row,
    Section,
    Series,
    Setting,
)
from npubench.report.run_plots import Drawn, peak_cell, roofline_plot

#: A limit as found this many times above the highest that was asked for does not bind, and would squeeze the others.
FAR = 1.5
#: What is on the axis of a sweep.
LIMIT = Phrase("comparison.column.power-limit")


def sweeps_section(cast: Cast) -> Section:
    """Return the power-limit sweeps; without blocks where there is none."""
    blocks: list[Block] = []
    for n, sweep in enumerate(cast.page.sweeps, start=1):
        blocks.append(_sweep(cast, sweep, f"sweep-{n}"))
        blocks += _sweep_plots(cast, sweep, f"sweep-{n}")
    lead: tuple[Block, ...] = (Paragraph((Phrase("comparison.sweep.lead"),)),) if blocks else ()
    shown, known = len(cast.page.sweeps), len(cast.all.sweeps)
    if shown < known:
        lead = (*lead, Notice("note", Phrase("comparison.others.sweeps", {"shown": shown, "all": known})))
    return Section("sweeps", Phrase("comparison.sweep.heading"), (*lead, *blocks))


def _sweep(cast: Cast, sweep: page.PowerSweep, name: str) -> Grid:
    rows = tuple(
        Row(Cell(_limit(point), remark=_state(cast, point)), tuple(_measured(cast, sweep, point))) for point in sweep.points
    )
    words = {**cast.where(sweep.workload, sweep.scenario), "label": sweep.label}
    by = (Phrase("procurement.domain", {"domain": sweep.domain, "evidence": sweep.evidence}),) if sweep.domain else ()
    unranked = (Phrase("comparison.sweep.unranked", {"why": sweep.unranked}),) if sweep.unranked else ()
    return Grid(
        name=name,
        caption=Phrase("comparison.sweep.caption", words),
        columns=(
            Column(LIMIT),
            Column(Phrase("metric.throughput"), True),
            Column(Phrase("procurement.column.power"), True),
            Column(Phrase("procurement.column.efficiency"), True),
            Column(Phrase("document.column.verdict")),
        ),
        rows=rows,
        remarks=(*by, *unranked),
    )


def _limit(point: page.PowerPoint) -> Content:
    if point.limit_watts is None:
        return Phrase("comparison.sweep.found-unknown")
    if not point.asked:
        return Phrase("comparison.sweep.found", {"watts": point.limit_watts})
    return Setting(point.limit_watts, "W")


def _state(cast: Cast, point: page.PowerPoint) -> Phrase | None:
    return Phrase("document.simulated") if cast.subjects[point.subject].simulated else None


def _measured(cast: Cast, sweep: page.PowerSweep, point: page.PowerPoint) -> Iterator[Cell]:
    """Yield throughput, power, efficiency and verdict of one limit; why there are none where it was not measured."""
    runs = _runs(cast, sweep, point)
    if point.throughput is None and point.line is None:
        yield Cell(absent("samples/s", point.reason or f"the run is {point.status}"), runs)
        yield from (Cell(None), Cell(None), Cell(Phrase(f"status.{point.status}"), runs))
        return
    gone = absent("", "not measured: no sensor or meter was read")
    yield Cell(point.throughput if point.throughput is not None else absent("samples/s", "not measured in this run"), runs)
    yield Cell(point.line.watts if point.line is not None else gone, runs)
    yield Cell(point.line.samples_per_joule if point.line is not None else gone, runs)
    marks = {"best": Mark("best", Phrase("sweep-mark.best")), "tie": Mark("tie", Phrase("sweep-mark.tie"))}
    invalid = Mark("fail", Phrase("status.invalid")) if point.status == "invalid" else None
    yield Cell(marks.get(point.mark, invalid), runs)


def _sweep_plots(cast: Cast, sweep: page.PowerSweep, name: str) -> Iterator[Plot]:
    """Yield efficiency and throughput over the limit; limits unknown or far beyond those asked for are in the table alone."""
    words = {**cast.where(sweep.workload, sweep.scenario), "label": sweep.label}
    there = _drawable(sweep)
    for what, unit in (("efficiency", "samples/J"), ("throughput", "samples/s")):
        heading = Phrase("procurement.column.efficiency" if what == "efficiency" else "metric.throughput")
        series, rows = [], []
        for asked in (True, False):
            found = [(p, e) for p in there if p.asked == asked and (e := _quantity(p, what)) is not None and e.value is not None]
            if not found:
                continue
            label = Phrase("comparison.sweep.asked" if asked else "comparison.sweep.as-found")
            points = tuple(Point(float(p.limit_watts or 0.0), e.value, e.low, e.high) for p, e in found)
            simulated = any(cast.subjects[p.subject].simulated for p, _ in found)
            series.append(Series(label, points, "simulated" if simulated else "measured", joined=asked))
            rows += [Row(Cell(_limit(p)), (Cell(e, _runs(cast, sweep, p)), Cell(label))) for p, e in found]
        if series:
            columns = (Column(LIMIT), Column(heading, True), Column(Phrase("document.column.series")))
            yield Plot(
                name=f"{name}-{what}",
                caption=Phrase(f"comparison.sweep.{what}.caption", words),
                alt=Phrase(f"comparison.sweep.{what}.alt", {**words, "count": len(rows)}),
                form="lines",
                x=Axis(LIMIT, "W"),
                y=Axis(heading, unit),
                series=tuple(series),
                table=Grid(f"{name}-{what}-data", Phrase("comparison.sweep.data"), columns, tuple(rows)),
            )


def _drawable(sweep: page.PowerSweep) -> list[page.PowerPoint]:
    asked = [p.limit_watts for p in sweep.points if p.asked and p.throughput is not None and p.limit_watts]
    reach = FAR * max(asked, default=math.inf)
    return [p for p in sweep.points if p.limit_watts is not None and (p.asked or p.limit_watts <= reach)]


def _runs(cast: Cast, sweep: page.PowerSweep, point: page.PowerPoint) -> tuple[str, ...]:
    return cast.runs.get((sweep.scenario, sweep.workload, point.subject), ())


def _quantity(point: page.PowerPoint, what: str) -> Estimate | None:
    if what == "throughput":
        return point.throughput
    return None if point.line is None else point.line.samples_per_joule


def rooflines_section(cast: Cast) -> Section:
    """Return the runs beside the declared peaks of their devices; a sentence where none is declared, nothing without devices."""
    heading = Phrase("comparison.roofline.heading")
    roofs = [cell.roofline for row in cast.page.energy for cell in row.cells]
    if not any(roof.device for roof in roofs):
        kinds = dict.fromkeys(roof.words for roof in roofs if roof.reason == "unknown-device" and roof.words)
        none = Notice("note", Phrase("comparison.roofline.none", {"devices": ", ".join(kinds)}))
        return Section("rooflines", heading, (none,) if kinds else ())
    blocks: list[Block] = [Paragraph((Phrase("comparison.roofline.lead"),))]
    blocks += [_roofs(cast, scenario) for scenario in cast.powered()]
    blocks += _roof_plots(cast)
    return Section("rooflines", heading, tuple(blocks))


def _roofs(cast: Cast, scenario: str) -> Grid:
    rows = []
    for row in cast.page.energy:
        for cell in row.cells if row.scenario == scenario else ():
            roof, runs = cell.roofline, cast.runs.get((row.scenario, row.workload, cell.subject), ())
            remarks = [Phrase(f"roofline.{roof.reason}", {"words": roof.words})] if roof.reason else []
            remarks += [Phrase(f"doubt.{roof.doubt}")] if roof.doubt else []
            figures = (
                Cell(None if roof.operations is None else Estimate(roof.operations, "op/s"), runs),
                Cell(None if roof.compute is None else Estimate(roof.compute, "share"), runs),
                peak_cell(roof.peak, "op/s"),
                Cell(None if roof.intensity is None else Estimate(roof.intensity, "op/B"), runs),
                Cell(None if roof.memory is None else Estimate(roof.memory, "share"), runs),
                peak_cell(roof.bandwidth, "B/s"),
                Cell(remarks[0] if remarks else None, (), remarks[1] if len(remarks) > 1 else None),
            )
            rows.append(Row(cast.name(cell.subject, runs), figures, cast.work(row.workload)))
    names = ("reached", "of-peak", "peak", "intensity", "of-bandwidth", "bandwidth")
    grid = Grid(
        name=f"rooflines-{scenario}",
        caption=Phrase("comparison.roofline.caption", {"scenario": scenario}),
        columns=(
            Column(WHOM),
            *(Column(Phrase(f"comparison.column.{each}"), True) for each in names),
            Column(Phrase("document.column.remark")),
        ),
        rows=tuple(rows),
        grouping=WORK,
    )
    return narrowed(grid)


def _roof_plots(cast: Cast) -> Iterator[Plot]:
    """Yield a plot a device and precision: its runs under its declared roof, or without one where none is declared."""
    together: dict[tuple[str, str], list[tuple[Drawn, Roofline]]] = {}
    for row in cast.page.energy:
        for cell in row.cells:
            roof, subject = cell.roofline, cast.subjects[cell.subject]
            if roof.operations and roof.intensity:
                runs = cast.runs.get((row.scenario, row.workload, cell.subject), ())
                # Points of one device are told apart by the work: the numbers of the table lead to the runs.
                label = f"{subject.label} · {row.workload} · {row.scenario}"
                found = replace(cast.drawn(cell.subject, runs), label=label)
                together.setdefault((roof.device or roof.words, subject.precision), []).append((found, roof))
    for n, ((device, precision), runs_there) in enumerate(together.items(), start=1):
        words: dict[str, str | int] = {"device": device, "precision": precision, "count": len(runs_there)}
        roofed = "" if any(roof.peak is not None for _, roof in runs_there) else ".no-roof"
        caption, alt = Phrase("comparison.plot.roofline.caption", words), Phrase(f"comparison.plot.roofline.alt{roofed}", words)
        yield roofline_plot(runs_there, caption, alt, f"roofline-{n}", WHOM)
