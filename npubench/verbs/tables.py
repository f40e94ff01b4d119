"""Print comparisons as tables on a terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from npubench.report.page import Cell, ComparisonPage, Ratio, Row
from npubench.report.pairs import Pairs
from npubench.report.words import figure_text
from npubench.verbs.console import STATUS, out

_VERDICTS = {
    "better": "[green]better[/]",
    "worse": "[red]worse[/]",
    "indistinguishable": "not distinguishable",
    "not-comparable": "not comparable",
}


def print_page(page: ComparisonPage) -> None:
    """Print one table a scenario: workloads down, subjects across."""
    labels = {subject.key: subject.label for subject in page.subjects}
    if "smoke" in page.grades:
        out.print("[yellow]▲ grade smoke: shows that it works; never ranked, never published[/]")
    if any(subject.simulated for subject in page.subjects):
        out.print("[yellow]▲ SIMULATED devices are on this page; they are no hardware and never ranked[/]")
    for table in page.tables:
        drawn = Table(title=f"{table.scenario}: {table.headline}", title_justify="left", show_lines=False)
        drawn.add_column("workload", no_wrap=True)
        for subject in page.subjects:
            drawn.add_column(labels[subject.key], justify="right")
        for row in table.rows:
            cells = {cell.subject: cell for cell in row.cells}
            drawn.add_row(row.workload, *(_cell(cells.get(subject.key), row, page) for subject in page.subjects))
        out.print(drawn)
    compared = page.subjects[0].label if not page.baseline else labels.get(page.baseline, "")
    if len(page.subjects) > 1:
        out.print(f"[dim]× is against {compared}, more is better; ≈ means not distinguishable; accuracy in parentheses[/]")


def _cell(cell: Cell | None, row: Row, page: ComparisonPage) -> str:
    """Return a cell: headline, sign of validity, ratio, accuracy."""
    if cell is None:
        return "—"
    if cell.status in ("failed", "skipped"):
        return STATUS[cell.status]
    text = figure_text(cell.headline.value, cell.headline.unit) if cell.headline else "—"
    if cell.rank is not None:
        text = f"{cell.rank}. {text}"
    if cell.status == "invalid":
        text = f"[yellow]▲[/] {text}"
    if cell.ratio is not None and cell.ratio.value is not None:
        sign = "≈" if cell.ratio.verdict == "indistinguishable" else ""
        text += f" {sign}×{cell.ratio.value:.2f}"
    if cell.accuracy is not None and cell.accuracy.value is not None:
        text += f" [dim]({cell.accuracy.value:.3g})[/]"
    return text


def print_pairs(pairs: Pairs) -> None:
    """Print the paired ratios, what has no partner, and everything that differs."""
    table = Table(title=f"A = {pairs.a}   B = {pairs.b}", title_justify="left")
    for column in ("cell", "metric", "A", "B", "A ÷ B", "p", "verdict"):
        table.add_column(column, justify="left" if column in ("cell", "metric", "verdict") else "right")
    for one in pairs.pairs:
        table.add_row(
            escape(" · ".join(one.cell)),
            one.metric,
            figure_text(one.a.value, one.a.unit) if one.a and one.a_status in ("ok", "invalid") else STATUS[one.a_status],
            figure_text(one.b.value, one.b.unit) if one.b and one.b_status in ("ok", "invalid") else STATUS[one.b_status],
            _ratio(one.ratio),
            "—" if one.ratio.p_value is None else f"{one.ratio.p_value:.2g}",
            _VERDICTS[one.ratio.verdict] + (f" ({escape(one.ratio.reason)})" if one.ratio.reason else ""),
        )
    out.print(table)
    out.print("[dim]A ÷ B is of goodness: more than 1 means A is better, for latencies as well; interval at 95 %[/]")
    grades = sorted({grade for one in pairs.pairs for grade in one.grades})
    if "smoke" in grades:
        out.print("[yellow]▲ grade smoke: shows that it works; never ranked, never published[/]")
    for name, cells in (("A", pairs.only_a), ("B", pairs.only_b)):
        for cell in cells:
            out.print(f"[yellow]only {name} has:[/] {escape(cell)}")
    if not pairs.differences:
        out.print("Nothing else differs between A and B.")
        return
    differing = Table(title="What differs", title_justify="left")
    for column in ("what", "A", "B"):
        differing.add_column(column, overflow="fold")
    for difference in pairs.differences:
        differing.add_row(*(escape(text) for text in (difference.what, difference.values[pairs.a], difference.values[pairs.b])))
    out.print(differing)


def _ratio(ratio: Ratio) -> str:
    if ratio.value is None:
        return "—"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.3f}"
    return f"{ratio.value:.3f} [{ratio.low:.3f} … {ratio.high:.3f}]"
