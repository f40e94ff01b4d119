"""The shape of the source: who may import whom, who may read a clock, and what every file owes its reader."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KERNEL = ROOT / "npubench"

#: The stations in the order data flows; a station imports those to its left, never to its right.
STATIONS = ("contract", "plan", "measure", "analyze", "record", "report", "verbs", "cli")

#: What stands beside the stations: importable by all of them.
BESIDE = {"", "errors", "plugins"}

#: The stand-in for hardware is a plug-in: it sees the contract. The conformance kit loads plug-ins as a worker does.
TESTING = {"contract", "testing"}
CONFORMANCE = "npubench/testing/conformance/"

#: Clocks that measure. ``datetime.now`` for the time stamp of a record or a page is another matter.
CLOCK = re.compile(r"(monotonic|perf_counter|process_time|thread_time|clock_gettime|time)(_ns)?")
READS_CLOCK = {"measure", "testing"}
#: A progress line shows how long it has been going on.
SHOWS_CLOCK = {"npubench/verbs/console.py"}
STAMPS = {"record", "report", "verbs"}

LONGEST = 450

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


def sources(*folders: str) -> list[Path]:
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if "tests" not in path.relative_to(ROOT).parts
    )


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


OWN = sources("npubench", "models", "reports", "backends")
OWN_KERNEL = sources("npubench")
CACHE: dict[Path, ast.Module] = {}


def tree(path: Path) -> ast.Module:
    if path not in CACHE:
        CACHE[path] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return CACHE[path]


def station(path: Path) -> str:
    """Return a kernel file's station: the folder's name, or the module's where it lies at the root."""
    parts = path.relative_to(KERNEL).with_suffix("").parts
    return parts[0] if len(parts) > 1 else parts[0].strip("_").replace("main", "cli").replace("init", "")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every module a file names in an import, wherever in it, with the line."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            for name in node.names:
                yield f"{node.module}.{name.name}", node.lineno


def kernel_imports(path: Path) -> Iterator[tuple[str, int]]:
    for name, line in imports(path):
        parts = name.split(".")
        if parts[0] == "npubench":
            known = (KERNEL / parts[1]).is_dir() or (KERNEL / f"{parts[1]}.py").exists() if len(parts) > 1 else False
            yield (parts[1] if known else ""), line


def importable(path: Path) -> set[str]:
    """Return what a file may import."""
    here = station(path)
    if here in BESIDE:
        return BESIDE
    if here == "testing":
        return TESTING | BESIDE | ({"measure"} if name_of(path).startswith(CONFORMANCE) else set())
    upstream = set(STATIONS[: STATIONS.index(here) + 1]) | BESIDE
    return upstream | {"testing"} if here in ("verbs", "cli") else upstream


def test_imports_point_upstream() -> None:
    wrong = [
        f"{name_of(path)}:{line}: {station(path)} imports {there}"
        for path in OWN_KERNEL
        for there, line in kernel_imports(path)
        if there not in importable(path)
    ]
    assert wrong == []


def test_the_import_rule_sees_imports() -> None:
    seen = {there for path in OWN_KERNEL for there, _ in kernel_imports(path)}
    assert {"contract", "plan", "measure", "analyze", "record", "report", "verbs"} <= seen


def test_every_folder_of_the_kernel_is_a_station() -> None:
    folders = {path.name for path in KERNEL.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*STATIONS, "testing"}


def test_the_contract_imports_the_standard_library_and_numpy_alone() -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "npubench"}
    wrong = [
        f"{path.name}: {name}"
        for path in sources("npubench/contract")
        for name, _ in imports(path)
        if name.split(".")[0] not in allowed
    ]
    assert wrong == []


BACKENDS = sources("backends")


def test_a_backend_sees_the_contract_and_nothing_else_of_the_kernel() -> None:
    wrong = [
        f"{name_of(path)}:{line}: {there}" for path in BACKENDS for there, line in kernel_imports(path) if there != "contract"
    ]
    assert BACKENDS
    assert wrong == []


def test_a_backend_reads_no_clock() -> None:
    clocks = {"time", "datetime", "timeit"}
    assert [
        f"{name_of(path)}:{line}: {name}" for path in BACKENDS for name, line in imports(path) if name.split(".")[0] in clocks
    ] == []


def clock_reads(path: Path) -> Iterator[tuple[int, str]]:
    """Yield every measuring clock a file names."""
    for node in ast.walk(tree(path)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "time"
            and CLOCK.fullmatch(node.attr)
        ):
            yield node.lineno, f"time.{node.attr}"
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from ((node.lineno, f"time.{name.name}") for name in node.names if CLOCK.fullmatch(name.name))
        if isinstance(node, ast.Import) and any(name.name == "timeit" for name in node.names):
            yield node.lineno, "timeit"


def test_only_measure_reads_a_clock() -> None:
    """And what stands in for hardware, and the line that shows progress."""
    wrong = [
        f"{name_of(path)}:{line}: {clock}"
        for path in OWN
        if name_of(path) not in SHOWS_CLOCK and not (path.is_relative_to(KERNEL) and station(path) in READS_CLOCK)
        for line, clock in clock_reads(path)
    ]
    assert wrong == []


def test_a_time_of_day_is_only_a_stamp() -> None:
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in OWN
        if not (path.is_relative_to(KERNEL) and station(path) in STAMPS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today") and "date" in ast.unparse(node.value)
    ]
    assert wrong == []


def test_the_clock_rule_finds_clocks() -> None:
    assert list(clock_reads(KERNEL / "measure" / "dispatch.py"))


def test_no_file_is_too_long() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in OWN}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_file_is_called_after_nothing() -> None:
    assert [name_of(path) for path in OWN if {*path.relative_to(ROOT).with_suffix("").parts} & FORBIDDEN_NAMES] == []


def public(node: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield public functions and classes, and the public methods of public classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not child.name.startswith("_"):
            yield f"{inside}{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{child.name}.")


def inherits(name: str, bases: dict[str, list[str]]) -> bool:
    """Return whether a method's class has a base it may take its meaning from."""
    return "." in name and bool(bases.get(name.split(".")[0]))


def silent(path: Path) -> Iterator[str]:
    """Yield what is public in a file and says nothing of itself."""
    module = tree(path)
    bases = {node.name: [ast.unparse(base) for base in node.bases] for node in ast.walk(module) if isinstance(node, ast.ClassDef)}
    if not ast.get_docstring(module):
        yield "the module"
    for name, node in public(module):
        if not ast.get_docstring(node) and not inherits(name, bases):  # type: ignore[arg-type]
            yield name


def test_whatever_is_public_says_what_it_is() -> None:
    assert [f"{name_of(path)}: {name}" for path in OWN for name in silent(path)] == []


@pytest.mark.parametrize("name", [*(s for s in STATIONS if s != "cli"), "testing"])
def test_every_station_says_what_it_is_in_a_sentence(name: str) -> None:
    said = ast.get_docstring(tree(KERNEL / name / "__init__.py"))
    assert said
    first = said.split("\n\n")[0]
    assert first.endswith(".")
    assert len(first) < 200


def test_nothing_prints() -> None:
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in OWN
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "breakpoint")
    ]
    assert wrong == []


def test_importing_a_module_runs_nothing() -> None:
    """Only definitions, constants and imports stand at the top of a module; the command line registers its verbs there."""
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in OWN_KERNEL
        if station(path) != "cli"
        for node in tree(path).body
        if (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant))
        or isinstance(node, ast.For | ast.While | ast.With)
    ]
    assert wrong == []


def test_tests_lie_where_what_they_test_lies() -> None:
    """A folder of tests for every station, and no package in any of them: pytest imports by path."""
    tests = ROOT / "tests"
    for name in ("contract", "plan", "measure", "analyze", "record", "report", "testing"):
        assert list((tests / name).glob("test_*.py")), name
    assert list(tests.rglob("__init__.py")) == []
