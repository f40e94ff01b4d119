"""Sign seals and say whose signature is trusted: Ed25519 keys (RFC 8032) and the list of keys that a reader trusts.

A private key is a PEM file (PKCS #8) that its owner alone may read; a public key is its 32 bytes in base64, one line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tomllib
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from npubench.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: Where a passphrase comes from; never from an argument, which every user of the machine can read.
PASSPHRASE = "NPUBENCH_KEY_PASSPHRASE"
#: Names the trust list.
TRUST = "NPUBENCH_TRUST"

#: What is signed begins with this, so that no signature made for something else is ever one of a seal.
DOMAIN = b"npubench evidence bundle, manifest\n"

#: Bytes of an Ed25519 public key and of a signature (RFC 8032, 5.1).
PUBLIC_BYTES, SIGNATURE_BYTES = 32, 64


def user_folder() -> Path:
    """Return the user's configuration folder, where key and trust list lie unless others are named."""
    from platformdirs import user_config_path

    return user_config_path("npubench")


def key_path(given: Path | None) -> Path:
    """Return where the private key is: as given, else in the user's configuration folder."""
    return given or user_folder() / "key.pem"


def make_key(path: Path, passphrase: str = "") -> str:
    """Make a key, write its private part to ``path`` with mode 0600, and return its public part in base64.

    Raises:
        InputError: There is a file already, or it cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    locked = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InputError(f"{path}: there is a file already, and a key is never overwritten; choose another --out") from error
    except OSError as error:
        raise InputError(f"{path}: the key cannot be written: {_why(error)}; choose another --out") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return public_text(key)


def load_key(path: Path, passphrase: str = "") -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        InputError: Not there, no Ed25519 key, locked by another passphrase, or open to other users.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        mode = path.stat().st_mode
        text = path.read_bytes() if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise InputError(f"{path}: the key cannot be read: {_why(error)}; 'npubench key' makes one") from error
    if mode & 0o077:
        raise InputError(f"{path}: other users may read this key; run: chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(text, passphrase.encode() if passphrase else None)
    except TypeError as error:  # cryptography's way of saying that there is a passphrase too many or too few
        need = f"is not locked, take {PASSPHRASE} away" if passphrase else f"is locked; set {PASSPHRASE} to its passphrase"
        raise InputError(f"{path}: the key {need}") from error
    except ValueError as error:
        wrong = f" by the passphrase in {PASSPHRASE}" if passphrase else ""
        raise InputError(f"{path}: no private key can be read{wrong}; 'npubench key' makes one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: not an Ed25519 key; 'npubench key' makes one")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """Return a key's public part in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def fingerprint(public: str) -> str:
    """Return what two people compare over the telephone: 80 bits of the SHA-256 of a public key, in groups of four digits."""
    digits = hashlib.sha256(public_bytes(public)).hexdigest()[:20]
    return "-".join(digits[n : n + 4] for n in range(0, 20, 4))


def public_bytes(public: str) -> bytes:
    """Return the 32 bytes of a public key.

    Raises:
        ValueError: Not the base64 of 32 bytes, written in the one way there is.
    """
    try:
        raw = base64.b64decode(public, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"'{public[:60]}' is no public key: {error}") from error
    if len(raw) != PUBLIC_BYTES or base64.b64encode(raw).decode() != public:
        raise ValueError(f"'{public[:60]}' is no public key: it must be the base64 of {PUBLIC_BYTES} bytes")
    return raw


def sign(key: Ed25519PrivateKey, manifest: bytes) -> bytes:
    """Return the signature of a manifest's bytes."""
    return key.sign(DOMAIN + manifest)


def signature_holds(public: str, signature: bytes, manifest: bytes) -> bool:
    """Return whether ``signature`` is that of ``manifest`` by the holder of ``public``; a damaged one is not."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_bytes(public)).verify(signature, DOMAIN + manifest)
    except (InvalidSignature, ValueError):
        return False
    return True


def _public(value: object) -> object:
    if isinstance(value, str):
        public_bytes(value)
    return value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Key(_Part):
    public: Annotated[str, BeforeValidator(_public)]


class _TrustFile(_Part):
    schema_version: Literal[1] = 1
    key: dict[str, _Key] = {}


def trust_path(given: Path | None) -> Path | None:
    """Return the trust list: ``--trust``, else ``NPUBENCH_TRUST``, else the user's own if it is there."""
    if given is not None:
        return given
    if named := os.environ.get("NPUBENCH_TRUST"):
        return Path(named)
    own = user_folder() / "trusted.toml"
    return own if own.exists() else None


def read_trust(path: Path | None) -> Mapping[str, str]:
    """Read a trust list, ``[key.NAME] public = "…"``; returns public key → name, empty where there is no list.

    Raises:
        InputError: It cannot be read, or an entry is wrong; names file and key.
    """
    if path is None:
        return {}
    try:
        read = _TrustFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        why = _why(error) if isinstance(error, OSError) else str(error)
        raise InputError(f"{path}: the trust list cannot be read: {why}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f'{path}: {key}: {first["msg"]}; a trust list holds [key.NAME] with public = "…"') from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path}: the trust list is not valid TOML: {error}") from error
    return {entry.public: name for name, entry in read.key.items()}


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
