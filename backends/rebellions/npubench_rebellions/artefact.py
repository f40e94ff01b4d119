"""Read what an ``.rbln`` file says of itself, without a device, and refuse one that is not for what is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract import Artefact, Device, TensorSpec, WrongArtefact

_HOW = "compile the model again here, or hand in one that fits under the target's artefacts"


@dataclass(frozen=True, slots=True)
class Description:
    """What ``RBLNCompiledModel.inspect`` says.

    Args:
        npu: The chip it was compiled for, ``""`` where it is not told.
        compiler: The rebel-compiler that made it, ``""`` where it is not told.
        devices: How many NPUs it runs on together.
        inputs: In the runtime's order; the batch is fixed.
        outputs: In the runtime's order. The file often keeps no names: such an output is ``output0``, ``output1`` …
    """

    npu: str
    compiler: str
    devices: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def batch(self) -> int:
        """The batch the shapes were fixed at."""
        return int(self.inputs[0].shape[0] or 1)


def describe(rebel: Any, path: Path) -> Description:
    """Return what a file says of itself.

    Raises:
        WrongArtefact: There is no such file, or it is no artefact of this runtime.
    """
    if not path.is_file():
        raise WrongArtefact(f"there is no such file; {_HOW}")
    try:
        said = rebel.RBLNCompiledModel.inspect(str(path))
        return Description(
            npu=str(_field(said, "npu") or ""),
            compiler=str(_field(said, "compiler_version") or ""),
            # Null for a file compiled for one device.
            devices=int(_field(said, "tensor_parallel_size") or 1),
            inputs=_specs(_field(said, "inputs"), "input"),
            outputs=_specs(_field(said, "outputs"), "output"),
        )
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise WrongArtefact(
            f"rebel cannot read it as an .rbln file: {type(error).__name__}: {str(error)[:300]}; {_HOW}"
        ) from error


def check(found: Description, device: Device, version: str, devices: int, any_compiler: bool, asynchronous: bool) -> None:
    """Compare a description with what is here.

    Args:
        found: Of the file.
        device: That it is to run on.
        version: Of the rebel-compiler here, ``"unknown"`` where it does not say.
        devices: How many NPUs the target gives it.
        any_compiler: Take a file of another release as well.
        asynchronous: Whether the asynchronous runtime is to run it.

    Raises:
        WrongArtefact: Another chip, another release of the compiler, another number of NPUs, or a batch this runtime refuses.
    """
    if found.npu and found.npu != device.kind:
        raise WrongArtefact(f"it was compiled for {found.npu}, and {device.name} is an {device.kind}; {_HOW}")
    if not any_compiler and found.compiler and version != "unknown" and _release(found.compiler) != _release(version):
        raise WrongArtefact(
            f"it was compiled by rebel-compiler {found.compiler}, and {version} is here; {_HOW}, or set the option any_compiler"
        )
    if found.devices != devices:
        raise WrongArtefact(
            f"it was compiled for {found.devices} NPUs together, and the target gives it {devices}; set the option num_devices"
        )
    if asynchronous and found.batch > 1:
        raise WrongArtefact(f"its batch is {found.batch}, and the asynchronous runtime takes one sample a request; {_HOW}")


def as_dict(found: Description, artefact: Artefact) -> dict[str, str]:
    """Return a description as notes for the record."""
    return {"npu": found.npu, "compiler": found.compiler, "batch": str(found.batch), "npus": str(found.devices)} | dict(
        artefact.notes
    )


def _field(said: Any, name: str) -> Any:
    """Return a field: releases differ in whether they answer with a mapping or with an object."""
    return said.get(name) if isinstance(said, Mapping) else getattr(said, name, None)


def _specs(tensors: Any, what: str) -> tuple[TensorSpec, ...]:
    specs = tuple(
        TensorSpec(
            name=str(_field(tensor, "name") or f"{what}{n}"),
            dtype=np.dtype(str(_field(tensor, "dtype")).removeprefix("torch.")).name,
            shape=tuple(int(length) for length in _field(tensor, "shape")),
        )
        for n, tensor in enumerate(tensors or ())
    )
    if not specs or not all(spec.shape for spec in specs):
        raise ValueError(f"it names no {what} with a shape")
    return specs


def _release(version: str) -> tuple[str, ...]:
    """Return the part of a version within which artefacts are taken: major and minor."""
    return tuple(version.lstrip("v").split(".")[:2])
