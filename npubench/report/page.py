"""The content of a comparison, as data: what a renderer shows, without a word of markup or of any language.

Titles of workloads come by language from their manifests; everything else is an id that message
catalogues translate. A renderer computes nothing: ratios, ranks and verdicts are decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding
from npubench.analyze.roofline import Roofline
from npubench.plan.hardware import Figure

#: better/worse are said of A against B, and only where the rank test and the interval agree.
Verdict = Literal["better", "worse", "indistinguishable", "not-comparable"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One of the things compared: a target in a precision (and, between stores, a round or system).

    ``key`` is unique on the page; ``label`` is short and for people, such as ``"cpu-all · int8"``.
    """

    key: str
    label: str
    target: str
    backend: str
    device: str
    precision: str
    options: Mapping[str, str]
    system_id: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class SystemCard:
    """A host on the page, as rows of id → value (ids: cpu, logical-cores, memory, kernel, governor …)."""

    system_id: str
    rows: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A against B for one metric of one row: > 1 means A is better, whatever the metric's direction.

    ``low``/``high`` bound it at ``confidence``; ``p_value`` is of a two-sided rank test, or ``None`` where there
    are too few windows to reject at all. ``reason`` says why a pair is not comparable. ``unlike`` names the conditions in
    which it is not, though there is a ratio: ``system``, ``driver``, ``firmware``, ``power-cap``, ``precision``,
    ``boundary``, ``client`` (see ``report.alike``).
    """

    value: float | None
    low: float | None
    high: float | None
    confidence: float
    p_value: float | None
    verdict: Verdict
    reason: str = ""
    unlike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """One subject's outcome in one row.

    ``headline`` is ``None`` for a failed or skipped run, and then ``reason`` says why.
    ``details`` are further metrics by name (``latency_p50`` …). ``ratio`` is against the page's baseline subject,
    ``None`` in the baseline's own column. ``rank`` is 1 for the best; ``None`` where not ranked
    (smoke grade, invalid, simulated, failed) with ``unranked`` saying which of these.
    """

    subject: str
    run_id: str
    status: str
    reason: str
    grade: str
    headline: Estimate | None
    details: Mapping[str, Estimate]
    accuracy: Estimate | None
    accuracy_required: float | None
    accuracy_claim: str
    ratio: Ratio | None
    rank: int | None
    unranked: str
    findings: tuple[Finding, ...]

    @property
    def decides(self) -> str:
        """Why nothing may be decided by it, as an id of ``unranked``; empty where it may."""
        return "" if self.unranked in ("single", "different-work", "different-grade", "different-bound") else self.unranked


@dataclass(frozen=True, slots=True)
class Row:
    """One workload in one scenario across all subjects.

    ``gate_higher_is_better`` is the gate metric's direction, ``None`` where it is not known.
    """

    workload: str
    title: Mapping[str, str]
    task: Mapping[str, str]
    operations: int
    gate_metric: str
    gate_unit: str
    cells: tuple[Cell, ...]
    gate_higher_is_better: bool | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of one scenario, with the scenario's headline metric (see ``analyze.metrics.HEADLINE``)."""

    scenario: str
    headline: str
    unit: str
    higher_is_better: bool
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """The latency distribution of one run: latency in ns at each of ``quantiles`` (0…1)."""

    subject: str
    quantiles: tuple[float, ...]
    latency_ns: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """The latency curves of one workload in one scenario, one curve a subject; for a plot."""

    scenario: str
    workload: str
    title: Mapping[str, str]
    curves: tuple[Curve, ...]
    bound_ns: int | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same for all subjects: its id (``package:onnxruntime``, ``option:threads`` …) and each value."""

    what: str
    values: Mapping[str, str]


#: A figure that a vendor declares of a device, with its source and date.
Declared = Figure

#: Whether a ratio of samples a joule reaches what policy asks for: its lower end does, its upper end does not, or neither is so.
Policy = Literal["met", "missed", "indistinguishable", ""]


@dataclass(frozen=True, slots=True)
class EnergyLine:
    """What the sensors of one domain and one kind of evidence said of one subject; it stands beside none of another.

    ``ratio`` is of samples a joule against the baseline's line of the same domain and evidence, ``None`` in the baseline's
    own; ``policy`` says whether it reaches ``efficiency.POLICY``. ``rank`` is among lines of the same domain and evidence.
    """

    sensor: str
    domain: str
    evidence: str
    watts: Estimate
    peak_watts: Estimate
    idle_watts: Estimate
    joules_per_sample: Estimate
    samples_per_joule: Estimate
    coverage: float | None
    simulated: bool
    ratio: Ratio | None = None
    policy: Policy = ""
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class EnergyCell:
    """Power and energy of one subject in one row, best evidence first; ``reason`` is an id that says why there is none.

    ``declared`` are the vendor's statements of TDP: shown apart, never ranked, never the divisor of anything.
    """

    subject: str
    run_id: str
    status: str
    lines: tuple[EnergyLine, ...]
    reason: str
    declared: tuple[Declared, ...]
    roofline: Roofline


@dataclass(frozen=True, slots=True)
class EnergyRow:
    """One workload in one scenario across all subjects."""

    scenario: str
    workload: str
    title: Mapping[str, str]
    cells: tuple[EnergyCell, ...]


#: Whether a limit has the most samples a joule for certain, shares that with others, or neither.
SweepMark = Literal["best", "tie", ""]


@dataclass(frozen=True, slots=True)
class PowerPoint:
    """One subject of a power sweep.

    ``limit_watts`` is what was asked for, or, where ``asked`` is false, what was in force as the target was found; ``None``
    where nothing says so. ``throughput`` and ``line`` are ``None`` where there is nothing of the kind, and ``status`` and
    ``reason`` then say why.
    """

    subject: str
    limit_watts: float | None
    asked: bool
    status: str
    reason: str
    throughput: Estimate | None
    line: EnergyLine | None
    mark: SweepMark = ""


@dataclass(frozen=True, slots=True)
class PowerSweep:
    """One target under several power limits in one row, by the sensors of one domain and evidence; empty where there are none.

    ``unranked`` says, as an id, why no limit is marked as the best.
    """

    scenario: str
    workload: str
    title: Mapping[str, str]
    label: str
    domain: str
    evidence: str
    points: tuple[PowerPoint, ...]
    unranked: str


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time with a name: a phase, or why a device was slower; seconds from the window's start."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Series:
    """A quantity over time in equal steps: one value for each, with the least and the most in it; ``None`` where unknown.

    ``values`` are means of power and medians of times; ``low`` and ``high`` are empty where only one value a step is known.
    ``name`` is an id: ``power``, ``latency``, or ``service-time`` (in the executor, for a scenario without latencies).
    """

    name: str
    unit: str
    start_s: float
    step_s: float
    values: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class PowerCourse:
    """One run over time: power by its best sensors beside latency, with the phases and where the device was throttled."""

    scenario: str
    workload: str
    title: Mapping[str, str]
    subject: str
    run_id: str
    domain: str
    evidence: str
    power: Series
    latency: Series | None
    phases: tuple[Band, ...]
    throttled: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class ComparisonPage:
    """Everything on one comparison. A page that holds a smoke-grade or simulated cell says so on top.

    ``whole`` is there where the page goes into a part of the cells (``comparison_detail``): everything, with the same ranks, and
    without what takes a trace.
    """

    title: str
    grades: tuple[str, ...]
    baseline: str
    subjects: tuple[Subject, ...]
    systems: tuple[SystemCard, ...]
    tables: tuple[Table, ...]
    distributions: tuple[Distribution, ...]
    differences: tuple[Difference, ...]
    exclusions: tuple[str, ...]
    energy: tuple[EnergyRow, ...] = ()
    courses: tuple[PowerCourse, ...] = ()
    sweeps: tuple[PowerSweep, ...] = ()
    whole: ComparisonPage | None = None
