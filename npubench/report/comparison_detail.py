"""A comparison of many cells: it goes into the baseline and the best of every place, and counts and ranks all others with them.

Up to ``detail.MOST_DETAILED`` cells (a subject in a place) are all detailed. Of more, the traces and readings of those that are
chosen are the only ones that are opened; what is said of all others is what their records say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace

from npubench.plan.hardware import Hardware, shipped_hardware
from npubench.record.store import Entry
from npubench.report.comparison import build_page, subject_key
from npubench.report.detail import MOST_DETAILED, Place, order_of_cell, share_out, unread
from npubench.report.page import Cell, ComparisonPage

#: As many power sweeps are shown where not all cells are detailed: each has a table and two pictures.
MOST_SWEEPS = 20

#: A cell: its place and its subject's key.
At = tuple[Place, str]


def build_detailed_page(
    title: str,
    entries: Sequence[Entry],
    baseline: str | None = "",
    hardware: Hardware | None = None,
    most: int = MOST_DETAILED,
) -> ComparisonPage:
    """Build a comparison that goes into ``most`` cells at most; see ``comparison.build_page`` for the other arguments."""
    if len({_at(entry) for entry in entries}) <= most:
        return build_page(title, entries, baseline, hardware)
    hardware = hardware if hardware is not None else shipped_hardware()
    whole = build_page(title, unread(entries), baseline, hardware, 0, differing=False)
    chosen = choose_cells(whole, most)
    against = whole.baseline if any(key == whole.baseline for _, key in chosen) else None
    seen = build_page(title, [entry for entry in entries if _at(entry) in chosen], against, hardware)
    ratios = {((row.workload, t.scenario), cell.subject): cell.ratio for t in seen.tables for row in t.rows for cell in row.cells}
    # Without its trace a cell has no ratio, and no reason for having none either.
    whole = _with_cells(whole, lambda at, cell: replace(cell, ratio=ratios.get(at)))
    return replace(
        narrowed_page(whole, chosen),
        systems=seen.systems,
        distributions=seen.distributions,
        differences=seen.differences,
        courses=seen.courses,
        whole=whole,
    )


def choose_cells(page: ComparisonPage, most: int) -> frozenset[At]:
    """Return what is detailed, ``most`` cells at most: of every place the baseline, then the best (``detail.share_out``).

    Where there is not enough for all, those places come first that the baseline was measured in, then those with most subjects.
    """
    there = {(row.workload, table.scenario): row.cells for table in page.tables for row in table.rows}
    orders = {}
    for place, cells in there.items():
        best = sorted(cells, key=lambda cell: (cell.subject != page.baseline, order_of_cell(cell, cell.rank, place[1])))
        orders[place] = [cell.subject for cell in best]
    turn = sorted(orders, key=lambda place: (page.baseline not in orders[place], -len(orders[place]), place))
    return share_out(orders, turn, most)


def narrowed_page(page: ComparisonPage, chosen: Set[At]) -> ComparisonPage:
    """Return a comparison with the cells ``chosen`` and their subjects alone; ranks stay those among all that were there.

    What else the page has (systems, distributions, differences, courses) is left as it is.
    """
    energy = (
        replace(row, cells=tuple(cell for cell in row.cells if ((row.workload, row.scenario), cell.subject) in chosen))
        for row in page.energy
    )
    sweeps = (s for s in page.sweeps if any(((s.workload, s.scenario), point.subject) in chosen for point in s.points))
    listed = {page.baseline, *(key for _, key in chosen)}
    return replace(
        _with_cells(page, lambda at, cell: cell if at in chosen else None),
        subjects=tuple(subject for subject in page.subjects if subject.key in listed),
        energy=tuple(row for row in energy if row.cells),
        sweeps=tuple(sweeps)[:MOST_SWEEPS],
    )


def _with_cells(page: ComparisonPage, made: Callable[[At, Cell], Cell | None]) -> ComparisonPage:
    """Return a comparison with what is made of each cell; rows and tables without one are left out."""
    tables = []
    for table in page.tables:
        rows = []
        for row in table.rows:
            place = (row.workload, table.scenario)
            cells = tuple(new for cell in row.cells if (new := made((place, cell.subject), cell)) is not None)
            rows += [replace(row, cells=cells)] if cells else []
        tables += [replace(table, rows=tuple(rows))] if rows else []
    return replace(page, tables=tuple(tables))


def _at(entry: Entry) -> At:
    spec = entry.record.spec
    return (spec.workload, spec.load.scenario.value), subject_key(entry.record)
