"""Runs beside the declared peaks of their devices made ready for the template: a table a scenario, and a plot a device.

Chooses wording and digits only. What is declared is marked as declared, with its source, and no roof is drawn without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from npubench.analyze.estimate import Estimate
from npubench.analyze.roofline import Roofline
from npubench.report.page import ComparisonPage, Declared, EnergyCell, Subject
from npubench_reports import charts, numbers, roofline_charts
from npubench_reports.messages import Messages
from npubench_reports.titles import Title, short_titles


@dataclass(frozen=True, slots=True)
class RooflineLine:
    """One run beside the declared peaks of its device."""

    workload: str
    subject: Subject
    reached: numbers.Figure | None
    compute: str
    peak: str
    intensity: str
    memory: str
    bandwidth: str
    remark: str


@dataclass(frozen=True, slots=True)
class RooflinePlot:
    """The plot of one device in one precision; ``names`` are its points' by their number, ``roof`` is said below it."""

    anchor: str
    title: str
    remark: str
    description: str
    roof: str
    unit: str
    names: tuple[tuple[Subject, str], ...]
    panel: roofline_charts.RooflinePanel


@dataclass(frozen=True, slots=True)
class ScenarioRooflines:
    """The runs of one scenario."""

    scenario: str
    anchor: str
    lines: tuple[RooflineLine, ...]
    plots: tuple[RooflinePlot, ...]


@dataclass(frozen=True, slots=True)
class RooflinesView:
    """The part on declared peaks; ``unknown`` says of which devices none is declared, where that is all there is to say."""

    scenarios: tuple[ScenarioRooflines, ...]
    unknown: str


def rooflines(page: ComparisonPage, appearance: Mapping[str, charts.Look], messages: Messages) -> RooflinesView:
    """Make the part on declared peaks ready."""
    cells = [cell.roofline for row in page.energy for cell in row.cells]
    if not any(roof.device for roof in cells):
        kinds = dict.fromkeys(roof.words for roof in cells if roof.reason == "unknown-device" and roof.words)
        return RooflinesView((), ", ".join(kinds))
    titles = short_titles(page, messages)
    names = dict.fromkeys(row.scenario for row in page.energy)
    return RooflinesView(
        tuple(_scenario(page, name, f"r{n}", titles, appearance, messages) for n, name in enumerate(names, start=1)), ""
    )


def _scenario(
    page: ComparisonPage,
    scenario: str,
    anchor: str,
    titles: Mapping[str, Title],
    appearance: Mapping[str, charts.Look],
    messages: Messages,
) -> ScenarioRooflines:
    subjects = {subject.key: subject for subject in page.subjects}
    lines = []
    together: dict[tuple[str, str], list[tuple[str, EnergyCell]]] = {}
    for row in page.energy:
        if row.scenario != scenario:
            continue
        title = titles[row.workload].short if row.workload in titles else messages.of(row.title, row.workload)
        for cell in row.cells:
            found = cell.roofline
            lines.append(_line(title, subjects[cell.subject], found, messages))
            if found.operations and found.intensity:
                device = found.device or found.words
                together.setdefault((device, subjects[cell.subject].precision), []).append((title, cell))
    plots = tuple(
        _plot(device, precision, f"{anchor}p{n}", cells, subjects, appearance, messages)
        for n, ((device, precision), cells) in enumerate(together.items(), start=1)
    )
    return ScenarioRooflines(scenario, anchor, tuple(lines), plots)


def _line(title: str, subject: Subject, found: Roofline, messages: Messages) -> RooflineLine:
    remarks = [messages(f"roofline.{found.reason}", words=found.words)] if found.reason else []
    remarks += [messages(f"doubt.{found.doubt}")] if found.doubt else []
    return RooflineLine(
        workload=title,
        subject=subject,
        reached=_rate(found.operations, messages),
        compute="" if found.compute is None else _share(found.compute, messages),
        peak="" if found.peak is None else _against(found.peak, messages),
        intensity="" if found.intensity is None else _three(found.intensity, messages),
        memory="" if found.memory is None else _share(found.memory, messages),
        bandwidth="" if found.bandwidth is None else _against(found.bandwidth, messages),
        remark=" ".join(remarks),
    )


def _plot(
    device: str,
    precision: str,
    anchor: str,
    cells: list[tuple[str, EnergyCell]],
    subjects: Mapping[str, Subject],
    appearance: Mapping[str, charts.Look],
    messages: Messages,
) -> RooflinePlot:
    first = cells[0][1].roofline
    peak, bandwidth = first.peak, first.bandwidth
    given = [
        roofline_charts.PointInput(appearance[cell.subject], cell.roofline.intensity, cell.roofline.operations)
        for _, cell in cells
        if cell.roofline.intensity is not None and cell.roofline.operations is not None
    ]
    top = peak.size if peak is not None else max(point.rate for point in given)
    scale = numbers.scale_for([top], "op/s")
    declared = [_against(figure, messages) for figure in (peak, bandwidth) if figure is not None]
    roof = messages("roofline.declared", figures="; ".join(declared)) if peak is not None else messages("roofline.no-roof")
    names = tuple((subjects[cell.subject], title) for title, cell in cells)
    spoken = "; ".join(
        messages(
            "roofline.point",
            number=n,
            workload=title,
            subject=subjects[cell.subject].label,
            rate=_text(_rate(cell.roofline.operations, messages), messages),
            intensity=_three(cell.roofline.intensity or 0.0, messages),
        )
        for n, (title, cell) in enumerate(cells, start=1)
    )
    return RooflinePlot(
        anchor=anchor,
        title=device,
        remark=messages.name("precision", precision),
        description=messages("roofline.description", device=device, roof=roof, points=spoken),
        roof=roof,
        unit=messages.name("unit", scale.unit),
        names=names,
        panel=roofline_charts.roofline(
            given, peak.size if peak else None, bandwidth.size if peak and bandwidth else None, scale, messages.locale
        ),
    )


def _rate(value: float | None, messages: Messages) -> numbers.Figure | None:
    return numbers.figure(Estimate(value, "op/s"), numbers.scale_for([value], "op/s"), messages.locale)


def _text(shown: numbers.Figure | None, messages: Messages) -> str:
    return "—" if shown is None else f"{shown.text} {messages.name('unit', shown.unit)}"


def _three(value: float, messages: Messages) -> str:
    """Return a value with three digits."""
    return numbers.decimal(value, numbers.last_digit(value), messages.locale)


def _share(value: float, messages: Messages) -> str:
    """Return a fraction with three digits; one below 0.1 % as that, since it is not nothing."""
    if 0.0 < value < 0.001:
        return f"< {numbers.percent(0.001, messages.locale)}"
    return numbers.percent(float(f"{value:.3g}"), messages.locale)


def _against(figure: Declared, messages: Messages) -> str:
    known = messages.has(f"precision.{figure.precision}")
    parts = [messages.name("precision", figure.precision) if known else figure.precision.upper()] if figure.precision else []
    parts += [messages.name("density", figure.density)] if figure.density else []
    parts += [messages.name("scope", figure.scope), figure.source, *([figure.date] if figure.date else [])]
    return f"{numbers.number(figure.value, messages.locale)} {figure.unit} ({', '.join(parts)})"
