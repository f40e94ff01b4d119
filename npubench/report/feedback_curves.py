"""Throughput over batch and over requests at once, with the knee: cases of one target that differ in that alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from npubench.analyze.estimate import Estimate
from npubench.contract.runspec import Scenario
from npubench.report.document import Axis, Cell, Column, Grid, Level, Mark, Phrase, Plot, Point, Row, Section, Series
from npubench.report.feedback_cases import Case
from npubench.report.ratio import mean_of

#: The knee is the first point that reaches so much of the highest.
KNEE = 0.95


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One case of a curve: the batch or the requests at once, and the rate."""

    size: int
    rate: Estimate
    case: Case


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in order of size; ``knee`` is the index of the first that reaches :data:`KNEE` of the highest rate."""

    kind: Literal["batch", "flight"]
    points: tuple[CurvePoint, ...]
    knee: int | None

    @property
    def name(self) -> str:
        """What the curve is called in the document, fit for a file."""
        _, _, precision, workload, scenario, batch, flight = self.points[0].case.key
        fixed = flight if self.kind == "batch" else batch
        return f"{self.kind}-{workload}-{precision}-{scenario}-{fixed}"


def find_curves(cases: Sequence[Case]) -> tuple[Curve, ...]:
    """Return the curves there are: two points or more of one system, precision, workload, scenario and grade."""
    found = []
    for kind, at in (("batch", 5), ("flight", 6)):
        groups: dict[tuple[object, ...], list[Case]] = {}
        for case in cases:
            if case.measured and case.scenario in (Scenario.OFFLINE, Scenario.MULTI_STREAM, Scenario.SINGLE_STREAM):
                rest = (*case.key[:at], *case.key[at + 1 :], case.record.spec.grade, case.record.bundle.work_digest)
                groups.setdefault(rest, []).append(case)
        for there in groups.values():
            points = tuple(
                CurvePoint(case.batch if kind == "batch" else case.in_flight, rate, case)
                for case in sorted(there, key=lambda c: (c.batch, c.in_flight))
                if (rate := _rate(case)).value is not None and rate.value > 0
            )
            if len(points) > 1:
                found.append(Curve("batch" if kind == "batch" else "flight", points, _knee(points)))
    return tuple(found)


def _rate(case: Case) -> Estimate:
    records = case.records
    if "throughput" not in case.record.metrics:
        return Estimate(None, "samples/s", reason="not measured")
    return records[0].metrics["throughput"] if len(records) == 1 else mean_of(records, "throughput")


def _knee(points: Sequence[CurvePoint]) -> int | None:
    most = max(point.rate.value or 0.0 for point in points)
    return next((n for n, point in enumerate(points) if (point.rate.value or 0.0) >= KNEE * most), None)


def curve_section(curves: Sequence[Curve]) -> Section | None:
    """Return the curves as a section, or ``None`` where there are none."""
    if not curves:
        return None
    return Section("curves", Phrase("feedback.curves.heading"), tuple(_plots(curves)))


def _plots(curves: Sequence[Curve]) -> Iterator[Plot]:
    for n, curve in enumerate(curves[:24], start=1):
        where = {key: value for key, value in curve.points[0].case.where().items() if key not in ("batch", "flight")}
        made, rows = [], []
        for index, point in enumerate(curve.points):
            made.append(Point(float(point.size), point.rate.value, point.rate.low, point.rate.high))
            mark = Mark("best", Phrase("feedback.curves.knee")) if index == curve.knee else None
            against = (point.rate.value or 0.0) / (curve.points[0].rate.value or 1.0)
            latency = point.case.record.metrics.get("latency_p50")
            rows.append(
                Row(
                    Cell(point.size, point.case.runs),
                    (
                        Cell(point.rate, point.case.runs),
                        Cell(Estimate(against, "times"), (*point.case.runs, *curve.points[0].case.runs)),
                        Cell(latency, point.case.runs) if latency is not None else Cell(None),
                        Cell(mark),
                    ),
                )
            )
        knee = curve.points[curve.knee].size if curve.knee is not None else curve.points[-1].size
        nature: Literal["measured", "simulated"] = "simulated" if curve.points[0].case.record.system.simulated else "measured"
        kind = curve.kind
        yield Plot(
            name=f"curve-{n}-{curve.name}",
            caption=Phrase(f"feedback.curves.{kind}.caption", where),
            alt=Phrase(f"feedback.curves.{kind}.alt", {**where, "count": len(made), "knee": knee}),
            form="lines",
            x=Axis(Phrase(f"feedback.curves.{kind}"), "", logarithmic=True),
            y=Axis(Phrase("metric.throughput"), "samples/s", from_zero=True),
            series=(Series(Phrase("metric.throughput"), tuple(made), nature),),
            levels=(Level(Phrase("feedback.curves.knee"), float(knee), across=False),),
            table=Grid(
                name=f"curve-{n}-data",
                caption=Phrase(f"feedback.curves.{kind}.caption", where),
                columns=(
                    Column(Phrase(f"feedback.curves.{kind}"), True),
                    Column(Phrase("metric.throughput"), True),
                    Column(Phrase("feedback.column.against-first"), True),
                    Column(Phrase("metric.latency_p50"), True),
                    Column(Phrase("feedback.curves.knee")),
                ),
                rows=tuple(rows),
                remarks=(Phrase("feedback.curves.rule", {"part": KNEE}),),
            ),
        )
