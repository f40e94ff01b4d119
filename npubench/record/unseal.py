"""Check an evidence bundle: archive, manifest, signature, chain, and every run in it. Needs no network and no plug-in.

Members are unpacked into a private temporary folder, one run at a time a process, and removed again; nothing else is written.
Memory is bounded by the constants in ``archive``, ``manifest``, ``strict`` and ``crew``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import npubench
from npubench.errors import InputError
from npubench.record.archive import ArchiveError, Member, is_bundle, read_directory, read_small, unpack
from npubench.record.keys import SIGNATURE_BYTES, fingerprint, signature_holds
from npubench.record.manifest import (
    BUNDLES,
    CALIBRATIONS,
    MAGIC,
    MAGIC_CONTENT,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SIGNATURE,
    Manifest,
    SealedFile,
    SealedRun,
    digest_of,
    read_manifest,
)
from npubench.record.recheck import DAMAGE, RECORD, RunVerdict, open_part, recheck_run
from npubench.record.seal import calibration_content
from npubench.record.seals import SEALS, Seal, check_chain, kept_seals
from npubench.record.strict import twice
from npubench.record.verdict import Check, OnRun, State, Verdict, check_runs, same_traces

#: The most that one run or one workload bundle may take once unpacked, bytes: its arrays, and logs without end.
MAX_FOLDER_BYTES = 4 << 30


def verify_bundle(path: Path, trust: Mapping[str, str], earlier: Sequence[Path], processes: int, on_run: OnRun) -> Verdict:
    """Check a bundle; arguments as in :func:`npubench.record.verify.verify`.

    Raises:
        InputError: An earlier seal cannot be read.
        OSError: The file cannot be read.
    """
    verdict = Verdict(str(path), "bundle", trusted=False)
    with path.open("rb") as file:
        try:
            members, complaints = read_directory(file)
            named = {member.name: member for member in members}
            if name := twice(member.name for member in members):
                raise ArchiveError(f"member '{name}': is there twice")
        except ArchiveError as error:
            verdict.checks.append(Check("archive", "fails", str(error)))
            return verdict
        verdict.problems += complaints
        magic = _small(file, named, MAGIC, len(MAGIC_CONTENT), verdict)
        if magic not in (None, MAGIC_CONTENT):
            verdict.problems.append(f"member '{MAGIC}': was changed")
        signature = _small(file, named, SIGNATURE, SIGNATURE_BYTES, verdict) if SIGNATURE in named else None
        text = _small(file, named, MANIFEST, MAX_MANIFEST_BYTES, verdict)
    try:
        if text is None:
            raise ValueError("cannot be read, as said above" if MANIFEST in named else "is missing")
        manifest = read_manifest(text)
    except ValueError as error:
        verdict.checks.append(Check("manifest", "fails", f"{MANIFEST}: {error}"))
        return verdict
    summary = f"runs: {len(manifest.runs):,}, files: {len(manifest.files):,}, sealed {manifest.created_at}"
    verdict.checks.append(Check("manifest", "holds", f"{summary} by npubench {manifest.harness}"))
    verdict.checks.append(check_signature(manifest.public_key, text, signature))
    verdict.checks.append(check_trust(manifest.public_key, trust, verdict.checks[-1].state == "holds"))
    verdict.trusted = verdict.checks[-1].state == "holds"
    chain = check_chain(manifest, digest_of(text), _seals_in(path, earlier))
    state: State = "fails" if chain.problems else "holds" if chain.complete else "unknown"
    verdict.checks.append(Check("chain", state, f"seal {manifest.sequence}: {chain.text}"))
    verdict.problems += chain.problems
    verdict.notes += chain.notes
    if manifest.harness != npubench.__version__:
        verdict.notes.append(f"sealed by npubench {manifest.harness}, checked by {npubench.__version__}")
    _check_names([member.name for member in members], manifest, verdict)
    known = {one.name: (named[one.name], one) for one in manifest.files if one.name in named}
    with tempfile.TemporaryDirectory(prefix="npubench-verify-") as folder:
        _Opened(path, manifest, known, Path(folder), verdict).check(processes, on_run)
    return verdict


def check_signature(public: str | None, manifest: bytes, signature: bytes | None) -> Check:
    """Return whether a manifest's signature holds."""
    if public is None:
        if signature is not None:
            return Check("signature", "fails", "there is one, but the manifest names no key")
        return Check("signature", "unknown", "nobody signed it; anybody can have made it")
    if signature is None:
        return Check("signature", "fails", f"is missing; the manifest names key {fingerprint(public)}")
    if not signature_holds(public, signature, manifest):
        return Check("signature", "fails", f"is not that of key {fingerprint(public)}: signature or manifest was changed")
    return Check("signature", "holds", f"of key {fingerprint(public)}")


def check_trust(public: str | None, trust: Mapping[str, str], signed: bool) -> Check:
    """Return whether it is a trusted key whose signature holds."""
    if not signed or public is None:
        return Check("trust", "fails", "nothing that could be trusted: there is no signature that holds")
    if public not in trust:
        where = "" if trust else "; there is no trust list, or nothing in it"
        return Check("trust", "fails", f"signed by a key that is not in the trust list{where}: {public}")
    return Check("trust", "holds", f"signed by '{trust[public]}'")


def _small(file: BinaryIO, named: Mapping[str, Member], name: str, limit: int, verdict: Verdict) -> bytes | None:
    """Return one of the archive's own members; ``None`` with a complaint where it cannot be read."""
    try:
        if name not in named:
            raise ArchiveError(f"member '{name}': is missing")
        return read_small(file, named[name], limit)
    except ArchiveError as error:
        verdict.problems.append(str(error))
        return None


def _seals_in(path: Path, earlier: Sequence[Path]) -> Iterator[Seal]:
    """Yield the seals that stores and bundles hold; a bundle that lies in its store's own folder of seals finds that store."""
    own = [path.absolute().parent.parent] if path.absolute().parent.name == SEALS else []
    for place in (*earlier, *own):
        if place.is_dir():
            yield from kept_seals(place)
        elif place.is_file() and is_bundle(place):
            yield _seal_of(place)
        else:
            raise InputError(f"--previous {place}: neither a store nor an evidence bundle")


def _seal_of(path: Path) -> Seal:
    """Return the seal of a bundle."""
    with path.open("rb") as file:
        try:
            named = {member.name: member for member in read_directory(file)[0]}
            signature = read_small(file, named[SIGNATURE], SIGNATURE_BYTES) if SIGNATURE in named else None
            return Seal(str(path), read_small(file, named[MANIFEST], MAX_MANIFEST_BYTES), signature)
        except (ArchiveError, KeyError) as error:
            raise InputError(f"--previous {path}: {error}; check it by itself with 'npubench verify {path}'") from error


def _check_names(names: Sequence[str], manifest: Manifest, verdict: Verdict) -> None:
    """Complain of members that are missing, not the manifest's, or in another order."""
    wanted = [MAGIC, *(file.name for file in manifest.files), MANIFEST, *([SIGNATURE] if SIGNATURE in names else [])]
    missing, extra = sorted({*wanted} - {*names}), sorted({*names} - {*wanted})
    verdict.problems += [f"member '{name}': is missing" for name in missing if name not in (MAGIC, MANIFEST)]
    verdict.problems += [f"member '{name}': is not in the manifest" for name in extra]
    if not missing and not extra and list(names) != wanted:
        first = next(name for name, right in zip(names, wanted, strict=True) if name != right)
        verdict.problems.append(f"member '{first}': is not in its place: members were put in another order")


@dataclass(frozen=True, slots=True)
class _Packed:
    """One run of a bundle, as it is handed to the process that looks at it."""

    archive: Path
    run: SealedRun
    files: tuple[tuple[Member, SealedFile], ...]
    place: Path
    bundle: Path | None
    why_not: str


@dataclass(frozen=True, slots=True)
class _Opened:
    """A bundle whose manifest was read: its files, and the folder they are unpacked into."""

    archive: Path
    manifest: Manifest
    known: Mapping[str, tuple[Member, SealedFile]]
    folder: Path
    verdict: Verdict

    def check(self, processes: int, on_run: OnRun) -> None:
        """Unpack and check everything that the manifest names."""
        groups = self._groups()
        bundles = {digest: self._bundle(digest, groups) for digest in sorted({run.bundle for run in self.manifest.runs})}
        for name in [name for name in groups if name.startswith(f"{CALIBRATIONS}/")]:
            self._calibration(name, groups.pop(name))
        asked = []
        for n, run in enumerate(self.manifest.runs):
            root, why_not = bundles[run.bundle]
            files = tuple(groups.pop(run.folder, ()))
            packed = _Packed(self.archive, run, files, self.folder / f"run-{n}", root, why_not)
            asked.append((run.system, run.run_id, packed))
        for name in groups:
            self.verdict.problems.append(f"{name}: belongs to nothing that the manifest speaks of")
        traces = [
            (f"{run.system}/{run.run_id}", self.known[f"{run.folder}/trace.npz"][1].sha256)
            for run in self.manifest.runs
            if f"{run.folder}/trace.npz" in self.known
        ]
        same_traces(traces, self.verdict)
        check_runs(self.verdict, _check_sealed_run, asked, processes, on_run)

    def _groups(self) -> dict[str, list[tuple[Member, SealedFile]]]:
        """Return the files by the folder they belong to: a run's, a workload bundle's, or a calibration's own name."""
        groups: dict[str, list[tuple[Member, SealedFile]]] = {}
        for name, pair in self.known.items():
            parts = name.split("/")
            depth = {BUNDLES: 2, CALIBRATIONS: 2}.get(parts[0], 3)
            groups.setdefault("/".join(parts[:depth]), []).append(pair)
        return groups

    def _bundle(self, digest: str, groups: dict[str, list[tuple[Member, SealedFile]]]) -> tuple[Path | None, str]:
        """Unpack a workload bundle; returns its folder, or why there is none."""
        name = f"{BUNDLES}/{digest.removeprefix('sha256:')}"
        if name not in groups:
            self.verdict.problems.append(f"{name}: is missing")
            return None, "the workload bundle is not in the archive"
        root = self.folder / name
        with self.archive.open("rb") as file:
            wrong = [f"{name}/{one}" for one in _extract(file, groups.pop(name), root, name)]
        if not wrong:
            try:
                found = open_part(root).digest
                wrong = [] if found == digest else [f"{name}: is bundle {found}"]
            except DAMAGE as error:
                wrong = [f"{name}: {str(error).replace(f'{root}/', '')}"]
        self.verdict.problems += wrong
        return (None, "the workload bundle is damaged") if wrong else (root, "")

    def _calibration(self, name: str, files: Sequence[tuple[Member, SealedFile]]) -> None:
        """Check a calibration's file."""
        root = self.folder / CALIBRATIONS
        with self.archive.open("rb") as file:
            wrong = [f"{CALIBRATIONS}/{one}" for one in _extract(file, files, root, CALIBRATIONS)]
        path = root / name.removeprefix(f"{CALIBRATIONS}/")
        if not wrong:
            try:
                if calibration_content(path) != f"sha256:{path.stem}":
                    wrong = [f"{name}: is another calibration than its name says"]
            except (OSError, ValueError) as error:
                wrong = [f"{name}: {error}"]
        path.unlink(missing_ok=True)
        self.verdict.problems += wrong


def _check_sealed_run(packed: _Packed) -> RunVerdict:
    """Unpack one run, check it, and remove it again; in a process of its own or not."""
    folder = packed.place / packed.run.system / packed.run.run_id
    try:
        with packed.archive.open("rb") as file:
            wrong = _extract(file, packed.files, folder, packed.run.folder)
        if not (folder / RECORD).is_file():
            return RunVerdict(packed.run.system, packed.run.run_id, None, (*wrong, f"{RECORD}: is missing"))
        digests = {known.name: known.sha256 for _, known in packed.files}
        if digests[f"{packed.run.folder}/{RECORD}"] != packed.run.record:
            wrong.append(f"{RECORD}: is not the one that the manifest's list of runs names")
        found = recheck_run(folder, packed.bundle, packed.why_not)
        return replace(found, problems=(*wrong, *found.problems))
    except OSError as error:
        return RunVerdict(packed.run.system, packed.run.run_id, None, (f"cannot be unpacked: {error.strerror or error}",))
    finally:
        shutil.rmtree(packed.place, ignore_errors=True)


def _extract(file: BinaryIO, files: Sequence[tuple[Member, SealedFile]], root: Path, prefix: str) -> list[str]:
    """Unpack members below a folder; returns what is wrong with them. Their names were looked at before."""
    total = sum(known.size for _, known in files)
    if total > MAX_FOLDER_BYTES:
        return [f"declares {total:,} bytes, more than {MAX_FOLDER_BYTES:,}: not unpacked"]
    wrong: list[str] = []
    for member, known in files:
        name = known.name.removeprefix(f"{prefix}/")
        try:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            with (root / name).open("xb") as out:
                wrong += [f"{name}: {why}" for why in unpack(file, member, known, out.write)]
        except OSError as error:
            wrong.append(f"{name}: cannot be unpacked: {(error.strerror or str(error)).lower()}")
    return wrong
