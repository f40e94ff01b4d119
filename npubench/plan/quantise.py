"""Make the int8 variant of a model: static quantisation with ONNX Runtime, as QDQ. Judges no accuracy.

The outcome holds ``QuantizeLinear`` and ``DequantizeLinear`` pairs around each quantised operator, the form that vendor
compilers read.
"""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import onnx
import onnx.version_converter
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from npubench.errors import ModelError
from npubench.plan.reference import fixed_batch
from npubench.plan.workload import Array, Int8

_TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


#: From this opset on DequantizeLinear has an axis (ONNX operator changelog), which scales per channel need.
_PER_CHANNEL_OPSET = 13


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    """Hands calibration samples to ONNX Runtime, ``batch`` at a time."""

    def __init__(self, calibration: Mapping[str, Array], batch: int) -> None:
        count = min(len(values) for values in calibration.values())
        firsts = range(0, count - count % batch, batch)
        self._rows = iter({name: values[n : n + batch] for name, values in calibration.items()} for n in firsts)

    def get_next(self) -> dict[str, Array] | None:
        """Return the next sample, or ``None`` at the end."""
        return next(self._rows, None)


def quantise(model: onnx.ModelProto, calibration: Mapping[str, Array], options: Int8) -> onnx.ModelProto:
    """Return ``model`` quantised to int8; the same model for the same samples and ONNX Runtime.

    Args:
        model: FP32, with static shapes apart from the batch.
        calibration: Input name → ``[count, *sample shape]``, in the model's dtypes.
        options: From the manifest.

    Raises:
        ModelError: There are no calibration samples, or ONNX Runtime cannot quantise the model.
    """
    batch = fixed_batch(model) or 1
    if not calibration or not all(len(values) >= batch for values in calibration.values()):
        raise ModelError(f"int8 needs at least {batch} calibration samples, and there are fewer")
    missing = set(options.exclude_nodes) - {node.name for node in model.graph.node}
    if missing:
        raise ModelError(f"int8: exclude_nodes names {', '.join(sorted(missing))}, which the model does not have")
    with tempfile.TemporaryDirectory(prefix="npubench-int8-") as scratch, _quiet():
        plain, prepared, quantised = (Path(scratch) / f"{name}.onnx" for name in ("plain", "prepared", "quantised"))
        try:
            onnx.save_model(_with_opset(model, _PER_CHANNEL_OPSET) if options.per_channel else model, plain)
            # Symbolic shape inference adds a dependency and nothing here: all shapes but the batch are static.
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantised,
                _Batches(calibration, batch),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(options.operators) or None,
                per_channel=options.per_channel,
                activation_type=_TYPES[options.activation],
                weight_type=_TYPES[options.weight],
                nodes_to_exclude=list(options.exclude_nodes),
                calibrate_method=_METHODS[options.method],
                extra_options=_extra(options),
            )
        except Exception as error:  # ONNX Runtime and its converters raise errors of any type for a model they cannot take
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"int8: ONNX Runtime cannot quantise the model: {why}") from error
        return onnx.load_model(quantised)


def _with_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return ``model`` in at least that opset of the default domain."""
    present = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), opset)
    return model if present >= opset else onnx.version_converter.convert_version(model, opset)


def _extra(options: Int8) -> dict[str, Any]:
    return {"ActivationSymmetric": options.symmetric}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime's advice off the user's terminal; it goes to the root logger and to standard output."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
