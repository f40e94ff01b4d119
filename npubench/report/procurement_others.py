"""What a procurement report of many candidates does not go into, and the sentences that say so."""

from __future__ import annotations

from npubench.analyze.estimate import absent
from npubench.analyze.metrics import HEADLINE
from npubench.contract.runspec import Scenario
from npubench.report.document import Notice, Paragraph, Phrase, Reason, Section
from npubench.report.others import Other, other_blocks
from npubench.report.procurement_detail import count_detailed
from npubench.report.procurement_offers import Lineup, Spot, Standing
from npubench.report.procurement_places import heading_cell, place_heading, rank_mark


def others_section(lineup: Lineup) -> Section | None:
    """Return the section on what is not detailed; ``None`` where everything is."""
    if lineup.whole:
        return None
    others = [_other(lineup, spot, standing) for spot in lineup.spots for standing in spot.standings if not standing.detailed]
    lead = Paragraph((Phrase("procurement.others.lead", count_detailed(lineup)),))
    blocks = other_blocks(others, Phrase("document.column.candidate"), Phrase("procurement.others.remark"))
    return Section("others", Phrase("procurement.others.heading"), (lead, *blocks))


def scale_notices(lineup: Lineup) -> tuple[Notice, ...]:
    """Return the sentences that say in the summary that not everything is detailed, and what covers all; none where it is."""
    if lineup.whole:
        return ()
    made = [Notice("note", Phrase("procurement.others.scope", count_detailed(lineup)))]
    if lineup.unlisted:
        values = {"listed": len(lineup.listed), "all": len(lineup.offers)}
        made.append(Notice("note", Phrase("procurement.others.candidates", values)))
    return tuple(made)


def _other(lineup: Lineup, spot: Spot, standing: Standing) -> Other:
    value = standing.cell.headline
    if value is None:
        value = absent(HEADLINE[Scenario(spot.place[1])].unit, standing.trouble or "not measured in this run")
    return Other(
        place=spot.place,
        where=place_heading(spot),
        who=heading_cell(lineup, standing),
        outcome=standing.cell,
        ranked=standing.rank is not None,
        rank=rank_mark(standing),
        headline=value,
        trouble=Reason(standing.trouble) if standing.trouble else None,
    )
