"""Compare one run with another: a ratio with its interval, a rank test, and a verdict that may be "not distinguishable"."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from npubench.analyze.block_bootstrap import Blocks, cut
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.finding import Finding
from npubench.analyze.intervals import block_medians, rank_test, ratio_of_blocks, split_windows
from npubench.analyze.metrics import HEADLINE
from npubench.analyze.repeats import mean_over_repeats, wide_interval, widened
from npubench.measure.trace import Trace, read_trace
from npubench.plan.grades import GRADES
from npubench.record.schema import Record
from npubench.record.store import Entry
from npubench.report.alike import unlike_among
from npubench.report.page import Ratio, Verdict

#: Confidence of the interval, and the level of the rank test that must agree with it.
CONFIDENCE = 0.95
ALPHA = 0.01


@dataclass(frozen=True)
class Measured:
    """One side: the records of its repeats and the traces of those that have a readable one, in the same order.

    What a comparison makes of the traces is made once, however many it is compared with.
    """

    records: tuple[Record, ...]
    traces: tuple[Trace, ...]

    @cached_property
    def series(self) -> NDArray[np.float64]:
        """Nearly independent stretches of all repeats: window rates or block medians, larger = better or worse alike."""
        higher = HEADLINE[self.records[0].spec.load.scenario].higher_is_better
        return np.concatenate([_stretches(trace, higher) for trace in self.traces])

    @cached_property
    def _cut(self) -> dict[float, Blocks]:
        return {}

    def blocks(self, percentile: float) -> Blocks | None:
        """Return the first repeat's latencies as blocks of the bootstrap; ``None`` where it has none."""
        if percentile not in self._cut:
            latencies = self.traces[0].query_latencies_ns()
            if not latencies.size:
                return None
            self._cut[percentile] = cut(latencies, percentile)
        return self._cut[percentile]


def read_measured(entries: Sequence[Entry]) -> Measured:
    """Read the traces of a cell's repeats; a damaged one leaves the cell its record and takes the comparison from it."""
    traces = []
    for entry in entries:
        if entry.record.status in ("ok", "invalid"):
            with contextlib.suppress(OSError, ValueError):
                traces.append(read_trace(entry.folder / "trace.npz"))
    return Measured(tuple(entry.record for entry in entries), tuple(traces))


def worst(records: Sequence[Record]) -> Record:
    """Return the repeat that came out worst; a cell is no better than that."""
    return max(records, key=lambda record: ("ok", "invalid", "skipped", "failed").index(record.status))


def headline_of(records: Sequence[Record]) -> Estimate | None:
    """Return the scenario's headline of one run, or its mean over repeats; a failed repeat leaves no number."""
    poor = worst(records)
    name = HEADLINE[poor.spec.load.scenario].metric
    if len(records) == 1 or poor.status in ("failed", "skipped"):
        return poor.metrics.get(name)
    return mean_of(records, name)


def mean_of(records: Sequence[Record], name: str) -> Estimate:
    """Return the mean of a metric over repeats with its interval; absent where a repeat lacks it."""
    values = [record.metrics[name].value if name in record.metrics else None for record in records]
    known = [value for value in values if value is not None]
    unit = next(record.metrics[name].unit for record in records if name in record.metrics)
    if len(known) != len(values):
        return absent(unit, "absent in some repeats")
    return mean_over_repeats(known, unit, GRADES[records[0].spec.grade])


def doubt_about(records: Sequence[Record]) -> tuple[Finding, ...]:
    """Return the finding on a cell whose headline is still uncertain after its repeats, or nothing."""
    name = HEADLINE[records[0].spec.load.scenario].metric
    values = [record.metrics[name].value if name in record.metrics else None for record in records]
    known = [value for value in values if value is not None]
    finding = wide_interval(known, GRADES[records[0].spec.grade]) if len(known) == len(values) else None
    return () if finding is None else (finding,)


def incomparable(a: Record, b: Record) -> str:
    """Return why two runs of one row must not be compared, or an empty text."""
    if a.system.simulated or b.system.simulated:
        return "simulated"
    if a.bundle.work_digest != b.bundle.work_digest:
        return "different-work"
    if a.spec.grade != b.spec.grade:
        return "different-grade"
    if a.spec.load.latency_bound_ns != b.spec.load.latency_bound_ns:
        return "different-bound"
    for record in (a, b):
        if record.status in ("failed", "skipped"):
            return record.status
        if record.status == "invalid":
            return "invalid"
    return ""


def compare(a: Measured, b: Measured) -> Ratio:
    """Compare A with B by their scenario's headline; > 1 means A is better."""
    for one in a.records:
        for other in b.records:
            if reason := incomparable(one, other):
                return Ratio(None, None, None, CONFIDENCE, None, "not-comparable", reason)
    if min(len(a.records), len(b.records)) < GRADES[a.records[0].spec.grade].repeats:
        return Ratio(None, None, None, CONFIDENCE, None, "not-comparable", "incomplete")
    if len(a.traces) != len(a.records) or len(b.traces) != len(b.records):
        return Ratio(None, None, None, CONFIDENCE, None, "not-comparable", "damaged-trace")
    scenario = a.records[0].spec.load.scenario
    headline = HEADLINE[scenario]
    values = [
        [record.metrics[headline.metric].value for record in side.records if headline.metric in record.metrics] for side in (a, b)
    ]
    if any(value is None for side in values for value in side) or not all(values):
        return Ratio(None, None, None, CONFIDENCE, None, "not-comparable", "no-headline")
    first, second = ([float(v) for v in side if v is not None] for side in values)
    if len(first) > 1 and len(second) > 1:
        level = widened(GRADES[a.records[0].spec.grade])
        estimate = ratio_over_repeats(first, second, headline.higher_is_better, level)
    elif headline.higher_is_better:
        estimate = _of_rates(a.records[0].metrics[headline.metric], b.records[0].metrics[headline.metric])
    else:
        estimate = _of_latencies(a, b)
    test = rank_test(a.series, b.series, ALPHA)
    p = None if test is None else test.p
    conditions = unlike_among(a.records, b.records)
    verdict = _verdict(estimate, p)
    return Ratio(estimate.value, estimate.low, estimate.high, CONFIDENCE, p, verdict, estimate.reason or "", conditions)


def _verdict(estimate: Estimate, p: float | None) -> Verdict:
    """Say better or worse only where interval and rank test agree."""
    if estimate.low is None or estimate.high is None or p is None or p >= ALPHA:
        return "indistinguishable"
    if estimate.low > 1:
        return "better"
    return "worse" if estimate.high < 1 else "indistinguishable"


def _stretches(trace: Trace, rates: bool) -> NDArray[np.float64]:
    if not rates:
        return block_medians(trace.query_latencies_ns())
    windows = split_windows(trace.done_ns, np.ones(trace.samples, np.int64), trace.start_ns, trace.end_ns)
    return np.zeros(0) if windows is None else windows.rates[1:-1]


def _of_rates(a: Estimate, b: Estimate) -> Estimate:
    """Return A ÷ B with an interval from both intervals: independent relative errors add in squares (delta method on logs)."""
    assert a.value is not None and b.value is not None
    ratio = a.value / b.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(value=ratio, unit="ratio", reason=a.reason or b.reason or "no interval")
    spread = math.hypot((a.high - a.low) / 2 / a.value, (b.high - b.low) / 2 / b.value)
    return Estimate(
        value=ratio, unit="ratio", low=ratio * math.exp(-spread), high=ratio * math.exp(spread), confidence=CONFIDENCE
    )


def _of_latencies(a: Measured, b: Measured) -> Estimate:
    """Return B ÷ A, so that more than one is better for A.

    Where there are too few queries for a block bootstrap, the interval is spanned by the certified bounds of both sides:
    each holds with 99 % on its own, so the four together hold with more than 95 % (Bonferroni).
    """
    one, other = a.records[0], b.records[0]
    below, above = (side.blocks(one.spec.load.percentile) for side in (a, b))
    if below is None or above is None:
        return absent("ratio", "one of the two has no values", 0)
    estimate = ratio_of_blocks(above, below, confidence=CONFIDENCE)
    if estimate.low is not None:
        return estimate
    metric = HEADLINE[one.spec.load.scenario].metric
    first, second = one.metrics[metric], other.metrics[metric]
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return estimate
    return replace(estimate, low=second.low / first.high, high=second.high / first.low, confidence=CONFIDENCE, reason=None)


def ratio_over_repeats(a: Sequence[float], b: Sequence[float], higher_is_better: bool, level: float = CONFIDENCE) -> Estimate:
    """Return the ratio of geometric means over repeats with Welch's interval on the logarithms (Welch 1947).

    Args:
        a, b: One value a repeat of each side, above 0; two or more.
        higher_is_better: Whether A ÷ B or B ÷ A says how much better A is.
        level: Where Student's quantile is taken, so that the interval covers with :data:`CONFIDENCE`; higher where how many
            repeats there are was decided by their own interval (``npubench.analyze.intervals.level``).
    """
    logs = [np.log(np.asarray(side)) * (1 if higher_is_better else -1) for side in (a, b)]
    difference = float(logs[0].mean() - logs[1].mean())
    shares = [float(side.var(ddof=1)) / len(side) for side in logs]
    variance = sum(shares)
    if variance == 0:
        return Estimate(value=math.exp(difference), unit="ratio", reason="no interval: repeats are identical")
    freedom = variance**2 / sum(share**2 / (len(side) - 1) for share, side in zip(shares, logs, strict=True))
    from scipy.stats import t as student

    half = float(student.ppf((1 + level) / 2, freedom)) * math.sqrt(variance)
    return Estimate(
        value=math.exp(difference),
        unit="ratio",
        low=math.exp(difference - half),
        high=math.exp(difference + half),
        confidence=CONFIDENCE,
        n=len(a) + len(b),
    )
