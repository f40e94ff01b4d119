"""From a model file to compiled models: read, pin the precision, fix the batch, compile, export, import."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.contract import Artefact, Device, Offload, Unsupported, WrongArtefact
from npubench_openvino.devices import ask, can_compute, openvino_name
from npubench_openvino.options import OpenVinoOptions

#: What ``compile`` writes: a folder of blobs, one a batch size, with this beside them.
FORMAT = "openvino-blobs"
MANIFEST = "blobs.json"

_BY_PRECISION = {"fp32": "f32", "int8": "f32", "fp16": "f16", "bf16": "bf16"}


@dataclass(frozen=True)
class Loaded:
    """Compiled models of one network.

    Args:
        models: Batch size → compiled model; ``None`` = any size.
        offload: Operators by place, where the compiler said it before the models were exported.
    """

    models: Mapping[int | None, Any]
    offload: Offload | None = None


def version() -> str:
    """Return the version of the installed OpenVINO, with its build."""
    return str(importlib.import_module("openvino").get_version())


def pinned(device: Device, precision: str, options: OpenVinoOptions) -> str:
    """Return what floating-point operators compute in: ``f32``, ``f16`` or ``bf16``.

    Raises:
        Unsupported: The device does not compute in it.
    """
    wanted = _BY_PRECISION.get(precision, "f32") if options.precision == "auto" else options.precision
    if not can_compute(device, wanted):
        others = [name for name in ("f32", "bf16", "f16") if name != wanted and can_compute(device, name)]
        raise Unsupported(
            f"{device.kind} does not compute in {wanted}; OpenVINO gives it {device.details['capabilities']}. "
            f'The option precision = "{(others or ["f16"])[0]}" measures it in that, and the record says so'
        )
    return wanted


def properties(core: Any, target: str, options: OpenVinoOptions, precision: str | None) -> dict[str, Any]:
    """Return what OpenVINO is told at compilation; only what the device knows is said of threads and pinning."""
    said: dict[str, Any] = {}
    if options.hint != "none":
        said["PERFORMANCE_HINT"] = options.hint.upper()
    if precision:
        said["INFERENCE_PRECISION_HINT"] = precision
        if precision == "f32":
            said["EXECUTION_MODE_HINT"] = "ACCURACY"
    if options.threads:
        said["INFERENCE_NUM_THREADS"] = options.threads
    if options.streams:
        said["NUM_STREAMS"] = options.streams
    if options.pinning is not None:
        said["ENABLE_CPU_PINNING"] = options.pinning
    if options.hyper_threading is not None:
        said["ENABLE_HYPER_THREADING"] = options.hyper_threading
    known = ask(core, target, "SUPPORTED_PROPERTIES") or said
    unknown = sorted(key for key in said if key not in known)
    asked = {"INFERENCE_NUM_THREADS": "threads", "NUM_STREAMS": "streams"}
    asked |= {"ENABLE_CPU_PINNING": "pinning", "ENABLE_HYPER_THREADING": "hyper_threading"}
    for key in unknown:
        if key in asked:
            raise ValueError(f"option {asked[key]}: {target} has no {key}; leave it out")
        del said[key]
    return {**said, **options.properties}


def target_of(device: Device, options: OpenVinoOptions) -> str:
    """Return the device string: the plain device, or ``HETERO:GPU.0,CPU`` where operators may stay on the host."""
    plain = device.details.get("openvino") or openvino_name(device.name)
    return f"HETERO:{plain},CPU" if options.allow_host_operators and plain != "CPU" else plain


def compile_models(path: Path, target: str, options: OpenVinoOptions, said: Mapping[str, Any], core: Any) -> Loaded:
    """Read a model file and compile it for each batch size.

    Raises:
        RuntimeError: OpenVINO's own words.
    """
    model = core.read_model(str(path))
    offload = _divide(core, model, target) if target.startswith("HETERO:") else None
    models: dict[int | None, Any] = {}
    for size in _sizes(model, options.batches):
        if size is not None:
            model.reshape({k: [size, *list(port.get_partial_shape())[1:]] for k, port in enumerate(model.inputs)})
        models[size] = core.compile_model(model, target, dict(said))
    return Loaded(models, offload)


def export(loaded: Loaded, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write each compiled model as a blob into ``folder``, with what they were made for."""
    folder.mkdir()
    names = {}
    for size, model in loaded.models.items():
        names[_key(size)] = name = f"batch-{_key(size)}.blob"
        stream = model.export_model()
        (folder / name).write_bytes(stream.getvalue())
    host = loaded.offload
    offload = None if host is None else [host.device_operators, host.host_operators, host.source, list(host.host_types)]
    manifest = {**facts, "blobs": names, "offload": offload}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")


def import_folder(artefact: Artefact, device: Device, target: str, said: Mapping[str, Any], core: Any) -> Loaded:
    """Import what :func:`export` wrote.

    Raises:
        WrongArtefact: No such folder, or blobs of another OpenVINO or another device.
    """
    again = "compile the model again: leave 'artefacts' out, or hand in the .onnx or .xml file"
    try:
        manifest = json.loads((artefact.path / MANIFEST).read_text(encoding="utf-8"))
        made = {key: str(manifest[key]) for key in ("openvino", "device", "target")}
        names = {None if key == "any" else int(key): str(name) for key, name in manifest["blobs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongArtefact(f"is no folder of OpenVINO blobs ({MANIFEST}: {type(error).__name__}: {error}); {again}") from error
    here = {"openvino": version(), "device": device.kind, "target": target}
    for key, value in made.items():
        if value != here[key]:
            raise WrongArtefact(f"was made for {key} {value}, here is {here[key]}; {again}")
    told = manifest.get("offload")
    offload = None if told is None else Offload(int(told[0]), int(told[1]), str(told[2]), tuple(told[3]))
    return Loaded({size: import_blob(artefact.path / name, target, said, core) for size, name in names.items()}, offload)


def import_blob(path: Path, target: str, said: Mapping[str, Any], core: Any) -> Any:
    """Import one blob.

    Raises:
        WrongArtefact: OpenVINO does not take it; the text has its words.
    """
    try:
        return core.import_model(path.read_bytes(), target, dict(said))
    except Exception as error:
        raise WrongArtefact(
            f"is no blob that OpenVINO {version()} takes for {target}: {plain_words(error)}; "
            "export it with this version for this device, or hand in the .onnx or .xml file"
        ) from error


def hold_to(precision: str, loaded: Loaded) -> None:
    """Make sure that the models compute in the pinned precision, as far as they say.

    Raises:
        WrongArtefact: A model says another precision.
    """
    for model in loaded.models.values():
        try:
            said = model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        except Exception:
            return  # several devices at once have no one precision
        if said not in (precision, "dynamic"):
            raise WrongArtefact(
                f'computes in {said}, and {precision} is asked for; compile it again, or say precision = "{said}"'
            )


def plain_words(error: BaseException) -> str:
    """Return OpenVINO's own sentence without its trail of source files."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return " ".join(told or lines or [type(error).__name__])[:600]


def batch_of(model: Any) -> int | None:
    """Return the fixed batch of a compiled or read model; ``None`` where it is free."""
    fixed = [shape[0].get_length() for port in model.inputs if len(shape := port.get_partial_shape()) and shape[0].is_static]
    return min(fixed) if fixed else None


def _sizes(model: Any, wanted: tuple[int, ...]) -> tuple[int | None, ...]:
    """Return the batch sizes to compile; a model whose own batch is fixed has that one alone."""
    fixed = batch_of(model)
    return (fixed,) if fixed is not None else tuple(sorted(set(wanted))) or (None,)


def _divide(core: Any, model: Any, target: str) -> Offload:
    """Count operators by device as HETERO would place them; constants and ports are no operators."""
    ports = {"Constant", "Parameter", "Result"}
    kinds = {op.get_friendly_name(): op.get_type_name() for op in model.get_ops() if op.get_type_name() not in ports}
    first = target.removeprefix("HETERO:").split(",")[0]
    placed = core.query_model(model, target)
    host = [kind for name, kind in kinds.items() if placed.get(name, "CPU").split(".")[0] != first.split(".")[0]]
    return Offload(len(kinds) - len(host), len(host), f"OpenVINO query_model of {target}", tuple(sorted(set(host))))


def _key(size: int | None) -> str:
    return "any" if size is None else str(size)
