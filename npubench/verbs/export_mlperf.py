"""``npubench export mlperf``: hand runs on in MLPerf Inference's submission layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from npubench.contract.options import nearest
from npubench.errors import InputError
from npubench.record.mlperf.describe import Division, Statement, Suite
from npubench.record.mlperf.submission import GAPS, PREVIEW, export_runs
from npubench.record.store import read_record
from npubench.verbs.console import data, err
from npubench.verbs.export import find_run

_DIVISIONS, _SUITES, _AVAILABILITIES = ("closed", "open"), ("edge", "datacenter"), ("available", "preview", "rdi")


def export_mlperf(
    runs: Sequence[str],
    store: Path,
    out: Path,
    submitter: str,
    division: str,
    suite: str,
    availability: str,
    preview: bool,
    as_json: bool,
) -> int:
    """Write runs as MLPerf's submission folders; the folder is the last line on standard output. Returns 0.

    Args:
        runs: Ids, or folders.
        store: Folder of records that ids are looked up in.
        out: A folder that is not there yet, or is empty.
        submitter, division, suite, availability: What the operator states; "" of submitter and availability = not stated.
        preview: Also take runs that may not be published, and mark every file as no submission.
        as_json: Print what was written as JSON.

    Raises:
        InputError: No such run, one that may not be handed on, or an option that cannot be.
        RecordError: A run cannot be read, or its logs are not those of its record.
    """
    _one_of("--division", division, _DIVISIONS)
    _one_of("--suite", suite, _SUITES)
    if availability:
        _one_of("--availability", availability, _AVAILABILITIES)
    folders = list(dict.fromkeys(find_run(run, store) for run in runs))
    read = [(folder, read_record(folder / "record.json")) for folder in folders]
    statement = Statement(submitter, cast(Division, division), cast(Suite, suite), availability)
    exported = export_runs(read, out, statement, preview)
    if preview:
        err.print(f"[yellow]▲ {PREVIEW}[/]", soft_wrap=True)
    for note in exported.notes:
        err.print(f"note: {note}", soft_wrap=True, markup=False)
    for run, gaps in exported.gaps.items():
        err.print(f"{run}: {len(gaps)} of MLPerf's checks do not pass (also in {GAPS}):", soft_wrap=True, markup=False)
        for gap in gaps:
            err.print(f"  {gap.check}: {gap.why}", soft_wrap=True, markup=False)
    if as_json:
        gaps_of = {run: [asdict(gap) for gap in gaps] for run, gaps in exported.gaps.items()}
        content = {"folder": str(exported.folder.resolve()), "files": exported.files, "preview": preview, "gaps": gaps_of}
        data(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        data(str(exported.folder.resolve()))
    return 0


def _one_of(option: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        raise InputError(f"{option} '{value}': one of {', '.join(valid)}{nearest(value, valid)}")
