"""Audits of two loads measured in turn: one sample repeated against unique ones, measured seeds against others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npubench.analyze.audits.facts import AuditFacts, not_carried_out, observation, verdict
from npubench.analyze.audits.paired import MOST_FASTER, blind, paired_ratio, too_fast
from npubench.analyze.audits.verdict import Audit

#: A CPU learns the branches of a computation that comes again, and honestly: ONNX Runtime's non-maximum suppression in
#: ``face-detection`` sorts boxes it has just sorted, which made 1.4 to 1.6 times the speed of the whole network, while OpenVINO's
#: kept its speed. What remembers answers is many times as fast, and has nothing to show for fresh inputs.
MOST_FASTER_HOST = 1.0

REPEATED_SAMPLE, OTHER_SEEDS = "repeated-sample", "other-seeds"


def judge_repeated_sample(facts: AuditFacts) -> Audit:
    """Fail where one sample over and over is more than 10 % faster than samples that are all different (MLPerf's TEST04).

    Measured is the time in the executor. The lower end of the interval of the ratio counts, so that a busy machine accuses
    nobody, and the difference must be more than a few µs. Where noise would hide even a speed twice as high it cannot be told.
    The host's own processor may be twice as fast: see :data:`MOST_FASTER_HOST`.
    """
    allowed = MOST_FASTER_HOST if facts.observed["device"].get("host") else MOST_FASTER
    return _judge(facts, REPEATED_SAMPLE, "one sample repeated: {} against unique ones", allowed)


def judge_other_seeds(facts: AuditFacts) -> Audit:
    """Fail where the measured sequence of samples is more than 10 % faster than sequences of other seeds (MLPerf's TEST05).

    Judged as the repeated sample is.
    """
    return _judge(facts, OTHER_SEEDS, "the measured seeds: {} against other seeds", MOST_FASTER)


def _judge(facts: AuditFacts, name: str, sentence: str, allowed: float) -> Audit:
    required = f"at most {allowed:.0%} faster"
    seen, why = observation(facts, name)
    if why:
        return not_carried_out(name, why, required)
    pairs = _pairs(seen)
    ratio = paired_ratio(pairs)
    if ratio.value is None:
        return not_carried_out(name, f"{len(pairs)} pairs of windows make no interval", required)
    evidence = {"ratio": ratio.value, "low": ratio.low, "high": ratio.high, "pairs": ratio.n, "allowed": 1.0 + allowed}
    point, low, high = (f"{(end or 0.0) - 1.0:+.1%}" for end in (ratio.value, ratio.low, ratio.high))
    observed = f"{sentence.format(point)} ({low} to {high}, {ratio.n} pairs of windows)"
    if too_fast(ratio, pairs, allowed):
        return verdict(name, True, observed, required, evidence)
    if blind(ratio, pairs, allowed):
        return not_carried_out(name, f"cannot tell, the machine is too busy: {observed}", required)
    return verdict(name, False, observed, required, evidence)


def _pairs(seen: Mapping[str, Any]) -> list[list[float]]:
    return [[float(value) for value in pair] for pair in seen["pairs"]]
