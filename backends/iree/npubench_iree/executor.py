"""Run a compiled module on the CPU with IREE's runtime."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract import Artefact, Device, Executor, Offload, Tensors, TensorSpec, WrongArtefact, input_check
from npubench.contract.tensors import tensor_spec
from npubench_iree.devices import installed
from npubench_iree.options import IreeOptions
from npubench_iree.toolchain import FEATURES, MANIFEST, MODULE, fitting

_AGAIN = "compile the model here: leave 'artefacts' out of the target"


@dataclass(frozen=True)
class Module:
    """A compiled module on disk and what its manifest says of it.

    Args:
        path: The ``.vmfb`` file.
        iree: The compiler's version.
        function: The function to call.
        operators: Operators of the graph it was made from.
        batch: The batch it was compiled for.
        cpu: Which CPU it runs on; see :func:`npubench_iree.toolchain.fitting`.
        inputs: Names, dtypes and shapes; the first axis is the batch.
        outputs: Likewise.
    """

    path: Path
    iree: str
    function: str
    operators: int
    batch: int
    cpu: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def read_module(artefact: Artefact, device: Device) -> Module:
    """Read a folder with ``model.vmfb`` and ``model.json``, or a ``.vmfb`` file with a ``.json`` of the same stem.

    Raises:
        WrongArtefact: Something is missing or damaged, or it is of another version of IREE or for another CPU.
    """
    path = artefact.path / MODULE if artefact.path.is_dir() else artefact.path
    beside = artefact.path / MANIFEST if artefact.path.is_dir() else path.with_suffix(".json")
    try:
        said = json.loads(beside.read_text(encoding="utf-8"))
        module = Module(
            path,
            str(said["iree"]),
            str(said["function"]),
            int(said["operators"]),
            int(said["batch"]),
            str(said["cpu"]),
            tuple(map(tensor_spec, said["inputs"])),
            tuple(map(tensor_spec, said["outputs"])),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongArtefact(
            f"a .vmfb has neither names nor shapes, and {beside.name} beside it, which has them, cannot be read "
            f"({type(error).__name__}: {error}); hand in a folder that npubench-iree compiled, or {_AGAIN}"
        ) from error
    if not path.is_file():
        raise WrongArtefact(f"has no {path.name}; {_AGAIN}")
    here = installed("iree-base-runtime")
    if module.iree != here:
        raise WrongArtefact(f"was compiled by IREE {module.iree}, the runtime here is {here}; {_AGAIN}, or install that version")
    own = fitting(device, "host")
    if module.cpu != own and (FEATURES in module.cpu or module.cpu.split()[:1] != own.split()[:1]):
        raise WrongArtefact(f"was compiled for the CPU '{module.cpu}', here is '{own}'; {_AGAIN}")
    return module


class IreeExecutor(Executor):
    """One module in one context, one request at a time.

    Inputs are copied into buffers of the device and outputs out of them, as for any other device of IREE.
    """

    max_in_flight = 1

    def __init__(self, module: Module, options: IreeOptions) -> None:
        runtime: Any = importlib.import_module("iree.runtime")
        if options.threads:
            runtime.flags.parse_flags(f"--task_topology_group_count={options.threads}")
        config = runtime.Config(device=runtime.get_device(options.driver, cache=False))
        try:
            code = runtime.VmModule.mmap(config.vm_instance, str(module.path))
            context = runtime.SystemContext(config=config)
            context.add_vm_module(code)
            self._call: Any = context.modules[code.name][module.function]
        except Exception as error:
            words = " ".join(str(error).split())[:400]
            raise WrongArtefact(f"IREE {installed('iree-base-runtime')} does not load it: {words}; {_AGAIN}") from error
        self._keep: Any = (config, code, context)
        self._module = module
        self._driver = options.driver
        self.inputs = module.inputs
        self.outputs = module.outputs
        self.max_batch = module.batch
        self._check = input_check(module.inputs, module.batch)
        self._names = [spec.name for spec in module.inputs]

    def execute(self, inputs: Tensors) -> Tensors:
        """Copy the inputs in, call the function, copy the outputs out."""
        if self._call is None:
            raise ValueError("the executor is closed; load the artefact again")
        count = self._check(inputs)
        values = [inputs[name] for name in self._names]
        missing = self._module.batch - count
        if missing:
            values = [np.concatenate([v, np.repeat(v[-1:], missing, axis=0)]) for v in values]
        answer = self._call(*values)
        results = answer if isinstance(answer, tuple | list) else (answer,)
        return {spec.name: np.array(r.to_host()[:count]) for spec, r in zip(self.outputs, results, strict=True)}

    def offload(self) -> Offload:
        """Return every operator as the device's: the compiler takes the whole graph or refuses it."""
        return Offload(self._module.operators, 0, "IREE compiles the whole graph")

    def notes(self) -> Mapping[str, str]:
        """Return driver, version and CPU of the module."""
        return {"driver": self._driver, "iree": self._module.iree, "cpu": self._module.cpu, "batch": str(self._module.batch)}

    def close(self) -> None:
        """Drop module, context and device; their threads end with them."""
        self._call = None
        self._keep = None
