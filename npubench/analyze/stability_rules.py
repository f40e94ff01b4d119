"""The rules on how still a run held; each that does not hold is a finding. What is judged is found by ``stability``."""

from __future__ import annotations

from collections.abc import Iterator

from npubench.analyze.finding import Finding, Severity
from npubench.analyze.intervals import MATERIAL
from npubench.analyze.stability import Stability

#: From which part of the queries on outliers are spoken of: it moves a p99.9, and is six times what an exponential tail has.
OUTLIERS_NOTED = 0.001
#: From which part on they are a warning: it moves a p99.
OUTLIERS_GRAVE = 0.01
#: Fewer than this are chance, whatever part they are.
FEWEST_OUTLIERS = 5


def judge_stability(stability: Stability, grade: str) -> Iterator[Finding]:
    """Yield every finding; a run of a second cannot be held to what makes one of the ranked grades invalid.

    Args:
        stability: Of the run.
        grade: ``smoke``, ``nightly`` or ``official``.
    """
    strict: Severity = "warning" if grade == "smoke" else "invalid"
    yield from _warm_up(stability, strict)
    yield from _changes(stability, strict)
    yield from _modes(stability)
    yield from _outliers(stability)


def _warm_up(stability: Stability, strict: Severity) -> Iterator[Finding]:
    if stability.warmed_up is False and stability.warm_up_change is not None:
        yield Finding(
            "not-warmed-up",
            strict,
            f"after {stability.warm_up_windows} warm-up windows the level still changed by {stability.warm_up_change:+.1%}",
            f"within ±{MATERIAL:.0%} from one window to the next",
            "Let the device come to its steady temperature and clock before the run, and look for other load on the host.",
            {"windows": stability.warm_up_windows, "change": stability.warm_up_change, "allowed": MATERIAL},
        )


def _changes(stability: Stability, strict: Severity) -> Iterator[Finding]:
    if stability.change_points:
        largest = max(stability.changes, key=abs)
        at = stability.change_points[stability.changes.index(largest)]
        count = len(stability.change_points)
        yield Finding(
            "change-point",
            strict,
            f"{count} changes of level in the window, the largest by {largest:+.1%} after {at:.4g} s",
            f"none by more than ±{MATERIAL:.0%}",
            "Look for what began or ended then: throttling, a clock or power limit, other load on the host.",
            {"count": count, "change": largest, "at_s": at, "allowed": MATERIAL},
        )


def _modes(stability: Stability) -> Iterator[Finding]:
    if stability.modes is not None and stability.modes > 1:
        yield Finding(
            "several-modes",
            "warning",
            f"latency has {stability.modes} modes over {stability.queries} queries",
            "one mode",
            "Two ways of running are mixed, such as two clocks or a cache that sometimes misses; read no mean of them.",
            {"modes": stability.modes, "queries": stability.queries, "allowed": 1},
        )


def _outliers(stability: Stability) -> Iterator[Finding]:
    share, queries = stability.outlier_share, stability.queries
    if share is None or queries is None or share < OUTLIERS_NOTED or round(share * queries) < FEWEST_OUTLIERS:
        return
    yield Finding(
        "outliers",
        "warning" if share >= OUTLIERS_GRAVE else "note",
        f"{share:.2%} of {queries} queries took far longer than the rest",
        f"below {OUTLIERS_NOTED:.1%}",
        "Look for what interrupts the device or the host now and then: interrupts, other processes, memory, retries.",
        {"share": share, "queries": queries, "allowed": OUTLIERS_NOTED},
    )
