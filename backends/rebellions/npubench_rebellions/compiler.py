"""Compile an ONNX model into an ``.rbln`` file. Needs no NPU: the chip is named."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from npubench.contract import Artefact, Device, Model, Unsupported
from npubench_rebellions import artefact as rbln
from npubench_rebellions.presence import sdk_version


def compile_onnx(rebel: Any, model: Model, device: Device, batch: int, num_devices: int, work: Path) -> Artefact:
    """Compile ``model`` for the chip of ``device`` at a fixed batch into ``work``.

    Raises:
        Unsupported: The compiler refuses the model, or the model cannot be given fixed shapes.
        RuntimeError: There is no package onnx, or the compiler made it for another chip.
    """
    if model.precision == "vendor":
        raise Unsupported(
            "rebel-compiler takes no calibration samples, so it cannot quantise; hand in a ready file with "
            f'artefacts = {{ "{model.workload}/vendor" = "FILE.rbln" }} in the target'
        )
    shapes = {spec.name: _fixed(spec.name, spec.shape, batch) for spec in model.inputs}
    try:
        onnx = importlib.import_module("onnx")
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "rebel.compile_from_onnx takes a model of the package onnx, which this interpreter lacks; "
            "pip install 'npubench-rebellions[compile]' there, or hand in a ready .rbln file under the target's artefacts"
        ) from error
    graph = onnx.load(str(model.path))
    try:
        compiled = rebel.compile_from_onnx(graph, shape=shapes, **_chip(rebel.compile_from_onnx, device.kind, num_devices))
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise Unsupported(f"rebel-compiler {sdk_version(rebel)}: {type(error).__name__}: {error}") from error
    path = work / "model.rbln"
    compiled.save(str(path))
    found = rbln.describe(rebel, path)
    if found.npu and found.npu != device.kind:
        raise RuntimeError(
            f"rebel-compiler made an artefact for {found.npu} when asked for {device.kind}; this release takes no npu, so "
            "compile on a host with that chip, or set RBLN_FORCE_NPU_NAME in the target's env"
        )
    return Artefact(
        path=path,
        format="rbln",
        compiler=f"rebel-compiler {sdk_version(rebel)}",
        notes={"npu": found.npu or device.kind, "batch": str(batch)},
    )


def _fixed(name: str, shape: tuple[int | None, ...], batch: int) -> tuple[int, ...]:
    """Return a shape with the batch put in; the compiler takes static shapes only."""
    free = [axis for axis, length in enumerate(shape) if length is None and axis]
    if free:
        raise Unsupported(f"rebel-compiler takes static shapes only, and input '{name}' has a free axis {free[0]}")
    return (shape[0] if shape[0] is not None else batch, *(int(length or 0) for length in shape[1:]))


def _chip(function: Callable[..., Any], kind: str, num_devices: int) -> dict[str, Any]:
    """Return the arguments that name the chip, by the names this release has for them."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    anything = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    arguments: dict[str, Any] = {"npu": kind} if anything or "npu" in parameters else {}
    if num_devices > 1:
        older = "tensor_parallel_size" in parameters and "num_devices" not in parameters
        arguments["tensor_parallel_size" if older else "num_devices"] = num_devices
    return arguments
