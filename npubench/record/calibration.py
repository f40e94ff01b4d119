"""Keep a system's calibrations in the store, beside its runs. Measures nothing."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from npubench.contract.bundle import content_digest

_FOLDER = "calibration"


def write_calibration(store: Path, system_id: str, content: dict[str, Any]) -> Path:
    """Write a calibration as ``<system>/calibration/<time>.json``; older ones stay."""
    folder = store / system_id / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{stamp}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(
        json.dumps({"digest": content_digest(content), **content}, indent=1, ensure_ascii=False), encoding="utf-8"
    )
    temporary.rename(path)
    return path


def calibration_digest(store: Path, system_id: str) -> str | None:
    """Return the digest of the latest readable calibration of a system, or ``None``."""
    for path in sorted((store / system_id / _FOLDER).glob("*.json"), reverse=True):
        try:
            digest = json.loads(path.read_text(encoding="utf-8"))["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if isinstance(digest, str):
            return digest
    return None
