"""IREE as a backend: ONNX compiled ahead of time for this CPU, cached, and run by IREE's runtime.

It walks the way of an NPU (import, compile, artefact, load, run) on every machine. Its numbers are those of IREE's code
for the CPU and say nothing of an NPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from npubench.contract import Artefact, Availability, Backend, Device, Executor, Model, Support
from npubench_iree import devices, toolchain
from npubench_iree.executor import IreeExecutor, read_module
from npubench_iree.options import IreeOptions

__all__ = ["IreeBackend", "IreeOptions"]


class IreeBackend(Backend):
    """IREE on the CPU."""

    Options: ClassVar[type] = IreeOptions

    def probe(self) -> Availability:
        """Say whether IREE's runtime is here."""
        return devices.probe()

    def supports(self, model: Model, device: Device) -> Support:
        """Say that IREE compiles what it is given: it has no quantiser for the precision ``vendor``."""
        if model.precision == "vendor":
            return Support(False, "IREE has no quantiser; int8 is the variant that is quantised already")
        return Support(True)

    def compile(self, model: Model, device: Device, options: IreeOptions, work: Path) -> Artefact:
        """Import and compile the model.

        Raises:
            Unsupported: The importer or the compiler refuses it, with their own words.
        """
        return toolchain.compile_model(model, device, options, work)

    def compile_key(self, device: Device, options: IreeOptions) -> str:
        """Return the compiler's version, the CPU it compiles for, and the options that matter to it."""
        fitting = toolchain.fitting(device, options.target_cpu)
        version = devices.installed("iree-base-compiler")
        return f"iree-compile {version}; {fitting}; batch {options.batch}; {list(options.flags)}"

    def load(self, artefact: Artefact, device: Device, options: IreeOptions) -> Executor:
        """Load a module that was compiled here, or one that is handed in with its manifest.

        Raises:
            WrongArtefact: Another version of IREE, another CPU, or no module.
        """
        return IreeExecutor(read_module(artefact, device), options)
