"""Audits that change inputs and weights: who computes the network passes, who answers from elsewhere fails."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npubench.analyze.audits.declared_precision import judge_declared_precision
from npubench.analyze.audits.distance import apart, follows, is_distribution, worst_median
from npubench.analyze.audits.facts import AuditFacts
from npubench.analyze.audits.fresh_inputs import judge_fresh_inputs
from npubench.analyze.audits.perturbed_weights import judge_perturbed_weights
from npubench.analyze.audits.verdict import Audit
from npubench_reports.messages import load
from npubench_reports.reasons import say

KO, EN = load("ko"), load("en")
COUNT, WIDTH = 12, 40
RANDOM = np.random.default_rng(5)
KNOWN, FRESH, CHANGED = (RANDOM.standard_normal((COUNT, WIDTH)).astype(np.float32) for _ in range(3))


def noisy(values: Any, noise: float, seed: int = 1) -> Any:
    return values + noise * np.random.default_rng(seed).standard_normal(values.shape).astype(values.dtype)


def facts(
    known: Any = None,
    fresh: Any = None,
    changed: Any = None,
    *,
    precision: str = "fp32",
    slower: float = 1.0,
    perturbed: Mapping[str, Any] = MappingProxyType({}),
    references: Mapping[str, Any] = MappingProxyType({}),
    note: str = "",
) -> AuditFacts:
    """Return a run whose device answers as stated; as the reference does where nothing is stated."""
    answered = np.concatenate([KNOWN if known is None else known, FRESH if fresh is None else fresh])
    jitter = np.exp(np.random.default_rng(2).normal(0.0, 0.01, (6, 2)))
    bundle: Any = SimpleNamespace(outputs=[SimpleNamespace(name="y")], keep=["all"])
    spec: Any = SimpleNamespace(precision=precision)
    seen = {"digest": "d", "refused": "", "step": "close", "answer_ns": [1100, 1100], **perturbed}
    return AuditFacts(
        spec=spec,
        bundle=bundle,
        trace=None,  # type: ignore[arg-type]
        metrics={},
        observed={"artefact": {"notes": {"precision": note}}},
        observations={
            "fresh-inputs": {
                "digest": "f",
                "answer_ns": [1000, 1000],
                "pairs": (np.array([slower, 1.0]) * 1e6 * jitter).tolist(),
            },
            "perturbed-weights": seen,
        },
        arrays={"fresh-inputs/0": answered, "perturbed-weights/0": CHANGED if changed is None else changed},
        accuracy=[],
        canary=None,  # type: ignore[arg-type]
        references={
            "perturbed": {"tensor": "conv.weight", "seed": 7, "digest": "d"},
            "fresh": {"digest": "f", "bases": list(range(COUNT)), "rounded": {"tf32": 4e-4, "bf16": 3e-3}},
            "ended": "",
            **references,
        },
        answers={
            "fresh-inputs/0": np.concatenate([KNOWN, FRESH]),
            "perturbed-weights/original/0": KNOWN,
            "perturbed-weights/perturbed/0": CHANGED,
        },
    )


def reads(audit: Audit) -> Audit:
    """Return an audit whose words are known in both languages, and whose evidence a record can hold."""
    for text in (audit.observed, audit.required):
        assert not any(say(text, messages).foreign for messages in (KO, EN)), text
    assert all(value is None or isinstance(value, bool | int | float | str) for value in audit.evidence.values())
    assert all(np.isfinite(value) for value in audit.evidence.values() if isinstance(value, float))
    return audit


JUDGES = (judge_fresh_inputs, judge_perturbed_weights, judge_declared_precision)


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.__name__)
@pytest.mark.parametrize("precision, noise", [("fp32", 1e-6), ("fp16", 1e-3)])
def test_an_honest_run_passes(judge: Any, precision: str, noise: float) -> None:
    honest = facts(noisy(KNOWN, noise), noisy(FRESH, noise), noisy(CHANGED, noise), precision=precision)
    audit = reads(judge(honest))
    assert audit.status == "passed"
    assert judge.__name__ == "judge_" + audit.name.replace("-", "_")


@pytest.mark.parametrize("judge", JUDGES[:2], ids=lambda judge: judge.__name__)
@pytest.mark.parametrize("precision", ["int8", "vendor"])
def test_coarse_formats_are_not_accused_of_their_noise(judge: Any, precision: str) -> None:
    for seed in range(100):
        coarse = facts(*(noisy(values, 0.25, seed) for values in (KNOWN, FRESH, CHANGED)), precision=precision)
        assert judge(coarse).status == "passed"


DISHONEST: dict[str, tuple[Any, AuditFacts, str]] = {
    "answers for the nearest sample it knows": (judge_fresh_inputs, facts(fresh=KNOWN), "following 0% of its changes"),
    "answers nothing it does not know": (judge_fresh_inputs, facts(fresh=FRESH * 0), "1 from the reference"),
    "answers not-a-number": (judge_fresh_inputs, facts(fresh=FRESH * np.nan), "inf from the reference"),
    "guesses in 8 bits": (judge_fresh_inputs, facts(fresh=noisy(KNOWN, 0.1), precision="int8"), "of its changes"),
    "computes only what it does not know": (judge_fresh_inputs, facts(slower=3.0), "times the time of known samples"),
    "runs a network of its own": (judge_perturbed_weights, facts(changed=KNOWN), "went 0% of the way"),
    "runs its own in 8 bits": (
        judge_perturbed_weights,
        facts(changed=noisy(KNOWN, 0.3), precision="int8"),
        "of the way to the changed model's outputs ('conv.weight' permuted)",
    ),
    "runs something else": (judge_perturbed_weights, facts(changed=CHANGED * 3), "of the way"),
    "has other shapes": (judge_perturbed_weights, facts(changed=CHANGED[:, :3]), "went 0% of the way"),
    "refuses": (
        judge_perturbed_weights,
        facts(perturbed={"refused": "Unsupported: no", "step": "compile"}),
        "takes only the one model: compile refuses it with 'conv.weight' changed: Unsupported: no",
    ),
    "computes in float16": (judge_declared_precision, facts(noisy(KNOWN, 1e-3), noisy(FRESH, 1e-3)), "from the reference"),
    "computes in float16 what it does not know": (
        judge_declared_precision,
        facts(fresh=noisy(FRESH, 1e-3)),
        "in tf32 make 0.0004",
    ),
    "computes in 8 bits": (judge_declared_precision, facts(noisy(KNOWN, 0.05), precision="fp16"), "in bf16 make 0.003"),
}


@pytest.mark.parametrize("case", DISHONEST)
def test_a_dishonest_run_fails(case: str) -> None:
    judge, dishonest, words = DISHONEST[case]
    audit = reads(judge(dishonest))
    assert audit.status == "failed"
    assert words in audit.observed


def test_the_hosts_own_processor_may_be_slower_at_what_is_new_and_twice_as_slow_is_too_much() -> None:
    for slower, status in ((1.5, "passed"), (3.0, "failed")):
        made = facts(slower=slower)
        audit = reads(judge_fresh_inputs(AuditFacts(**{**fields_of(made), "observed": {"device": {"host": True}}})))
        assert (audit.status, "no more than 100% slower" in audit.required) == (status, True)


def test_times_that_noise_hides_are_neither_passed_nor_failed() -> None:
    made = facts()
    pairs = (1e6 * np.exp(np.random.default_rng(3).normal(0.0, 1.0, (10, 2)))).tolist()
    noisy_times = {**made.observations, "fresh-inputs": {**made.observations["fresh-inputs"], "pairs": pairs}}
    audit = reads(judge_fresh_inputs(AuditFacts(**{**fields_of(made), "observations": noisy_times})))
    assert audit.status == "not-carried-out"
    assert "too busy" in audit.observed
    wrong = {**fields_of(facts(fresh=KNOWN)), "observations": noisy_times}
    assert judge_fresh_inputs(AuditFacts(**wrong)).status == "failed"


def test_a_worker_that_dies_with_the_changed_model_takes_only_the_one() -> None:
    reason = "no sample was completed"
    made = facts(references={"ended": reason})
    dead = {name: seen for name, seen in made.observations.items() if name != "perturbed-weights"}
    audit = reads(judge_perturbed_weights(AuditFacts(**{**fields_of(made), "observations": dead})))
    assert (audit.status, audit.observed) == ("failed", f"takes only the one model: {reason}")


def fields_of(made: AuditFacts) -> dict[str, Any]:
    return {name: getattr(made, name) for name in AuditFacts.__dataclass_fields__}


UNTOLD: dict[str, tuple[Any, AuditFacts, str]] = {
    "a ready artefact": (
        judge_perturbed_weights,
        facts(references={"perturbed": {"not_carried_out": "a ready artefact was handed in, and nothing is compiled here"}}),
        "ready artefact",
    ),
    "nothing handed over": (
        judge_perturbed_weights,
        facts(perturbed={"not_carried_out": "no perturbed model was handed over"}),
        "handed over",
    ),
    "no reference": (
        judge_fresh_inputs,
        facts(references={"fresh": {"not_carried_out": "the CPU reference cannot answer: out of memory"}}),
        "out of memory",
    ),
    "8 bits": (judge_declared_precision, facts(precision="int8"), "no bound is known for int8"),
    "bfloat16": (judge_declared_precision, facts(precision="bf16"), "no bound is known for bf16"),
    "said to be bfloat16": (judge_declared_precision, facts(note="bf16"), "no bound is known for bf16"),
    "weights that lower formats hold": (
        judge_declared_precision,
        facts(references={"fresh": {"digest": "f", "bases": list(range(COUNT)), "rounded": {"tf32": 1e-7}}}),
        "no more than FP32's own rounding",
    ),
}


@pytest.mark.parametrize("case", UNTOLD)
def test_what_cannot_be_told_is_not_carried_out_and_says_why(case: str) -> None:
    judge, poor, words = UNTOLD[case]
    audit = reads(judge(poor))
    assert audit.status == "not-carried-out"
    assert words in audit.observed


def test_a_lower_precision_that_the_artefact_names_is_judged_by_its_own_bound() -> None:
    lowered = facts(noisy(KNOWN, 1e-3), noisy(FRESH, 1e-3), note="f16")
    assert judge_declared_precision(lowered).status == "passed"


def test_other_inputs_than_those_drawn_are_a_damaged_account() -> None:
    with pytest.raises(ValueError, match="not those that the run's seed draws"):
        judge_fresh_inputs(facts(references={"fresh": {"digest": "other", "bases": [], "rounded": {}}}))


def test_another_changed_model_than_the_one_handed_over_is_a_damaged_account() -> None:
    with pytest.raises(ValueError, match="another perturbed model"):
        judge_perturbed_weights(facts(perturbed={"digest": "other"}))


# -- distances -----------------------------------------------------------------------------------------------------------


def softmax(logits: Any) -> Any:
    grown = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def test_a_saturated_softmax_hides_nothing() -> None:
    logits = 6.0 * RANDOM.standard_normal((COUNT, 8))
    logits[:, 0] = logits.max(axis=1) + 9.0
    right, lowered = softmax(logits), softmax(noisy(logits, 0.01))
    plain = np.linalg.norm(lowered - right, axis=1) / np.linalg.norm(right, axis=1)
    assert np.median(plain) < 1e-5
    assert np.median(apart(lowered, right, "fp32")) > 1e-4


def test_distance_is_relative_and_zero_for_the_same() -> None:
    assert np.all(apart(KNOWN, KNOWN, "fp32") == 0.0)
    assert apart(KNOWN * 1.01, KNOWN, "fp32") == pytest.approx(0.01, rel=1e-3)
    zero = np.zeros((2, 3))
    assert list(apart(zero, zero, "fp32")) == [0.0, 0.0]
    assert list(apart(zero + 1.0, zero, "fp32")) == [np.inf, np.inf]
    assert worst_median([KNOWN[:, :2]], [KNOWN], "fp32") == np.inf


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_what_follows_a_change_is_its_projection(share: float) -> None:
    made = KNOWN + share * (FRESH - KNOWN)
    assert follows(KNOWN, made, KNOWN, FRESH, "fp32") == pytest.approx(share, abs=1e-5)


@pytest.mark.parametrize(
    "values, probable", [(softmax(KNOWN), True), (KNOWN, False), (np.ones((3, 1)), False), (np.zeros(4), False)]
)
def test_probabilities_are_told_from_other_outputs(values: Any, probable: bool) -> None:
    assert is_distribution(values) is probable
