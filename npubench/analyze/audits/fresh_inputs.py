"""The network really runs: inputs that the bundle does not have are answered as well, and as slowly, as those that it has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npubench.analyze.audits.distance import apart, follows, worst_median
from npubench.analyze.audits.facts import Array, AuditFacts, not_carried_out, observation, verdict
from npubench.analyze.audits.in_turn import MOST_FASTER_HOST
from npubench.analyze.audits.paired import MOST_FASTER, blind, paired_ratio, too_fast
from npubench.analyze.audits.reference import FRESH, fresh_outputs
from npubench.analyze.audits.verdict import Audit

NAME = FRESH

#: How far outputs on fresh inputs may be from the reference, as their median distance, whatever the bundle's samples show:
#: 25 times what honest FP32 runs show, and as far as bfloat16 and 8-bit runs of the seven workloads came (0.16 on file-type
#: in bfloat16, 0.235 on ocr-line in int8). ``vendor`` is compared with FP32, which its own quantisation moves away from.
TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 0.35, "int8": 0.5, "vendor": 1.0}
#: Or so many times what they are on the samples of the bundle.
TIMES = 3.0

#: How much of the reference's change from a known sample to the fresh input the device's outputs must make, as a projection:
#: 1 for one that computes, 0 for one that answers for the known sample. Honest medians of the seven workloads lie between
#: 0.83 (ocr-line in int8 against FP32) and 1.28.
LEAST_FOLLOWED = 0.5
#: The reference must change by this much itself for the change to be looked at, and in so many samples.
_CHANGE, _FEWEST = 0.01, 3


def judge_fresh_inputs(facts: AuditFacts) -> Audit:
    """Fail where fresh inputs are answered worse than known ones, not at all, or more slowly.

    Median distance to the reference: at most the precision's tolerance, or three times that of the bundle's samples. The
    outputs follow the reference from each known sample to the fresh input that was made of it, by half its change at least.
    And fresh inputs do not take more than 10 % longer than the bundle's samples, beyond the interval; twice as long where the
    device is the host's own processor, which learns the branches of what comes again (``in_turn.MOST_FASTER_HOST``).
    """
    seen, why = observation(facts, NAME)
    outputs, why_not = fresh_outputs(facts)
    allowed = TOLERANCE.get(facts.spec.precision, TOLERANCE["vendor"])
    most = MOST_FASTER_HOST if facts.observed.get("device", {}).get("host") else MOST_FASTER
    required = _required(allowed, most)
    if why or why_not:
        return not_carried_out(NAME, why or why_not, required)
    precision = facts.spec.precision
    known = worst_median(outputs.own, outputs.own_reference, precision)
    distance = worst_median(outputs.fresh, outputs.fresh_reference, precision)
    if np.isfinite(known):
        allowed = max(allowed, TIMES * known)
    required = _required(allowed, most)
    followed = _followed(outputs.own, outputs.fresh, outputs.own_reference, outputs.fresh_reference, precision)
    pairs = [[float(time) for time in pair] for pair in seen["pairs"]]
    ratio = paired_ratio(pairs)
    if ratio.value is None:
        return not_carried_out(NAME, f"{len(pairs)} pairs of windows make no interval", required)
    slower = too_fast(ratio, pairs, most)
    evidence = {
        "distance": distance if distance < 1e9 else None,
        "known_distance": known if known < 1e9 else None,
        "allowed": allowed,
        "followed": followed,
        "allowed_followed": LEAST_FOLLOWED,
        "slower": ratio.value,
        "slower_low": ratio.low,
        "slower_high": ratio.high,
        "allowed_slower": 1.0 + most,
    }
    moved = "" if followed is None else f" and following {round(followed, 2) + 0.0:.0%} of its changes"
    timed = f"in {ratio.value:.3g} times the time of known samples"
    observed = f"{distance:.3g} from the reference ({known:.3g} on known samples){moved}, {timed}"
    ignores = followed is not None and not followed >= LEAST_FOLLOWED
    if not distance <= allowed or ignores or slower:
        return verdict(NAME, True, observed, required, evidence)
    if blind(ratio, pairs, most):
        return not_carried_out(NAME, f"cannot tell, the machine is too busy: {observed}", required)
    return verdict(NAME, False, observed, required, evidence)


def _required(allowed: float, slower: float) -> str:
    return (
        f"within {allowed:.3g} of the reference, following its changes, and no more than {slower:.0%} slower than known samples"
    )


def _followed(
    own: Sequence[Array], fresh: Sequence[Array], own_reference: Sequence[Array], fresh_reference: Sequence[Array], precision: str
) -> float | None:
    """Return how much of the reference's change the outputs make: the least over outputs of the median over samples.

    ``None`` where the reference hardly changes itself.
    """
    least: float | None = None
    for n, right in enumerate(fresh_reference):
        if own[n].shape != right.shape or fresh[n].shape != right.shape:
            return 0.0
        changed = apart(right, own_reference[n], precision) >= _CHANGE
        if int(changed.sum()) < min(_FEWEST, len(right)):
            continue
        shares = follows(own[n], fresh[n], own_reference[n], right, precision)[changed]
        middle = float(np.median(np.nan_to_num(shares)))
        least = middle if least is None else min(least, middle)
    return least
