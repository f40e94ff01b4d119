"""How far one run can be trusted, as its page shows it: how still it held, how the harness fared, what the ranging run saw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from npubench.analyze.client import FOREIGN_LEAST, FOREIGN_SHARE, HARNESS_SHARE, RUN_DELAY_SHARE, STEAL_SHARE, Client
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.intervals import MATERIAL
from npubench.analyze.stability_rules import OUTLIERS_NOTED
from npubench.contract.runspec import Scenario
from npubench.record.schema import Record
from npubench.report.document import Block, Cell, Column, Content, Grid, Mark, Paragraph, Phrase, Row, Setting, Sign, Text, Told


class Line(NamedTuple):
    """One quantity: its name in the catalogues, what was seen, what it is held to, and the rule that does so."""

    name: str
    seen: Content
    bound: Content = None
    rule: str = ""


def stability_blocks(record: Record) -> tuple[Block, ...]:
    """Return how still a run held: warm-up, drift, changes of level, shape; nothing of a run without a window."""
    found = record.stability
    if found is None:
        return (Paragraph((Phrase("serve.no-stability"),)),) if record.status in ("ok", "invalid") else ()
    shape = (
        Line("modes", found.modes, 1, "several-modes"),
        Line("outliers", _share(found.outlier_share), Setting(OUTLIERS_NOTED, "share"), "outliers"),
    )
    lines = (
        Line("warm-up-windows", found.warm_up_windows),
        Line("warm-up-change", _share(found.warm_up_change), Setting(MATERIAL, "share"), "not-warmed-up"),
        Line("drift", None, Setting(MATERIAL, "share"), "drift"),
        Line("change-points", len(found.change_points), 0, "change-point"),
        # Offline has no latencies to have a shape.
        *(shape if record.spec.load.scenario is not Scenario.OFFLINE else ()),
        Line("throttling", None, None, "throttled"),
    )
    blocks: list[Block] = [_grid("stability", record, lines)]
    if found.change_points:
        points = zip(found.change_points, found.changes, strict=False)
        rows = tuple(
            Row(Cell(n), (Cell(Estimate(at, "s")), Cell(Phrase("serve.change-of", {"change": change}))))
            for n, (at, change) in enumerate(points, start=1)
        )
        columns = (Column(_heading("step")), Column(_heading("time"), True), Column(_heading("change"), True))
        blocks.append(Grid("changes", Phrase("serve.caption.changes"), columns, rows))
    return tuple(blocks)


def client_blocks(record: Record) -> tuple[Block, ...]:
    """Return how the harness itself fared in the window; nothing of a run without a window."""
    client = record.client
    if client is None:
        return (Paragraph((Phrase("serve.no-client"),)),) if record.status in ("ok", "invalid") else ()
    server = record.spec.load.scenario is Scenario.SERVER
    grid = _grid("client", record, tuple(_client(client, server)))
    others = [
        Row(Cell(Phrase(f"serve.health.{name}")), (Cell(Text(each)),))
        for name, there in (("foreign-process", client.foreign), ("device-holder", client.device_holders))
        for each in there
    ]
    if not others:
        return (grid,)
    columns = (Column(_heading("item")), Column(_heading("content")))
    return (grid, Grid("others", Phrase("serve.caption.others"), columns, tuple(others)))


def ranging_blocks(record: Record) -> tuple[Block, ...]:
    """Return what meters saw in the ranging run beside the measured window; nothing where none was made."""
    rows = []
    for seen in record.ranging:
        tested = next((e.watts for e in record.energy if (e.sensor, e.domain) == (seen.sensor, seen.domain)), None)
        watts = tested or absent("W", "not measured in this run")
        cells: tuple[Content, ...] = (Phrase(f"domain.{seen.domain}"), seen.volts, seen.amps, seen.watts, watts)
        rows.append(Row(Cell(Text(seen.sensor)), tuple(Cell(each) for each in cells)))
    if not rows:
        return ()
    names = ("sensor", "domain", "volts", "amps", "ranging-watts", "watts")
    columns = tuple(Column(_heading(name), n > 1) for n, name in enumerate(names))
    return (Grid("ranging", Phrase("serve.caption.ranging"), columns, tuple(rows), (Phrase("serve.ranging.remark"),)),)


def _client(client: Client, server: bool) -> Iterator[Line]:
    """Yield the lines; only in the server scenario queries have a time that they are due, and no work waits all the time."""
    foreign = None if client.cores is None else _cores(max(FOREIGN_LEAST, FOREIGN_SHARE * client.cores))
    lag = None if client.lag_p99_ns is None else Estimate(client.lag_p99_ns, "ns")
    if server:
        yield Line("lag", lag, None, "client-lag")
    else:
        yield Line("harness-share", _share(client.harness_share), Setting(HARNESS_SHARE, "share"), "client-cpu")
    yield Line("run-delay", _share(client.run_delay_share), Setting(RUN_DELAY_SHARE, "share"), "run-queue")
    yield Line("major-faults", client.major_faults, None, "page-faults")
    yield Line("foreign-cpu", _cores(client.foreign_cpu_share), foreign, "foreign-load")
    yield Line("steal", _share(client.steal_share), Setting(STEAL_SHARE, "share"), "stolen-time")
    yield Line("holders", len(client.device_holders), 0, "device-shared")
    yield Line("own-cpu", _cores(client.cpu_share))
    yield Line("cores", client.cores)
    yield Line("pressure", _share(client.pressure_share))
    yield Line("switches", client.involuntary_switches)


def _grid(name: str, record: Record, lines: tuple[Line, ...]) -> Grid:
    """Return quantities with what each is held to and whether a finding speaks against it."""
    headings = ("item", "observed", "at-most", "health")
    columns = tuple(Column(_heading(each)) for each in headings)
    return Grid(name, Phrase(f"serve.caption.{name}"), columns, tuple(_row(record, line) for line in lines))


def _row(record: Record, line: Line) -> Row:
    found = next((finding for finding in record.findings if line.rule and finding.rule == line.rule), None)
    seen: Content = line.seen
    if seen is None and found is not None:
        seen = Told(found, "observed")
    verdict: Content = None
    if found is not None:
        sign: Sign = "fail" if found.severity == "invalid" else "open"
        verdict = Mark(sign, Phrase(f"severity.{found.severity}"))
    elif line.rule and line.seen is not None:
        # Drift and throttling are told by their findings alone; that there is none may mean that nobody could say.
        verdict = Mark("pass", Phrase("serve.health.well"))
    if seen is None:
        seen = Phrase("serve.health.nothing-found" if line.rule in ("drift", "throttled") else "serve.health.unknown")
    heading = Phrase(f"serve.health.{line.name}")
    return Row(Cell(heading), (Cell(seen), Cell(line.bound), Cell(verdict)))


def _share(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value, "share")


def _cores(value: float | None) -> Phrase | None:
    return None if value is None else Phrase("feedback.cores", {"cores": value})


def _heading(name: str) -> Phrase:
    return Phrase(f"serve.column.{name}")
