"""What a comparison of many cells does not go into, and the sentences that say so."""

from __future__ import annotations

from npubench.report import page
from npubench.report.comparison_cast import WHOM, Cast, runs_of
from npubench.report.comparison_scenarios import headline_of_cell, rank_of, why_of
from npubench.report.document import Notice, Paragraph, Phrase, Section
from npubench.report.others import Other, other_blocks


def others_section(cast: Cast) -> Section:
    """Return the section on what is not detailed; without blocks where everything is."""
    heading = Phrase("procurement.others.heading")
    if cast.page.whole is None:
        return Section("others", heading)
    detailed = {(table.scenario, row.workload, cell.subject) for table, row, cell in cast.outcomes}
    others = [
        _other(cast, table, row, cell)
        for table, row, cell in cast.all_outcomes
        if (table.scenario, row.workload, cell.subject) not in detailed
    ]
    lead = Paragraph((Phrase("comparison.others.lead", count_detailed(cast)), Phrase("comparison.others.narrow")))
    return Section("others", heading, (lead, *other_blocks(others, WHOM, Phrase("comparison.others.remark"))))


def scale_notices(cast: Cast) -> tuple[Notice, ...]:
    """Return the sentences that say in the summary that not everything is detailed, and what covers all; none where it is."""
    if cast.page.whole is None:
        return ()
    made = [Notice("note", Phrase("comparison.others.scope", count_detailed(cast)))]
    listed, known = len(cast.page.subjects), len(cast.all.subjects)
    if listed < known:
        made.append(Notice("note", Phrase("comparison.others.subjects", {"listed": listed, "all": known})))
    return tuple(made)


def count_detailed(cast: Cast) -> dict[str, int]:
    """Return how many cells are detailed, and how many there are, for sentences."""
    detailed, known = len(cast.outcomes), len(cast.all_outcomes)
    return {"detailed": detailed, "all": known, "others": known - detailed}


def _other(cast: Cast, table: page.Table, row: page.Row, cell: page.Cell) -> Other:
    return Other(
        place=(row.workload, table.scenario),
        where=cast.place(row.workload, table.scenario),
        who=cast.name(cell.subject, runs_of(cell.run_id)),
        outcome=cell,
        ranked=cell.rank is not None,
        rank=rank_of(cell),
        headline=headline_of_cell(cell),
        trouble=why_of(cell),
    )
