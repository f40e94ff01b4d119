"""``npubench new-backend NAME``: a plug-in to begin with, which installs and passes its checks as it is.

It is ``backends/template`` under another name: the word stands there for the name and for nothing else.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from npubench.errors import InputError
from npubench.plugins import BACKENDS, plugin_entries
from npubench.verbs.console import out

#: A backend's name as targets say it.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

#: What tools leave in a folder that is worked in.
_LEFT_BY_TOOLS = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv", "build", "dist"}


def new_backend(name: str, into: Path) -> int:
    """Write the distribution ``npubench-NAME`` into a folder, whole or not at all.

    Args:
        name: The backend's name: lower-case letters, digits and single hyphens.
        into: The folder that the distribution's own folder is made in.

    Raises:
        InputError: A name that is none or is taken, a folder that is there already, or one that cannot be written.
    """
    _refuse(name)
    folder = into / f"npubench-{name}"
    if not into.is_dir():
        raise InputError(f"--into: there is no folder {into}; make it first")
    if folder.exists() or folder.is_symlink():
        raise InputError(f"{folder} is already there and is left as it is; move it away, or choose another name or --into")
    try:
        files = _write(name, folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error
    out.print(f"{folder}", style="bold", soft_wrap=True)
    for path in files:
        out.print(f"  {path}", soft_wrap=True)
    steps = [
        f"cd {shlex.quote(str(folder))}",
        "pip install -e '.\\[test]'",
        "npubench devices",
        f"npubench check {name}",
        "pytest",
    ]
    out.print("\nIt runs as it is, on ONNX Runtime's CPU, and is SIMULATED until your runtime is in its place.\n", soft_wrap=True)
    out.print("\n".join(f"  {step}" for step in steps), soft_wrap=True)
    out.print(
        f"\nThen look for SDK in {_package(name)}/__init__.py; backends/README.md in npubench's sources is the tutorial.",
        soft_wrap=True,
    )
    return 0


def template_folder() -> Path:
    """Return the template's folder: in a wheel it lies beside this file, in a checkout under ``backends``."""
    shipped = Path(__file__).parent / "template"
    return shipped if shipped.is_dir() else Path(__file__).parents[2] / "backends" / "template"


def template_files() -> list[str]:
    """Return the template's files as relative paths, without what tools leave behind."""
    root = template_folder()
    inside = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return [path.as_posix() for path in inside if not _LEFT_BY_TOOLS & {*path.parts} and ".egg-info" not in str(path)]


def rename(text: str, name: str) -> str:
    """Put a backend's name where the template says its own: in modules, in classes, and everywhere else."""
    word = name.replace("-", "_")
    stands = {"_template": f"_{word}", "Template": "".join(map(str.capitalize, word.split("_"))), "template": name}
    return re.sub("_template|Template|template", lambda found: stands[found[0]], text)


def _refuse(name: str) -> None:
    own = name == "template" or name.startswith("npubench")
    if own or not _NAME.fullmatch(name):
        close = re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("npubench")).strip("-")
        example = close if _NAME.fullmatch(close) and close != "template" else "acme-npu"
        why = "is npubench's own name" if own else "is no name of a backend: lower-case letters, digits and hyphens"
        raise InputError(f"'{name}' {why}; call the backend after the chip or its maker, such as '{example}'")
    if name in plugin_entries(BACKENDS):
        raise InputError(f"there is already a backend '{name}' here; choose another name, or uninstall that one")
    if find_spec(_package(name)) is not None:
        raise InputError(f"there is already a package {_package(name)} here; choose another name")


def _package(name: str) -> str:
    return rename("npubench_template", name)


def _write(name: str, folder: Path) -> list[str]:
    """Write every file beside the place, and move the whole there; returns relative paths."""
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        made = beside / "new"
        written = []
        for relative in template_files():
            path = made / rename(relative, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rename((template_folder() / relative).read_text(encoding="utf-8"), name), encoding="utf-8")
            written.append(rename(relative, name))
        made.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return written
