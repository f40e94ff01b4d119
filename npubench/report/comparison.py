"""Build the content of a comparison from records and traces: subjects, tables, ratios, ranks. Renders nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding
from npubench.analyze.metrics import HEADLINE
from npubench.contract.runspec import Scenario
from npubench.plan.grades import GRADES
from npubench.plan.hardware import Hardware, shipped_hardware
from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.course import power_courses
from npubench.report.differences import find_differences, system_rows
from npubench.report.efficiency import energy_rows
from npubench.report.page import Cell, ComparisonPage, Curve, Distribution, Ratio, Row, Subject, SystemCard, Table
from npubench.report.power_sweep import power_sweeps
from npubench.report.ratio import Measured, compare, doubt_about, incomparable, mean_of, read_measured, worst

#: Where a latency curve is drawn: dense in the tail, where buyers look.
QUANTILES = (0.0, *(n / 100 for n in range(1, 100)), 0.995, 0.998, 0.999, 1.0)

Key = tuple[str, ...]
Group = dict[tuple[str, str], list[Entry]]


def build_page(
    title: str,
    entries: Sequence[Entry],
    baseline: str | None = "",
    hardware: Hardware | None = None,
    courses: int | None = None,
    *,
    differing: bool = True,
) -> ComparisonPage:
    """Build a comparison of all subjects among ``entries``.

    Args:
        title: The page's title.
        entries: Runs, already narrowed to one measurement a cell (see ``select.latest``).
        baseline: The subject that ratios are against, as its label, ``target/precision`` or key; the first where it is empty,
            and nobody where it is ``None``.
        hardware: The hardware catalogue; the installed one where it is ``None``.
        courses: How many courses of power a place has at most; all for ``None``.
        differing: Whether what differs between the subjects is looked for: of thousands of subjects it takes long.
    """
    groups = _by_subject(entries)
    subjects = _subjects(groups)
    first = subjects[0].key if subjects and baseline is not None else ""
    against = next((s.key for s in subjects if baseline in (s.key, *names_of(s))), first)
    measured = {
        key: {cell: Measured(tuple(entry.record for entry in there), ()) for cell, there in group.items()}
        for key, group in groups.items()
    }
    seen = _look(groups, against)
    tables = tuple(table for scenario in Scenario if (table := _table(scenario, subjects, groups, measured, seen)).rows)
    records = {key: [entry.record for there in group.values() for entry in there] for key, group in groups.items()}
    everything = [record for there in records.values() for record in there]
    systems = {record.system.system_id: SystemCard(record.system.system_id, system_rows(record)) for record in everything}
    return ComparisonPage(
        title=title,
        grades=tuple(grade for grade in GRADES if any(record.spec.grade == grade for record in everything)),
        baseline=against,
        subjects=tuple(subjects),
        systems=tuple(systems.values()),
        tables=tables,
        distributions=_distributions(subjects, groups, seen),
        differences=find_differences(records) if differing else (),
        exclusions=tuple(sorted({exclusion for record in everything for exclusion in record.exclusions})),
        energy=energy_rows(subjects, measured, against, hardware if hardware is not None else shipped_hardware()),
        courses=power_courses(groups, courses),
        sweeps=power_sweeps(subjects, measured),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the traces of a cell say: how it compares with the baseline, and its latencies at :data:`QUANTILES`, ns."""

    ratio: Ratio | None
    latencies: tuple[float, ...]


def _look(groups: Mapping[str, Group], baseline: str) -> dict[tuple[str, tuple[str, str]], _Seen]:
    """Read the traces place by place, so that no more are held at once than two cells have; each is read once."""
    seen: dict[tuple[str, tuple[str, str]], _Seen] = {}
    for place in dict.fromkeys(cell for group in groups.values() for cell in group):
        there = groups.get(baseline, {}).get(place)
        base = None if there is None or len(groups) < 2 else read_measured(there)
        for key, group in groups.items():
            if place in group:
                against = base if key != baseline else None
                mine = base if key == baseline and base is not None else read_measured(group[place])
                ratio = None if against is None else compare(mine, against)
                seen[key, place] = _Seen(ratio, () if place[1] == Scenario.OFFLINE.value else _quantiles(mine))
    return seen


def _quantiles(measured: Measured) -> tuple[float, ...]:
    if not measured.traces:
        return ()
    latencies = np.concatenate([trace.query_latencies_ns() for trace in measured.traces])
    return tuple(float(value) for value in np.quantile(latencies, QUANTILES))


def names_of(subject: Subject) -> tuple[str, str]:
    """Return how a person may name a subject: its label, or ``target/precision``."""
    return subject.label, f"{subject.target}/{subject.precision}"


def subject_key(record: Record) -> str:
    """Return the key of the subject that a run is of: its system, target, precision and round."""
    return "|".join((record.system.system_id, record.spec.target.name, record.spec.precision, record.spec.round))


def _by_subject(entries: Sequence[Entry]) -> dict[str, Group]:
    """Group runs by subject, then by (workload, scenario); repeats of a cell stand together."""
    groups: dict[str, Group] = {}
    for entry in sorted(entries, key=lambda e: (e.record.spec.target.name, e.record.spec.precision, e.record.spec.repeat)):
        spec = entry.record.spec
        groups.setdefault(subject_key(entry.record), {}).setdefault((spec.workload, spec.load.scenario.value), []).append(entry)
    return groups


def _subjects(groups: Mapping[str, Group]) -> list[Subject]:
    """Describe the subjects; labels name system and round only where subjects differ in them."""
    parts = {key: key.split("|") for key in groups}
    differing = [len({part[n] for part in parts.values()}) > 1 for n in range(4)]
    found = []
    for key, group in groups.items():
        record = next(iter(group.values()))[0].record
        system, target, precision, label = parts[key]
        names = [target, precision, *([system] if differing[0] else []), *([label or "—"] if differing[3] else [])]
        found.append(
            Subject(
                key=key,
                label=" · ".join(names),
                target=target,
                backend=record.spec.target.backend,
                device=record.spec.target.device,
                precision=precision,
                options={name: str(value) for name, value in record.spec.target.options.items()},
                system_id=system,
                simulated=record.system.simulated,
            )
        )
    return found


def _table(
    scenario: Scenario,
    subjects: Sequence[Subject],
    groups: Mapping[str, Group],
    measured: Mapping[str, Mapping[tuple[str, str], Measured]],
    seen: Mapping[tuple[str, tuple[str, str]], _Seen],
) -> Table:
    headline = HEADLINE[scenario]
    workloads = sorted({cell[0] for group in groups.values() for cell in group if cell[1] == scenario.value})
    rows = []
    for workload in workloads:
        place = (workload, scenario.value)
        cells = [
            _cell(
                subject,
                measured[subject.key][place].records,
                seen[subject.key, place].ratio,
            )
            for subject in subjects
            if place in measured[subject.key]
        ]
        some = next(measured[s.key][place].records[0] for s in subjects if place in measured[s.key]).bundle
        rows.append(
            Row(
                workload=workload,
                title=some.title,
                task=some.task,
                operations=some.operations,
                gate_metric=some.metric,
                gate_unit=some.metric_unit,
                gate_higher_is_better=some.higher_is_better,
                cells=_ranked(cells, {s.key: measured[s.key][place].records[0] for s in subjects if place in measured[s.key]}),
            )
        )
    return Table(scenario.value, headline.metric, headline.unit, headline.higher_is_better, tuple(rows))


def _cell(subject: Subject, records: Sequence[Record], ratio: Ratio | None) -> Cell:
    poor = worst(records)
    scenario = poor.spec.load.scenario
    metrics = _over(records) if poor.status in ("ok", "invalid") else {}
    headline = HEADLINE[scenario].metric
    said = (*doubt_about(records), *(finding for record in records for finding in record.findings))
    findings: dict[tuple[str, str], Finding] = {(f.rule, f.observed): f for f in said}
    return Cell(
        subject=subject.key,
        run_id=", ".join(record.run_id for record in records),
        status=poor.status,
        reason=poor.reason or "",
        grade=poor.spec.grade,
        headline=metrics.get(headline),
        details={name: value for name, value in metrics.items() if name not in (headline, "accuracy")},
        accuracy=metrics.get("accuracy"),
        accuracy_required=poor.bundle.required,
        accuracy_claim=poor.bundle.claim,
        ratio=ratio,
        rank=None,
        unranked=why_unranked(poor, len(records)),
        findings=tuple(findings.values()),
    )


def _over(records: Sequence[Record]) -> dict[str, Estimate]:
    """Return one run's metrics, or the mean over repeats with its interval."""
    if len(records) == 1:
        return dict(records[0].metrics)
    return {name: mean_of(records, name) for name in records[0].metrics}


def why_unranked(record: Record, repeats: int) -> str:
    """Return why a cell of ``repeats`` runs like ``record`` must not be ranked, or an empty text."""
    if record.system.simulated:
        return "simulated"
    if record.status != "ok":
        return record.status
    if not GRADES[record.spec.grade].ranked:
        return record.spec.grade
    if repeats < GRADES[record.spec.grade].repeats:
        return "incomplete"
    if record.artefact is not None and (
        # Allowed, and the runtime cannot tell: nobody knows that it was the device.
        record.artefact.host_operators
        or (record.artefact.host_operators is None and record.spec.target.options.get("allow_host_operators"))
    ):
        return "host-operators"
    return ""


def _ranked(cells: Sequence[Cell], records: Mapping[str, Record]) -> tuple[Cell, ...]:
    """Give ranks to the cells that may have one; one alone has none.

    Only like is ranked with like: where grade, work or latency bound differ, the strictest grade counts, then the most cells.
    """
    groups: dict[tuple[str, str, int | None], list[Cell]] = {}
    for cell in cells:
        if not cell.unranked and cell.headline is not None and cell.headline.value is not None:
            record = records[cell.subject]
            kind = (record.spec.grade, record.bundle.work_digest, record.spec.load.latency_bound_ns)
            groups.setdefault(kind, []).append(cell)
    if not groups:
        return tuple(replace(cell, unranked=cell.unranked or "single") for cell in cells)
    able = max(groups.items(), key=lambda group: (list(GRADES).index(group[0][0]), len(group[1])))[1]
    first = records[able[0].subject]
    sign = -1 if HEADLINE[first.spec.load.scenario].higher_is_better else 1
    order = sorted(
        able, key=lambda cell: sign * (cell.headline.value if cell.headline and cell.headline.value is not None else 0.0)
    )
    ranks = {cell.subject: n + 1 for n, cell in enumerate(order)} if len(able) > 1 else {}
    return tuple(
        replace(cell, rank=ranks[cell.subject])
        if cell.subject in ranks
        else replace(cell, unranked=cell.unranked or incomparable(records[cell.subject], first) or "single")
        for cell in cells
    )


def _distributions(
    subjects: Sequence[Subject], groups: Mapping[str, Group], seen: Mapping[tuple[str, tuple[str, str]], _Seen]
) -> tuple[Distribution, ...]:
    """Return the latency curves of every row that has latencies."""
    places = dict.fromkeys(cell for group in groups.values() for cell in group if cell[1] != Scenario.OFFLINE.value)
    found = []
    for place in sorted(places, key=lambda place: (place[1], place[0])):
        able = [s.key for s in subjects if place in groups[s.key] and seen[s.key, place].latencies]
        if able:
            some = groups[able[-1]][place][0].record
            curves = tuple(Curve(key, QUANTILES, seen[key, place].latencies) for key in able)
            found.append(Distribution(place[1], place[0], some.bundle.title, curves, some.spec.load.latency_bound_ns))
    return tuple(found)
