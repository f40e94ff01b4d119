"""The chain of a store's seals: each manifest is kept in ``seals/``, names the one before by digest, and is never replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from npubench.errors import StoreError
from npubench.record.keys import SIGNATURE_BYTES, signature_holds
from npubench.record.manifest import MAX_MANIFEST_BYTES, Manifest, digest_of, read_manifest

#: The folder in a store.
SEALS = "seals"

_NAME = re.compile(r"(\d{6,})\.manifest\.json")


@dataclass(frozen=True, slots=True)
class Seal:
    """A manifest that was signed, or was not: its exact bytes, and where they were found."""

    where: str
    manifest: bytes
    signature: bytes | None


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What the seals before this one say of it.

    Args:
        complete: Whether every seal back to the store's first is at hand.
        text: How far the chain was followed.
        problems: What contradicts it.
        notes: What a reader should know.
    """

    complete: bool
    text: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def kept_seals(store: Path) -> Iterator[Seal]:
    """Yield the seals that a store keeps, in order; one at a time, since manifests are large.

    Raises:
        StoreError: One cannot be read.
    """
    for path in _paths(store):
        signature = path.with_name(path.name.replace(".manifest.json", ".signature"))
        try:
            with path.open("rb") as file:
                manifest = file.read(MAX_MANIFEST_BYTES + 1)
            yield Seal(str(path), manifest, signature.read_bytes()[: SIGNATURE_BYTES + 1] if signature.exists() else None)
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error


def last_seal(store: Path) -> tuple[int, str | None]:
    """Return sequence number and digest of a store's last seal; ``(0, None)`` where there is none.

    Raises:
        StoreError: It is damaged, or one before it is not there; nothing can be chained to it.
    """
    paths = _paths(store)
    for n, path in enumerate(paths, 1):
        if _sequence(path) != n:
            raise StoreError(f"{path.parent}: seal {n} is missing; nothing can be chained to seals with a gap")
    if not paths:
        return 0, None
    data = paths[-1].read_bytes()
    try:
        sequence = read_manifest(data).sequence
    except ValueError as error:
        raise StoreError(f"{paths[-1]}: is damaged ({error}); nothing can be chained to it") from error
    if sequence != len(paths):
        raise StoreError(f"{paths[-1]}: is seal {sequence}; nothing can be chained to it")
    return sequence, digest_of(data)


def keep_seal(store: Path, sequence: int, manifest: bytes, signature: bytes | None) -> Path:
    """Write a seal into the store's chain, whole or not at all; the caller holds the store for writing.

    Raises:
        StoreError: There is such a seal, or it cannot be written.
    """
    folder = store / SEALS
    final = folder / f"{sequence:06}.manifest.json"
    try:
        folder.mkdir(exist_ok=True)
        if signature is not None:
            # One without its manifest was left by a seal that was killed.
            _write_new(folder / f"{sequence:06}.signature", signature, replace=not final.exists())
        # Last: a seal is there when its manifest is.
        _write_new(final, manifest)
    except FileExistsError as error:
        raise StoreError(f"{final}: there is such a seal already; seals are never replaced") from error
    except OSError as error:
        raise StoreError(f"{final}: the store cannot be written: {(error.strerror or str(error)).lower()}") from error
    return final


def check_chain(manifest: Manifest, digest: str, earlier: Iterable[Seal]) -> ChainVerdict:
    """Follow the chain from a manifest to its store's first seal, through the earlier ones that are at hand.

    Args:
        manifest: The seal's.
        digest: Of its bytes.
        earlier: What else is at hand: from the store, or from earlier bundles. Later ones are passed over.
    """
    problems: list[str] = []
    notes: list[str] = []
    records = {run.folder: run.record for run in manifest.runs}
    links: dict[str, tuple[str, Manifest, bool]] = {}
    for seal in earlier:
        try:
            read = read_manifest(seal.manifest)
        except ValueError as error:
            problems.append(f"{seal.where}: {error}")
            continue
        if read.sequence >= manifest.sequence:
            if read.sequence == manifest.sequence and digest_of(seal.manifest) != digest:
                problems.append(f"{seal.where}: is another seal {read.sequence}: changed, or of another store")
            continue
        good = read.public_key is None or (
            seal.signature is not None and signature_holds(read.public_key, seal.signature, seal.manifest)
        )
        problems += [
            f"run {run.system}/{run.run_id} was sealed with another record in seal {read.sequence} ({seal.where})"
            for run in read.runs
            if records.get(run.folder, run.record) != run.record
        ]
        # What was sealed in it is not needed further, and a long chain must fit in memory.
        slim = Manifest(**{**{name: getattr(read, name) for name in Manifest.__slots__}, "runs": (), "files": ()})
        links[digest_of(seal.manifest)] = (seal.where, slim, good)
    wanted, sequence = manifest.previous, manifest.sequence
    while wanted is not None:
        sequence -= 1
        if wanted not in links:
            problems += [
                f"{where}: is seal {sequence} and not the one that seal {sequence + 1} follows: changed, or of another store"
                for where, link, _ in links.values()
                if link.sequence == sequence
            ]
            return ChainVerdict(False, f"previous not at hand: seal {sequence}, {wanted}", tuple(problems), tuple(notes))
        where, link, good = links[wanted]
        if link.sequence != sequence:
            problems.append(f"{where}: is seal {link.sequence}, its place in the chain is {sequence}")
            return ChainVerdict(False, f"broken at seal {sequence}", tuple(problems), tuple(notes))
        if not good:
            problems.append(f"{where}: the signature of seal {sequence} does not hold")
        if link.public_key != manifest.public_key:
            notes.append(f"seal {sequence} was signed by another key" if link.public_key else f"seal {sequence} was not signed")
        wanted = link.previous
    back = f"followed to the first seal of its store, {manifest.sequence - 1} back"
    return ChainVerdict(True, back if manifest.previous else "the first seal of its store", tuple(problems), tuple(notes))


def _paths(store: Path) -> list[Path]:
    return sorted((path for path in (store / SEALS).glob("*") if _NAME.fullmatch(path.name)), key=_sequence)


def _sequence(path: Path) -> int:
    matched = _NAME.fullmatch(path.name)
    return int(matched[1]) if matched else 0


def _write_new(path: Path, data: bytes, replace: bool = False) -> None:
    """Write a file under its name only when all of it is on disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if path.exists() and not replace:  # nobody else writes here meanwhile: the store is held
        temporary.unlink()
        raise FileExistsError(path)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
