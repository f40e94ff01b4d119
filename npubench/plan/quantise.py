"""Make the int8 variant of a model: static quantisation with ONNX Runtime, as QDQ. Judges no accuracy.

The outcome holds ``QuantizeLinear`` and ``DequantizeLinear`` pairs around each quantised operator, the form that vendor
compilers read.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from npubench.errors import ModelError
from npubench.plan.workload import Array, Int8

_TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


class _OneByOne(CalibrationDataReader):  # type: ignore[misc]
    """Hands calibration samples to ONNX Runtime, each as a batch of one."""

    def __init__(self, calibration: Mapping[str, Array]) -> None:
        count = min(len(values) for values in calibration.values())
        self._rows = iter({name: values[n : n + 1] for name, values in calibration.items()} for n in range(count))

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
    if not calibration or not all(len(values) for values in calibration.values()):
        raise ModelError("int8 needs calibration samples, and there are none")
    missing = set(options.exclude_nodes) - {node.name for node in model.graph.node}
    if missing:
        raise ModelError(f"int8: exclude_nodes names {', '.join(sorted(missing))}, which the model does not have")
    with tempfile.TemporaryDirectory(prefix="npubench-int8-") as scratch, _quiet():
        plain, prepared, quantised = (Path(scratch) / f"{name}.onnx" for name in ("plain", "prepared", "quantised"))
        onnx.save_model(model, plain)
        try:
            # Symbolic shape inference adds a dependency and nothing here: all shapes but the batch are static.
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantised,
                _OneByOne(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(options.operators) or None,
                per_channel=options.per_channel,
                activation_type=_TYPES[options.activation],
                weight_type=_TYPES[options.weight],
                nodes_to_exclude=list(options.exclude_nodes),
                calibrate_method=_METHODS[options.method],
                extra_options=_extra(options),
            )
        except Exception as error:  # noqa: BLE001  ONNX Runtime raises anything here, and it is the user's model that fails
            raise ModelError(f"int8: ONNX Runtime cannot quantise the model: {str(error).strip() or type(error).__name__}") from error
        return onnx.load_model(quantised)


def _extra(options: Int8) -> dict[str, Any]:
    return {"ActivationSymmetric": options.symmetric}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime's advice on the root logger off the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
