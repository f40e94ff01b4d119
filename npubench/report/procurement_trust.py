"""How far figures can be trusted: audits, steadiness, the harness's own health, repeats and ranging, of every candidate.

One row a candidate; a place stands by itself only where something is not well, with what was observed and what is asked for.
Judges nothing: findings and audits are the records'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.finding import Finding, by_gravity
from npubench.plan.grades import GRADES
from npubench.record.schema import Record
from npubench.report.audit_states import audits_of, count_states, failed_audits
from npubench.report.document import (
    Block,
    Cell,
    Column,
    Grid,
    Mark,
    Notice,
    Paragraph,
    Phrase,
    Reason,
    Row,
    Section,
    Sign,
    Text,
    Told,
)
from npubench.report.page import Subject
from npubench.report.procurement_detail import cited_runs, detailed_runs, some_names
from npubench.report.procurement_offers import Lineup, Spot, Standing
from npubench.report.procurement_places import place_heading

#: What is looked at, and the rules whose findings speak of it.
CHECKS: Mapping[str, tuple[str, ...]] = {
    "audits": (),
    "settled": ("not-warmed-up",),
    "level": ("drift", "change-point"),
    "shape": ("several-modes", "outliers"),
    "throttling": ("throttled",),
    "client": ("client-cpu", "client-lag", "run-queue", "page-faults", "foreign-load", "stolen-time", "device-shared"),
    "repeats": ("wide-interval",),
    "ranging": ("below-ranging", "ranges-not-fixed"),
}
#: What a run is by one of them: a rule is broken; there is a warning; nobody can tell; it was not asked for; all is well; there
#: is nothing to look at.
State = Literal["ill", "doubtful", "unknown", "unasked", "well", "none"]
#: What stands beside a count of runs in the gravest state of any.
_SIGNS: Mapping[State, Sign | None] = {"ill": "fail", "doubtful": "open", "unknown": "open", "unasked": None, "well": "pass"}
#: Facts of a record that show how the device felt in the window.
_FELT = ("device-clock:", "device-temperature:")

#: As many places and lines of evidence are shown, the gravest; the tables of places above name the findings of all of them.
MOST_PLACES, MOST_DOUBTS = 100, 200

#: A candidate in a place.
Where = tuple[Spot, Standing]


def trust_section(lineup: Lineup) -> Section:
    """Return the section on all candidates in all places."""
    everywhere = [(spot, standing) for spot in lineup.spots for standing in spot.standings]
    unwell = sorted((each for each in everywhere if not is_well(each[1])), key=_gravity)
    blocks: list[Block] = [_lead(everywhere), _overview(lineup, everywhere)]
    if unwell:
        blocks.append(_places(lineup, unwell))
        if rows := [row for where in unwell for row in _doubts(lineup, *where)]:
            blocks.append(_doubt_grid(lineup, rows))
    else:
        blocks.append(Notice("note", Phrase("procurement.trust.nothing")))
    if rows := _undecided(lineup, everywhere):
        blocks.append(_undecided_grid(rows))
    if rows := [row for where in everywhere if where[1].detailed for row in _ranging(lineup, *where)]:
        blocks.append(_ranging_grid(rows))
    return Section("trust", Phrase("procurement.trust.heading"), tuple(blocks))


def is_well(standing: Standing) -> bool:
    """Return whether nothing speaks against a candidate's runs in a place: no broken rule, warning or undecided audit."""
    states = {name: _states(name, [standing]) for name in CHECKS}
    return not any(found["ill"] or found["doubtful"] for found in states.values()) and not states["audits"]["unknown"]


def _gravity(where: Where) -> tuple[bool, bool]:
    """Return the order of what is not well: failed audits, then whatever else makes a run invalid, then the rest."""
    _, standing = where
    caught = any(failed_audits(record) for record in standing.records)
    return not caught, standing.cell.status == "ok"


def _left_out(lineup: Lineup, count: int, most: int) -> tuple[Phrase, ...]:
    key = "procurement.trust.left-out" if lineup.whole else "procurement.others.gravest"
    return (Phrase(key, {"count": count - most}),) if count > most else ()


def _measured(record: Record) -> bool:
    return record.status in ("ok", "invalid")


def _audits(record: Record) -> State:
    states = {state for _, state in audits_of(record)}
    if not states:
        return "none" if record.spec.audits or not _measured(record) else "unasked"
    if "failed" in states:
        return "ill" if failed_audits(record) else "doubtful"
    return "unknown" if "undecided" in states else "well"


def _settled(record: Record) -> State:
    if record.stability is None or record.stability.warmed_up is None:
        return "unknown"
    return "well" if record.stability.warmed_up else "doubtful"


def _level(record: Record) -> State:
    # A window of a second is too short to see a level go; nothing found there is no proof.
    return "unknown" if record.stability is None or not GRADES[record.spec.grade].ranked else "well"


def _shape(record: Record) -> State:
    # Offline has no latencies, and batches in the server scenario follow the arrivals: there is no shape to look at.
    if record.spec.load.scenario.value == "offline" or (record.stability is not None and record.stability.queries is None):
        return "none"
    return "unknown" if record.stability is None or record.stability.modes is None else "well"


def _throttling(record: Record) -> State:
    return "well" if any(name.startswith(_FELT) for name in record.system.volatile) else "unknown"


def _client(record: Record) -> State:
    return "unknown" if record.client is None else "well"


def _ranged(record: Record) -> State:
    if record.ranging:
        return "well"
    return "unknown" if record.spec.ranging_ns and record.energy else "none"


#: What a run is where no finding speaks against it.
_OTHERWISE: Mapping[str, Callable[[Record], State]] = {
    "settled": _settled,
    "level": _level,
    "shape": _shape,
    "throttling": _throttling,
    "client": _client,
    "ranging": _ranged,
}


def _state(name: str, record: Record) -> State:
    """Return what a run is by one check; findings that make it invalid weigh more than warnings."""
    if name == "audits":
        return _audits(record)
    if not _measured(record):
        return "none"
    found = {finding.severity for finding in record.findings if finding.rule in CHECKS[name]}
    return "ill" if "invalid" in found else "doubtful" if "warning" in found else _OTHERWISE[name](record)


def _states(name: str, standings: Iterable[Standing]) -> Counter[State]:
    """Return how many runs are what by one check; of repeats, how many places."""
    if name == "repeats":
        return Counter(_repeats(standing) for standing in standings)
    return Counter(_state(name, record) for standing in standings for record in standing.records)


def _repeats(standing: Standing) -> State:
    """Return whether a place has the repeats that its grade asks for, and an interval no wider than that allows."""
    if standing.cell.status not in ("ok", "invalid"):
        return "none"
    if len(standing.records) < GRADES[standing.cell.grade].repeats:
        return "ill"
    if any(finding.rule in CHECKS["repeats"] for finding in standing.cell.findings):
        return "doubtful"
    headline = standing.cell.headline
    return "well" if headline is not None and headline.low is not None and headline.high is not None else "unknown"


def _count_cell(name: str, standings: Sequence[Standing], runs: tuple[str, ...]) -> Cell:
    """Return the gravest state there is, with how many runs are in it; of audits, what each came to."""
    found = _states(name, standings)
    whole = sum(count for state, count in found.items() if state != "none")
    if not whole:
        return Cell(Phrase("procurement.trust.none"), runs)
    gravest = next(state for state in _SIGNS if found[state])
    unit = "place" if name == "repeats" else "run"
    word = Phrase(f"procurement.trust.{gravest}.{unit}", {"count": found[gravest], "all": whole})
    states = count_states(record for standing in standings for record in standing.records)
    remark = None
    if name == "audits" and states:
        counts = {"passed": states["passed"], "failed": states["failed"], "open": states["undecided"]}
        remark = Phrase("procurement.trust.audit-counts", {**counts, "other": states["not-applicable"]})
    sign = _SIGNS[gravest]
    return Cell(word if sign is None else Mark(sign, word), runs, remark)


def _lead(everywhere: Sequence[Where]) -> Paragraph:
    records = [record for _, standing in everywhere for record in standing.records]
    audited = [record for record in records if record.audits]
    clean = sum(not any(state in ("failed", "undecided") for _, state in audits_of(record)) for record in audited)
    values = {"audited": len(audited), "runs": len(records), "clean": clean}
    key = "procurement.trust.audited" if audited else "procurement.trust.unaudited"
    return Paragraph((Phrase("procurement.trust.lead"), Phrase(key, values)))


def _columns(*first: str) -> tuple[Column, ...]:
    return (*map(_column, first), *(Column(Phrase(f"procurement.trust.{name}")) for name in CHECKS))


def _column(name: str) -> Column:
    vocabulary = "document" if name in ("candidate", "observed", "required") else "procurement"
    return Column(Phrase(f"{vocabulary}.column.{name}"))


def _overview(lineup: Lineup, everywhere: Sequence[Where]) -> Grid:
    rows = []
    there: dict[str, list[Standing]] = {subject.key: [] for subject in lineup.offers}
    for _, standing in everywhere:
        there[standing.offer].append(standing)
    for subject in lineup.listed:
        mine = there[subject.key]
        runs = detailed_runs(mine)
        heading = Cell(Text(subject.label), runs, _remark(lineup, subject))
        rows.append(Row(heading, tuple(_count_cell(name, mine, runs) for name in CHECKS)))
    if lineup.unlisted:
        rest = [standing for _, standing in everywhere if standing.offer in lineup.unlisted]
        counts = tuple(_count_cell(name, rest, ()) for name in CHECKS)
        rows.append(Row(Cell(Phrase("procurement.others.rest", {"count": len(lineup.unlisted)})), counts))
    return Grid(
        name="trust",
        caption=Phrase("procurement.trust.caption"),
        columns=_columns("candidate"),
        rows=tuple(rows),
        remarks=(Phrase("procurement.trust.signs"), Phrase("procurement.trust.untold")),
    )


def _remark(lineup: Lineup, subject: Subject) -> Phrase | None:
    if subject.simulated:
        return Phrase("document.simulated")
    return Phrase("procurement.reference") if subject.key == lineup.reference else None


def _places(lineup: Lineup, unwell: Sequence[Where]) -> Grid:
    rows = tuple(
        Row(
            Cell(Text(lineup.label(standing.offer)), standing.runs),
            (Cell(place_heading(spot), standing.runs), *(_count_cell(name, [standing], standing.runs) for name in CHECKS)),
        )
        for spot, standing in unwell[:MOST_PLACES]
    )
    columns, remarks = _columns("candidate", "place"), _left_out(lineup, len(unwell), MOST_PLACES)
    return Grid("trust-places", Phrase("procurement.trust.places"), columns, rows, remarks)


def _doubts(lineup: Lineup, spot: Spot, standing: Standing) -> Iterator[Row]:
    """Yield what speaks against a candidate in a place: failed audits, then findings, the grave ones first."""

    def row(run: str, mark: Mark, *said: Reason | Told | Phrase) -> Row:
        cells = (Cell(place_heading(spot)), Cell(mark), *map(Cell, said))
        return Row(Cell(Text(lineup.label(standing.offer)), (run,)), tuple(Cell(c.content, (run,)) for c in cells))

    rules = {rule for rules in CHECKS.values() for rule in rules}
    for record in standing.records:
        grave = failed_audits(record)
        for audit, state in audits_of(record):
            if state == "failed":
                sign: Sign = "fail" if audit in grave else "open"
                mark = Mark(sign, Phrase("procurement.trust.audit", {"audit": audit.name}))
                yield row(record.run_id, mark, Reason(audit.observed), Reason(audit.required))
        for finding in by_gravity(record.findings):
            if finding.rule in rules and finding.severity != "note":
                yield row(record.run_id, _finding_mark(finding), Told(finding, "observed"), Told(finding, "required"))
    asked = GRADES[standing.cell.grade].repeats
    if standing.cell.status in ("ok", "invalid") and len(standing.records) < asked:
        said = [Phrase("procurement.trust.repeats-are", {"count": n}) for n in (len(standing.records), asked)]
        yield row(standing.runs[0], Mark("fail", Phrase("procurement.trust.repeats")), *said)
    for finding in standing.cell.findings:
        if finding.rule in CHECKS["repeats"]:
            yield row(standing.runs[0], _finding_mark(finding), Told(finding, "observed"), Told(finding, "required"))


def _finding_mark(finding: Finding) -> Mark:
    return Mark("fail" if finding.severity == "invalid" else "open", Phrase(f"finding.{finding.rule}"))


def _doubt_grid(lineup: Lineup, rows: Sequence[Row]) -> Grid:
    columns = tuple(map(_column, ("candidate", "place", "what", "observed", "required")))
    remarks = _left_out(lineup, len(rows), MOST_DOUBTS)
    return Grid("trust-doubts", Phrase("procurement.trust.doubts"), columns, tuple(rows[:MOST_DOUBTS]), remarks)


def _undecided(lineup: Lineup, everywhere: Sequence[Where]) -> list[Row]:
    """Return the audits that could not tell, each once for each reason, with how many runs of whom."""
    found: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for _, standing in everywhere:
        for record in standing.records:
            for audit, state in audits_of(record):
                if state == "undecided":
                    who = found.setdefault((audit.name, audit.observed, audit.required), {})
                    who.setdefault(standing.offer, []).append(record.run_id)
    rows = []
    for (name, observed, required), who in sorted(found.items()):
        every = tuple(run for mine in who.values() for run in mine)
        runs = cited_runs(lineup, every)
        labels = Text(some_names(lineup, [lineup.label(offer) for offer in who]))
        cells = (Cell(Reason(observed), runs), Cell(Reason(required), runs), Cell(labels, runs), Cell(len(every), runs))
        rows.append(Row(Cell(Phrase(f"audit.{name}"), runs), cells))
    return rows


def _undecided_grid(rows: Sequence[Row]) -> Grid:
    columns = tuple(map(_column, ("audit", "observed", "required", "who")))
    runs = Column(Phrase("document.column.runs"), True)
    gone = len(rows) - MOST_DOUBTS
    remarks = (Phrase("procurement.trust.left-out-audits", {"count": gone}),) if gone > 0 else ()
    caption = Phrase("procurement.trust.undecided")
    return Grid("trust-undecided", caption, (*columns, runs), tuple(rows[:MOST_DOUBTS]), remarks)


def _ranging(lineup: Lineup, spot: Spot, standing: Standing) -> Iterator[Row]:
    """Yield what each meter saw in the ranging run beside what it saw in the measured window."""
    for record in standing.records:
        run = (record.run_id,)
        for seen in record.ranging:
            tested = next((e.watts for e in record.energy if (e.sensor, e.domain) == (seen.sensor, seen.domain)), None)
            watts = tested or absent("W", "not measured in this run")
            below: Estimate = absent("share", "not measured in this run")
            if watts.value is not None and seen.watts.value is not None and seen.watts.value > 0:
                below = Estimate(watts.value / seen.watts.value - 1.0, "share")
            cells = (
                Cell(place_heading(spot), run),
                Cell(Text(seen.sensor), run, Phrase(f"domain.{seen.domain}")),
                Cell(seen.watts, run),
                Cell(watts, run),
                Cell(below, run),
            )
            yield Row(Cell(Text(lineup.label(standing.offer)), run), cells)


def _ranging_grid(rows: Sequence[Row]) -> Grid:
    columns = [*map(_column, ("candidate", "place", "sensor"))]
    columns += [Column(Phrase(f"procurement.column.{name}"), True) for name in ("ranging-power", "power", "change")]
    return Grid("trust-ranging", Phrase("procurement.trust.ranged"), tuple(columns), tuple(rows))
