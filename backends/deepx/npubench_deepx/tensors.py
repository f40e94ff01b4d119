"""Turn what a ``.dxnn`` file says of its tensors into TensorSpecs, and arrays into what DX-RT takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npubench.contract import Quantisation, Tensors, TensorSpec

Array = np.ndarray[Any, Any]

#: Lengths of an axis that are taken for colour channels.
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor of the file.

    Args:
        spec: As the harness sees it, batch axis first; the batch is 1.
        sdk_shape: The shape DX-RT takes an input in, or gives an output in.
    """

    spec: TensorSpec
    sdk_shape: tuple[int, ...]


def input_slots(
    infos: Sequence[Mapping[str, Any]], batch_axis: str, layout: str, scale: tuple[float, ...], zero: tuple[int, ...]
) -> tuple[Slot, ...]:
    """Describe the inputs.

    Args:
        infos: What ``get_input_tensors_info`` returns: name, shape, dtype.
        batch_axis: ``"drop"`` or ``"keep"`` the axis of length one before an array goes to DX-RT; ``"auto"`` drops it where
            the file names none, and for images of bytes, which the runtime takes without it.
        layout: ``"NHWC"``, ``"NCHW"``, or ``"auto"``: by where the colour channels are.
        scale: What one step of the input stands for in the workload's values, one or one a channel; empty = as they are.
        zero: The step that stands for 0, one or one a channel; empty = 0.
    """
    slots = []
    for info in infos:
        shape, name, dtype = _shape(info), str(info["name"]), _dtype(info)
        whole = shape if shape[0] == 1 and len(shape) > 1 else (1, *shape)
        order = _layout(whole) if layout == "auto" else layout if len(whole) == 4 else ""
        drop = batch_axis == "drop" or (batch_axis == "auto" and (whole != shape or (dtype == "uint8" and order == "NHWC")))
        axis = {"NHWC": 3, "NCHW": 1}.get(order) if len(scale) > 1 else None
        if len(scale) > 1 and (axis is None or whole[axis] != len(scale)):
            raise ValueError(f"option input_scale: {len(scale)} values do not fit the channels of input '{name}' {list(whole)}")
        quantisation = Quantisation(scale, zero or (0,) * len(scale), axis) if scale else None
        slots.append(Slot(TensorSpec(name, dtype, whole, order, quantisation), whole[1:] if drop else whole))
    return tuple(slots)


def output_slots(infos: Sequence[Mapping[str, Any]]) -> tuple[Slot, ...]:
    """Describe the outputs by what ``get_output_tensors_info`` returns: name, shape, dtype."""
    slots = []
    for info in infos:
        shape = _shape(info)
        whole = shape if shape[0] == 1 and len(shape) > 1 else (1, *shape)
        slots.append(Slot(TensorSpec(str(info["name"]), _dtype(info), whole), shape))
    return tuple(slots)


def to_sdk(slots: Sequence[Slot], inputs: Tensors) -> list[Array]:
    """Return ``inputs``, which have been checked, in the file's order and DX-RT's shapes."""
    return [np.ascontiguousarray(inputs[slot.spec.name]).reshape(slot.sdk_shape) for slot in slots]


def from_sdk(slots: Sequence[Slot], said: Any) -> dict[str, Array]:
    """Return what DX-RT gave by name, batch axis first, in arrays of the caller's own: DX-RT's are valid for a moment only.

    Raises:
        RuntimeError: Another number of outputs than the file names.
    """
    arrays = said if isinstance(said, list | tuple) else [said]
    if len(arrays) != len(slots):
        raise RuntimeError(f"DX-RT returned {len(arrays)} outputs, and the file names {len(slots)}")
    found = {}
    for slot, given in zip(slots, arrays, strict=True):
        array = np.array(given)
        # An output of the declared size in another shape is that output: runtimes differ in axes of length one.
        fits = array.size == int(np.prod(slot.sdk_shape)) and _long(array.shape) == _long(slot.sdk_shape)
        found[slot.spec.name] = array.reshape([int(n or 1) for n in slot.spec.shape]) if fits else array
    return found


def _shape(info: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tuple(int(length) for length in info["shape"])
    if not shape or min(shape) < 1:
        raise ValueError(f"tensor '{info['name']}' has shape {list(shape)}: a length that is only known at run time")
    return shape


def _dtype(info: Mapping[str, Any]) -> str:
    try:
        if info["dtype"] is not None:
            return str(np.dtype(info["dtype"]).name)
    except TypeError:
        pass  # boxes and poses that the NPU has already decoded
    raise ValueError(f"tensor '{info['name']}' is of type {info['dtype']}, which is no array of numbers")


def _layout(shape: tuple[int, ...]) -> str:
    if len(shape) != 4:
        return ""
    return "NHWC" if shape[3] in _CHANNELS else "NCHW" if shape[1] in _CHANNELS else ""


def _long(shape: tuple[int, ...]) -> list[int]:
    return [length for length in shape if length != 1]
