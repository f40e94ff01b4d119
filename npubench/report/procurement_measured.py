"""The loads that a candidate was measured under in a place: which it stands with, and why not the others."""

from __future__ import annotations

from collections.abc import Iterator

from npubench.analyze.estimate import absent
from npubench.analyze.metrics import HEADLINE
from npubench.record.schema import Record
from npubench.report.document import Block, Cell, Column, Grid, Mark, Phrase, Reason, Row, Sign, Text
from npubench.report.efficiency import energy_lines
from npubench.report.procurement_loads import Measurement, load_of
from npubench.report.procurement_offers import Lineup, Spot, Standing
from npubench.report.ratio import worst


def batch_cell(standing: Standing) -> Cell:
    """Return the batch that a candidate stands with; under it, of how many loads that is the best."""
    remark = None
    if standing.loads:
        batches = ", ".join(str(batch) for batch in sorted({each.load.batch for each in standing.loads}))
        # The best of several is said only of what may be ranked.
        key = "procurement.load.chosen" if not standing.decides else "procurement.load.shown"
        remark = Phrase(key, {"count": len(standing.loads), "batches": batches})
    return Cell(load_of(standing.records[0]).batch, standing.runs, remark)


def load_blocks(lineup: Lineup, spot: Spot, name: str) -> Iterator[Block]:
    """Yield every load that somebody was measured under in a place; nothing where everybody was under one."""
    rows = [_row(lineup, standing, each) for standing in spot.detailed for each in standing.loads]
    if not rows:
        return
    headline = HEADLINE[spot.standings[0].records[0].spec.load.scenario].metric
    yield Grid(
        name=f"{name}-loads",
        caption=Phrase("procurement.load.caption"),
        columns=(
            Column(Phrase("document.column.candidate")),
            Column(Phrase("procurement.column.batch"), True),
            Column(Phrase("procurement.column.in-flight"), True),
            Column(Phrase("procurement.column.load-rest")),
            Column(Phrase(f"metric.{headline}"), True),
            Column(Phrase("procurement.column.efficiency"), True),
            Column(Phrase("document.column.status")),
            Column(Phrase("document.column.grade")),
            Column(Phrase("document.column.started")),
            Column(Phrase("procurement.column.standing")),
        ),
        rows=tuple(rows),
        remarks=(Phrase("procurement.load.remark"),),
    )


def _row(lineup: Lineup, standing: Standing, measured: Measurement) -> Row:
    poor, runs = worst(measured.records), measured.runs
    headline = HEADLINE[poor.spec.load.scenario]
    why = _trouble(poor)
    line = next(iter(energy_lines(measured.records)), None) if poor.status in ("ok", "invalid") else None
    efficiency = absent("samples/J", "not measured: no sensor or meter was read") if line is None else line.samples_per_joule
    kind = None if line is None else Phrase("procurement.domain", {"domain": line.domain, "evidence": line.evidence})
    sign: Sign = "pass" if poor.status == "ok" else "open" if poor.status == "skipped" else "fail"
    shown = measured is standing.loads[0]
    word = Phrase(f"procurement.load.{'stands' if shown else _why(measured.why)}")
    verdict = Mark("best", word) if shown and not standing.decides else word
    return Row(
        Cell(Text(lineup.label(standing.offer)), runs),
        (
            Cell(measured.load.batch, runs),
            Cell(measured.load.in_flight, runs),
            Cell(_rest(measured), runs),
            Cell(measured.headline or absent(headline.unit, "not measured in this run"), runs),
            Cell(efficiency, runs, kind),
            Cell(Mark(sign, Phrase(f"status.{poor.status}")), runs, Reason(why) if why else None),
            Cell(Phrase(f"grade.{poor.spec.grade}"), runs),
            Cell(Text(poor.provenance.started_at[:16].replace("T", " ")), runs),
            Cell(verdict, runs),
        ),
    )


def _trouble(poor: Record) -> str:
    """Return why a run is not valid, as a sentence; empty where it is."""
    if poor.status != "invalid":
        return poor.reason or ""
    return f"the run is invalid: {', '.join(dict.fromkeys(f.rule for f in poor.findings if f.severity == 'invalid'))}"


def _why(why: str) -> str:
    """Return why a load is not shown, as an id; whatever a run must not be ranked for is one thing here."""
    return why if why in ("slower", "looser-grade", "different-work", "different-bound") else "unranked"


def _rest(measured: Measurement) -> Phrase | None:
    """Return the rest of a load: the arrival rate that was set, the latency bound, the delay for coalescing."""
    load = measured.load
    if not (load.qps or load.bound_ns or load.delay_ns):
        return None
    key = "procurement.load.rate" if load.qps else "procurement.load.searched"
    return Phrase(key, {"qps": load.qps, "bound": load.bound_ns / 1e6, "delay": load.delay_ns / 1e6})
