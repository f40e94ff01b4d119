"""The network is computed in the precision that is declared: outputs are no farther from the reference than that explains.

How far a lower precision moves a model's outputs depends on the model, so the bound is the model's own: the supervisor rounds
its weights and inputs, and looks how far the reference's outputs move (``distance.worst_median``).

Measured on the seven workloads, twelve samples and twelve fresh inputs each, as the median distance to the FP32 reference,
for OpenVINO and IREE on a CPU (ONNX Runtime is the reference itself, and 0); "in 10 bits" has weights and inputs rounded:

==================== ================== ========== ================== ========= ============
workload             honest FP32        in 10 bits float16 throughout in 7 bits bfloat16 (1)
==================== ================== ========== ================== ========= ============
doc-orientation      3.4e-7 … 7.3e-7    1.5e-4     5.8e-4             1.6e-3    3.6e-3
face-detection       3.9e-7 … 6.2e-7    5.4e-4     3.6e-4             4.0e-3    3.9e-3
file-type            3.3e-5 … 3.6e-5    6.8e-4     1.5e-3             5.9e-3    2.2e-1
image-classification 1.3e-6             4.1e-3     5.2e-3             2.9e-2    4.1e-2
sst-forecast         8.7e-8 … 1.0e-7    3.3e-4     3.3e-4             2.5e-3    1.6e-3
resnet50             2.6e-6             2.4e-3     2.1e-3             2.2e-2    2.6e-2
ocr-line             2.4e-6 … 4.4e-5    9.2e-3     8.5e-3             7.3e-2    8.2e-2
==================== ================== ========== ================== ========= ============

(1) OpenVINO, asked for bf16. An FP32 run is held to a quarter of what 10 bits cost (float16 and TF32 have as many): 4.7 times
what honest runs show at the least, and 0.4 times what float16 shows at the most. A float16 run is held to 0.6 of what 7 bits
cost: honest ones reach 0.37 at most, bfloat16 lies at 0.64 and above. A bfloat16 run is not judged: in file-type it lies
farther off than int8, so no bound parts them.
"""

from __future__ import annotations

from npubench.analyze.audits.distance import worst_median
from npubench.analyze.audits.facts import AuditFacts, not_carried_out, verdict
from npubench.analyze.audits.reference import fresh_outputs
from npubench.analyze.audits.verdict import Audit

NAME = "declared-precision"

#: Declared precision → the format whose rounding it is held against, and how many times that it may be off.
BOUND = {"fp32": ("tf32", 0.25), "fp16": ("bf16", 0.6)}
#: Below this a bound is within FP32's own rounding (honest runs reach 3.6e-5), and would accuse at random.
LEAST_BOUND = 5e-6

#: How runtimes call a precision, in an artefact's note ``precision``, where it is not ours.
_WORDS = {"f32": "fp32", "float32": "fp32", "f16": "fp16", "float16": "fp16", "bfloat16": "bf16"}


def judge_declared_precision(facts: AuditFacts) -> Audit:
    """Fail where outputs lie farther from the reference than the declared precision explains.

    A precision that the plug-in itself names for its artefact (note ``precision``) counts as declared: it stands in the record.
    8-bit formats and those of the vendor's own making are for the accuracy gate to judge.
    """
    declared = said_precision(facts)
    required = f"outputs as near to the reference as {declared} computes them"
    if declared not in BOUND:
        return not_carried_out(NAME, f"no bound is known for {declared}; the accuracy gate decides", required)
    outputs, why = fresh_outputs(facts)
    if why:
        return not_carried_out(NAME, why, required)
    lower, times = BOUND[declared]
    # Of a run that says fp32 and computes lower, the reference was rounded in the precision of the run.
    rounded = outputs.rounded.get(lower)
    if rounded is None:
        return not_carried_out(NAME, f"the reference was not rounded to {lower}", required)
    bound = rounded * times
    if bound < LEAST_BOUND:
        moved = f"rounding weights and inputs to {lower} moves this model's outputs by {rounded:.2g}"
        return not_carried_out(NAME, f"{moved}, no more than FP32's own rounding", required)
    distance = max(
        worst_median(outputs.own, outputs.own_reference, facts.spec.precision),
        worst_median(outputs.fresh, outputs.fresh_reference, facts.spec.precision),
    )
    evidence = {
        "declared": declared,
        "distance": distance if distance < 1e9 else None,
        "allowed": bound,
        "rounded_to": lower,
        "rounded_distance": rounded,
    }
    observed = f"{distance:.3g} from the reference; weights and inputs in {lower} make {rounded:.3g}"
    required = f"at most {bound:.3g} from the reference, as {declared} computes it"
    return verdict(NAME, not distance <= bound, observed, required, evidence)


def said_precision(facts: AuditFacts) -> str:
    """Return the precision a run says it computes in: its artefact's own word where that is one we know, else the variant's."""
    if facts.spec.precision not in ("fp32", "fp16", "bf16"):
        return facts.spec.precision
    said = str((facts.observed.get("artefact") or {}).get("notes", {}).get("precision", "")).lower()
    said = _WORDS.get(said, said)
    return said if said in ("fp32", "fp16", "bf16") else facts.spec.precision
