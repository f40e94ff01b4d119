"""Trend lines over the nights with the changes of level, for the cells that have something to show."""

from __future__ import annotations

from collections.abc import Sequence

from npubench.analyze.estimate import Estimate
from npubench.analyze.metrics import HEADLINE
from npubench.analyze.trend import levels
from npubench.report.document import (
    Axis,
    Cell,
    Column,
    Grid,
    Paragraph,
    Phrase,
    Plot,
    Point,
    Row,
    Section,
    Series,
    Stretch,
    Text,
    Titles,
)
from npubench.report.nightly_nights import ALARMS, Line, Nights

#: Pictures on a page: what changed comes first, then what stands out least.
MOST = 16
#: Nights from which on a line says something.
FEWEST = 3


def trend_section(nights: Nights) -> Section:
    """Return trends as a section: changes of level as a table, and the lines of the cells that changed, then of others."""
    heading = Phrase("nightly.trends.heading")
    known = [line for line in nights.lines if len(line.valued) >= FEWEST]
    if not known:
        return Section("trends", heading, (Paragraph((Phrase("nightly.trends.few", {"nights": FEWEST}),)),))
    ordered = sorted(known, key=_interest)
    plots = tuple(_plot(line, nights.names, number) for number, line in enumerate(ordered[:MOST], start=1))
    changed = [line for line in ordered if line.changes]
    grid = (_changes(changed),) if changed else (Paragraph((Phrase("nightly.trends.steady"),)),)
    lead = Paragraph((Phrase("nightly.trends.lead", {"drawn": len(plots), "all": len(known)}),))
    return Section("trends", heading, (lead, *grid, *plots))


def _interest(line: Line) -> tuple[int, int, tuple[str, ...]]:
    alarm = ALARMS.index(line.state) if line.state in ALARMS else len(ALARMS)
    return alarm, -len(line.changes) - (line.state in ("better", "noisy")), line.cell


def _where(line: Line) -> dict[str, str | Titles]:
    _, target, precision, workload, scenario, _, _ = line.cell
    title = Titles(line.stands[-1].record.bundle.title, workload)
    return {"target": target, "precision": precision, "workload": title, "scenario": scenario}


def _changes(lines: Sequence[Line]) -> Grid:
    """Return every change of level: the night it began, and by how much. Up is more of the metric, whichever way is better."""
    rows = []
    for line in lines:
        rule = HEADLINE[line.stands[-1].record.spec.load.scenario]
        there = line.valued
        for change in line.changes:
            now, then = there[change.index], there[change.index - 1]
            runs = (*now.runs, *then.runs)
            better = (change.change > 0) == rule.higher_is_better
            cells = (
                Cell(Phrase(f"metric.{rule.metric}")),
                Cell(Text(now.night), now.runs),
                Cell(Phrase("trend.change", {"change": change.change}), runs),
                Cell(Phrase("trend.better" if better else "trend.worse"), runs),
            )
            rows.append(Row(Cell(Phrase("trend.where", _where(line)), runs), cells))
    return Grid(
        name="level-changes",
        caption=Phrase("nightly.trends.caption"),
        columns=(
            Column(Phrase("nightly.column.cell")),
            Column(Phrase("document.column.metric")),
            Column(Phrase("nightly.column.since")),
            Column(Phrase("nightly.column.change")),
            Column(Phrase("document.column.verdict")),
        ),
        rows=tuple(rows),
        remarks=(Phrase("nightly.trends.rule"),),
    )


def _plot(line: Line, names: Sequence[str], number: int) -> Plot:
    rule = HEADLINE[line.stands[-1].record.spec.load.scenario]
    there = line.valued
    places = {name: n for n, name in enumerate(names)}
    figures = [stand.headline or Estimate(None, rule.unit, reason="not measured") for stand in there]
    level = levels([float(figure.value or 0.0) for figure in figures], line.changes)
    simulated = line.stands[-1].record.system.simulated
    points = tuple(
        Point(float(places[stand.night]), figure.value, figure.low, figure.high)
        for stand, figure in zip(there, figures, strict=True)
    )
    steps = tuple(Point(float(places[stand.night]), value) for stand, value in zip(there, level, strict=True))
    rows = tuple(
        Row(Cell(Text(stand.night), stand.runs), (Cell(figure, stand.runs), Cell(Estimate(value, rule.unit), stand.runs)))
        for stand, figure, value in zip(there, figures, level, strict=True)
    )
    where = _where(line)
    return Plot(
        name=f"trend-{number}",
        caption=Phrase("trend.caption", {**where, "metric": rule.metric}),
        alt=Phrase("trend.alt", {**where, "nights": len(there), "changes": len(line.changes)}),
        form="lines",
        x=Axis(Phrase("nightly.column.night"), categories=tuple(Text(name) for name in names)),
        y=Axis(Phrase(f"metric.{rule.metric}"), rule.unit),
        series=(
            Series(Phrase(f"metric.{rule.metric}"), points, "simulated" if simulated else "measured"),
            *([Series(Phrase("trend.level"), steps, "simulated" if simulated else "measured")] if line.changes else []),
        ),
        stretches=tuple(
            Stretch(Phrase("trend.changed"), float(places[there[c.index - 1].night]), float(places[there[c.index].night]))
            for c in line.changes
        ),
        table=Grid(
            name=f"trend-{number}-data",
            caption=Phrase("trend.caption", {**where, "metric": rule.metric}),
            columns=(
                Column(Phrase("nightly.column.night")),
                Column(Phrase(f"metric.{rule.metric}"), True),
                Column(Phrase("trend.level"), True),
            ),
            rows=rows,
        ),
    )
