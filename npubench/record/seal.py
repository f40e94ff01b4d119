"""Seal runs: pack their records, what stands beside them and what checking them needs into one file, chained and signed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import npubench
from npubench.contract.bundle import BundleError, content_digest, read_bundle
from npubench.errors import InputError, NpubenchError, StoreError
from npubench.record.archive import ArchiveWriter
from npubench.record.keys import public_text, sign
from npubench.record.manifest import (
    BUNDLES,
    CALIBRATIONS,
    MANIFEST,
    MANIFEST_VERSION,
    MAX_MANIFEST_BYTES,
    SIGNATURE,
    Manifest,
    SealedFile,
    SealedRun,
    digest_of,
    unsafe_name,
    write_manifest,
)
from npubench.record.recheck import RECORD, find_bundle, needed_files, open_part, plain_files
from npubench.record.schema import Record
from npubench.record.seals import SEALS, keep_seal, last_seal
from npubench.record.store import Store, read_record
from npubench.record.strict import read_json_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: How many damaged runs are named before the rest are only counted.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Sealed:
    """A bundle that was written: where, its manifest and the manifest's digest."""

    path: Path
    manifest: Manifest
    digest: str


def seal_runs(
    store: Store,
    folders: Sequence[Path],
    out: Path | None,
    key: Ed25519PrivateKey | None,
    cache: Path,
    on_run: Callable[[str], None] = lambda run: None,
) -> Sealed:
    """Pack runs of a store into an evidence bundle, and keep its manifest in the store's chain.

    Args:
        store: Where the runs are.
        folders: The runs' folders, in the order they are packed.
        out: The file to write; ``None`` = beside the chain, in the store's ``seals`` folder.
        key: Signs it; ``None`` = nobody does.
        cache: Where workload bundles are looked for that are no longer where the run had them.
        on_run: Told of each run when it is packed.

    Raises:
        InputError: The file is there already, or cannot be written.
        StoreError: A run is damaged, its workload bundle is not at hand, or the chain is; names it. Nothing is left behind.
    """
    with store.writing():
        sequence, previous = last_seal(store.root)
        final = out or store.root / SEALS / f"seal-{sequence + 1:06}.zip"
        if final.exists():
            raise InputError(f"{final}: there is a file already, and a seal is never overwritten; choose another --out")
        temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                writer = ArchiveWriter(file)
                runs, files = _pack(writer, folders, cache, on_run)
                manifest = Manifest(
                    schema_version=MANIFEST_VERSION,
                    created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    harness=npubench.__version__,
                    sequence=sequence + 1,
                    previous=previous,
                    public_key=None if key is None else public_text(key),
                    runs=tuple(runs),
                    files=tuple(files),
                )
                text = write_manifest(manifest)
                if len(text) > MAX_MANIFEST_BYTES:
                    raise InputError(f"{len(runs):,} runs have more files than one seal may hold; seal them in several")
                signature = None if key is None else sign(key, text)
                writer.add_bytes(MANIFEST, text)
                if signature is not None:
                    writer.add_bytes(SIGNATURE, signature)
                writer.finish()
                file.flush()
                os.fsync(file.fileno())
            # The chain first: a kill in between leaves a seal whose file is missing, and never two of one number.
            keep_seal(store.root, sequence + 1, text, signature)
            temporary.rename(final)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise InputError(f"{final}: cannot be written: {why}; choose another --out") from error
        finally:
            temporary.unlink(missing_ok=True)
    return Sealed(final, manifest, digest_of(text))


def _pack(
    writer: ArchiveWriter, folders: Sequence[Path], cache: Path, on_run: Callable[[str], None]
) -> tuple[list[SealedRun], list[SealedFile]]:
    """Pack runs, then the workload bundles and calibrations they speak of.

    Raises:
        StoreError: Some run is not as its record says, or what it needs is not at hand; names up to five.
    """
    runs: list[SealedRun] = []
    files: list[SealedFile] = []
    damaged: list[str] = []
    bundles: dict[str, Path] = {}
    calibrations: dict[str, Path] = {}
    for folder in folders:
        name = f"{folder.parent.name}/{folder.name}"
        try:
            record = read_record(folder / RECORD)
            run, root = _look(folder, record, cache, bundles)
            packed = _pack_run(writer, folder, run, record)
        except (NpubenchError, BundleError, ValueError) as error:
            damaged.append(f"{name}: {error}")
            continue
        runs.append(run)
        files += packed
        bundles[run.bundle] = root
        calibration = record.provenance.calibration
        if calibration and calibration not in calibrations and (path := _calibration(folder.parent, calibration)):
            calibrations[calibration] = path
        on_run(name)
    if damaged:
        more = f" (and {len(damaged) - _NAMED} more)" if len(damaged) > _NAMED else ""
        raise StoreError(f"not sealed: {'; '.join(damaged[:_NAMED])}{more}; leave such runs out, or measure them again")
    for digest, root in sorted(bundles.items()):
        place = f"{BUNDLES}/{digest.removeprefix('sha256:')}"
        files += [writer.add_file(f"{place}/{name}", root / name) for name in ("bundle.json", *needed_files(read_bundle(root)))]
    for digest, path in sorted(calibrations.items()):
        files.append(writer.add_file(f"{CALIBRATIONS}/{digest.removeprefix('sha256:')}.json", path))
    return runs, files


def _look(folder: Path, record: Record, cache: Path, bundles: Mapping[str, Path]) -> tuple[SealedRun, Path]:
    """Return a run as the manifest names it, and where its workload bundle lies.

    Raises:
        ValueError: It is not where it belongs, or its bundle is not at hand.
        BundleError: The bundle is damaged.
    """
    system, run_id = folder.parent.name, folder.name
    if (record.system.system_id, record.run_id) != (system, run_id):
        raise ValueError(f"{RECORD} is of run {record.system.system_id}/{record.run_id}")
    digest = record.bundle.digest
    root = bundles.get(digest) or find_bundle(record.spec.bundle, digest, cache)
    if root is None:
        raise ValueError(
            f"its workload bundle {digest} is neither in {record.spec.bundle} nor in {cache}; "
            f"'npubench workloads prepare {record.spec.workload}' makes it again unless the workload has changed"
        )
    if digest not in bundles:
        open_part(root)
    return SealedRun(system, run_id, "sha256:" + hashlib.sha256((folder / RECORD).read_bytes()).hexdigest(), digest), root


def _pack_run(writer: ArchiveWriter, folder: Path, run: SealedRun, record: Record) -> list[SealedFile]:
    """Pack a run's files, each held against the digest in the record.

    Raises:
        ValueError: A file is missing, changed, not in the record, or no plain file; names it.
    """
    odd, found = plain_files(folder)
    recorded = {**record.provenance.files, RECORD: run.record}
    found[RECORD] = folder / RECORD
    odd += [f"{name} is missing" for name in sorted({*recorded} - {*found})]
    odd += [f"{name} is not among the files that the record names" for name in sorted({*found} - {*recorded})]
    odd += [f"{name!r}: its name {why}" for name in found if (why := unsafe_name(f"{run.folder}/{name}"))]
    if odd:
        raise ValueError("; ".join(odd[:_NAMED]))
    packed = []
    for name in sorted(found):
        packed.append(writer.add_file(f"{run.folder}/{name}", found[name]))
        if packed[-1].sha256 != recorded[name]:
            raise ValueError(f"{name} was changed since the record was made")
    return packed


def _calibration(system: Path, digest: str) -> Path | None:
    """Return the file of a system's calibration, or ``None`` where it is gone or damaged."""
    for path in sorted((system / "calibration").glob("*.json")):
        try:
            if calibration_content(path) == digest:
                return path
        except (OSError, ValueError):
            continue
    return None


def calibration_content(path: Path) -> str:
    """Return the digest of what a calibration says.

    Raises:
        ValueError: It is no calibration.
        OSError: It cannot be read.
    """
    content = read_json_file(path)
    if not isinstance(content, dict):
        raise ValueError("is no calibration")
    return content_digest({key: value for key, value in content.items() if key != "digest"})
