"""What a report of many cells goes into, whichever report it is: a reader decides among a few, and nobody reads thousands.

A cell is a subject, or a candidate, in a place (a workload in a scenario). Up to :data:`MOST_DETAILED` of them are all detailed.
Of more, each place has its share, and all others are counted and ranked with these by what their records say; they stand in
``report.others``, and no trace or reading of theirs is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from npubench.analyze.metrics import HEADLINE
from npubench.contract.runspec import Scenario
from npubench.record.store import Entry
from npubench.report.page import Cell

#: (workload, scenario).
Place = tuple[str, str]

#: As many cells are detailed. A cell takes 10 to 18 kB of HTML with its pictures, and a report is to stay below 5 MB with all
#: that covers every cell, which takes up to 2 MB.
MOST_DETAILED = 200
#: A place that is detailed has the reference and at least one to stand beside it.
LEAST = 2
#: As many names stand one after the other in a sentence or cell where not all cells are detailed; how many more is said.
MOST_NAMES = 30
#: As many rows on what is missing are shown where not all cells are detailed; how many more is said.
MOST_MISSING = 300

#: The folder of a run whose files are not looked at: whatever is asked for there cannot be opened.
_NOWHERE = Path(os.devnull)


def share_out(orders: Mapping[Place, Sequence[str]], turn: Iterable[Place], most: int) -> frozenset[tuple[Place, str]]:
    """Return what is detailed, as (place, key): ``most`` cells at most, each place its share.

    Places take turns, first with :data:`LEAST` cells, then with one at a time, so that one with fewer leaves its share to the
    others.

    Args:
        orders: Place → the keys that are there, the first to be detailed first.
        turn: The places in the order of their turns, which decides where there is not enough for all.
        most: How many cells are detailed.
    """
    turns = [*turn]
    shares = dict.fromkeys(orders, 0)
    left, step = most, LEAST
    while left > 0 and (open_ := [place for place in turns if shares[place] < len(orders[place])]):
        for place in open_:
            more = min(step, left, len(orders[place]) - shares[place])
            shares[place] += more
            left -= more
        step = 1
    return frozenset((place, key) for place, order in orders.items() for key in order[: shares[place]])


def order_of_cell(cell: Cell, rank: int | None, scenario: str) -> tuple[object, ...]:
    """Return a key that sorts the cells of a place: by rank, then by how near they are to having one, then by headline."""
    sign = -1.0 if HEADLINE[Scenario(scenario)].higher_is_better else 1.0
    value = None if cell.headline is None else cell.headline.value
    return (
        rank is None,
        rank or _distance(cell),
        value is None,
        0.0 if value is None else sign * value,
        cell.subject,
    )


def _distance(cell: Cell) -> int:
    """Return how far one without a rank is from having one: valid, valid but not to decide by, with figures, without."""
    if cell.status == "ok":
        return 1 if cell.decides else 0
    return ("invalid", "failed", "skipped").index(cell.status) + 2


def unread(entries: Iterable[Entry]) -> list[Entry]:
    """Return runs whose files beside the record are not looked at."""
    return [replace(entry, folder=_NOWHERE) for entry in entries]


def first_names(names: Sequence[str], whole: bool) -> str:
    """Return names one after the other: all of them where the report goes into everything, else the first and how many more."""
    if whole or len(names) <= MOST_NAMES:
        return ", ".join(names)
    return ", ".join([*names[:MOST_NAMES], f"… (+{len(names) - MOST_NAMES})"])
