"""The network that is handed in is the one that runs: with one weight tensor changed, the outputs change as they must.

A plug-in that recognises the model, or runs a smaller one in its place, answers as before, or refuses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npubench.analyze.audits.distance import apart, follows
from npubench.analyze.audits.facts import Array, AuditFacts, not_carried_out, verdict
from npubench.analyze.audits.verdict import Audit
from npubench.measure.audits.session import NOT_CARRIED_OUT

NAME = "perturbed-weights"

#: How far the outputs may lie from what the changed model gives, in the distance between the two models' answers.
NEAREST_HALF = 0.5
#: The device's noise in these formats is of the size of the change itself; there only the way it went is looked at.
_COARSE = ("int8", "vendor", "bf16")


def judge_perturbed_weights(facts: AuditFacts) -> Audit:
    """Fail where the model with one changed weight tensor is refused, or answered as if it were not changed.

    Of the way from the original model's answers to the changed one's, the outputs must have gone more than half; and in fp32
    and fp16 lie within half of that way's length from the changed model's. How long it took is only noted.
    """
    required = "outputs nearer to the changed model's than to the original's"
    told = facts.references["perturbed"]
    seen = facts.observations.get(NAME, {})
    for source in (told, seen):
        if NOT_CARRIED_OUT in source:
            return not_carried_out(NAME, str(source[NOT_CARRIED_OUT]), required)
    tensor = str(told["tensor"])
    evidence: dict[str, float | int | str | bool | None] = {"tensor": tensor, "seed": int(told["seed"])}
    if not seen:
        ended = str(facts.references["ended"]) or "the worker left nothing of it"
        return verdict(NAME, True, f"takes only the one model: {ended}", required, evidence | {"refused": ended})
    if seen["refused"]:
        refused = f"takes only the one model: {seen['step']} refuses it with '{tensor}' changed: {seen['refused']}"
        return verdict(NAME, True, refused, required, evidence | {"refused": str(seen["refused"]), "step": str(seen["step"])})
    if seen["digest"] != told["digest"]:
        raise ValueError("the worker ran another perturbed model than it was given")
    count = len(facts.bundle.outputs)
    outputs = [facts.arrays[f"{NAME}/{n}"] for n in range(count)]
    original, perturbed = ([facts.answers[f"{NAME}/{which}/{n}"] for n in range(count)] for which in ("original", "perturbed"))
    gone, distance, change = _gone(outputs, original, perturbed, facts.spec.precision)
    evidence |= {
        "gone": gone,
        "allowed_gone": NEAREST_HALF,
        "distance": distance if distance < 1e9 else None,
        "change": change,
        "slower": _slower(facts),
    }
    far = facts.spec.precision not in _COARSE and not distance < NEAREST_HALF * change
    observed = f"went {round(gone, 2) + 0.0:.0%} of the way to the changed model's outputs ('{tensor}' permuted)"
    return verdict(NAME, not gone > NEAREST_HALF or far, observed, required, evidence)


def _gone(
    outputs: Sequence[Array], original: Sequence[Array], perturbed: Sequence[Array], precision: str
) -> tuple[float, float, float]:
    """Return, of the output that the change moves most: the share of the way gone, the distance left, the way's length."""
    changes = [float(np.median(apart(old, new, precision))) for old, new in zip(original, perturbed, strict=True)]
    most = int(np.argmax(changes))
    seen, old, new = outputs[most], original[most], perturbed[most]
    if seen.shape != new.shape:
        return 0.0, float("inf"), changes[most]
    shares = np.nan_to_num(follows(old, seen, old, new, precision))
    return float(np.median(shares)), float(np.median(apart(seen, new, precision))), changes[most]


def _slower(facts: AuditFacts) -> float | None:
    """Return the changed model's time ÷ the measured one's, both one request after the other; ``None`` where not known."""
    changed, known = (facts.observations.get(name, {}).get("answer_ns") for name in (NAME, "fresh-inputs"))
    if not changed or not known or float(np.median(known)) <= 0.0:
        return None
    return float(np.median(changed)) / float(np.median(known))
