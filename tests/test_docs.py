"""What the documents say is what the code does: commands parse, snippets work, tables equal what they are written from."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tomllib
import typer.main
from typer.testing import CliRunner

import npubench.errors
from npubench.cli import app
from npubench.contract import Artefact, NoOptions, Rung, RunSpec
from npubench.measure.plugin import load_backend, probe
from npubench.measure.runner import run_worker
from npubench.measure.survey import Survey, survey
from npubench.plan.decide import resolve_targets, wishes
from npubench.plan.grades import GRADES
from npubench.plan.suite import HostFile, SuiteFile, parse_file, shipped_suites
from npubench.plan.workload import Manifest, find_workload, read_manifest, workload_names
from npubench.verbs.schema import FORMATS

#: Where findings are made.
RULE_FILES = (
    "validity.py",
    "power_rules.py",
    "client.py",
    "declaration.py",
    "stability_rules.py",
    "repeats.py",
    "audits/judge.py",
)
ROOT = Path(__file__).parents[1]
README, KOREAN, ARCHITECTURE, CONTRIBUTING = "README.md", "README.ko.md", "ARCHITECTURE.md", "CONTRIBUTING.md"
BACKEND = "backends/onnxruntime/README.md"
DOCUMENTS = [README, KOREAN, ARCHITECTURE, CONTRIBUTING, "CHANGELOG.md", BACKEND]
READMES = [README, KOREAN]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
#: The probe stands for no task and no chip, so it is in no table for buyers.
WORKLOADS = [name for name in workload_names() if not find_workload(name).manifest.simulated_only]


class Snippet(NamedTuple):
    document: str
    language: str
    text: str

    @property
    def name(self) -> str:
        """What its first comment line says it is, such as ``suite.toml``."""
        first = self.text.partition("\n")[0]
        return first.removeprefix("# ") if first.startswith("# ") else ""


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def snippets(*languages: str, name: str = "") -> list[Snippet]:
    found = [
        Snippet(document, language, textwrap.dedent(text))
        for document in DOCUMENTS
        for language, text in re.findall(r"^ *```(\w+)\n(.*?)^ *```$", read(document), re.MULTILINE | re.DOTALL)
    ]
    return [s for s in found if s.language in languages and (not name or s.name == name)]


def prose(document: str) -> str:
    """Return a document without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", read(document), flags=re.MULTILINE | re.DOTALL)


def spans(document: str) -> list[str]:
    """Return what stands between backticks in running text."""
    return re.findall(r"`([^`\n]+)`", prose(document))


def commands(program: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (document, arguments) of every command line of ``program``, in shell blocks and in running text."""
    lines = [(s.document, line) for s in snippets("sh", "cron") for line in s.text.splitlines()]
    lines += [(document, span) for document in DOCUMENTS for span in spans(document) if re.match(rf"{program} [\w-]", span)]
    for document, line in lines:
        for part in re.split(r"&&|;|\|\||[0-9]?>", line):
            words = shlex.split(part.replace(r"\%", "%"), comments=True)
            at = next((n for n, word in enumerate(words) if "=" not in word and word.rpartition("/")[2] == program), None)
            if at is not None:
                yield document, words[at + 1 :]


def identify(value: Any) -> str | None:
    if isinstance(value, Snippet):
        return f"{value.document}:{value.name}"
    if isinstance(value, tuple) and len(value) == 2:
        return f"{value[0]}:{' '.join(value[1])}"
    return None


def table(document: str, head: str) -> list[list[str]]:
    """Return the rows of the table whose head row begins with the cell ``head``, as cells without backticks."""
    matched = re.search(rf"^\| {re.escape(head)} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", read(document), re.MULTILINE)
    assert matched, f"{document} has no table that begins with '{head}'"
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in matched[1].splitlines()]


# -- commands ---------------------------------------------------------------------------------------------------------


def parse(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Parse a command line as npubench would, without running it; returns the verb and its parameters."""
    command: Any = typer.main.get_command(app)
    verb: list[str] = []
    while hasattr(command, "commands"):
        if command.invoke_without_command and verb and (len(arguments) == len(verb) or arguments[len(verb)].startswith("-")):
            break  # a group that is a verb as well
        word = arguments[len(verb)]
        if word not in command.commands:
            raise LookupError(f"No such command '{word}'")
        command = command.commands[word]
        verb.append(word)
    return " ".join(verb), command.make_context(verb[-1], arguments[len(verb) :]).params


@pytest.mark.parametrize("line", list(commands("npubench")), ids=identify)
def test_every_command_line_is_one_that_npubench_takes(line: tuple[str, list[str]]) -> None:
    arguments = line[1]
    if set(arguments) & {"--help", "--version"}:
        assert CliRunner().invoke(app, arguments).exit_code == 0
        return
    if " ".join(arguments) in verbs():
        return  # a verb that is only spoken of
    verb, given = parse(arguments)
    if verb == "run":
        assert bool(given["suite"]) != bool(given["model"])
    for key in ("suite", "name"):
        value = given.get(key) or ""
        known = {"run": shipped_suites(), "plan": shipped_suites(), "workloads show": WORKLOADS}.get(verb)
        if value and known is not None and not value.isupper() and not value.endswith(".toml"):
            assert value in known
    assert set(given.get("names") or ()) <= set(WORKLOADS)
    assert verb != "schema" or given["of"] in FORMATS


def test_there_are_command_lines_to_test() -> None:
    assert {document for document, _ in commands("npubench")} >= {README, KOREAN, ARCHITECTURE, CONTRIBUTING}
    assert {document for document, _ in commands("make")} >= {README, KOREAN, CONTRIBUTING}


def test_a_command_line_that_npubench_does_not_take_is_seen() -> None:
    for wrong in (["plann", "demo"], ["plan", "demo", "--hots", "x"], ["workloads", "prepair"]):
        with pytest.raises(Exception, match=r"[Nn]o such"):
            parse(wrong)


def verbs() -> list[str]:
    alone = [str(command.name or command.callback.__name__) for command in app.registered_commands if command.callback]
    return alone + [
        f"{group.name} {c.name}" for group in app.registered_groups for c in (group.typer_instance or app).registered_commands
    ]


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_in_the_readme_and_has_help_with_an_example(verb: str) -> None:
    assert f"npubench {verb}" in read(README)
    shown = CliRunner().invoke(app, [*verb.split(), "--help"])
    assert shown.exit_code == 0
    assert f"Example: npubench {verb}" in shown.output


def test_every_option_named_in_running_text_exists() -> None:
    known = {
        option
        for verb in verbs()
        for option in re.findall(r"--[\w-]+", CliRunner().invoke(app, [*verb.split(), "--help"]).output)
    }
    for document in READMES:
        assert {span for span in spans(document) if re.fullmatch(r"--[\w-]+", span)} <= known, document


def test_every_environment_variable_named_is_read_somewhere() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "npubench").rglob("*.py"))
    for document in DOCUMENTS:
        for name in set(re.findall(r"\bNPUBENCH_[A-Z_]+", read(document))):
            assert f'"{name}"' in code, f"{document}: {name}"


# -- make -------------------------------------------------------------------------------------------------------------


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize("line", list(commands("make")), ids=identify)
def test_every_make_target_and_variable_named_exists(line: tuple[str, list[str]]) -> None:
    wanted = [word for word in line[1] if "=" not in word]
    assert set(wanted) <= targets()
    variables = set(re.findall(r"^([A-Z]+) \??:?=", MAKEFILE, re.MULTILINE))
    assert {word.partition("=")[0] for word in line[1] if "=" in word} <= variables


def test_every_make_target_has_a_help_text_and_is_phony() -> None:
    for target in targets():
        assert re.search(rf"^{target}:.*  ## \S", MAKEFILE, re.MULTILINE), target
        assert re.search(rf"^\.PHONY:.*\b{target}\b", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize("document", READMES)
def test_both_readmes_begin_with_the_two_commands(document: str) -> None:
    assert "make demo\nmake test\n" in "".join(s.text for s in snippets("sh") if s.document == document)


# -- files people write -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snippet", snippets("toml", name="suite.toml"), ids=identify)
def test_every_suite_is_one_that_npubench_plans(snippet: Snippet, tmp_path: Path) -> None:
    path, host_path = tmp_path / "suite.toml", tmp_path / "testbed.toml"
    path.write_text(snippet.text, encoding="utf-8")
    suite = parse_file(path, SuiteFile)
    hosts = [s for s in snippets("toml", name="testbed.toml") if s.document == snippet.document]
    host_path.write_text(hosts[0].text if hosts else "schema_version = 1\n", encoding="utf-8")
    host = parse_file(host_path, HostFile)
    asked = wishes(suite, host, resolve_targets(suite, host), workload_names(), path)
    assert asked
    for wish in asked:
        assert wish.precision in find_workload(wish.workload).manifest.precisions


@pytest.mark.parametrize("snippet", snippets("toml", name="testbed.toml"), ids=identify)
def test_every_host_file_is_valid(snippet: Snippet, tmp_path: Path) -> None:
    path = tmp_path / "testbed.toml"
    path.write_text(snippet.text, encoding="utf-8")
    suites = [tomllib.loads(s.text) for s in snippets("toml", name="suite.toml") if s.document == snippet.document]
    assert set(parse_file(path, HostFile).target) <= {name for suite in suites for name in suite["target"]}


@pytest.mark.parametrize("snippet", snippets("toml", name="workload.toml"), ids=identify)
def test_every_manifest_is_valid(snippet: Snippet, tmp_path: Path) -> None:
    path = tmp_path / "workload.toml"
    path.write_text(snippet.text, encoding="utf-8")
    assert isinstance(read_manifest(path), Manifest)


def test_every_toml_snippet_says_what_it_is() -> None:
    known = {"suite.toml", "testbed.toml", "workload.toml", "pyproject.toml"}
    assert {snippet.name for snippet in snippets("toml")} <= known
    for document in READMES:
        assert {s.name for s in snippets("toml") if s.document == document} >= {"suite.toml", "testbed.toml"}, document


def test_the_readme_knows_every_suite_that_ships_and_how_many_runs_the_demo_has() -> None:
    for name in shipped_suites():
        assert f"`{name}`" in read(README), name
    demo = parse_file(shipped_suites()["demo"], SuiteFile)
    host = HostFile(schema_version=1)
    asked = wishes(demo, host, resolve_targets(demo, host), workload_names(), Path("demo.toml"))
    assert f"({len(asked)} runs:" in read(README)
    assert {wish.workload for wish in asked} == set(WORKLOADS)


# -- the plug-in of the README ----------------------------------------------------------------------------------------

#: What stands for a vendor's SDK: it multiplies by the weights of the tests' own bundle.
ACME_SDK = """
import numpy as np
__version__ = "1.0"
def chips():
    return 1
class Session:
    def __init__(self, path, device):
        self._weights = np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32)
    def run(self, x):
        return x @ self._weights
    def close(self):
        self._weights = None
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write the README's plug-in as a file, importable for this test."""
    (snippet,) = snippets("python", name="npubench_acme.py")
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "npubench_acme.py").write_text(snippet.text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("npubench_acme", "acme_sdk"):
        sys.modules.pop(name, None)


def entry() -> str:
    (project,) = (tomllib.loads(s.text) for s in snippets("toml", name="pyproject.toml") if s.document == README)
    return str(project["project"]["entry-points"]["npubench.backends"]["acme"])


def test_the_readmes_plug_in_says_that_its_sdk_is_missing(plugin: Path) -> None:
    availability = probe("acme", load_backend("acme", entry()))
    assert (availability.rung, availability.devices) == (Rung.NOT_INSTALLED, ())


def test_the_readmes_plug_in_loads_and_executes(plugin: Path) -> None:
    (plugin / "acme_sdk.py").write_text(ACME_SDK, encoding="utf-8")
    backend = load_backend("acme", entry())
    device = probe("acme", backend).devices[0]
    with backend.load(Artefact(Path("m.onnx"), "onnx"), device, NoOptions()) as executor:
        outputs = executor.execute({"x": np.ones((3, 4), np.float32)})
        assert [spec.name for spec in executor.outputs] == list(outputs)
        assert outputs["y"].tolist() == [[16.0, 20.0]] * 3


def test_a_worker_carries_out_a_run_of_the_readmes_plug_in(
    plugin: Path, tmp_path: Path, make_spec: Callable[..., RunSpec], make_bundle: Callable[..., Any]
) -> None:
    (plugin / "acme_sdk.py").write_text(ACME_SDK, encoding="utf-8")
    bundle = make_bundle(tmp_path / "bundle")
    target = {"name": "card", "backend": "acme", "device": "npu:0", "entry": entry(), "env": {"PYTHONPATH": str(plugin)}}
    spec = make_spec(
        target=target,
        load={"min_duration_ns": 20_000_000, "min_queries": 8},
        bundle=str(bundle.root),
        bundle_digest=bundle.digest,
        cache=str(tmp_path / "cache"),
        watchdog_s=60.0,
    )
    folder = tmp_path / "run"
    folder.mkdir()
    outcome = run_worker(spec, folder)
    assert (outcome.kind, outcome.reason) == ("finished", "")


def test_every_other_python_snippet_runs() -> None:
    for snippet in snippets("python"):
        if snippet.name != "npubench_acme.py":
            exec(compile(snippet.text, snippet.document, "exec"), {})


# -- tables -----------------------------------------------------------------------------------------------------------


def workload_rows() -> str:
    """Return the README's table of workloads, from the manifests."""
    rows = ["| workload | what it is | national task | model and data from | licence | must reach |", "|---|---|---|---|---|---|"]
    for name in WORKLOADS:
        m = find_workload(name).manifest
        sources = "; ".join(dict.fromkeys(f"{s.package} {s.version}" for s in m.source))
        rows.append(f"| `{name}` | {m.title.en} | {m.task.en} | {sources} | {m.licence} | {m.gate.claim}: {m.gate.sentence()} |")
    return "\n".join(rows)


def korean_workload_rows() -> str:
    claims = {"accuracy": "정확도", "fidelity": "충실도"}
    rows = ["| 워크로드 | 내용 | 국가 과제 | 확인하는 것 | 서버 지연시간 한계 |", "|---|---|---|---|---|"]
    for name in WORKLOADS:
        m = find_workload(name).manifest
        bound = f"{m.latency_bound_ms:g} ms" if m.latency_bound_ms else "—"
        rows.append(f"| `{name}` | {m.title.ko} | {m.task.ko} | {claims[m.gate.claim]} | {bound} |")
    return "\n".join(rows)


@pytest.mark.parametrize(("document", "wanted"), [(README, workload_rows), (KOREAN, korean_workload_rows)], ids=READMES)
def test_the_table_of_workloads_is_that_of_the_manifests(document: str, wanted: Callable[[], str]) -> None:
    """Where it is not, put what the failure shows as wanted between the two marks."""
    written = re.search(r"<!-- workloads: .*? -->\n(.*?)<!-- /workloads -->", read(document), re.DOTALL)
    assert written
    assert written[1].strip() == wanted()


@pytest.mark.parametrize(
    ("document", "head", "yes", "no"), [(README, "grade", "yes", "no"), (KOREAN, "등급", "예", "아니요")], ids=READMES
)
def test_the_table_of_grades_is_that_of_the_code(document: str, head: str, yes: str, no: str) -> None:
    rows = {row[0].partition("(")[2].rstrip(")") or row[0]: row[2:] for row in table(document, head)}
    assert rows == {
        grade.name: [
            f"≥ {grade.duration_s:g} s",
            str(grade.repeats),
            f"{grade.warm_up_s:g} s",
            str(grade.checked),
            yes if grade.ranked else no,
        ]
        for grade in GRADES.values()
    }


@pytest.mark.parametrize(("document", "head"), [(README, "exit code"), (KOREAN, "종료 코드")], ids=READMES)
def test_the_table_of_exit_codes_has_every_one(document: str, head: str) -> None:
    kinds = [c for c in vars(npubench.errors).values() if isinstance(c, type) and issubclass(c, npubench.errors.NpubenchError)]
    assert {int(row[0]) for row in table(document, head)} == {0, 130} | {kind.exit_code for kind in kinds}


def test_every_rule_that_can_make_a_finding_is_in_the_readme() -> None:
    code = [(ROOT / "npubench/analyze" / name).read_text(encoding="utf-8") for name in RULE_FILES]
    rules = set()
    for call in (node for text in code for node in ast.walk(ast.parse(text))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Finding":
            rules |= {
                part.value for part in ast.walk(call.args[0]) if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
    documented = {rule.strip() for row in table(README, "rule") for rule in row[0].split(",")}
    assert documented == rules


def test_the_options_of_onnx_runtime_are_those_of_its_readme() -> None:
    options = survey("onnxruntime")
    assert isinstance(options, Survey)
    assert {row[0]: row[1] for row in table(BACKEND, "option")} == {n: d.strip("'\"") for n, d in options.options.items()}


# -- names and links --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    anchors = {
        re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-")
        for head in re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    }
    for link in re.findall(r"\]\(([^)]+)\)", prose(document)):
        path, _, anchor = link.partition("#")
        if path.startswith("http"):
            continue
        assert (ROOT / document).parent.joinpath(path).exists(), link
        assert path or anchor in anchors, link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_named_exists(document: str) -> None:
    tops = "npubench|models|reports|backends|tests|docs|contract|plan|measure|analyze|record|report|testing|verbs"
    for span in spans(document):
        if re.fullmatch(rf"({tops})/[\w./*-]*", span):
            found = [*ROOT.glob(span.rstrip("/")), *(ROOT / "npubench").glob(span.rstrip("/"))]
            assert found, f"{document}: {span}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_dotted_name_exists(document: str) -> None:
    groups = set(tomllib.loads(read("pyproject.toml"))["project"]["entry-points"])
    for span in spans(document):
        if re.fullmatch(r"npubench(_\w+)?(\.\w+)+", span) and span not in groups and not span.endswith((".toml", ".py")):
            parts = span.split(".")
            length = next(n for n in range(len(parts), 0, -1) if _is_module(".".join(parts[:n])))
            value = importlib.import_module(".".join(parts[:length]))
            for part in parts[length:]:
                value = getattr(value, part)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("document", DOCUMENTS)
def test_words_are_those_of_the_vocabulary(document: str) -> None:
    """No task but a national one, and none of the words that mean three things in this field."""
    text = re.sub(r"<!-- workloads.*?/workloads -->", "", prose(document), flags=re.DOTALL)  # the manifests' own words
    text = re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", text).lower()
    text = re.sub(r"national tasks?|not used: benchmark .* iteration", "", text)
    assert not re.findall(r"\b(?:benchmarks?|tasks?|jobs?|results?|iterations?)\b", text)


# -- the import law ---------------------------------------------------------------------------------------------------


def import_law() -> list[str]:
    matched = re.search(r"^contract ← .*$", read(ARCHITECTURE), re.MULTILINE)
    assert matched, "ARCHITECTURE.md states the import law on a line of its own"
    return [station.strip() for station in matched[0].split("←")]


def stations_imported(path: Path) -> set[str]:
    """Return the first two parts of every module of npubench that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        found |= {name.split(".")[1] if name.count(".") else "" for name in names if name.partition(".")[0] == "npubench"}
    return found


@pytest.mark.parametrize("station", import_law())
def test_imports_keep_the_law_that_the_architecture_states(station: str) -> None:
    upstream = {*import_law()[: import_law().index(station) + 1], "errors", "plugins", ""}
    if station == "verbs":
        upstream.add("testing")
    files = [*(ROOT / "npubench" / station).glob("**/*.py")]
    assert files
    for path in files:
        assert stations_imported(path) <= upstream, path


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("npubench/testing", {"contract", "testing", ""}),
        ("npubench/testing/conformance", {"contract", "testing", "measure", "plugins", "errors"}),
        ("backends", {"contract"}),
        ("models", {"contract", "plan", "errors"}),
        ("reports", {"report", "analyze", "errors"}),
    ],
)
def test_what_is_beside_the_stations_imports_no_more_than_the_architecture_says(folder: str, allowed: set[str]) -> None:
    files = [
        path for path in (ROOT / folder).rglob("*.py") if not {"tests", ".venv", "build"} & set(path.parts[len(ROOT.parts) :])
    ]
    if folder == "npubench/testing":
        # The kit loads plug-ins as a worker does; its own line says what it may see.
        files = [path for path in files if "conformance" not in path.parts]
    assert files
    for path in files:
        assert stations_imported(path) <= allowed, path


def test_no_backend_reads_a_clock() -> None:
    for path in (ROOT / "backends").rglob("npubench_*/**/*.py"):
        imported = {
            name.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import)
            for name in node.names
        }
        assert not imported & {"time", "timeit", "datetime"}, path
