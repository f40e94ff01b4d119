"""Find bundles, and have those made that are not there. What is in one is made in ``drafts`` and read in ``contract.bundle``.

A bundle lies at ``<cache>/bundles/<workload>-<version>-<key>/``. The key covers the manifest and the code that the
workload is built by, so that an edited workload gets another folder and an untouched one is found again.
"""

from __future__ import annotations

import ast
import fcntl
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from npubench.contract.bundle import Bundle, BundleError, content_digest, read_bundle
from npubench.errors import InputError, ModelError, WorkloadError
from npubench.plan.wheels import Progress, resolve
from npubench.plan.workload import Workload, find_workload, module_file

#: The version of what ``drafts`` and its helpers make of a draft; a change in any of them that moves a byte raises it.
BUILDER_VERSION = 2


def prepare(name: str, cache: Path, *, force: bool = False, progress: Progress | None = None) -> Bundle:
    """Return the bundle of a workload, making it if it is not there, is damaged, or ``force`` is set.

    Args:
        name: The workload's name.
        cache: The cache folder, as :func:`npubench.plan.wheels.npubench_cache` gives it.
        force: Make it again even if a valid one is there.
        progress: Called with one sentence when a step begins.

    Raises:
        WorkloadError: No such workload, a source that cannot be had, or a draft that is no valid workload.
    """
    tell = progress or (lambda text: None)
    workload = find_workload(name)
    manifest = workload.manifest
    root = cache / "bundles" / f"{name}-{manifest.version}-{_key(workload)}"

    def make(folder: Path) -> None:
        # Only building needs ONNX and its runtime, which take longer to import than a ready bundle takes to find.
        from npubench.plan.drafts import write_bundle

        module = workload.load()
        resolved = resolve(manifest.source, cache, tell)
        tell(f"building {name}")
        try:
            write_bundle(folder, manifest, module.build(resolved.sources), module.score, resolved.licences, tell)
        except ModelError as error:
            raise WorkloadError(f"workload '{name}': {error}") from error

    return find_or_make(root, make, force=force, progress=tell)


def find_or_make(root: Path, make: Callable[[Path], None], *, force: bool = False, progress: Progress) -> Bundle:
    """Return the bundle at ``root``; if there is no valid one, let ``make`` fill a folder and put that in its place.

    Two processes that want the same bundle wait for one another, and no one ever sees half of one.

    Raises:
        InputError: From ``make``, or the cache cannot be written.
    """
    if not force and (found := _usable(root, progress)):
        return found
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with _locked(root.parent / f".{root.name}.lock"):
            if not force and (found := _usable(root, lambda text: None)):
                return found
            for leftover in root.parent.glob(f".{root.name}.*.tmp"):
                shutil.rmtree(leftover, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}.", suffix=".tmp"))
            try:
                made = folder / "new"
                made.mkdir()
                make(made)
                if root.exists():
                    root.rename(folder / "old")
                made.rename(root)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        why = error.strerror or error
        raise WorkloadError(f"{root}: cannot be written: {why}; choose another folder by NPUBENCH_CACHE") from error
    return read_bundle(root, check_files=True)


def _usable(root: Path, progress: Progress) -> Bundle | None:
    """Return the bundle at ``root`` if it is whole: the manifest, and every file by its digest."""
    if not root.exists():
        return None
    try:
        # All of it, once a command: samples and references that have changed on disk would be measured without a word.
        return read_bundle(root, check_files=True)
    except (BundleError, OSError) as error:
        progress(f"making the bundle again, because it is damaged: {error}")
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the kernel drops it however the process ends."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _key(workload: Workload) -> str:
    """Return 12 hex digits over all that decides a bundle's content: manifest, the workload's own code, the builder."""
    try:
        code = _own_code(workload.module, workload.name)
        content = {"builder": BUILDER_VERSION, "manifest": workload.path.read_text(encoding="utf-8"), "code": code}
    except (OSError, SyntaxError) as error:
        raise InputError(f"workload '{workload.name}': its code cannot be read: {error}") from error
    return content_digest(content).removeprefix("sha256:")[:12]


def _own_code(module: str, name: str) -> dict[str, str]:
    """Return module → source, for a module and what it imports out of its own top-level package; executes none of it."""
    package = module.partition(".")[0]
    sources: dict[str, str] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current in sources:
            continue
        sources[current] = module_file(current, name).read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(sources[current])):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            waiting += [other for other in found if other.partition(".")[0] == package and _is_module(other)]
    return sources


def _is_module(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the parent is a module, so this is one of its names
        return False
    return spec is not None and spec.origin is not None
