"""Set one target's runs under several power limits beside each other: what each limit costs in speed and saves in energy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from npubench.contract.runspec import to_plain
from npubench.plan.grades import GRADES
from npubench.record.schema import Record
from npubench.report.efficiency import energy_lines, rankable
from npubench.report.page import PowerPoint, PowerSweep, Subject, SweepMark
from npubench.report.ratio import Measured, mean_of, worst

#: (workload, scenario).
Place = tuple[str, str]


def power_sweeps(subjects: Sequence[Subject], measured: Mapping[str, Mapping[Place, Measured]]) -> tuple[PowerSweep, ...]:
    """Return a sweep for every group of subjects that differ by their power limit alone, a row each.

    The target as it was found belongs to it, where the same page has it: its limit is the one that was read.
    """
    groups: dict[tuple[Place, str], list[Subject]] = {}
    for subject in subjects:
        for place, here in measured[subject.key].items():
            groups.setdefault((place, _but_for_the_limit(here.records[0])), []).append(subject)
    found = []
    for (place, _), there in sorted(groups.items(), key=lambda group: (group[0][0][1], group[0][0][0])):
        records = {subject.key: measured[subject.key][place].records for subject in there}
        limits = {key: runs[0].spec.target.power_limit_mw for key, runs in records.items()}
        if len(there) > 1 and any(limits.values()):
            found.append(_sweep(place, there, records))
    return tuple(found)


def _but_for_the_limit(record: Record) -> str:
    """Return everything that must be the same for two runs to differ by their power limit alone."""
    spec = record.spec
    target = to_plain(replace(spec.target, name=spec.target.base, power_limit_mw=0))
    load = to_plain(spec.load)
    load.pop("seeds")
    return json.dumps(
        [record.system.system_id, target, spec.precision, spec.round, spec.grade, record.bundle.work_digest, load], sort_keys=True
    )


def _sweep(place: Place, subjects: Sequence[Subject], records: Mapping[str, Sequence[Record]]) -> PowerSweep:
    lines = {key: energy_lines(runs) for key, runs in records.items()}
    kinds: Counter[tuple[str, str]] = Counter()
    for line in (line for there in lines.values() for line in there):
        kinds[line.domain, line.evidence] += line.samples_per_joule.value is not None
    # What says most of samples a joule; among equals the best evidence, which stands first.
    kind = max(kinds, key=lambda each: kinds[each], default=("", ""))
    points = []
    for subject in subjects:
        runs = records[subject.key]
        poor = worst(runs)
        asked, read = runs[0].spec.target.power_limit_mw, _read(runs)
        measured = poor.status in ("ok", "invalid") and "throughput" in runs[0].metrics
        points.append(
            PowerPoint(
                subject=subject.key,
                limit_watts=(asked or read or 0) / 1000 or None,
                asked=bool(asked),
                status=poor.status,
                reason=poor.reason or "",
                throughput=(mean_of(runs, "throughput") if len(runs) > 1 else runs[0].metrics["throughput"])
                if measured
                else None,
                line=next((line for line in lines[subject.key] if (line.domain, line.evidence) == kind), None),
            )
        )
    points.sort(key=lambda point: (not point.asked, point.limit_watts or 0.0))
    first = records[subjects[0].key][0]
    label = " · ".join((first.spec.target.base, first.spec.precision))
    marked = _marked(points, records)
    return PowerSweep(place[1], place[0], first.bundle.title, label, *kind, points=marked, unranked=_unranked(marked, records))


def _read(runs: Sequence[Record]) -> int | None:
    """Return the limit that was in force in all of the runs, mW; ``None`` where it was not read or not the same."""
    values = {run.provenance.settings.get("power_limit_mw") for run in runs}
    value = values.pop() if len(values) == 1 else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _marked(points: Sequence[PowerPoint], records: Mapping[str, Sequence[Record]]) -> tuple[PowerPoint, ...]:
    """Mark the limit with the most samples a joule, and with it those whose intervals overlap its own."""
    able = [
        (point, point.line.samples_per_joule)
        for point in points
        if point.line is not None
        and rankable(records[point.subject], point.line)
        and point.line.samples_per_joule.value is not None
    ]
    if len(able) < 2:
        return tuple(points)
    leader, most = max(able, key=lambda each: each[1].value or 0.0)
    floor = most.low if most.low is not None else most.value
    assert floor is not None
    near = {p.subject for p, e in able if (e.high if e.high is not None else e.value or 0.0) >= floor}
    mark: SweepMark = "best" if near == {leader.subject} else "tie"
    return tuple(replace(point, mark=mark if point.subject in near else "") for point in points)


def _unranked(points: Sequence[PowerPoint], records: Mapping[str, Sequence[Record]]) -> str:
    """Return why no limit is marked as the best one, as an id; empty where one is."""
    if any(point.mark for point in points):
        return ""
    everything = [record for runs in records.values() for record in runs]
    if any(record.system.simulated for record in everything):
        return "simulated"
    grade = everything[0].spec.grade
    if not GRADES[grade].ranked:
        return grade
    return "invalid" if any(record.status == "invalid" for record in everything) else "single"
