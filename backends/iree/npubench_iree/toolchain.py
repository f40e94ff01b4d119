"""From an ONNX file to a compiled module: fix the batch, import, compile, and say beside it what it is."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npubench.contract import Artefact, Device, Model, TensorSpec, Unsupported
from npubench_iree.devices import INSTALL, installed
from npubench_iree.options import IreeOptions

FORMAT = "vmfb"
MODULE = "model.vmfb"
#: Lies beside the module, which itself has neither names nor shapes nor dtypes.
MANIFEST = "model.json"

#: Marks a module that is compiled for one CPU alone.
FEATURES = "features:"

#: What IREE's importer takes (its documentation asks for 17 or later); older models are converted by ``onnx``.
_OPSET = "17"

_IMPORTER = "iree.compiler.tools.import_onnx"
_COMPILER = "iree.compiler.tools.scripts.iree_compile"
_GRAPH, _ASSEMBLY = "graph.onnx", "graph.mlir"

#: How much of a compiler's words is kept, characters.
_WORDS = 800


def compile_model(model: Model, device: Device, options: IreeOptions, work: Path) -> Artefact:
    """Compile a model into the folder ``work/model``: a module and its manifest.

    Raises:
        Unsupported: The importer or the compiler refuses the model, or there is no compiler here; the text says which.
    """
    missing = [name for name in ("iree-base-compiler", "onnx") if not installed(name)]
    if missing:
        raise Unsupported(
            f"{' and '.join(missing)} not installed in this interpreter; {INSTALL}, "
            f'or hand in a folder with {MODULE} and {MANIFEST}: artefacts = {{ {model.workload} = "FOLDER" }} in the target'
        )
    folder = work / "model"
    folder.mkdir()
    function, operators, batch = _fix_batch(model.path, options.batch, work / _GRAPH)
    _run(_IMPORTER, [_GRAPH, "-o", _ASSEMBLY, "--opset-version", _OPSET], work, "IREE's ONNX importer")
    target = ["--iree-hal-target-backends=llvm-cpu", f"--iree-llvmcpu-target-cpu={options.target_cpu}"]
    _run(_COMPILER, [_ASSEMBLY, "-o", f"model/{MODULE}", *target, *options.flags], work, "iree-compile")
    (work / _GRAPH).unlink()
    (work / _ASSEMBLY).unlink()
    manifest = {
        "iree": installed("iree-base-compiler"),
        "function": function,
        "operators": operators,
        "batch": batch,
        "cpu": fitting(device, options.target_cpu),
        "inputs": [spec.to_dict() for spec in _with_batch(model.inputs)],
        "outputs": [spec.to_dict() for spec in _with_batch(model.outputs)],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    return Artefact(
        folder, FORMAT, f"iree-compile {manifest['iree']}", notes={"target_cpu": options.target_cpu, "batch": str(batch)}
    )


def fitting(device: Device, target_cpu: str) -> str:
    """Return which CPU a module runs on: the architecture, and the features where it is compiled for this very CPU."""
    architecture = device.details.get("architecture", "")
    features = device.details.get("features", "")
    return f"{architecture} {FEATURES}{features}" if target_cpu == "host" else f"{architecture} {target_cpu}"


def _fix_batch(path: Path, batch: int, to: Path) -> tuple[str, int, int]:
    """Write the graph with a fixed batch; returns the function's name, the number of operators, and the batch.

    A graph whose own batch is fixed keeps it. What the file says of inner shapes is left out, as it was said for a free batch.
    """
    onnx: Any = importlib.import_module("onnx")
    graph = onnx.load(str(path))
    for value in (*graph.graph.input, *graph.graph.output):
        axes = value.type.tensor_type.shape.dim
        if axes and axes[0].HasField("dim_value"):
            batch = int(axes[0].dim_value)
        elif axes:
            axes[0].dim_value = batch
    del graph.graph.value_info[:]
    onnx.save(graph, str(to))
    return str(graph.graph.name), len(graph.graph.node), batch


def _run(tool: str, arguments: Sequence[str], work: Path, who: str) -> None:
    """Run one of IREE's tools in ``work``, on relative names: a module holds the name it was made from."""
    done = subprocess.run([sys.executable, "-m", tool, *arguments], cwd=work, capture_output=True, text=True, check=False)
    if "command line argument" in done.stderr:
        raise ValueError(f"option flags: {_words(done.stderr, done.returncode)}")
    if done.returncode:
        raise Unsupported(f"{who} refuses the model: {_words(done.stderr, done.returncode)}")


def _words(text: str, code: int) -> str:
    """Return the compiler's own sentence out of its output: the first line that names an error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "error:" in line.lower() or "command line argument" in line] or lines[-1:]
    return (told[0] if told else f"it ended with code {code} and said nothing")[:_WORDS]


def _with_batch(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the specs with a free first axis: smaller requests are filled up."""
    return tuple(TensorSpec(s.name, s.dtype, (None, *s.shape[1:]), s.layout, s.quantisation) for s in specs)
