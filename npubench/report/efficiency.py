"""Set the energy of runs side by side: only what the same kind of evidence says of the same domain is compared or ranked.

The ratio is of samples a joule, which is samples/s per watt. Declared TDP takes part in nothing: it is passed on as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.intervals import over_repeats
from npubench.analyze.readings import EVIDENCE
from npubench.analyze.repeats import widened
from npubench.analyze.roofline import Roofline, roofline
from npubench.plan.grades import GRADES
from npubench.plan.hardware import Hardware, declared_tdp
from npubench.record.schema import Energy, Record
from npubench.report.alike import unlike_among
from npubench.report.page import EnergyCell, EnergyLine, EnergyRow, Policy, Ratio, Subject, Verdict
from npubench.report.ratio import CONFIDENCE, Measured, incomparable, ratio_over_repeats, worst

#: What the policy behind the testbed asks of a domestic server against a foreign GPU: samples a joule, as a ratio.
POLICY = 2.0

#: (workload, scenario).
Place = tuple[str, str]


def energy_rows(
    subjects: Sequence[Subject], measured: Mapping[str, Mapping[Place, Measured]], baseline: str, hardware: Hardware
) -> tuple[EnergyRow, ...]:
    """Return power and energy of every subject in every row, with ratios against ``baseline``, a subject's key."""
    places = dict.fromkeys(place for subject in subjects for place in measured[subject.key])
    rows = []
    for place in sorted(places, key=lambda place: (place[1], place[0])):
        there = {subject.key: measured[subject.key][place].records for subject in subjects if place in measured[subject.key]}
        base = there.get(baseline) if len(subjects) > 1 else None
        cells = [_cell(key, records, None if key == baseline else base, hardware) for key, records in there.items()]
        some = next(iter(there.values()))[0].bundle
        rows.append(EnergyRow(place[1], place[0], some.title, _ranked(cells, there)))
    return tuple(rows)


def energy_lines(records: Sequence[Record], base: Sequence[Record] | None = None) -> tuple[EnergyLine, ...]:
    """Return what was measured of one run or its repeats, a line a domain and evidence, best evidence first.

    Args:
        records: A run, or the repeats of one.
        base: The runs to compare with; ``None`` for no ratio.
    """
    if worst(records).status in ("failed", "skipped"):
        return ()
    keys = dict.fromkeys((energy.domain, energy.evidence) for record in records for energy in record.energy)
    ordered = sorted(keys, key=lambda key: (EVIDENCE.index(key[1]) if key[1] in EVIDENCE else len(EVIDENCE), key[0]))
    lines = []
    for key in ordered:
        found = [_of(record, key) for record in records]
        ratio = compare_energy(records, base, key) if base is not None else None
        lines.append(replace(_line(key, found), ratio=ratio, policy=policy(ratio) if ratio is not None else ""))
    return tuple(lines)


def compare_energy(a: Sequence[Record], b: Sequence[Record], key: tuple[str, str]) -> Ratio:
    """Compare A's samples a joule with B's, both by the sensors of one domain and evidence; > 1 means A is better.

    One run a side: the interval is spanned by the bounds of both, so that it says how far instruments can be wrong, and
    nothing of how runs differ. With repeats it is Welch's over them, and the instruments' bounds on top, which repeating does
    not narrow.
    """
    for one in a:
        for other in b:
            if reason := incomparable(one, other):
                return _not(reason)
    if min(len(a), len(b)) < GRADES[a[0].spec.grade].repeats:
        return _not("incomplete")
    sides = [[_of(record, key) for record in side] for side in (a, b)]
    for side, records in zip(sides, (a, b), strict=True):
        if not all(side):
            return _not(_other(records, key))
    if any(energy is not None and energy.simulated for side in sides for energy in side):
        return _not("simulated")
    first, second = ([energy.samples_per_joule for energy in side if energy is not None] for side in sides)
    if any(e.value is None or e.low is None or e.high is None for e in (*first, *second)):
        return _not("no-efficiency")
    up, down = _bounds(first), _bounds(second)
    if len(first) > 1 and len(second) > 1:
        values = [[float(e.value) for e in side if e.value is not None] for side in (first, second)]
        found = ratio_over_repeats(values[0], values[1], True, widened(GRADES[a[0].spec.grade]))
        middle, low, high = found.value, found.low or found.value, found.high or found.value
    else:
        middle = low = high = (first[0].value or 0.0) / (second[0].value or 1.0)
    assert middle is not None and low is not None and high is not None
    low, high = low * up[0] / down[1], high * up[1] / down[0]
    verdict: Verdict = "better" if low > 1 else "worse" if high < 1 else "indistinguishable"
    return Ratio(middle, low, high, CONFIDENCE, None, verdict, unlike=unlike_among(a, b))


def policy(ratio: Ratio) -> Policy:
    """Say whether a ratio reaches :data:`POLICY` with its lower end."""
    if ratio.value is None or ratio.low is None or ratio.high is None:
        return ""
    if ratio.low >= POLICY:
        return "met"
    return "missed" if ratio.high < POLICY else "indistinguishable"


def _not(reason: str) -> Ratio:
    return Ratio(None, None, None, CONFIDENCE, None, "not-comparable", reason)


def _other(records: Sequence[Record], key: tuple[str, str]) -> str:
    """Return why a side has nothing to set beside a domain and evidence."""
    there = [energy for record in records for energy in record.energy]
    if not there:
        return "no-energy"
    return "different-evidence" if any(energy.domain == key[0] for energy in there) else "different-domain"


def _of(record: Record, key: tuple[str, str]) -> Energy | None:
    return next((energy for energy in record.energy if (energy.domain, energy.evidence) == key), None)


def _bounds(estimates: Iterable[Estimate]) -> tuple[float, float]:
    """Return how far the least certain of several figures can be below and above its value, as factors."""
    known = [(e.low / e.value, e.high / e.value) for e in estimates if e.value and e.low is not None and e.high is not None]
    return min(low for low, _ in known), max(high for _, high in known)


def _line(key: tuple[str, str], found: Sequence[Energy | None]) -> EnergyLine:
    known = [energy for energy in found if energy is not None]
    whole = len(known) == len(found)

    def over(name: str, unit: str) -> Estimate:
        estimates: list[Estimate] = [getattr(energy, name) for energy in known]
        if len(found) == 1:
            return estimates[0]
        values = [estimate.value for estimate in estimates if estimate.value is not None]
        if not whole or len(values) < len(found):
            return next((e for e in estimates if e.value is None and whole), absent(unit, "absent in some repeats"))
        return over_repeats(values, unit)

    peak = over("peak_watts", "W")
    if len(found) > 1 and peak.value is not None:
        # A peak over repeats is the highest; a mean of peaks would be a peak of none.
        peak = Estimate(max(float(e.peak_watts.value or 0.0) for e in known), "W", n=len(known))
    coverages = [energy.coverage for energy in known if energy.coverage is not None]
    return EnergyLine(
        sensor=known[0].sensor,
        domain=key[0],
        evidence=key[1],
        watts=over("watts", "W"),
        peak_watts=peak,
        idle_watts=over("idle_watts", "W"),
        joules_per_sample=over("joules_per_sample", "J/sample"),
        samples_per_joule=over("samples_per_joule", "samples/J"),
        coverage=min(coverages) if len(coverages) == len(found) else None,
        simulated=any(energy.simulated for energy in known),
    )


def _cell(key: str, records: Sequence[Record], base: Sequence[Record] | None, hardware: Hardware) -> EnergyCell:
    poor = worst(records)
    lines = energy_lines(records, base)
    gone = poor.status in ("failed", "skipped")
    entry = None if poor.system.simulated else hardware.find(poor.system.device.get("kind", ""))
    return EnergyCell(
        subject=key,
        run_id=", ".join(record.run_id for record in records),
        status=poor.status,
        lines=lines,
        reason="" if lines else poor.status if gone else "no-meter",
        declared=() if entry is None else declared_tdp(entry),
        roofline=Roofline(reason="no-throughput") if gone else run_roofline(records, hardware),
    )


def run_roofline(records: Sequence[Record], hardware: Hardware) -> Roofline:
    """Return the fraction of the declared peaks that a run, or the mean of its repeats, reached."""
    record = records[0]
    rates = [one.metrics["throughput"].value if "throughput" in one.metrics else None for one in records]
    known = [rate for rate in rates if rate is not None]
    batch = record.provenance.settings.get("batch")
    return roofline(
        hardware,
        record.system.device.get("kind", ""),
        record.spec.precision,
        float(np.mean(known)) if known and len(known) == len(rates) else None,
        record.bundle.operations,
        artefact_bytes=record.artefact.size_bytes if record.artefact is not None else None,
        batch=int(batch) if isinstance(batch, int) and batch > 0 else 1,
        simulated=record.system.simulated,
    )


def _ranked(cells: Sequence[EnergyCell], records: Mapping[str, Sequence[Record]]) -> tuple[EnergyCell, ...]:
    """Give ranks by samples a joule among lines of one domain and evidence; one alone has none."""
    groups: dict[tuple[object, ...], list[tuple[float, str]]] = {}
    for cell in cells:
        for line in cell.lines:
            kind = rankable(records[cell.subject], line)
            if kind and line.samples_per_joule.value is not None:
                groups.setdefault(kind, []).append((line.samples_per_joule.value, cell.subject))
    places = {
        (kind, subject): n + 1
        for kind, there in groups.items()
        if len(there) > 1
        for n, (_, subject) in enumerate(sorted(there, reverse=True))
    }
    return tuple(
        replace(
            cell,
            lines=tuple(
                replace(line, rank=places.get((rankable(records[cell.subject], line), cell.subject))) for line in cell.lines
            ),
        )
        for cell in cells
    )


def rankable(records: Sequence[Record], line: EnergyLine) -> tuple[object, ...]:
    """Return what a line of ``records`` shares with those it is ranked among; empty for one that must not be ranked."""
    poor = worst(records)
    grade = GRADES[poor.spec.grade]
    if line.simulated or poor.system.simulated or poor.status != "ok" or not grade.ranked or len(records) < grade.repeats:
        return ()
    return line.domain, line.evidence, grade.name, poor.bundle.work_digest, poor.spec.load.latency_bound_ns
