"""Work grows with the batch: every row is worked on, and a larger batch is not done sooner than one sample."""

from __future__ import annotations

from collections.abc import Sequence

from npubench.analyze.audits.facts import Array, AuditFacts, not_carried_out, observation, verdict
from npubench.analyze.audits.paired import FLOOR_NS, paired_ratio
from npubench.analyze.audits.verdict import Audit
from npubench.analyze.outputs import TOLERANCE, compare_checked

NAME = "batch-work"

#: The least time a batch may take, in that of one sample: a device that works in parallel takes as long, none takes less.
LEAST = 0.9


def judge_batch_work(facts: AuditFacts) -> Audit:
    """Fail where a batch has wrong rows, takes less time than one sample, or is faster than the declared peak allows.

    Each row of a batch of different samples must be what its sample gave in the accuracy phase. A size's time ÷ that of one
    sample must not lie below 0.9 with the whole of its interval; and operations/s, at the slow end of the interval, must not
    lie above the peak that the vendor declares, where there is one.
    """
    required = f"every row right, and no batch below {LEAST:g} of the time of one sample"
    seen, why = observation(facts, NAME)
    if why:
        return not_carried_out(NAME, why, required)
    batches = [int(size) for size in seen["batches"]]
    worst, wrong = _distance(facts, batches)
    least, size, above = _least(facts, batches, [[float(t) for t in row] for row in seen["times_ns"]])
    evidence = {
        "largest": batches[-1],
        "distance": worst if worst < 1e9 else None,
        "allowed_distance": TOLERANCE,
        "wrong_batch": wrong,
        "least": least,
        "least_batch": size,
        "allowed": LEAST,
        "above_peak": above,
    }
    if wrong is not None:
        observed = f"a batch of {wrong} has rows that are not their samples' outputs: relative distance {worst:.3g}"
    elif above is not None:
        observed = f"a batch of {above} takes less time than the declared peak of {facts.declared.device} allows"
    elif least is None:
        observed = f"every row right up to a batch of {batches[-1]}"
    else:
        observed = f"every row right up to a batch of {batches[-1]}; a batch of {size} took {least:.3g} times one sample's time"
    failed = wrong is not None or above is not None or _falls(seen["times_ns"], batches)
    return verdict(NAME, failed, observed, required, evidence)


def _distance(facts: AuditFacts, batches: list[int]) -> tuple[float, int | None]:
    """Return the largest distance over all batches' rows, and the first batch with a row that is wrong.

    Of outputs reduced to an index one that flips between two values that are alike is no wrong row: they are held to a share
    of all rows, and where there is one row only it says nothing.
    """
    worst, wrong = 0.0, None
    for size in batches:
        sample = facts.arrays[f"{NAME}/{size}/sample"]
        outputs = [facts.arrays[f"{NAME}/{size}/{n}"] for n in range(len(facts.bundle.outputs))]
        canary = compare_checked(sample, outputs, facts.accuracy, facts.bundle.keep)
        worst = max(worst, canary.worst)
        flips = all(keep == "argmax" for keep in facts.bundle.keep) and _differing(sample, outputs, facts) < 2
        if wrong is None and canary.garbage and not flips:
            wrong = size
    return worst, wrong


def _differing(sample: Array, outputs: Sequence[Array], facts: AuditFacts) -> int:
    """Return how many indices differ from the accuracy phase's."""
    return sum(int((seen != known[sample]).sum()) for seen, known in zip(outputs, facts.accuracy, strict=True))


def _least(facts: AuditFacts, batches: list[int], times: list[list[float]]) -> tuple[float | None, int | None, int | None]:
    """Return the least time of a batch ÷ that of one sample, of which batch, and the first batch that is above the peak."""
    least, size, above = None, None, None
    peak, operations = facts.declared.operations_per_s, facts.bundle.operations
    for n, batch in enumerate(batches):
        ratio = paired_ratio([[row[n], row[0]] for row in times])
        if n and ratio.value is not None and (least is None or ratio.value < least):
            least, size = ratio.value, batch
        slowest = max(row[n] for row in times)
        if above is None and peak is not None and operations > 0 and batch * operations / (slowest * 1e-9) > peak:
            above = batch
    return least, size, above


def _falls(times: list[list[float]], batches: list[int]) -> bool:
    """Return whether a batch surely takes less than it may."""
    for n in range(1, len(batches)):
        ratio = paired_ratio([[row[n], row[0]] for row in times])
        saved = min(row[0] for row in times) - min(row[n] for row in times)
        if ratio.high is not None and ratio.high < LEAST and saved > FLOOR_NS:
            return True
    return False
