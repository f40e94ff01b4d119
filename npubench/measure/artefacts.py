"""Compile a model once: artefacts are cached by everything that decides them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from npubench.contract.artefact import Artefact, Model
from npubench.contract.availability import Device
from npubench.contract.backend import Backend
from npubench.contract.bundle import content_digest, path_digest

#: What the cache keeps beside an artefact; no part of it.
MANIFEST = "artefact.json"


class Compiled(NamedTuple):
    """An artefact, with whether an earlier run had compiled it."""

    artefact: Artefact
    cached: bool


def compile_cached(backend: Backend, name: str, model: Model, device: Device, options: Any, cache: Path) -> Compiled:
    """Return the artefact for a model, from the cache or by ``backend.compile``.

    The key covers model digest, precision, calibration digest, shapes, device kind, the backend's own
    ``compile_key`` and the backend's name. A failed attempt leaves nothing that a later one could pick up.

    Raises:
        Exception: Whatever the backend's compiler raises.
    """
    if type(backend).compile is Backend.compile:
        return Compiled(Artefact(path=model.path, format="onnx"), False)
    key = content_digest(
        {
            "backend": name,
            "model": model.digest,
            "precision": model.precision,
            "calibration": model.calibration_digest,
            "inputs": [spec.to_dict() for spec in model.inputs],
            "device": device.kind,
            "compile_key": backend.compile_key(device, options),
        }
    ).removeprefix("sha256:")
    folder = cache / "artefacts" / name / key[:32]
    found = _read(folder)
    if found is not None:
        return Compiled(found, True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{key[:12]}-", dir=folder.parent))
    try:
        artefact = backend.compile(model, device, options, work)
        if not _inside(artefact.path, work):
            return Compiled(artefact, False)
        manifest = {
            "path": str(artefact.path.relative_to(work)),
            "format": artefact.format,
            "compiler": artefact.compiler,
            "notes": dict(artefact.notes),
            "digest": path_digest(artefact.path, without=MANIFEST),
        }
        (work / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        # Another worker may have finished first; its artefact is as good, and a folder in use is never replaced.
        with contextlib.suppress(OSError):
            os.rename(work, folder)  # noqa: PTH104 - rename of a folder onto an existing one must fail
        found = _read(folder)
        if found is None:
            # What stood there had lost its manifest.
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.rename(work, folder)  # noqa: PTH104
            found = _read(folder)
        if found is None:
            raise OSError(f"{folder}: the artefact cache cannot be written")
        return Compiled(found, False)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def ready_artefact(path: Path) -> Compiled:
    """Return a vendor's ready artefact; its format is the file's suffix."""
    return Compiled(Artefact(path=path, format=path.suffix.lstrip(".") or "folder", ready=True), False)


def path_size(path: Path) -> int:
    """Return the size of a file, or of all files in a folder, bytes."""
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def _read(folder: Path) -> Artefact | None:
    """Return a cached artefact whose content still has its digest; a damaged one is removed."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        path = folder / manifest["path"]
        if path_digest(path, without=MANIFEST) == manifest["digest"]:
            return replace(
                Artefact(path=path, format=manifest["format"], compiler=manifest["compiler"]), notes=dict(manifest["notes"])
            )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
