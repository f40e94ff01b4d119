"""Write a report's content with the installed renderers: one file a format, whole or not at all."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from npubench.contract.options import nearest
from npubench.errors import InputError
from npubench.plugins import REPORTS, disputed_entries, plugin_entries
from npubench.report.document import Document
from npubench.verbs.console import data

#: What renderers of documents are called among the entry points of ``npubench.reports``; behind it stands the format.
PREFIX = "document-"
#: What is written where nobody says what.
DEFAULT = "html"
#: Other endings that a file of a format may have.
_ENDINGS = {"htm": "html", "markdown": "md"}
#: A file's name as a renderer may give it: no path, nothing hidden.
_SAFE = re.compile(r"[\w][\w.\- ]{0,120}")


def known_formats() -> tuple[str, ...]:
    """Return the formats there are renderers for, by entry point; imports none of them."""
    return tuple(name.removeprefix(PREFIX) for name in plugin_entries(REPORTS) if name.startswith(PREFIX))


def asked_formats(text: str, out: Path | None) -> tuple[str, ...]:
    """Return the formats that are asked for: those of ``--format``, else that of the file's name, else HTML.

    Args:
        text: ``--format``: names with commas between them, or "".
        out: ``--out``: a file or a folder.

    Raises:
        InputError: No such format, or a file for several of them.
    """
    known = known_formats()
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    if not names:
        ending = _ending(out)
        names = (ending if ending in known else DEFAULT,)
    for name in names:
        if name not in known and PREFIX + name not in disputed_entries(REPORTS):
            what = nearest(name, known) if known else "; none is installed, run: pip install 'npubench[standard]'"
            raise InputError(f"--format '{name}': no such format{what}")
    if len(names) > 1 and _ending(out) in known:
        raise InputError(f"--out {out}: this is one file, and {len(names)} formats are asked for; name a folder")
    return names


def write_document(
    document: Document,
    formats: Sequence[str],
    language: str,
    out: Path | None,
    store: Path,
    name: str = "",
    say: Callable[[str], object] = data,
) -> tuple[Path, ...]:
    """Write a document in each of ``formats`` and print the paths; returns them.

    Args:
        document: What is written.
        formats: As :func:`asked_formats` returns them.
        language: ``ko`` or ``en``.
        out: A file for one format, or a folder; the store where it is ``None``.
        store: The store's folder.
        name: What files in a folder are called, without their ending; the report's kind where it is empty.
        say: What prints the paths; standard output where it is not given.

    Raises:
        InputError: A renderer is missing, the language is unknown, or a file cannot be written.
    """
    made: list[Path] = []
    for wanted in formats:
        rendered = _renderer(wanted)(document, language=language)
        path = out if out is not None and _ending(out) == wanted else (out or store) / f"{name or document.kind}.{wanted}"
        if isinstance(rendered, Mapping):
            folder = path.with_suffix("")
            made += [_write(folder / _safe(wanted, file), content) for file, content in rendered.items()]
        else:
            made.append(_write(path, rendered))
    for path in made:
        say(str(path.resolve()))
    return tuple(made)


def _ending(path: Path | None) -> str:
    suffix = "" if path is None else path.suffix.lower().removeprefix(".")
    return _ENDINGS.get(suffix, suffix)


def _renderer(wanted: str) -> Callable[..., Any]:
    """Return the function that renders ``wanted``."""
    if PREFIX + wanted in disputed_entries(REPORTS):
        raise InputError(f"renderer {disputed_entries(REPORTS)[PREFIX + wanted]}")
    module, _, name = plugin_entries(REPORTS)[PREFIX + wanted].partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return found
    except (ImportError, AttributeError) as error:
        raise InputError(f"the renderer for {wanted} cannot be used: {error}; run: pip install 'npubench[standard]'") from error


def _safe(wanted: str, name: str) -> str:
    if not _SAFE.fullmatch(name):
        raise InputError(f"the renderer for {wanted} names a file '{name!r}', which is no plain file name")
    return name


def _write(path: Path, content: bytes | str) -> Path:
    """Write a file whole: readers see the old one or the new one."""
    raw = content.encode("utf-8") if isinstance(content, str) else bytes(content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(raw)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path
