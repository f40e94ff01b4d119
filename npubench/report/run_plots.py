"""Plots of what was measured, whichever report shows them: latency and its tail, declared roofs, a run over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.roofline import Roofline
from npubench.plan.hardware import Figure
from npubench.report import page
from npubench.report.document import (
    Axis,
    Cell,
    Column,
    Grid,
    Level,
    Phrase,
    Plot,
    Point,
    Row,
    Series,
    Stretch,
    Text,
    Titles,
)

Nature = Literal["measured", "simulated"]
#: The workload's title and the scenario's id, as captions name a place.
Where = Mapping[str, str | Titles]

#: Quantiles in the table behind a curve.
SHOWN = (0.5, 0.9, 0.99, 0.999, 1.0)
#: The least part of queries that a curve goes down to.
SMALLEST = 1e-3
#: More lines than these in one picture are not told apart; the first are drawn, all stand in the tables.
MOST = 8


@dataclass(frozen=True, slots=True)
class Drawn:
    """Somebody who is drawn: the label, the runs behind it, whether it is no hardware, and its look in every plot."""

    label: str
    runs: tuple[str, ...]
    nature: Nature
    look: int | None = None


def latency_plot(
    curves: Sequence[tuple[Drawn, page.Curve, int]], bound_ns: int | None, where: Where, name: str, whom: Phrase
) -> Plot:
    """Return the part of queries that took longer, over latency: both logarithmic, so that the tail is seen.

    Args:
        curves: Who is drawn, the curve, and how many queries it is of; at least one.
        bound_ns: The bound on latency, or ``None``.
        where: Of the caption.
        name: Of the plot.
        whom: What heads the labels in the table.
    """
    series, rows = [], []
    for drawn, curve, queries in curves:
        at = dict(zip(curve.quantiles, curve.latency_ns, strict=True))
        # A part of queries that is less than one of them says nothing.
        points = [Point(ns, 1.0 - q) for q, ns in at.items() if SMALLEST <= 1.0 - q < 1.0 and (1.0 - q) * queries >= 1.0]
        series.append(Series(Text(drawn.label), tuple(points), drawn.nature, look=drawn.look))
        cells = tuple(
            Cell(
                Estimate(at[q], "ns")
                if q in at and ((1.0 - q) * queries >= 1.0 or q == 1.0)
                else absent("ns", "too few queries"),
                drawn.runs,
            )
            for q in SHOWN
        )
        rows.append(Row(_heading(drawn), cells))
    return Plot(
        name=name,
        caption=Phrase("plot.latency.caption", where),
        alt=Phrase("plot.latency.alt", {**where, "count": len(curves)}),
        form="lines",
        x=Axis(Phrase("metric.latency"), "ns", logarithmic=True),
        y=Axis(Phrase("plot.latency.axis"), "share", logarithmic=True),
        series=tuple(series[:MOST]),
        levels=(Level(Phrase("plot.bound"), float(bound_ns), across=False),) if bound_ns else (),
        table=Grid(
            name=f"{name}-data",
            caption=Phrase("plot.latency.data"),
            columns=(Column(whom), *(Column(Phrase("procurement.column.quantile", {"part": q}), True) for q in SHOWN)),
            rows=tuple(rows),
            remarks=(Phrase("plot.latency.observed"),),
        ),
    )


def roofline_plot(runs: Sequence[tuple[Drawn, Roofline]], caption: Phrase, alt: Phrase, name: str, whom: Phrase) -> Plot:
    """Return operations/s over operations a byte under the declared roofs.

    Args:
        runs: Who is drawn, and the run beside the peaks of its device; operations and intensity are known of each.
        caption, alt: Of the plot.
        name: Of the plot.
        whom: What heads the labels in the table.
    """
    series, rows, places = [], [], []
    roofs: dict[tuple[str, str], tuple[Figure, Figure | None]] = {}
    for drawn, roof in runs:
        assert roof.intensity is not None
        places.append(roof.intensity)
        point = Point(roof.intensity, roof.operations, label=drawn.label)
        series.append(Series(Text(drawn.label), (point,), drawn.nature, joined=False, look=drawn.look))
        if roof.peak is not None:
            roofs[roof.device, roof.peak.precision] = (roof.peak, roof.bandwidth)
        cells = (
            Cell(Estimate(roof.intensity, "op/B"), drawn.runs),
            Cell(Estimate(roof.operations, "op/s"), drawn.runs),
            peak_cell(roof.peak, "op/s"),
            Cell(None if roof.compute is None else Estimate(roof.compute, "share"), drawn.runs),
        )
        rows.append(Row(_heading(drawn), cells))
    for (device, precision), (peak, bandwidth) in roofs.items():
        knee = None if bandwidth is None else peak.size / bandwidth.size
        ends = [min([*places, knee or places[0]]) / 4, *([knee] if knee else []), max([*places, knee or places[0]]) * 4]
        line = tuple(Point(x, peak.size if bandwidth is None else min(peak.size, x * bandwidth.size)) for x in ends)
        series.append(Series(Text(f"{device} {precision}"), line, "declared"))
    names = ("intensity", "operations", "peak-declared", "utilisation")
    return Plot(
        name=name,
        caption=caption,
        alt=alt,
        form="points",
        x=Axis(Phrase("procurement.column.intensity"), "op/B", logarithmic=True),
        y=Axis(Phrase("procurement.column.operations"), "op/s", logarithmic=True),
        series=tuple(series),
        table=Grid(
            name=f"{name}-data",
            caption=Phrase("plot.roofline.data"),
            columns=(Column(whom), *(Column(Phrase(f"procurement.column.{each}"), True) for each in names)),
            rows=tuple(rows),
        ),
    )


def _heading(drawn: Drawn) -> Cell:
    remark = Phrase("document.simulated") if drawn.nature == "simulated" else None
    return Cell(Text(drawn.label), drawn.runs, remark)


def peak_cell(figure: Figure | None, unit: str) -> Cell:
    """Return a declared figure with its source; an empty cell where none is declared."""
    if figure is None:
        return Cell(None)
    key = "plot.source.dated" if figure.date else "plot.source"
    return Cell(Estimate(figure.size, unit), (), Phrase(key, {"source": figure.source, "date": figure.date}))


def power_plot(course: page.PowerCourse, drawn: Drawn, where: Where, name: str) -> Plot:
    """Return a run's power over time with its phases; behind it least, mean and most of each phase."""
    words = {**where, "label": drawn.label, "domain": course.domain, "evidence": course.evidence}
    return _over_time(course, course.power, "power", drawn, words, name)


def response_plot(course: page.PowerCourse, drawn: Drawn, where: Where, name: str) -> Plot | None:
    """Return a run's latency, or its time in the executor, over time; ``None`` where neither is known."""
    if course.latency is None:
        return None
    key = "latency-over-time" if course.latency.name == "latency" else "service-time"
    return _over_time(course, course.latency, key, drawn, {**where, "label": drawn.label}, name)


def _over_time(
    course: page.PowerCourse, shown: page.Series, key: str, drawn: Drawn, words: Mapping[str, str | Titles], name: str
) -> Plot:
    middle = [shown.start_s + (n + 0.5) * shown.step_s for n in range(len(shown.values))]
    low, high = (each or (None,) * len(shown.values) for each in (shown.low, shown.high))
    points = tuple(Point(x, y, a, b) for x, y, a, b in zip(middle, shown.values, low, high, strict=True))
    held = dict.fromkeys(band.name for band in course.throttled)
    alt = {"label": drawn.label, "phases": ", ".join(band.name for band in course.phases), "held": ", ".join(held)}
    return Plot(
        name=name,
        caption=Phrase(f"plot.{key}.caption", words),
        alt=Phrase(f"plot.{key}.alt.held" if held else f"plot.{key}.alt", alt),
        form="steps",
        x=Axis(Phrase("plot.time.axis"), "s"),
        y=Axis(Phrase(f"over-time.{shown.name}"), shown.unit, from_zero=True),
        series=(Series(Text(drawn.label), points, drawn.nature, look=drawn.look),),
        stretches=(
            *(Stretch(Phrase(f"phase.{band.name}"), band.start_s, band.end_s) for band in course.phases),
            *(Stretch(Phrase(f"held.{band.name}"), band.start_s, band.end_s, grave=True) for band in course.throttled),
        ),
        table=Grid(
            name=f"{name}-data",
            caption=Phrase(f"plot.{key}.data"),
            columns=(
                Column(Phrase("procurement.column.phase")),
                *(Column(Phrase(f"procurement.column.{each}"), True) for each in ("from", "to", "least", "mean", "most")),
            ),
            rows=tuple(_by_phase(course, shown, middle)),
        ),
    )


def _by_phase(course: page.PowerCourse, shown: page.Series, middle: Sequence[float]) -> Iterator[Row]:
    """Yield least, mean and most of each phase, and of each stretch in which the device was held back."""
    bands = [("phase", band) for band in course.phases] + [("held", band) for band in course.throttled]
    for kind, band in bands:
        inside = [y for x, y in zip(middle, shown.values, strict=True) if y is not None and band.start_s <= x < band.end_s]
        cells = (
            Cell(Estimate(band.start_s, "s"), (course.run_id,)),
            Cell(Estimate(band.end_s, "s"), (course.run_id,)),
            *(Cell(Estimate(pick(inside), shown.unit) if inside else None, (course.run_id,)) for pick in (min, _mean, max)),
        )
        yield Row(Cell(Phrase(f"{kind}.{band.name}"), (course.run_id,)), cells)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
