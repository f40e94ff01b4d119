"""What every document begins and ends with: what it must warn of on every page, and the runs that it stands on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import npubench
from npubench.plan.grades import GRADES
from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.document import Cell, Document, Fact, Kind, Phrase, RunLine, Section, Text


def make_document(
    kind: Kind, subject: str, entries: Sequence[Entry], sections: Iterable[Section], facts: Iterable[Fact] = ()
) -> Document:
    """Return a document with the banners that its runs call for and the list of them.

    Args:
        kind: Which report it is; ``document.title.<kind>`` is its title.
        subject: What it is of: a store's name, a target.
        entries: The runs that it stands on.
        sections: What it says.
        facts: What stands in its head beside time and harness.
    """
    records = [entry.record for entry in entries]
    return Document(
        kind=kind,
        title=Phrase(f"document.title.{kind}", {"subject": subject}),
        subject=subject,
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        harness=npubench.__version__,
        banners=banners(records),
        facts=(*facts, Fact(Phrase("document.fact.harness"), Cell(Text(f"npubench {npubench.__version__}")))),
        sections=tuple(sections),
        runs=tuple(run_line(entry) for entry in sorted(entries, key=lambda e: (e.record.system.system_id, e.record.run_id))),
    )


def banners(records: Sequence[Record]) -> tuple[Phrase, ...]:
    """Return what must stand on every page: that there are simulated devices, smoke runs, or no valid run at all."""
    found = []
    simulated = sorted({record.spec.target.name for record in records if record.system.simulated})
    smoke = sum(not GRADES[record.spec.grade].ranked for record in records)
    if simulated:
        found.append(Phrase("document.banner.simulated", {"targets": ", ".join(simulated)}))
    if smoke:
        found.append(Phrase("document.banner.smoke", {"runs": smoke, "all": len(records)}))
    if records and not any(record.status == "ok" for record in records):
        found.append(Phrase("document.banner.none-valid"))
    return tuple(found)


def run_line(entry: Entry) -> RunLine:
    """Return a run as the list at the end shows it."""
    record, spec = entry.record, entry.record.spec
    return RunLine(
        run_id=record.run_id,
        system_id=record.system.system_id,
        target=spec.target.name,
        workload=spec.workload,
        scenario=spec.load.scenario.value,
        precision=spec.precision,
        grade=spec.grade,
        status=record.status,
        started_at=record.provenance.started_at,
        simulated=record.system.simulated,
        record_digest=digest(entry.folder),
    )


def digest(folder: Path) -> str:
    """Return ``sha256:…`` of a run's ``record.json`` as it lies on disk; empty where it is gone meanwhile."""
    try:
        return "sha256:" + hashlib.sha256((folder / "record.json").read_bytes()).hexdigest()
    except OSError:
        return ""
