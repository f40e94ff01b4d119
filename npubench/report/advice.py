"""Advice: what to fix, on what evidence, how sure that is, and what it would gain. Ranks it; finds none itself.

A gain is worked out from what was measured and is no measurement: g = how many times as good the figure would become, less 1.
An advice that holds in several places gains over all of a target's places (cases, N) by the geometric mean:

    gain over all = exp(Σ ln(1 + gᵢ) ÷ N) − 1

and the rank goes by Σ wᵢ · ln(1 + gᵢ), with w = 1 for strong, ½ for likely and ¼ for a hint. What stops a run from counting
comes before all that; what gains nothing in the figures, such as compile time, comes after.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from npubench.report.document import Cell, Content, Phrase, Reason
from npubench.report.feedback_cases import Case

Confidence = Literal["strong", "likely", "hint"]
#: What a confidence weighs in the ranking.
WEIGHTS: Mapping[Confidence, float] = {"strong": 1.0, "likely": 0.5, "hint": 0.25}
#: The kinds that come first: without them nothing counts, or is believed.
FIRST = ("audit-failed", "blocked", "accuracy", "audit-undecided")
#: More than this is no estimate any more but says that the base is broken; it is cut here.
MOST_GAIN = 9.0


@dataclass(frozen=True, slots=True)
class Gain:
    """What would be gained: ``size`` as a ratio less 1, of which figure, and how it is worked out."""

    size: float
    of: Literal["headline", "efficiency"]
    how: Phrase


@dataclass(frozen=True, slots=True)
class Proof:
    """One line of evidence: what, and the figure with its runs."""

    label: Phrase
    cell: Cell


@dataclass(frozen=True, slots=True)
class Symptom:
    """One kind of advice in one case.

    Args:
        kind: ``advice.<kind>.*`` in the catalogues: title, text.
        case: Where.
        confidence: How sure.
        why: Why so sure and not more or less.
        proofs: The evidence.
        gain: What it would gain, or ``None``.
        no_gain: Why there is no gain to tell, where there is none.
    """

    kind: str
    case: Case
    confidence: Confidence
    why: Phrase
    proofs: tuple[Proof, ...]
    gain: Gain | None = None
    no_gain: Phrase = Phrase("advice.gain.unknown")  # noqa: RUF009 - frozen

    @property
    def weight(self) -> float:
        """What it counts in the ranking."""
        return WEIGHTS[self.confidence] * math.log1p(self.gain.size) if self.gain else 0.0


@dataclass(frozen=True, slots=True)
class Advice:
    """All symptoms of one kind, the weightiest first; ``gain`` over all of the target's cases, ``None`` where none is known."""

    kind: str
    symptoms: tuple[Symptom, ...]
    gain: float | None

    @property
    def confidence(self) -> Confidence:
        """That of the weightiest symptom."""
        return self.symptoms[0].confidence

    @property
    def most(self) -> float | None:
        """The largest gain in one case."""
        return max((each.gain.size for each in self.symptoms if each.gain), default=None)

    @property
    def of(self) -> str:
        """Which figure would gain."""
        return next((each.gain.of for each in self.symptoms if each.gain), "")


def rank(symptoms: Iterable[Symptom], cases: int) -> tuple[Advice, ...]:
    """Put symptoms of a kind together, and the kinds in order.

    Args:
        symptoms: Any.
        cases: How many cases with figures the target has.
    """
    kinds: dict[str, list[Symptom]] = {}
    for symptom in symptoms:
        kinds.setdefault(symptom.kind, []).append(symptom)
    found = []
    for kind, there in kinds.items():
        ordered = sorted(there, key=lambda each: (-each.weight, -WEIGHTS[each.confidence], each.case.key))
        known = [math.log1p(each.gain.size) for each in ordered if each.gain]
        found.append(Advice(kind, tuple(ordered), math.expm1(sum(known) / max(cases, len(known), 1)) if known else None))
    return tuple(sorted(found, key=_order))


def _order(advice: Advice) -> tuple[int, float, float, str]:
    first = FIRST.index(advice.kind) if advice.kind in FIRST else len(FIRST)
    weight = sum(each.weight for each in advice.symptoms)
    return first, -weight, -max(WEIGHTS[each.confidence] for each in advice.symptoms), advice.kind


def faster(before: float, after: float) -> float:
    """Return the gain of a time that goes from ``before`` to ``after``, cut at :data:`MOST_GAIN`."""
    if before <= 0 or after >= before:
        return 0.0
    return MOST_GAIN if after <= 0 else min(MOST_GAIN, before / after - 1)


def proof(key: str, content: Content, runs: Sequence[str], remark: Phrase | Reason | None = None) -> Proof:
    """Return a line of evidence; ``advice.proof.<key>`` is its label."""
    return Proof(Phrase(f"advice.proof.{key}"), Cell(content, tuple(runs), remark))


def why(confidence: Confidence, key: str) -> tuple[Confidence, Phrase]:
    """Return a confidence with the sentence that says why."""
    return confidence, Phrase(f"advice.why.{key}")
