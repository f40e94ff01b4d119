"""``npubench key``: make the key that seals are signed with, or show its public part."""

from __future__ import annotations

import json
import os
from pathlib import Path

from npubench.record.keys import PASSPHRASE, fingerprint, key_path, load_key, make_key, public_text
from npubench.verbs.console import data, err


def make_or_show(out: Path | None, show: bool, as_json: bool) -> int:
    """Print a key's public part, in base64, on standard output; returns 0.

    Args:
        out: The private key's file; ``None`` = in the user's configuration folder.
        show: Read the key that is there instead of making one.
        as_json: Print public part, fingerprint and file as JSON.

    Raises:
        InputError: There is a file already, or none to show.
    """
    path, passphrase = key_path(out), os.environ.get(PASSPHRASE, "")
    public = public_text(load_key(path, passphrase)) if show else make_key(path, passphrase)
    if as_json:
        data(json.dumps({"public": public, "fingerprint": fingerprint(public), "file": str(path.absolute())}, indent=1))
        return 0
    locked = f"locked by {PASSPHRASE}" if passphrase else f"not locked; set {PASSPHRASE} before making one to lock it"
    err.print(f"private key: {path} ({locked})", soft_wrap=True, markup=False)
    err.print(f"fingerprint: {fingerprint(public)}", soft_wrap=True, markup=False)
    err.print(f'who trusts it puts this into trusted.toml:\n[key.NAME]\npublic = "{public}"', soft_wrap=True, markup=False)
    data(public)
    return 0
