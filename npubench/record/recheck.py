"""Make the record of a run again and hold it against the one that is there, key by key. Believes nothing, writes nothing."""

from __future__ import annotations

import functools
import math
import os
import stat
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import npubench
from npubench.analyze.outputs import Score
from npubench.contract.bundle import Bundle, BundleError, file_digest, read_bundle
from npubench.errors import NpubenchError, WorkloadError
from npubench.plan.workload import find_workload
from npubench.record.account import build_record
from npubench.record.schema import Record
from npubench.record.store import read_record
from npubench.record.strict import MAX_JSON_BYTES, check_arrays, read_json_file
from npubench.record.supervised import SUPERVISOR

#: How far a figure may be from its recomputation, relative and absolute: other processors and other numpy builds add in
#: another order, which moves a double's last bits (2⁻⁵² each) and nothing that anybody reads.
RELATIVE, ABSOLUTE = 1e-9, 1e-12
#: The most files beside one record.
MAX_FILES = 20_000
#: The most differences that are kept of one run.
MAX_DIFFERENCES = 200
#: The longest text of a differing value that is shown.
_MAX_SHOWN = 200

#: What hostile or damaged content makes the functions raise that a record is made by.
DAMAGE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError, MemoryError, RuntimeError)

RECORD = "record.json"


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that the recomputation does not confirm; ``None`` stands for a null and "(absent)" for no such key."""

    key: str
    recorded: Any
    recomputed: Any


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """What came of looking at one run.

    Args:
        system, run_id: Its place in the store.
        status: As recorded; ``None`` where the record cannot be read.
        problems: What is wrong with it, one sentence each.
        differences: Recorded against recomputed.
        unchecked: What could not be recomputed, with the reason.
        notes: What a reader should know and nothing is wrong with.
    """

    system: str
    run_id: str
    status: str | None = None
    problems: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    unchecked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong; what could not be checked is another matter."""
        return not self.problems and not self.differences


def recheck_run(folder: Path, bundle: Path | None, why_not: str = "") -> RunVerdict:
    """Check one run's folder.

    Args:
        folder: The run's, named by its id, in a folder named by its system.
        bundle: The folder of its workload bundle: manifest, labels and reference outputs; ``None`` if not at hand.
        why_not: Why it is not at hand.
    """
    system, run_id = folder.parent.name, folder.name
    problems, files = plain_files(folder)
    try:
        read_json_file(folder / RECORD)
        record = read_record(folder / RECORD)
    except (NpubenchError, *DAMAGE) as error:
        return RunVerdict(system, run_id, None, (*problems, f"{RECORD}: {_said(error, folder)}"))
    if (record.system.system_id, record.run_id) != (system, run_id):
        problems.append(f"{RECORD}: is of run {record.system.system_id}/{record.run_id}")
    problems += _changed(record.provenance.files, files)
    damaged = _damaged(folder, files)
    problems += damaged
    notes = []
    if record.provenance.harness != npubench.__version__:
        notes.append(f"made by npubench {record.provenance.harness}, checked by {npubench.__version__}")
    unchecked: list[str] = []
    differences: list[Difference] = []
    if bundle is None:
        unchecked.append(f"figures and verdicts: {why_not}")
    elif not (folder / SUPERVISOR).is_file():
        unchecked.append(f"figures and verdicts: there is no {SUPERVISOR}; the npubench that made it did not write one")
    elif not damaged:
        try:
            work = open_part(bundle)
            score, missing = _score_of(work, record)
            unchecked += missing
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                again = build_record(folder, work, score)
            found = differences_of(record.model_dump(mode="json"), again.model_dump(mode="json"))
            differences = [one for _, one in zip(range(MAX_DIFFERENCES), found, strict=False)]
        except (NpubenchError, *DAMAGE) as error:
            problems.append(f"cannot be recomputed: {_said(error, folder)}")
    return RunVerdict(system, run_id, record.status, tuple(problems), tuple(differences), tuple(unchecked), tuple(notes))


def differences_of(recorded: Any, recomputed: Any, key: str = "") -> Iterator[Difference]:
    """Yield where two JSON values differ, by dotted key; numbers may be as far apart as rounding can bring them."""
    if isinstance(recorded, Mapping) and isinstance(recomputed, Mapping):
        for name in sorted({*recorded, *recomputed}):
            below = f"{key}.{name}" if key else name
            if name not in recorded or name not in recomputed:
                yield Difference(below, *(_shown(side[name]) if name in side else "(absent)" for side in (recorded, recomputed)))
            else:
                yield from differences_of(recorded[name], recomputed[name], below)
    elif isinstance(recorded, list) and isinstance(recomputed, list):
        for n, (old, new) in enumerate(zip(recorded, recomputed, strict=False)):
            yield from differences_of(old, new, f"{key}[{n}]")
        for n in range(min(len(recorded), len(recomputed)), max(len(recorded), len(recomputed))):
            old, new = (_shown(side[n]) if n < len(side) else "(absent)" for side in (recorded, recomputed))
            yield Difference(f"{key}[{n}]", old, new)
    elif not _equal(recorded, recomputed):
        yield Difference(key, _shown(recorded), _shown(recomputed))


def open_part(root: Path) -> Bundle:
    """Return a bundle of which labels, reference outputs and manifest are looked at, and nothing else needs to be there.

    Raises:
        BundleError: One of them is missing or damaged; names it.
    """
    bundle = read_bundle(root)
    for name in needed_files(bundle):
        path = root / name
        if not path.is_file() or path.is_symlink():
            raise BundleError(f"{path}: missing")
        if file_digest(path) != bundle.files[name]:
            raise BundleError(f"{path}: wrong digest, expected {bundle.files[name]}")
    if wrong := check_arrays([root / name for name in needed_files(bundle)]):
        raise BundleError("; ".join(f"{name}: {why}" for name, why in wrong.items()))
    return bundle


def needed_files(bundle: Bundle) -> list[str]:
    """Return the names of the files that making a record again needs, beside the manifest."""
    return [name for name in ("fp32/reference.npz", "labels.npz") if name in bundle.files]


def find_bundle(named: str, digest: str, cache: Path) -> Path | None:
    """Return where on this machine the bundle with this digest lies: where the run had it, else in the cache."""
    for root in (Path(named), *sorted((cache / "bundles").glob("*"))):
        try:
            if stat.S_ISREG((root / "bundle.json").stat().st_mode) and read_bundle(root).digest == digest:
                return root
        except (BundleError, OSError, ValueError):
            continue
    return None


def _score_of(bundle: Bundle, record: Record) -> tuple[Score, list[str]]:
    """Return the workload's metric; where nobody here knows it, one that says what is recorded, with the reason."""
    score, why = _known_score(bundle.workload)
    if score is not None:
        return score, []
    if (bundle.gate.metric, bundle.gate.claim, bundle.sources) == ("fidelity", "fidelity", ()):
        from npubench.plan.usermodel import fidelity  # a model of the user's own, which no package offers

        return fidelity, []
    known = record.metrics["accuracy"].value if "accuracy" in record.metrics else None
    value = math.nan if known is None else known
    return lambda outputs, labels, reference: value, [f"metrics.accuracy: not recomputed: {why}"]


@functools.lru_cache(maxsize=256)
def _known_score(workload: str) -> tuple[Score | None, str]:
    """Return a workload's metric, or why nobody here knows it; looking it up takes as long as half a run's recomputation."""
    try:
        return find_workload(workload).load().score, ""
    except WorkloadError as error:
        return None, str(error)


def plain_files(folder: Path) -> tuple[list[str], dict[str, Path]]:
    """Return what is odd in a run's folder, and relative name → path of the plain files beside the record."""
    odd: list[str] = []
    found: dict[str, Path] = {}
    waiting = [folder]
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
        except OSError as error:
            return [*odd, f"cannot be read: {(error.strerror or str(error)).lower()}"], found
        for entry in entries:
            name = Path(entry.path).relative_to(folder).as_posix()
            if entry.is_symlink():
                odd.append(f"{name}: is a symbolic link")
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif not entry.is_file(follow_symlinks=False):
                odd.append(f"{name}: is no plain file")
            elif name != RECORD:
                found[name] = Path(entry.path)
        if len(found) + len(waiting) > MAX_FILES:
            return [*odd, f"holds more than {MAX_FILES:,} files"], found
    return odd, found


def _changed(recorded: Mapping[str, str], files: Mapping[str, Path]) -> list[str]:
    """Say which files are not as they were when the record was made."""
    wrong = [f"{name}: is missing" for name in sorted({*recorded} - {*files})]
    wrong += [f"{name}: is not among the files that the record names" for name in sorted({*files} - {*recorded})]
    for name in sorted({*recorded} & {*files}):
        try:
            if file_digest(files[name]) != recorded[name]:
                wrong.append(f"{name}: was changed since the record was made: another digest")
        except OSError as error:
            wrong.append(f"{name}: cannot be read: {(error.strerror or str(error)).lower()}")
    return wrong


def _damaged(folder: Path, files: Mapping[str, Path]) -> list[str]:
    """Say which files must not be read any further: JSON with surprises, arrays beyond every measure."""
    wrong = [f"{name}: {why}" for name, why in check_arrays([p for n, p in files.items() if n.endswith(".npz")]).items()]
    for name, path in files.items():
        if name.endswith(".json") and "/" not in name:
            try:
                read_json_file(path, MAX_JSON_BYTES)
            except (OSError, ValueError) as error:
                wrong.append(f"{name}: {_said(error, folder)}")
    return wrong


def _equal(one: Any, other: Any) -> bool:
    if type(one) in (int, float) and type(other) in (int, float):
        return one == other or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(one) is type(other) and bool(one == other)


def _shown(value: Any) -> Any:
    """Return a value short enough to be shown."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _said(error: BaseException, folder: Path) -> str:
    """Return an error as a sentence without the place where the run was looked at."""
    text = " ".join(str(error).split()).replace(f"{folder}/", "") or type(error).__name__
    return _shown(text.removeprefix(f"{RECORD}: "))  # type: ignore[no-any-return]
