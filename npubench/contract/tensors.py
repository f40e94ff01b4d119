"""Describe the tensors an executor takes and gives. Holds no tensor data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: What a layout string may say; "" means the tensor has no image layout.
LAYOUTS = ("", "NCHW", "NHWC", "NC", "NLC", "NCL")


@dataclass(frozen=True, slots=True)
class Quantisation:
    """Affine quantisation of a tensor: ``real = (stored - zero_point) * scale``.

    ``scale`` and ``zero_point`` have one entry (per tensor) or one per index of ``axis``
    (per channel), as in the ONNX operator ``QuantizeLinear``.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype and shape of one input or output, batch axis included.

    Args:
        name: The tensor's name. A runtime without names (``.mxq``, some ``.rbln``) gives ``""``;
            the harness then binds by position.
        dtype: A numpy dtype name, such as ``"float32"`` or ``"uint8"``.
        shape: One entry an axis; ``None`` where any length goes. Axis 0 is the batch.
        layout: One of :data:`LAYOUTS`. Where it differs from the workload's, the harness
            transposes samples before the measured window, and says so in the record.
        quantisation: Set where the executor takes or gives quantised values of a float
            tensor. The harness quantises inputs before the window, and says so.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    layout: str = ""
    quantisation: Quantisation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; :func:`tensor_spec` reads them back."""
        quantisation = self.quantisation
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "layout": self.layout,
            "quantisation": None
            if quantisation is None
            else {
                "scale": list(quantisation.scale),
                "zero_point": list(quantisation.zero_point),
                "axis": quantisation.axis,
            },
        }


def tensor_spec(data: Mapping[str, Any]) -> TensorSpec:
    """Read a :class:`TensorSpec` from what :meth:`TensorSpec.to_dict` wrote."""
    quantisation = data.get("quantisation")
    return TensorSpec(
        name=str(data["name"]),
        dtype=str(data["dtype"]),
        shape=tuple(None if n is None else int(n) for n in data["shape"]),
        layout=str(data.get("layout", "")),
        quantisation=None
        if quantisation is None
        else Quantisation(
            scale=tuple(float(s) for s in quantisation["scale"]),
            zero_point=tuple(int(z) for z in quantisation["zero_point"]),
            axis=quantisation.get("axis"),
        ),
    )
