"""Both catalogues say everything the kernel can emit and the templates ask for, and nothing else."""

from __future__ import annotations

import ast
import inspect
import re
import string
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import tomllib

import npubench.report
import npubench.verbs
import npubench_models
import npubench_reports
from npubench.analyze import client, declaration, memory, power_rules, repeats, roofline, stability_rules, validity
from npubench.analyze.audits import judge as audits_judge
from npubench.analyze.audits.judge import AUDITS
from npubench.analyze.audits.verdict import AuditStatus
from npubench.analyze.energy import IMPLAUSIBLE_WATTS
from npubench.analyze.finding import Severity
from npubench.analyze.metrics import HEADLINE, compute_metrics
from npubench.analyze.readings import EVIDENCE
from npubench.contract.availability import Rung
from npubench.contract.facts import FACTS
from npubench.contract.runspec import Phase, Scenario
from npubench.errors import InputError
from npubench.measure import binding, worker
from npubench.plan import hardware, usermodel
from npubench.plan.grades import GRADES
from npubench.plan.suite import Precision
from npubench.record.account import EXCLUSIONS
from npubench.record.schema import BundleReference, Status
from npubench.report import alike, comparison, course, differences, efficiency, ratio
from npubench.report.page import SweepMark, Verdict
from npubench_reports import numbers, reasons
from npubench_reports.messages import languages, load


def constants(of: object) -> set[str]:
    """Return every string that stands in the source of a function or module, prefixes of f-strings included."""
    found = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(of))))  # type: ignore[arg-type]
    return {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def returned(function: object) -> set[str]:
    """Return the strings that a function returns as they stand."""
    found = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))  # type: ignore[arg-type]
    values = (node.value for node in found if isinstance(node, ast.Return))
    return {v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str) and v.value}


def arguments(of: object, called: str, at: int) -> set[str]:
    """Return the strings that calls of ``called`` have as their argument ``at``, either side of a condition included."""
    found = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(of)))):  # type: ignore[arg-type]
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == called and len(node.args) > at:
            argument = node.args[at]
            sides = (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,)
            found |= {side.value for side in sides if isinstance(side, ast.Constant) and isinstance(side.value, str)}
    return found


class Anything:
    """Stands for a record wherever one is only read out."""

    def __getattr__(self, name: str) -> object:
        return {"packages": {"p": ""}, "environment": {"e": ""}, "versions": {"v": ""}, "options": {"o": ""}}.get(
            name, {"batch": 1, "in_flight": 1} if name == "settings" else 1 if name == "memory_bytes" else Anything()
        )

    def __call__(self, *_: object) -> str:
        return ""


RECORD: Any = Anything()
#: The kernel's words, from the kernel itself: a new one fails here until it has its text.
JUDGES = (validity, power_rules, client, declaration, stability_rules, memory, repeats, audits_judge)
RULES = sorted(set().union(*(arguments(module, "Finding", 0) for module in JUDGES)))
MANIFESTS = [tomllib.loads(p.read_text("utf-8")) for p in (Path(npubench_models.__file__).parent / "workloads").glob("*.toml")]
STATUSES = get_args(Status)
SYSTEM = set(differences.system_rows(RECORD)) | {name for name, fact in FACTS.items() if not fact.volatile}
DIFFERENCES = {name[: name.find(":") + 1] or name for name in differences._of_one(RECORD)}
TIMES = np.arange(1, 11, dtype=np.int64)
TRACE: Any = SimpleNamespace(
    samples=10, queries=10, start_ns=0, end_ns=10, done_ns=TIMES, details={}, query_latencies_ns=lambda: TIMES
)
METRICS = {name for scenario in Scenario for name in compute_metrics(TRACE, scenario)} | {h.metric for h in HEADLINE.values()}
UNITS = {unit for steps in numbers.SCALES.values() for _, unit in steps} | {h.unit for h in HEADLINE.values()}
VOCABULARY: dict[str, set[str]] = {
    "scenario": {scenario.value for scenario in Scenario},
    "status": {*STATUSES},
    "grade": {*GRADES},
    "severity": {*get_args(Severity)},
    "audit": {judge.__name__.removeprefix("judge_").replace("_", "-") for judge in AUDITS},
    "audit-status": {*get_args(AuditStatus)},
    "verdict": {*get_args(Verdict)},
    "unranked": returned(comparison.why_unranked)
    | returned(ratio.incomparable)
    | {*STATUSES} - {"ok"}
    | {grade for grade, entry in GRADES.items() if not entry.ranked}
    | {text for text in constants(comparison._ranked) if text == "single"},
    "incomparable": returned(ratio.incomparable)
    | {*STATUSES} - {"ok"}
    | arguments(ratio.compare, "Ratio", 6)
    | returned(efficiency._other)
    | {"different-domain", "different-evidence"} & constants(efficiency._other)
    | arguments(efficiency.compare_energy, "_not", 0),
    "unlike": {*alike.CONDITIONS},
    "domain": {*IMPLAUSIBLE_WATTS},
    "evidence": {*EVIDENCE},
    "quantity": {"voltage", "current"},
    "sweep-mark": {mark for mark in get_args(SweepMark) if mark},
    "scope": {*get_args(hardware.Scope)},
    "density": {*get_args(hardware.Density)},
    "roofline": {text for text in constants(roofline) if re.fullmatch("simulated|no-[a-z]+|unknown-[a-z]+", text)},
    "doubt": {text for text in constants(roofline) if re.fullmatch("above-[a-z]+", text)},
    "held": {"throttle", "clock"} & constants(course),
    "over-time": {"power", "latency", "service-time"} & constants(course),
    "gate": {manifest["gate"]["metric"] for manifest in MANIFESTS} | {"fidelity"} & constants(usermodel),
    "claim": {*get_args(BundleReference.model_fields["claim"].annotation)},
    "precision": {*get_args(Precision)},
    "metric": METRICS | {"latency", "accuracy"},
    # Units of one symbol are the same in every language.
    "unit": {unit for unit in UNITS if re.search("sample|quer", unit)}
    | {"KRW", "KRW/kWh", "KRW/(kW·month)", "points", "devices", "years"},
    "difference": DIFFERENCES,
    "system": SYSTEM,
    "exclusion": {*EXCLUSIONS}
    | {text for text in constants(worker) if text.endswith("-processing")}
    | {text for text in constants(binding) if re.fullmatch("host-[a-z]+", text)},
    "phase": {phase.value for phase in Phase} | {"start"},
    "rung": {rung.word for rung in Rung},
    "finding": {*RULES},
    # What the tables of this package say with a kind of their own.
    "call": {"supports", "compile", "load", "offload", "close"},
    "signal": {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGKILL", "SIGILL", "SIGFPE", "SIGTERM"},
    "counted": {"samples", "queries"},
    "side": {"true", "false"},
    "tensor": {"input", "inputs", "output", "outputs"},
    "term": {
        "throughput",
        "query-rate",
        "latency",
        "percentile",
        "interval",
        "ratio",
        "efficiency",
        "evidence",
        "accuracy",
        "operations",
    },
    "reason": {"invalid", *(key for key, _ in (*reasons.TABLE, *reasons.PLUGIN))},
}
#: Texts of a rule that not every rule has: what was observed and required, where that has numbers in it.
OPTIONAL = re.compile(
    r"finding\.[a-z-]+\.(observed|observed\.rate|required|advice\.(invalid|warning|note))|reason\.[a-z-]+\.brief"
)
#: Longer texts that go with an id.
SUFFIXES = {
    "finding": [".meaning", ".advice"],
    "exclusion": [".text"],
    "scenario": [".about"],
    "status": [".text"],
    "grade": [".text"],
    "verdict": [".text"],
    "term": [".text"],
}
SOURCES = Path(npubench_reports.__file__).parent


#: Where such content is made, and where it is laid out.
WRITERS = [
    *Path(npubench.report.__file__).parent.glob("*.py"),
    *Path(npubench.verbs.__file__).parent.glob("*.py"),
    *SOURCES.rglob("*.py"),
]


def derived_keys() -> set[str]:
    keys = set()
    for kind, identifiers in VOCABULARY.items():
        for identifier in identifiers:
            keys |= {f"{kind}.{identifier}" + suffix for suffix in ["", *SUFFIXES.get(kind, [])]}
    return keys


def literal_keys() -> set[str]:
    """Keys that stand in templates and modules as they are, and those that are put together from a list beside them."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*SOURCES.glob("*.py"), *SOURCES.glob("templates/*.j2")])
    keys = set(re.findall(r"""\b(?:t|messages)\(\s*"([a-z][a-z.\-]*[a-z])"\s*[,)]""", text))
    keys |= set(re.findall(r'"(table\.[a-z-]+)"', text))
    for columns in re.findall(r"""for column in \[([^\]]*)\]""", text):
        keys |= {"table." + name for name in re.findall(r'"([a-z-]+)"', columns)}
    written = "\n".join(path.read_text(encoding="utf-8") for path in WRITERS)
    return keys | set(re.findall(r"""\bPhrase\(\s*"([a-z][a-z.\-]*[a-z])"\s*[,)]""", written))


#: The first parts of the keys that the content of documents is written with (``npubench.report.document``).
OF_DOCUMENTS = "document|comparison|procurement|feedback|nightly|advice|trend|plot|render|serve"


def written_keys() -> tuple[set[str], set[str]]:
    """Return the keys of documents that stand in the sources as they are, and patterns of those put together from parts."""
    literal, patterns = set(), set()
    for path in WRITERS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [re.escape(str(v.value)) if isinstance(v, ast.Constant) else "[a-z0-9._-]+" for v in node.values]
                patterns.add("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                literal.add(node.value)
    for path in SOURCES.glob("templates/**/*.j2"):
        literal |= set(re.findall(r"[\"']([a-z][a-z0-9.-]+)[\"']", path.read_text(encoding="utf-8")))
    key = re.compile(rf"({OF_DOCUMENTS})(\.[a-z0-9-]*[a-z0-9])+")
    beginning = re.compile(rf"({OF_DOCUMENTS})\\\..*")
    literal = {text for text in literal if key.fullmatch(text) and not text.endswith((".css", ".typ", ".j2"))}
    return literal, {text for text in patterns if beginning.match(text)}


@pytest.mark.parametrize("language", languages())
def test_documents_have_every_word_they_are_written_with_and_no_other(language: str) -> None:
    known = {key for key in load(language).texts if re.match(rf"({OF_DOCUMENTS})\.", key)}
    literal, patterns = written_keys()
    fields = [field for text in load(language).texts.values() for field in string.Formatter().parse(text)]
    # A template may name a vocabulary of its own, as in "{metric:procurement.metric}".
    patterns |= {re.escape((kind or "").removeprefix("each ")) + r"\..+" for _, _, kind, _ in fields if "." in (kind or "")}
    assert literal - known - {key for key in literal if any(word.startswith(key + ".") for word in known)} == set()
    assert {key for key in known - literal if not any(re.fullmatch(pattern, key) for pattern in patterns)} == set()
    assert {pattern for pattern in patterns if not any(re.fullmatch(pattern, key) for key in known)} == set()


def test_there_are_korean_and_english() -> None:
    assert languages() == ("en", "ko")


@pytest.mark.parametrize("language", languages())
def test_a_catalogue_is_complete_and_holds_nothing_unused(language: str) -> None:
    used = {key for key in derived_keys() | literal_keys() if not re.match(rf"({OF_DOCUMENTS})\.", key)}
    known = {key for key in load(language).texts if not re.match(rf"({OF_DOCUMENTS})\.", key)}
    assert used - known == set()
    assert {key for key in known - used if not OPTIONAL.fullmatch(key)} == set()
    rules = {key.split(".")[1] for key in known if key.startswith("finding.")}
    assert rules == set(RULES)


def test_translations_fill_in_the_same_names() -> None:
    def names(text: str) -> set[tuple[str, str | None]]:
        return {(name, kind) for _, name, kind, _ in string.Formatter().parse(text) if name is not None}

    korean, english = load("ko").texts, load("en").texts
    assert {key: names(text) for key, text in korean.items()} == {key: names(text) for key, text in english.items()}


def test_korean_is_korean() -> None:
    """Apart from names that are the same everywhere, every Korean text that has letters of its own has Hangul in it."""
    own = {key: re.sub(r"\{[^}]*\}", "", text) for key, text in load("ko").texts.items()}
    latin = {key for key, text in own.items() if re.search("[A-Za-z]", text) and not re.search("[가-힣]", text)}
    names = {"system.cpu", "precision.fp32", "precision.fp16", "precision.bf16", "precision.int8", "procurement.column.pue"}
    assert latin == names


def test_an_unknown_id_stands_for_itself() -> None:
    messages = load("ko")
    assert messages.name("finding", "newer-than-me") == "newer-than-me"
    assert messages("no.such.key", value=1) == "no.such.key"
    assert messages.difference("colour:of:case") == "colour:of:case"


def test_differences_keep_the_name_behind_their_kind() -> None:
    messages = load("en")
    assert messages.difference("package:numpy") == "Package numpy"
    assert messages.difference("system:governor") == "System: CPU frequency governor"
    assert messages.difference("environment:ODD{NAME}") == "Environment ODD{NAME}"


def test_an_unknown_language_names_those_there_are() -> None:
    with pytest.raises(InputError, match="'fr'; there are: en, ko"):
        load("fr")
