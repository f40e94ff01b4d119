"""A run down to its queries: latency by part of queries, latency and power over time, and the slowest queries one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.estimate import Estimate
from npubench.measure.trace import Trace, read_trace
from npubench.record.store import Entry
from npubench.report.course import power_course
from npubench.report.document import (
    Axis,
    Block,
    Cell,
    Column,
    Grid,
    Level,
    Notice,
    Paragraph,
    Phrase,
    Plot,
    Point,
    Row,
    Section,
    Series,
    Stretch,
    Text,
)

TRACE = "trace.npz"
#: Into how many steps a window is divided over time, and how many of them stand in the table behind the picture.
STEPS, IN_TABLE = 120, 24
#: Quantiles that a distribution is drawn through, and those in the table behind it.
QUANTILES = (*np.linspace(0.0, 0.9, 19), *(1 - 10.0 ** -np.linspace(1.1, 5, 40)))
SHOWN = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
#: As many changes of level are marked in a picture; the table has all.
MARKED = 6
#: Queries on one page of the slowest.
A_PAGE = 50

Floats = NDArray[np.float64]


def trace_section(entry: Entry) -> Section:
    """Return a run's pictures; a trace that is not there or damaged is said to be, and hides nothing else."""
    return Section("trace", Phrase("serve.trace"), tuple(_blocks(entry)))


def slowest_queries(entry: Entry, page: int) -> tuple[Grid, int]:
    """Return one page of a run's queries, the slowest first, and how many there are; its samples where it is one query.

    Args:
        entry: The run.
        page: From 1; beyond the last one the table is empty.

    Raises:
        OSError: There is no trace.
        ValueError: It is damaged.
    """
    trace = read_trace(entry.folder / TRACE)
    latencies, first, last = _queries(trace)
    keys = latencies
    if len(latencies) == 1:
        # All of it is one query: its samples are told apart by their time in the executor.
        keys, first = trace.done_ns - trace.started_ns, np.arange(trace.samples, dtype=np.int64)
        latencies, last = trace.done_ns - trace.scheduled_ns, first + 1
    order = np.argsort(-keys, kind="stable")
    rows = []
    for rank, query in enumerate(order[(page - 1) * A_PAGE : page * A_PAGE], start=(page - 1) * A_PAGE + 1):
        at, end = int(first[query]), int(last[query])
        done = int(trace.done_ns[at:end].max())
        started = int(trace.started_ns[at:end].min())
        times = (
            (int(trace.scheduled_ns[at]) - trace.start_ns) * 1e-9,
            int(latencies[query]),
            int(trace.issued_ns[at] - trace.scheduled_ns[at]),
            started - int(trace.issued_ns[at]),
            done - started,
        )
        units = ("s", "ns", "ns", "ns", "ns")
        cells = (Cell(int(query)), *(Cell(Estimate(float(v), u)) for v, u in zip(times, units, strict=True)))
        samples = ", ".join(map(str, trace.sample[at:end][:4])) + (" …" if end - at > 4 else "")
        rows.append(Row(Cell(rank), (*cells, Cell(end - at), Cell(Text(samples)))))
    headings = ("rank", "query", "due", "latency", "late", "waiting", "service", "size", "samples")
    columns = tuple(Column(Phrase(f"serve.column.{name}"), name not in ("rank", "samples")) for name in headings)
    remarks = (Phrase("serve.queries.remark"),)
    caption = Phrase("serve.caption.queries" if keys is latencies else "serve.caption.samples")
    return Grid("queries", caption, columns, tuple(rows), remarks), len(latencies)


def _queries(trace: Trace) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each query's latency, ns, and the slice of the trace's rows that are its.

    Raises:
        ValueError: The columns contradict each other.
    """
    columns = (trace.issued_ns, trace.started_ns, trace.done_ns, trace.scheduled_ns, trace.sample, trace.query)
    if len({np.shape(column) for column in columns}) != 1 or columns[0].ndim != 1 or np.any(np.diff(trace.query) < 0):
        raise ValueError("damaged trace (its columns contradict each other)")
    if any(column.dtype.kind not in "iu" for column in columns):
        raise ValueError("damaged trace (a column holds no whole numbers)")
    first = np.flatnonzero(np.diff(trace.query, prepend=-1)).astype(np.int64)
    last = np.append(first[1:], len(trace.query)).astype(np.int64)
    latencies = trace.query_latencies_ns()
    return latencies, first, last


def _blocks(entry: Entry) -> Iterator[Block]:
    if not (entry.folder / TRACE).exists():
        yield Paragraph((Phrase("serve.no-trace"),))
        return
    try:
        trace = read_trace(entry.folder / TRACE)
        latencies, _, last = _queries(trace)
    except (OSError, ValueError, OverflowError) as error:
        yield Notice("warning", Phrase("serve.damaged", {"file": TRACE, "why": _why(error)}))
        return
    if not len(latencies):
        yield Paragraph((Phrase("serve.no-trace"),))
        return
    if len(latencies) > 1:
        yield _distribution(entry, latencies)
        yield _over_time(entry, trace, latencies, trace.done_ns[last - 1])
    else:
        yield Paragraph((Phrase("serve.one-query"),))
        yield _over_time(entry, trace, trace.done_ns - trace.started_ns, trace.done_ns, "service")
    try:
        yield from _power(entry)
    except (OSError, ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        yield Notice("warning", Phrase("serve.damaged", {"file": "readings", "why": _why(error)}))


def _why(error: Exception) -> str:
    """Return what is wrong without the path of the machine it is on."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.rpartition(f"{TRACE}: ")[2]


def _distribution(entry: Entry, latencies: NDArray[np.int64]) -> Plot:
    """Return the part of queries that took longer, over latency."""
    values, n = latencies.astype(np.float64), len(latencies)
    points = tuple(Point(float(np.quantile(values, q)), 1.0 - float(q)) for q in QUANTILES if (1.0 - q) * n >= 1.0 and q < 1.0)
    bound = entry.record.spec.load.latency_bound_ns
    shown = [(q, Estimate(float(np.quantile(values, q)), "ns")) for q in SHOWN if q == 1.0 or (1.0 - q) * n >= 1.0]
    rows = tuple(Row(Cell(Phrase("serve.quantile", {"part": q})), (Cell(latency),)) for q, latency in shown)
    return Plot(
        name="latency",
        caption=Phrase("serve.caption.latency"),
        alt=Phrase(
            "serve.alt.latency", {"queries": n, "middle": float(np.median(values)) * 1e-6, "most": float(values.max()) * 1e-6}
        ),
        form="lines",
        x=Axis(Phrase("metric.latency"), "ns", logarithmic=True),
        y=Axis(Phrase("serve.axis.slower"), "share", logarithmic=True),
        series=(Series(Phrase("serve.series.queries"), points, _nature(entry)),),
        levels=(Level(Phrase("serve.bound"), float(bound), across=False),) if bound else (),
        table=Grid("latency-data", Phrase("serve.caption.latency"), _columns("quantile", "latency"), rows),
    )


def _over_time(entry: Entry, trace: Trace, took: NDArray[np.int64], done: NDArray[np.int64], what: str = "latency") -> Plot:
    """Return the middle and the highest of what was completed in each step of the window, and where its level changed."""
    edges = np.linspace(trace.start_ns, max(trace.end_ns, trace.start_ns + 1), min(STEPS, max(len(took) // 4, 4)) + 1)
    places = np.clip(np.digitize(done, edges) - 1, 0, len(edges) - 2)
    middle, highest = _binned(places, took.astype(np.float64), len(edges) - 1)
    at = ((edges[:-1] + edges[1:]) / 2 - trace.start_ns) * 1e-9
    every = max(1, len(at) // IN_TABLE)
    rows = tuple(Row(Cell(Estimate(float(at[n]), "s")), (_cell(middle[n]), _cell(highest[n]))) for n in range(0, len(at), every))
    series = tuple(
        Series(
            Phrase(name), tuple(Point(float(x), float(y) if np.isfinite(y) else None) for x, y in zip(at, values, strict=True))
        )
        for name, values in (("serve.series.middle", middle), ("serve.series.highest", highest))
    )
    return Plot(
        name="over-time",
        caption=Phrase(f"serve.over-time.{what}"),
        alt=Phrase("serve.alt.over-time", {"middle": _finite(np.nanmedian(middle)), "most": _finite(np.nanmax(highest))}),
        form="lines",
        x=Axis(Phrase("serve.axis.time"), "s"),
        y=Axis(Phrase(f"serve.axis.{what}"), "ns", from_zero=True),
        series=series,
        levels=_changes(entry),
        table=Grid("over-time-data", Phrase(f"serve.over-time.{what}"), _columns("time", "middle", "highest"), rows),
    )


def _changes(entry: Entry) -> tuple[Level, ...]:
    """Return the places in the window where the record says that the level changed; the largest where they are many."""
    found = entry.record.stability
    if found is None:
        return ()
    points = sorted(zip(found.change_points, found.changes, strict=False), key=lambda point: -abs(point[1]))[:MARKED]
    return tuple(Level(Phrase("serve.change-of", {"change": change}), at, across=False) for at, change in sorted(points))


def _power(entry: Entry) -> Iterator[Plot]:
    course = power_course(entry, entry.record.spec.target.name)
    if course is None:
        return
    power = course.power
    at = [power.start_s + (n + 0.5) * power.step_s for n in range(len(power.values))]
    low, high = (each or (None,) * len(power.values) for each in (power.low, power.high))
    points = tuple(Point(*each) for each in zip(at, power.values, low, high, strict=True))
    rows = []
    for band in course.phases:
        inside = [y for x, y in zip(at, power.values, strict=True) if y is not None and band.start_s <= x < band.end_s]
        values = (min(inside), sum(inside) / len(inside), max(inside)) if inside else (None,) * 3
        cells = (Cell(Estimate(band.start_s, "s")), *(Cell(None if v is None else Estimate(v, "W")) for v in values))
        rows.append(Row(Cell(Phrase(f"phase.{band.name}")), cells))
    known = [value for value in power.values if value is not None]
    where = {"domain": course.domain, "evidence": course.evidence}
    yield Plot(
        name="power",
        caption=Phrase("serve.caption.power", where),
        alt=Phrase("serve.alt.power", {"least": min(known), "most": max(known)}),
        form="lines",
        x=Axis(Phrase("serve.axis.time"), "s"),
        y=Axis(Phrase("serve.axis.power"), "W", from_zero=True),
        series=(Series(Phrase("serve.series.power"), points, _nature(entry)),),
        stretches=tuple(Stretch(Phrase(f"phase.{band.name}"), band.start_s, band.end_s) for band in course.phases),
        table=Grid(
            "power-data", Phrase("serve.caption.power-data"), _columns("phase", "begun", "least", "mean", "most"), tuple(rows)
        ),
    )


def _nature(entry: Entry) -> Any:
    return "simulated" if entry.record.system.simulated else "measured"


def _binned(places: NDArray[np.int64], values: Floats, steps: int) -> tuple[Floats, Floats]:
    """Return the median and the highest value in each step; NaN where there is none."""
    made = np.full((2, steps), np.nan)
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))
    for part in np.split(order, starts[1:]):
        made[:, places[part[0]]] = np.median(values[part]), values[part].max()
    return made[0], made[1]


def _cell(value: float) -> Cell:
    return Cell(Estimate(float(value), "ns") if np.isfinite(value) else None)


def _finite(value: float) -> float:
    return float(value) * 1e-6


def _columns(*names: str) -> tuple[Column, ...]:
    return tuple(Column(Phrase(f"serve.column.{name}"), n > 0) for n, name in enumerate(names))
