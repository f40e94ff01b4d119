"""Ratios, verdicts and states of runs as cells of a document show them, the same in every report."""

from __future__ import annotations

from npubench.analyze.estimate import Estimate, absent
from npubench.report.document import Mark, Phrase, Sign
from npubench.report.page import EnergyLine, Ratio


def status_mark(status: str) -> Mark:
    """Return a run's status as a mark."""
    return Mark("pass" if status == "ok" else "open" if status == "skipped" else "fail", Phrase(f"status.{status}"))


def times(ratio: Ratio | None, none: str = "the reference was not run here") -> Estimate:
    """Return a ratio as an estimate, or why there is none."""
    if ratio is None:
        return absent("times", none)
    if ratio.value is None:
        return absent("times", f"not comparable with the reference: {ratio.reason}")
    return Estimate(ratio.value, "times", ratio.low, ratio.high, ratio.confidence)


def verdict_mark(ratio: Ratio | None) -> Mark:
    """Return the verdict of a ratio as a mark."""
    if ratio is None or ratio.verdict == "not-comparable":
        return Mark("not-comparable", Phrase("verdict.not-comparable"))
    signs: dict[str, Sign] = {"better": "better", "worse": "worse"}
    return Mark(signs.get(ratio.verdict, "tie"), Phrase(f"verdict.{ratio.verdict}"))


def policy_mark(line: EnergyLine | None) -> Mark:
    """Return whether a line's samples a joule reach what policy asks for, as a mark."""
    if line is None or not line.policy:
        return Mark("open", Phrase("procurement.policy.unknown"))
    signs: dict[str, Sign] = {"met": "pass", "missed": "fail"}
    return Mark(signs.get(line.policy, "open"), Phrase(f"procurement.policy.{line.policy}"))


def conditions(*ratios: Ratio | None) -> Mark | Phrase:
    """Return in what a candidate and the reference are not comparable, though a ratio can be formed."""
    unlike = dict.fromkeys(each for ratio in ratios if ratio is not None for each in ratio.unlike)
    if any(ratio is not None and ratio.reason and ratio.value is None for ratio in ratios):
        why = dict.fromkeys(ratio.reason for ratio in ratios if ratio is not None and ratio.value is None and ratio.reason)
        return Mark("not-comparable", Phrase("procurement.incomparable", {"why": ", ".join(why)}))
    if unlike:
        return Mark("not-comparable", Phrase("procurement.unlike", {"conditions": ", ".join(unlike)}))
    return Phrase("procurement.alike")
