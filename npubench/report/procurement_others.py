"""What a report of many candidates does not go into: a row for each in one table, or, of very many, how many came to what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from npubench.analyze.estimate import absent
from npubench.analyze.metrics import HEADLINE
from npubench.contract.runspec import Scenario
from npubench.report.document import Block, Cell, Column, Grid, Notice, Paragraph, Phrase, Reason, Row, Section
from npubench.report.procurement_detail import count_detailed
from npubench.report.procurement_offers import Lineup, Spot, Standing
from npubench.report.procurement_places import heading_cell, place_heading, rank_mark
from npubench.report.verdicts import status_mark

#: Of more than so many there is no row for each, but counts: a row takes half a kilobyte, and the place for them is the store.
MOST_LISTED = 1500
#: What is counted of those.
COUNTED = ("ranked", "unranked", "invalid", "failed", "skipped")


def others_section(lineup: Lineup) -> Section | None:
    """Return the section on what is not detailed; ``None`` where everything is."""
    if lineup.whole:
        return None
    others = [(spot, standing) for spot in lineup.spots for standing in spot.standings if not standing.detailed]
    blocks: list[Block] = [Paragraph((Phrase("procurement.others.lead", count_detailed(lineup)),))]
    if len(others) <= MOST_LISTED:
        blocks.append(_listed(lineup, others))
    else:
        values = {"count": len(others), "most": MOST_LISTED}
        blocks += [Notice("note", Phrase("procurement.others.counted", values)), _counted(lineup, others)]
    return Section("others", Phrase("procurement.others.heading"), tuple(blocks))


def scale_notices(lineup: Lineup) -> tuple[Notice, ...]:
    """Return the sentences that say in the summary that not everything is detailed, and what covers all; none where it is."""
    if lineup.whole:
        return ()
    made = [Notice("note", Phrase("procurement.others.scope", count_detailed(lineup)))]
    if lineup.unlisted:
        values = {"listed": len(lineup.listed), "all": len(lineup.offers)}
        made.append(Notice("note", Phrase("procurement.others.candidates", values)))
    return tuple(made)


def _listed(lineup: Lineup, others: Sequence[tuple[Spot, Standing]]) -> Grid:
    rows = []
    for spot, standing in others:
        headline = HEADLINE[Scenario(spot.place[1])]
        value = standing.cell.headline
        if value is None:
            value = absent(headline.unit, standing.trouble or "not measured in this run")
        cells = (
            Cell(place_heading(spot), standing.runs),
            Cell(value, standing.runs, Phrase(f"metric.{headline.metric}")),
            Cell(rank_mark(standing), standing.runs),
            Cell(status_mark(standing.cell.status), standing.runs, Reason(standing.trouble) if standing.trouble else None),
        )
        rows.append(Row(heading_cell(lineup, standing), cells))
    return Grid(
        name="others",
        caption=Phrase("procurement.others.caption"),
        columns=(
            Column(Phrase("document.column.candidate")),
            Column(Phrase("procurement.column.place")),
            Column(Phrase("procurement.column.headline"), True),
            Column(Phrase("procurement.column.rank")),
            Column(Phrase("document.column.status")),
        ),
        rows=tuple(rows),
        remarks=(Phrase("procurement.others.remark"),),
    )


def _counted(lineup: Lineup, others: Sequence[tuple[Spot, Standing]]) -> Grid:
    """Return how many came to what, a row a place; a row a scenario where the places are very many themselves."""
    single = len(lineup.spots) > MOST_LISTED
    there: dict[tuple[str, ...], list[tuple[Spot, Standing]]] = {}
    for spot, standing in others:
        there.setdefault(spot.place[1:] if single else spot.place, []).append((spot, standing))
    rows = []
    for some in there.values():
        spot = some[0][0]
        heading = Phrase(f"scenario.{spot.place[1]}") if single else place_heading(spot)
        states = [_state(standing) for _, standing in some]
        counts = (Cell(len(some)), *(Cell(states.count(name)) for name in COUNTED), Cell(_doubted(s for _, s in some)))
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


def _state(standing: Standing) -> str:
    if standing.rank is not None:
        return "ranked"
    return "unranked" if standing.cell.status == "ok" else standing.cell.status


def _doubted(standings: Iterable[Standing]) -> int:
    """Return how many have a finding that is more than a note."""
    return sum(any(finding.severity != "note" for finding in standing.cell.findings) for standing in standings)
