"""The procurement report as data: summary, requirements, places, cost and sizing, what is missing, and how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from npubench.plan.hardware import Hardware, shipped_hardware
from npubench.record.store import Entry
from npubench.report.cited import cited
from npubench.report.detail import MOST_DETAILED
from npubench.report.differences import MISSING
from npubench.report.document import Cell, Column, Document, Fact, Grid, Paragraph, Phrase, Row, Section, Text
from npubench.report.frame import banners, make_document
from npubench.report.operating_cost import Costs
from npubench.report.procurement_costs import cost_sections
from npubench.report.procurement_detail import choose_unlisted, count_detailed, interest_of, some_names
from npubench.report.procurement_lineup import line_up
from npubench.report.procurement_offers import Lineup
from npubench.report.procurement_others import others_section
from npubench.report.procurement_places import SIX, missing_section, place_section
from npubench.report.procurement_plots import batch_plots
from npubench.report.procurement_scores import score_section
from npubench.report.procurement_summary import summary_section
from npubench.report.procurement_trust import trust_section
from npubench.report.requirements import Sheet
from npubench.report.scoring import score_all
from npubench.report.sizing import size_all

#: As many rows on differences are shown where not all cells are detailed; how many more is said.
MOST_DIFFERENCES = 500


def build_procurement(
    entries: Sequence[Entry],
    *,
    subject: str,
    reference: str = "",
    sheet: Sheet | None = None,
    costs: Costs | None = None,
    hardware: Hardware | None = None,
    most: int = MOST_DETAILED,
) -> Document:
    """Build the procurement report.

    Args:
        entries: The runs of a store.
        subject: What it is of, such as the store's name.
        reference: The GPU or CPU that candidates stand beside: target, ``target/precision`` or label; empty for none.
        sheet: The requirement sheet.
        costs: The cost file.
        hardware: The hardware catalogue; the installed one where it is ``None``.
        most: How many cells are detailed; see ``procurement_detail``.

    Raises:
        InputError: There is no such reference, or there are several.
    """
    catalogue = hardware if hardware is not None else shipped_hardware()
    batches = {line.asked.batch for line in sheet.lines if line.asked.batch} if sheet is not None else set()
    interest = interest_of(sheet, costs)
    lineup = line_up(entries, reference, catalogue, batches, interest=interest, most=most)
    scores = score_all(lineup, sheet) if sheet is not None else ()
    sized = size_all(lineup, costs.file.service[0], costs) if costs is not None and costs.file.service else ()
    lineup = replace(lineup, unlisted=choose_unlisted(lineup, scores, interest))
    sections = [summary_section(lineup, sheet, scores, sized, costs is not None)]
    if sheet is not None:
        sections.append(score_section(lineup, sheet, scores))
    places = tuple(place_section(lineup, spot) for spot in lineup.spots if spot.detailed)
    sections.append(Section("places", Phrase("procurement.places.heading"), (_lead(lineup),), places))
    if (others := others_section(lineup)) is not None:
        sections.append(others)
    sections.append(trust_section(lineup))
    if plots := batch_plots(lineup, entries):
        sections.append(Section("batches", Phrase("procurement.batches.heading"), plots))
    if costs is not None:
        sections += cost_sections(lineup, costs, catalogue)
    sections += [missing_section(lineup), _differences(lineup), _reading()]
    named = cited(sections)
    chosen = [entry for entry in entries if entry.record.run_id in named]
    facts = [Fact(Phrase("document.fact.runs"), Cell(len(chosen)))]
    if lineup.reference:
        facts.append(Fact(Phrase("document.fact.reference"), Cell(Text(lineup.label(lineup.reference)))))
    if sheet is not None:
        facts.append(Fact(Phrase("procurement.fact.sheet"), Cell(Text(sheet.name))))
    if costs is not None:
        facts.append(Fact(Phrase("procurement.fact.costs"), Cell(Text(costs.file.name))))
    document = make_document("procurement", subject, chosen, sections, facts)
    if lineup.whole:
        return document
    # What every page warns of is of all that was counted, whether its runs are named or not.
    everything = (record for spot in lineup.spots for standing in spot.standings for record in standing.records)
    return replace(document, banners=banners(list(everything)))


def _lead(lineup: Lineup) -> Paragraph:
    gone = (Phrase("procurement.places.superseded", {"count": lineup.superseded}),) if lineup.superseded else ()
    cut = []
    if not lineup.whole:
        drawn = {"count": sum(spot.drawn for spot in lineup.spots), "all": sum(bool(spot.detailed) for spot in lineup.spots)}
        cut = [Phrase("procurement.others.rule", count_detailed(lineup)), Phrase("procurement.others.drawn", drawn)]
    return Paragraph((Phrase("procurement.places.lead"), Phrase("procurement.places.reading"), *cut, *gone))


def _differences(lineup: Lineup) -> Section:
    """Return everything that is not the same for all candidates: a difference in figures may come from there."""
    rows = []
    for each in lineup.page.differences:
        who: dict[str, list[str]] = {}
        for subject in lineup.offers:
            who.setdefault(each.values.get(subject.key, MISSING), []).append(subject.label)
        for value, labels in who.items():
            cells = (Cell(Text(value)), Cell(Text(some_names(lineup, labels))))
            rows.append(Row(Cell(Phrase("procurement.difference", {"what": each.what})), cells))
    kept = rows if lineup.whole else rows[:MOST_DIFFERENCES]
    grid = Grid(
        name="differences",
        caption=Phrase("procurement.differences.caption"),
        columns=(
            Column(Phrase("document.column.item")),
            Column(Phrase("procurement.column.values")),
            Column(Phrase("procurement.column.who")),
        ),
        rows=tuple(kept),
        remarks=(Phrase("procurement.others.rows", {"count": len(rows) - len(kept)}),) if len(rows) > len(kept) else (),
    )
    lead = Paragraph((Phrase("differences.lead") if rows else Phrase("differences.none"),))
    return Section("differences", Phrase("section.differences"), (lead, *([grid] if rows else [])))


def _reading() -> Section:
    """Return what the six metrics are, and how ranks, grades and verdicts come about."""
    rows = tuple(
        Row(
            Cell(Phrase(f"procurement.six.{name}")),
            (Cell(Phrase("procurement.six.clause", {"number": n})), Cell(Phrase(f"procurement.six.{name}.text"))),
        )
        for n, name in enumerate(SIX, start=1)
    )
    grid = Grid(
        name="reading",
        caption=Phrase("procurement.reading.caption"),
        columns=(
            Column(Phrase("document.column.metric")),
            Column(Phrase("procurement.column.clause")),
            Column(Phrase("procurement.column.meaning")),
        ),
        rows=rows,
    )
    sentences = ("interval", "rank", "grade", "decides", "evidence")
    return Section(
        "reading",
        Phrase("section.reading"),
        (Paragraph(tuple(Phrase(f"procurement.reading.{each}") for each in sentences)), grid),
    )
