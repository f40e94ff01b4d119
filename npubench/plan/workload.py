"""Find workloads, read their manifests, and say what a workload's module must offer. Builds nothing; ``bundles`` does.

A workload is a manifest ``<stem>.toml`` beside a module ``<stem>.py``. The entry-point group ``npubench.workloads``
names the module. Listing names imports nothing; reading a manifest executes no module; only building and scoring do.
A module has two public functions, ``build`` and ``score``; :class:`WorkloadModule` says what they take and give.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, cast

import numpy as np
import tomllib
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from npubench.contract.options import nearest
from npubench.errors import WorkloadError

if TYPE_CHECKING:
    import onnx

#: The entry-point group that names workloads.
GROUP = "npubench.workloads"

Array = np.ndarray[Any, Any]

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Draft:
    """What a workload's ``build`` returns: the FP32 model and its data, before anything is checked or derived.

    Args:
        model: FP32, opset 17 or lower where possible, batch free on axis 0 of each input and output.
        inputs: Input name → ``[samples, *sample shape]``.
        labels: Label name → array, samples on axis 0. Empty where only fidelity is scored.
        calibration: Input name → ``[count, *sample shape]``, disjoint from ``inputs``. Empty where nothing is quantised.
    """

    model: onnx.ModelProto
    inputs: Mapping[str, Array]
    labels: Mapping[str, Array] = field(default_factory=dict)
    calibration: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sources:
    """The verified members of published packages that a manifest pins, as files.

    Args:
        paths: Source id → file.
    """

    paths: Mapping[str, Path]

    def path(self, id: str) -> Path:
        """Return the file of the source ``id``.

        Raises:
            WorkloadError: The manifest has no source of that id.
        """
        if id not in self.paths:
            raise WorkloadError(f"the manifest has no source '{id}'{nearest(id, self.paths)}")
        return self.paths[id]


class WorkloadModule(Protocol):
    """The public functions of a workload's module."""

    def build(self, sources: Sources) -> Draft:
        """Make model, samples, labels and calibration samples; the same ones every time."""
        ...

    def score(self, outputs: Mapping[str, Array], labels: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
        """Return the gate's metric over all samples.

        Args:
            outputs: Output name → what a device gave, after ``keep``, all samples on axis 0.
            labels: As in the :class:`Draft`.
            reference: Output name → what the FP32 variant gave on the CPU reference, after ``keep``.

        Wrong values (NaN, garbage) give a bad score, never an exception.
        """
        ...


class Part(BaseModel):
    """The base of every part of a manifest: frozen, no unknown key, no NaN or Inf."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Bilingual(Part):
    """A text in the two languages of reports."""

    en: str
    """English."""
    ko: str
    """Korean."""


class GateRule(Part):
    """What a device must reach, relative to the FP32 reference or as a number."""

    metric: str
    """The name of what ``score`` returns, such as ``top1``."""
    unit: str
    """``ratio`` or a physical unit, such as ``K``."""
    higher_is_better: bool = True
    """The direction of the metric."""
    claim: Literal["accuracy", "fidelity"]
    """``accuracy`` against labels, or ``fidelity`` to the FP32 reference."""
    required_ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the FP32 reference score that must be reached; 0.99 where neither this nor ``required`` is given."""
    required: float | None = None
    """The bound in the metric's unit, instead of a share of the reference."""
    rule_en: str | None = None
    """How the bound comes about, as a sentence, where the generated one does not say it."""

    @model_validator(mode="after")
    def _one_bound(self) -> GateRule:
        if self.required_ratio is not None and self.required is not None:
            raise ValueError("give 'required_ratio' or 'required', not both")
        return self

    def bound(self, reference: float) -> float:
        """Return what must be reached when the FP32 reference reaches ``reference``, in the metric's unit."""
        if self.required is not None:
            return self.required
        ratio = 0.99 if self.required_ratio is None else self.required_ratio
        return reference * ratio if self.higher_is_better else reference / ratio

    def sentence(self) -> str:
        """Return the rule as an English sentence."""
        if self.rule_en is not None:
            return self.rule_en
        side = "at least" if self.higher_is_better else "at most"
        if self.required is not None:
            return f"{self.metric} {side} {self.required:g} {'' if self.unit == 'ratio' else self.unit}".rstrip()
        ratio = 0.99 if self.required_ratio is None else self.required_ratio
        if self.higher_is_better:
            return f"{self.metric} at least {ratio:.4g} of what the FP32 model reaches on the CPU reference"
        return f"{self.metric} at most 1/{ratio:.4g} of what the FP32 model reaches on the CPU reference"


class Source(Part):
    """One file inside a published package; the package's code is never installed or imported."""

    id: str
    """The name that the module asks :class:`Sources` for."""
    package: str
    """The distribution's name in the package index."""
    version: str
    """Its exact version."""
    member: str
    """The file's path inside the wheel; inside an sdist, without the leading folder. ``.`` is the archive itself, for
    packages that publish one wheel for every platform."""
    sha256: Digest
    """The file's SHA-256, which holds on every platform while the wheel's own does not."""
    sdist_sha256: Digest | None = None
    """Set where the package is published as source only: pip runs the build script of an sdist to read its metadata, so
    the archive itself is pinned before pip opens it."""


class Int8(Part):
    """How ONNX Runtime quantises the model statically; its document "Quantize ONNX models" defines the options."""

    per_channel: bool = True
    """One weight scale per output channel instead of one per tensor."""
    activation: Literal["int8", "uint8"] = "uint8"
    """Type of quantised activations. ONNX Runtime fuses uint8 ones on every CPU; with int8 ones it leaves convolutions in
    floating point wherever an activation has two consumers (seen with 1.32: a tenth of the speed)."""
    weight: Literal["int8", "uint8"] = "int8"
    """Type of quantised weights."""
    method: Literal["minmax", "entropy", "percentile"] = "minmax"
    """How activation ranges follow from the calibration samples."""
    symmetric: bool = False
    """Activation zero points at 0, which some NPU compilers want."""
    operators: tuple[str, ...] = ()
    """Operator types that are quantised; empty = all that ONNX Runtime can quantise."""
    exclude_nodes: tuple[str, ...] = ()
    """Names of nodes that stay FP32."""


class Manifest(Part):
    """A workload's manifest, as it stands in its TOML file."""

    schema_version: Literal[1]
    """Of this format."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    """The workload's name, as its entry point has it."""
    version: str
    """Of the workload; a change that moves any number needs a new one."""
    precisions: tuple[Literal["fp32", "int8"], ...]
    """The variants to make; ``fp32`` is always among them."""
    licence: str
    """SPDX expression of the model and data."""
    title: Bilingual
    """What it is, in a line."""
    task: Bilingual
    """The national task it stands for."""
    gate: GateRule
    """What a device must reach."""
    latency_bound_ms: Annotated[float, Field(gt=0)] | None = None
    """Bound of the server scenario in ms, or absent."""
    keep: Mapping[str, Literal["all", "argmax"]] = {}
    """Output name → what the accuracy phase keeps of it; ``all`` where not named."""
    layout: Mapping[str, Literal["NCHW", "NHWC", "NC", "NLC", "NCL"]] = {}
    """Input or output name → image layout, where there is one."""
    source: tuple[Source, ...] = ()
    """Where the model and the data come from."""
    int8: Int8 = Int8()
    """How the int8 variant is made."""
    simulated_only: bool = False
    """True where the workload is meant for the simulated device alone."""

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if "fp32" not in self.precisions:
            raise ValueError("'precisions' must hold \"fp32\": it is the reference")
        ids = [source.id for source in self.source]
        if len(ids) != len(set(ids)):
            raise ValueError("two sources have the same 'id'")
        return self


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload as found: its manifest, and where manifest and module lie."""

    name: str
    manifest: Manifest
    path: Path
    module: str

    def load(self) -> WorkloadModule:
        """Import the workload's module.

        Raises:
            WorkloadError: It cannot be imported, or lacks ``build`` or ``score``.
        """
        try:
            module = importlib.import_module(self.module)
        except ImportError as error:
            raise WorkloadError(
                f"workload '{self.name}': cannot import {self.module}: {error}; install with pip install 'npubench[standard]'"
            ) from error
        for function in ("build", "score"):
            if not callable(getattr(module, function, None)):
                raise WorkloadError(f"workload '{self.name}': {self.module} has no function '{function}'")
        return cast(WorkloadModule, module)


def workload_names() -> tuple[str, ...]:
    """Return the names of all workloads, sorted; imports nothing."""
    return tuple(sorted({entry.name for entry in importlib.metadata.entry_points(group=GROUP)}))


def find_workload(name: str) -> Workload:
    """Return the workload ``name`` with its manifest read; its module is not executed.

    Raises:
        WorkloadError: No such workload, two packages claim the name, or its manifest is missing or wrong.
    """
    modules = {entry.value for entry in importlib.metadata.entry_points(group=GROUP, name=name)}
    if not modules:
        raise WorkloadError(f"unknown workload '{name}'{nearest(name, workload_names())}")
    if len(modules) > 1:
        raise WorkloadError(f"workload '{name}' is claimed by {' and '.join(sorted(modules))}; uninstall one of them")
    module = modules.pop()
    path = module_file(module, name).with_suffix(".toml")
    manifest = read_manifest(path)
    if manifest.name != name:
        raise WorkloadError(f"{path}: name is '{manifest.name}', its entry point says '{name}'")
    return Workload(name=name, manifest=manifest, path=path, module=module)


def module_file(module: str, name: str) -> Path:
    """Return the source file of ``module`` without executing it; ``name`` is the workload's, for the error's text."""
    try:
        spec = importlib.util.find_spec(module)
    except ImportError as error:
        raise WorkloadError(f"workload '{name}': {module} cannot be found: {error}") from error
    if spec is None or spec.origin is None:
        raise WorkloadError(f"workload '{name}': there is no module {module}; reinstall the package that offers it")
    return Path(spec.origin)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        WorkloadError: Missing, no TOML, or a wrong key or value; the text names file, key and the nearest valid key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WorkloadError(f"{path}: no such manifest") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WorkloadError(f"{path}: cannot be read: {error}") from error
    try:
        return Manifest.model_validate_json(_json(values))
    except ValidationError as error:
        raise WorkloadError("; ".join(f"{path}: {_complaint(dict(item))}" for item in error.errors())) from error


def _json(values: Mapping[str, Any]) -> str:
    """Return TOML values as JSON: strict validation takes lists for tuples there, and still takes no string for a number."""
    return json.dumps(values, ensure_ascii=False, default=str)


def _complaint(error: Mapping[str, Any]) -> str:
    """Say which key is wrong, and which is nearest where it is unknown."""
    location = tuple(error["loc"])
    key = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}'{nearest(str(location[-1]), _keys(location[:-1]))}"
    if error["type"] == "missing":
        return f"key '{key}' is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _keys(location: tuple[Any, ...]) -> list[str]:
    """Return the valid keys of the table at ``location``."""
    model: Any = Manifest
    for part in location:
        if not isinstance(part, str):
            continue
        hint = typing.get_type_hints(model)[part]
        parts = [a for a in (*typing.get_args(hint), hint) if isinstance(a, type) and a is not NoneType and issubclass(a, Part)]
        if not parts:
            return []
        model = parts[0]
    return list(model.model_fields)
