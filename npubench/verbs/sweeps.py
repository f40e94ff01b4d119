"""Print power sweeps on a terminal: what each limit costs in speed and saves in energy."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from npubench.analyze.estimate import Estimate
from npubench.report.page import ComparisonPage, PowerPoint, PowerSweep
from npubench.report.words import figure_text
from npubench.verbs.console import STATUS, out

#: Why no limit is marked as the most efficient.
_UNRANKED = {
    "simulated": "SIMULATED devices are never ranked",
    "smoke": "grade smoke is never ranked",
    "invalid": "a run is invalid",
    "single": "fewer than two limits have samples/J",
}


def print_sweeps(page: ComparisonPage) -> None:
    """Print every power sweep: limit, throughput, watts and samples a joule with its interval, the best marked."""
    for sweep in page.sweeps:
        out.print(_sweep(sweep))
        if sweep.unranked:
            out.print(f"[dim]no limit is marked as the most efficient: {_UNRANKED.get(sweep.unranked, sweep.unranked)}[/]")
        for why in dict.fromkeys(why for point in sweep.points if (why := _why(point))):
            out.print(f"[dim]{escape(why)}[/]", soft_wrap=True)


def _sweep(sweep: PowerSweep) -> Table:
    where = f", {sweep.domain} · {sweep.evidence}" if sweep.domain else ""
    title = f"{sweep.scenario}, {sweep.workload}: {escape(sweep.label)} by power limit{escape(where)}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("power limit", no_wrap=True)
    for column in ("throughput", "mean W", "samples/J"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for point in sweep.points:
        limit = _limit(point)
        if _is_empty(point):
            table.add_row(limit, "—", "—", "—", STATUS.get(point.status, point.status))
            continue
        line = point.line
        mark = {"best": "[green]most efficient[/]", "tie": "most efficient, not distinguishable"}.get(point.mark, "")
        invalid = "[yellow]▲ invalid[/] " if point.status == "invalid" else ""
        table.add_row(
            limit,
            _value(point.throughput),
            _value(line.watts if line else None).removesuffix(" W"),
            _with_interval(line.samples_per_joule if line else None),
            invalid + mark,
        )
    return table


def _why(point: PowerPoint) -> str:
    """Return why a limit has no samples a joule; empty where it has."""
    if _is_empty(point):
        return point.reason
    if point.line is None:
        return f"{_limit(point)}: no meter"
    efficiency = point.line.samples_per_joule
    return f"{_limit(point)}: {efficiency.reason}" if efficiency.value is None and efficiency.reason else ""


def _limit(point: PowerPoint) -> str:
    watts = "" if point.limit_watts is None else f"{point.limit_watts:g} W"
    return watts if point.asked else f"as found{f' ({watts})' if watts else ''}"


def _is_empty(point: PowerPoint) -> bool:
    return point.throughput is None and point.line is None


def _value(estimate: Estimate | None) -> str:
    return "—" if estimate is None or estimate.value is None else figure_text(estimate.value, estimate.unit)


def _with_interval(estimate: Estimate | None) -> str:
    """Return a figure and its interval without the unit, which the column has."""
    if estimate is None or estimate.value is None:
        return "—"
    # Four digits: the bounds of a good counter lie nearer together than three can show.
    text = f"{estimate.value:.4g}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{estimate.low:.4g} … {estimate.high:.4g}]"
