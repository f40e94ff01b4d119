"""What the reference answers to the inputs of the audits, beside what the device answered. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from npubench.analyze.audits.facts import Array, AuditFacts, observation
from npubench.measure.audits.session import NOT_CARRIED_OUT

FRESH = "fresh-inputs"


@dataclass(frozen=True, slots=True)
class FreshOutputs:
    """Whole outputs, one array an output, ``[samples, …]``.

    Args:
        own, fresh: The device's, of samples of the bundle and of the fresh inputs that begin from them.
        own_reference, fresh_reference: The CPU reference's.
        rounded: How far the reference's outputs move where its weights are rounded, by the format's name.
    """

    own: Sequence[Array] = ()
    fresh: Sequence[Array] = ()
    own_reference: Sequence[Array] = ()
    fresh_reference: Sequence[Array] = ()
    rounded: Mapping[str, float] = field(default_factory=dict)


def fresh_outputs(facts: AuditFacts) -> tuple[FreshOutputs, str]:
    """Return what device and reference made of the fresh inputs, and why that is not known; one of the two is empty.

    Raises:
        KeyError, ValueError: What worker or supervisor left is damaged, or the worker drew other inputs than it had to.
    """
    seen, why = observation(facts, FRESH)
    if why:
        return FreshOutputs(), why
    right = facts.references["fresh"]
    if NOT_CARRIED_OUT in right:
        return FreshOutputs(), str(right[NOT_CARRIED_OUT])
    if seen["digest"] != right["digest"]:
        raise ValueError("the fresh inputs are not those that the run's seed draws")
    count = len(right["bases"])
    names = [f"{FRESH}/{n}" for n in range(len(facts.bundle.outputs))]
    device = [facts.arrays[name] for name in names]
    reference = [facts.answers[name] for name in names]
    if any(len(values) != 2 * count for values in (*device, *reference)):
        raise ValueError("the fresh inputs' outputs are not one each")
    rounded = {str(name): float(moved) for name, moved in right["rounded"].items()}
    parts = slice(0, count), slice(count, None)
    halves = [[values[part] for values in whole] for whole in (device, reference) for part in parts]
    return FreshOutputs(halves[0], halves[1], halves[2], halves[3], rounded), ""
