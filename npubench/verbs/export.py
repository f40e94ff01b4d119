"""``npubench export``: hand a run on in the form that another tool reads."""

from __future__ import annotations

import json
from pathlib import Path

from npubench.contract.options import nearest
from npubench.errors import InputError
from npubench.record.power_log import write_power_log
from npubench.record.store import Store, read_record
from npubench.verbs.console import data, err


def export_power(run: str, store: Path, out: Path, domain: str, evidence: str, as_json: bool) -> int:
    """Write a run's power log for MLPerf's tools; returns 0.

    Args:
        run: The run's id, or its folder.
        store: Folder of records that the id is looked up in.
        out: The folder to write to.
        domain, evidence: Which energy figure's sensors; "" = the best there is.
        as_json: Print what was written as JSON.

    Raises:
        InputError: There is no such run, several have the id, or it has no such power.
        RecordError: It cannot be read.
    """
    folder = find_run(run, store)
    written = write_power_log(folder, read_record(folder / "record.json"), out, domain, evidence)
    for note in written.notes:
        err.print(f"[dim]note:[/] {note}", soft_wrap=True, markup=True)
    if as_json:
        content = {
            "folder": str(written.folder.resolve()),
            "sensor": written.energy.sensor,
            "domain": written.energy.domain,
            "evidence": written.energy.evidence,
            "samples": written.samples,
            "samples_without_value": written.without_value,
            "notes": list(written.notes),
        }
        data(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        data(str(written.folder.resolve()))
    return 0


def find_run(run: str, store: Path) -> Path:
    """Return the folder of a run named by its folder or its id.

    Raises:
        InputError: There is no such run, or several systems have it.
    """
    if (Path(run) / "record.json").is_file():
        return Path(run)
    folders = Store(store).folders()
    found = [folder for folder in folders if folder.name == run]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{run}: {len(found)} systems have such a run; give its folder: {', '.join(map(str, found))}")
    raise InputError(f"there is no run '{run}' in {store}{nearest(run, [folder.name for folder in folders])}; see --store")
