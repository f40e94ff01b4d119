"""Read a requirement sheet: what a buyer asks of a workload, with bounds, weights, and what must not be missed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from npubench.contract.options import nearest
from npubench.contract.runspec import Scenario
from npubench.errors import InputError
from npubench.plan.suite import Part, Precision, ScenarioName, parse_file

#: Unit as people write it → the record's unit, and the factor to it.
UNITS: Mapping[str, tuple[str, float]] = {
    "ns": ("ns", 1.0),
    "us": ("ns", 1e3),
    "µs": ("ns", 1e3),
    "ms": ("ns", 1e6),
    "s": ("ns", 1e9),
    "samples/s": ("samples/s", 1.0),
    "queries/s": ("queries/s", 1.0),
    "mW": ("W", 1e-3),
    "W": ("W", 1.0),
    "kW": ("W", 1e3),
    "mJ/sample": ("J/sample", 1e-3),
    "J/sample": ("J/sample", 1.0),
    "samples/J": ("samples/J", 1.0),
    "%": ("share", 0.01),
    "share": ("share", 1.0),
    "times": ("times", 1.0),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric that can be asked for: its unit, its direction, and whether it is of a domain of power."""

    unit: str
    higher_is_better: bool | None
    energy: bool = False


#: What a sheet may ask for. The unit and the direction of accuracy are the workload's.
METRICS: Mapping[str, Measure] = {
    **{f"latency_{name}": Measure("ns", False) for name in ("p50", "p90", "p95", "p97", "p99", "p999", "mean", "max")},
    "throughput": Measure("samples/s", True),
    "query_rate": Measure("queries/s", True),
    "accuracy": Measure("", None),
    "utilisation": Measure("share", True),
    "watts": Measure("W", False, energy=True),
    "peak_watts": Measure("W", False, energy=True),
    "idle_watts": Measure("W", False, energy=True),
    "joules_per_sample": Measure("J/sample", False, energy=True),
    "samples_per_joule": Measure("samples/J", True, energy=True),
    "efficiency_ratio": Measure("times", True, energy=True),
    "speed_ratio": Measure("times", True),
}

#: Metrics that stand against the reference.
RATIOS = ("efficiency_ratio", "speed_ratio")


class Requirement(Part):
    """One line of the sheet."""

    workload: Annotated[str, Field(min_length=1, max_length=200)]
    """The workload's name."""
    scenario: ScenarioName
    """How queries arrive."""
    metric: str
    """What is asked for; one of :data:`METRICS`."""
    unit: str = ""
    """The unit of the bound: ms, samples/s, W, samples/J, % …; needless for accuracy and ratios."""
    min: Annotated[float, Field(strict=False)] | None = None
    """The least that is enough."""
    max: Annotated[float, Field(strict=False)] | None = None
    """The most that is allowed."""
    precision: Precision | None = None
    """Only candidates of this precision; any where it is left out."""
    batch: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Only runs with this batch; left out, each candidate's best where it was measured with several."""
    domain: Literal["chip", "card", "board", "host", "wall"] | None = None
    """What a bound on power or energy covers."""
    weight: Annotated[float, Field(ge=0, le=1e6, strict=False)] = 0.0
    """What the line counts in the score; 0 where it only has to be met."""
    mandatory: bool = False
    """Whether a candidate that misses it is out."""
    full: Annotated[float, Field(strict=False)] | None = None
    """Where the line has all its points; left out, it has all or none by the bound alone."""
    at_bound: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    """The part of its points that the line has at the bound itself; goes with ``full``."""
    note: Annotated[str, Field(max_length=500)] = ""
    """What the buyer says of it."""


class SheetFile(Part):
    """The sheet as it is written."""

    schema_version: Literal[1]
    """The version of this format."""
    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What is bought, or the number of the tender."""
    requirement: Annotated[list[Requirement], Field(min_length=1, max_length=500)]
    """The lines."""


@dataclass(frozen=True, slots=True)
class Line:
    """A requirement ready to be held against records: bounds in the record's own unit.

    Args:
        number: From 1, as it stands in the sheet.
        asked: As it was written.
        unit: The unit of the bounds; empty for accuracy, whose unit is the workload's.
        low: The least that is enough, or ``None``.
        high: The most that is allowed, or ``None``.
        full: Where the line has all its points, or ``None``.
    """

    number: int
    asked: Requirement
    unit: str
    low: float | None
    high: float | None
    full: float | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A requirement sheet that makes sense."""

    path: str
    name: str
    lines: tuple[Line, ...]

    @property
    def weight(self) -> float:
        """The sum of all weights."""
        return math.fsum(line.asked.weight for line in self.lines)


def read_sheet(path: Path, workloads: Iterable[str]) -> Sheet:
    """Read a requirement sheet.

    Args:
        path: The TOML file.
        workloads: Names that a line may have: those in the store and those one knows.

    Raises:
        InputError: One sentence with file, line and what is valid there.
    """
    written, known = parse_file(path, SheetFile), sorted(set(workloads))
    lines = []
    for n, asked in enumerate(written.requirement):
        wrong = _wrong(asked, known)
        if wrong:
            raise InputError(f"{path}: requirement[{n}]: {wrong}")
        lines.append(_line(n + 1, asked))
    seen: dict[tuple[object, ...], int] = {}
    for n, asked in enumerate(written.requirement):
        key = (asked.workload, asked.scenario, asked.metric, asked.precision, asked.batch, asked.domain)
        if key in seen:
            raise InputError(f"{path}: requirement[{n}]: asks for the same as requirement[{seen[key]}]; join the two into one")
        seen[key] = n
    if not any(asked.mandatory or asked.weight for asked in written.requirement):
        raise InputError(f"{path}: no requirement is mandatory or has a weight; nothing would follow from the sheet")
    return Sheet(str(path), written.name, tuple(lines))


def _wrong(asked: Requirement, workloads: list[str]) -> str:
    """Return what is wrong with a line, or an empty text."""
    if asked.workload not in workloads:
        return f"workload: there is no workload '{asked.workload}'{nearest(asked.workload, workloads)}"
    measure = METRICS.get(asked.metric)
    if measure is None:
        return f"metric: there is no metric '{asked.metric}'{nearest(asked.metric, METRICS)}"
    if asked.scenario == Scenario.OFFLINE.value and asked.metric.startswith("latency"):
        return "metric: offline sends everything as one query, so it has no latencies; ask for throughput, or another scenario"
    if asked.metric == "query_rate" and asked.scenario != Scenario.SERVER.value:
        return 'metric: query_rate is the server scenario\'s; ask for throughput, or for scenario = "server"'
    if measure.energy and asked.domain is None:
        return f"domain: a bound on {asked.metric} is of a chip, card, board, host or wall; say which"
    if not measure.energy and asked.domain is not None:
        return f"domain: {asked.metric} is of no domain of power; leave it out"
    return _wrong_unit(asked, measure) or _wrong_bounds(asked, measure) or _wrong_points(asked)


def _wrong_unit(asked: Requirement, measure: Measure) -> str:
    if asked.unit and asked.unit not in UNITS and not (asked.metric == "accuracy" and asked.unit):
        return f"unit: '{asked.unit}' is no unit{nearest(asked.unit, UNITS)}"
    fitting = [unit for unit, (whole, _) in UNITS.items() if whole == measure.unit]
    if measure.unit and not asked.unit and asked.metric not in RATIOS:
        return f"unit is missing; {asked.metric} is in {', '.join(fitting)}"
    if measure.unit and asked.unit and UNITS[asked.unit][0] != measure.unit:
        return f"unit: {asked.metric} is in {', '.join(fitting)}, not in {asked.unit}"
    return ""


def _wrong_bounds(asked: Requirement, measure: Measure) -> str:
    bounds = {name: value for name, value in (("min", asked.min), ("max", asked.max), ("full", asked.full)) if value is not None}
    if asked.min is None and asked.max is None:
        return "needs min or max"
    for name, value in bounds.items():
        if value < 0:
            return f"{name}: {value:g} is below 0, which no {asked.metric} is"
        if (measure.unit == "share" or (asked.metric == "accuracy" and asked.unit in ("%", "share", "ratio"))) and (
            _factor(asked) * value > 1
        ):
            return f"{name}: {value:g}{' %' if asked.unit == '%' else ''} is more than all; no {asked.metric} is above 100 %"
    if asked.min is not None and asked.max is not None and asked.min > asked.max:
        return f"min {asked.min:g} is above max {asked.max:g}; nothing can meet both"
    if measure.higher_is_better is True and asked.min is None:
        return f"{asked.metric} is the better the higher it is, so it needs min; max alone asks for less of it"
    if measure.higher_is_better is False and asked.max is None:
        return f"{asked.metric} is the better the lower it is, so it needs max; min alone asks for more of it"
    return ""


def _wrong_points(asked: Requirement) -> str:
    if not asked.mandatory and asked.weight == 0:
        return "weight is 0 and it is not mandatory, so nothing follows from it; give a weight, or set mandatory = true"
    if (asked.full is None) != (asked.at_bound is None):
        return "full and at_bound go together: points grow from at_bound at the bound to all of them at full"
    if asked.full is None:
        return ""
    if asked.weight == 0:
        return "full and at_bound need a weight"
    if asked.min is not None and asked.max is not None:
        return "full and at_bound need one bound, min or max, not both"
    if asked.min is not None and asked.full <= asked.min:
        return f"full {asked.full:g} must be above min {asked.min:g}"
    if asked.max is not None and asked.full >= asked.max:
        return f"full {asked.full:g} must be below max {asked.max:g}"
    return ""


def _factor(asked: Requirement) -> float:
    return UNITS[asked.unit][1] if asked.unit in UNITS else 1.0


def _line(number: int, asked: Requirement) -> Line:
    factor = _factor(asked)

    def scaled(value: float | None) -> float | None:
        # In decimals: 95 % is 0.95, and not the next float above it, which 0.95 would miss.
        return None if value is None else float(Decimal(repr(value)) * Decimal(repr(factor)))

    unit = METRICS[asked.metric].unit
    return Line(number, asked, unit, scaled(asked.min), scaled(asked.max), scaled(asked.full))
