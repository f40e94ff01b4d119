"""The decision: what the comparison may be used for, and who is how much faster and more efficient than the baseline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from npubench.analyze.estimate import Estimate, absent
from npubench.plan.grades import GRADES
from npubench.report.comparison_cast import WHOM, Cast, runs_of
from npubench.report.comparison_others import scale_notices
from npubench.report.detail import first_names
from npubench.report.document import (
    Axis,
    Block,
    Cell,
    Column,
    Content,
    Gravity,
    Grid,
    Level,
    Mark,
    Notice,
    Phrase,
    Plot,
    Point,
    Points,
    Row,
    Section,
    Series,
    Text,
)
from npubench.report.efficiency import POLICY
from npubench.report.page import Ratio, Subject
from npubench.report.verdicts import times

#: How grave the notice of a purpose is; smoke, simulated and invalid runs are said by the document's banners.
_GRAVITY: Mapping[str, Gravity] = {"official": "note", "nightly": "note", "unknown": "warning", "empty": "stop"}

#: More places than these are no overview: the scenarios' own tables have every ratio.
OVERVIEW = 12

#: (workload, scenario).
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Against:
    """A subject against the baseline over all places: the ratios that could be formed, by place, and the runs behind each.

    ``reasons`` says why there is none in the others, ``reason`` why there is none at all.
    """

    ratios: Mapping[Place, Ratio]
    runs: Mapping[Place, tuple[str, ...]]
    reason: str
    reasons: Mapping[Place, str] = field(default_factory=dict)
    domain: str = ""
    evidence: str = ""
    met: int = 0
    missed: int = 0

    @property
    def all_runs(self) -> tuple[str, ...]:
        """All runs behind the ratios."""
        return tuple(dict.fromkeys(run for place in self.ratios for run in self.runs[place]))

    def verdicts(self) -> Counter[str]:
        """Return how often each verdict was given."""
        return Counter(ratio.verdict for ratio in self.ratios.values())

    def ratio(self) -> Estimate:
        """Return the one ratio there is, or the geometric mean of several and of their intervals' ends."""
        found = list(self.ratios.values())
        if not found:
            return absent("times", self.reason)
        if len(found) == 1:
            return times(found[0])
        middle = _geometric([float(each.value or 0.0) for each in found])
        if any(each.low is None or each.high is None for each in found):
            return Estimate(middle, "times")
        low, high = (_geometric([float(getattr(each, end) or 0.0) for each in found]) for end in ("low", "high"))
        return Estimate(middle, "times", low, high)

    def span(self) -> Phrase | None:
        """Return over how many places a mean is, and its least and most; nothing for one place alone."""
        values = [float(ratio.value or 0.0) for ratio in self.ratios.values()]
        if len(values) < 2:
            return None
        return Phrase("comparison.span", {"places": len(values), "least": _two(min(values)), "most": _two(max(values))})


#: What is said of a simulated device: it is no hardware and is compared with none.
SIMULATED = Against({}, {}, "not comparable with the reference: simulated")


def summary_section(cast: Cast) -> Section:
    """Return the decision."""
    blocks: list[Block] = []
    level = purpose(cast)
    if level in _GRAVITY:
        blocks.append(Notice(_GRAVITY[level], Phrase(f"comparison.purpose.{level}")))
    blocks += scale_notices(cast)
    if level == "empty":
        return Section("summary", Phrase("document.summary"), tuple(blocks))
    speed = {subject.key: speed_of(cast, subject.key) for subject in cast.others()} if cast.baseline else {}
    thrift = {subject.key: efficiency_of(cast, subject.key) for subject in cast.others()} if cast.baseline else {}
    blocks.append(Points(tuple(_sentences(cast, speed, thrift))))
    blocks.append(_decision(cast, speed, thrift))
    blocks += _plots(cast, speed, thrift)
    for name, against in (("speed", speed), ("efficiency", thrift)):
        if 1 < len({place for each in against.values() for place in each.ratios}) <= OVERVIEW:
            blocks.append(_matrix(cast, against, name))
    return Section("summary", Phrase("document.summary"), tuple(blocks))


def purpose(cast: Cast) -> str:
    """Return what a comparison may be used for: its lowest grade, and no more than its valid runs of real devices allow."""
    outcomes = [(cell, cast.subjects[cell.subject]) for _, _, cell in cast.all_outcomes]
    if not outcomes:
        return "empty"
    if all(subject.simulated for _, subject in outcomes):
        return "simulated"
    if not any(cell.status == "ok" and not subject.simulated for cell, subject in outcomes):
        return "none-valid"
    order = [*GRADES]
    grades = sorted(cast.page.grades, key=lambda grade: order.index(grade) if grade in order else -1)
    return grades[0] if grades and grades[0] in order else "unknown"


def speed_of(cast: Cast, key: str) -> Against:
    """Return a subject's ratios of its scenarios' headlines; a simulated device has none."""
    if cast.subjects[key].simulated:
        return SIMULATED
    found = {(row.workload, table.scenario): cell for table, row, cell in cast.cells(key)}
    there = {place: cell.ratio for place, cell in found.items() if cell.ratio is not None}
    known = {place: ratio for place, ratio in there.items() if ratio.value is not None}
    runs = {place: runs_of(cell.run_id) for place, cell in found.items()}
    none = "the reference was not run here"
    reasons = {place: _reason([there[place]] if place in there else [], none) for place in found if place not in known}
    return Against(known, runs, _reason(there.values(), none), reasons)


def efficiency_of(cast: Cast, key: str) -> Against:
    """Return a subject's ratios of samples a joule, by the one domain and evidence that has most of them, of all its runs.

    They take no trace; named are the runs that the page goes into.
    """
    if cast.subjects[key].simulated:
        return SIMULATED
    lines = [
        ((row.workload, row.scenario), cell, line)
        for row, cell in cast.energy.get(key, ())
        for line in cell.lines
        if line.ratio is not None
    ]
    detailed = {(row.workload, table.scenario) for table, row, _ in cast.cells(key)}
    reason = _reason((line.ratio for _, _, line in lines if line.ratio is not None), "no energy was measured")
    counts = Counter(
        (line.domain, line.evidence) for _, _, line in lines if line.ratio is not None and line.ratio.value is not None
    )
    if not counts:
        return Against({}, {}, reason)
    kind = counts.most_common(1)[0][0]
    chosen = [(place, cell, line) for place, cell, line in lines if (line.domain, line.evidence) == kind]
    known = {place: line.ratio for place, _, line in chosen if line.ratio is not None and line.ratio.value is not None}
    return Against(
        ratios=known,
        runs={place: runs_of(cell.run_id) if place in detailed else () for place, cell, _ in chosen},
        reason=reason,
        reasons={place: _reason([line.ratio], "") for place, _, line in chosen if place not in known and line.ratio is not None},
        domain=kind[0],
        evidence=kind[1],
        met=sum(line.policy == "met" for place, _, line in chosen if place in known),
        missed=sum(line.policy == "missed" for place, _, line in chosen if place in known),
    )


def _reason(ratios: Iterable[Ratio], none: str) -> str:
    why = next((ratio.reason for ratio in ratios if ratio.value is None and ratio.reason), "")
    return f"not comparable with the reference: {why}" if why else none


def _geometric(values: Sequence[float]) -> float:
    return math.exp(math.fsum(math.log(value) for value in values) / len(values)) if all(v > 0 for v in values) else 0.0


def _two(value: float) -> float:
    """Return a ratio with three digits, as running text shows it."""
    return float(f"{value:.3g}")


def _sentences(cast: Cast, speed: Mapping[str, Against], thrift: Mapping[str, Against]) -> list[Phrase]:
    """Return the decision in words: who is certainly faster or slower, who reaches the policy's aim, and what the runs are."""
    found = []
    if cast.baseline:
        scope: dict[str, str | int] = {"subjects": len(cast.all.subjects), "places": cast.all_places}
        scope["baseline"] = cast.subjects[cast.baseline].label
        found.append(Phrase("comparison.summary.scope", scope))
        found += _speeds(cast, speed)
        found.append(_policy(cast, thrift))
    statuses = Counter(cell.status for _, _, cell in cast.all_outcomes)
    counts = {name: statuses[name] for name in ("ok", "invalid", "failed", "skipped")}
    found.append(Phrase("comparison.summary.runs", {"all": statuses.total(), **counts}))
    return found


def _speeds(cast: Cast, speed: Mapping[str, Against]) -> list[Phrase]:
    groups: dict[str, list[str]] = {}
    for key, against in speed.items():
        verdicts = against.verdicts()
        better, worse = verdicts["better"], verdicts["worse"]
        if against.ratios:
            kind = "mixed" if better and worse else "faster" if better else "slower" if worse else "same"
            groups.setdefault(kind, []).append(cast.subjects[key].label)
    named = [
        Phrase(f"comparison.summary.{kind}", {"names": first_names(groups[kind], cast.page.whole is None)})
        for kind in ("faster", "mixed", "same", "slower")
        if kind in groups
    ]
    return named or [Phrase("comparison.summary.incomparable")]


def _policy(cast: Cast, thrift: Mapping[str, Against]) -> Phrase:
    met = [cast.subjects[key].label for key, each in thrift.items() if each.ratios and each.met == len(each.ratios)]
    if met:
        names = first_names(met, cast.page.whole is None)
        return Phrase("comparison.summary.policy-met", {"names": names, "policy": POLICY})
    if any(each.ratios for each in thrift.values()):
        return Phrase("comparison.summary.policy-not-met", {"policy": POLICY})
    return Phrase("comparison.summary.policy-unknown")


def _decision(cast: Cast, speed: Mapping[str, Against], thrift: Mapping[str, Against]) -> Grid:
    """Return a row a subject: speed and efficiency against the baseline, and what must be known of its runs."""
    # Where no watt was measured a sentence says so, and a column of reasons would say it again for each.
    powered = any(cell.lines for row in cast.all.energy for cell in row.cells)
    columns: list[Column] = []
    if cast.baseline:
        columns += [Column(Phrase("comparison.column.speed"), True), Column(Phrase("document.column.verdict"))]
    if cast.baseline and powered:
        columns.append(Column(Phrase("comparison.column.efficiency"), True))
        columns.append(Column(Phrase("procurement.column.policy", {"policy": POLICY})))
    rows = []
    for subject in sorted(cast.page.subjects, key=lambda subject: subject.key != cast.baseline):
        mine = cast.cells(subject.key)
        runs = tuple(dict.fromkeys(run for _, _, cell in mine for run in runs_of(cell.run_id)))
        cells: list[Cell] = []
        if cast.baseline:
            cells += _compared(speed.get(subject.key), _verdict, Against.span)
        if cast.baseline and powered:
            cells += _compared(thrift.get(subject.key), _aim, _by)
        every = cast.all_cells(subject.key)
        valid = sum(cell.status == "ok" for _, _, cell in every)
        cells.append(Cell(Phrase("comparison.valid", {"valid": valid, "all": len(every)})))
        cells.append(Cell(caveat(cast, subject)))
        rows.append(Row(cast.name(subject.key, runs), tuple(cells)))
    return Grid(
        name="decision",
        caption=Phrase("comparison.decision.caption" if cast.baseline else "comparison.decision.alone"),
        columns=(
            Column(WHOM),
            *columns,
            Column(Phrase("comparison.column.valid")),
            Column(Phrase("procurement.column.caveat")),
        ),
        rows=tuple(rows),
        remarks=(Phrase("comparison.decision.remark", {"policy": POLICY}),) if cast.baseline else (),
    )


def _compared(
    against: Against | None, verdict: Callable[[Against], Mark], remark: Callable[[Against], Phrase | None]
) -> tuple[Cell, Cell]:
    """Return the ratio and the verdict of a subject, whose runs the row names; empty cells for the baseline itself."""
    if against is None:
        return Cell(None), Cell(None)
    return Cell(against.ratio(), remark=remark(against)), Cell(verdict(against))


def _verdict(against: Against) -> Mark:
    if not against.ratios:
        return Mark("not-comparable", Phrase("verdict.not-comparable"))
    counts = against.verdicts()
    better, worse, same = counts["better"], counts["worse"], counts["indistinguishable"]
    if len(against.ratios) == 1:
        word = Phrase(f"verdict.{next(iter(against.ratios.values())).verdict}")
    else:
        word = Phrase("comparison.verdicts", {"better": better, "worse": worse, "same": same})
    if better and worse:
        return Mark("open", word)
    return Mark("better" if better else "worse" if worse else "tie", word)


def _by(against: Against) -> Phrase | None:
    if not against.ratios:
        return None
    words: dict[str, str | int] = {"domain": against.domain, "evidence": against.evidence, "places": len(against.ratios)}
    return Phrase("comparison.by", words)


def _aim(against: Against) -> Mark:
    number = len(against.ratios)
    values = {"met": against.met, "all": number}
    if not number:
        return Mark("open", Phrase("procurement.policy.unknown"))
    if against.met == number:
        return Mark("pass", Phrase("procurement.policy.everywhere", values))
    if against.missed == number:
        return Mark("fail", Phrase("procurement.policy.nowhere", values))
    return Mark("open", Phrase("procurement.policy.partly", values))


def caveat(cast: Cast, subject: Subject) -> Phrase:
    """Return the gravest thing that must be known of a subject's runs: one, the first of a fixed order."""
    cells = [cell for _, _, cell in cast.all_cells(subject.key)]
    # The others have no ratio.
    detailed = [cell for _, _, cell in cast.cells(subject.key)]
    places = cast.all_places
    energy = [cell for _, cell in cast.energy.get(subject.key, ())]
    states = Counter(cell.status for cell in cells) | Counter(cell.unranked for cell in cells)
    for name, number, of in (
        ("simulated", int(subject.simulated), len(cells)),
        *((name, states[name], len(cells)) for name in ("failed", "invalid", "smoke", "skipped", "host-operators", "incomplete")),
        ("not-run", places - len(cells), places),
        ("no-energy", sum(not cell.lines for cell in energy), len(cells)),
        ("unlike", sum(bool(cell.ratio and cell.ratio.unlike) for cell in detailed), len(detailed)),
        ("warnings", sum(any(finding.severity == "warning" for finding in cell.findings) for cell in cells), len(cells)),
    ):
        if number > 0:
            return Phrase(f"procurement.caveat.{name}", {"number": number, "all": of})
    return Phrase("procurement.caveat.none")


def _plots(cast: Cast, speed: Mapping[str, Against], thrift: Mapping[str, Against]) -> list[Plot]:
    made = []
    for name, against, levels in (
        ("speed", speed, (Level(Phrase("comparison.plot.even"), 1.0),)),
        (
            "efficiency",
            thrift,
            (Level(Phrase("comparison.plot.even"), 1.0), Level(Phrase("comparison.plot.policy", {"policy": POLICY}), POLICY)),
        ),
    ):
        able = [key for key, each in against.items() if each.ratios]
        if not able:
            continue
        points, rows = [], []
        for n, key in enumerate(able):
            ratio = against[key].ratio()
            points.append(Point(float(n), ratio.value, ratio.low, ratio.high))
            counted: Content = len(against[key].ratios)
            rows.append(Row(cast.name(key), (Cell(ratio, against[key].all_runs, against[key].span()), Cell(counted))))
        what = Phrase(f"comparison.column.{name}")
        columns = (Column(WHOM), Column(what, True), Column(Phrase("comparison.column.places"), True))
        caption = Phrase(f"comparison.plot.{name}.caption", {"baseline": cast.subjects[cast.baseline].label})
        made.append(
            Plot(
                name=f"overview-{name}",
                caption=caption,
                alt=Phrase(f"comparison.plot.{name}.alt", {"count": len(able), "policy": POLICY}),
                form="bars",
                x=Axis(WHOM, categories=tuple(Text(cast.subjects[key].label) for key in able)),
                y=Axis(what, "times", from_zero=True),
                series=(Series(what, tuple(points)),),
                table=Grid(f"overview-{name}-data", Phrase(f"comparison.plot.{name}.data"), columns, tuple(rows)),
                levels=levels,
            )
        )
    return made


def _matrix(cast: Cast, against: Mapping[str, Against], name: str) -> Grid:
    """Return every ratio: a row a place, a column a subject."""
    keys = [key for key, each in against.items() if each.ratios]
    rows = []
    for table, row in cast.places():
        place = (row.workload, table.scenario)
        if any(place in against[key].ratios for key in keys):
            cells = tuple(_ratio_cell(against[key], place) for key in keys)
            rows.append(Row(Cell(cast.place(*place)), cells))
    columns = (Column(Phrase("procurement.column.place")), *(cast.column(key) for key in keys))
    return Grid(
        f"{name}-by-place", Phrase(f"comparison.matrix.{name}"), columns, tuple(rows), (Phrase("comparison.matrix.remark"),)
    )


def _ratio_cell(against: Against, place: Place) -> Cell:
    runs = against.runs.get(place, ())
    if place not in against.ratios:
        return Cell(absent("times", against.reasons.get(place, "not run")), runs)
    return Cell(times(against.ratios[place]), runs, Phrase(f"verdict.{against.ratios[place].verdict}"))
