"""Every kind of advice, and every piece of evidence, has its words in both languages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import npubench.report
from npubench_reports.messages import languages, load

SOURCES = [
    path for path in Path(npubench.report.__file__).parent.glob("*.py") if path.name.startswith(("advice", "feedback", "nightly"))
]
#: The function that is called → the position of its word, and where in the catalogue that stands.
CALLS = {"proof": (0, "advice.proof.{}"), "why": (1, "advice.why.{}"), "Symptom": (0, "advice.{}.title")}


def said() -> set[str]:
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
                at, pattern = CALLS[node.func.id]
                word = node.args[at] if len(node.args) > at else None
                if isinstance(word, ast.Constant):
                    found.add(pattern.format(word.value))
    return found


@pytest.mark.parametrize("language", languages())
def test_all_words_are_there(language: str) -> None:
    texts = load(language).texts
    words = said()
    assert len(words) > 60
    assert sorted(words - set(texts)) == []
    titles = {key for key in texts if key.startswith("advice.") and key.endswith(".title")}
    assert {key.replace(".title", ".text") for key in titles} <= set(texts)
