"""Print runs beside the declared peaks of their devices on a terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.markup import escape
from rich.table import Table

from npubench.analyze.roofline import Roofline
from npubench.plan.hardware import Figure
from npubench.report.page import ComparisonPage
from npubench.verbs.console import out

#: Why there is no fraction of a declared peak.
_REASONS: dict[str, Callable[[str], str]] = {
    "simulated": lambda words: "SIMULATED: no hardware",
    "unknown-device": lambda words: f"'{words}' is not in the hardware catalogue",
    "no-throughput": lambda words: "no throughput",
    "no-operations": lambda words: "operations a sample are not known",
    "unknown-precision": lambda words: "the backend chooses the precision",
    "no-peak": lambda words: f"no peak is declared for this precision; there are: {words or 'none'}",
}

_DOUBTS = {
    "above-peak": "above 100 %: the count of operations or the declared figure is wrong",
    "above-bandwidth": "above 100 %: not all of the model is read each time",
}


def print_rooflines(page: ComparisonPage) -> None:
    """Print the fractions of declared peaks, a table a scenario; a sentence where no device here has any."""
    cells = [(row, cell) for row in page.energy for cell in row.cells]
    if not any(cell.roofline.device for _, cell in cells):
        kinds = dict.fromkeys(cell.roofline.words for _, cell in cells if cell.roofline.reason == "unknown-device")
        if kinds:
            out.print(
                f"[dim]no roofline: the hardware catalogue has no declared peak of {escape(', '.join(kinds))}[/]", soft_wrap=True
            )
        return
    labels = {subject.key: subject.label for subject in page.subjects}
    sources: dict[str, None] = {}
    for scenario in dict.fromkeys(row.scenario for row in page.energy):
        title = f"{scenario}: fraction of the declared peak, which nobody here has measured"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in ("workload · subject", "reached", "of peak", "op/byte", "of bandwidth", "remark"):
            table.add_column(column, justify="left" if column in ("workload · subject", "remark") else "right", overflow="fold")
        for row, cell in cells:
            if row.scenario == scenario:
                found = cell.roofline
                table.add_row(f"{escape(row.workload)}\n  {escape(labels[cell.subject])}", *_roofline(found))
                declared = [_declared(found.device, figure) for figure in (found.peak, found.bandwidth) if figure is not None]
                sources |= dict.fromkeys(declared)
        out.print(table)
    for source in sources:
        out.print(f"[dim]declared: {escape(source)}[/]", soft_wrap=True)


def _roofline(found: Roofline) -> tuple[str, ...]:
    remarks = [_REASONS[found.reason](found.words)] if found.reason in _REASONS else [found.reason] if found.reason else []
    remarks += [_DOUBTS[found.doubt]] if found.doubt else []
    return (
        "—" if found.operations is None else _operations(found.operations),
        _share(found.compute),
        "—" if found.intensity is None else f"{found.intensity:.3g}",
        _share(found.memory),
        escape("; ".join(remarks)),
    )


def _operations(rate: float) -> str:
    return f"{rate / 1e12:.3g} Top/s" if rate >= 1e12 else f"{rate / 1e9:.3g} Gop/s"


def _share(value: float | None) -> str:
    if value is None:
        return "—"
    return "< 0.1 %" if 0.0 < value < 0.001 else f"{value * 100:.3g} %"


def _declared(device: str, figure: Figure) -> str:
    of = " ".join(part for part in (figure.precision, figure.density) if part) or figure.what
    date = f", {figure.date}" if figure.date else ""
    return f"{device}: {figure.value:g} {figure.unit} ({of}, {figure.scope}; {figure.source}{date})"
