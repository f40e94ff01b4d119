"""Print comparisons as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from npubench.analyze.estimate import Estimate
from npubench.report import page as page_data
from npubench.report.comparison_detail import choose_cells, narrowed_page
from npubench.report.page import Cell, ComparisonPage, Ratio
from npubench.report.pairs import Pairs
from npubench.report.words import figure_text
from npubench.verbs.console import STATUS, out

_VERDICTS = {
    "better": "[green]better[/]",
    "worse": "[red]worse[/]",
    "indistinguishable": "≈",
    "not-comparable": "not comparable",
}


#: What a table across needs, characters: its first column, and a figure with ratio and accuracy.
_WORKLOAD_WIDTH, _CELL_WIDTH = 24, 22

#: Of a comparison that does not go into everything, so many cells are printed: with power and rooflines some 300 lines.
MOST_CELLS = 40
#: As many pairs are compared to be printed, and as many cells that one side alone has.
MOST_PAIRS, MOST_ALONE = 100, 30

#: Why a pair is not comparable, in words; a reason that is a sentence already stands for itself.
REASONS = {
    "simulated": "one side is SIMULATED",
    "different-work": "the two sides ran different work",
    "different-grade": "the two sides were measured at different grades",
    "different-scenario": "the two sides ran different scenarios",
    "different-bound": "the two sides were held to different latency bounds",
    "damaged-trace": "a trace is damaged or missing",
    "no-headline": "a side has no headline figure: its run was too short for it",
    "incomplete": "fewer processes were measured than the grade asks for",
    "failed": "a run failed",
    "skipped": "a run was skipped",
    "invalid": "a run is invalid",
}


#: Conditions in which two sides that have a ratio are not comparable, in words.
_UNLIKE = {
    "system": "system (another host, or one that was changed)",
    "driver": "driver or runtime version",
    "firmware": "firmware of the device",
    "power-cap": "power limit of the device",
    "precision": "precision",
    "boundary": "what time and energy leave out",
    "client": "client (the harness or other processes had a part in a figure)",
}


def print_page(page: ComparisonPage) -> None:
    """Print one table a scenario: workloads down, subjects across."""
    labels = {subject.key: subject.label for subject in page.subjects}
    if "smoke" in page.grades:
        out.print("[yellow]▲ grade smoke: shows that it works; never ranked, never published[/]")
    if any(subject.simulated for subject in (page.whole or page).subjects):
        out.print("[yellow]▲ SIMULATED devices are on this page; they are no hardware and never ranked[/]")
    for table in page.tables:
        # A subject that this scenario was not asked of has no column.
        measured = {cell.subject for row in table.rows for cell in row.cells}
        subjects = {key: label for key, label in labels.items() if key in measured}
        narrow = _WORKLOAD_WIDTH + _CELL_WIDTH * len(subjects) > out.width
        out.print((_down if narrow else _across)(table, subjects))
    compared = page.subjects[0].label if not page.baseline else labels.get(page.baseline, "")
    if len(page.subjects) > 1:
        out.print(f"[dim]× is against {compared}, more is better; ≈ means not distinguishable; accuracy in parentheses[/]")


def shorten_page(page: ComparisonPage) -> ComparisonPage:
    """Return what is printed of a comparison that does not go into everything: so few cells that a person can read them."""
    return page if page.whole is None else narrowed_page(page, choose_cells(page, MOST_CELLS))


def print_shown(page: ComparisonPage, shown: ComparisonPage) -> None:
    """Print how much of a comparison stands above, and where the rest is; nothing where it is all of it."""
    if page.whole is None:
        return
    few, some, known = (sum(len(row.cells) for table in each.tables for row in table.rows) for each in (shown, page, page.whole))
    out.print(
        f"[yellow]▲ {few:,} of {known:,} outcomes are shown here:[/] the baseline and the best of each place; ranks count all. "
        f"The report goes into {some:,} of them and counts all; 'npubench serve' shows each, and --suite narrows.",
        soft_wrap=True,
    )


def _across(table: page_data.Table, subjects: Mapping[str, str]) -> Table:
    """Return a table with workloads down and subjects across."""
    drawn = Table(title=f"{table.scenario}: {table.headline}", title_justify="left")
    drawn.add_column("workload", no_wrap=True)
    for label in subjects.values():
        drawn.add_column(label, justify="right")
    for row in table.rows:
        cells = {cell.subject: cell for cell in row.cells}
        drawn.add_row(row.workload, *(_cell(cells.get(key)) for key in subjects))
    return drawn


def _down(table: page_data.Table, subjects: Mapping[str, str]) -> Table:
    """Return a table with a line a workload and subject, where the terminal is too narrow for subjects across."""
    drawn = Table(title=f"{table.scenario}: {table.headline}", title_justify="left")
    sides: tuple[tuple[str, JustifyMethod], ...] = (("workload", "left"), ("subject", "left"), ("figure", "right"))
    for column, justify in sides:
        drawn.add_column(column, justify=justify, no_wrap=True)
    for row in table.rows:
        cells = [cell for key in subjects for cell in row.cells if cell.subject == key]
        for n, cell in enumerate(cells):
            drawn.add_row("" if n else row.workload, subjects[cell.subject], _cell(cell), end_section=n == len(cells) - 1)
    return drawn


def _cell(cell: Cell | None) -> str:
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


def shorten_pairs(pairs: Pairs) -> Pairs:
    """Return two sides with no more cells of one side alone than a person can read."""
    return replace(pairs, only_a=pairs.only_a[:MOST_ALONE], only_b=pairs.only_b[:MOST_ALONE])


def print_paired(pairs: Pairs, shown: Pairs) -> None:
    """Print how many pairs and cells of one side alone are not shown above; nothing where all are."""
    gone = (
        ("pairs", pairs.left_out),
        ("cells that only A has", len(pairs.only_a) - len(shown.only_a)),
        ("cells that only B has", len(pairs.only_b) - len(shown.only_b)),
    )
    said = ", ".join(f"{count:,} {what}" for what, count in gone if count)
    if said:
        out.print(f"[yellow]▲ not shown here:[/] {said}; --json has all of them", soft_wrap=True)


def print_pairs(pairs: Pairs) -> None:
    """Print the paired ratios, one table a scenario, what has no partner, and everything that differs."""
    out.print(f"A = {escape(pairs.a)}\nB = {escape(pairs.b)}")
    notes: list[str] = []
    for scenario, metric in dict.fromkeys((one.cell[1], one.metric) for one in pairs.pairs):
        table = Table(title=f"{scenario}: {metric}", title_justify="left")
        for column in ("workload", "A", "B", "A ÷ B", "verdict"):
            table.add_column(column, justify="left" if column in ("workload", "verdict") else "right", overflow="fold")
        for one in pairs.pairs:
            if one.cell[1] == scenario:
                name = " · ".join((one.cell[0], *one.cell[2:]))
                table.add_row(escape(name), _side(one.a, one.a_status), _side(one.b, one.b_status), *_judged(one.ratio, notes))
        out.print(table)
    for n, note in enumerate(notes):
        out.print(f"({n + 1}) {escape(note)}", soft_wrap=True)
    if any(one.ratio.verdict == "indistinguishable" for one in pairs.pairs):
        out.print("[dim]≈ means not distinguishable: interval and rank test do not agree on a difference[/]")
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


def _side(estimate: Estimate | None, status: str) -> str:
    """Return one side's headline; a run without a number shows its status."""
    return figure_text(estimate.value, estimate.unit) if estimate and status in ("ok", "invalid") else STATUS[status]


def _judged(ratio: Ratio, notes: list[str]) -> tuple[str, str]:
    """Return ratio and verdict; a reason becomes a note, each written once."""
    verdict = _VERDICTS[ratio.verdict]
    said = [REASONS.get(ratio.reason, ratio.reason)] if ratio.reason else []
    if ratio.unlike:
        said.append(unlike_text(ratio.unlike))
    for reason in said:
        if reason not in notes:
            notes.append(reason)
        verdict += f" ({notes.index(reason) + 1})"
    return _ratio(ratio), verdict


def unlike_text(conditions: Sequence[str]) -> str:
    """Return in what two sides are not comparable, in words."""
    return f"not comparable in: {', '.join(_UNLIKE.get(each, each) for each in conditions)}"


def _ratio(ratio: Ratio) -> str:
    if ratio.value is None:
        return "—"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.3f}"
    return f"{ratio.value:.3f} [{ratio.low:.3f} … {ratio.high:.3f}]"
