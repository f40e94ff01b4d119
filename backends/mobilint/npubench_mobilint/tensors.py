"""Describe an MXQ's tensors, and order and shape what goes in and comes out. An MXQ has no names: all is by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npubench.contract import Quantisation, Tensors, TensorSpec
from npubench_mobilint.options import MobilintOptions

Array = np.ndarray[Any, Any]

#: The runtime's data type → what ``infer`` takes of numpy. It takes no other dtype: a Float16 or BInt16 model is fed float32,
#: and the runtime converts.
NATIVE = {"Float32": "float32", "Int8": "int8", "Uint8": "uint8"}


@dataclass(frozen=True, slots=True)
class Slot:
    """One input or output: its key in a request, its spec, and what its lengths must be multiples of (``None`` = anything)."""

    key: str
    spec: TensorSpec
    steps: tuple[int | None, ...]


def input_slots(model: Any, options: MobilintOptions) -> tuple[Slot, ...]:
    """Return the inputs of a loaded model: native dtype, the runtime's shape, and the scale of stored values.

    Raises:
        ValueError: A shape with other than three axes beside the batch, or options that do not fit the model.
    """
    shapes = [_three(shape, options.layout) for shape in model.get_model_input_shape()]
    names = _names(options.input_names, len(shapes), "input")
    dtype = "float32" if options.tensors == "float32" else NATIVE.get(data_type(model.get_model_input_data_type()), "float32")
    scales: Sequence[Any] = () if dtype == "float32" else model.get_input_scale()
    slots = []
    for n, (key, name, shape) in enumerate(zip(*names, shapes, strict=True)):
        quantisation = None
        if dtype != "float32":
            quantisation = _chosen(options, shape) or (_told(scales[n], shape, options.layout) if n < len(scales) else None)
        slots.append(_slot(key, name, dtype, shape, options, quantisation))
    return tuple(slots)


def output_slots(model: Any, options: MobilintOptions, trial: Sequence[Array]) -> tuple[Slot, ...]:
    """Return the outputs of a launched model, with the dtypes that a trial of it gave.

    Args:
        model: The launched model.
        options: The target's options.
        trial: What one inference of one sample returned, in order.

    Raises:
        ValueError: The trial does not agree with the shapes that the model tells.
    """
    shapes = [_three(shape, options.layout) for shape in model.get_model_output_shape()]
    if len(trial) != len(shapes):
        raise ValueError(f"the model tells of {len(shapes)} outputs and gives {len(trial)}")
    names = _names(options.output_names, len(shapes), "output")
    scales = model.get_output_scale() if any(array.dtype != np.float32 for array in trial) else ()
    slots = []
    for n, (key, name, shape) in enumerate(zip(*names, shapes, strict=True)):
        array = trial[n]
        if all(length > 0 for length in shape) and _bare(array.shape) != _bare(shape):
            raise ValueError(f"output {n}: the model tells of shape {list(shape)} and gives {list(array.shape)}")
        integer = array.dtype.kind in "iu"
        quantisation = _told(scales[n], shape, options.layout) if integer and n < len(scales) else None
        slots.append(_slot(key, name, array.dtype.name, shape, options, quantisation))
    return tuple(slots)


def in_order(inputs: Tensors, slots: Sequence[Slot]) -> list[Array]:
    """Return the inputs, which have been checked against their specs, in the runtime's order.

    Raises:
        ValueError: A free length is no multiple of the model's step; the text names the tensor.
    """
    arrays = [inputs[slot.key] for slot in slots]
    for slot, array in zip(slots, arrays, strict=True):
        if None in slot.spec.shape[1:] and not _in_steps(array.shape[1:], slot.steps):
            raise ValueError(
                f"input '{slot.key}' has shape {list(array.shape)}; "
                f"beside the batch, the model takes multiples of {[step or 1 for step in slot.steps]}"
            )
    return arrays


def given(outputs: Sequence[Any], slots: Sequence[Slot], batch: int) -> dict[str, Array]:
    """Return what the runtime gave as arrays of the caller's own, batch axis first.

    The copy is on purpose: the runtime hands out views of buffers that it owns.
    """
    return {slot.key: _shaped(np.array(array), slot, batch) for slot, array in zip(slots, outputs, strict=True)}


def blank(slots: Sequence[Slot]) -> list[Array]:
    """Return one sample of zeros for every input, read-only as the harness's are."""
    arrays = [np.zeros((1, *(abs(step or 1) for step in slot.steps)), slot.spec.dtype) for slot in slots]
    for array in arrays:
        array.setflags(write=False)
    return arrays


def data_type(value: Any) -> str:
    """Return the bare name of a data type of the runtime: ``"Uint8"``."""
    return str(getattr(value, "name", value)).rpartition(".")[2]


def is_ambiguous(slots: Sequence[Slot]) -> bool:
    """Return whether the runtime would take CHW arrays of these shapes for HWC, as it does where both fit."""
    return all(slot.spec.shape[1] == slot.spec.shape[3] == slot.spec.shape[2] for slot in slots)


def _shaped(array: Array, slot: Slot, batch: int) -> Array:
    shape = slot.spec.shape[1:]
    if None in shape:
        return array if array.ndim == len(shape) + 1 else array.reshape(batch, *array.shape[-len(shape) :])
    return array.reshape(batch, *(n or 0 for n in shape))


def _in_steps(lengths: Sequence[int], steps: Sequence[int | None]) -> bool:
    return all(n > 0 and n % (step or 1) == 0 for n, step in zip(lengths, steps, strict=True))


def _three(shape: Sequence[int], layout: str) -> tuple[int, int, int]:
    """Return a shape of the runtime as three lengths in the target's layout; a negative one is a step of a free length."""
    lengths = [int(n) for n in shape]
    while len(lengths) > 3 and lengths[0] == 1:
        lengths = lengths[1:]
    if len(lengths) != 3:
        raise ValueError(f"the model tells of a tensor of shape {list(shape)}; height, width and channels are expected")
    h, w, c = lengths
    return (h, w, c) if layout == "hwc" else (c, h, w)


def _slot(
    key: str, name: str, dtype: str, shape: Sequence[int], options: MobilintOptions, quantisation: Quantisation | None
) -> Slot:
    lengths = tuple(n if n > 0 else None for n in shape)
    spec = TensorSpec(
        name=name,
        dtype=dtype,
        shape=(None if options.batch > 1 else 1, *lengths),
        layout="NHWC" if options.layout == "hwc" else "NCHW",
        quantisation=quantisation,
    )
    return Slot(key, spec, tuple(abs(n) for n in shape))


def _names(names: Sequence[str], count: int, what: str) -> tuple[list[str], list[str]]:
    """Return keys and names: the harness's keys by position for tensors without a name."""
    if not names:
        return [f"{what}{n}" for n in range(count)], [""] * count
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"{what}_names: {list(names)}; the model has {count} {what}s, and each needs a name of its own")
    return list(names), list(names)


def _chosen(options: MobilintOptions, shape: Sequence[int]) -> Quantisation | None:
    """Return the quantisation that the target states, if it does."""
    if not options.input_scale:
        return None
    zero = options.input_zero_point or (0,) * len(options.input_scale)
    return _quantisation(options.input_scale, zero, shape, options.layout, "input_scale")


def _told(scale: Any, shape: Sequence[int], layout: str) -> Quantisation:
    """Return the quantisation that the MXQ states: uniform or a value a channel, with or without zero points."""
    if scale.is_uniform:
        zero = (int(scale.zero_point),) if scale.is_asymmetric else (0,)
        return Quantisation((float(scale.scale),), zero)
    values = [float(value) for value in scale.scale_list]
    zeros = [int(value) for value in scale.zero_points] if scale.is_asymmetric else [0] * len(values)
    return _quantisation(values, zeros, shape, layout, "the scale that the MXQ tells")


def _quantisation(scale: Sequence[float], zero: Sequence[int], shape: Sequence[int], layout: str, what: str) -> Quantisation:
    if len(scale) == 1:
        return Quantisation(tuple(scale), tuple(zero))
    channels = shape[2] if layout == "hwc" else shape[0]
    if len(scale) != channels or len(zero) != channels:
        raise ValueError(f"{what} has {len(scale)} values and {len(zero)} zero points for a tensor of {channels} channels")
    return Quantisation(tuple(scale), tuple(zero), 3 if layout == "hwc" else 1)


def _bare(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape without the axes of length one at either end, which vary with the runtime's version."""
    lengths = list(shape)
    while lengths and lengths[0] == 1:
        del lengths[0]
    while lengths and lengths[-1] == 1:
        del lengths[-1]
    return tuple(lengths)
