"""``npubench seal``: pack runs into one signed file that anybody can check."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from npubench.contract.options import nearest
from npubench.errors import InputError, StoreError
from npubench.plan.wheels import npubench_cache
from npubench.record.keys import PASSPHRASE, fingerprint, key_path, load_key
from npubench.record.seal import seal_runs
from npubench.record.store import Store
from npubench.verbs.console import Steps, data, err

#: How many runs a prefix is shown to fit before the rest are only counted.
_SHOWN = 3


def seal(runs: Sequence[str], store: Path, out: Path | None, key: Path | None, unsigned: bool, as_json: bool) -> int:
    """Seal runs; the path of the file is the last line on standard output. Returns 0.

    Args:
        runs: Ids, beginnings of ids, or folders; empty = all of the store.
        store: Folder of records.
        out: The file to write; ``None`` = in the store's ``seals`` folder.
        key: The private key's file; ``None`` = the user's own.
        unsigned: Seal without a signature.
        as_json: Print what was sealed as JSON.

    Raises:
        InputError: No such run, no key, or the file cannot be written.
        StoreError: A run is damaged, or the store is held by another process.
    """
    if unsigned and key is not None:
        raise InputError("--unsigned: goes without --key")
    if not unsigned and not key_path(key).exists():
        raise InputError(
            f"{key_path(key)}: no key to sign with; 'npubench key' makes one, --key names another, and --unsigned seals without"
        )
    private = None if unsigned else load_key(key_path(key), os.environ.get(PASSPHRASE, ""))
    folders = select(runs, store)
    steps = Steps(len(folders), "sealing")
    with steps.shown():

        def on_run(run: str) -> None:
            steps.now(f"sealed {run}")
            steps.step()

        sealed = seal_runs(Store(store), folders, out, private, npubench_cache(), on_run)
    manifest = sealed.manifest
    if as_json:
        content = {
            "file": str(sealed.path.resolve()),
            "runs": len(manifest.runs),
            "files": len(manifest.files),
            "bytes": sealed.path.stat().st_size,
            "sequence": manifest.sequence,
            "digest": sealed.digest,
            "previous": manifest.previous,
            "public_key": manifest.public_key,
        }
        data(json.dumps(content, indent=1, ensure_ascii=False))
        return 0
    by = f"signed by key {fingerprint(manifest.public_key)}" if manifest.public_key else "not signed: anybody can have made it"
    size = sealed.path.stat().st_size
    err.print(f"seal {manifest.sequence}: runs: {len(manifest.runs):,}, {size:,} bytes, {by}", soft_wrap=True, markup=False)
    err.print(f"its digest: {sealed.digest}", soft_wrap=True, markup=False)
    data(str(sealed.path.resolve()))
    return 0


def select(runs: Sequence[str], store: Path) -> list[Path]:
    """Return the folders of runs named by id, beginning of an id, or folder, in the store's order; all where none is named.

    Raises:
        InputError: No such run in this store, or several begin like that.
        StoreError: The store has no runs.
    """
    folders = Store(store).folders()
    if not folders:
        raise StoreError(f"{store}: there is no run in this store; 'npubench run SUITE --store {store}' makes some")
    if not runs:
        return folders
    wanted: set[Path] = set()
    for run in runs:
        wanted |= _named(run, folders, store)
    return [folder for folder in folders if folder in wanted]


def _named(run: str, folders: Sequence[Path], store: Path) -> set[Path]:
    if Path(run).is_dir():
        place = Path(run).resolve()
        inside = {folder for folder in folders if place in (folder.resolve(), folder.parent.resolve(), store.resolve())}
        if not inside:
            raise InputError(f"{run}: not a run of {store}; a seal is one store's, name it with --store")
        return inside
    exact = {folder for folder in folders if run in (folder.name, f"{folder.parent.name}/{folder.name}")}
    found = exact or {folder for folder in folders if folder.name.startswith(run)}
    if len(found) == 1:
        return found
    if found:
        shown = ", ".join(sorted(f"{folder.parent.name}/{folder.name}" for folder in found)[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise InputError(f"'{run}' may be {shown}{more}; give more of the id, or the run's folder")
    raise InputError(f"there is no run '{run}' in {store}{nearest(run, [folder.name for folder in folders])}; see --store")
