"""What only the supervisor can do for an audit: perturb the model beforehand, and compute the answers that would be right.

The perturbed model is handed over once the measured window is closed, and the right answers are computed once the worker is
dead: a plug-in finds neither while it can use them. Both stay in the run's folder, so that its record can be made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from npubench.analyze.audits.distance import apart, worst_median
from npubench.contract.bundle import Bundle, file_digest
from npubench.contract.runspec import Phase, RunSpec
from npubench.errors import ModelError
from npubench.measure.audits.fresh_draw import draw_bases, draw_fresh, inputs_digest, seed_of_run, whole_samples
from npubench.measure.audits.perturbed_weights import CHALLENGE, MODEL
from npubench.measure.runner import Outcome

if TYPE_CHECKING:
    import onnx

Array = np.ndarray[Any, Any]

#: What is kept of it: facts, and the reference's outputs.
FACTS, ANSWERS = "audit_reference.json", "audit_reference.npz"

#: A larger model is not perturbed: it would be held in memory twice, and protobuf ends at 2 GiB.
LARGEST_BYTES = 512 << 20
#: How many tensors are tried for one that changes the outputs much.
_TRIES = 6
#: A change of outputs (see ``distance.apart``) that is enough, and the least that is of use: the device's own noise in 8 bits
#: reaches 0.25 (ocr-line on OpenVINO's and IREE's int8), in FP32 it stays below 1e-4.
_ENOUGH = {"fp32": 0.5, "fp16": 0.5, "bf16": 0.7}
_ENOUGH_COARSE = 1.0
_LEAST = 0.1

#: What is rounded, for the audit of the declared precision: bits of mantissa by the format's name.
_ROUNDED = {"tf32": 10, "bf16": 7}


@dataclass(slots=True)
class Challenge:
    """A perturbed model and what it should answer, until they may be shown.

    Args:
        bundle: The workload.
        model: The perturbed model, out of the plug-in's sight; ``None`` where there is none.
        facts: Digest, tensor, seed and samples of it; or why there is none.
        answers: What the reference gives for the samples: ``perturbed/<n>`` and ``original/<n>`` an output.
    """

    bundle: Bundle
    model: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Array] = field(default_factory=dict)

    def hand_over(self, folder: Path, event: Mapping[str, Any]) -> None:
        """Put the perturbed model into the run's folder once the measured executor is being closed."""
        if event.get("event") != "phase" or event.get("phase") != Phase.CLOSE.value:
            return
        if self.model is not None:
            shutil.move(self.model, folder / MODEL)
        told = folder / f".{CHALLENGE}"
        told.write_text(json.dumps(self.facts), encoding="utf-8")
        os.replace(told, folder / CHALLENGE)  # noqa: PTH105 - whole or not there

    def discard(self, folder: Path) -> None:
        """Remove the model, wherever it is by now, and what was compiled of it."""
        for path in (self.model, folder / MODEL, folder / CHALLENGE):
            with contextlib.suppress(OSError):
                if path is not None:
                    path.unlink(missing_ok=True)
        shutil.rmtree(folder / MODEL.removesuffix(".onnx"), ignore_errors=True)

    def conclude(self, spec: RunSpec, folder: Path, outcome: Outcome) -> None:
        """Write down what would have been right; after the worker is dead.

        Raises:
            OSError: It cannot be written.
        """
        facts: dict[str, Any] = {"perturbed": self.facts, "ended": ""}
        answers = {f"perturbed-weights/{name}": values for name, values in self.answers.items()}
        if outcome.kind != "finished":
            facts["ended"] = outcome.reason
        if outcome.kind == "harness":
            # What the harness itself did wrong accuses nobody.
            facts["perturbed"] = {"not_carried_out": outcome.reason}
        if outcome.kind == "finished" or outcome.phase == Phase.PERTURBED.value:
            try:
                facts["fresh"] = _answer_fresh(spec, self.bundle, folder, answers)
            except (ModelError, OSError, ValueError, MemoryError, ImportError) as error:
                facts["fresh"] = {"not_carried_out": f"the CPU reference cannot answer: {_words(error)}"}
        (folder / FACTS).write_text(json.dumps(facts, indent=1, allow_nan=False), encoding="utf-8")
        np.savez_compressed(folder / ANSWERS, **answers)  # type: ignore[arg-type]  # allow_pickle is not among them


def make_challenge(spec: RunSpec, bundle: Bundle) -> Challenge:
    """Perturb a run's model, before its worker starts; where that cannot be, the challenge says why."""
    challenge = Challenge(bundle)
    source = bundle.model(spec.precision).path
    if spec.target.artefact:
        challenge.facts = {"not_carried_out": "a ready artefact was handed in, and nothing is compiled here"}
        return challenge
    try:
        size = source.stat().st_size
        if size > LARGEST_BYTES:
            challenge.facts = {"not_carried_out": f"the model has {size >> 20} MiB, more than {LARGEST_BYTES >> 20}"}
            return challenge
        _perturb(spec, bundle, source, challenge)
    except (ModelError, OSError, ValueError, MemoryError, ImportError) as error:
        challenge.facts = {"not_carried_out": f"the model cannot be perturbed: {_words(error)}"}
    return challenge


def _perturb(spec: RunSpec, bundle: Bundle, source: Path, challenge: Challenge) -> None:
    """Choose a weight tensor whose permutation changes the outputs, and write the model out of the worker's sight."""
    import onnx

    from npubench.plan.perturb import permuted, weight_tensors

    model = onnx.load(source)
    seed = secrets.randbits(32)
    bases = draw_bases(whole_samples(bundle), bundle.samples, seed)
    inputs = {s.name: np.array(values[bases]) for s, values in zip(bundle.inputs, bundle.load_inputs(), strict=True)}
    original = _reference(model, bundle, inputs)
    best: tuple[float, str, list[Array]] | None = None
    for tensor in weight_tensors(model, seed)[:_TRIES]:
        answers = _reference(permuted(model, tensor, seed), bundle, inputs)
        if not all(np.isfinite(values).all() for values in answers):
            continue
        change = _change(answers, original, spec.precision)
        if best is None or change > best[0]:
            best = change, tensor, answers
        if change >= _ENOUGH.get(spec.precision, _ENOUGH_COARSE):
            break
    if best is None or best[0] < _LEAST:
        challenge.facts = {"not_carried_out": "no weight tensor was found whose permutation changes the outputs enough"}
        return
    change, tensor, answers = best
    cache = Path(spec.cache)
    cache.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix="perturbed-", suffix=".onnx", dir=cache)
    os.close(descriptor)
    challenge.model = Path(name)
    onnx.save_model(permuted(model, tensor, seed), name)
    challenge.facts = {
        "seed": seed,
        "tensor": tensor,
        "samples": bases,
        "digest": file_digest(challenge.model),
        "change": change,
    }
    challenge.answers = {f"perturbed/{n}": values for n, values in enumerate(answers)}
    challenge.answers |= {f"original/{n}": values for n, values in enumerate(original)}


def _answer_fresh(spec: RunSpec, bundle: Bundle, folder: Path, answers: dict[str, Array]) -> dict[str, Any]:
    """Draw the run's fresh inputs again and answer them, and the samples they begin from, by the CPU reference.

    The answers are the quantised model's at ``int8``, else the FP32 model's. Beside them stands how far the outputs move
    where the model's weights and inputs are rounded to the formats of lower precision.
    """
    import onnx

    from npubench.plan.perturb import rounded, rounded_values

    seed = seed_of_run(folder)
    samples = bundle.load_inputs()
    bases = draw_bases(whole_samples(bundle), bundle.samples, seed)
    fresh = draw_fresh(samples, bases, seed)
    both = {
        spec_.name: np.concatenate([np.array(own[bases]), drawn])
        for spec_, own, drawn in zip(bundle.inputs, samples, fresh, strict=True)
    }
    precise = spec.precision in _ENOUGH
    model = onnx.load(bundle.model(spec.precision if spec.precision == "int8" else "fp32").path)
    right = _reference(model, bundle, both)
    answers |= {f"fresh-inputs/{n}": values for n, values in enumerate(right)}
    moved = {}
    if precise:
        for name, bits in _ROUNDED.items():
            coarse = {key: rounded_values(values, bits) for key, values in both.items()}
            seen = _reference(rounded(model, bits), bundle, coarse)
            halves = slice(0, len(bases)), slice(len(bases), None)
            moved[name] = max(worst_median([v[h] for v in seen], [v[h] for v in right], spec.precision) for h in halves)
    return {"seed": seed, "bases": bases, "digest": inputs_digest(fresh), "rounded": moved}


def _reference(model: onnx.ModelProto, bundle: Bundle, inputs: Mapping[str, Array]) -> list[Array]:
    """Return the CPU reference's whole outputs in the bundle's order."""
    from npubench.plan.reference import run_reference

    outputs = run_reference(model, inputs, {}).outputs
    return [outputs[spec.name] for spec in bundle.outputs]


def _change(seen: Sequence[Array], wanted: Sequence[Array], precision: str) -> float:
    """Return how far outputs moved: the largest over outputs of the median over samples."""
    return max(float(np.median(apart(new, old, precision))) for new, old in zip(seen, wanted, strict=True))


def _words(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
