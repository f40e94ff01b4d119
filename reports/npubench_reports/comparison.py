"""A comparison page made ready for its template: numbers as text, findings numbered, every cell with its place.

Chooses wording and digits only. What is valid, ranked, better or comparable is taken from the page as it stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding
from npubench.report.page import Cell, ComparisonPage, Ratio, Row, Subject, Table
from npubench_reports import findings, numbers
from npubench_reports.conditions import unlike_text
from npubench_reports.messages import Messages
from npubench_reports.reasons import say
from npubench_reports.said import Said, join, own
from npubench_reports.titles import Title, short_titles

#: Metrics in the order of the detail tables; others follow by name.
METRICS = (
    "throughput", "query_rate", "latency_min", "latency_p50", "latency_mean", "latency_p90", "latency_p95", "latency_p97",
    "latency_p99", "latency_p999", "latency_max",
)  # fmt: skip
STATUSES = ("ok", "invalid", "failed", "skipped")
SEVERITIES = ("invalid", "warning", "note")
#: From the least a number may be used for to the most.
GRADES = ("smoke", "nightly", "official")


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the page may be used for: a level for its look, a heading, sentences, and the count of runs by status."""

    level: str
    heading: str
    sentences: tuple[str, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Marker:
    """A pointer from a cell to one of its findings; the same number is the same rule everywhere on the page.

    ``anchor`` is where the finding stands; runs with the very same note share one place.
    """

    number: int
    anchor: str
    finding: Finding
    observed: Said
    required: Said
    advice: Said


@dataclass(frozen=True, slots=True)
class Gate:
    """The accuracy of a run beside its bound, or why there is none; ``sign`` is empty where the direction is not known."""

    value: str
    exact: str
    unit: str
    required: str
    sign: str
    missed: bool
    why: Said


@dataclass(frozen=True, slots=True)
class RatioView:
    """A ratio to the baseline as text."""

    text: str
    interval: str
    confidence: str
    exact: str
    verdict: str
    reason: Said
    unlike: str


@dataclass(frozen=True, slots=True)
class CellView:
    """One cell: the subject's outcome as text, or ``cell`` is ``None`` where nothing was run.

    ``why`` says why the run is not valid or has no number, ``unbounded`` why the number has no interval.
    """

    subject: Subject
    cell: Cell | None
    anchor: str
    headline: numbers.Figure | None
    why: Said
    unbounded: Said
    gate: Gate | None
    ratio: RatioView | None
    markers: tuple[Marker, ...]


@dataclass(frozen=True, slots=True)
class RowView:
    """One workload's row; ``title`` is the short one and ``about`` the rest of the whole."""

    row: Row
    title: str
    about: str
    task: str
    gate: str
    operations: str
    cells: tuple[CellView, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """One figure of a detail table, and the letter of the note that says why it or its interval is missing.

    ``count`` is how many observations an absent one would have stood on, where the note leaves that to it.
    """

    figure: numbers.Figure | None
    note: str
    count: str


@dataclass(frozen=True, slots=True)
class DetailTable:
    """Every further metric of a scenario: a group of lines a workload, a detail a metric in each; ``notes`` reason by letter."""

    metrics: tuple[str, ...]
    groups: tuple[tuple[RowView, tuple[tuple[CellView, tuple[Detail, ...]], ...]], ...]
    notes: Mapping[str, Said]


@dataclass(frozen=True, slots=True)
class Note:
    """A finding of severity "note" and every run of the scenario that has the very same one, by workload title.

    ``everywhere`` is true where that is every run of the scenario.
    """

    marker: Marker
    runs: Mapping[str, tuple[CellView, ...]]
    everywhere: bool


@dataclass(frozen=True, slots=True)
class TableView:
    """One scenario's table, with the subjects that it was asked of.

    ``unranked`` is the reason all its cells share for having no rank, or ``""``.
    """

    table: Table
    anchor: str
    subjects: tuple[Subject, ...]
    rows: tuple[RowView, ...]
    unranked: str
    details: DetailTable
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that raised findings somewhere on the page."""

    number: int
    rule: str
    severity: str
    runs: int


def purpose(page: ComparisonPage, messages: Messages) -> Purpose:
    """Say what ``page`` may be used for: by its lowest grade, and not for more than its valid, real runs allow."""
    simulated = {s.key: s.label for s in page.subjects if s.simulated}
    cells = [cell for table in page.tables for row in table.rows for cell in row.cells]
    counts = Counter(cell.status for cell in cells)
    grades = sorted(page.grades, key=lambda g: GRADES.index(g) if g in GRADES else -1)
    if not cells:
        level = "empty"
    elif len(simulated) == len(page.subjects):
        level = "simulated"
    elif not any(cell.status == "ok" and cell.subject not in simulated for cell in cells):
        level = "none-valid"
    else:
        level = grades[0] if grades and grades[0] in GRADES else "unknown"
    sentences = [messages.name("purpose.grade", grade) for grade in grades]
    if simulated:
        sentences.append(messages("purpose.simulated-subjects", labels=", ".join(simulated.values())))
    if "official" in grades:
        sentences.append(messages("purpose.only-valid"))
    sentences.append(messages("purpose.complete"))
    return Purpose(level, messages(f"purpose.heading.{level}"), tuple(sentences), {s: counts[s] for s in _statuses(counts)})


def _statuses(counts: Mapping[str, int]) -> list[str]:
    return [*STATUSES, *(status for status in counts if status not in STATUSES)]


def rules(page: ComparisonPage) -> tuple[Rule, ...]:
    """Number the rules that raised findings: by their worst severity, then by where they first appear."""
    worst: dict[str, int] = {}
    runs: Counter[str] = Counter()
    for table in page.tables:
        for row in table.rows:
            for cell in row.cells:
                runs.update({finding.rule for finding in cell.findings})
                for finding in cell.findings:
                    severity = SEVERITIES.index(finding.severity)
                    worst[finding.rule] = min(severity, worst.get(finding.rule, severity))
    ordered = sorted(worst, key=lambda rule: worst[rule])
    return tuple(Rule(i, rule, SEVERITIES[worst[rule]], runs[rule]) for i, rule in enumerate(ordered, start=1))


def tables(page: ComparisonPage, messages: Messages, numbered: Iterable[Rule]) -> tuple[TableView, ...]:
    """Make every scenario's table ready."""
    number = {rule.rule: rule.number for rule in numbered}
    titles = short_titles(page, messages)
    return tuple(_table(page, table, f"t{i}", messages, number, titles) for i, table in enumerate(page.tables, start=1))


@dataclass(frozen=True, slots=True)
class _Scope:
    """What every cell of a table is worded by: the language, rule → number, note → where it stands."""

    messages: Messages
    number: Mapping[str, int]
    notes: Mapping[tuple[str, ...], str]
    titles: Mapping[str, Title]


def _table(
    page: ComparisonPage,
    table: Table,
    anchor: str,
    messages: Messages,
    number: Mapping[str, int],
    titles: Mapping[str, Title],
) -> TableView:
    cells = [cell for row in table.rows for cell in row.cells]
    distinct = dict.fromkeys(_same(f) for cell in cells for f in cell.findings if f.severity == "note")
    scope = _Scope(messages, number, {note: f"{anchor}n{i}" for i, note in enumerate(distinct, start=1)}, titles)
    asked = {cell.subject for cell in cells}
    # Whoever has no run in the whole scenario has no column in it; places are counted over all of the page.
    columns = {i: subject for i, subject in enumerate(page.subjects, start=1) if subject.key in asked}
    rows = tuple(_row(columns, row, f"{anchor}r{i}", scope) for i, row in enumerate(table.rows, start=1))
    reasons = {cell.unranked if cell.rank is None else "" for cell in cells}
    # What a cell's own labels say does not keep the others from sharing a reason.
    others = reasons - {"simulated", *STATUSES} or reasons
    shared = others.pop() if len(others) == 1 else ""
    return TableView(table, anchor, tuple(columns.values()), rows, shared, _details(rows, messages), _notes(rows))


def _same(finding: Finding) -> tuple[str, ...]:
    """Return what makes two findings read alike."""
    return finding.rule, finding.observed, finding.required, finding.advice


def _notes(rows: Sequence[RowView]) -> tuple[Note, ...]:
    """Gather the notes of a scenario: most hold for many runs at once, and said once they do not bury the rest."""
    found: dict[str, Marker] = {}
    runs: dict[str, dict[str, tuple[CellView, ...]]] = {}
    for row in rows:
        for view in row.cells:
            for marker in view.markers:
                if marker.finding.severity == "note":
                    found.setdefault(marker.anchor, marker)
                    of_row = runs.setdefault(marker.anchor, {})
                    of_row[row.title] = (*of_row.get(row.title, ()), view)
    total = sum(view.cell is not None for row in rows for view in row.cells)
    ordered = sorted(found.values(), key=lambda marker: marker.number)
    return tuple(Note(m, runs[m.anchor], sum(map(len, runs[m.anchor].values())) == total) for m in ordered)


def _row(columns: Mapping[int, Subject], row: Row, anchor: str, scope: _Scope) -> RowView:
    messages = scope.messages
    outcome = {cell.subject: cell for cell in row.cells}
    headlines = [cell.headline for cell in row.cells if cell.headline is not None]
    unit = headlines[0].unit if headlines else ""
    scale = numbers.scale_for((h.value for h in headlines), unit)
    operations = ""
    if row.operations > 0:
        work = Estimate(value=float(row.operations), unit="op")
        shown = numbers.figure(work, numbers.scale_for([work.value], "op"), messages.locale)
        operations = f"{shown.text} {shown.unit}" if shown else ""
    views = tuple(_cell(row, subject, outcome.get(subject.key), f"{anchor}c{i}", scale, scope) for i, subject in columns.items())
    gate = messages.name("gate", row.gate_metric) if row.gate_metric else ""
    title = scope.titles[row.workload]
    return RowView(row, title.short, title.rest, messages.of(row.task, ""), gate, operations, views)


def _cell(row: Row, subject: Subject, cell: Cell | None, anchor: str, scale: numbers.Scale, scope: _Scope) -> CellView:
    messages, number = scope.messages, scope.number
    if cell is None:
        return CellView(subject, None, anchor, None, own(messages("cell.not-run")), Said(()), None, None, ())
    headline = numbers.figure(cell.headline, scale, messages.locale) if cell.headline is not None else None
    lacking = (cell.headline.reason or "") if cell.headline is not None else ""
    reasons = [findings.why(cell.reason, cell.findings, messages)] if cell.reason else []
    if headline is None and lacking and lacking not in cell.reason:
        reasons.append(say(lacking, messages))
    unbounded = say(lacking, messages) if headline is not None and not headline.interval and lacking else Said(())
    ordered = sorted(cell.findings, key=lambda f: (SEVERITIES.index(f.severity), number[f.rule]))
    places = (scope.notes[_same(f)] if f.severity == "note" else f"{anchor}f{i}" for i, f in enumerate(ordered, start=1))
    # Two alike notes of one run would stand in one place: one marker is enough.
    found = dict(zip(places, ordered, strict=True))
    markers = tuple(_marker(number[f.rule], place, f, messages) for place, f in found.items())
    ratio = _ratio(cell.ratio, lacking, messages) if cell.ratio is not None else None
    gate = _gate(row, cell, messages)
    return CellView(subject, cell, anchor, headline, join(reasons, " · "), unbounded, gate, ratio, markers)


def _marker(number: int, place: str, finding: Finding, messages: Messages) -> Marker:
    observed, required = findings.observed(finding, messages), findings.required(finding, messages)
    return Marker(number, place, finding, observed, required, findings.advice(finding, messages))


def _gate(row: Row, cell: Cell, messages: Messages) -> Gate | None:
    if cell.accuracy is None:
        return None
    value, required = cell.accuracy.value, cell.accuracy_required
    missed = any(f.rule == "accuracy-gate" and f.severity == "invalid" for f in cell.findings)
    unit = numbers.scale_for((), row.gate_unit).unit
    sign = {True: "≥", False: "≤", None: ""}[row.gate_higher_is_better]
    text = "" if value is None else numbers.against(value, value if required is None else required, messages.locale)
    return Gate(
        value=text,
        exact=numbers.exactly(cell.accuracy),
        unit=messages.name("unit", unit) if unit else "",
        required="" if required is None else numbers.setting(required, unit, messages.locale).text,
        sign=sign,
        missed=missed,
        why=say(cell.accuracy.reason, messages) if value is None and cell.accuracy.reason else Said(()),
    )


def _ratio(ratio: Ratio, said: str, messages: Messages) -> RatioView:
    """Word a ratio; a reason that the cell has ``said`` already is not said again."""
    estimate = Estimate(value=ratio.value, unit="", low=ratio.low, high=ratio.high, confidence=ratio.confidence)
    shown = numbers.figure(estimate, numbers.Scale(1.0, ""), messages.locale)
    exact = f"{shown.exact}; p = {numbers.plain(ratio.p_value)}" if shown and ratio.p_value is not None else ""
    return RatioView(
        text=shown.text if shown else "",
        interval=shown.interval if shown else "",
        confidence=shown.confidence if shown else "",
        exact=exact or (shown.exact if shown else ""),
        verdict=ratio.verdict,
        reason=_incomparable(ratio.reason, messages) if ratio.reason and ratio.reason != said else Said(()),
        unlike=unlike_text(ratio, messages),
    )


def _incomparable(reason: str, messages: Messages) -> Said:
    key = f"incomparable.{reason}"
    return own(messages(key)) if messages.has(key) else say(reason, messages)


def _details(rows: Sequence[RowView], messages: Messages) -> DetailTable:
    cells = [view.cell for row in rows for view in row.cells if view.cell is not None]
    names = {name for cell in cells for name in cell.details}
    metrics = (*(m for m in METRICS if m in names), *sorted(names.difference(METRICS)))
    letters: dict[Said, str] = {}

    def detail(cell: Cell, metric: str, scales: Mapping[str, numbers.Scale]) -> Detail:
        estimate = cell.details.get(metric)
        shown = None if estimate is None else numbers.figure(estimate, scales[estimate.unit], messages.locale)
        reason = own(messages("cell.not-measured") if estimate is None else messages("cell.no-reason"))
        count = ""
        if estimate is not None and estimate.reason:
            reason = say(estimate.reason, messages, brief=True)
            # What the short sentence leaves out is how much the run had.
            if estimate.n is not None and reason != say(estimate.reason, messages):
                count = numbers.count(estimate.n, messages.locale)
        elif shown is not None:
            return Detail(shown, "", "")
        return Detail(shown, letters.setdefault(reason, _letter(len(letters))), count)

    groups = []
    for row in rows:
        scales = _detail_scales(row)
        lines = tuple(
            (view, tuple(detail(view.cell, metric, scales) for metric in metrics))
            for view in row.cells
            if view.cell is not None and view.cell.details
        )
        groups += [(row, lines)] if lines else []
    return DetailTable(metrics, tuple(groups), {letter: reason for reason, letter in letters.items()})


def _detail_scales(row: RowView) -> dict[str, numbers.Scale]:
    """Return one scale a unit for all of a workload's runs, so that a row reads across and a group reads down."""
    values: dict[str, list[float | None]] = {}
    for view in row.cells:
        for estimate in view.cell.details.values() if view.cell is not None else ():
            values.setdefault(estimate.unit, []).append(estimate.value)
    return {unit: numbers.scale_for(found, unit) for unit, found in values.items()}


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else f"a{index}"
