"""What is kept of a compiled RNGD model: a folder with the ONNX file, the compiler's cache, and what both were made for.

``furiosa.torch`` gives no file for a compiled module: it looks its cache up as the module is called for the first time.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.contract import Artefact, Device, Model, TensorSpec, Unsupported, WrongArtefact
from npubench.contract.tensors import tensor_spec

MODEL, CACHE, FACTS = "model.onnx", "cache", "facts.json"

#: How much of a compiler's words go into a record, characters.
TAIL = 1500

#: How much of a log is read from its end, bytes: a backtrace of Rust over Python takes some 40 KB.
_LOG_BYTES = 1 << 20

#: A line of a Rust backtrace, or about one.
_FRAME = re.compile(r"\s+(\d+: |at )|stack backtrace:|note: ")

#: Options that the compiled module depends on.
_FIXED = ("fusion", "dtype", "batch", "tactic_hint", "allow_host_operators")

#: What the words have where the machine lacks a part of the toolchain or the device fails, and the model is not to blame.
_NOT_THE_MODEL = ("no such file or directory", "broken pipe", "hal error", "librenegade", "failed to allocate", "outofmemory")


@dataclass(frozen=True, slots=True)
class Facts:
    """What ``facts.json`` says.

    Args:
        kind: The chip.
        versions: What compiled it.
        options: Those it was compiled with.
        inputs, outputs: Of the module, batch axis fixed.
        operators: How many the module has; ``None`` if unknown.
    """

    kind: str
    versions: Mapping[str, str]
    options: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: int | None


def compile_folder(
    model: Model, device: Device, options: Mapping[str, Any], where: str, versions: Mapping[str, str], work: Path
) -> Artefact:
    """Try the model in a child process; the folder it leaves is the artefact.

    Args:
        model: FP32, as ONNX.
        device: A card.
        options: The fields of ``RngdOptions``.
        where: Torch's name of the device.
        versions: Of the SDK.
        work: An empty folder.

    Raises:
        Unsupported: The model is refused; the text is the SDK's own.
        RuntimeError: The machine is to blame and not the model.
    """
    folder = work / "rngd"
    folder.mkdir()
    shutil.copyfile(model.path, folder / MODEL)
    said = work / "said.json"
    order = {
        "folder": str(folder),
        "device": where,
        "options": dict(options),
        "inputs": [spec.to_dict() for spec in model.inputs],
        "said": str(said),
    }
    (work / "order.json").write_text(json.dumps(order), encoding="utf-8")
    with (work / "trial.log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "npubench_furiosa.trial", str(work / "order.json")], stdout=log, stderr=log, check=False
        )
    answer: dict[str, Any] = json.loads(said.read_text(encoding="utf-8")) if said.exists() else {"stage": "start"}
    if answer.get("outcome") != "compiled":
        _refuse(answer, done.returncode, _words(work / "trial.log"))
    batch = options["batch"]
    inputs = [TensorSpec(s.name, s.dtype, (batch, *s.shape[1:]), s.layout) for s in model.inputs]
    outputs = _outputs(model, answer["outputs"])
    facts = {
        "kind": device.kind,
        "versions": dict(versions),
        "options": {name: options[name] for name in _FIXED},
        "inputs": [spec.to_dict() for spec in inputs],
        "outputs": [spec.to_dict() for spec in outputs],
        "operators": answer["operators"],
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    compiler = " ".join(f"{name} {version}" for name, version in versions.items())
    notes = {name: str(options[name]) for name in _FIXED}
    return Artefact(folder, "rngd", compiler, notes=notes)


def read_facts(artefact: Artefact) -> Facts:
    """Return what an artefact was made for.

    Raises:
        WrongArtefact: It is no folder of this plug-in.
    """
    try:
        data = json.loads((artefact.path / FACTS).read_text(encoding="utf-8"))
        return Facts(
            kind=data["kind"],
            versions=data["versions"],
            options=data["options"],
            inputs=tuple(map(tensor_spec, data["inputs"])),
            outputs=tuple(map(tensor_spec, data["outputs"])),
            operators=data["operators"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongArtefact(
            f"it is not what this plug-in makes for an RNGD, a folder with {FACTS}, {MODEL} and {CACHE} "
            f"({type(error).__name__}: {error}); leave the artefact out and the model is compiled here. An .fxb or an "
            "artifact.json is for furiosa-llm and does not run here"
        ) from error


def check_facts(facts: Facts, options: Mapping[str, Any], kind: str, versions: Mapping[str, str]) -> None:
    """Raise WrongArtefact unless an artefact was made for this chip, this release and these options."""
    if facts.kind != kind:
        raise WrongArtefact(f"it was compiled for {facts.kind}, and this is {kind}; leave the artefact out to compile it here")
    for name in sorted({*facts.versions, *versions}):
        made, here = facts.versions.get(name, "none"), versions.get(name, "none")
        if made != here:
            raise WrongArtefact(
                f"it was compiled with {name} {made}, and here is {here}; leave the artefact out to compile it here, or install "
                f"{name} {made}"
            )
    for name in _FIXED:
        if facts.options.get(name) != options[name]:
            raise WrongArtefact(
                f"it was compiled with {name} = {facts.options.get(name)!r}, and the target asks for {options[name]!r}; "
                "set the option to what it was compiled with, or leave the artefact out"
            )


def _refuse(answer: Mapping[str, Any], code: int, said: str) -> None:
    """Raise for a trial that did not end well: whose fault it is decides as what."""
    stage, words = answer["stage"], str(answer.get("words", ""))
    if "outcome" not in answer:
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        words = f"the process {ended} while it was at '{stage}': {said or 'no words'}"
        if code in (-signal.SIGABRT, 128 + signal.SIGABRT):
            words = f"the compiler aborted the process (SIGABRT): {said or 'no words'}"
    if any(part in words.lower() for part in _NOT_THE_MODEL):
        raise RuntimeError(f"the trial compilation failed, and not by the model: {words}")
    # A kill from outside, such as for want of memory, says nothing of the model.
    crashed = "outcome" not in answer and code not in (-signal.SIGABRT, -signal.SIGSEGV, 128 + signal.SIGABRT)
    if stage not in ("convert", "compile") or crashed:
        raise RuntimeError(f"the trial compilation failed: {words}")
    raise Unsupported(f"onnx2torch: {words}" if stage == "convert" else words)


def _outputs(model: Model, found: list[Any]) -> list[TensorSpec]:
    """Return the outputs as the module gave them, with the graph's names."""
    if len(found) != len(model.outputs):
        raise RuntimeError(f"the torch module gives {len(found)} outputs, the graph has {len(model.outputs)}")
    return [
        TensorSpec(spec.name, dtype, tuple(shape), spec.layout) for spec, (dtype, shape) in zip(model.outputs, found, strict=True)
    ]


def _words(log: Path) -> str:
    """Return what a log says on one line: from the first panic on, else the end; without the frames of backtraces.

    The runtime prints hundreds of frames behind a panic, so that the end of a log says nothing of the cause.
    """
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    said = [line for line in lines if line.strip() and not _FRAME.match(line)]
    first = next((n for n, line in enumerate(said) if "panicked at" in line), None)
    if first is None:
        return " ".join(" ".join(said).split())[-TAIL:]
    return " ".join(" ".join(said[first:]).split())[:TAIL]
