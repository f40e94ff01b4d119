"""Find clocks in a plug-in: in its source, and among the calls it makes while it answers."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

#: Modules that a plug-in has no use for.
_MODULES = {"time", "datetime", "timeit"}

#: C functions that tell the time: Python's ``time``, ``datetime`` and ``os`` (Library Reference).
_CALLS = {
    "time": {
        f"{name}{suffix}"
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
        for suffix in ("", "_ns")
    },
    "posix": {"times"},
}
_DATES = {"now", "utcnow", "today"}


def own_files(entry: str) -> list[Path]:
    """Return the source files of a plug-in: its module, and the package it lies in."""
    module = entry.partition(":")[0]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return []
    path = Path(spec.origin)
    if spec.submodule_search_locations is None and "." not in module:
        return [path]
    return sorted(path.parent.rglob("*.py"))


def clock_imports(path: Path) -> list[str]:
    """Return where a file imports a clock, as ``name:line: module``."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if not node.level else []
        elif isinstance(node, ast.Call) and _is_import(node.func):
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        else:
            continue
        found += [f"{path.name}:{node.lineno}: {name}" for name in names if name.partition(".")[0] in _MODULES]
    return found


def _is_import(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("import_module", "__import__")


@contextlib.contextmanager
def watched(folders: Sequence[Path], seen: set[str]) -> Iterator[None]:
    """Write down every clock that code in ``folders`` reads while inside, in this thread and in those started meanwhile."""
    prefixes = tuple(str(folder) for folder in folders)

    def on_event(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and frame.f_code.co_filename.startswith(prefixes):
            module, name = getattr(argument, "__module__", None), getattr(argument, "__name__", "")
            if name in _CALLS.get(str(module), ()) or (name in _DATES and isinstance(getattr(argument, "__self__", None), type)):
                seen.add(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}: {name}")

    before = sys.getprofile()
    threading.setprofile(on_event)
    sys.setprofile(on_event)
    try:
        yield
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
