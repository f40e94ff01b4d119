"""Check what was handed in: an evidence bundle, a store, or one run's folder. Needs no network and no plug-in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from npubench.errors import InputError, NpubenchError
from npubench.record.archive import is_bundle
from npubench.record.keys import fingerprint
from npubench.record.manifest import digest_of, read_manifest
from npubench.record.recheck import DAMAGE, RECORD, RunVerdict, find_bundle, recheck_run
from npubench.record.seals import kept_seals
from npubench.record.store import Store, read_record
from npubench.record.unseal import check_signature, verify_bundle
from npubench.record.verdict import Check, OnRun, Verdict, check_runs, same_traces

#: The most characters of a path in a record that is looked for on this machine.
_MAX_PATH = 4096


def verify(
    path: Path,
    trust: Mapping[str, str],
    earlier: Sequence[Path],
    cache: Path,
    processes: int,
    on_run: OnRun = lambda done, total, run: None,
) -> Verdict:
    """Check a bundle, a store or a run's folder, whichever it is.

    Args:
        path: What to look at.
        trust: Public key → name, of the keys that are trusted.
        earlier: Stores or bundles that hold earlier seals of the same store.
        cache: Where workload bundles of stores and run folders are looked for; a sealed bundle brings its own.
        processes: How many runs are looked at side by side, each in a process of bounded memory; 0 = here, one by one.
        on_run: Told of each run: how many are done, how many there are, and its verdict.

    Raises:
        InputError: It is none of these, or cannot be read.
    """
    try:
        if path.is_dir():
            if (path / RECORD).is_file():
                verdict = Verdict(str(path), "run")
                _check_folders(verdict, [path.resolve()], cache, processes, on_run)
                return verdict
            return _verify_store(path, trust, cache, processes, on_run)
        if path.is_file() and is_bundle(path):
            return verify_bundle(path, trust, earlier, processes, on_run)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    what = "not an evidence bundle of npubench" if path.exists() else "no such file or folder"
    raise InputError(f"{path}: {what}; give a file that 'npubench seal' wrote, a store, or a run's folder")


def _verify_store(root: Path, trust: Mapping[str, str], cache: Path, processes: int, on_run: OnRun) -> Verdict:
    folders = [folder.resolve() for folder in Store(root).folders()]
    seals = list(_paths_of(root))
    if not folders and not seals:
        raise InputError(f"{root}: a folder without runs; give a store, a run's folder, or a file that 'npubench seal' wrote")
    verdict = Verdict(str(root), "store")
    _check_seals(root, trust, verdict)
    _check_folders(verdict, folders, cache, processes, on_run)
    return verdict


def _paths_of(root: Path) -> list[str]:
    return [seal.where for seal in kept_seals(root)]


def _check_seals(root: Path, trust: Mapping[str, str], verdict: Verdict) -> None:
    """Check a store's chain of seals, and that what was sealed is still there as it was."""
    wrong: list[str] = []
    previous, sequence, sealed = None, 0, 0
    for seal in kept_seals(root):
        name = Path(seal.where).name
        sequence += 1
        try:
            manifest = read_manifest(seal.manifest)
        except ValueError as error:
            wrong.append(f"{name}: {error}")
            previous = digest_of(seal.manifest)
            continue
        if (manifest.sequence, manifest.previous) != (sequence, previous):
            wrong.append(f"{name}: does not follow the seal before it: one was changed, added or taken away")
        previous, sequence = digest_of(seal.manifest), manifest.sequence
        signed = check_signature(manifest.public_key, seal.manifest, seal.signature)
        if signed.state == "fails":
            wrong.append(f"{name}: the signature {signed.text}")
        elif manifest.public_key is None:
            verdict.notes.append(f"{name}: nobody signed it")
        elif manifest.public_key not in trust:
            verdict.notes.append(f"{name}: signed by a key that is not in the trust list: {fingerprint(manifest.public_key)}")
        for run in manifest.runs:
            sealed += 1
            record = root / run.system / run.run_id / RECORD
            if not record.is_file():
                wrong.append(f"run {run.system}/{run.run_id}: was sealed ({name}) and is no longer here")
            elif "sha256:" + hashlib.sha256(record.read_bytes()).hexdigest() != run.record:
                wrong.append(f"run {run.system}/{run.run_id}: {RECORD} was changed since it was sealed ({name})")
    verdict.problems += wrong
    if not sequence:
        verdict.checks.append(Check("chain", "unknown", "nothing of this store was sealed"))
    elif wrong:
        verdict.checks.append(Check("chain", "fails", f"of {sequence:,} seals, as said of each"))
    else:
        verdict.checks.append(Check("chain", "holds", f"seals: {sequence:,}; sealed runs: {sealed:,}, here as they were"))


def _check_folders(verdict: Verdict, folders: Sequence[Path], cache: Path, processes: int, on_run: OnRun) -> None:
    """Check runs where they lie; each needs its workload bundle on this machine."""
    bundles: dict[tuple[str, str], Path | None] = {}
    asked, traces = [], []
    for folder in folders:
        root, why_not = None, "its record cannot be read"
        try:
            record = read_record(folder / RECORD)
            digest, named = record.bundle.digest, record.spec.bundle[:_MAX_PATH]
            if (digest, named) not in bundles:
                bundles[digest, named] = find_bundle(named, digest, cache)
            root = bundles[digest, named]
            why_not = f"its workload bundle {digest} is neither in {named} nor in {cache}; a sealed bundle brings its own"
            if "trace.npz" in record.provenance.files:
                traces.append((f"{folder.parent.name}/{folder.name}", record.provenance.files["trace.npz"]))
        except (NpubenchError, *DAMAGE):
            pass  # looked at again, and said, where the run is checked
        asked.append((folder.parent.name, folder.name, (folder, root, why_not)))
    same_traces(traces, verdict)
    check_runs(verdict, _check_folder, asked, processes, on_run)


def _check_folder(asked: tuple[Path, Path | None, str]) -> RunVerdict:
    return recheck_run(*asked)
