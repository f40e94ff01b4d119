"""A scenario of a comparison: every workload with every subject's headline, ratio, rank, accuracy and state; plots; details."""

from __future__ import annotations

from collections.abc import Iterator

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.finding import Finding
from npubench.contract.runspec import Scenario
from npubench.report import page
from npubench.report.comparison_cast import WHOM, WORK, Cast, known, named, runs_of
from npubench.report.document import (
    Axis,
    Block,
    Cell,
    Column,
    Grid,
    Level,
    Mark,
    Paragraph,
    Phrase,
    Plot,
    Point,
    Reason,
    Row,
    Section,
    Series,
    Text,
    Titles,
    Told,
)
from npubench.report.run_plots import MOST, Nature, latency_plot
from npubench.report.verdicts import status_mark, times, verdict_mark

#: Metrics in the order of the tables of details; others follow by name.
METRICS = (
    *("throughput", "query_rate", "latency_min", "latency_p50", "latency_mean", "latency_p90", "latency_p95", "latency_p97"),
    *("latency_p99", "latency_p999", "latency_max"),
)


def scenario_section(cast: Cast, table: page.Table) -> Section:
    """Return the section of one scenario."""
    about = (Phrase(f"scenario.{table.scenario}.about"),) if table.scenario in {each.value for each in Scenario} else ()
    blocks: list[Block] = [Paragraph((*about, _direction(table))), _standings(cast, table)]
    blocks += _ratio_plot(cast, table)
    blocks += _latencies(cast, table)
    return Section(f"scenario-{table.scenario}", named("scenario", table.scenario), tuple(blocks))


def _direction(table: page.Table) -> Phrase:
    return Phrase("comparison.higher-is-better" if table.higher_is_better else "comparison.lower-is-better")


def _standings(cast: Cast, table: page.Table) -> Grid:
    """Return the scenario's table; a reason that keeps all of its runs from a rank is said once, below it."""
    reasons = {cell.unranked if cell.rank is None else "" for row in table.rows for cell in row.cells}
    # What a run's own state says does not keep the others from sharing a reason.
    others = reasons - {"simulated", "invalid", "failed", "skipped"} or reasons
    shared = next(iter(others)) if len(others) == 1 else ""
    compared = bool(cast.baseline)
    rows = [
        Row(cast.name(cell.subject, runs_of(cell.run_id)), tuple(_cells(row, cell, compared, bool(shared))), _work(cast, row))
        for row in table.rows
        for cell in sorted(row.cells, key=lambda cell: cell.subject != cast.baseline)
    ]
    against = (Column(Phrase("comparison.column.ratio"), True), Column(Phrase("document.column.verdict"))) if compared else ()
    return Grid(
        name=f"scenario-{table.scenario}",
        caption=Phrase("comparison.standings.caption", {"scenario": table.scenario, "metric": table.headline}),
        columns=(
            Column(WHOM),
            Column(named("metric", table.headline), True),
            *against,
            *(() if shared else (Column(Phrase("procurement.column.rank")),)),
            Column(Phrase("comparison.column.accuracy"), True),
            Column(Phrase("comparison.column.state")),
            Column(Phrase("procurement.column.findings")),
        ),
        rows=tuple(rows),
        remarks=(Phrase("comparison.unranked.all", {"why": shared}),) if shared else (),
        grouping=WORK,
    )


def _work(cast: Cast, row: page.Row) -> Cell:
    """Return a workload as the heading of its rows: what it is, for which task, and how much work it is."""
    about = cast.about[row.workload]
    unit, size = ("GOP", 1e9) if row.operations >= 1e8 else ("MOP", 1e6)
    words: dict[str, str | float | Titles] = {
        "about": about,
        "workload": row.workload,
        "gate": row.gate_metric,
        "work": row.operations / size,
        "unit": unit,
    }
    counted, uncounted = "comparison.work", "comparison.work.uncounted"
    if any(about.texts.values()):
        counted, uncounted = "comparison.work.about", "comparison.work.uncounted.about"
    return Cell(cast.title(row.workload), (), Phrase(counted if row.operations > 0 else uncounted, words))


def _cells(row: page.Row, cell: page.Cell, compared: bool, unranked: bool) -> Iterator[Cell]:
    runs = runs_of(cell.run_id)
    yield Cell(headline_of_cell(cell), runs)
    if compared:
        yield _ratio(cell, runs)
        yield Cell(None if cell.ratio is None else verdict_mark(cell.ratio), runs, _p(cell.ratio))
    if not unranked:
        yield Cell(rank_of(cell), runs)
    yield _accuracy(row, cell, runs)
    word = Phrase("comparison.state", {"status": cell.status, "grade": cell.grade})
    # Where there is no headline, why the run is not valid stands in its place.
    yield Cell(Mark(status_mark(cell.status).sign, word), runs, why_of(cell) if cell.headline is not None else None)
    yield Cell(_doubts(cell), runs)


def headline_of_cell(cell: page.Cell) -> Estimate:
    """Return an outcome's headline, or why there is none."""
    if cell.headline is not None:
        return cell.headline
    return absent("", cell.reason or f"the run is {cell.status}")


def _ratio(cell: page.Cell, runs: tuple[str, ...]) -> Cell:
    """Return the ratio to the baseline with what is not alike; its own column's row is empty."""
    ratio = cell.ratio
    if ratio is None:
        return Cell(None)
    remark = Phrase("procurement.unlike", {"conditions": ", ".join(ratio.unlike)}) if ratio.unlike else None
    return Cell(times(ratio), runs, remark)


def _p(ratio: page.Ratio | None) -> Phrase | None:
    """Return the rank test's p-value as a remark."""
    if ratio is None or ratio.p_value is None:
        return None
    return Phrase("comparison.p", {"p": float(f"{ratio.p_value:.2g}")}) if ratio.p_value >= 1e-4 else Phrase("comparison.p.tiny")


def rank_of(cell: page.Cell) -> Mark | Phrase:
    """Return an outcome's rank, or why it has none."""
    if cell.rank is not None:
        word = Phrase("procurement.rank", {"rank": cell.rank})
        return Mark("best", word) if cell.rank == 1 else word
    return Phrase("procurement.unranked", {"why": cell.unranked or "single"})


def _accuracy(row: page.Row, cell: page.Cell, runs: tuple[str, ...]) -> Cell:
    """Return accuracy, or fidelity, with its bound."""
    found, required = cell.accuracy, cell.accuracy_required
    if found is None:
        return Cell(None)
    if found.value is None or required is None:
        return Cell(found, runs)
    missed = any(finding.rule == "accuracy-gate" and finding.severity == "invalid" for finding in cell.findings)
    side = {True: "least", False: "most", None: "bound"}[row.gate_higher_is_better]
    words: dict[str, str | float] = {"claim": cell.accuracy_claim, "value": found.value, "required": required}
    return Cell(found, runs, Phrase(f"comparison.gate.{'missed' if missed else 'kept'}.{side}", words))


def why_of(cell: page.Cell) -> Reason | Told | None:
    """Return why a run is not valid: by the finding that says so, in words of the finding's own."""
    if not cell.reason:
        return None
    for finding in cell.findings:
        if cell.reason == f"{finding.rule}: {finding.observed}; required: {finding.required}":
            return Told(finding, "whole")
    return Reason(cell.reason)


def _doubts(cell: page.Cell) -> Phrase:
    """Return the rules that raised findings; notes, which most runs share, are counted."""
    grave: list[Finding] = [finding for finding in cell.findings if finding.severity != "note"]
    notes = len(cell.findings) - len(grave)
    rules = ", ".join(dict.fromkeys(finding.rule for finding in grave))
    if not rules:
        return Phrase("comparison.notes", {"notes": notes}) if notes else Phrase("procurement.findings.none")
    return Phrase("comparison.doubts" if notes else "procurement.findings", {"rules": rules, "notes": notes})


def _ratio_plot(cast: Cast, table: page.Table) -> list[Plot]:
    """Return the scenario's ratios as bars beside the baseline's line; nothing where there is none."""
    shown = [row for row in table.rows if any(cell.ratio is not None and cell.ratio.value is not None for cell in row.cells)]
    if not shown or len([*cast.places()]) < 2:
        return []
    series, rows = [], []
    for subject in cast.others():
        points = []
        for n, row in enumerate(shown):
            cell = next((cell for cell in row.cells if cell.subject == subject.key), None)
            if cell is None or cell.ratio is None or cell.ratio.value is None:
                continue
            runs = runs_of(cell.run_id)
            points.append(Point(float(n), cell.ratio.value, cell.ratio.low, cell.ratio.high))
            rows.append((n, Row(cast.name(subject.key, runs), (Cell(times(cell.ratio), runs),), cast.work(row.workload))))
        if points:
            nature: Nature = "simulated" if subject.simulated else "measured"
            series.append(Series(Text(subject.label), tuple(points), nature, look=cast.look(subject.key)))
    return [
        Plot(
            name=f"ratios-{table.scenario}",
            caption=Phrase(
                "comparison.plot.ratios.caption",
                {"scenario": table.scenario, "metric": table.headline, "baseline": cast.subjects[cast.baseline].label},
            ),
            alt=Phrase("comparison.plot.ratios.alt", {"scenario": table.scenario, "count": len(series), "places": len(shown)}),
            form="bars",
            x=Axis(WORK, categories=tuple(cast.title(row.workload) for row in shown)),
            y=Axis(Phrase("comparison.column.ratio"), "times", from_zero=True),
            series=tuple(series[:MOST]),
            levels=(Level(Phrase("comparison.plot.even"), 1.0),),
            table=Grid(
                name=f"ratios-{table.scenario}-data",
                caption=Phrase("comparison.plot.speed.data"),
                columns=(Column(WHOM), Column(Phrase("comparison.column.ratio"), True)),
                rows=tuple(row for _, row in sorted(rows, key=lambda each: each[0])),
                grouping=WORK,
            ),
        )
    ]


def _latencies(cast: Cast, table: page.Table) -> Iterator[Plot]:
    """Yield the latency distribution of every workload that has one."""
    cells = {(row.workload, cell.subject): cell for row in table.rows for cell in row.cells}
    for found in cast.page.distributions:
        if found.scenario != table.scenario:
            continue
        curves = []
        for curve in found.curves:
            cell = cells.get((found.workload, curve.subject))
            if cell is not None and curve.latency_ns:
                curves.append((cast.drawn(curve.subject, runs_of(cell.run_id)), curve, _queries(cell)))
        if curves:
            where = cast.where(found.workload, table.scenario)
            yield latency_plot(curves, found.bound_ns, where, f"latency-{table.scenario}-{found.workload}", WHOM)


def _queries(cell: page.Cell) -> int:
    """Return how many queries a run's latencies are of."""
    return max((each.n or 0 for name, each in cell.details.items() if name.startswith("latency")), default=0)


def details_section(cast: Cast) -> Section:
    """Return every further metric of every run, a table a scenario."""
    grids = tuple(grid for table in cast.page.tables if (grid := _details(cast, table)).rows)
    return Section("details", Phrase("comparison.details.heading"), grids)


def _details(cast: Cast, table: page.Table) -> Grid:
    """Return a scenario's further metrics; one that no run has is no column and is said below with a reason."""
    cells = [(row, cell) for row in table.rows for cell in row.cells if cell.details]
    names = {name for _, cell in cells for name in cell.details}
    ordered = [*(name for name in METRICS if name in names), *sorted(names.difference(METRICS))]
    shown = [name for name in ordered if any(known(cell.details.get(name)) for _, cell in cells)]
    rows = [
        Row(
            cast.name(cell.subject, runs_of(cell.run_id)),
            tuple(Cell(cell.details.get(name, absent("", "not measured in this run")), runs_of(cell.run_id)) for name in shown),
            cast.work(row.workload),
        )
        for row, cell in cells
    ]
    gone: dict[str, list[str]] = {}
    for name in ordered:
        if name not in shown:
            why = next(
                (cell.details[name].reason for _, cell in cells if name in cell.details and cell.details[name].reason), None
            )
            gone.setdefault(why or "not measured in this run", []).append(name)
    return Grid(
        name=f"details-{table.scenario}",
        caption=Phrase("comparison.details.caption", {"scenario": table.scenario}),
        columns=(Column(WHOM), *(Column(named("metric", name), True) for name in shown)),
        rows=tuple(rows),
        remarks=tuple(Phrase("comparison.details.absent", {"metrics": ", ".join(n), "reason": why}) for why, n in gone.items()),
        grouping=WORK,
    )
