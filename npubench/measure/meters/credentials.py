"""Secrets of remote meters: named in the host file, kept in the environment or a file, and never shown.

A secret is wrapped as soon as it is read, so that no repr, log line or traceback of the harness shows it.
"""

from __future__ import annotations

import os
from pathlib import Path

from npubench.measure.meters.sensor import MeterError


class Secret:
    """A text that shows itself only when asked."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(…)"

    def reveal(self) -> str:
        """Return the text, for the one call that needs it."""
        return self._text


def read_secret(key: str, env: str | None, file: str | None) -> Secret | None:
    """Return the secret that a variable or a file holds.

    Args:
        key: What the host file calls it; ``<key>_env`` and ``<key>_file`` are its settings.
        env: The variable's name; None = not in the environment.
        file: The file's path; its first line without the line's end is the secret. None = in no file.

    Returns:
        None where neither is named.

    Raises:
        MeterError: Both are named, the variable is not set, or the file cannot be read or is empty.
    """
    if env is not None and file is not None:
        raise MeterError(f"settings: {key}_env and {key}_file are both given; give one")
    if env is not None:
        text = os.environ.get(env, "")
        if not text:
            raise MeterError(f"settings.{key}_env: the environment variable {env} is not set")
        return Secret(text)
    if file is None:
        return None
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise MeterError(f"settings.{key}_file: {file} cannot be read: {why}") from None
    if not lines or not lines[0]:
        raise MeterError(f"settings.{key}_file: the first line of {file} is empty")
    return Secret(lines[0])


def needed(key: str, env: str | None, file: str | None) -> Secret:
    """Return a secret that must be there.

    Raises:
        MeterError: It is not, and how to give it.
    """
    secret = read_secret(key, env, file)
    if secret is None:
        raise MeterError(f"settings: {key} is missing; name the variable ({key}_env) or the file ({key}_file) that holds it")
    return secret
