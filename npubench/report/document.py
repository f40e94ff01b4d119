"""The content of a report as data, whatever it is shown in: every renderer shows these parts and computes nothing.

Free of markup and of any language: words are ids of message catalogues with the values that go into them, numbers are estimates
in the record's own units, and a record's or a person's own words stand as they are, marked as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding

#: Which report it is; ``page.kind.<kind>`` is its name in the catalogues.
Kind = Literal["comparison", "procurement", "feedback", "nightly"]
#: How grave a notice is.
Gravity = Literal["stop", "warning", "note"]
#: What a mark says of something; each has a sign of its own beside its word, so that none hangs on colour.
Sign = Literal["pass", "fail", "open", "best", "tie", "simulated", "not-comparable", "better", "worse", "same", "new", "missing"]


@dataclass(frozen=True, slots=True)
class Titles:
    """A text by language, such as a workload's title."""

    texts: Mapping[str, str]
    fallback: str = ""


#: What goes into a phrase.
Value = float | int | str | bool | None | Titles


@dataclass(frozen=True, slots=True)
class Phrase:
    """A word or sentence of the catalogues: its id, and what is filled in (see ``npubench_reports.said.compose``)."""

    key: str
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Text:
    """Words that are nobody's to translate: a target's name, a vendor's sentence. Never markup, path or formula."""

    text: str


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence of the kernel's, in English in the record, which catalogues know (``npubench_reports.reasons``)."""

    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a finding says, by the catalogue's words for its rule and else its own; ``whole`` is what was seen and required.

    ``rule`` is what its rule is called, and ``meaning`` what that means, which only the catalogue knows.
    """

    finding: Finding
    what: Literal["rule", "meaning", "observed", "required", "advice", "whole"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A verdict: a sign and the word beside it."""

    sign: Sign
    word: Phrase


@dataclass(frozen=True, slots=True)
class RunReference:
    """A run, by its identifier; it leads to the record."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A number that somebody set or counted, such as a bound of 50 ms or 3 devices: shown with the digits it has, no more."""

    value: float
    unit: str = ""


#: What a cell shows. ``None`` is a cell with nothing to say; a value that is missing is an Estimate with its reason.
#: Units of estimates are the record's own, and beside them: KRW, share (0…1, shown as %), times (a ratio, shown as 1.23×).
Content = Phrase | Text | Titles | Reason | Told | Mark | RunReference | Estimate | Setting | int | None


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of a grid, the runs it comes from, and a remark under it."""

    content: Content
    runs: tuple[str, ...] = ()
    remark: Phrase | Reason | Told | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and whether it holds numbers."""

    heading: Phrase | Text | Titles
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row: what it is of, a cell a column after the first, and the group it stands in where the table has groups."""

    heading: Cell
    cells: tuple[Cell, ...]
    group: Cell | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. ``columns[0]`` heads the rows' headings. ``name`` is unique in the document and fit for a file or a sheet.

    Rows one after the other with the same group stand together under it; ``grouping`` says what the groups are, and is there
    where rows have groups.
    """

    name: str
    caption: Phrase
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    remarks: tuple[Phrase | Reason, ...] = ()
    grouping: Phrase | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: what is on it, in which unit, and how it is drawn. ``categories`` are the places of an axis that is no scale."""

    label: Phrase
    unit: str = ""
    logarithmic: bool = False
    categories: tuple[Phrase | Text | Titles, ...] = ()
    from_zero: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A point: its place (a value, or the index of a category), its value or None for a gap, and the value's interval."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together, and what they are: measured, declared by a vendor, or of a simulated device.

    ``look`` is the number of its colour, dash and marker, so that one thing looks the same in every plot; its place among the
    plot's series where it is None.
    """

    label: Phrase | Text | Titles
    points: tuple[Point, ...]
    nature: Literal["measured", "declared", "simulated"] = "measured"
    joined: bool = True
    look: int | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the x axis with a name: a phase, a change-point's neighbourhood; ``grave`` where something was wrong in it."""

    label: Phrase
    start: float
    end: float
    grave: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """A named line across the plot at one value of y (``across``) or of x."""

    label: Phrase
    at: float
    across: bool = True


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture, told in words by ``alt``, with its data as a table behind it."""

    name: str
    caption: Phrase
    alt: Phrase
    form: Literal["lines", "bars", "points", "steps"]
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    table: Grid
    stretches: tuple[Stretch, ...] = ()
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    sentences: tuple[Phrase | Reason | Text, ...]


@dataclass(frozen=True, slots=True)
class Points:
    """Sentences one under the other; ``ordered`` where their order is a rank."""

    sentences: tuple[Phrase, ...]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a list of facts."""

    label: Phrase | Text
    cell: Cell


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts, label and value."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence that must not be overlooked."""

    gravity: Gravity
    sentence: Phrase


Block = Paragraph | Points | Facts | Notice | Grid | Plot


@dataclass(frozen=True, slots=True)
class Section:
    """A part with a heading. ``name`` is unique in the document: the anchor in HTML, the outline in PDF."""

    name: str
    heading: Phrase | Titles | Text
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run that the report stands on: where it is in the store, what it is, and its record's digest."""

    run_id: str
    system_id: str
    target: str
    workload: str
    scenario: str
    precision: str
    grade: str
    status: str
    started_at: str
    simulated: bool
    record_digest: str


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report. One that stands on a simulated device or on smoke runs says so on every page (``banners``)."""

    kind: Kind
    title: Phrase
    subject: str
    made_at: str
    harness: str
    banners: tuple[Phrase, ...]
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
    runs: tuple[RunLine, ...]
