"""The part of the declared peaks that a target reaches, a line a case, and the picture of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.roofline import Roofline
from npubench.plan.hardware import Hardware
from npubench.report.document import Axis, Cell, Column, Grid, Paragraph, Phrase, Plot, Point, Row, Section, Series, Text
from npubench.report.efficiency import run_roofline
from npubench.report.feedback_cases import Case
from npubench.report.procurement_offers import NO_UTILISATION

#: Below this part of the roof over it, a case is held down by something else.
FAR = 0.2
#: Points in a picture.
MOST = 40


def roofline_section(cases: Sequence[Case], hardware: Hardware) -> Section:
    """Return the fractions of the roofline by workload."""
    drawn = [(case, run_roofline(case.records, hardware)) for case in cases if case.measured]
    rows = tuple(_row(case, roof) for case, roof in drawn)
    names = ("operations", "compute", "memory", "intensity", "ridge")
    grid = Grid(
        name="roofline",
        caption=Phrase("feedback.roofline.caption"),
        columns=(
            Column(Phrase("feedback.column.place")),
            *(Column(Phrase(f"feedback.roofline.{name}"), True) for name in names),
            Column(Phrase("feedback.roofline.bound")),
        ),
        rows=rows,
        remarks=(Phrase("feedback.roofline.rule"),),
    )
    lead = Paragraph((Phrase("feedback.roofline.lead"),))
    return Section("roofline", Phrase("feedback.roofline.heading"), (lead, *_plot(drawn), grid))


def _row(case: Case, roof: Roofline) -> Row:
    missing = _why(roof)
    ridge = roof.peak.size / roof.bandwidth.size if roof.peak is not None and roof.bandwidth is not None else None
    figures = (
        (roof.operations, "op/s", missing),
        (roof.compute, "share", missing),
        (roof.memory, "share", missing if roof.bandwidth is None and missing else _NO_BYTES),
        (roof.intensity, "op/B", _NO_BYTES),
        (ridge, "op/B", missing or _NO_BYTES),
    )
    cells = tuple(
        Cell(Estimate(v, unit) if v is not None else absent(unit, reason or _NO_BYTES), case.runs) for v, unit, reason in figures
    )
    return Row(case.place(), (*cells, Cell(_bound(roof, ridge), case.runs, _peak(roof))))


#: Why there is no figure that the artefact's size or a declared bandwidth would give.
_NO_BYTES = "not measured"


def _why(roof: Roofline) -> str:
    """Return why there is no fraction of the peak, as a sentence; empty where there is one."""
    return NO_UTILISATION[roof.reason].format(roof.words) if roof.reason else ""


def _bound(roof: Roofline, ridge: float | None) -> Phrase:
    """Return which roof is over a case; that it is far below it says that neither holds it down."""
    if roof.doubt:
        return Phrase(f"doubt.{roof.doubt}")
    if ridge is None or roof.intensity is None or roof.compute is None:
        return Phrase("feedback.roofline.unknown")
    side = "memory" if roof.intensity < ridge else "compute"
    reached = roof.memory if side == "memory" and roof.memory is not None else roof.compute
    return Phrase(f"feedback.roofline.{side}-bound" if reached >= FAR else "feedback.roofline.neither")


def _peak(roof: Roofline) -> Phrase | None:
    if roof.peak is None:
        return None
    return Phrase(
        "feedback.roofline.peak",
        {"peak": roof.peak.value, "unit": roof.peak.unit, "source": roof.peak.source, "date": roof.peak.date},
    )


def _plot(drawn: Sequence[tuple[Case, Roofline]]) -> Iterator[Plot]:
    known = [(case, roof) for case, roof in drawn if roof.peak is not None and roof.intensity and roof.operations][:MOST]
    if not known:
        return
    series: list[Series] = []
    rows = []
    for case, roof in known:
        assert roof.intensity is not None and roof.operations is not None
        label = Phrase("feedback.where", case.where())
        series.append(Series(label, (Point(roof.intensity, roof.operations),), "measured", joined=False))
        cells = (Cell(Estimate(roof.intensity, "op/B"), case.runs), Cell(Estimate(roof.operations, "op/s"), case.runs))
        rows.append(Row(case.place(), cells))
    places = [float(roof.intensity or 1.0) for _, roof in known]
    for (device, precision), (peak, bandwidth) in {
        (roof.device, roof.peak.precision): (roof.peak, roof.bandwidth) for _, roof in known if roof.peak is not None
    }.items():
        knee = None if bandwidth is None else peak.size / bandwidth.size
        ends = [min([*places, knee or places[0]]) / 4, *([knee] if knee else []), max([*places, knee or places[0]]) * 4]
        line = tuple(Point(x, peak.size if bandwidth is None else min(peak.size, x * bandwidth.size)) for x in ends)
        series.append(Series(Text(f"{device} {precision}"), line, "declared"))
    yield Plot(
        name="roofline-plot",
        caption=Phrase("feedback.roofline.plot"),
        alt=Phrase("feedback.roofline.alt", {"count": len(known)}),
        form="points",
        x=Axis(Phrase("feedback.roofline.intensity"), "op/B", logarithmic=True),
        y=Axis(Phrase("feedback.roofline.operations"), "op/s", logarithmic=True),
        series=tuple(series),
        table=Grid(
            name="roofline-plot-data",
            caption=Phrase("feedback.roofline.plot"),
            columns=(
                Column(Phrase("feedback.column.place")),
                Column(Phrase("feedback.roofline.intensity"), True),
                Column(Phrase("feedback.roofline.operations"), True),
            ),
            rows=tuple(rows),
        ),
    )
