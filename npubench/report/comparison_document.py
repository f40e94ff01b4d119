"""The comparison as a document: the decision first, then each scenario, energy, doubts, conditions, and how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from npubench.record.store import Entry
from npubench.report.cited import cited
from npubench.report.comparison_cast import Cast
from npubench.report.comparison_conditions import differences_section, missing_section, reading_section, systems_section
from npubench.report.comparison_energy import energy_section
from npubench.report.comparison_findings import findings_section
from npubench.report.comparison_limits import rooflines_section, sweeps_section
from npubench.report.comparison_others import others_section
from npubench.report.comparison_scenarios import details_section, scenario_section
from npubench.report.comparison_summary import summary_section
from npubench.report.document import Cell, Document, Fact, Phrase, Section, Text
from npubench.report.frame import banners, make_document
from npubench.report.page import ComparisonPage


def build_comparison(page: ComparisonPage, entries: Sequence[Entry]) -> Document:
    """Return a comparison as a document.

    Args:
        page: The comparison.
        entries: The runs it was built of.
    """
    sections, facts = comparison_sections(page), comparison_facts(page)
    if page.whole is None:
        return make_document("comparison", page.title, entries, sections, facts)
    named = cited(sections)
    chosen = [entry for entry in entries if entry.record.run_id in named]
    # What every page warns of is of all that was compared, whether its runs are named or not.
    document = make_document("comparison", page.title, chosen, sections, facts)
    return replace(document, banners=banners([entry.record for entry in entries]))


def comparison_sections(page: ComparisonPage) -> tuple[Section, ...]:
    """Return everything that a comparison says."""
    cast = Cast(page)
    sections = (
        summary_section(cast),
        *(scenario_section(cast, table) for table in page.tables),
        energy_section(cast),
        sweeps_section(cast),
        rooflines_section(cast),
        details_section(cast),
        others_section(cast),
        missing_section(cast),
        findings_section(cast),
        differences_section(cast),
        systems_section(cast),
        reading_section(cast),
    )
    return tuple(section for section in sections if section.blocks)


def comparison_facts(page: ComparisonPage) -> tuple[Fact, ...]:
    """Return what stands in the head: grades, how many are compared, and against whom."""
    cast = Cast(page)
    facts = [
        Fact(Phrase("comparison.fact.grades"), Cell(Phrase("comparison.grades", {"grades": ", ".join(page.grades)}))),
        Fact(Phrase("comparison.fact.subjects"), Cell(len(cast.all.subjects))),
    ]
    if cast.baseline:
        facts.append(Fact(Phrase("comparison.fact.baseline"), Cell(Text(cast.subjects[cast.baseline].label))))
    return tuple(facts)
