"""Make an artefact for Warboy: the SDK's quantiser, its compiler command, or a session that compiles and closes.

The runtime has no call that compiles alone (``furiosa.runtime.compiler`` names a log file and nothing else); the command
``furiosa-compiler`` of the vendor's package of that name does.
"""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract import Artefact, Model, Unsupported

COMMAND = "furiosa-compiler"

#: How much of a compiler's last words go into a record, characters.
TAIL = 1500

#: What the runtime's words have where it is the model that is refused, and not the device that fails.
_REFUSALS = (
    "compil",
    "unsupported",
    "not supported",
    "not implemented",
    "not yet implemented",
    "onnximport",
    "onnxformat",
    "opset",
)


def quantised(model: Model, method: str, percentage: float, work: Path) -> Path:
    """Quantise an FP32 model with the workload's calibration samples, one at a time; returns the new ONNX file.

    Raises:
        Unsupported: The quantiser is not installed, there are no samples, or it refuses the model.
    """
    try:
        quantizer = importlib.import_module("furiosa.quantizer")
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise Unsupported(
            f"the precision vendor needs furiosa-quantizer ({error}): pip install 'npubench-furiosa[warboy-quantizer]'; or ask "
            'for int8, or hand a compiled model in with the target\'s artefacts = { WORKLOAD = "file.enf" }'
        ) from error
    methods = [name for name in dir(quantizer.CalibrationMethod) if not name.startswith("_") and name.isupper()]
    if method not in methods:
        raise ValueError(f"calibration_method '{method}' is not one of {', '.join(methods)}")
    if not model.calibration:
        raise Unsupported(f"workload '{model.workload}' has no calibration samples; ask for int8")
    graph = onnx.load(str(model.path))
    for tensor in (*graph.graph.input, *graph.graph.output):
        # The quantiser runs the graph on one sample at a time, and the compiler takes fixed shapes alone.
        axes = tensor.type.tensor_type.shape.dim
        if len(axes):
            axes[0].dim_value = 1
    content = graph.SerializeToString()
    try:
        calibrator = quantizer.Calibrator(content, quantizer.CalibrationMethod[method], percentage=percentage)
        calibrator.collect_data(_samples(model))
        result = quantizer.quantize(content, calibrator.compute_range())
    except Exception as error:
        raise Unsupported(f"furiosa.quantizer: {type(error).__name__}: {error}") from error
    path = work / "quantised.onnx"
    path.write_bytes(result)
    return path


def command_version() -> str:
    """Return what ``furiosa-compiler --version`` says; ``""`` where it is not installed."""
    try:
        done = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, errors="replace", check=False)
    except OSError:
        return ""
    return " ".join((done.stdout or done.stderr).split())


def compile_enf(model: Path, target: Path, batch: int, fused: bool) -> Artefact:
    """Compile an ONNX file with ``furiosa-compiler``.

    Args:
        model: The ONNX file.
        target: The ``.enf`` to write.
        batch: Samples in one execution.
        fused: Whether for both PEs as one.

    Raises:
        Unsupported: The compiler refuses the model; the text is its own.
    """
    family = "warboy-2pe" if fused else "warboy"
    command = [COMMAND, str(model), "--output", str(target), "--batch-size", str(batch), "--target-npu", family]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0 or not target.is_file():
        words = (done.stderr.strip() or done.stdout.strip() or "no words")[-TAIL:]
        raise Unsupported(f"{COMMAND} ended with code {done.returncode}: {words}")
    return Artefact(target, "enf", command_version(), notes={"target": family, "batch": str(batch)})


def open_once(model: Path, arguments: Callable[[], dict[str, Any]]) -> None:
    """Open a session for an ONNX file and close it again, so that a refusal is known before anything is loaded.

    Raises:
        Unsupported: The compiler in the runtime refuses the model; the text is its own.
        Exception: The device fails; the text is the runtime's.
    """
    sync = importlib.import_module("furiosa.runtime.sync")
    try:
        sync.create_runner(str(model), **arguments()).close()
    except sync.FuriosaRuntimeError as error:
        words = f"{type(error).__name__}: {error}"
        if any(part in words.lower() for part in _REFUSALS):
            raise Unsupported(f"the compiler in furiosa-runtime: {words[-TAIL:]}") from error
        raise


def _samples(model: Model) -> Iterator[list[Any]]:
    """Yield calibration samples as the quantiser takes them: one array an input, with a batch axis of 1."""
    arrays = [np.load(model.calibration[spec.name], mmap_mode="r") for spec in model.inputs]
    return ([np.array(array[n : n + 1]) for array in arrays] for n in range(len(arrays[0])))
