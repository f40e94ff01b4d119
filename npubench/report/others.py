"""What a report of many cells does not go into: a row for each in one table, or, of very many, how many came to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from npubench.analyze.metrics import HEADLINE
from npubench.contract.runspec import Scenario
from npubench.report.detail import Place
from npubench.report.document import Block, Cell, Column, Content, Grid, Notice, Phrase, Reason, Row, Told
from npubench.report.page import Cell as Outcome
from npubench.report.verdicts import status_mark

#: Of more than so many there is no row for each, but counts: a row takes half a kilobyte, and the place for them is the store.
MOST_LISTED = 1500
#: What is counted of those.
COUNTED = ("ranked", "unranked", "invalid", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Other:
    """A cell that is not detailed.

    Args:
        place: Where it stands.
        where: What the place is called.
        who: What heads its row, with its runs.
        outcome: The cell.
        ranked: Whether it has a rank.
        rank: The rank, or why there is none.
        headline: Its headline, or why there is none.
        trouble: Why its runs are not valid; ``None`` where they are.
    """

    place: Place
    where: Phrase
    who: Cell
    outcome: Outcome
    ranked: bool
    rank: Content
    headline: Content
    trouble: Reason | Told | None


def other_blocks(others: Sequence[Other], whom: Phrase, remark: Phrase) -> tuple[Block, ...]:
    """Return the table of what is not detailed; of more than :data:`MOST_LISTED`, counts with a sentence on where they are.

    Args:
        others: What is not detailed.
        whom: What heads the labels.
        remark: What is said below the table of how its ranks are to be read.
    """
    if len(others) <= MOST_LISTED:
        return (_listed(others, whom, remark),)
    values = {"count": len(others), "most": MOST_LISTED}
    return Notice("note", Phrase("procurement.others.counted", values)), _counted(others)


def _listed(others: Sequence[Other], whom: Phrase, remark: Phrase) -> Grid:
    rows = []
    for each in others:
        runs = each.who.runs
        cells = (
            Cell(each.where, runs),
            Cell(each.headline, runs, Phrase(f"metric.{HEADLINE[Scenario(each.place[1])].metric}")),
            Cell(each.rank, runs),
            Cell(status_mark(each.outcome.status), runs, each.trouble),
        )
        rows.append(Row(each.who, cells))
    return Grid(
        name="others",
        caption=Phrase("procurement.others.caption"),
        columns=(
            Column(whom),
            Column(Phrase("procurement.column.place")),
            Column(Phrase("procurement.column.headline"), True),
            Column(Phrase("procurement.column.rank")),
            Column(Phrase("document.column.status")),
        ),
        rows=tuple(rows),
        remarks=(remark,),
    )


def _counted(others: Sequence[Other]) -> Grid:
    """Return how many came to what, a row a place; a row a scenario where the places are very many themselves."""
    single = len({each.place for each in others}) > MOST_LISTED
    there: dict[tuple[str, ...], list[Other]] = {}
    for each in others:
        there.setdefault(each.place[1:] if single else each.place, []).append(each)
    rows = []
    for some in there.values():
        heading = Phrase(f"scenario.{some[0].place[1]}") if single else some[0].where
        states = [_state(each) for each in some]
        counts = (Cell(len(some)), *(Cell(states.count(name)) for name in COUNTED), Cell(sum(map(_is_doubted, some))))
        rows.append(Row(Cell(heading), counts))
    return Grid(
        name="others",
        caption=Phrase("procurement.others.counts"),
        columns=(
            Column(Phrase("procurement.column.place")),
            Column(Phrase("procurement.column.others"), True),
            *(Column(Phrase(f"procurement.others.{name}"), True) for name in COUNTED),
            Column(Phrase("procurement.others.doubted"), True),
        ),
        rows=tuple(rows),
    )


def _state(other: Other) -> str:
    if other.ranked:
        return "ranked"
    return "unranked" if other.outcome.status == "ok" else other.outcome.status


def _is_doubted(other: Other) -> bool:
    """Tell whether there is a finding that is more than a note."""
    return any(finding.severity != "note" for finding in other.outcome.findings)
