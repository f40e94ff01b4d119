"""Read the kernel's small files: one value each, as text. An error is the reader's to say, never a value."""

from __future__ import annotations

import re
from pathlib import Path


def read_integer(path: Path) -> int:
    """Return the whole number that a file of the kernel's holds.

    Raises:
        OSError: It is not there any more, cannot be read, or its device has no value now.
        ValueError: It holds no whole number.
    """
    # Opened anew each time: a file held open would go on speaking of a device that is gone.
    text = path.read_text(encoding="ascii", errors="replace").strip()
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"it shows '{text[:40]}', which is no number") from error


def read_word(path: Path) -> str:
    """Return the text of a file of the kernel's; "" where it is not there or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def natural(path: Path) -> str:
    """Return a key that sorts ``intel-rapl:2`` before ``intel-rapl:10``."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(9), path.name)
