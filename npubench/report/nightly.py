"""The page of the morning as data: what changed since the night before, what is missing, what is noisy, and the trends."""

from __future__ import annotations

from collections.abc import Sequence

from npubench.analyze.estimate import Estimate
from npubench.analyze.metrics import HEADLINE
from npubench.analyze.trend import FEWEST, NOISY, UNKNOWN, WINDOW
from npubench.record.store import Entry
from npubench.report.cited import cited
from npubench.report.document import (
    Cell,
    Column,
    Document,
    Fact,
    Grid,
    Mark,
    Notice,
    Paragraph,
    Phrase,
    Points,
    Reason,
    Row,
    Section,
    Sign,
    Text,
    Titles,
    Value,
)
from npubench.report.feedback_versions import versions_of
from npubench.report.frame import make_document
from npubench.report.nightly_nights import ALARMS, Line, Nights, Stand, State, follow
from npubench.report.nightly_trends import trend_section

#: What sign stands before each state.
SIGNS: dict[State, Sign] = {
    "better": "better",
    "worse": "worse",
    "same": "same",
    "broken": "fail",
    "mended": "pass",
    "new": "new",
    "missing": "missing",
    "noisy": "open",
    "bad": "fail",
    "other-work": "not-comparable",
}
#: In which order changes are told: alarms first.
ORDER: tuple[State, ...] = ("broken", "missing", "worse", "bad", "noisy", "other-work", "better", "mended", "new", "same")
#: As many cells are shown of how much they scatter, and all that are in quarantine.
MOST_STEADY = 25
#: As many cells of a system are named where its versions changed.
MOST_VERSIONS = 60


def alarms(nights: Nights) -> int:
    """Return how many cells got worse, broke or are missing."""
    return len(nights.of(*ALARMS))


def build_nightly(entries: Sequence[Entry], *, subject: str, nights: Nights | None = None) -> Document:
    """Build the nightly page.

    Args:
        entries: All runs of a store; one at least.
        subject: What it is of, such as the store's name.
        nights: What :func:`npubench.report.nightly_nights.follow` made of them, where that is at hand.
    """
    nights = nights if nights is not None else follow(entries)
    sections = [
        _summary(nights),
        _changes(nights),
        _missing(nights),
        _noisy(nights),
        _versions(nights),
        trend_section(nights),
    ]
    runs = cited(sections)
    chosen = [entry for entry in entries if entry.record.run_id in runs]
    facts = (
        Fact(Phrase("nightly.fact.tonight"), Cell(Text(nights.tonight))),
        Fact(Phrase("nightly.fact.before"), Cell(Text(nights.names[-2]) if len(nights.names) > 1 else Phrase("nightly.none"))),
        Fact(Phrase("nightly.fact.nights"), Cell(len(nights.names))),
        Fact(Phrase("document.fact.runs"), Cell(len(chosen))),
    )
    return make_document("nightly", subject, chosen, sections, facts)


def _summary(nights: Nights) -> Section:
    heading = Phrase("nightly.summary.heading")
    if len(nights.names) == 1:
        return Section(
            "summary", heading, (Notice("note", Phrase("nightly.summary.first", {"count": len(nights.lines)})), _counts(nights))
        )
    wrong = alarms(nights)
    gravity_key = "nightly.summary.alarm" if wrong else "nightly.summary.quiet"
    notice = Notice("stop" if wrong else "note", Phrase(gravity_key, {"count": wrong, "all": len(nights.lines)}))
    points = tuple(
        Phrase(f"nightly.point.{line.state}", {**where(line), "change": line.step.ratio - 1 if line.step else 0.0})
        for state in ALARMS
        for line in nights.of(state)[:8]
    )
    return Section("summary", heading, (notice, *([Points(points)] if points else []), _counts(nights)))


def _counts(nights: Nights) -> Grid:
    rows = tuple(
        Row(
            Cell(Mark(SIGNS[state], Phrase(f"nightly.state.{state}"))),
            (Cell(len(there)), Cell(Phrase(f"nightly.state.{state}.text"))),
        )
        for state in ORDER
        if (there := nights.of(state))
    )
    return Grid(
        name="counts",
        caption=Phrase("nightly.summary.caption"),
        columns=(
            Column(Phrase("document.column.verdict")),
            Column(Phrase("nightly.column.cells"), True),
            Column(Phrase("nightly.column.meaning")),
        ),
        rows=rows,
        remarks=(Phrase("nightly.rule", {"nights": FEWEST, "unknown": UNKNOWN}),),
    )


def where(line: Line) -> dict[str, Value]:
    """Return what fills ``nightly.where`` and the points in."""
    system, target, precision, workload, scenario, grade, load = line.cell
    title = line.stands[-1].record.bundle.title
    batch, _, flight = load.partition("/")
    return {
        "target": target,
        "system": system,
        "precision": precision,
        "workload": Titles(title, workload),
        "scenario": scenario,
        "grade": grade,
        "batch": int(batch),
        "flight": int(flight),
    }


def _changes(nights: Nights) -> Section:
    """Return every cell that is not the same as the night before, the alarms first."""
    rows = []
    for state in ORDER:
        for line in nights.of(state) if state not in ("same", "missing") else ():
            now, then = line.stands[-1], line.stands[-2] if len(line.stands) > 1 else None
            rows.append(_change(line, now, then))
    heading = Phrase("nightly.changes.heading")
    if not rows:
        return Section("changes", heading, (Paragraph((Phrase("nightly.changes.none"),)),))
    grid = Grid(
        name="changes",
        caption=Phrase("nightly.changes.caption"),
        columns=(
            Column(Phrase("nightly.column.cell")),
            Column(Phrase("document.column.verdict")),
            Column(Phrase("document.column.metric")),
            Column(Phrase("nightly.column.before"), True),
            Column(Phrase("nightly.column.tonight"), True),
            Column(Phrase("nightly.column.ratio"), True),
            Column(Phrase("nightly.column.tolerance"), True),
        ),
        rows=tuple(rows),
        remarks=(Phrase("nightly.changes.remark"),),
    )
    return Section("changes", heading, (grid,))


def _change(line: Line, now: Stand, then: Stand | None) -> Row:
    rule = HEADLINE[now.record.spec.load.scenario]
    runs = now.runs + (then.runs if then is not None else ())
    cells = (
        Cell(Mark(SIGNS[line.state], Phrase(f"nightly.state.{line.state}")), runs),
        Cell(Phrase(f"metric.{rule.metric}")),
        _figure(then) if then is not None else Cell(None),
        _figure(now),
        Cell(Estimate(line.step.ratio, "times"), runs) if line.step is not None else Cell(None),
        Cell(Estimate(line.step.tolerance, "share"), runs) if line.step is not None else Cell(None),
    )
    return Row(Cell(Phrase("nightly.where", where(line)), runs), cells)


def _figure(stand: Stand) -> Cell:
    """Return a night's figure, or its status with the reason where it does not hold."""
    if stand.headline is not None:
        return Cell(stand.headline, stand.runs)
    return Cell(Phrase(f"status.{stand.status}"), stand.runs, Reason(stand.record.reason or ""))


def _missing(nights: Nights) -> Section:
    heading = Phrase("nightly.missing.heading")
    there = nights.of("missing")
    if not there:
        return Section("missing", heading, (Paragraph((Phrase("nightly.missing.none"),)),))
    rows = []
    for line in there:
        last = line.stands[-1]
        cells = (Cell(Text(last.night), last.runs), _figure(last), Cell(Phrase(f"status.{last.status}"), last.runs))
        rows.append(Row(Cell(Phrase("nightly.where", where(line)), last.runs), cells))
    grid = Grid(
        name="missing",
        caption=Phrase("nightly.missing.caption"),
        columns=(
            Column(Phrase("nightly.column.cell")),
            Column(Phrase("nightly.column.last")),
            Column(Phrase("document.column.value"), True),
            Column(Phrase("document.column.status")),
        ),
        rows=tuple(rows),
    )
    return Section("missing", heading, (Notice("warning", Phrase("nightly.missing.lead", {"count": len(rows)})), grid))


def _noisy(nights: Nights) -> Section:
    """Return the cells in quarantine, and how much every other one scatters."""
    known = sorted((line for line in nights.lines if line.scatter is not None), key=lambda line: -(line.scatter or 0.0))
    heading = Phrase("nightly.noisy.heading")
    if not known:
        return Section("noisy", heading, (Paragraph((Phrase("nightly.noisy.unknown", {"nights": FEWEST}),)),))
    rows: list[Row] = []
    for line in known:
        size = line.scatter or 0.0
        noisy = size >= NOISY
        if not noisy and len(rows) >= MOST_STEADY:
            break
        nights_used = line.valued[-WINDOW - 1 :]
        runs = tuple(run for stand in nights_used for run in stand.runs)
        mark = Mark("open" if noisy else "pass", Phrase("nightly.noisy.quarantine" if noisy else "nightly.noisy.steady"))
        cells = (Cell(mark, runs[-1:]), Cell(Estimate(size, "share", n=len(nights_used)), runs), Cell(len(nights_used)))
        rows.append(Row(Cell(Phrase("nightly.where", where(line)), runs[-1:]), cells))
    grid = Grid(
        name="noisy",
        caption=Phrase("nightly.noisy.caption"),
        columns=(
            Column(Phrase("nightly.column.cell")),
            Column(Phrase("document.column.verdict")),
            Column(Phrase("nightly.column.scatter"), True),
            Column(Phrase("nightly.column.nights"), True),
        ),
        rows=tuple(rows),
        remarks=(Phrase("nightly.noisy.rule", {"limit": NOISY, "nights": WINDOW, "shown": len(rows), "all": len(known)}),),
    )
    return Section("noisy", heading, (grid,))


def _versions(nights: Nights) -> Section:
    """Return what became another version since the night before, which is where to look first."""
    found: dict[tuple[str, str, str, str, str], list[str]] = {}
    for line in nights.lines:
        if line.state == "missing" or len(line.stands) < 2:
            continue
        old, new = line.stands[-2].record, line.stands[-1].record
        before, after = versions_of(old), versions_of(new)
        for name in dict.fromkeys((*before, *after)):
            if before.get(name) != after.get(name):
                key = (line.cell[0], line.cell[1], name, before.get(name, "—"), after.get(name, "—"))
                found.setdefault(key, []).append(new.run_id)
    heading = Phrase("nightly.versions.heading")
    if not found:
        return Section("versions", heading, (Paragraph((Phrase("nightly.versions.none"),)),))
    rows = tuple(
        Row(
            Cell(Text(f"{target} · {system}"), tuple(runs[:3])),
            (Cell(Text(name)), Cell(Text(before)), Cell(Text(after)), Cell(len(runs), tuple(runs[:3]))),
        )
        for (system, target, name, before, after), runs in list(found.items())[:MOST_VERSIONS]
    )
    grid = Grid(
        name="versions",
        caption=Phrase("nightly.versions.caption"),
        columns=(
            Column(Phrase("document.column.target")),
            Column(Phrase("document.column.item")),
            Column(Phrase("nightly.column.before")),
            Column(Phrase("nightly.column.tonight")),
            Column(Phrase("nightly.column.cells"), True),
        ),
        rows=rows,
    )
    return Section("versions", heading, (grid,))
