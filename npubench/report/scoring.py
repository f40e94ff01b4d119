"""Hold candidates against a requirement sheet: a verdict a line by the whole interval, and points by its worse end.

points(line) = 0 where the value misses the bound, 1 where it meets it and the line names no ``full``, else
at_bound + (1 − at_bound) × |value − bound| ÷ |full − bound|, at most 1.
score = 100 × Σ weight × points ÷ Σ weight, with every value at the worse end of its interval; the highest possible score has
the better ends, and full points for what is not shown. What is missing, or must not be decided by, has no points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from npubench.analyze.estimate import Estimate, absent
from npubench.report.procurement_offers import Lineup, Standing, metric, power, ranks_of, utilisation
from npubench.report.requirements import METRICS, RATIOS, Line, Sheet

#: pass and fail are certain: the whole interval is on that side. open: the interval spans the bound, or the value is of a run
#: that nothing may be decided by. missing: there is no value.
Verdict = Literal["pass", "fail", "open", "missing"]


#: Metrics that are facts of a run and have no interval; every other one decides nothing without both its ends.
PLAIN = ("accuracy", "latency_mean", "latency_max", "peak_watts", "idle_watts")


@dataclass(frozen=True, slots=True)
class Judged:
    """One line against one candidate.

    Args:
        line: What was asked.
        value: What was measured, or why it is missing.
        verdict: What follows.
        points: The part of the line's weight that is certain, 0…1.
        possible: The part that it can be at the best.
        why: Why the verdict is open, as an English sentence; empty else.
        runs: The runs behind it.
    """

    line: Line
    value: Estimate
    verdict: Verdict
    points: float
    possible: float
    why: str
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """One candidate against the whole sheet.

    ``verdict`` is of the mandatory lines: pass if all pass, fail if one fails, else open; ``None`` where none is mandatory.
    ``score`` is in points of 100, its interval from the certain to the possible; without a value where no line has a weight.
    """

    offer: str
    lines: tuple[Judged, ...]
    verdict: Verdict | None
    score: Estimate
    rank: int | None = None
    tied: bool = False


def score_all(lineup: Lineup, sheet: Sheet) -> tuple[Score, ...]:
    """Hold every candidate but the reference against the sheet."""
    scores = [_score(lineup, sheet, subject.key) for subject in lineup.offers if subject.key != lineup.reference]
    # Ranked are those who pass; a score that is uncertain ties with those it overlaps.
    able = {s.offer: s.score for s in scores if s.verdict in ("pass", None) and s.score.low is not None and _decided(s)}
    ranks = ranks_of(able, higher_is_better=True)
    return tuple(Score(s.offer, s.lines, s.verdict, s.score, *ranks[s.offer]) if s.offer in ranks else s for s in scores)


def _decided(score: Score) -> bool:
    """Return whether any line was decided at all: a candidate of whom nothing is known is no tie of anybody."""
    return any(judged.verdict in ("pass", "fail") for judged in score.lines)


def _score(lineup: Lineup, sheet: Sheet, offer: str) -> Score:
    judged = tuple(_judge(lineup, line, offer) for line in sheet.lines)
    mandatory = [each.verdict for each in judged if each.line.asked.mandatory]
    verdict: Verdict | None = None
    if mandatory:
        verdict = "fail" if "fail" in mandatory else "pass" if set(mandatory) == {"pass"} else "open"
    return Score(offer, judged, verdict, total(judged))


def total(judged: tuple[Judged, ...]) -> Estimate:
    """Return the score of 100: certain points, with the possible ones as the interval's upper end."""
    weight = math.fsum(each.line.asked.weight for each in judged)
    if weight == 0:
        return absent("points", "no requirement has a weight")
    low, high = (
        100.0 * math.fsum(each.line.asked.weight * share for each, share in zip(judged, shares, strict=True)) / weight
        for shares in ([each.points for each in judged], [each.possible for each in judged])
    )
    return Estimate(low, "points", low, high)


def _judge(lineup: Lineup, line: Line, offer: str) -> Judged:
    asked = line.asked
    there = lineup if asked.batch is None else lineup.batches[asked.batch]
    spot = there.spot((asked.workload, asked.scenario))
    standing = spot.of(offer) if spot is not None else None
    subject = lineup.subject(offer)
    if asked.precision is not None and subject.precision != asked.precision:
        gone = absent(line.unit, f"asked of {asked.precision}, this candidate is {subject.precision}")
        return Judged(line, gone, "missing", 0.0, 1.0, "", ())
    if standing is None:
        gone = absent(line.unit, "not run" if asked.batch is None else f"not run with a batch of {asked.batch}")
        return Judged(line, gone, "missing", 0.0, 1.0, "", ())
    value = value_of(standing, line, bool(lineup.reference))
    if value.value is None:
        return Judged(line, value, "missing", 0.0, 1.0, "", standing.runs)
    why = _undecided(standing, line)
    if why:
        return Judged(line, value, "open", 0.0, 1.0, why, standing.runs)
    if (value.low is None or value.high is None) and asked.metric not in PLAIN:
        why = value.reason or "no interval"
        return Judged(line, value, "open", 0.0, 1.0, why, standing.runs)
    low, high = (value.value if end is None else end for end in (value.low, value.high))
    meets = [_meets(line, end) for end in (low, high)]
    points = sorted(points_of(line, end) for end in (low, high))
    # Between two bounds, both ends can miss while the middle meets.
    verdict: Verdict = "pass" if all(meets) else "open" if any(meets) or _spans(line, low, high) else "fail"
    spans = "the interval spans the bound" if verdict == "open" else ""
    possible = points[1] if any(meets) else float(verdict == "open")
    return Judged(line, value, verdict, points[0], possible, spans, standing.runs)


def _undecided(standing: Standing, line: Line) -> str:
    """Return why nothing may be decided by this run, as a sentence; empty where it may."""
    if standing.decides == "simulated":
        return "SIMULATED: the device is no hardware"
    if standing.cell.status == "invalid":
        return standing.trouble
    if standing.decides:
        return f"nothing is decided by this run: {standing.decides}"
    energy = standing.line(line.asked.domain) if METRICS[line.asked.metric].energy else None
    if energy is not None and energy.simulated:
        return "SIMULATED: the device is no hardware"
    return ""


def value_of(standing: Standing, line: Line, has_reference: bool) -> Estimate:
    """Return what a line asks of a standing, in the line's unit, or why there is none."""
    name, unit = line.asked.metric, line.unit
    if name in RATIOS:
        return _ratio(standing, line, has_reference)
    if name == "utilisation":
        return utilisation(standing)
    if METRICS[name].energy:
        return power(standing, name, unit, line.asked.domain)
    if name != "accuracy":
        return metric(standing, name, unit)
    own = standing.records[0].bundle.metric_unit
    asked = line.asked.unit
    if asked and asked != own and not (own == "ratio" and asked in ("%", "share", "ratio")):
        return absent(own, f"the accuracy of this workload is in {own}, the sheet asks for {asked}")
    return metric(standing, "accuracy", own)


def _ratio(standing: Standing, line: Line, has_reference: bool) -> Estimate:
    if not has_reference:
        return absent("times", "no reference is named")
    if line.asked.metric == "speed_ratio":
        ratio = standing.cell.ratio
    else:
        energy = standing.line(line.asked.domain)
        if energy is None:
            return power(standing, "samples_per_joule", "times", line.asked.domain)
        ratio = energy.ratio
    if ratio is None:
        return absent("times", "the reference was not run here")
    if ratio.reason == "not-detailed":
        return absent("times", "the ratio is not worked out in this report")
    if ratio.value is None:
        return absent("times", f"not comparable with the reference: {ratio.reason}")
    return Estimate(ratio.value, "times", ratio.low, ratio.high, ratio.confidence)


def _meets(line: Line, value: float) -> bool:
    return (line.low is None or value >= line.low) and (line.high is None or value <= line.high)


def _spans(line: Line, low: float, high: float) -> bool:
    return (line.low is None or high >= line.low) and (line.high is None or low <= line.high)


def points_of(line: Line, value: float) -> float:
    """Return the part of a line's weight that a value has, 0…1; see the formula above."""
    if not _meets(line, value):
        return 0.0
    if line.full is None or line.asked.at_bound is None:
        return 1.0
    bound = line.low if line.low is not None else line.high
    assert bound is not None, "a line has a bound"
    way = abs(value - bound) / abs(line.full - bound)
    return line.asked.at_bound + (1.0 - line.asked.at_bound) * min(way, 1.0)
