"""A document as Markdown for GitHub and the like: headings, tables, and a plot's words with its figures.

Whatever comes out of records is escaped, so that none of it is markup or HTML. Lays out only; words are ``spoken``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from npubench.report.document import Block, Document, Fact, Facts, Grid, Notice, Paragraph, Points, Section
from npubench_reports import numbers
from npubench_reports.messages import Messages, load
from npubench_reports.references import numbered, references, row_runs
from npubench_reports.run_list import runs_section
from npubench_reports.spoken import Spoken, flat, grid, phrase, spoken
from npubench_reports.unseen import UNSEEN

#: What is markup anywhere in a line, and what is at its beginning.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~#@$])")
_START = re.compile(r"^(\s*)([-+=]|\d+(?=[.)]))")
#: A bare address, which GitHub makes a link of: a record's words never lead anywhere.
_ADDRESS = re.compile(r"(?i)\b(https?|ftp|mailto|www)([:.])")


def render(document: Document, *, language: str = "ko") -> bytes:
    """Return ``document`` as Markdown.

    Raises:
        InputError: There is no catalogue for the language.
    """
    messages = load(language)
    title = str(phrase(document.title, messages))
    lines = [f"# {text(title)}", ""]
    for banner in document.banners:
        lines += [f"> **{messages('document.gravity.warning')}** {text(str(phrase(banner, messages)))}", ""]
    lines += [*_facts(document.facts, messages), ""]
    listed = numbered(document)
    for section in (*document.sections, runs_section(document)):
        lines += _section(section, 2, messages, listed)
    made = f"{messages('document.fact.made-at')}: {numbers.moment(document.made_at, messages.locale)}"
    lines += ["---", "", text(f"{made} · npubench {document.harness}"), ""]
    return "\n".join(lines).encode("utf-8")


def text(words: str) -> str:
    """Return ``words`` as they are to be seen: on one line, nothing of it markup."""
    plain = " ".join(UNSEEN.sub("\ufffd", words).split())
    return _ADDRESS.sub("\\1\u200b\\2", _MARKUP.sub(r"\\\1", plain.replace("&", "&amp;")))


def line(words: str) -> str:
    """Return ``words`` for the beginning of a line, where numbers and signs would make a list."""
    return _START.sub(lambda found: _first(found[1], found[2]), text(words))


def _first(space: str, sign: str) -> str:
    """Return the beginning of a line that would be a list or a heading's underline."""
    return f"{space}{sign}\u200b" if sign.isdigit() else f"{space}\\{sign}"


def _section(section: Section, level: int, messages: Messages, listed: Mapping[str, int]) -> Iterator[str]:
    yield from (f"{'#' * min(level, 6)} {text(str(phrase(section.heading, messages)))}", "")
    for block in section.blocks:
        yield from _block(block, messages, listed)
        yield ""
    for each in section.sections:
        yield from _section(each, level + 1, messages, listed)


def _block(block: Block, messages: Messages, listed: Mapping[str, int]) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield line(" ".join(str(phrase(each, messages)) for each in block.sentences))
    elif isinstance(block, Points):
        for n, each in enumerate(block.sentences, start=1):
            yield f"{f'{n}.' if block.ordered else '-'} {line(str(phrase(each, messages)))}"
    elif isinstance(block, Facts):
        yield from _facts(block.facts, messages)
    elif isinstance(block, Notice):
        word = messages.name("document.gravity", block.gravity)
        yield f"> **{word}** {text(str(phrase(block.sentence, messages)))}"
    elif isinstance(block, Grid):
        yield from _grid(block, messages, listed)
    else:
        yield from (f"**{messages('document.plot')}: {text(str(phrase(block.caption, messages)))}**", "")
        yield from (line(str(phrase(block.alt, messages))), "")
        yield from _grid(block.table, messages, listed)


def _facts(facts: Iterable[Fact], messages: Messages) -> Iterator[str]:
    for fact in facts:
        yield f"- {text(str(phrase(fact.label, messages)))}: {_cell(spoken(fact.cell, messages))}"


def _grid(content: Grid, messages: Messages, listed: Mapping[str, int]) -> Iterator[str]:
    """Yield a table; its last column has the numbers of the runs, as in the list at the end, where the first is a number."""
    shown = grid(flat(content), messages)
    runs = content.name == "runs"
    referred = not runs and any(row_runs(row) for row in shown.rows)
    yield from (f"**{text(shown.caption)}**", "")
    if not shown.rows:
        yield messages("document.no-rows")
        return
    last = messages("document.column.runs")
    headings = [*(["#"] if runs else []), *map(text, shown.headings), *([last] if referred else [])]
    signs = [*(["---:"] if runs else []), *("---:" if each else "---" for each in shown.numeric), *(["---"] if referred else [])]
    yield f"| {' | '.join(headings)} |"
    yield f"| {' | '.join(signs)} |"
    for n, row in enumerate(shown.rows, start=1):
        cells = [*([str(n)] if runs else []), _cell(row.heading), *map(_cell, row.cells)]
        yield f"| {' | '.join([*cells, *([text(str(references(row_runs(row), listed)))] if referred else [])])} |"
    for remark in shown.remarks:
        yield from ("", line(str(remark)))


def _cell(cell: Spoken) -> str:
    """Return a cell: its text, its interval, and why there is none."""
    parts = [text(cell.text), f"[{cell.interval}]" if cell.interval else ""]
    parts += [f"({text(str(said))})" for said in (cell.reason, cell.remark) if len(said)]
    return " ".join(part for part in parts if part)
