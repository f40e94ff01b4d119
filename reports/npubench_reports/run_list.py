"""The list of runs at a document's end: what every number in it leads to."""

from __future__ import annotations

from npubench.report.document import (
    Cell,
    Column,
    Document,
    Grid,
    Mark,
    Paragraph,
    Phrase,
    Row,
    RunLine,
    RunReference,
    Section,
    Text,
)


def runs_section(document: Document) -> Section:
    """Return the document's runs as its last section; each record is known by its digest."""
    headings = ("run", "target", "workload", "scenario", "precision", "grade", "status", "started", "digest")
    columns = tuple(Column(Phrase(f"document.column.{name}")) for name in headings)
    rows = tuple(_row(run) for run in document.runs)
    caption, lead = Phrase("document.runs.caption"), Phrase("document.runs.lead")
    return Section("runs", Phrase("document.runs.heading"), (Paragraph((lead,)), Grid("runs", caption, columns, rows)))


def _row(run: RunLine) -> Row:
    status = Phrase(f"status.{run.status}")
    return Row(
        Cell(RunReference(run.run_id), (run.run_id,)),
        (
            Cell(Text(run.target)),
            Cell(Text(run.workload)),
            Cell(Phrase(f"scenario.{run.scenario}")),
            Cell(Text(run.precision)),
            Cell(Phrase(f"grade.{run.grade}")),
            Cell(Mark("simulated", status) if run.simulated else status),
            Cell(Text(run.started_at[:16].replace("T", " "))),
            Cell(Text(run.record_digest.removeprefix("sha256:")[:16])),
        ),
    )
