"""Power sweeps made ready for the template: what each limit costs in speed and saves in energy, as a table and a plot.

Chooses wording and digits only: which runs belong to a sweep, and which limit is the best, is the page's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from npubench.analyze.estimate import Estimate
from npubench.report.page import ComparisonPage, PowerPoint, PowerSweep, Subject
from npubench_reports import charts, numbers, sweep_charts
from npubench_reports.messages import Messages
from npubench_reports.reasons import say
from npubench_reports.said import Said, own
from npubench_reports.titles import short_titles

#: A limit as found this many times above the highest that was asked for does not bind, and would squeeze the others.
_FAR = 1.5


@dataclass(frozen=True, slots=True)
class Amount:
    """One figure, or the letter of the note that says why there is none."""

    figure: numbers.Figure | None
    note: str


@dataclass(frozen=True, slots=True)
class SweepLine:
    """One limit: throughput, mean power and samples a joule; ``why`` where nothing was measured under it."""

    subject: Subject
    limit: str
    asked: bool
    mark: str
    amounts: tuple[Amount, ...]
    why: Said


@dataclass(frozen=True, slots=True)
class SweepView:
    """One sweep; ``panel`` is ``None`` where there is nothing to draw."""

    anchor: str
    scenario: str
    title: str
    label: str
    remark: str
    description: str
    units: tuple[str, str]
    lines: tuple[SweepLine, ...]
    notes: Mapping[str, Said]
    unranked: str
    simulated: bool
    left_out: str
    panel: sweep_charts.SweepPanel | None


def sweeps(page: ComparisonPage, appearance: Mapping[str, charts.Look], messages: Messages) -> tuple[SweepView, ...]:
    """Make the page's power sweeps ready."""
    subjects = {subject.key: subject for subject in page.subjects}
    titles = short_titles(page, messages)
    return tuple(
        _sweep(
            one,
            f"w{n}",
            titles[one.workload].short if one.workload in titles else messages.of(one.title, one.workload),
            subjects,
            appearance,
            messages,
        )
        for n, one in enumerate(page.sweeps, start=1)
    )


def _sweep(
    one: PowerSweep,
    anchor: str,
    title: str,
    subjects: Mapping[str, Subject],
    appearance: Mapping[str, charts.Look],
    messages: Messages,
) -> SweepView:
    letters: dict[Said, str] = {}
    scales = tuple(
        numbers.scale_for([estimate.value for point in one.points if (estimate := of(point)) is not None], unit)
        for of, unit in _COLUMNS
    )
    lines = tuple(_line(point, subjects[point.subject], scales, letters, messages) for point in one.points)
    drawn = {of: _inputs(one, of, appearance) for of, _ in _COLUMNS}
    efficiency, throughput = drawn[_efficiency], drawn[_throughput]
    spoken = "; ".join(
        ", ".join([line.limit, *(f"{a.figure.text} {messages.name('unit', a.figure.unit)}" for a in line.amounts if a.figure)])
        for line in lines
    )
    where = f"{messages.name('domain', one.domain)} · {messages.name('evidence', one.evidence)}" if one.domain else ""
    return SweepView(
        anchor=anchor,
        scenario=one.scenario,
        title=title,
        label=one.label,
        remark=where,
        description=messages("sweep.description", label=one.label, rows=spoken),
        units=(messages.name("unit", scales[2].unit), messages.name("unit", scales[0].unit)),
        lines=lines,
        notes={letter: reason for reason, letter in letters.items()},
        unranked=messages("sweep.unranked", reason=messages.name("unranked", one.unranked)) if one.unranked else "",
        simulated=any(subjects[point.subject].simulated for point in one.points),
        left_out="; ".join(
            line.limit
            for line, point in zip(lines, one.points, strict=True)
            if line.amounts and (point.limit_watts is None or _is_far(point, one))
        ),
        panel=sweep_charts.sweep(efficiency, throughput, (scales[2], scales[0]), messages.locale)
        if efficiency or throughput
        else None,
    )


def _throughput(point: PowerPoint) -> Estimate | None:
    return point.throughput


def _power(point: PowerPoint) -> Estimate | None:
    return point.line.watts if point.line is not None else None


def _efficiency(point: PowerPoint) -> Estimate | None:
    return point.line.samples_per_joule if point.line is not None else None


#: The columns of figures, in order, and the unit each is in.
_COLUMNS = ((_throughput, "samples/s"), (_power, "W"), (_efficiency, "samples/J"))


def _line(
    point: PowerPoint, subject: Subject, scales: tuple[numbers.Scale, ...], letters: dict[Said, str], messages: Messages
) -> SweepLine:
    watts = "" if point.limit_watts is None else f"{numbers.number(point.limit_watts, messages.locale)} W"
    limit = watts if point.asked else messages("sweep.found", watts=watts) if watts else messages("sweep.found-unknown")
    if point.throughput is None and point.line is None:
        words = [messages.name("status", point.status)] if not point.reason else []
        return SweepLine(subject, limit, point.asked, "", (), own(words[0]) if words else say(point.reason, messages))
    amounts = []
    for (of, _), scale in zip(_COLUMNS, scales, strict=True):
        estimate = of(point)
        shown = numbers.figure(estimate, scale, messages.locale) if estimate is not None else None
        note = ""
        if shown is None:
            reason = estimate.reason if estimate is not None else None
            said = say(reason, messages) if reason else own(messages("energy.no-meter"))
            note = letters.setdefault(said, chr(ord("a") + len(letters)))
        amounts.append(Amount(shown, note))
    return SweepLine(subject, limit, point.asked, point.mark, tuple(amounts), Said(()))


def _inputs(one: PowerSweep, of: object, appearance: Mapping[str, charts.Look]) -> list[sweep_charts.SweepInput]:
    assert callable(of)
    found = []
    for point in one.points:
        estimate = of(point)
        if point.limit_watts is None or _is_far(point, one) or estimate is None or estimate.value is None:
            continue
        mark = point.mark if of is _efficiency else ""
        found.append(
            sweep_charts.SweepInput(
                appearance[point.subject], point.limit_watts, point.asked, mark, estimate.value, estimate.low, estimate.high
            )
        )
    return found


def _is_far(point: PowerPoint, one: PowerSweep) -> bool:
    measured = [each.limit_watts for each in one.points if each.asked and each.throughput is not None and each.limit_watts]
    highest = max(measured, default=math.inf)
    return not point.asked and point.limit_watts is not None and point.limit_watts > _FAR * highest
