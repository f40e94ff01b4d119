"""Catalogues say one word for one thing: the glossary's, and none that stands for it elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomllib

import npubench_reports
from npubench_reports.messages import load

GLOSSARY = tomllib.loads((Path(npubench_reports.__file__).parent / "glossary.toml").read_text(encoding="utf-8"))["term"]
KOREAN, ENGLISH = load("ko").texts, load("en").texts


@pytest.mark.parametrize("term", GLOSSARY)
def test_the_catalogues_use_the_glossarys_word(term: str) -> None:
    entry = GLOSSARY[term]
    assert any(entry["ko"] in text for text in KOREAN.values()), f"{term}: no Korean text has '{entry['ko']}'"
    assert any(entry["en"] in text.lower() for text in ENGLISH.values()), f"{term}: no English text has '{entry['en']}'"


@pytest.mark.parametrize("term", [name for name, entry in GLOSSARY.items() if "never" in entry])
def test_no_catalogue_has_another_word_for_it(term: str) -> None:
    entry = GLOSSARY[term]
    used = {key: word for key, text in KOREAN.items() for word in entry["never"] if word in text}
    assert used == {}, f"write '{entry['ko']}' (glossary.toml, {term})"


def test_entries_are_whole() -> None:
    for term, entry in GLOSSARY.items():
        assert {"ko", "en"} <= set(entry) <= {"ko", "en", "note", "never"}, term
        assert not {entry["ko"]} & set(entry.get("never", ())), term
    words = [entry["ko"] for entry in GLOSSARY.values()]
    assert len(words) == len(set(words))
