"""Where a case's time goes by operator: who ran where, and how long, where a profile was made of a run of the same artefact.

A profile's times are the runtime's own, of a run of their own. They say how the time divides; the factor beside them says how
far that run was from the measured one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from npubench.analyze.estimate import Estimate
from npubench.analyze.operators import Operators, OperatorShare
from npubench.contract.runspec import Scenario
from npubench.record.schema import Record
from npubench.report.document import (
    Axis,
    Block,
    Cell,
    Column,
    Content,
    Grid,
    Paragraph,
    Phrase,
    Plot,
    Point,
    Row,
    Section,
    Series,
    Text,
)
from npubench.report.feedback_cases import Case, Key, case_key

#: Profiles that are shown in full, operators of each, and bars; the rest of a profile is summed in one line.
MOST_PROFILES, MOST_ROWS, MOST_BARS = 12, 15, 10
#: Below this part of the time a kind has no bar of its own beside the largest.
LEAST_BAR = 0.005

#: The scenario whose latency a profile's requests are most alike stands for a place that was measured in several.
_ALIKE = (Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM, Scenario.OFFLINE, Scenario.SERVER)


@dataclass(frozen=True, slots=True)
class Profiled:
    """A case with the profile that explains it, and the run that has that: one of its own, or another of the same artefact."""

    case: Case
    run_id: str
    operators: Operators


def find_profiles(cases: Sequence[Case], records: Sequence[Record]) -> Mapping[Key, Profiled]:
    """Return for each case the newest profile of its artefact at its batch, its own runs' first; those without are not in it.

    Args:
        cases: The target's.
        records: All runs of the target.
    """
    made = sorted((r for r in records if r.operators is not None), key=lambda r: r.provenance.started_at, reverse=True)
    found = {}
    for case in cases:
        own = [r for r in case.records if r.operators is not None]
        alike = [r for r in made if case.measured and _same(r, case.record)]
        # One with times before one that only says why it has none.
        for record in sorted([*own, *alike], key=lambda r: r.operators is not None and r.operators.reason is not None):
            assert record.operators is not None
            found[case.key] = Profiled(case, record.run_id, record.operators)
            break
    return found


def _same(one: Record, other: Record) -> bool:
    """Return whether two runs had the same artefact on the same device with the same runtime, and batches of the same size."""
    if one.artefact is None or other.artefact is None or one.artefact.digest != other.artefact.digest:
        return False
    keys = [case_key(record) for record in (one, other)]
    return keys[0][:4] == keys[1][:4] and keys[0][5] == keys[1][5] and one.system.versions == other.system.versions


def operators_section(cases: Sequence[Case], profiles: Mapping[Key, Profiled]) -> Section:
    """Return where operators ran, and how long they took where a profile says so."""
    lead = Phrase("feedback.operators.lead")
    blocks: tuple[Block, ...] = (Paragraph((lead,)), _assigned(cases))
    heading = Phrase("feedback.operators.heading")
    shown = _chosen(profiles)
    if not shown:
        return Section("operators", heading, blocks)
    told = [each for each in shown if each.operators.reason is None]
    parts = tuple(_profile(n, each) for n, each in enumerate(told[:MOST_PROFILES], start=1))
    return Section("operators", heading, (*blocks, Paragraph((Phrase("feedback.operators.own-clock"),)), _overview(shown)), parts)


def _chosen(profiles: Mapping[Key, Profiled]) -> list[Profiled]:
    """Return one of each profile: what several scenarios share is told once."""
    there: dict[tuple[object, ...], Profiled] = {}
    for each in sorted(profiles.values(), key=lambda p: (*p.case.key[:4], _ALIKE.index(p.case.scenario), p.case.key)):
        there.setdefault((*each.case.key[:4], each.operators.batch or each.case.batch), each)
    return list(there.values())


def _assigned(cases: Sequence[Case]) -> Grid:
    """Return how many operators run on device and host, by the runtime's account of the artefact."""
    rows = []
    seen: set[tuple[object, ...]] = set()
    for case in cases:
        artefact = case.record.artefact
        place = (case.key[0], case.key[2], case.key[3], artefact.digest if artefact else "")
        if artefact is None or place in seen:
            continue
        seen.add(place)
        runs = case.runs
        told = artefact.host_operators is not None
        cells = (
            Cell(artefact.device_operators if told else Phrase("feedback.operators.untold"), runs),
            Cell(artefact.host_operators if told else None, runs),
            Cell(Text(artefact.offload_source or ""), runs),
            Cell(Text(artefact.compiler), runs),
        )
        rows.append(Row(case.place(), cells))
    return Grid(
        name="operators",
        caption=Phrase("feedback.operators.caption"),
        columns=(
            Column(Phrase("feedback.column.place")),
            Column(Phrase("feedback.operators.device"), True),
            Column(Phrase("feedback.operators.host"), True),
            Column(Phrase("feedback.operators.account")),
            Column(Phrase("feedback.operators.compiler")),
        ),
        rows=tuple(rows),
    )


def _overview(shown: Sequence[Profiled]) -> Grid:
    """Return each profile's sum against what was measured."""
    rows = []
    for each in shown:
        found, runs = each.operators, (each.run_id,)
        measured, how = _measured(each.case)
        total = found.total.value
        factor: Content = None
        if isinstance(measured, Estimate) and measured.value and total is not None:
            factor = Estimate(total / measured.value, "times")
        largest = found.kinds[0] if found.kinds else None
        cells = (
            Cell(found.total, runs),
            Cell(measured, each.case.runs, how),
            Cell(factor, (*runs, *each.case.runs)),
            Cell(Text(largest.kind), runs) if largest else Cell(None),
            Cell(Estimate(largest.share, "share"), runs) if largest else Cell(None),
            Cell(found.host_share, runs),
        )
        rows.append(Row(each.case.place(), cells))
    names = ("sum", "measured", "factor", "largest", "largest-share", "host-share")
    return Grid(
        name="operator-profiles",
        caption=Phrase("feedback.operators.overview"),
        columns=(
            Column(Phrase("feedback.column.place")),
            *(Column(Phrase(f"feedback.operators.{name}"), name != "largest") for name in names),
        ),
        rows=tuple(rows),
        remarks=(Phrase("feedback.operators.factor-rule"),),
    )


def _measured(case: Case) -> tuple[Content, Phrase | None]:
    """Return what a sample took in the measured window, as far as a profile's sum can be held against it, and how it is told."""
    middle, rate = case.metric("latency_p50"), case.metric("throughput")
    if case.scenario is Scenario.SINGLE_STREAM and middle:
        return Estimate(middle, "ns"), Phrase("feedback.operators.by-latency")
    if case.scenario is Scenario.MULTI_STREAM and middle:
        return Estimate(middle / case.record.spec.load.samples_per_query, "ns"), Phrase("feedback.operators.by-query")
    if case.scenario is Scenario.OFFLINE and case.in_flight == 1 and rate:
        return Estimate(1e9 / rate, "ns"), Phrase("feedback.operators.by-throughput")
    # Waiting, or requests that overlap, are in the figure and in no operator.
    return Phrase("feedback.operators.no-measure"), None


def _profile(n: int, each: Profiled) -> Section:
    """Return one profile: its kinds as a picture, and its longest operators."""
    where = each.case.where()
    return Section(f"operators-{n}", Phrase("feedback.operators.of", where), profile_blocks(n, each))


def profile_blocks(n: int, each: Profiled) -> tuple[Block, ...]:
    """Return the ``n``-th profile of a document, which has times: its kinds as a picture, and its longest operators."""
    return (*_kinds(n, each), _longest(n, each))


def _kinds(n: int, each: Profiled) -> Iterator[Plot]:
    found, runs = each.operators, (each.run_id,)
    drawn = [kind for k, kind in enumerate(found.kinds[:MOST_BARS]) if not k or kind.share >= LEAST_BAR]
    if not drawn:
        return
    hosts = {kind.where for kind in found.kinds} != {"device"}
    labels = tuple(_named(kind, hosts) for kind in drawn)
    nature: Literal["measured", "simulated"] = "simulated" if each.case.record.system.simulated else "measured"
    rows = tuple(
        Row(
            Cell(Text(kind.kind)),
            (
                _place(kind),
                Cell(kind.operators, runs),
                Cell(Estimate(kind.ns, "ns"), runs),
                Cell(Estimate(kind.share, "share"), runs),
            ),
        )
        for kind in found.kinds
    )
    columns = (
        Column(Phrase("feedback.operators.kind")),
        Column(Phrase("feedback.operators.where")),
        Column(Phrase("feedback.operators.count"), True),
        Column(Phrase("feedback.operators.time"), True),
        Column(Phrase("feedback.operators.share"), True),
    )
    values = {**each.case.where(), "largest": drawn[0].kind, "share": round(drawn[0].share, 3), "count": len(found.kinds)}
    yield Plot(
        name=f"operator-kinds-{n}",
        caption=Phrase("feedback.operators.kinds", each.case.where()),
        alt=Phrase("feedback.operators.kinds.alt", values),
        form="bars",
        x=Axis(Phrase("feedback.operators.kind"), categories=labels),
        y=Axis(Phrase("feedback.operators.share"), "share", from_zero=True),
        series=(
            Series(Phrase("feedback.operators.share"), tuple(Point(float(k), e.share) for k, e in enumerate(drawn)), nature),
        ),
        table=Grid(f"operator-kinds-{n}-data", Phrase("feedback.operators.kinds", each.case.where()), columns, rows),
    )


def _named(kind: OperatorShare, hosts: bool) -> Phrase | Text:
    """Return a bar's name; where not all is on the device, it says where."""
    if not hosts:
        return Text(kind.kind)
    return Phrase("feedback.operators.kind-at", {"kind": kind.kind, "where": kind.where or "unknown"})


def _place(one: OperatorShare) -> Cell:
    return Cell(Phrase(f"feedback.operators.at.{one.where or 'unknown'}"))


def _longest(n: int, each: Profiled) -> Grid:
    """Return the longest operators with how much they and those before them take, and all others in one line."""
    found, runs = each.operators, (each.run_id,)
    rows, so_far = [], 0.0
    for one in found.shares[:MOST_ROWS]:
        so_far += one.share
        rows.append(_row(Cell(Text(one.name)), Text(one.kind), _place(one), one.ns, one.share, so_far, runs))
    rest = [*found.shares[MOST_ROWS:], *([found.others] if found.others else [])]
    if rest:
        name = Cell(Phrase("feedback.operators.others", {"count": sum(one.operators for one in rest)}))
        took, share = sum(one.ns for one in rest), sum(one.share for one in rest)
        rows.append(_row(name, None, Cell(None), took, share, 1.0, runs))
    names = ("kind", "where", "time", "share", "cumulative")
    return Grid(
        name=f"operators-{n}-longest",
        caption=Phrase("feedback.operators.longest", each.case.where()),
        columns=(
            Column(Phrase("feedback.operators.name")),
            *(Column(Phrase(f"feedback.operators.{name}"), name not in ("kind", "where")) for name in names),
        ),
        rows=tuple(rows),
        remarks=(Phrase("feedback.operators.stands-on", {"samples": found.samples, "batch": found.batch}),),
    )


def _row(name: Cell, kind: Content, place: Cell, ns: float, share: float, so_far: float, runs: tuple[str, ...]) -> Row:
    shares = (Cell(Estimate(min(part, 1.0), "share"), runs) for part in (share, so_far))
    return Row(name, (Cell(kind), place, Cell(Estimate(ns, "ns"), runs), *shares))
