"""How a target's figures went from version to version, and which was the first bad one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from npubench.analyze.estimate import Estimate
from npubench.analyze.metrics import HEADLINE
from npubench.analyze.trend import Step, step
from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.advice import Gain, Symptom, faster, proof, why
from npubench.report.document import Axis, Cell, Column, Grid, Mark, Paragraph, Phrase, Plot, Point, Row, Section, Series, Text
from npubench.report.feedback_cases import Case, Key, case_key

#: Pictures in the section.
MOST = 8


@dataclass(frozen=True, slots=True)
class Stretch:
    """Runs of one case under one set of versions, in order."""

    versions: Mapping[str, str]
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Regression:
    """A case that got worse (or better) from one set of versions to the next.

    Args:
        key: The case.
        before, after: The stretches on both sides; ``after.records[0]`` is the first run under the new versions.
        step: How the median of the new ones stands to the old.
    """

    key: Key
    before: Stretch
    after: Stretch
    step: Step

    @property
    def changed(self) -> str:
        """What is another: ``name old → new``, with commas."""
        names = dict.fromkeys((*self.before.versions, *self.after.versions))
        return ", ".join(
            f"{name} {self.before.versions.get(name, '—')} → {self.after.versions.get(name, '—')}"
            for name in names
            if self.before.versions.get(name) != self.after.versions.get(name)
        )


def versions_of(record: Record) -> dict[str, str]:
    """Return what of a run has a version that can break it: plug-in, SDK and driver, compiler, firmware, harness."""
    plugin, system = record.provenance.plugin, record.system
    found = {f"{plugin.get('distribution', 'plug-in')}": plugin.get("version", "")}
    found |= {name: text for name, text in system.versions.items() if text}
    if record.artefact is not None and record.artefact.compiler:
        found["compiler"] = record.artefact.compiler
    for name in ("device-driver", "device-firmware"):
        if system.stable.get(name):
            found[name] = system.stable[name]
    found["npubench"] = record.provenance.harness
    return {name: text for name, text in found.items() if text}


def find_stretches(entries: Sequence[Entry]) -> dict[Key, tuple[Stretch, ...]]:
    """Return each case's runs with figures, cut where versions or the work change; only cases with two stretches or more."""
    by_case: dict[tuple[Key, str, str], list[Record]] = {}
    for entry in entries:
        record = entry.record
        if record.status in ("ok", "invalid"):
            by_case.setdefault((case_key(record), record.spec.grade, record.bundle.work_digest), []).append(record)
    found: dict[Key, tuple[Stretch, ...]] = {}
    for (key, _, _), records in sorted(by_case.items(), key=lambda each: each[0]):
        records.sort(key=lambda record: (record.provenance.started_at, record.run_id))
        stretches: list[Stretch] = []
        for record in records:
            versions = versions_of(record)
            if stretches and stretches[-1].versions == versions:
                stretches[-1] = Stretch(versions, (*stretches[-1].records, record))
            else:
                stretches.append(Stretch(versions, (record,)))
        if len(stretches) > 1 and len(stretches) > len(found.get(key, ())):
            found[key] = tuple(stretches)
    return found


def find_regressions(stretches: Mapping[Key, Sequence[Stretch]]) -> tuple[Regression, ...]:
    """Return every change of version that changed a case's headline beyond scatter, in order of time."""
    found = []
    for key, there in stretches.items():
        rule = HEADLINE[there[0].records[0].spec.load.scenario]
        for before, after in itertools.pairwise(there):
            known = [r.metrics[rule.metric] for r in before.records if rule.metric in r.metrics]
            now = _middle([r.metrics[rule.metric] for r in after.records if rule.metric in r.metrics])
            moved = step(known, now, higher_is_better=rule.higher_is_better) if now is not None else None
            if moved is not None and moved.move != "same":
                found.append(Regression(key, before, after, moved))
    return tuple(sorted(found, key=lambda each: each.after.records[0].provenance.started_at))


def _middle(estimates: Sequence[Estimate]) -> Estimate | None:
    known = sorted((e for e in estimates if e.value is not None), key=lambda e: e.value or 0.0)
    return known[len(known) // 2] if known else None


def regression_symptoms(found: Sequence[Regression], cases: Sequence[Case]) -> Iterator[Symptom]:
    """Yield regressions that no later version has mended."""
    by_key = {case.key: case for case in cases}
    for each in found:
        later = [
            other for other in found if other.key == each.key and other.step.move == "better" and _start(other) > _start(each)
        ]
        case = by_key.get(each.key)
        if each.step.move != "worse" or later or case is None:
            continue
        rule = case.rule.metric
        old, new = each.before.records[-1], each.after.records[0]
        proofs = (
            proof("first-bad", Text(new.run_id), (new.run_id,)),
            proof("last-good", Text(old.run_id), (old.run_id,)),
            proof("versions", Text(each.changed), (old.run_id, new.run_id)),
            proof("before", old.metrics[rule], (old.run_id,)),
            proof("after", new.metrics[rule], (new.run_id,)),
        )
        many = len(each.before.records) >= 3 and len(each.after.records) >= 3
        sure = why("strong", "many-runs") if many else why("likely", "few-runs")
        gain = Gain(faster(1.0, each.step.ratio), "headline", Phrase("advice.how.regression"))
        yield Symptom("regression", case, *sure, proofs, gain)


def _start(each: Regression) -> str:
    return each.after.records[0].provenance.started_at


def version_section(stretches: Mapping[Key, Sequence[Stretch]], found: Sequence[Regression], cases: Sequence[Case]) -> Section:
    """Return what changed with which version, and the picture of the cases that changed."""
    heading = Phrase("feedback.versions.heading")
    if not stretches:
        return Section("versions", heading, (Paragraph((Phrase("feedback.versions.none"),)),))
    by_key = {case.key: case for case in cases}
    rows = []
    for each in found:
        case, old, new = by_key.get(each.key), each.before.records[-1], each.after.records[0]
        if case is None:
            continue
        sign = each.step.move
        word = "better" if sign == "better" else "worse"
        runs = (old.run_id, new.run_id)
        cells = (
            Cell(Mark("better" if sign == "better" else "worse", Phrase(f"document.mark.{word}")), runs),
            Cell(Text(each.changed), runs),
            Cell(Estimate(each.step.ratio, "times"), runs),
            Cell(Text(new.provenance.started_at[:10]), runs),
            Cell(Text(new.run_id), (new.run_id,)),
        )
        rows.append(Row(case.place(), cells))
    grid = Grid(
        name="versions",
        caption=Phrase("feedback.versions.caption"),
        columns=(
            Column(Phrase("feedback.column.place")),
            Column(Phrase("document.column.verdict")),
            Column(Phrase("feedback.versions.changed")),
            Column(Phrase("feedback.versions.ratio"), True),
            Column(Phrase("document.column.date")),
            Column(Phrase("feedback.versions.first")),
        ),
        rows=tuple(rows),
        remarks=(Phrase("feedback.versions.rule"),),
    )
    lead = Paragraph((Phrase("feedback.versions.lead", {"count": len(stretches), "changed": len(rows)}),))
    drawn = list(dict.fromkeys(each.key for each in found if each.key in by_key))[:MOST]
    plots = tuple(_plot(stretches[key], by_key[key], n) for n, key in enumerate(drawn, start=1))
    return Section("versions", heading, (lead, *([grid] if rows else []), *plots))


def _plot(stretches: Sequence[Stretch], case: Case, number: int) -> Plot:
    rule = case.rule
    series, rows, at = [], [], 0
    for stretch in stretches:
        points = []
        versions = ", ".join(f"{name} {text}" for name, text in stretch.versions.items() if name != "npubench")
        for record in stretch.records[-60:]:
            figure = record.metrics.get(rule.metric)
            if figure is None or figure.value is None:
                continue
            points.append(Point(float(at), figure.value, figure.low, figure.high))
            cells = (Cell(Text(record.provenance.started_at[:10])), Cell(Text(versions)), Cell(figure, (record.run_id,)))
            rows.append(Row(Cell(at + 1, (record.run_id,)), cells))
            at += 1
        series.append(Series(Text(versions[:80]), tuple(points), "simulated" if case.record.system.simulated else "measured"))
    where = case.where()
    return Plot(
        name=f"versions-{number}",
        caption=Phrase("feedback.versions.plot", where),
        alt=Phrase("feedback.versions.alt", {**where, "count": at, "versions": len(stretches)}),
        form="lines",
        x=Axis(Phrase("feedback.versions.run")),
        y=Axis(Phrase(f"metric.{rule.metric}"), rule.unit),
        series=tuple(series),
        table=Grid(
            name=f"versions-{number}-data",
            caption=Phrase("feedback.versions.plot", where),
            columns=(
                Column(Phrase("feedback.versions.run"), True),
                Column(Phrase("document.column.date")),
                Column(Phrase("feedback.versions.versions")),
                Column(Phrase(f"metric.{rule.metric}"), True),
            ),
            rows=tuple(rows),
        ),
    )
