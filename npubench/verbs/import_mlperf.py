"""``npubench import mlperf``: take published MLPerf results into a store as reference rows."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from npubench.contract.runspec import to_plain
from npubench.errors import InputError
from npubench.record.mlperf.published import read_published
from npubench.record.mlperf.reference import PUBLISHED, Reference
from npubench.record.mlperf.references import keep_references
from npubench.report.references import References, read_references
from npubench.verbs.console import data, err, out

#: How many files that were refused are named before the rest are only counted.
_SHOWN = 20
#: A terminal of this many characters also shows accelerators.
_WIDE = 120


def import_mlperf(path: Path | None, store: Path, round_: str, listing: bool, as_json: bool) -> int:
    """Read published results and keep them, or list what is kept.

    Args:
        path: A clone of a round's repository, or a part of it; ``None`` with ``listing``.
        store: Folder of records; rows are kept in its folder ``references``.
        round_: Such as "3.0"; "" = as the path says.
        listing: Show the rows of the store afterwards.
        as_json: Print rows as JSON.

    Returns:
        0, or 1 where a file was refused or a kept row cannot be read.

    Raises:
        InputError: There is nothing to read, or the round is none.
        StoreError: The store cannot be written.
    """
    if path is None and not listing:
        raise InputError("name the folder of published results, or --list to see what is kept")
    if round_ and not re.fullmatch(r"\d{1,2}\.\d{1,2}", round_):
        raise InputError(f"--round '{round_[:40]}': a round is a number such as 3.0")
    refused = 0 if path is None else _take_in(path, store, round_)
    if not listing:
        return 1 if refused else 0
    kept = read_references(store)
    for name, why in kept.unreadable.items():
        err.print(f"[red]✘[/] {escape(name)}: {escape(why)}", soft_wrap=True)
    if as_json:
        data(json.dumps([to_plain(row) for row in kept.rows], indent=1, ensure_ascii=False))
    else:
        _print(kept)
    return 1 if refused or kept.unreadable else 0


def _take_in(path: Path, store: Path, round_: str) -> int:
    """Read and keep; returns how many files were refused."""
    try:
        found = read_published(path, round_)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if not found.rows and not found.refused:
        raise InputError(f"{path}: no published result below it: no performance/run_1/mlperf_log_summary.txt")
    for refused in found.refused[:_SHOWN]:
        err.print(f"[red]✘[/] {escape(refused.path)}: {escape(refused.reason)}", soft_wrap=True)
    if len(found.refused) > _SHOWN:
        err.print(f"… and {len(found.refused) - _SHOWN} more files that were refused")
    if found.rows:
        new, there = keep_references(store, found.rows)
        elsewhere = sum(bool(row.folder_scenario) and row.folder_scenario.lower() != row.scenario.lower() for row in found.rows)
        err.print(f"{new} rows kept, {there} were there already: {PUBLISHED}", soft_wrap=True)
        if elsewhere:
            err.print(f"{elsewhere} lie under another scenario than their own log says; the log counts", soft_wrap=True)
    return len(found.refused)


def _print(kept: References) -> None:
    if not kept.rows:
        out.print("No reference rows in this store; 'npubench import mlperf PATH' takes some in.")
        return
    wide = out.width >= _WIDE
    table = Table(title=f"MLPerf Inference: {PUBLISHED}", title_justify="left")
    for column in ("round", "submitter", "system", *(("accelerator",) if wide else ()), "model", "scenario", "figure", ""):
        table.add_column(column, justify="right" if column == "figure" else "left", overflow="fold")
    notes: list[str] = []
    for row in kept.rows:
        table.add_row(*map(escape, _cells(row, wide)), _marks(row, notes))
    out.print(table)
    for n, note in enumerate(notes):
        out.print(f"({n + 1}) {note}", soft_wrap=True, markup=False)
    out.print("[dim]Published figures stand beside measured ones and are never ranked with them.[/]")


def _cells(row: Reference, wide: bool) -> tuple[str, ...]:
    count = "? × " if row.accelerators is None else f"{row.accelerators} × "
    accelerator = count + row.accelerator if row.accelerator else "—"
    where = row.submitter if row.division == "closed" else f"{row.submitter} ({row.division})" if row.division else "—"
    described = (row.system or "—", *((accelerator,) if wide else ()), row.model or "—", row.scenario)
    return (row.round or "—", where, *described, _figure(row))


def _figure(row: Reference) -> str:
    """Return a figure as published: with its digits, latencies in ms as in MLPerf's own tables."""
    return f"{row.value / 1e6:.9g} ms" if row.unit == "ns" else f"{row.value:.8g} {row.unit}"


def _marks(row: Reference, notes: list[str]) -> str:
    """Return the numbers of a row's notes; each is written once."""
    for note in row.notes:
        if note not in notes:
            notes.append(note)
    return " ".join(f"({notes.index(note) + 1})" for note in row.notes)
