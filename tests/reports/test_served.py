"""Pages of a served store: escaped, in both languages, the language kept on every link, and nothing fetched by their style."""

from __future__ import annotations

import re

import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.finding import Finding
from npubench.errors import InputError
from npubench.report.document import Cell, Column, Grid, Notice, Phrase, Row, Section, Text
from npubench.report.served_page import Field, Form, Link, ServedPage
from npubench_reports import served


def evil(name: str) -> str:
    return f"<script>{name}()</script>\"'><img src=x onerror={name}>&\x1b[31m\u202e\ud800"


def page(**changes: object) -> ServedPage:
    rows = (
        Row(Cell(Text("one"), ("s/one",)), (Cell(Estimate(1.5e6, "ns", 1.4e6, 1.6e6, 0.95, 30)),)),
        Row(Cell(Text("two"), ("s/two",)), (Cell(absent("ns", "nothing measured")),)),
    )
    grid = Grid("g", Phrase("serve.caption.metrics"), (Column(Text("run")), Column(Text("value"), True)), rows)
    given: dict[str, object] = {
        "title": Text("a page"),
        "address": "/run/s/one",
        "query": {"page": "2"},
        "sections": (Section("grid", Phrase("serve.metrics"), (grid,)), Section("more", Text("more"))),
        "runs": {"s/one": "/run/s/one"},
        "links": (Link(Phrase("serve.link.log"), "/run/s/one/log"), Link(Text("filtered"), "/?target=a%26b")),
    }
    return ServedPage(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_link_keeps_the_language_and_the_switch_keeps_the_page(language: str) -> None:
    text = served.render(page(), language=language).decode()
    assert f'<html lang="{language}">' in text
    assert f'href="/run/s/one/log?lang={language}"' in text
    assert f'href="/?target=a%26b&amp;lang={language}"' in text
    assert {'href="/run/s/one?page=2&amp;lang=ko"', 'href="/run/s/one?page=2&amp;lang=en"'} <= set(
        re.findall('href="[^"]*"', text)
    )
    assert text.count('aria-current="true"') == 1


def test_a_run_that_has_a_page_is_a_link_and_another_is_not() -> None:
    text = served.render(page(), language="en").decode()
    assert '<a href="/run/s/one?lang=en"><code>one</code></a>' in text
    assert '<th scope="row">two</th>' in re.sub(r"\s*</th>", "</th>", text)
    assert "1.50" in text
    assert "nothing measured" in text


def test_whatever_comes_from_records_is_escaped() -> None:
    hostile = page(
        title=Text(evil("title")),
        trail=(Link(Text(evil("trail")), "/?x=" + '"><script>'),),
        sections=(
            Section(
                "a", Text(evil("heading")), (Notice("stop", Phrase("serve.damaged", {"file": evil("f"), "why": evil("why")})),)
            ),
            Section("b", Text("b")),
        ),
        forms=(
            Form("/", Text(evil("form")), Phrase("serve.make"), (Field("n", Phrase("serve.any"), evil("value")),)),  # type: ignore[arg-type]
            Form(
                "/",
                Phrase("serve.make"),
                Phrase("serve.make"),
                (Field("n", Phrase("serve.any"), "", ((evil("v"), Text(evil("l"))),)),),
            ),
        ),
        findings=(Finding(evil("rule"), "warning", evil("seen"), evil("wanted"), evil("advice")),),
        log=evil("log"),
    )
    for language in ("ko", "en"):
        text = served.render(hostile, language=language).decode()
        assert "<script" not in text
        assert "<img" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        for name in ("title", "trail", "heading", "why", "value", "seen", "advice", "log"):
            assert name == "trail" or f"&lt;script&gt;{name}()" in text, name


def test_no_findings_are_said_and_none_asked_for_are_not() -> None:
    assert "There are no findings." in served.render(page(findings=()), language="en").decode()
    assert "There are no findings." not in served.render(page(), language="en").decode()


def test_the_style_sheet_fetches_nothing() -> None:
    style = served.style().decode()
    assert ".masthead" in style
    assert not re.search(r"url\(|@import|//[a-z]", style)


def test_an_unknown_language_is_said() -> None:
    assert served.languages() == ("en", "ko")
    with pytest.raises(InputError, match="'fr'"):
        served.render(page(), language="fr")
