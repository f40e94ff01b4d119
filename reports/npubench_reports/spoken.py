"""A document in one language: every cell as the text a reader sees, with the exact value behind it.

The one place where content becomes words, so that all renderers show the same; lays nothing out and computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding
from npubench.report.document import (
    Cell,
    Column,
    Content,
    Grid,
    Mark,
    Phrase,
    Reason,
    Row,
    RunReference,
    Setting,
    Text,
    Titles,
    Told,
    Value,
)
from npubench_reports import findings, numbers
from npubench_reports.messages import Messages
from npubench_reports.reasons import say
from npubench_reports.said import Said, compose, own, verbatim

#: Signs beside verdicts, so that none hangs on colour; all of them are in the fonts reports are set in.
SIGNS: Mapping[str, str] = {
    "pass": "○",
    "fail": "×",
    "open": "△",
    "best": "◎",
    "tie": "=",
    "simulated": "◇",
    "not-comparable": "≠",
    "better": "▲",
    "worse": "▼",
    "same": "=",
    "new": "＋",
    "missing": "－",
}
#: What each part of a finding is said by.
_TOLD: Mapping[str, Callable[[Finding, Messages], Said]] = {
    "rule": findings.rule,
    "meaning": findings.meaning,
    "observed": findings.observed,
    "required": findings.required,
    "advice": findings.advice,
    "whole": findings.whole,
}
#: What stands where there is no value.
NOTHING = "—"
NO_WORDS = Said(())
#: How many sentences are kept: those of a page of thousands of cells, which are mostly the same few.
_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Spoken:
    """A cell as it is shown.

    Args:
        said: The text, without unit and interval; parts that are nobody's to translate are marked.
        unit: The unit in the reader's language, ``""`` for none.
        interval: The interval as text in the same unit, ``""`` for none.
        confidence: Its confidence as text, ``""`` for none.
        exact: Everything the estimate says, unrounded; for titles.
        value: The number in ``unit`` for a cell of a workbook, unrounded, or None where it is no number.
        low, high: The ends of the interval in ``unit``.
        reason: Why there is no value.
        remark: What is said under it.
        sign: A sign before the text, ``""`` for none.
        mark: The id of the sign, for styles.
        runs: The runs behind it.
    """

    said: Said
    unit: str = ""
    interval: str = ""
    confidence: str = ""
    exact: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: Said = NO_WORDS
    remark: Said = NO_WORDS
    sign: str = ""
    mark: str = ""
    runs: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole as one line: sign, text, unit."""
        return " ".join(part for part in (self.sign, str(self.said), self.unit) if part)


@dataclass(frozen=True, slots=True)
class SpokenRow:
    """A row as it is shown; ``group`` is the heading of the group that begins with it, None where none does."""

    heading: Spoken
    cells: tuple[Spoken, ...]
    group: Spoken | None = None


@dataclass(frozen=True, slots=True)
class SpokenGrid:
    """A table as it is shown; ``headings`` has one more entry than a row has cells."""

    name: str
    caption: str
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[SpokenRow, ...]
    remarks: tuple[Said, ...]


def phrase(content: Phrase | Reason | Text | Titles | Told, messages: Messages) -> Said:
    """Return words in the reader's language; a phrase the catalogue lacks stands as its id, so that it is seen."""
    if isinstance(content, Text):
        return verbatim(content.text)
    if isinstance(content, Titles):
        return own(messages.of(content.texts, content.fallback))
    if isinstance(content, Reason):
        return _sentence(content.text, messages)
    if isinstance(content, Told):
        return _TOLD[content.what](content.finding, messages)
    if not messages.has(content.key):
        return own(content.key)
    values = ((name, _plain(value, messages)) for name, value in content.values.items())
    return _filled(messages, content.key, tuple((name, type(value), value) for name, value in values))


@lru_cache(maxsize=_KEPT)
def _filled(messages: Messages, key: str, values: tuple[tuple[str, type, float | int | str | bool | None], ...]) -> Said:
    """Fill a phrase in, once for all cells that say the same; by type as well, because 1, 1.0 and true are equal."""
    return compose(messages, key, {name: value for name, _, value in values}, lambda text: _sentence(text, messages))


@lru_cache(maxsize=_KEPT)
def _sentence(text: str, messages: Messages) -> Said:
    return say(text, messages)


def _plain(value: Value, messages: Messages) -> float | int | str | bool | None:
    return messages.of(value.texts, value.fallback) if isinstance(value, Titles) else value


def grid(content: Grid, messages: Messages) -> SpokenGrid:
    """Return a table as it is shown.

    Values of one unit in one row share a scale, else those of one column and group do. Groups have their headings where the
    table says what they are (see :func:`flat`).
    """
    new = [n == 0 or row.group != content.rows[n - 1].group for n, row in enumerate(content.rows)]
    columns: list[dict[int, list[Estimate]]] = []
    for row, begins in zip(content.rows, new, strict=True):
        columns.append({} if begins else columns[-1])
        for n, cell in enumerate(row.cells):
            if isinstance(cell.content, Estimate):
                columns[-1].setdefault(n, []).append(cell.content)
    ends = {id(column): {n: _ends(there) for n, there in column.items()} for column in columns}
    grouped = content.grouping is not None
    return SpokenGrid(
        name=content.name,
        caption=str(phrase(content.caption, messages)),
        headings=tuple(str(phrase(column.heading, messages)) for column in content.columns),
        numeric=tuple(column.numeric for column in content.columns),
        rows=tuple(
            _row(row, ends[id(column)], messages, new=grouped and begins)
            for row, column, begins in zip(content.rows, columns, new, strict=True)
        ),
        remarks=tuple(phrase(remark, messages) for remark in content.remarks),
    )


def flat(content: Grid) -> Grid:
    """Return a table with the groups of its rows as its first column, for formats whose tables know no groups."""
    if content.grouping is None:
        return content
    rows = tuple(Row(row.group or Cell(None), (row.heading, *row.cells), row.group) for row in content.rows)
    return replace(content, columns=(Column(content.grouping), *content.columns), rows=rows, grouping=None)


def _ends(estimates: Iterable[Estimate]) -> list[Estimate]:
    """Return the smallest and the largest of each unit: they alone set the scale, and a table has thousands of rows."""
    units: dict[str, list[Estimate]] = {}
    for estimate in estimates:
        if estimate.value:
            units.setdefault(estimate.unit, []).append(estimate)
    return [end for there in units.values() for end in (min(there, key=_size), max(there, key=_size))]


def _size(estimate: Estimate) -> float:
    return abs(estimate.value or 0.0)


def _row(row: Row, columns: Mapping[int, Sequence[Estimate]], messages: Messages, *, new: bool) -> SpokenRow:
    estimates = [cell.content for cell in row.cells if isinstance(cell.content, Estimate)]
    together = len(estimates) > 1 and len({estimate.unit for estimate in estimates}) == 1
    cells = []
    for n, cell in enumerate(row.cells):
        beside = estimates if together else columns.get(n, ())
        cells.append(spoken(cell, messages, beside))
    group = spoken(row.group, messages) if new and row.group is not None else None
    return SpokenRow(spoken(row.heading, messages), tuple(cells), group)


def spoken(cell: Cell, messages: Messages, beside: Iterable[Estimate] = ()) -> Spoken:
    """Return one cell as it is shown, in the scale it shares with the estimates ``beside`` it."""
    remark = phrase(cell.remark, messages) if cell.remark is not None else NO_WORDS
    return _content(cell.content, messages, beside, cell.runs, remark)


def _content(content: Content, messages: Messages, beside: Iterable[Estimate], runs: tuple[str, ...], remark: Said) -> Spoken:
    if content is None:
        return Spoken(own(""), runs=runs, remark=remark)
    if isinstance(content, bool | int):
        count = int(content)
        return Spoken(own(numbers.count(count, messages.locale)), exact=str(count), value=float(count), runs=runs, remark=remark)
    if isinstance(content, Estimate):
        return _estimate(content, messages, beside, runs, remark)
    if isinstance(content, Setting):
        found = numbers.setting(content.value, content.unit, messages.locale)
        size = numbers.scale_for([content.value], content.unit).factor
        unit = messages.name("unit", found.unit) if found.unit else ""
        return Spoken(own(found.text), unit, exact=found.exact.strip(), value=content.value / size, runs=runs, remark=remark)
    if isinstance(content, Mark):
        said = phrase(content.word, messages)
        return Spoken(said, sign=SIGNS[content.sign], mark=content.sign, runs=runs, remark=remark)
    if isinstance(content, RunReference):
        return Spoken(verbatim(content.run_id), runs=(content.run_id,), remark=remark)
    return Spoken(phrase(content, messages), runs=runs, remark=remark)


def _estimate(estimate: Estimate, messages: Messages, beside: Iterable[Estimate], runs: tuple[str, ...], remark: Said) -> Spoken:
    reason = _sentence(estimate.reason, messages) if estimate.reason else NO_WORDS
    if estimate.value is None:
        return Spoken(own(NOTHING), reason=reason, runs=runs, remark=remark)
    alike = [other.value for other in beside if other.unit == estimate.unit]
    scale = numbers.scale_for([*alike, estimate.value], estimate.unit)
    figure = numbers.figure(estimate, scale, messages.locale)
    assert figure is not None, "it has a value"
    return Spoken(
        said=own(figure.text),
        unit=messages.name("unit", figure.unit) if figure.unit else "",
        interval=figure.interval,
        confidence=figure.confidence,
        exact=figure.exact,
        value=estimate.value / scale.factor,
        low=None if estimate.low is None else estimate.low / scale.factor,
        high=None if estimate.high is None else estimate.high / scale.factor,
        reason=reason,
        runs=runs,
        remark=remark,
    )
