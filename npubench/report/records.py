"""Set two records side by side: everything that is not the same in them, by group, and every figure with its ratio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from npubench.analyze.estimate import Estimate, absent
from npubench.contract.runspec import to_plain
from npubench.measure.capture import WITHHELD, is_secret
from npubench.record.schema import Record
from npubench.report.alike import unlike
from npubench.report.differences import MISSING, system_rows
from npubench.report.page import Difference
from npubench.report.ratio import incomparable

#: What a run is called or where its files lie says nothing of it.
_NAMES = ("run_id", "bundle", "cache", "schema_version")

#: The energy figures that are set side by side.
_ENERGY = ("joules", "watts", "peak_watts", "idle_watts", "joules_per_sample", "samples_per_joule")

#: The keys of both sides in a :class:`Difference`.
A, B = "a", "b"


@dataclass(frozen=True, slots=True)
class FigureDifference:
    """One figure of both records, ``None`` where one lacks it, and ``ratio``: A ÷ B with an interval spanned by both intervals.

    The spanned interval is wider than one that knows how the two go together; ``npubench compare`` has that of the headline.
    """

    name: str
    a: Estimate | None
    b: Estimate | None
    ratio: Estimate


@dataclass(frozen=True, slots=True)
class RecordDifferences:
    """Everything that differs between two records.

    ``a`` and ``b`` name the runs; ``incomparable`` is the reason why no ratio counts, or ""; ``unlike`` are the conditions in
    which the two are not comparable (``report.alike``). ``groups`` has differences by group, only groups that have some:
    ``spec``, ``system`` (stable), ``volatile``, ``versions``, ``work``, ``artefact``, ``run``.
    """

    a: str
    b: str
    incomparable: str
    unlike: tuple[str, ...]
    groups: Mapping[str, tuple[Difference, ...]]
    figures: tuple[FigureDifference, ...]


def compare_records(a: Record, b: Record) -> RecordDifferences:
    """Return everything that differs between two records, whatever they are of."""
    one, other = _groups(a), _groups(b)
    groups = {name: tuple(_different(one[name], other[name])) for name in one}
    return RecordDifferences(
        a=f"{a.system.system_id}/{a.run_id}",
        b=f"{b.system.system_id}/{b.run_id}",
        incomparable=incomparable(a, b) or ("different-scenario" if a.spec.load.scenario != b.spec.load.scenario else ""),
        unlike=unlike(a, b),
        groups={name: found for name, found in groups.items() if found},
        figures=tuple(_figures(a, b)),
    )


def _groups(record: Record) -> dict[str, dict[str, str]]:
    """Return every fact of a record as group → id → text."""
    system, provenance = record.system, record.provenance
    spec = {key: value for key, value in to_plain(record.spec).items() if key not in _NAMES}
    host = {key: value for key, value in system_rows(record).items() if value != MISSING}
    findings = {f"finding:{finding.rule}": f"{finding.severity}: {finding.observed}" for finding in record.findings}
    client = {} if record.client is None else to_plain(record.client)
    return {
        "spec": dict(_flat(spec)),
        # What was captured says more than the rows that older records have as well.
        "system": {**host, **{f"device:{key}": value for key, value in system.device.items()}, **system.stable},
        "volatile": dict(system.volatile),
        "versions": {
            "harness": provenance.harness,
            "python": system.python,
            "loadgen": provenance.loadgen,
            **dict(_flat(provenance.plugin, "plugin")),
            **{f"version:{key}": value for key, value in system.versions.items()},
            **{f"package:{key}": value for key, value in system.packages.items()},
            **{f"environment:{key}": value for key, value in system.environment.items()},
        },
        "work": dict(_flat(record.bundle.model_dump(mode="json", exclude={"title", "task"}))),
        "artefact": {} if record.artefact is None else dict(_flat(record.artefact.model_dump(mode="json", exclude={"cached"}))),
        "run": {
            "status": record.status,
            "reason": record.reason or MISSING,
            "started-at": provenance.started_at,
            "calibration": provenance.calibration or MISSING,
            "exclusions": ", ".join(sorted(record.exclusions)),
            **dict(_flat(provenance.settings, "setting")),
            **dict(_flat(client, "client")),
            **findings,
        },
    }


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every leaf of plain values as ``("load.batch", "8")``; values of secrets are withheld."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if is_secret(str(key)) and not isinstance(inner, Mapping | list | int | float):
                inner = WITHHELD
            yield from _flat(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        if value:
            yield place, ", ".join(map(str, value))
    elif value not in (None, ""):
        yield place, f"{value:.6g}" if isinstance(value, float) else str(value)


def _different(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[Difference]:
    for key in dict.fromkeys((*a, *b)):
        values = {A: a.get(key, MISSING), B: b.get(key, MISSING)}
        if values[A] != values[B]:
            yield Difference(key, values)


def _figures(a: Record, b: Record) -> Iterator[FigureDifference]:
    one, other = _estimates(a), _estimates(b)
    for name in dict.fromkeys((*one, *other)):
        first, second = one.get(name), other.get(name)
        yield FigureDifference(name, first, second, ratio_of(first, second))


def _estimates(record: Record) -> dict[str, Estimate]:
    """Return every figure by name: metrics, then energy as ``joules (card, device power gauge)``."""
    found = dict(record.metrics)
    for energy in record.energy:
        found |= {f"{name} ({energy.domain}, {energy.evidence})": getattr(energy, name) for name in _ENERGY}
    return found


def ratio_of(a: Estimate | None, b: Estimate | None) -> Estimate:
    """Return A ÷ B; its interval is spanned by the ends of both, and absent where one has none.

    Each interval holds at its own confidence, so that the spanned one holds at what both leave over (Bonferroni).
    """
    if a is None or b is None or a.value is None or b.value is None:
        return absent("ratio", "one side has no such figure")
    if a.unit != b.unit:
        return absent("ratio", f"the units differ: {a.unit} and {b.unit}")
    if b.value <= 0 or a.value < 0:
        return absent("ratio", "the denominator is not above 0")
    if a.low is None or a.high is None or b.low is None or b.high is None or b.low <= 0 or a.low < 0:
        return Estimate(a.value / b.value, "ratio", reason="no interval")
    confidence = None if a.confidence is None or b.confidence is None else max(0.0, a.confidence + b.confidence - 1)
    return Estimate(a.value / b.value, "ratio", a.low / b.high, a.high / b.low, confidence)
