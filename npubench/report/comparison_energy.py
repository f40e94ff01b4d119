"""Power and efficiency of a comparison: figures by domain and evidence, ratios beside the policy's line, runs over time, TDP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from npubench.report import page
from npubench.report.comparison_cast import WHOM, WORK, Cast, named, narrowed, runs_of
from npubench.report.document import (
    Axis,
    Block,
    Cell,
    Column,
    Content,
    Grid,
    Level,
    Notice,
    Paragraph,
    Phrase,
    Plot,
    Point,
    Row,
    Section,
    Series,
    Text,
)
from npubench.report.efficiency import POLICY
from npubench.report.run_plots import MOST, power_plot, response_plot
from npubench.report.verdicts import policy_mark, times

#: So many runs are drawn over time: each takes about 25 kB of a page, and a run's own page has its pictures as well.
COURSES = 40
#: The columns of figures, in order: what a line calls them.
FIGURES = ("watts", "peak_watts", "idle_watts", "joules_per_sample", "samples_per_joule")


def energy_section(cast: Cast) -> Section:
    """Return the section on power; where no watt was measured, a sentence that says what to connect."""
    heading = Phrase("section.energy")
    if not cast.page.energy:
        return Section("energy", heading)
    if not any(cell.lines for row in cast.all.energy for cell in row.cells):
        return Section("energy", heading, (Notice("note", Phrase("comparison.energy.connect")),))
    blocks: list[Block] = [
        Paragraph((Phrase("comparison.energy.lead"), Phrase("comparison.energy.policy", {"policy": POLICY}))),
    ]
    for scenario in cast.powered():
        blocks.append(_figures(cast, scenario))
        blocks += _ratios(cast, scenario)
    blocks += _declared(cast)
    blocks += _courses(cast)
    return Section("energy", heading, tuple(blocks))


def _figures(cast: Cast, scenario: str) -> Grid:
    rows = [
        row
        for found in cast.page.energy
        if found.scenario == scenario
        for cell in sorted(found.cells, key=lambda cell: cell.subject != cast.baseline)
        for row in _lines(cast, found.workload, cell)
    ]
    compared = bool(cast.baseline)
    against = (
        (Column(Phrase("comparison.column.ratio"), True), Column(Phrase("procurement.column.policy", {"policy": POLICY})))
        if compared
        else ()
    )
    columns = ("power", "peak", "idle", "joules", "efficiency")
    grid = Grid(
        name=f"energy-{scenario}",
        caption=Phrase("comparison.energy.caption", {"scenario": scenario}),
        columns=(
            Column(WHOM),
            Column(Phrase("procurement.column.evidence")),
            *(Column(Phrase(f"procurement.column.{each}"), True) for each in columns),
            *against,
            Column(Phrase("comparison.column.tdp")),
        ),
        rows=tuple(rows),
        grouping=WORK,
    )
    return narrowed(grid)


def _lines(cast: Cast, workload: str, cell: page.EnergyCell) -> Iterator[Row]:
    """Yield a row a domain and evidence of one subject, or one that says why it has none."""
    runs, group, tdp = runs_of(cell.run_id), cast.work(workload), Cell(_tdp(cell.declared))
    width = len(FIGURES) + (2 if cast.baseline else 0)
    if not cell.lines:
        gone = cell.status in ("failed", "skipped")
        why: Content = Phrase(f"status.{cell.status}") if gone else Phrase("comparison.energy.no-meter")
        yield Row(cast.name(cell.subject, runs), (Cell(why), *[Cell(None)] * width, tdp), group)
    for n, line in enumerate(cell.lines):
        words = {"evidence": line.evidence, "sensor": line.sensor}
        cells = [
            Cell(named("domain", line.domain), runs, Phrase("comparison.energy.sensor", words)),
            *(Cell(getattr(line, name), runs) for name in FIGURES),
        ]
        if line.rank is not None:
            cells[-1] = Cell(line.samples_per_joule, runs, Phrase("procurement.rank", {"rank": line.rank}))
        if cast.baseline:
            cells += [Cell(None)] * 2 if line.ratio is None else _against(line, line.ratio, runs)
        yield Row(cast.name(cell.subject, runs), (*cells, tdp if n == 0 else Cell(None)), group)


def _against(line: page.EnergyLine, ratio: page.Ratio, runs: tuple[str, ...]) -> list[Cell]:
    remark = Phrase("procurement.unlike", {"conditions": ", ".join(ratio.unlike)}) if ratio.unlike else None
    return [Cell(times(ratio), runs, remark), Cell(policy_mark(line) if ratio.value is not None else None, runs)]


def _tdp(declared: tuple[page.Declared, ...]) -> Phrase | None:
    """Return declared TDP as it was declared: apart from every measurement, with its date."""
    if not declared:
        return None
    figures = [f"{each.value:g} {each.unit}" + (f" ({each.date})" if each.date else "") for each in declared]
    doubted = any(each.unverified for each in declared)
    return Phrase("comparison.tdp.unverified" if doubted else "comparison.tdp", {"figures": ", ".join(figures)})


def _declared(cast: Cast) -> Iterator[Grid]:
    """Yield the sources of declared TDP."""
    found: dict[str, tuple[page.Declared, ...]] = {
        cell.subject: cell.declared for row in cast.page.energy for cell in row.cells if cell.declared
    }
    rows = [
        Row(
            cast.name(key),
            (
                Cell(_tdp((each,))),
                Cell(named("scope", each.scope)),
                Cell(Text(each.source)),
                Cell(Text(each.note) if each.note else None),
            ),
        )
        for key, declared in found.items()
        for each in declared
    ]
    if rows:
        columns = ("comparison.column.tdp", "comparison.column.scope", "document.column.source", "document.column.remark")
        yield Grid(
            name="tdp",
            caption=Phrase("comparison.tdp.caption"),
            columns=(Column(WHOM), *(Column(Phrase(each)) for each in columns)),
            rows=tuple(rows),
            remarks=(Phrase("comparison.tdp.remark"),),
        )


def _ratios(cast: Cast, scenario: str) -> Iterator[Plot]:
    """Yield a plot of the ratios of each domain and evidence beside the policy's line: they share no axis."""
    kinds: dict[tuple[str, str], list[tuple[page.EnergyRow, page.EnergyCell, page.Ratio]]] = {}
    for row in cast.page.energy:
        for cell in row.cells if row.scenario == scenario else ():
            for line in cell.lines:
                if line.ratio is not None and line.ratio.value is not None:
                    kinds.setdefault((line.domain, line.evidence), []).append((row, cell, line.ratio))
    for n, (kind, found) in enumerate(kinds.items(), start=1):
        yield _ratio_plot(cast, scenario, kind, found, f"efficiency-{scenario}-{n}")


def _ratio_plot(
    cast: Cast,
    scenario: str,
    kind: tuple[str, str],
    found: list[tuple[page.EnergyRow, page.EnergyCell, page.Ratio]],
    name: str,
) -> Plot:
    workloads = [*dict.fromkeys(row.workload for row, _, _ in found)]
    points: dict[str, list[Point]] = {}
    for row, cell, ratio in found:
        points.setdefault(cell.subject, []).append(
            Point(float(workloads.index(row.workload)), ratio.value, ratio.low, ratio.high)
        )
    rows = tuple(
        Row(cast.name(cell.subject, runs_of(cell.run_id)), (Cell(times(ratio), runs_of(cell.run_id)),), cast.work(row.workload))
        for row, cell, ratio in found
    )
    words: Mapping[str, str] = {"scenario": scenario, "domain": kind[0], "evidence": kind[1]}
    return Plot(
        name=name,
        caption=Phrase("comparison.plot.efficiency-ratios.caption", {**words, "baseline": cast.subjects[cast.baseline].label}),
        alt=Phrase("comparison.plot.efficiency-ratios.alt", {**words, "count": len(points), "policy": POLICY}),
        form="bars",
        x=Axis(WORK, categories=tuple(cast.title(workload) for workload in workloads)),
        y=Axis(Phrase("comparison.column.ratio"), "times", from_zero=True),
        series=tuple(_series(cast, key, found) for key, found in points.items())[:MOST],
        levels=(Level(Phrase("comparison.plot.even"), 1.0), Level(Phrase("comparison.plot.policy", {"policy": POLICY}), POLICY)),
        table=Grid(
            name=f"{name}-data",
            caption=Phrase("comparison.plot.efficiency.data"),
            columns=(Column(WHOM), Column(Phrase("comparison.column.ratio"), True)),
            rows=rows,
            grouping=WORK,
        ),
    )


def _series(cast: Cast, key: str, points: list[Point]) -> Series:
    drawn = cast.drawn(key, ())
    return Series(Text(drawn.label), tuple(points), drawn.nature, look=drawn.look)


def _courses(cast: Cast) -> Iterator[Plot | Notice]:
    """Yield runs over time, power and beside it latency, as many as a page holds; and how many are not drawn."""
    if len(cast.page.courses) > COURSES:
        words = {"drawn": COURSES, "all": len(cast.page.courses)}
        yield Notice("note", Phrase("comparison.energy.courses", words))
    for n, course in enumerate(cast.page.courses[:COURSES], start=1):
        drawn, where = cast.drawn(course.subject, (course.run_id,)), cast.where(course.workload, course.scenario)
        yield power_plot(course, drawn, where, f"course-{n}-power")
        response = response_plot(course, drawn, where, f"course-{n}-latency")
        if response is not None:
            yield response
