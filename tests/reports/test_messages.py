"""Both catalogues say everything the kernel can emit and the templates ask for, and nothing else."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import npubench_reports
from npubench.errors import InputError
from npubench_reports.messages import languages, load

RULES = [
    "duration",
    "query-count",
    "latency-bound",
    "certified-tail",
    "accuracy-gate",
    "canary",
    "offload",
    "host-operators",
    "client-lag",
    "client-cpu",
    "loadgen-disagrees",
    "clock-disagrees",
    "drift",
    "throughput-unstable",
    "low-resolution",
    "governor",
    "virtual-machine",
    "timer-slack",
    "calibration-missing",
    "rate-search-bracket",
    "rate-not-certified",
    "residue",
    "sensor-too-slow",
    "energy-absent",
    "simulated",
    "generated-inputs",
    "interrupted",
    "few-windows",
    "async-slower",
]
EXCLUSIONS = ["host-transpose", "host-quantise", "host-cast", "pre-processing", "post-processing", "model-load", "compile"]
#: What the kernel emits, by the kind the templates look it up under.
VOCABULARY = {
    "scenario": ["single-stream", "multi-stream", "server", "offline"],
    "status": ["ok", "invalid", "failed", "skipped"],
    "grade": ["smoke", "nightly", "official"],
    "severity": ["invalid", "warning", "note"],
    "verdict": ["better", "worse", "indistinguishable", "not-comparable"],
    "unranked": [
        "smoke",
        "invalid",
        "failed",
        "skipped",
        "simulated",
        "host-operators",
        "different-work",
        "different-grade",
        "different-bound",
        "single",
    ],
    "incomparable": [
        "simulated",
        "different-work",
        "different-grade",
        "different-bound",
        "invalid",
        "failed",
        "skipped",
        "damaged-trace",
        "no-headline",
    ],
    "gate": ["top1", "top1-agreement", "character-accuracy", "exact-match", "centred-cosine", "rmse"],
    "claim": ["accuracy", "fidelity"],
    "precision": ["fp32", "fp16", "bf16", "int8", "vendor"],
    "metric": [
        "throughput",
        "query_rate",
        "latency",
        "latency_mean",
        "latency_min",
        "latency_max",
        "latency_p50",
        "latency_p90",
        "latency_p95",
        "latency_p97",
        "latency_p99",
        "latency_p999",
        "accuracy",
    ],
    "unit": ["samples/s", "queries/s", "J/sample", "mJ/sample", "µJ/sample", "samples/J", "count"],
    "difference": [
        "package:",
        "bundle:",
        "batch:",
        "in-flight:",
        "option:",
        "system:",
        "environment:",
        "version:",
        "precision",
        "device",
        "backend",
        "python",
        "batch",
        "in-flight",
        "harness",
        "bundle",
    ],
    "system": [
        "hostname",
        "operating-system",
        "kernel",
        "architecture",
        "cpu",
        "physical-cores",
        "logical-cores",
        "memory",
        "governor",
        "virtualisation",
        "device",
        "driver",
        "firmware",
        "python",
        "simulated",
    ],
    "section": ["summary", "figures", "findings", "differences", "systems", "reading", "runs"],
    "term": ["throughput", "query-rate", "latency", "percentile", "interval", "ratio", "accuracy", "operations"],
    "purpose.grade": ["smoke", "nightly", "official"],
    "purpose.heading": ["smoke", "nightly", "official", "simulated", "none-valid", "unknown", "empty"],
    "exclusion": EXCLUSIONS,
    "finding": RULES,
}
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
    keys |= {f"figure.{kind}.{part}" for kind in ("bars", "curves") for part in ("title", "caption")}
    return keys


def test_there_are_korean_and_english() -> None:
    assert languages() == ("en", "ko")


@pytest.mark.parametrize("language", languages())
def test_a_catalogue_is_complete_and_holds_nothing_unused(language: str) -> None:
    used = derived_keys() | literal_keys()
    known = set(load(language).texts)
    assert used - known == set()
    assert known - used == set()


def test_translations_fill_in_the_same_names() -> None:
    def names(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}

    korean, english = load("ko").texts, load("en").texts
    assert {key: names(text) for key, text in korean.items()} == {key: names(text) for key, text in english.items()}


def test_korean_is_korean() -> None:
    """Apart from names that are the same everywhere, every Korean text has Hangul in it."""
    latin = {key for key, text in load("ko").texts.items() if not re.search("[가-힣]", text)}
    assert latin == {"system.cpu", "precision.fp32", "precision.fp16", "precision.bf16", "precision.int8"}


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
