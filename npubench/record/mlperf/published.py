"""Find and read published MLPerf results: a clone of a round's repository, or any part of it. Every file is a stranger's.

The layout (mlcommons/inference ``tools/submission/submission_checker/constants.py``, and the rounds' repositories)::

    <division>/<submitter>/systems/<system>.json
    <division>/<submitter>/results/<system>/<model>/<scenario>/performance/run_1/mlperf_log_summary.txt
    <division>/<submitter>/results/<system>/<model>/<scenario>/accuracy/accuracy.txt
    <division>/<submitter>/measurements/<system>/<model>/<scenario>/*.json      up to v5.1
    <division>/<submitter>/results/<system>/<model>/<scenario>/measurements.json    from v6.0

Links are not followed, and nothing is read outside the folder that was named and its system description.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from npubench.record.manifest import digest_of, unsafe_name
from npubench.record.mlperf.loadgen_log import DETAIL, MAX_SUMMARY_BYTES, SUMMARY, Account, contradictions, read_summary
from npubench.record.mlperf.reference import PUBLISHED, REFERENCE_VERSION, Reference, Score
from npubench.record.strict import read_json

#: The most folders that are looked into, and the most rows that are read: no round has half as many.
MAX_FOLDERS, MAX_ROWS = 500_000, 20_000
#: The largest description and ``accuracy.txt`` that are read, bytes.
MAX_TEXT_BYTES = 1 << 20

#: What is taken from a system's description, and from that of the measurements: MLPerf's field names.
HOST_FIELDS = (
    "system_name",
    "status",
    "system_type",
    "number_of_nodes",
    "host_processor_model_name",
    "host_processors_per_node",
    "host_memory_capacity",
    "accelerator_model_name",
    "accelerators_per_node",
    "accelerator_memory_capacity",
    "accelerator_host_interconnect",
    "framework",
    "operating_system",
)
WEIGHT_FIELDS = ("weight_data_types", "input_data_types", "retraining", "starting_weights_filename", "weight_transformations")

#: Where an export of npubench's own names its run.
OWN = "npubench_run"

#: Longest text that is kept of a field, characters.
_LONGEST = 200

_ROUND = re.compile(r"inference_results_v(\d{1,2}\.\d{1,2})\b", re.ASCII)
_RUN = re.compile(r"run_\d{1,3}")
_COUNT = re.compile(r"\d{1,6}", re.ASCII)
_COMPLIANCE = re.compile(r"TEST\d\d.*")

#: The figures that MLPerf's accuracy scripts write, as ``name=75.9%``, ``'name': 44.4`` or ``Name: mean = 0.86``.
_SCORES = re.compile(
    r"\b(accuracy|mAP|AUC|f1|exact_match|BLEU|mean-accuracy|rouge1|rouge2|rougeL|rougeLsum|gsm8k|mbxp|CLIP_SCORE|FID_SCORE)"
    r"""['"]?\s*[:=]\s*(?:mean\s*=\s*)?['"]?(\d{1,12}(?:\.\d{1,20})?)(%?)(?![\d.])""",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that holds no row that can be believed, with the reason."""

    path: str
    reason: str


@dataclass(slots=True)
class Found:
    """What came of looking through a folder: rows in order of path, and what was refused."""

    rows: list[Reference] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a summary lies, by the layout; "" for what its path does not say."""

    top: Path
    division: str = ""
    submitter: str = ""
    system: str = ""
    model: str = ""
    scenario: str = ""

    @property
    def owner(self) -> Path:
        return self.top / self.division / self.submitter

    @property
    def whole(self) -> bool:
        return bool(self.submitter)


def read_published(path: Path, round_: str = "") -> Found:
    """Read every published result below a folder.

    Args:
        path: A clone of a round's repository, or any folder of it.
        round_: Such as "3.0"; "" = as the path says.

    Returns:
        The rows, and the files that were refused with the reason; one hides no other.

    Raises:
        ValueError: There are too many folders or rows for a round.
        OSError: The folder itself cannot be read.
    """
    root = path.resolve(strict=True)
    found = Found()
    for summary in _summaries(root):
        shown = _plain(str(summary.relative_to(root)) if summary != root else summary.name)
        if len(found.rows) + len(found.refused) >= MAX_ROWS:
            raise ValueError(f"holds more than {MAX_ROWS:,} results; name a part of it")
        try:
            found.rows.append(_read_row(summary, round_ or _round(summary)))
        except (ValueError, OSError) as error:
            reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
            found.refused.append(Refused(shown, _plain(reason)))
    return found


def _summaries(root: Path) -> Iterator[Path]:
    """Yield the summaries of measured windows in order; those of accuracy runs and compliance tests are something else."""
    for folders, (at, below, files) in enumerate(os.walk(root, followlinks=False), 1):
        if folders > MAX_FOLDERS:
            raise ValueError(f"holds more than {MAX_FOLDERS:,} folders; name a part of it")
        here = Path(at)
        below[:] = sorted(
            name for name in below if name not in ("compliance", ".git", "accuracy") and not _COMPLIANCE.fullmatch(name)
        )
        if SUMMARY in files and (_RUN.fullmatch(here.name) or here == root):
            yield here / SUMMARY


def _read_row(summary: Path, round_: str | None) -> Reference:
    place = _place(summary)
    files: dict[str, str] = {}

    def read(path: Path, limit: int) -> bytes:
        data = _bounded(path, limit)
        files[path.relative_to(place.top).as_posix()] = digest_of(data)
        return data

    names = (place.division, place.submitter, place.system, place.model, place.scenario)
    if wrong := next((name for name in names if name and unsafe_name(name)), ""):
        raise ValueError(f"lies in a folder whose name {unsafe_name(wrong)}")
    account = read_summary(read(summary, MAX_SUMMARY_BYTES))
    if account.mode not in ("", "PerformanceOnly"):
        raise ValueError(f"is of a window in mode {account.mode[:40]}, which measures nothing")
    notes = _beside(account, summary, place)
    results = summary.parents[2] if place.whole else None
    accuracy: dict[str, Score] = {}
    host: dict[str, str] = {}
    weights: dict[str, str] = {}
    if results is not None:
        host = _fields(_json(place.owner / "systems" / f"{place.system}.json", read, notes, "system description"), HOST_FIELDS)
        described = _measurements(place, results)
        if described is None:
            notes.append("no description of the measurements lies beside it: the data type of the weights is not known")
        else:
            plain = _json(described, read, notes, "description of the measurements")
            weights = _fields(plain, WEIGHT_FIELDS)
            notes += [
                f"npubench exported it: run {run} is the record that was measured" for run in _fields(plain, (OWN,)).values()
            ]
        accuracy = _accuracy(results / "accuracy" / "accuracy.txt", read, notes)
    return Reference(
        schema_version=REFERENCE_VERSION,
        evidence=PUBLISHED,
        source="MLPerf Inference",
        round=round_,
        division=place.division,
        submitter=place.submitter,
        system=place.system,
        model=place.model,
        scenario=account.scenario,
        folder_scenario=place.scenario,
        valid=account.valid,
        metric=account.metric,
        value=account.value,
        unit=account.unit,
        latencies_ns=account.latencies_ns,
        early_stopping_ns=account.early_stopping_ns,
        accuracy=accuracy,
        host=host,
        accelerators=_product(host.get("accelerators_per_node"), host.get("number_of_nodes")),
        weights=weights,
        has_power=(summary.parent / "spl.txt").is_file(),
        notes=tuple(notes),
        files=files,
    )


def _place(summary: Path) -> _Place:
    """Return where a summary lies, from the last folder called "results" that fits the layout."""
    parts = summary.parts
    if len(parts) > 10 and parts[-7] == "results" and parts[-3] == "performance":
        return _Place(Path(*parts[:-9]), parts[-9], parts[-8], parts[-6], parts[-5], parts[-4])
    return _Place(summary.parent)


def _round(summary: Path) -> str | None:
    """Return the round that the path names, the innermost if there are several."""
    found = _ROUND.findall(summary.as_posix())
    return found[-1] if found else None


def _beside(account: Account, summary: Path, place: _Place) -> list[str]:
    """Return what a reader must know of a row beside its figures."""
    notes = list(account.doubts)
    if not place.whole:
        notes.append("it did not lie in a submission's folders: system, submitter and accuracy are not known")
    elif place.scenario.lower() != account.scenario.lower():
        notes.append(
            f"it lies under {_plain(place.scenario)}, and its own log says {account.scenario}: "
            f"it is a figure of {account.scenario}"
        )
    if not account.valid:
        notes.append("LoadGen calls it INVALID")
    detail = summary.with_name(DETAIL)
    try:
        if not detail.is_symlink() and detail.is_file():
            notes += [_plain(text) for text in contradictions(account, detail)]
    except (ValueError, OSError) as error:
        notes.append(f"the detail log {_plain(str(error))}: it was not held against the summary")
    return notes


def _bounded(path: Path, limit: int) -> bytes:
    """Return a plain file's content.

    Raises:
        ValueError: It is a link, no plain file, or too large.
        OSError: It cannot be read.
    """
    if path.is_symlink():
        raise ValueError("is a link, which is not followed")
    if not path.is_file():
        raise ValueError("is missing" if not path.exists() else "is no plain file")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"is larger than {limit:,} bytes")
    return data


def _json(path: Path, read: Any, notes: list[str], what: str) -> Mapping[str, Any]:
    """Return an object that others wrote; one that cannot be read is said in ``notes`` and is empty."""
    try:
        plain = read_json(read(path, MAX_TEXT_BYTES).removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, OSError) as error:
        notes.append(f"the {what} {_plain(str(error))}")
        return {}
    if not isinstance(plain, dict):
        notes.append(f"the {what} is no JSON object")
        return {}
    return plain


def _fields(plain: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """Return the fields that are stated, as text; MLPerf's own writers put numbers as text as often as not."""
    found = {name: plain[name] for name in names if isinstance(plain.get(name), str | int | float)}
    return {name: text for name, value in found.items() if (text := _plain(str(value).strip()))}


def _product(per_node: str | None, nodes: str | None) -> int | None:
    if per_node is None or nodes is None or not (_COUNT.fullmatch(per_node) and _COUNT.fullmatch(nodes)):
        return None
    return int(per_node) * int(nodes)


def _measurements(place: _Place, results: Path) -> Path | None:
    """Return the description of the measurements: beside the results, else the one of the system's own name."""
    if (results / "measurements.json").is_file():
        return results / "measurements.json"
    folder = place.owner / "measurements" / place.system / place.model / place.scenario
    if not folder.is_dir() or folder.is_symlink():
        return None
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(".json"))
    own = [name for name in names if name.startswith(place.system)]
    # A folder may hold another scenario's as well; the one that is named after this one is meant.
    own = [name for name in own if name.lower().endswith(f"_{place.scenario.lower()}.json")] or own or names
    return folder / own[0] if own else None


def _accuracy(path: Path, read: Any, notes: list[str]) -> dict[str, Score]:
    """Return every figure of ``accuracy.txt``, the last of each name: scripts print what they read before what they found."""
    try:
        text = read(path, MAX_TEXT_BYTES).decode("utf-8", "replace")
    except (ValueError, OSError) as error:
        notes.append(f"accuracy.txt {_plain(str(error))}: its accuracy is not known")
        return {}
    found = {name: Score(float(value), unit) for name, value, unit in _SCORES.findall(text)}
    if not found:
        notes.append("accuracy.txt has no figure that is known here: its accuracy is not known")
    return found


def _plain(text: str) -> str:
    """Return text that can be shown on one line, bounded."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text[: 4 * _LONGEST].split()))[:_LONGEST]
