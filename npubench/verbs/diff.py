"""``npubench diff``: everything that differs between two records."""

from __future__ import annotations

import json
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from npubench.analyze.estimate import Estimate
from npubench.contract.options import nearest
from npubench.contract.runspec import to_plain
from npubench.errors import InputError
from npubench.record.schema import Record
from npubench.record.store import Store, read_record
from npubench.report.records import A, B, RecordDifferences, compare_records
from npubench.report.words import figure_text
from npubench.verbs.console import data, out
from npubench.verbs.tables import REASONS, unlike_text

#: Group → its heading, in the order they are shown.
_HEADINGS = {
    "spec": "What was asked for",
    "work": "Work",
    "artefact": "Artefact",
    "system": "System: what somebody must have changed",
    "versions": "Versions, packages and environment",
    "volatile": "System: what changes by itself",
    "run": "How the run went",
}


def diff_records(a: str, b: str, store: Path, as_json: bool) -> int:
    """Print what differs between two runs; returns 0 whatever differs.

    Args:
        a, b: The runs' ids in the store, or their folders.
        store: Folder of records that ids are looked up in.
        as_json: Print JSON.

    Raises:
        InputError: There is no such run, or several have the id.
        RecordError: One cannot be read.
    """
    found = compare_records(_read(a, store), _read(b, store))
    if as_json:
        data(json.dumps(to_plain(found), indent=1, ensure_ascii=False))
    else:
        _print(found)
    return 0


def _read(run: str, store: Path) -> Record:
    """Return the record of a run named by its folder, its file or its id; ``SYSTEM/RUN`` tells two systems apart."""
    path = Path(run)
    if path.is_file():
        return read_record(path)
    if (path / "record.json").is_file():
        return read_record(path / "record.json")
    folders = Store(store).folders()
    found = [folder for folder in folders if run in (folder.name, f"{folder.parent.name}/{folder.name}")]
    if len(found) == 1:
        return read_record(found[0] / "record.json")
    if found:
        names = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in found)
        raise InputError(f"{run}: {len(found)} systems have such a run; name one as {names}")
    raise InputError(f"there is no run '{run}' in {store}{nearest(run, [folder.name for folder in folders])}; see --store")


def _print(found: RecordDifferences) -> None:
    out.print(f"A = {escape(found.a)}\nB = {escape(found.b)}", soft_wrap=True)
    if found.incomparable:
        out.print(f"[yellow]▲ not comparable:[/] {escape(REASONS.get(found.incomparable, found.incomparable))}", soft_wrap=True)
    if found.unlike:
        out.print(f"[yellow]▲ {escape(unlike_text(found.unlike))}[/]", soft_wrap=True)
    for group, heading in _HEADINGS.items():
        differences = found.groups.get(group, ())
        if differences:
            table = _table(heading, "what", "A", "B")
            for difference in differences:
                table.add_row(*(escape(text) for text in (difference.what, difference.values[A], difference.values[B])))
            out.print(table)
    if not found.groups:
        out.print("Nothing but the figures differs.")
    figures = _table("Figures", "figure", "A", "B", "A ÷ B")
    for figure in found.figures:
        if figure.a is not None or figure.b is not None:
            figures.add_row(escape(figure.name), _figure(figure.a), _figure(figure.b), _ratio(figure.ratio))
    out.print(figures)
    out.print("[dim]A ÷ B of the figures themselves, with the interval that both intervals span[/]")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _figure(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "—"
    if estimate.low is None or estimate.high is None:
        return figure_text(estimate.value, estimate.unit)
    low, high = figure_text(estimate.low, estimate.unit), figure_text(estimate.high, estimate.unit)
    return f"{figure_text(estimate.value, estimate.unit)} [dim]\\[{low} … {high}][/]"


def _ratio(ratio: Estimate) -> str:
    if ratio.value is None:
        return "—"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.3f}"
    return f"{ratio.value:.3f} \\[{ratio.low:.3f} … {ratio.high:.3f}]"
