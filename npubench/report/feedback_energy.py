"""Where a case's energy goes: what the device would draw at rest, what being at work costs, and what each sample costs.

* idle    = idle baseline's power × the window's time
* above   = energy − idle
* static  = (P₀ − idle power) × time, where P₀ is the power at no load of a line through runs at different rates
* dynamic = energy − idle − static

The line needs three runs of one workload, precision and load setting, whose rates differ by half at least. A line is a model:
static and dynamic are worked out, while idle and above are measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from npubench.analyze.estimate import Estimate, absent
from npubench.record.schema import Energy, Record
from npubench.report.document import Axis, Cell, Column, Grid, Paragraph, Phrase, Plot, Point, Row, Section, Series
from npubench.report.feedback_cases import Case

#: Runs for a line, and how far their rates must lie apart, as a ratio.
FEWEST, SPAN = 3, 1.5
#: Bars in a picture.
MOST_BARS = 16

#: Why there is no part of the energy.
NO_IDLE = "no idle baseline"


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a case's energy a sample, J/sample; ``static`` and ``dynamic`` are ``None`` where there is no line."""

    case: Case
    energy: Energy
    whole: Estimate
    idle: Estimate
    above: Estimate
    static: Estimate | None
    dynamic: Estimate | None


def splits(cases: Sequence[Case], records: Sequence[Record]) -> tuple[Split, ...]:
    """Return the split of every case that has energy; by the best evidence it has.

    Args:
        cases: The target's.
        records: All runs of the target: what the line is fitted through.
    """
    found = []
    for case in cases:
        record = case.record
        energy = next((each for each in record.energy if each.joules_per_sample.value is not None), None)
        if energy is None or not case.measured:
            continue
        found.append(_split(case, energy, record, records))
    return tuple(found)


def _split(case: Case, energy: Energy, record: Record, records: Sequence[Record]) -> Split:
    per = energy.joules_per_sample
    whole, watts, idle_watts = per.value, energy.watts.value, energy.idle_watts.value
    unit = "J/sample"
    if whole is None or not watts or idle_watts is None:
        none = absent(unit, energy.idle_watts.reason or NO_IDLE)
        return Split(case, energy, per, none, none, none, none)
    idle = whole * idle_watts / watts
    above = whole - idle
    rest = _rest_watts(energy, record, records)
    if rest is None:
        return Split(case, energy, per, Estimate(idle, unit), Estimate(above, unit), None, None)
    part = min(above, max(0.0, (rest - idle_watts) / watts * whole))
    return Split(case, energy, per, *(Estimate(each, unit) for each in (idle, above, part, above - part)))


def _rest_watts(energy: Energy, record: Record, records: Sequence[Record]) -> float | None:
    """Return the power at no load of the line through runs at different rates, W; ``None`` where there are too few."""
    rates, powers = [], []
    for other in records:
        if _alike(record, other):
            same = next((e for e in other.energy if (e.domain, e.evidence) == (energy.domain, energy.evidence)), None)
            rate = other.metrics["throughput"].value if "throughput" in other.metrics else None
            if same is not None and same.watts.value is not None and rate:
                rates.append(rate)
                powers.append(same.watts.value)
    if len(rates) < FEWEST or max(rates) < SPAN * min(rates):
        return None
    slope, rest = np.polyfit(np.array(rates), np.array(powers), 1)
    return float(rest) if slope > 0 and rest > 0 else None


def _alike(a: Record, b: Record) -> bool:
    """Return whether two runs differ in nothing but their rate."""

    def of(record: Record) -> tuple[object, ...]:
        spec = record.spec
        settings = record.provenance.settings
        return (
            record.system.system_id, spec.target.name, spec.precision, spec.workload, spec.grade, record.bundle.work_digest,
            settings.get("batch"), settings.get("in_flight"), record.status in ("ok", "invalid"),
        )  # fmt: skip

    return of(a) == of(b)


def energy_section(found: Sequence[Split], cases: Sequence[Case]) -> Section:
    """Return where energy goes, or why that is not known."""
    heading = Phrase("feedback.energy.heading")
    if not found:
        return Section("energy", heading, (Paragraph((Phrase("feedback.energy.none", {"count": len(cases)}),)),))
    rows = []
    for split in found:
        runs = split.case.runs
        meter = Phrase("feedback.meter", {"domain": split.energy.domain, "evidence": split.energy.evidence})
        share = (
            Estimate(split.idle.value / split.whole.value, "share")
            if split.idle.value is not None and split.whole.value
            else absent("share", split.idle.reason or NO_IDLE)
        )
        parts = (split.whole, split.idle, split.above, split.static, split.dynamic, share)
        no_line = Phrase("feedback.energy.no-line")
        cells = (Cell(no_line if part is None else part, runs) for part in parts)
        rows.append(Row(split.case.place(), (Cell(meter, runs), *cells)))
    names = ("whole", "idle", "above", "static", "dynamic", "idle-share")
    grid = Grid(
        name="energy-split",
        caption=Phrase("feedback.energy.caption"),
        columns=(
            Column(Phrase("feedback.column.place")),
            Column(Phrase("feedback.column.meter")),
            *(Column(Phrase(f"feedback.energy.{name}"), True) for name in names),
        ),
        rows=tuple(rows),
        remarks=(Phrase("feedback.energy.rule"), Phrase("feedback.energy.model")),
    )
    return Section("energy", heading, (Paragraph((Phrase("feedback.energy.lead"),)), *_plot(found), grid))


def _plot(found: Sequence[Split]) -> Iterator[Plot]:
    drawn = [split for split in found if split.idle.value is not None][:MOST_BARS]
    if not drawn:
        return
    names = ("idle", "above")
    simulated = any(split.case.record.system.simulated for split in drawn)
    series = tuple(
        Series(
            Phrase(f"feedback.energy.{name}"),
            tuple(Point(float(n), getattr(split, name).value) for n, split in enumerate(drawn)),
            "simulated" if simulated else "measured",
        )
        for name in names
    )
    rows = tuple(Row(split.case.place(), tuple(Cell(getattr(split, name), split.case.runs) for name in names)) for split in drawn)
    yield Plot(
        name="energy-parts",
        caption=Phrase("feedback.energy.plot"),
        alt=Phrase("feedback.energy.alt", {"count": len(drawn)}),
        form="bars",
        x=Axis(Phrase("feedback.column.place"), categories=tuple(Phrase("feedback.where", s.case.where()) for s in drawn)),
        y=Axis(Phrase("feedback.energy.whole"), "J/sample", from_zero=True),
        series=series,
        table=Grid(
            name="energy-parts-data",
            caption=Phrase("feedback.energy.plot"),
            columns=(
                Column(Phrase("feedback.column.place")),
                *(Column(Phrase(f"feedback.energy.{name}"), True) for name in names),
            ),
            rows=rows,
        ),
    )
