"""Under which conditions a comparison was measured: what was not run, what differs, the systems; and how to read it all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from npubench.analyze.estimate import Estimate
from npubench.plan.grades import GRADES
from npubench.record.account import EXCLUSIONS
from npubench.report import page
from npubench.report.comparison_cast import WHOM, Cast, named, runs_of
from npubench.report.comparison_others import count_detailed
from npubench.report.comparison_scenarios import why_of
from npubench.report.detail import MOST_MISSING, first_names
from npubench.report.document import (
    Block,
    Cell,
    Column,
    Content,
    Fact,
    Facts,
    Grid,
    Mark,
    Notice,
    Paragraph,
    Phrase,
    Reason,
    Row,
    Section,
    Text,
    Told,
)
from npubench.report.verdicts import status_mark

#: What the metrics are called that a reader may look up.
TERMS = (
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
)
#: As many values of what differs are shown where not all cells are detailed: a row an item, a column a subject.
MOST_DIFFERING = 10_000
STATUSES = ("ok", "invalid", "failed", "skipped")
VERDICTS = ("better", "worse", "indistinguishable", "not-comparable")


def missing_section(cast: Cast) -> Section:
    """Return who lacks what, and why: what was not run, has no value, or no energy."""
    if not cast.page.tables:
        return Section("missing", Phrase("comparison.missing.heading"))
    rows, whole = tuple(_missing(cast)), cast.page.whole is None
    lead = Notice("note", Phrase("comparison.missing.none")) if not rows else Paragraph((Phrase("comparison.missing.lead"),))
    scope = () if whole else (Phrase("procurement.others.missing", count_detailed(cast)),)
    columns = (Column(Phrase("procurement.column.place")), Column(WHOM), Column(Phrase("document.column.reason")))
    kept = rows if whole else rows[:MOST_MISSING]
    grid = Grid("missing", Phrase("comparison.missing.caption"), columns, kept, (*scope, *left_out(rows, kept)))
    blocks = (lead, grid) if rows else (lead, *(Paragraph((each,)) for each in scope))
    return Section("missing", Phrase("comparison.missing.heading"), blocks)


def left_out(rows: Sequence[object], kept: Sequence[object]) -> tuple[Phrase, ...]:
    """Return the sentence that says how many rows are not shown; none where all are."""
    return (Phrase("procurement.others.rows", {"count": len(rows) - len(kept)}),) if len(rows) > len(kept) else ()


def _missing(cast: Cast) -> Iterator[Row]:
    there: dict[tuple[str, str], set[str]] = {}
    for table, row, cell in cast.all_outcomes:
        there.setdefault((table.scenario, row.workload), set()).add(cell.subject)
    for table, row in cast.places():
        place = Cell(cast.place(row.workload, table.scenario))
        run = there.get((table.scenario, row.workload), set())
        gone = [subject.label for subject in cast.page.subjects if subject.key not in run]
        if gone:
            yield Row(place, (Cell(Text(first_names(gone, cast.page.whole is None))), Cell(Reason("not run"))))
        for cell in row.cells:
            if cell.headline is None or cell.headline.value is None:
                runs = runs_of(cell.run_id)
                yield Row(place, (Cell(Text(cast.subjects[cell.subject].label), runs), Cell(_reason(cell), runs)))


def _reason(cell: page.Cell) -> Reason | Told | Phrase:
    lacking: Estimate | None = cell.headline
    if lacking is not None and lacking.reason:
        return Reason(lacking.reason)
    return why_of(cell) or Phrase(f"status.{cell.status}")


def differences_section(cast: Cast) -> Section:
    """Return the subjects, and everything that is not the same for all of them."""
    subjects = cast.page.subjects
    if not subjects:
        return Section("differences", Phrase("section.differences"))
    blocks: list[Block] = [_subjects(cast)]
    whole = cast.page.whole is None
    kept = cast.page.differences if whole else cast.page.differences[: MOST_DIFFERING // len(subjects)]
    scope = () if whole else (Phrase("procurement.others.missing", count_detailed(cast)),)
    if kept:
        rows = tuple(
            Row(
                Cell(Phrase("procurement.difference", {"what": each.what})),
                tuple(Cell(_value(each.what, each.values.get(subject.key, ""))) for subject in subjects),
            )
            for each in kept
        )
        columns = (Column(Phrase("document.column.item")), *(Column(Text(subject.label)) for subject in subjects))
        blocks.append(Paragraph((Phrase("differences.lead"), *scope)))
        remarks = (Phrase("comparison.differences.dash"), *left_out(cast.page.differences, kept))
        blocks.append(Grid("differences", Phrase("comparison.differences.caption"), columns, rows, remarks))
    elif len(subjects) > 1:
        blocks.append(Paragraph((Phrase("differences.none"), *scope)))
    return Section("differences", Phrase("section.differences"), tuple(blocks))


def _value(what: str, value: str) -> Content:
    """Return a difference's value; the kernel's sentences are said in the reader's language."""
    if not value:
        return Text("—")
    return Reason(value) if what.endswith("virtualisation") else Text(value)


def _subjects(cast: Cast) -> Grid:
    names = ("target", "backend", "device", "precision", "options", "system")
    keys = {"target": "document.column.target", "precision": "document.column.precision", "system": "document.column.system"}
    rows = []
    for subject in cast.page.subjects:
        options = ", ".join(f"{key}={value}" for key, value in subject.options.items())
        texts = (subject.backend, subject.device)
        cells = (
            Cell(Text(subject.target)),
            *(Cell(Text(text)) for text in texts),
            Cell(named("precision", subject.precision)),
            Cell(Text(options or "—")),
            Cell(Text(subject.system_id)),
        )
        rows.append(Row(cast.name(subject.key), cells))
    columns = tuple(Column(Phrase(keys.get(name, f"comparison.column.{name}"))) for name in names)
    return Grid("subjects", Phrase("comparison.subjects.caption"), (Column(WHOM), *columns), tuple(rows))


def systems_section(cast: Cast) -> Section:
    """Return the hosts, item by item."""
    systems = cast.page.systems
    known = dict.fromkeys(key for system in systems for key in system.rows)
    rows = [Row(Cell(WHOM), tuple(Cell(Text(_who(cast, system))) for system in systems))]
    rows += [
        Row(Cell(named("system", key)), tuple(Cell(_value(key, system.rows.get(key, ""))) for system in systems)) for key in known
    ]
    columns = (Column(Phrase("document.column.item")), *(Column(Text(system.system_id)) for system in systems))
    grid = Grid("systems", Phrase("comparison.systems.caption"), columns, tuple(rows))
    return Section("systems", Phrase("section.systems"), (grid,) if systems else ())


def _who(cast: Cast, system: page.SystemCard) -> str:
    return ", ".join(subject.label for subject in cast.page.subjects if subject.system_id == system.system_id) or "—"


def reading_section(cast: Cast) -> Section:
    """Return what metrics, states, grades and verdicts mean, and what time does not count."""
    terms = Facts(tuple(Fact(Phrase(f"term.{term}"), Cell(Phrase(f"term.{term}.text"))) for term in TERMS))
    rows = [*_words("status", STATUSES), *_words("grade", GRADES), *_words("verdict", VERDICTS), *_exclusions(cast)]
    columns = (Column(Phrase("comparison.column.word")), Column(Phrase("comparison.column.meaning")))
    grid = Grid("words", Phrase("comparison.words.caption"), columns, tuple(rows), (), Phrase("comparison.column.kind"))
    return Section("reading", Phrase("section.reading"), (terms, grid))


def _words(kind: str, names: Iterable[str]) -> Iterator[Row]:
    group = Cell(Phrase(f"comparison.words.{kind}"))
    for name in names:
        word: Content = Phrase(f"{kind}.{name}")
        if kind == "status":
            word = Mark(status_mark(name).sign, Phrase(f"status.{name}"))
        yield Row(Cell(word), (Cell(Phrase(f"{kind}.{name}.text")),), group)


def _exclusions(cast: Cast) -> Iterator[Row]:
    """Yield what the figures leave out."""
    group = Cell(Phrase("comparison.words.exclusion"))
    for name in cast.page.exclusions:
        text = Phrase(f"exclusion.{name}.text") if name in EXCLUSIONS else None
        yield Row(Cell(named("exclusion", name)), (Cell(text),), group)
    if not cast.page.exclusions:
        yield Row(Cell(Phrase("exclusions.none")), (Cell(None),), group)
