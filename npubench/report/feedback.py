"""The feedback report as data: what to fix first, the evidence, and where time, accuracy and energy go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from npubench.analyze.estimate import Estimate
from npubench.plan.hardware import Hardware, shipped_hardware
from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.advice import WEIGHTS, Advice, Symptom, rank
from npubench.report.advice_memory import memory_symptoms
from npubench.report.advice_time import time_symptoms
from npubench.report.advice_work import curve_symptoms, work_symptoms
from npubench.report.cited import cited
from npubench.report.document import (
    Cell,
    Column,
    Document,
    Fact,
    Facts,
    Grid,
    Notice,
    Paragraph,
    Phrase,
    Row,
    Section,
)
from npubench.report.feedback_accuracy import Layers, accuracy_section
from npubench.report.feedback_audits import audit_section, audit_symptoms
from npubench.report.feedback_cases import Case, Key, find_cases, of_target
from npubench.report.feedback_curves import curve_section, find_curves
from npubench.report.feedback_energy import energy_section, splits
from npubench.report.feedback_memory import growth_known, memory_section
from npubench.report.feedback_operators import Profiled, find_profiles, operators_section
from npubench.report.feedback_roofline import roofline_section
from npubench.report.feedback_versions import find_regressions, find_stretches, regression_symptoms, version_section
from npubench.report.frame import make_document

#: Places that are shown in full of one kind of advice; the rest stand in its table alone.
MOST_PLACES = 3
#: What no record tells, and what would tell it.
UNKNOWN = ("operator-times", "memory-growth", "transfers", "compiler-passes")


def build_feedback(
    entries: Sequence[Entry], target: str, *, layers: Sequence[Layers] = (), hardware: Hardware | None = None
) -> Document:
    """Build the feedback report of a target.

    Args:
        entries: All runs of a store; those of other targets only stand beside it.
        target: ``target`` or ``target/precision``.
        layers: Losses by tensor, where they were worked out.
        hardware: The hardware catalogue; the installed one where it is ``None``.

    Raises:
        InputError: There is no run of the target.
    """
    catalogue = hardware if hardware is not None else shipped_hardware()
    mine = of_target(entries, target)
    cases = find_cases(mine)
    curves = find_curves(cases)
    stretches = find_stretches(mine)
    regressions = find_regressions(stretches)
    profiles = find_profiles(cases, [entry.record for entry in mine])
    symptoms = [*_symptoms(cases, entries, profiles), *regression_symptoms(regressions, cases)]
    symptoms += [symptom for curve in curves for symptom in curve_symptoms(curve)]
    measured = [case for case in cases if case.measured]
    advice = rank(symptoms, len(measured))
    found = splits(cases, [entry.record for entry in mine])
    sections: list[Section] = [
        _summary(advice, cases),
        *([_details(advice)] if advice else []),
        audit_section(cases),
        operators_section(cases, profiles),
        roofline_section(cases, catalogue),
        *([curves_there] if (curves_there := curve_section(curves)) is not None else []),
        accuracy_section(cases, layers),
        energy_section(found, cases),
        *([memory_there] if (memory_there := memory_section(cases)) is not None else []),
        version_section(stretches, regressions, cases),
        _unknown(cases, profiles),
    ]
    runs = cited(sections)
    chosen = [entry for entry in entries if entry.record.run_id in runs]
    facts = (Fact(Phrase("document.fact.runs"), Cell(len(chosen))), Fact(Phrase("feedback.fact.cases"), Cell(len(cases))))
    return make_document("feedback", target, chosen, sections, facts)


def _symptoms(cases: Sequence[Case], entries: Sequence[Entry], profiles: Mapping[Key, Profiled]) -> Iterator[Symptom]:
    beside: dict[tuple[str, str, str], list[Record]] = {}
    for entry in entries:
        spec = entry.record.spec
        beside.setdefault((entry.record.system.system_id, spec.precision, spec.workload), []).append(entry.record)
    families: dict[tuple[object, ...], dict[str, Case]] = {}
    for case in cases:
        families.setdefault((*case.key[:2], *case.key[3:]), {})[case.key[2]] = case
    for case in cases:
        system, target, precision, workload = case.key[:4]
        others = [r for r in beside[system, precision, workload] if r.spec.target.name != target and not r.system.simulated]
        yield from audit_symptoms(case)
        yield from time_symptoms(case)
        yield from memory_symptoms(case)
        yield from work_symptoms(case, others, families[(*case.key[:2], *case.key[3:])], profiles.get(case.key))


def _summary(advice: Sequence[Advice], cases: Sequence[Case]) -> Section:
    """Return what to fix first as one table, and what is behind the ranks."""
    measured = sum(case.measured for case in cases)
    lead = Paragraph((Phrase("feedback.summary.lead", {"cases": len(cases), "measured": measured, "advice": len(advice)}),))
    if not advice:
        none = "feedback.summary.nothing" if measured else "feedback.summary.unmeasured"
        return Section("summary", Phrase("feedback.summary.heading"), (lead, Notice("note", Phrase(none))))
    rows = []
    for number, each in enumerate(advice, start=1):
        runs = tuple(dict.fromkeys(run for symptom in each.symptoms for p in symptom.proofs for run in p.cell.runs))
        first = each.symptoms[0]
        cells = (
            Cell(Phrase(f"advice.{each.kind}.title"), runs[:12]),
            Cell(Phrase("feedback.places", {"count": len(each.symptoms), "all": len(cases)})),
            Cell(Phrase(f"advice.confidence.{each.confidence}"), (), first.why),
            Cell(Estimate(each.gain, "share"), runs[:12], Phrase(f"advice.of.{each.of}"))
            if each.gain is not None
            else Cell(first.no_gain),
            Cell(Estimate(each.most, "share"), first.case.runs, first.gain.how if first.gain else None)
            if each.most is not None
            else Cell(None),
        )
        rows.append(Row(Cell(number), cells))
    grid = Grid(
        name="advice",
        caption=Phrase("feedback.summary.caption"),
        columns=(
            Column(Phrase("feedback.column.rank"), True),
            Column(Phrase("feedback.column.advice")),
            Column(Phrase("feedback.column.places")),
            Column(Phrase("feedback.column.confidence")),
            Column(Phrase("feedback.column.gain-all"), True),
            Column(Phrase("feedback.column.gain-most"), True),
        ),
        rows=tuple(rows),
        remarks=(
            Phrase("feedback.summary.estimate"),
            Phrase("feedback.summary.rule", {"likely": WEIGHTS["likely"], "hint": WEIGHTS["hint"]}),
        ),
    )
    return Section("summary", Phrase("feedback.summary.heading"), (lead, grid))


def _details(advice: Sequence[Advice]) -> Section:
    parts = tuple(_detail(each) for each in advice)
    return Section("advice", Phrase("feedback.advice.heading"), (Paragraph((Phrase("feedback.advice.lead"),)),), parts)


def _detail(advice: Advice) -> Section:
    """Return one kind of advice: what it is, where, and the evidence of the weightiest places."""
    kind = advice.kind
    rows = tuple(
        Row(
            symptom.case.place(),
            (
                Cell(Phrase(f"advice.confidence.{symptom.confidence}"), (), symptom.why),
                Cell(Estimate(symptom.gain.size, "share"), symptom.case.runs, symptom.gain.how)
                if symptom.gain
                else Cell(symptom.no_gain),
            ),
        )
        for symptom in advice.symptoms
    )
    grid = Grid(
        name=f"advice-{kind}",
        caption=Phrase(f"advice.{kind}.title"),
        columns=(
            Column(Phrase("feedback.column.place")),
            Column(Phrase("feedback.column.confidence")),
            Column(Phrase("feedback.column.gain"), True),
        ),
        rows=rows,
    )
    blocks = tuple(
        Section(
            f"advice-{kind}-{n}",
            Phrase("feedback.advice.evidence", symptom.case.where()),
            (Facts(tuple(Fact(p.label, p.cell) for p in symptom.proofs)),),
        )
        for n, symptom in enumerate(advice.symptoms[:MOST_PLACES], start=1)
    )
    heading = Phrase(f"advice.{kind}.title")
    return Section(f"advice-{kind}", heading, (Paragraph((Phrase(f"advice.{kind}.text"),)), grid), blocks)


def _unknown(cases: Sequence[Case], profiles: Mapping[Key, Profiled]) -> Section:
    """Return what records do not tell, and what would."""
    missing = list(UNKNOWN)
    measured = [case for case in cases if case.measured]
    untimed = sum(case.key not in profiles or profiles[case.key].operators.reason is not None for case in measured)
    if measured and not untimed:
        missing.remove("operator-times")
    counts = {"count": untimed, "all": len(measured)}
    if growth_known(cases):
        missing.remove("memory-growth")
    if not any(case.record.energy for case in cases):
        missing.append("energy")
    if not any(case.record.client is not None for case in cases):
        missing.append("client")
    untraced = sum(not case.traced for case in cases)
    rows = tuple(
        Row(Cell(Phrase(f"feedback.unknown.{name}")), (Cell(Phrase(f"feedback.unknown.{name}.why", counts)),)) for name in missing
    )
    grid = Grid(
        name="unknown",
        caption=Phrase("feedback.unknown.caption"),
        columns=(Column(Phrase("document.column.item")), Column(Phrase("document.column.reason"))),
        rows=rows,
    )
    notes = (Notice("note", Phrase("feedback.unknown.untraced", {"count": untraced})),) if untraced else ()
    return Section("unknown", Phrase("feedback.unknown.heading"), (*notes, grid))
