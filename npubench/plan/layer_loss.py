"""Find at which tensors int8 loses most: the quantised model beside the FP32 one on ONNX Runtime's CPU, tensor by tensor.

It is the reference's quantisation that is looked at, and not a chip's: the QDQ model that the workload's bundle holds. Both
models are run unoptimised, so that every tensor is there. Per tensor, with x of FP32 and y of int8 over all samples:

    noise = Σ(x − y)² ÷ Σx²,   SQNR = −10 · log₁₀(noise)  dB

What is lost at a tensor itself is its noise less the largest of what its operator reads. A tensor that only the FP32 model has,
as where two operators were made one, passes on what its own operator reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from npubench.contract.bundle import Bundle
from npubench.errors import ModelError
from npubench.plan.reference import fixed_batch
from npubench.plan.workload import Array

#: The version of the file that losses are kept in.
VERSION = 1
#: Samples that are looked at unless said otherwise.
SAMPLES = 8
#: What stands for a tensor without any noise: more than float32 has.
NOISELESS_DB = 150.0


@dataclass(frozen=True, slots=True)
class Loss:
    """A tensor, the operator that makes it, its SQNR in dB, and the noise that was not there before, as a part of the signal."""

    tensor: str
    operator: str
    sqnr_db: float
    added: float


def layer_loss(bundle: Bundle, samples: int = SAMPLES) -> tuple[Loss, ...]:
    """Return the loss at every float tensor that both models have by one name, in the order they are made.

    Args:
        bundle: With the variants ``fp32`` and ``int8``.
        samples: How many samples to look at, from the first on.

    Raises:
        ModelError: The bundle has no int8 variant, a model cannot be run, or the two have no tensor in common.
    """
    if "int8" not in bundle.variants:
        raise ModelError(f"workload '{bundle.workload}' has no int8 variant")
    wide, narrow = (onnx.load_model(bundle.root / bundle.variants[name].model) for name in ("fp32", "int8"))
    names = _common(wide, narrow)
    if not names:
        raise ModelError(f"workload '{bundle.workload}': the int8 model has no tensor of the FP32 model's names")
    batch = fixed_batch(wide) or 1
    inputs = {spec.name: values for spec, values in zip(bundle.inputs, bundle.load_inputs(), strict=True)}
    signal, noise = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    sessions = [_session(model, names) for model in (wide, narrow)]
    count = max(batch, min(samples, bundle.samples) // batch * batch)
    for first in range(0, count, batch):
        feed = {name: np.ascontiguousarray(values[first : first + batch]) for name, values in inputs.items()}
        for name, x, y in zip(names, *(_run(session, names, feed) for session in sessions), strict=True):
            if x.shape != y.shape:
                continue
            signal[name] += float(np.square(x, dtype=np.float64).sum())
            noise[name] += float(np.square(x.astype(np.float64) - y).sum())
    return tuple(_losses(wide, {name: noise[name] / signal[name] for name in names if signal[name] > 0}))


def _session(model: onnx.ModelProto, names: Sequence[str]) -> onnxruntime.InferenceSession:
    """Return a session that gives ``names`` as outputs."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    del told.graph.output[:]
    told.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(told.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises errors of its own for a model it cannot take
        raise ModelError(f"ONNX Runtime cannot give the tensors of the model: {str(error).splitlines()[0]}") from error


def _run(session: onnxruntime.InferenceSession, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
    try:
        return list(session.run(list(names), dict(feed)))
    except Exception as error:  # as above
        raise ModelError(f"ONNX Runtime cannot run the model: {str(error).splitlines()[0]}") from error


def _common(wide: onnx.ModelProto, narrow: onnx.ModelProto) -> tuple[str, ...]:
    """Return the float tensors that operators of both models make, by name, in the order of the quantised model."""
    floats = _floats(wide)
    kept = {name for node in wide.graph.node for name in node.output}
    return tuple(
        name
        for node in narrow.graph.node
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear", "Constant")
        for name in node.output
        if name and name in kept and name in floats
    )


def _floats(model: onnx.ModelProto) -> set[str]:
    """Return the names of tensors that are known to be float32."""
    known = onnx.shape_inference.infer_shapes(model).graph
    values = (*known.value_info, *known.output)
    return {value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}


def _losses(wide: onnx.ModelProto, noise: Mapping[str, float]) -> list[Loss]:
    """Return the losses in the order of the FP32 model's operators; inputs and weights carry no noise.

    Args:
        wide: The FP32 model; its nodes stand in the order they run, as ONNX demands.
        noise: Tensor → noise as a part of the signal.
    """
    found = []
    passed: dict[str, float] = {}
    for node in wide.graph.node:
        before = max((passed.get(each, 0.0) for each in node.input if each), default=0.0)
        for name in node.output:
            here = noise.get(name)
            passed[name] = before if here is None else here
            if here is not None:
                found.append(Loss(name, node.op_type, round(_level(here), 3), round(max(0.0, here - before), 9)))
    return found


def _level(noise: float) -> float:
    return min(NOISELESS_DB, -10 * float(np.log10(noise))) if noise > 0 else NOISELESS_DB


def write_losses(path: Path, bundle: Bundle, losses: Sequence[Loss], samples: int) -> None:
    """Write losses as JSON, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    data = {
        "schema_version": VERSION,
        "workload": bundle.workload,
        "bundle_digest": bundle.digest,
        "samples": samples,
        "runtime": f"ONNX Runtime {onnxruntime.__version__}",
        "losses": [asdict(loss) for loss in losses],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
