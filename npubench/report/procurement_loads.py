"""Which load a candidate stands with where it was measured under several: batch, requests at once, coalescing, arrival rate.

A place is a workload in a scenario. A buyer wants to know what a device can do there, so a candidate stands with the load
whose headline is best, among the latest measurements that may be ranked; each of the others is named beside it, with why it is
not shown. What is not the same question (another latency bound, other work, a looser grade) is never chosen from, only named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from npubench.analyze.estimate import Estimate
from npubench.analyze.metrics import HEADLINE
from npubench.plan.grades import GRADES
from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.comparison import why_unranked
from npubench.report.ratio import headline_of, worst
from npubench.report.select import latest

#: (system, target, precision, workload, scenario): where a candidate has one standing.
Cell = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True, order=True)
class Load:
    """What requests were sent with, as it took effect.

    Args:
        batch: Samples a call at most.
        in_flight: Requests at once.
        delay_ns: How long a server query may wait for others to fill a batch, ns.
        qps: The arrival rate that was set, queries/s; 0 where it was searched for, or where there is none.
        bound_ns: The latency bound, ns; 0 for none.
    """

    batch: int
    in_flight: int
    delay_ns: int
    qps: float
    bound_ns: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """The latest measurement of a candidate in a place under one load; ``why`` says, as an id, why it is not shown, or "".

    The ids are those of ``unranked`` and ``slower``, ``looser-grade``.
    """

    load: Load
    entries: tuple[Entry, ...]
    why: str = ""

    @property
    def records(self) -> tuple[Record, ...]:
        """Its repeats."""
        return tuple(entry.record for entry in self.entries)

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs it stands on."""
        return tuple(entry.record.run_id for entry in self.entries)

    @property
    def headline(self) -> Estimate | None:
        """The scenario's headline, over its repeats."""
        return headline_of(self.records)


def load_of(record: Record) -> Load:
    """Return the load of a run: what took effect, else what was asked for."""
    load = record.spec.load
    return Load(
        batch=_took(record, "batch", load.batch),
        in_flight=_took(record, "in_flight", load.in_flight),
        delay_ns=load.coalesce_delay_ns,
        qps=load.target_qps or 0.0,
        bound_ns=load.latency_bound_ns or 0,
    )


def _took(record: Record, name: str, asked: int) -> int:
    value = record.provenance.settings.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else asked


def choose_loads(entries: Iterable[Entry]) -> dict[Cell, tuple[Measurement, ...]]:
    """Return the latest measurement under each load, by cell; the one that is shown first, the others by their load.

    Of one load the strictest grade counts, then the latest round, all of its repeats (``select.latest``).
    """
    there: dict[Cell, dict[Load, list[Entry]]] = {}
    for entry in entries:
        record = entry.record
        spec = record.spec
        cell = (record.system.system_id, spec.target.name, spec.precision, spec.workload, spec.load.scenario.value)
        there.setdefault(cell, {}).setdefault(load_of(record), []).append(entry)
    return {cell: _chosen([Measurement(load, _latest(runs)) for load, runs in loads.items()]) for cell, loads in there.items()}


def _latest(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    return tuple(entries) if len(entries) == 1 else latest(entries)


def _chosen(measured: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Return measurements with the one to show first, and why each of the others is not."""
    if len(measured) == 1:
        return tuple(measured)
    grades = list(GRADES)
    strictest = max(measured, key=lambda each: (grades.index(each.records[0].spec.grade), _when(each)))
    first = strictest.records[0]
    asked = []
    others = []
    for each in measured:
        record = each.records[0]
        if record.spec.grade != first.spec.grade:
            others.append(Measurement(each.load, each.entries, "looser-grade"))
        elif record.bundle.work_digest != first.bundle.work_digest:
            others.append(Measurement(each.load, each.entries, "different-work"))
        elif each.load.bound_ns != strictest.load.bound_ns:
            others.append(Measurement(each.load, each.entries, "different-bound"))
        else:
            asked.append(each)
    shown = _best(asked)
    others += [Measurement(each.load, each.entries, _why(each) or "slower") for each in asked if each is not shown]
    return (shown, *sorted(others, key=lambda each: each.load))


def _best(measured: Sequence[Measurement]) -> Measurement:
    """Return the best that may be ranked, else the best valid one; where none is valid, the latest with figures, else without."""
    valid = [each for each in measured if worst(each.records).status == "ok" and _has_value(each)]
    if able := [each for each in valid if not _why(each)] or valid:
        sign = 1 if HEADLINE[able[0].records[0].spec.load.scenario].higher_is_better else -1
        # Of equals the smaller load: it keeps a single sample waiting for less.
        return min(able, key=lambda each: (-sign * _value(each), each.load))
    # The best of figures that do not hold would flatter.
    return max(measured, key=lambda each: (worst(each.records).status == "invalid", _when(each)))


def _has_value(measured: Measurement) -> bool:
    return measured.headline is not None and measured.headline.value is not None


def _value(measured: Measurement) -> float:
    headline = measured.headline
    assert headline is not None and headline.value is not None, "it was chosen for having one"
    return headline.value


def _why(measured: Measurement) -> str:
    """Return why a measurement must not be ranked, as an id of ``unranked``; empty where it may."""
    return why_unranked(worst(measured.records), len(measured.records))


def _when(measured: Measurement) -> str:
    return max(record.provenance.started_at for record in measured.records)
