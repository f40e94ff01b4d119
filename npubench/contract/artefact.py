"""Describe the model handed to a backend, and what the backend makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from npubench.contract.tensors import TensorSpec


@dataclass(frozen=True, slots=True)
class Model:
    """The model of a workload in one precision, as an ONNX file.

    Args:
        path: The ONNX file.
        digest: ``"sha256:…"`` of that file.
        workload: The workload's name, for messages.
        precision: ``fp32``, ``fp16``, ``bf16``, ``int8`` or ``vendor``. With ``vendor`` the file is the
            FP32 model and the backend quantises it with ``calibration``.
        inputs: The graph's inputs, batch axis first, ``None`` where the batch is free.
        outputs: The graph's outputs.
        calibration: Input name → ``.npy`` file of shape ``[count, *sample shape]``.
        calibration_digest: ``"sha256:…"`` over the calibration files, or ``""``.
    """

    path: Path
    digest: str
    workload: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    calibration: Mapping[str, Path] = field(default_factory=dict)
    calibration_digest: str = ""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A model compiled for a device: a file or a folder.

    Args:
        path: Where it is.
        format: Its kind, such as ``"onnx"``, ``"mxq"``, ``"rbln"``.
        compiler: The compiler's name and version; ``""`` where nothing was compiled.
        ready: True if it was handed in instead of compiled here.
        notes: What the compiler says of it, such as core mode or number of subgraphs.
    """

    path: Path
    format: str
    compiler: str = ""
    ready: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Support:
    """Whether a backend can run a model on a device.

    ``supported=False`` makes the run ``skipped: unsupported`` with ``reason`` as its text.
    """

    supported: bool
    reason: str = ""


class Unsupported(Exception):  # noqa: N818 - it is an answer, not an error
    """Raise from :meth:`Backend.compile`, or from :meth:`Backend.load` of a runtime that compiles there, for a refused model.

    The run becomes ``skipped: unsupported`` with this exception's text: an answer, not an accident.
    """


class WrongArtefact(Exception):  # noqa: N818 - what it says is wrong is the file, not the program
    """Raise from :meth:`Backend.load` for an artefact of another chip or another compiler version, or for no artefact at all.

    The text says what the file was made for, what is here, and how to get the right one.
    """


@dataclass(frozen=True, slots=True)
class Offload:
    """Which operators ran on the device, from the runtime's own account.

    Args:
        device_operators: Operators assigned to the device.
        host_operators: Operators assigned to the host CPU instead.
        source: Where the account comes from, such as ``"ORT graph assignment"``.
        host_types: Operator types on the host, for the report.
    """

    device_operators: int
    host_operators: int
    source: str
    host_types: tuple[str, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Operators on the device ÷ all operators; ``None`` if there are none."""
        total = self.device_operators + self.host_operators
        return self.device_operators / total if total else None
