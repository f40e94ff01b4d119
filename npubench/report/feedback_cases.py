"""What a target was measured at, a case a place: the newest runs of it, with their trace where there is one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from npubench.analyze.estimate import Estimate
from npubench.analyze.metrics import HEADLINE, Headline
from npubench.contract.options import nearest
from npubench.contract.runspec import Scenario
from npubench.errors import InputError
from npubench.measure.trace import Trace, read_trace
from npubench.record.schema import PhaseTime, Record
from npubench.record.store import Entry
from npubench.report.document import Cell, Phrase, Titles, Value
from npubench.report.ratio import headline_of, worst

#: Grades, the strictest last.
STRICTNESS = {"smoke": 0, "nightly": 1, "official": 2}
#: As many traces are opened; the rest of a large store is judged by its records alone.
MOST_TRACES = 150

#: (system, target, precision, workload, scenario, batch, in flight).
Key = tuple[str, str, str, str, str, int, int]


@dataclass(frozen=True)
class Case:
    """A target in one precision at one workload, scenario and load: the repeats of the newest, strictest measurement.

    Args:
        key: What it is.
        entries: Its repeats.
        traced: Whether its traces may be opened.
    """

    key: Key
    entries: tuple[Entry, ...]
    traced: bool = True

    @property
    def records(self) -> tuple[Record, ...]:
        """The repeats' records."""
        return tuple(entry.record for entry in self.entries)

    @property
    def record(self) -> Record:
        """The repeat that came out worst; a case is no better."""
        return worst(self.records)

    @property
    def runs(self) -> tuple[str, ...]:
        """The repeats' ids."""
        return tuple(entry.record.run_id for entry in self.entries)

    @property
    def scenario(self) -> Scenario:
        """The scenario."""
        return self.record.spec.load.scenario

    @property
    def rule(self) -> Headline:
        """The metric it is judged by."""
        return HEADLINE[self.scenario]

    @property
    def headline(self) -> Estimate | None:
        """Its headline, the mean over repeats; ``None`` where there is none."""
        return headline_of(self.records)

    @property
    def batch(self) -> int:
        """Samples a call."""
        return self.key[5]

    @property
    def in_flight(self) -> int:
        """Requests at once."""
        return self.key[6]

    @property
    def measured(self) -> bool:
        """Whether there are figures."""
        return self.record.status in ("ok", "invalid")

    @cached_property
    def traces(self) -> tuple[Trace, ...]:
        """The traces of its repeats; those that are damaged or gone are not among them."""
        found = []
        for entry in self.entries if self.traced and self.measured else ():
            with contextlib.suppress(OSError, ValueError):
                found.append(read_trace(entry.folder / "trace.npz"))
        return tuple(found)

    def metric(self, name: str) -> float | None:
        """Return the median over repeats of a metric, or ``None`` where a repeat lacks it."""
        found = [record.metrics[name].value if name in record.metrics else None for record in self.records]
        known = sorted(value for value in found if value is not None)
        return known[len(known) // 2] if known and len(known) == len(found) else None

    def finding(self, rule: str) -> tuple[Record, dict[str, float | int | str | bool | None]] | None:
        """Return the evidence of a finding, and the record that has it; ``None`` where no repeat has it."""
        for record in self.records:
            for finding in record.findings:
                if finding.rule == rule:
                    return record, dict(finding.evidence)
        return None

    def where(self) -> dict[str, Value]:
        """Return what fills ``feedback.where`` in."""
        return {
            "workload": Titles(self.record.bundle.title, self.key[3]),
            "scenario": self.key[4],
            "precision": self.key[2],
            "batch": self.batch,
            "flight": self.in_flight,
        }

    def place(self) -> Cell:
        """Return where it is as a cell."""
        return Cell(Phrase("feedback.where", self.where()), self.runs)


def case_key(record: Record) -> Key:
    """Return what case a run belongs to."""
    spec = record.spec
    return (
        record.system.system_id,
        spec.target.name,
        spec.precision,
        spec.workload,
        spec.load.scenario.value,
        _took(record, "batch", spec.load.batch),
        _took(record, "in_flight", spec.load.in_flight),
    )


def _took(record: Record, name: str, asked: int) -> int:
    """Return what took effect, else what was asked for."""
    value = record.provenance.settings.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else asked


def find_cases(entries: Iterable[Entry]) -> tuple[Case, ...]:
    """Return the cases there are, each by its newest measurement of the strictest grade, repeats together; in order."""
    there: dict[Key, list[Entry]] = {}
    for entry in entries:
        there.setdefault(case_key(entry.record), []).append(entry)
    found: list[Case] = []
    traced = MOST_TRACES
    for key in sorted(there):
        best = max(there[key], key=_order)
        spec = best.record.spec
        same = [
            e
            for e in there[key]
            if (e.record.spec.grade, e.record.spec.round, e.record.spec.bundle_digest, e.record.spec.suite)
            == (spec.grade, spec.round, spec.bundle_digest, spec.suite)
        ]
        # Of each repeat the newest: a store that is measured again every night has many of each.
        repeats = {e.record.spec.repeat: e for e in sorted(same, key=_order)}
        found.append(Case(key, tuple(repeats[n] for n in sorted(repeats)), traced > 0))
        traced -= len(repeats)
    return tuple(found)


def _order(entry: Entry) -> tuple[int, str, str]:
    record = entry.record
    return STRICTNESS.get(record.spec.grade, 0), record.provenance.started_at, record.run_id


def of_target(entries: Sequence[Entry], text: str) -> tuple[Entry, ...]:
    """Return the runs of a target, written as ``target`` or ``target/precision``.

    Raises:
        InputError: There is none; names the nearest.
    """
    names = sorted({entry.record.spec.target.name for entry in entries})
    # A name may have a slash in it itself.
    name, precision = (text, "") if text in names else (text.rpartition("/")[0], text.rpartition("/")[2])
    if name not in names:
        raise InputError(f"target '{text}': no run of it in this store{nearest(text, names)}; there are: {', '.join(names)}")
    mine = [entry for entry in entries if entry.record.spec.target.name == name]
    there = sorted({entry.record.spec.precision for entry in mine})
    if precision and precision not in there:
        raise InputError(
            f"target '{text}': '{name}' was not run in {precision}{nearest(precision, there)}; only in: {', '.join(there)}"
        )
    return tuple(entry for entry in mine if not precision or entry.record.spec.precision == precision)


def seconds_of(record: Record, phase: str) -> float | None:
    """Return how long a phase took, s; ``None`` where the run has none."""
    found: list[PhaseTime] = [each for each in record.phases if each.phase == phase]
    return sum(each.end_ns - each.start_ns for each in found) / 1e9 if found else None
