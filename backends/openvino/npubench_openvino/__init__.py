"""OpenVINO as a backend: the CPU, Intel GPUs and Intel NPUs.

FP32 means FP32: the precision is pinned, because OpenVINO itself computes an FP32 model in bf16 on a CPU that has it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from npubench.contract import (
    Artefact,
    Availability,
    Backend,
    Device,
    Executor,
    Model,
    OperatorTime,
    Support,
    Tensors,
    Unsupported,
    WrongArtefact,
)
from npubench_openvino import devices, graphs, profile
from npubench_openvino.executor import AsyncOpenVinoExecutor, OpenVinoExecutor
from npubench_openvino.options import OpenVinoOptions

__all__ = ["OpenVinoBackend", "OpenVinoOptions"]


class OpenVinoBackend(Backend):
    """OpenVINO, with the devices that the installation offers."""

    Options: ClassVar[type] = OpenVinoOptions

    def probe(self) -> Availability:
        """Say which devices OpenVINO offers here."""
        return devices.probe()

    def supports(self, model: Model, device: Device) -> Support:
        """Say that OpenVINO runs what it is given: its quantiser is a package of its own (NNCF)."""
        if model.precision == "vendor":
            return Support(False, "OpenVINO's runtime has no quantiser; quantise with NNCF and hand in the .xml, or measure int8")
        return Support(True)

    def compile(self, model: Model, device: Device, options: OpenVinoOptions, work: Path) -> Artefact:
        """Compile for each batch size and export blobs; the ONNX file is handed on where a device exports nothing.

        Raises:
            Unsupported: The device does not compute in the precision, or OpenVINO refuses the model; its own words.
        """
        precision = graphs.pinned(device, model.precision, options)
        target = graphs.target_of(device, options)
        core = importlib.import_module("openvino").Core()
        said = graphs.properties(core, target, options, precision)
        try:
            loaded = graphs.compile_models(model.path, target, options, said, core)
        except RuntimeError as error:
            raise Unsupported(f"OpenVINO {graphs.version()} refuses the model: {graphs.plain_words(error)}") from error
        compiler = f"openvino {graphs.version()}"
        notes = {"precision": precision, "target": target}
        if "EXPORT_IMPORT" not in device.details.get("capabilities", "EXPORT_IMPORT"):
            return Artefact(model.path, "onnx", compiler, notes=notes)
        folder = work / "model"
        facts = {"openvino": graphs.version(), "device": device.kind, "target": target, "precision": precision}
        graphs.export(loaded, folder, facts)
        return Artefact(folder, graphs.FORMAT, compiler, notes=notes)

    def compile_key(self, device: Device, options: OpenVinoOptions) -> str:
        """Return OpenVINO's version, what the device can do, the cores it may use, and the options that matter to blobs."""
        kept = replace(options, requests=0, asynchronous=True)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"openvino {graphs.version()}; {device.details.get('capabilities', '')}; {cores} cores; {kept!r}"

    def load(self, artefact: Artefact, device: Device, options: OpenVinoOptions) -> Executor:
        """Load blobs, or compile a handed-in ``.onnx`` or ``.xml`` file.

        Raises:
            WrongArtefact: Blobs of another OpenVINO or another device, or no file that OpenVINO reads.
        """
        kind: Any = AsyncOpenVinoExecutor if options.asynchronous else OpenVinoExecutor
        executor: Executor = kind(self._load(artefact, device, options, {}), options.requests)
        return executor

    def profile(
        self, artefact: Artefact, device: Device, options: OpenVinoOptions, inputs: Sequence[Tensors]
    ) -> Sequence[OperatorTime] | None:
        """Return operators with their times by the CPU's performance counters; blobs are imported once more, to count.

        Raises:
            Unsupported: The device is not the CPU.
        """
        profile.hold_to_cpu(graphs.target_of(device, options), device)
        return profile.operator_times(self._load(artefact, device, options, profile.COUNTING), inputs)

    def _load(self, artefact: Artefact, device: Device, options: OpenVinoOptions, more: Mapping[str, Any]) -> graphs.Loaded:
        """Return the compiled models of an artefact, made with ``more`` properties than the target asks for."""
        ov = importlib.import_module("openvino")
        core = ov.Core()
        target = graphs.target_of(device, options)
        precision = artefact.notes.get("precision") or _precision(device, options)
        said = {**graphs.properties(core, target, options, precision), **more}
        if artefact.path.is_dir():
            loaded = graphs.import_folder(artefact, device, target, said, core)
        elif artefact.path.suffix == ".blob":
            model = graphs.import_blob(artefact.path, target, said, core)
            loaded = graphs.Loaded({graphs.batch_of(model): model})
        else:
            try:
                loaded = graphs.compile_models(artefact.path, target, options, said, core)
            except RuntimeError as error:
                raise WrongArtefact(
                    f"is no model that OpenVINO {graphs.version()} compiles for {target}: {graphs.plain_words(error)}; "
                    "it takes .onnx, .xml with its .bin, and blobs it exported"
                ) from error
        graphs.hold_to(precision, loaded)
        return loaded


def _precision(device: Device, options: OpenVinoOptions) -> str:
    """Return the precision for a handed-in artefact: f32 unless an option says otherwise."""
    try:
        return graphs.pinned(device, "fp32", options)
    except Unsupported as error:
        raise WrongArtefact(str(error)) from error
