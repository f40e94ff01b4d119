"""The manifest of an evidence bundle: what is in it, byte for byte, and which seal of its store came before.

Canonical JSON (sorted keys, no spaces, UTF-8), so that the same content has one form, one digest and one signature.

Format history
--------------
1  first version
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from npubench.contract.runspec import from_plain, to_plain
from npubench.record.keys import public_bytes
from npubench.record.strict import read_json, twice

#: The version of the manifest this code writes.
MANIFEST_VERSION = 1
#: The largest manifest that is read, bytes: some 100,000 files.
MAX_MANIFEST_BYTES = 32 << 20

#: Names of what stands beside the packed files.
MAGIC, MANIFEST, SIGNATURE = "npubench-seal", "manifest.json", "signature"
#: What the first member holds; a file that begins otherwise is no evidence bundle.
MAGIC_CONTENT = b"npubench evidence bundle 1\n"
#: Folders of the packed files.
RUNS, BUNDLES, CALIBRATIONS = "runs", "bundles", "calibration"

#: The longest name, and the longest part of one, bytes of UTF-8 (Linux's own bounds on a part).
_MAX_NAME, _MAX_PART = 1024, 255

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SealedFile:
    """One file of the bundle.

    Args:
        name: Its path in the archive.
        size, sha256: Of its content.
        packed_size, packed_sha256: Of the bytes that stand for it in the archive; the same where it is stored as it is.
    """

    name: str
    size: int
    sha256: str
    packed_size: int
    packed_sha256: str


@dataclass(frozen=True, slots=True)
class SealedRun:
    """One run of the bundle: its place in the store, its record's digest, and its workload bundle's."""

    system: str
    run_id: str
    record: str
    bundle: str

    @property
    def folder(self) -> str:
        """Its folder in the archive."""
        return f"{RUNS}/{self.system}/{self.run_id}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is signed.

    Args:
        schema_version: Of this format.
        created_at: When it was sealed, UTC, ISO 8601.
        harness: npubench's version.
        sequence: 1 for a store's first seal, one more for each that follows.
        previous: The digest of the seal before, ``None`` for the first.
        public_key: Of the signature, base64; ``None`` where nobody signed.
        runs: In the order of the archive.
        files: All of them, in the order of the archive, but manifest and signature.
    """

    schema_version: int
    created_at: str
    harness: str
    sequence: int
    previous: str | None
    public_key: str | None
    runs: tuple[SealedRun, ...]
    files: tuple[SealedFile, ...]


def write_manifest(manifest: Manifest) -> bytes:
    """Return a manifest's canonical bytes."""
    return canonical(to_plain(manifest))


def canonical(data: Any) -> bytes:
    """Return JSON values in the one form they have: sorted keys, no spaces, UTF-8."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(data: bytes) -> str:
    """Return ``"sha256:…"`` of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest that others wrote.

    Raises:
        ValueError: No manifest of this version, not in canonical form, or with a name, digest or count that cannot be.
    """
    plain = read_json(data)
    if not isinstance(plain, dict):
        raise ValueError("is not a manifest")
    if plain.get("schema_version") != MANIFEST_VERSION or isinstance(plain["schema_version"], bool):
        version = str(plain.get("schema_version"))[:20]
        raise ValueError(f"schema_version is {version}, this npubench reads {MANIFEST_VERSION}")
    manifest: Manifest = from_plain(Manifest, plain, "manifest")
    if canonical(plain) != data:
        raise ValueError("is not in canonical form: bytes were changed, added or put in another order")
    _check(manifest)
    return manifest


def unsafe_name(name: str) -> str:
    """Return why a member's name must not be used as a path below a folder, or ""."""
    encoded = name.encode("utf-8", "surrogateescape")
    if not name or len(encoded) > _MAX_NAME:
        return "is empty or too long"
    if name.startswith("/") or "\\" in name or (len(name) > 1 and name[1] == ":"):
        return "is an absolute path or of another platform"
    parts = name.split("/")
    if ".." in parts:
        return "leads out of its folder"
    if "" in parts or "." in parts:
        return "is not in its simplest form"
    if any(len(part.encode("utf-8", "surrogateescape")) > _MAX_PART for part in parts):
        return "has a part that is too long"
    if not name.isprintable():
        return "holds characters that cannot be shown"
    return ""


def _check(manifest: Manifest) -> None:
    """Refuse values that no seal has."""
    if manifest.sequence < 1 or (manifest.sequence == 1) != (manifest.previous is None):
        raise ValueError(f"sequence {manifest.sequence} does not go with previous {manifest.previous}")
    if manifest.public_key is not None:
        public_bytes(manifest.public_key)
    digests = [manifest.previous] if manifest.previous else []
    for run in manifest.runs:
        digests += [run.record, run.bundle]
        for part in (run.system, run.run_id):
            if "/" in part or (why := unsafe_name(part)):
                raise ValueError(f"run {part[:80]!r}: the name {why if '/' not in part else 'is a path'}")
    for file in manifest.files:
        digests += [file.sha256, file.packed_sha256]
        if why := unsafe_name(file.name):
            raise ValueError(f"file {file.name[:80]!r}: the name {why}")
        if min(file.size, file.packed_size) < 0:
            raise ValueError(f"file {file.name[:80]!r}: a negative size")
    for digest in digests:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest[:80]!r} is no digest")
    for what, names in (("file", [file.name for file in manifest.files]), ("run", [run.folder for run in manifest.runs])):
        if name := twice(names):
            raise ValueError(f"{what} {name[:80]!r} is there twice")
