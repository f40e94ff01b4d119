"""The figures of a comparison: plots with their text alternatives and the tables of the same numbers.

Decides which runs are drawn and how each is worded; where things stand on the page's panels is ``charts``' business.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from npubench.report.page import ComparisonPage, Distribution
from npubench_reports import charts, numbers
from npubench_reports.comparison import CellView, RowView, TableView
from npubench_reports.messages import Messages
from npubench_reports.titles import Title, short_titles

#: Quantiles of the data tables under latency curves, where a curve has them.
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)

#: Up to this many subjects that were not run are named under a plot; more are counted.
NAMED = 2


@dataclass(frozen=True, slots=True)
class Panel:
    """One workload's plot, with what a reader who cannot see it is told; ``absent`` says who is not drawn and why."""

    anchor: str
    title: str
    description: str
    unit: str
    remark: str
    absent: str
    bars: charts.BarPanel | None = None
    curves: charts.CurvePanel | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """The plots of one scenario; ``columns`` and ``lines`` are the same numbers as a table (title, subject, values …).

    ``subjects`` are the keys of those that are drawn in any of them.
    """

    anchor: str
    kind: str
    scenario: str
    metric: str
    panels: tuple[Panel, ...]
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    subjects: frozenset[str]


def figures(
    page: ComparisonPage, tables: Sequence[TableView], appearance: Mapping[str, charts.Look], messages: Messages
) -> tuple[Figure, ...]:
    """Return bars for every scenario that is judged by a rate, then latency curves for every scenario that has them."""
    rates = [t for t in tables if t.table.higher_is_better and any(c.headline for r in t.rows for c in r.cells)]
    drawn = [_bars(table, appearance, messages) for table in rates]
    by_scenario: dict[str, list[Distribution]] = {table.table.scenario: [] for table in tables}
    for distribution in page.distributions:
        if any(curve.latency_ns for curve in distribution.curves):
            by_scenario.setdefault(distribution.scenario, []).append(distribution)
    views = {(table.table.scenario, row.row.workload): row for table in tables for row in table.rows}
    titles = short_titles(page, messages)
    for i, (scenario, group) in enumerate(((s, g) for s, g in by_scenario.items() if g), start=1):
        rows = [views.get((scenario, distribution.workload)) for distribution in group]
        drawn.append(_curves(page, scenario, list(zip(group, rows, strict=True)), f"q{i}", titles, appearance, messages))
    return tuple(drawn)


def state(view: CellView) -> charts.State:
    """Return how a cell's bar is drawn; only a valid run on real hardware is filled."""
    if view.cell is None or view.headline is None:
        return "absent"
    if view.subject.simulated:
        return "simulated"
    return "solid" if view.cell.status == "ok" else "invalid"


def _words(view: CellView, messages: Messages) -> str:
    """Return what stands beside a bar: the value, and what keeps it from being a good one."""
    if view.cell is None:
        return messages("cell.not-run")
    marks = [messages.name("status", view.cell.status)] if view.cell.status != "ok" else []
    if view.subject.simulated:
        marks.append(messages("simulated"))
    return " · ".join(([view.headline.text] if view.headline else []) + marks) or "—"


def _bars(view: TableView, appearance: Mapping[str, charts.Look], messages: Messages) -> Figure:
    panels, lines = [], []
    drawn: set[str] = set()
    for i, row in enumerate(view.rows, start=1):
        shown = next((c.headline.unit for c in row.cells if c.headline), view.table.unit)
        estimates = {c.subject.key: c.cell.headline for c in row.cells if c.cell is not None and c.headline}
        scale = numbers.scale_for((e.value for e in estimates.values() if e), view.table.unit)
        inputs = [
            charts.BarInput(
                label=cell.subject.label,
                words=_words(cell, messages),
                look=appearance[cell.subject.key],
                state=state(cell),
                value=estimate.value,
                low=estimate.low,
                high=estimate.high,
            )
            for cell in row.cells
            if (estimate := estimates.get(cell.subject.key)) is not None
        ]
        lines += [(row.title, cell.subject.label, *_bar_values(cell, messages)) for cell in row.cells if cell.cell is not None]
        drawn |= estimates.keys()
        unit = messages.name("unit", shown)
        description = messages("figure.bars.description", unit=unit, rows=_spoken(row, messages))
        panel = charts.bars(inputs, scale, messages.locale) if inputs else None
        absent = _absent(row, estimates, messages)
        panels.append(Panel(f"{view.anchor}b{i}", row.title, description, unit, unit if panel else "", absent, bars=panel))
    columns = ("table.value", "table.interval", "table.unit", "table.status")
    metric = view.table.headline
    heads = tuple(map(messages, columns))
    return Figure(f"{view.anchor}b", "bars", view.table.scenario, metric, tuple(panels), heads, tuple(lines), frozenset(drawn))


def _absent(row: RowView | None, drawn: Collection[str], messages: Messages) -> str:
    """Say which subjects are not in a plot, by what became of their runs."""
    found: dict[str, list[str]] = {}
    for view in row.cells if row is not None else ():
        if view.subject.key not in drawn:
            ran = messages("figure.no-value") if view.cell and view.cell.status == "ok" else ""
            status = str(view.why) if view.cell is None else ran or messages.name("status", view.cell.status)
            found.setdefault(status, []).append(view.subject.label.replace(" ", "\u00a0"))
    idle = messages("cell.not-run")
    if len(found.get(idle, ())) > NAMED:
        found[idle] = [messages("figure.several", number=numbers.count(len(found[idle]), messages.locale))]
    named = "; ".join(f"{status}: {', '.join(labels)}" for status, labels in found.items())
    return messages("figure.absent", subjects=named) if named else ""


def _bar_values(view: CellView, messages: Messages) -> tuple[str, ...]:
    status = messages.name("status", view.cell.status) if view.cell is not None else messages("cell.not-run")
    if view.subject.simulated:
        status = f"{status} · {messages('simulated')}"
    if view.headline is None:
        return "—", "—", "—", status
    interval = view.headline.interval + (f" ({view.headline.confidence})" if view.headline.confidence else "")
    return view.headline.text, interval or "—", messages.name("unit", view.headline.unit), status


def _spoken(row: RowView, messages: Messages) -> str:
    parts = []
    for view in row.cells:
        interval = f" ({view.headline.interval})" if view.headline and view.headline.interval else ""
        parts.append(f"{view.subject.label}: {_words(view, messages)}{interval}")
    return "; ".join(parts)


def _curves(
    page: ComparisonPage,
    scenario: str,
    group: Sequence[tuple[Distribution, RowView | None]],
    anchor: str,
    titles: Mapping[str, Title],
    appearance: Mapping[str, charts.Look],
    messages: Messages,
) -> Figure:
    wished = [q for q in QUANTILES if any(_at(c.quantiles, c.latency_ns, q) is not None for d, _ in group for c in d.curves)]
    panels, lines = [], []
    drawn: set[str] = set()
    labels = {s.key: s.label for s in page.subjects}
    for i, (distribution, row) in enumerate(group, start=1):
        title = titles[distribution.workload].short
        bound = distribution.bound_ns
        # One unit for axis, bound and table of a workload, by its median latencies.
        middles = [_at(c.quantiles, c.latency_ns, 0.5) or (c.latency_ns or (None,))[0] for c in distribution.curves]
        scale = numbers.scale_for(middles, "ns")
        unit = messages.name("unit", scale.unit)
        spoken = []
        for curve in distribution.curves:
            found = [_at(curve.quantiles, curve.latency_ns, q) for q in wished]
            texts = [_latency(v, scale, messages) for v in found]
            label = labels.get(curve.subject, curve.subject)
            lines.append((title, label, *(f"{t} {unit}" if t != "—" else t for t in texts)))
            named = ", ".join(f"{_quantile(q, messages)} {t} {unit}" for q, t in zip(wished, texts, strict=True) if t != "—")
            spoken.append(f"{label}: {named}")
        limit = ""
        if bound is not None:
            asked = numbers.setting(bound, "ns", messages.locale)
            limit = messages("figure.bound", value=f"{asked.text} {messages.name('unit', asked.unit)}")
        description = messages("figure.curves.description", rows="; ".join([*spoken, *filter(None, [limit])]))
        panel = charts.curves(distribution.curves, bound, appearance, scale, messages.locale, messages("figure.slowest"))
        remark = messages("figure.beyond", bound=limit) if panel.beyond else limit
        there = {curve.subject for curve in distribution.curves if curve.latency_ns}
        drawn |= there
        absent = _absent(row, there, messages)
        panels.append(Panel(f"{anchor}d{i}", title, description, unit, remark, absent, curves=panel))
    columns = tuple(_quantile(q, messages) for q in wished)
    return Figure(anchor, "curves", scenario, "latency", tuple(panels), columns, tuple(lines), frozenset(drawn))


def _at(quantiles: Sequence[float], latencies: Sequence[float], quantile: float) -> float | None:
    pairs = zip(quantiles, latencies, strict=False)
    return next((v for q, v in pairs if math.isclose(q, quantile, abs_tol=1e-12)), None)


def _latency(value: float | None, scale: numbers.Scale, messages: Messages) -> str:
    if value is None:
        return "—"
    return numbers.decimal(value / scale.factor, numbers.last_digit(value / scale.factor), messages.locale)


def _quantile(quantile: float, messages: Messages) -> str:
    if quantile >= 1:
        return messages("figure.slowest")
    return messages("figure.quantile", percent=numbers.percent(quantile, messages.locale))
