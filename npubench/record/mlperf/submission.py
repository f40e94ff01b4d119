"""Hand runs on in MLPerf Inference's submission layout (round v6.1; ``submission_checker/constants.py``)::

    <division>/<submitter>/systems/<system>.json
    <division>/<submitter>/results/<system>/<workload>/<Scenario>/performance/run_1/mlperf_log_{summary,detail}.txt
    <division>/<submitter>/results/<system>/<workload>/<Scenario>/accuracy/accuracy.txt
    <division>/<submitter>/results/<system>/<workload>/<Scenario>/{measurements.json,user.conf,README.md}
    <division>/<submitter>/{src/<workload>,documentation}/README.md
    <division>/<submitter>/npubench_gaps.json     which of MLPerf's checks do not pass, and why
    summary_results.json                          in the field names of MLPerf's own summary

LoadGen's logs are the run's own, byte for byte, and are held against the record's digests before.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from npubench.errors import InputError, RecordError
from npubench.record.manifest import digest_of
from npubench.record.mlperf.describe import (
    FOLDERS,
    NOT_MEASURED,
    ROUND,
    Statement,
    describe_measurements,
    describe_system,
    summary_row,
    system_name,
)
from npubench.record.mlperf.gaps import Gap, find_gaps
from npubench.record.mlperf.loadgen_log import DETAIL, NOTICE, SUMMARY, Account, errors_in, read_summary
from npubench.record.power_log import write_power_log
from npubench.record.schema import Record

GAPS, SUMMARY_RESULTS = "npubench_gaps.json", "summary_results.json"

#: What a preview says in every file.
PREVIEW = f"{NOTICE}: a preview by npubench of a run that may not be published"

_WINDOW = re.compile(r"measure(?:-(\d+))?")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: where, how many files, and for each run which of MLPerf's checks do not pass."""

    folder: Path
    files: int
    gaps: Mapping[str, tuple[Gap, ...]]
    notes: tuple[str, ...]


def refusal(record: Record, preview: bool) -> str:
    """Return why a run is not handed on, or ""."""
    if record.status in ("failed", "skipped"):
        return f"the run {'has' if record.status == 'failed' else 'was skipped and has'} no figure: {record.reason}"
    if preview:
        return ""
    if record.spec.grade != "official":
        return f"grade {record.spec.grade}: only runs of grade official are handed on; --preview shows what would come of it"
    if record.status != "ok":
        return f"the run is {record.status} ({record.reason}); --preview shows what would come of it"
    if record.system.simulated:
        return "the device is SIMULATED, which is never published; --preview shows what would come of it"
    return ""


def export_runs(runs: Sequence[tuple[Path, Record]], out: Path, statement: Statement, preview: bool) -> Exported:
    """Write runs as one submission's folders. Everything is made before the first file is written.

    Args:
        runs: Folder and record of each.
        out: A folder that is not there yet, or is empty.
        statement: What the operator states.
        preview: Also take runs that may not be published, and mark every file as no submission.

    Raises:
        InputError: A run may not be handed on, two have one place, or ``out`` cannot be written.
        RecordError: A run's logs are gone or are not those of its record.
    """
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: is there already; name a new folder with --out")
    if not re.fullmatch(r"[\w][\w .&+-]{0,80}", statement.folder):
        raise InputError(f"--submitter '{statement.submitter[:80]}': letters, digits, spaces and . & + - only; it names a folder")
    for folder, record in runs:
        if why := refusal(record, preview):
            raise InputError(f"{folder.name}: {why}")
    files: dict[str, bytes] = {}
    gaps: dict[str, tuple[Gap, ...]] = {}
    notes: list[str] = []
    rows: list[dict[str, object]] = []
    owner = f"{statement.division}/{statement.folder}"
    for folder, record in runs:
        place = f"{owner}/results/{system_name(record)}/{_name(record.bundle.workload)}/{FOLDERS[record.spec.load.scenario]}"
        if f"{place}/measurements.json" in files:
            raise InputError(f"{folder.name}: another of the runs has the place {place}; MLPerf takes one run each, name the one")
        made, account, found = _files_of(folder, record, statement, notes)
        gaps[record.run_id] = found
        files |= {f"{place}/{name}": data for name, data in made.items()}
        rows.append(summary_row(record, account, statement, f"{place}/performance/run_1", len(found)))
        _add_system(files, f"{owner}/systems/{system_name(record)}.json", describe_system(record, statement), record)
        files[f"{owner}/src/{_name(record.bundle.workload)}/README.md"] = _source(record)
    files[f"{owner}/documentation/README.md"] = _documentation(gaps)
    files[f"{owner}/{GAPS}"] = _json(
        {"round": f"v{ROUND}", "runs": {run: [asdict(g) for g in found] for run, found in gaps.items()}}
    )
    files[SUMMARY_RESULTS] = _json(rows)
    if preview:
        files = {name: _marked(name, data) for name, data in files.items()}
    _write(out, files)
    return Exported(out, len(files), gaps, tuple(dict.fromkeys(notes)))


def measured_logs(folder: Path) -> Path:
    """Return the folder of LoadGen's logs of the measured window: the last, where one was measured afresh.

    Raises:
        RecordError: There is none.
    """
    found = [
        (int(match[1] or 0), path) for path in (folder / "loadgen").glob("measure*") if (match := _WINDOW.fullmatch(path.name))
    ]
    if not found:
        raise RecordError(f"{folder}: there are no logs of a measured window by LoadGen")
    return max(found)[1]


def _files_of(
    folder: Path, record: Record, statement: Statement, notes: list[str]
) -> tuple[dict[str, bytes], Account, tuple[Gap, ...]]:
    """Return a run's files below its scenario's folder, what LoadGen says, and what MLPerf would not accept."""
    logs = measured_logs(folder)
    files: dict[str, bytes] = {}
    for name in (SUMMARY, DETAIL):
        path = logs / name
        known = path.relative_to(folder).as_posix()
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RecordError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
        if record.provenance.files.get(known) != digest_of(data):
            raise RecordError(f"{path}: is not the file that the record was made with; it is not handed on")
        files[f"performance/run_1/{name}"] = data
    try:
        account = read_summary(files[f"performance/run_1/{SUMMARY}"])
    except ValueError as error:
        raise RecordError(f"{logs / SUMMARY}: {error}") from error
    gaps = find_gaps(record, account, describe_system(record, statement), statement, errors_in(logs / DETAIL))
    if record.energy:
        files |= _power(folder, record, notes)
    files["accuracy/accuracy.txt"] = _accuracy(record)
    files["measurements.json"] = _json(describe_measurements(record))
    files["user.conf"] = _settings(account)
    files["README.md"] = _readme(record, account, gaps)
    return files, account, gaps


def _power(folder: Path, record: Record, notes: list[str]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            written = write_power_log(folder, record, Path(scratch))
        except (InputError, RecordError) as error:
            notes.append(f"no power log: {error}")
            return {}
        notes += [f"power: {note}" for note in written.notes]
        return {f"performance/run_1/{name}": (written.folder / name).read_bytes() for name in ("spl.txt", "notes.json")}


def _accuracy(record: Record) -> bytes:
    bundle, accuracy = record.bundle, record.metrics.get("accuracy")
    reached = NOT_MEASURED if accuracy is None or accuracy.value is None else f"{accuracy.value:.6g} {accuracy.unit}"
    lines = [
        "scored by npubench's own accuracy phase over every sample, not in LoadGen's AccuracyOnly mode",
        f"metric {bundle.metric} ({bundle.claim}) of {bundle.samples} samples: {reached}",
        f"the FP32 reference reaches {bundle.reference:.6g}; required {bundle.required:.6g} ({bundle.rule})",
    ]
    return ("\n".join(lines) + "\n").encode()


def _settings(account: Account) -> bytes:
    """Return the settings in force that MLPerf lets a submitter choose."""
    names = {"min_duration": "min_duration (ms)", "min_query_count": "min_query_count"}
    if account.scenario in ("Server", "Offline"):
        names = {"target_qps": "target_qps", **names}
    lines = [
        f"*.{account.scenario}.{ours} = {account.settings[theirs]}"
        for ours, theirs in names.items()
        if theirs in account.settings
    ]
    return ("# as LoadGen says they were in force\n" + "\n".join(lines) + "\n").encode()


def _readme(record: Record, account: Account, gaps: Sequence[Gap]) -> bytes:
    lines = [
        f"# {record.bundle.workload} · {account.scenario}",
        "",
        f"npubench {record.provenance.harness}, run `{record.run_id}`, grade {record.spec.grade}, status {record.status}.",
        f"LoadGen: {account.metric}: {account.value:.10g} {account.unit}, {'VALID' if account.valid else 'INVALID'}.",
        "",
        "MLPerf's checks that do not pass:",
        "",
        *(f"* {gap.check}: {gap.why}" for gap in gaps),
    ]
    return ("\n".join(lines) + "\n").encode()


def _source(record: Record) -> bytes:
    plugin = ", ".join(f"{key} {value}" for key, value in record.provenance.plugin.items())
    return (
        f"# {record.bundle.workload}\n\nMeasured by npubench {record.provenance.harness}; plug-in: {plugin or NOT_MEASURED}; "
        f"bundle {record.bundle.digest}. The source is not packed here.\n"
    ).encode()


def _documentation(gaps: Mapping[str, Sequence[Gap]]) -> bytes:
    lines = ["# What MLPerf's checks would say", "", "Exported by npubench; not every check of MLPerf's passes.", ""]
    for run, found in gaps.items():
        lines += [f"## {run}", "", *(f"* {gap.check}: {gap.why}" for gap in found), ""]
    return "\n".join(lines).encode()


def _add_system(files: dict[str, bytes], path: str, described: Mapping[str, str], record: Record) -> None:
    """Add a system's description; the second run of one system must describe the same."""
    own = dict(described)
    if path in files:
        before = json.loads(files[path])
        differing = [name for name, value in own.items() if before[name] != value]
        if differing:
            raise InputError(
                f"{record.run_id}: the system is described otherwise than by the runs before, in {', '.join(differing)}"
            )
    files[path] = _json(own)


def _marked(name: str, data: bytes) -> bytes:
    """Return a file of a preview with its notice, in a place where the file still reads as what it is."""
    if name.endswith(".json"):
        plain = json.loads(data)
        return _json([{"notice": PREVIEW}, *plain] if isinstance(plain, list) else {"notice": PREVIEW, **plain})
    mark = f"{'# ' if name.endswith(('.conf', '.md')) else ''}{PREVIEW}\n".encode()
    # MLPerf's reader of detail logs wants a log's line first.
    return data + mark if name.endswith((DETAIL, "spl.txt")) else mark + data


def _name(text: str) -> str:
    return re.sub(r"[^\w.@+-]", "_", text)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    try:
        for name, data in files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written: {(error.strerror or str(error)).lower()}; name another folder with --out"
        ) from error
