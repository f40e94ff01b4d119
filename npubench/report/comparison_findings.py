"""What the instrument itself doubts about the runs of a comparison: the rules, the doubts run by run, and the notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from npubench.analyze.finding import Finding, by_gravity
from npubench.report import page
from npubench.report.comparison_cast import Cast, Standing, runs_of
from npubench.report.comparison_others import count_detailed
from npubench.report.detail import first_names
from npubench.report.document import Block, Cell, Column, Grid, Mark, Notice, Paragraph, Phrase, Row, Section, Sign, Text, Told

#: The sign beside a severity; notes have none.
SIGNS: Mapping[str, Sign] = {"invalid": "fail", "warning": "open"}


def findings_section(cast: Cast) -> Section:
    """Return all findings."""
    if not cast.all_outcomes:
        return Section("findings", Phrase("section.findings"))
    rules = _rules(cast.all_outcomes)
    if not rules.rows:
        return Section("findings", Phrase("section.findings"), (Notice("note", Phrase("comparison.findings.none")),))
    cut = () if cast.page.whole is None else (Phrase("comparison.others.findings", count_detailed(cast)),)
    blocks: list[Block] = [Paragraph((Phrase("comparison.findings.lead"), *cut)), rules]
    blocks += [grid for grid in (_doubts(cast), _notes(cast)) if grid.rows]
    return Section("findings", Phrase("section.findings"), tuple(blocks))


def _rules(outcomes: Iterable[Standing]) -> Grid:
    """Return the rules that raised findings, the grave ones first, with how many outcomes each is of."""
    everything = [(finding, cell) for _, _, cell in outcomes for finding in cell.findings]
    counts: Counter[str] = Counter()
    for cell in {id(cell): cell for _, cell in everything}.values():
        counts.update({finding.rule for finding in cell.findings})
    worst: dict[str, Finding] = {}
    for finding in by_gravity(finding for finding, _ in everything):
        worst.setdefault(finding.rule, finding)
    rows = tuple(
        Row(
            Cell(Told(finding, "rule")),
            (Cell(_severity(finding)), Cell(counts[rule]), Cell(Told(finding, "meaning")), Cell(Text(rule))),
        )
        for rule, finding in worst.items()
    )
    return Grid(
        name="rules",
        caption=Phrase("comparison.rules.caption"),
        columns=(
            Column(Phrase("comparison.column.rule")),
            Column(Phrase("comparison.column.severity")),
            Column(Phrase("comparison.column.count"), True),
            Column(Phrase("comparison.column.meaning")),
            Column(Phrase("comparison.column.rule-id")),
        ),
        rows=rows,
    )


def _severity(finding: Finding) -> Mark | Phrase:
    word = Phrase(f"severity.{finding.severity}")
    return Mark(SIGNS[finding.severity], word) if finding.severity in SIGNS else word


def _doubts(cast: Cast) -> Grid:
    """Return everything that makes a run invalid or doubtful, run by run."""
    rows = []
    for table, row, cell in cast.outcomes:
        words = {**cast.where(row.workload, table.scenario), "label": cast.subjects[cell.subject].label}
        group = Cell(Phrase("comparison.findings.of", words), runs_of(cell.run_id))
        rows += [
            Row(Cell(Told(finding, "rule"), runs_of(cell.run_id)), (Cell(_severity(finding)), *_told(finding)), group)
            for finding in by_gravity(cell.findings)
            if finding.severity != "note"
        ]
    return Grid(
        name="findings",
        caption=Phrase("comparison.findings.caption"),
        columns=(Column(Phrase("comparison.column.finding")), Column(Phrase("comparison.column.severity")), *_columns()),
        rows=tuple(rows),
        grouping=Phrase("document.column.run"),
    )


def _notes(cast: Cast) -> Grid:
    """Return the notes, each once with all runs that it holds for: most hold for many at once."""
    found: dict[tuple[str, ...], Finding] = {}
    who: dict[tuple[str, ...], dict[int, page.Cell]] = {}
    for n, (_, _, cell) in enumerate(cast.outcomes):
        for finding in cell.findings:
            if finding.severity == "note":
                same = (finding.rule, finding.observed, finding.required, finding.advice)
                found.setdefault(same, finding)
                who.setdefault(same, {})[n] = cell
    rows = []
    for which, finding in found.items():
        there = who[which].values()
        runs = tuple(run for cell in there for run in runs_of(cell.run_id))
        names = [*dict.fromkeys(cast.subjects[cell.subject].label for cell in there)]
        labels = first_names(names, cast.page.whole is None)
        # Of the others nothing is said here, so that it is of every run only where there are no others.
        whole = cast.page.whole is None and len(there) == len(cast.outcomes)
        applies = Phrase("comparison.findings.everywhere") if whole else Phrase("comparison.findings.some", {"labels": labels})
        rows.append(Row(Cell(Told(finding, "rule")), (*_told(finding), Cell(applies, () if whole else runs))))
    return Grid(
        name="notes",
        caption=Phrase("comparison.notes.caption"),
        columns=(Column(Phrase("comparison.column.finding")), *_columns(), Column(Phrase("document.column.runs"))),
        rows=tuple(rows),
    )


def _columns() -> tuple[Column, ...]:
    return tuple(
        Column(Phrase(key)) for key in ("document.column.observed", "document.column.required", "comparison.column.advice")
    )


def _told(finding: Finding) -> tuple[Cell, Cell, Cell]:
    return Cell(Told(finding, "observed")), Cell(Told(finding, "required")), Cell(Told(finding, "advice"))
