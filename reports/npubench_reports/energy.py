"""The section on power made ready for its template: figures as text, reasons lettered, ratios and courses placed.

Chooses wording and digits only: which lines may be compared, and whether policy is met, is the page's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from npubench.analyze.estimate import Estimate
from npubench.report.efficiency import POLICY
from npubench.report.page import ComparisonPage, Declared, EnergyCell, EnergyLine, EnergyRow, PowerCourse, Ratio, Subject
from npubench_reports import charts, numbers, power_charts
from npubench_reports.conditions import unlike_text
from npubench_reports.messages import Messages
from npubench_reports.reasons import say
from npubench_reports.said import Said, own
from npubench_reports.titles import Title, short_titles

#: The columns of figures, in order: the field of a line, and the unit it is in.
FIELDS = (
    ("watts", "W"),
    ("peak_watts", "W"),
    ("idle_watts", "W"),
    ("joules_per_sample", "J/sample"),
    ("samples_per_joule", "samples/J"),
)


@dataclass(frozen=True, slots=True)
class Amount:
    """One figure, or the letter of the note that says why there is none or it has no interval."""

    figure: numbers.Figure | None
    note: str


@dataclass(frozen=True, slots=True)
class RatioText:
    """A ratio of samples a joule: its text and interval with the policy's verdict, or why there is none."""

    text: str
    interval: str
    exact: str
    policy: str
    words: str
    reason: str
    unlike: str = ""


@dataclass(frozen=True, slots=True)
class LineView:
    """One line of the table: a subject by the sensors of one domain and evidence; ``why`` where it has none at all."""

    subject: Subject
    baseline: bool
    line: EnergyLine | None
    amounts: tuple[Amount, ...]
    ratio: RatioText | None
    declared: str
    why: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """The lines of one workload."""

    title: str
    lines: tuple[LineView, ...]


@dataclass(frozen=True, slots=True)
class RatioPlot:
    """The plot of one workload's ratios of one domain and evidence."""

    anchor: str
    title: str
    remark: str
    description: str
    panel: power_charts.RatioPanel


@dataclass(frozen=True, slots=True)
class CoursePlot:
    """The plot of one run over time."""

    anchor: str
    title: str
    remark: str
    description: str
    look: charts.Look
    times: str
    panel: power_charts.CoursePanel
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class ScenarioView:
    """The energy of one scenario."""

    scenario: str
    anchor: str
    groups: tuple[GroupView, ...]
    notes: Mapping[str, Said]
    plots: tuple[RatioPlot, ...]
    courses: tuple[CoursePlot, ...]


@dataclass(frozen=True, slots=True)
class EnergyView:
    """The section: nothing but a sentence where no watt was measured.

    ``declared`` are the statements of TDP with their sources, by subject.
    """

    measured: bool
    policy: str
    scenarios: tuple[ScenarioView, ...]
    declared: Mapping[str, str]


def energy(page: ComparisonPage, appearance: Mapping[str, charts.Look], messages: Messages) -> EnergyView:
    """Make the section on power ready."""
    titles = short_titles(page, messages)
    names = dict.fromkeys(row.scenario for row in page.energy)
    measured = any(cell.lines for row in page.energy for cell in row.cells)
    policy = _times(POLICY, -1, messages)
    scenarios = tuple(
        _scenario(page, scenario, f"e{n}", policy, titles, appearance, messages)
        for n, scenario in enumerate(names if measured else (), start=1)
    )
    labels = {subject.key: subject.label for subject in page.subjects}
    declared = {
        labels[cell.subject]: "; ".join(_source(figure, messages) for figure in cell.declared)
        for row in page.energy
        for cell in row.cells
        if cell.declared and measured
    }
    return EnergyView(measured, policy, scenarios, declared)


def _scenario(
    page: ComparisonPage,
    scenario: str,
    anchor: str,
    policy: str,
    titles: Mapping[str, Title],
    appearance: Mapping[str, charts.Look],
    messages: Messages,
) -> ScenarioView:
    rows = [row for row in page.energy if row.scenario == scenario]
    subjects = {subject.key: subject for subject in page.subjects}
    letters: dict[Said, str] = {}
    groups = []
    for row in rows:
        scales = _scales(row)
        lines = [
            view
            for cell in row.cells
            for view in _lines(cell, subjects[cell.subject], page.baseline, len(page.subjects), policy, scales, letters, messages)
        ]
        groups.append(GroupView(_title(row, titles, messages), tuple(lines)))
    plots = [
        plot
        for n, row in enumerate(rows, start=1)
        for plot in _plots(row, subjects, f"{anchor}p{n}", policy, _title(row, titles, messages), appearance, messages)
    ]
    courses = [
        _course(one, subjects[one.subject], f"{anchor}c{n}", titles, appearance, messages)
        for n, one in enumerate((c for c in page.courses if c.scenario == scenario), start=1)
    ]
    notes = {letter: reason for reason, letter in letters.items()}
    return ScenarioView(scenario, anchor, tuple(groups), notes, tuple(plots), tuple(courses))


def _title(row: EnergyRow, titles: Mapping[str, Title], messages: Messages) -> str:
    return titles[row.workload].short if row.workload in titles else messages.of(row.title, row.workload)


def _scales(row: EnergyRow) -> dict[str, numbers.Scale]:
    """Return one scale a unit for all of a workload's lines, so that a column reads down."""
    lines = [line for cell in row.cells for line in cell.lines]
    return {
        unit: numbers.scale_for([getattr(line, name).value for line in lines for name, of in FIELDS if of == unit], unit)
        for unit in dict.fromkeys(unit for _, unit in FIELDS)
    }


def _lines(
    cell: EnergyCell,
    subject: Subject,
    baseline: str,
    subjects: int,
    policy: str,
    scales: Mapping[str, numbers.Scale],
    letters: dict[Said, str],
    messages: Messages,
) -> list[LineView]:
    declared = ", ".join(_declared(figure, messages) for figure in cell.declared)
    is_baseline = cell.subject == baseline and subjects > 1
    if not cell.lines:
        gone = cell.reason in ("failed", "skipped")
        why = messages.name("status", cell.reason) if gone else messages("energy.no-meter")
        return [LineView(subject, is_baseline, None, (), None, declared or "—", why)]
    views = []
    for n, line in enumerate(cell.lines):
        amounts = tuple(_amount(getattr(line, name), scales[unit], letters, messages) for name, unit in FIELDS)
        ratio = _ratio(line.ratio, line.policy, policy, messages) if line.ratio is not None else None
        views.append(LineView(subject, is_baseline, line, amounts, ratio, "" if n else declared or "—", ""))
    return views


def _amount(estimate: Estimate, scale: numbers.Scale, letters: dict[Said, str], messages: Messages) -> Amount:
    shown = numbers.figure(estimate, scale, messages.locale)
    if shown is not None:
        return Amount(shown, "")
    reason = say(estimate.reason, messages) if estimate.reason else own(messages("cell.no-reason"))
    return Amount(None, letters.setdefault(reason, _letter(len(letters))))


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else f"a{index}"


def _ratio(ratio: Ratio, verdict: str, policy: str, messages: Messages) -> RatioText:
    if ratio.value is None:
        key = f"incomparable.{ratio.reason}"
        reason = messages(key) if messages.has(key) else ratio.reason
        return RatioText("", "", "", "", "", messages("energy.not-comparable", reason=reason))
    estimate = Estimate(ratio.value, "", ratio.low, ratio.high, ratio.confidence)
    shown = numbers.figure(estimate, numbers.Scale(1.0, ""), messages.locale)
    assert shown is not None
    words = messages(f"policy.{verdict}", value=policy) if verdict else ""
    return RatioText(shown.text, shown.interval, shown.exact, verdict, words, "", unlike_text(ratio, messages))


def _declared(figure: Declared, messages: Messages) -> str:
    """Return a declared figure as it was declared, with its date and the word for one that nobody has seen declared."""
    said = [f"{numbers.number(figure.value, messages.locale)} {figure.unit}"]
    marks = [figure.date] if figure.date else []
    marks += [messages("hardware.unverified")] if figure.unverified else []
    return " ".join([*said, f"({', '.join(marks)})"] if marks else said)


def _source(figure: Declared, messages: Messages) -> str:
    return messages(
        "hardware.source",
        figure=_declared(figure, messages),
        scope=messages.name("scope", figure.scope),
        source=figure.source,
        note=f" — {figure.note}" if figure.note else "",
    )


def _times(value: float, digit: int, messages: Messages) -> str:
    return numbers.decimal(value, digit, messages.locale)


def _plots(
    row: EnergyRow,
    subjects: Mapping[str, Subject],
    anchor: str,
    policy: str,
    title: str,
    appearance: Mapping[str, charts.Look],
    messages: Messages,
) -> list[RatioPlot]:
    """Return a plot for each domain and evidence that some subject has a ratio by: they share no axis."""
    kinds: dict[tuple[str, str], list[power_charts.RatioInput]] = {}
    for cell in row.cells:
        for line in cell.lines:
            ratio = line.ratio
            if ratio is None or ratio.value is None or ratio.low is None or ratio.high is None:
                continue
            subject = subjects[cell.subject]
            text = _ratio(ratio, line.policy, policy, messages)
            made = power_charts.RatioInput(
                label=subject.label,
                words=f"{text.text}× · {text.words}",
                look=appearance[subject.key],
                simulated=line.simulated,
                value=ratio.value,
                low=ratio.low,
                high=ratio.high,
            )
            kinds.setdefault((line.domain, line.evidence), []).append(made)
    plots = []
    for n, ((domain, evidence), inputs) in enumerate(kinds.items(), start=1):
        where = f"{messages.name('domain', domain)} · {messages.name('evidence', evidence)}"
        spoken = "; ".join(f"{i.label}: {i.words}" for i in inputs)
        description = messages("energy.ratio-description", where=where, policy=policy, rows=spoken)
        panel = power_charts.ratios(inputs, POLICY, messages.locale)
        plots.append(RatioPlot(f"{anchor}k{n}", title, where, description, panel))
    return plots


def _course(
    given: PowerCourse,
    subject: Subject,
    anchor: str,
    titles: Mapping[str, Title],
    appearance: Mapping[str, charts.Look],
    messages: Messages,
) -> CoursePlot:
    watts = numbers.scale_for([max((v for v in given.power.values if v is not None), default=None)], "W")
    latency = given.latency.high if given.latency is not None else ()
    times = numbers.scale_for([max((v for v in latency if v is not None), default=None)], "ns")
    phases = {band.name: messages.name("phase", band.name) for band in given.phases}
    units = (messages.name("unit", watts.unit), messages.name("unit", times.unit))
    title = titles[given.workload].short if given.workload in titles else messages.of(given.title, given.workload)
    where = f"{messages.name('domain', given.domain)} · {messages.name('evidence', given.evidence)}"
    held = dict.fromkeys(messages.name("held", band.name) for band in given.throttled)
    description = messages(
        "energy.course-description",
        subject=subject.label,
        where=where,
        phases=", ".join(phases.values()),
        held=", ".join(held) or messages("energy.not-held"),
    )
    latencies = given.latency.values if given.latency is not None else (None,) * len(given.power.values)
    over = messages.name("over-time", given.latency.name) if given.latency is not None else ""
    return CoursePlot(
        anchor=anchor,
        title=f"{title} — {subject.label}",
        remark=where,
        description=description,
        look=appearance[subject.key],
        times=over,
        panel=power_charts.course(given, watts, times, units, phases, messages.locale),
        columns=(
            messages("energy.time-axis"),
            f"{messages.name('over-time', 'power')} ({units[0]})",
            *([f"{over} ({units[1]})"] if over else []),
        ),
        lines=tuple(
            (
                numbers.number(round(given.power.start_s + n * given.power.step_s, 3), messages.locale),
                _plain(power, watts, messages),
                *([_plain(latency, times, messages)] if over else []),
            )
            for n, (power, latency) in enumerate(zip(given.power.values, latencies, strict=False))
        ),
    )


def _plain(value: float | None, scale: numbers.Scale, messages: Messages) -> str:
    """Return a plotted value in the plot's own unit; a hole is a dash."""
    return "—" if value is None else numbers.number(value / scale.factor, messages.locale)
