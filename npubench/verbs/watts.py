"""Print power and energy on a terminal: domain and evidence beside every watt, and a reason where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from npubench.analyze.estimate import Estimate
from npubench.report.efficiency import POLICY
from npubench.report.page import ComparisonPage, EnergyCell, EnergyLine, Ratio
from npubench.report.pairs import Pairs
from npubench.report.words import figure_text
from npubench.verbs.console import out

#: What must be connected for watts to appear.
CONNECT = (
    "No watt was measured: no sensor or meter was read. Connect a wall meter, a PDU or BMC, or a device's own counter, "
    "and name it in the host file as [meter.NAME]; a plug-in may bring sensors of its own."
)

#: Why two sides have no ratio of samples a joule.
REASONS = {
    "different-domain": "not comparable: domain",
    "different-evidence": "not comparable: evidence",
    "no-energy": "not comparable: one side has no energy",
    "no-efficiency": "not comparable: one side has no samples/J",
    "simulated": "not comparable: SIMULATED",
}

_POLICY = {
    "met": f"[green]≥ {POLICY:.1f}×[/]",
    "missed": f"< {POLICY:.1f}×",
    "indistinguishable": f"{POLICY:.1f}×: not distinguishable",
}


def print_energy(page: ComparisonPage) -> None:
    """Print one table a scenario and workload, a line a subject, domain and evidence; or what would have to be connected."""
    if not any(cell.lines for row in (page.whole or page).energy for cell in row.cells):
        if page.energy:
            out.print(f"[dim]{escape(CONNECT)}[/]", soft_wrap=True)
        return
    labels = {subject.key: subject.label for subject in page.subjects}
    notes: list[str] = []
    for row in page.energy:
        table = _table(f"{row.scenario}, {row.workload}: power and samples/J")
        for cell in row.cells:
            _add(table, labels[cell.subject], cell.lines, _reason(cell), notes)
        out.print(table)
    _print_notes(notes)
    declared = {
        labels[cell.subject]: " / ".join(f"{f.value:g} {f.unit}" + (f" ({f.date})" if f.date else "") for f in cell.declared)
        for row in page.energy
        for cell in row.cells
        if cell.declared
    }
    for label, text in declared.items():
        out.print(f"[dim]declared TDP of {escape(label)}, not measured and never ranked: {escape(text)}[/]", soft_wrap=True)


def print_pair_energy(pairs: Pairs) -> None:
    """Print what both sides drew, A's lines with their ratio to B's; nothing where neither has energy."""
    if not any(one.energy_a or one.energy_b for one in pairs.pairs):
        out.print(f"[dim]{escape(CONNECT)}[/]", soft_wrap=True)
        return
    notes: list[str] = []
    for one in pairs.pairs:
        name = " · ".join((one.cell[0], *one.cell[2:]))
        table = _table(f"{one.cell[1]}, {escape(name)}: power and samples/J, A ÷ B")
        _add(table, "A", one.energy_a, "no meter", notes)
        _add(table, "B", one.energy_b, "no meter", notes)
        out.print(table)
    _print_notes(notes)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("of, by domain · evidence", overflow="fold")
    for column in ("mean W", "peak W", "idle W", "samples/J"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("ratio", overflow="fold")
    return table


def _add(table: Table, name: str, lines: Sequence[EnergyLine], reason: str, notes: list[str]) -> None:
    if not lines:
        table.add_row(f"{escape(name)}\n  {reason}", *["—"] * 5)
    for line in lines:
        of = escape(name) + (" · SIMULATED" if line.simulated else "")
        figures = (line.watts, line.peak_watts, line.idle_watts, line.samples_per_joule)
        table.add_row(
            f"{of}\n  {escape(line.domain)} · {escape(line.evidence)}",
            *(_figure(figure, notes) for figure in figures),
            _ratio(line.ratio, line.policy, notes),
        )


def _figure(estimate: Estimate, notes: list[str]) -> str:
    """Return a figure without its unit; an absent one gets the number of the note that says why."""
    if estimate.value is None:
        return f"— ({_note(estimate.reason or 'no reason is recorded', notes)})"
    return figure_text(estimate.value, "").strip()


def _ratio(ratio: Ratio | None, policy: str, notes: list[str]) -> str:
    if ratio is None:
        return ""
    if ratio.value is None or ratio.low is None or ratio.high is None:
        return f"— ({_note(REASONS.get(ratio.reason, f'not comparable: {ratio.reason}'), notes)})"
    return f"×{ratio.value:.2f} [{ratio.low:.2f} … {ratio.high:.2f}] {_POLICY.get(policy, '')}"


def _reason(cell: EnergyCell) -> str:
    return "no meter" if cell.reason == "no-meter" else cell.reason


def _note(text: str, notes: list[str]) -> int:
    if text not in notes:
        notes.append(text)
    return notes.index(text) + 1


def _print_notes(notes: Iterable[str]) -> None:
    for n, note in enumerate(notes):
        out.print(f"({n + 1}) {escape(note)}", soft_wrap=True)
