"""Compile an ONNX model with ``qbcompiler``, where the vendor's compiler is installed. Unverified: it is on no public index."""

from __future__ import annotations

import importlib
import inspect
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract import Artefact, Device, Model, Unsupported
from npubench_mobilint.options import MobilintOptions
from npubench_mobilint.sdk import family_of, words_of

_HAND_IN = 'hand an .mxq in: artefacts = { %s = "FILE.mxq" } in the target'


def compile_model(model: Model, device: Device, options: MobilintOptions, work: Path) -> Artefact:
    """Quantise and compile with the workload's calibration samples.

    Raises:
        Unsupported: There is no compiler here, the precision is not the compiler's own, the model has several inputs, or the
            compiler refuses it; in the last case the text is the compiler's.
    """
    hand_in = _HAND_IN % model.workload
    try:
        compiler = importlib.import_module("qbcompiler")
    except ModuleNotFoundError as error:
        raise Unsupported(f"Mobilint's compiler qbcompiler is not in this environment; {hand_in}") from error
    if model.precision != "vendor":
        raise Unsupported(
            f"qbcompiler quantises by itself, and makes no {model.precision}: take the precision 'vendor', or {hand_in}"
        )
    if len(model.inputs) != 1 or len(model.calibration) != 1:
        raise Unsupported(f"this plug-in hands qbcompiler calibration samples of one input alone; {hand_in}")
    path = work / f"{model.workload}.mxq"
    samples = _calibration(model, work)
    arguments: dict[str, Any] = {
        "model": str(model.path),
        "calib_data_path": str(samples),
        "save_path": str(path),
        "backend": "onnx",
        "device": options.compile_on,
        "target_device": _target(device),
        "inference_scheme": scheme(device, options),
    }
    if options.allow_host_operators:
        arguments["cpu_offload"] = True
    if hasattr(compiler, "Uint8InputConfig"):
        # The model keeps its float input: the workload's own pre-processing has been done.
        arguments["uint8_input_config"] = compiler.Uint8InputConfig(apply=False, inputs=[])
    try:
        inspect.signature(compiler.mxq_compile).bind(**arguments)
        compiler.mxq_compile(**arguments)
    except (MemoryError, OSError):
        raise
    except Exception as error:
        raise Unsupported(f"{compiler_words()}: {words_of(error)}") from error
    finally:
        shutil.rmtree(samples, ignore_errors=True)
    if not path.is_file():
        raise Unsupported(f"{compiler_words()} ended without an error and wrote no {path.name}")
    notes = {"target device": arguments["target_device"], "inference scheme": arguments["inference_scheme"]}
    return Artefact(path=path, format="mxq", compiler=compiler_words(), notes=notes)


def compile_key(device: Device, options: MobilintOptions) -> str:
    """Return what decides an MXQ beside the model: compiler and version, chip, scheme, host operators, where it calibrates."""
    return "; ".join(
        (
            compiler_words(),
            _target(device),
            scheme(device, options),
            f"host operators {options.allow_host_operators}",
            f"on {options.compile_on}",
        )
    )


def compiler_words() -> str:
    """Return the compiler's name and version, ``"qbcompiler (not installed)"`` where there is none."""
    try:
        return f"qbcompiler {version('qbcompiler')}"
    except PackageNotFoundError:
        return "qbcompiler (not installed)"


def scheme(device: Device, options: MobilintOptions) -> str:
    """Return the inference scheme for a core mode: REGULUS has one core; of several modes in one MXQ, ``auto`` takes none."""
    one = family_of(device.kind) != "aries" or options.core_mode in ("auto", "single")
    return "single" if one else "all"


def _target(device: Device) -> str:
    return device.details.get("runtime name", device.kind.lower())


def _calibration(model: Model, work: Path) -> Path:
    """Write the calibration samples as the compiler reads them: a folder with one HWC array a file."""
    (source,) = model.calibration.values()
    values = np.load(source)
    if model.inputs[0].layout == "NCHW":
        values = np.moveaxis(values, 1, -1)
    folder = work / "calibration"
    folder.mkdir()
    for n, sample in enumerate(values):
        np.save(folder / f"{n:06}.npy", np.ascontiguousarray(sample))
    return folder
