"""``npubench report procurement``: the report to buy by."""

from __future__ import annotations

import gc
from pathlib import Path

from npubench.plan.workload import workload_names
from npubench.report.operating_cost import read_costs
from npubench.report.procurement import build_procurement
from npubench.report.requirements import read_sheet
from npubench.verbs.documents import asked_formats, write_document
from npubench.verbs.report import stored_entries


def write_procurement(
    store: Path, reference: str, requirements: Path | None, cost: Path | None, out: Path | None, formats: str, language: str
) -> int:
    """Write the procurement report of a store in every format that is asked for; the paths are the last lines."""
    wanted = asked_formats(formats, out)
    entries = stored_entries(store)
    # They are needed to the end; looked through for garbage again and again, thousands of them take seconds.
    gc.freeze()
    workloads = {*workload_names(), *(entry.record.spec.workload for entry in entries)}
    targets = {entry.record.spec.target.name for entry in entries}
    document = build_procurement(
        entries,
        subject=store.resolve().name or str(store),
        reference=reference,
        sheet=read_sheet(requirements, workloads) if requirements is not None else None,
        costs=read_costs(cost, targets, workloads) if cost is not None else None,
    )
    # A renderer takes as much memory again, and the document stands without them.
    del entries
    write_document(document, wanted, language, out, store)
    return 0
