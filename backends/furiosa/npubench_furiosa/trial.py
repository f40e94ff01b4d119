"""Compile one model in a process of its own: ``python -m npubench_furiosa.trial ORDER.json``.

``furiosa.torch`` aborts the process where its compiler panics. Each stage is written down before it begins, so that
whoever waits knows how far an aborted one came.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npubench.contract.tensors import tensor_spec
from npubench_furiosa.rngd_artefact import CACHE, MODEL
from npubench_furiosa.rngd_module import convert, first_call, place


def run(order: Mapping[str, Any], said: Path) -> None:
    """Carry an order out, and write into ``said`` how it ended."""
    folder, options = Path(order["folder"]), order["options"]
    state: dict[str, Any] = {}

    def enter(stage: str) -> None:
        state["stage"] = stage
        said.write_text(json.dumps(state), encoding="utf-8")

    try:
        enter("import")
        importlib.import_module("torch")
        importlib.import_module("furiosa.torch")
        enter("convert")
        module, state["operators"] = convert(folder / MODEL)
        enter("place")
        compiled = place(module, order["device"], options)
        enter("compile")
        specs = [tensor_spec(spec) for spec in order["inputs"]]
        outputs = first_call(compiled, specs, options["batch"], order["device"], options, folder / CACHE)
    except BaseException as error:
        state |= {"outcome": "refused", "words": f"{type(error).__name__}: {error}"[-4000:]}
    else:
        state |= {"outcome": "compiled", "outputs": [[output.dtype.name, list(output.shape)] for output in outputs]}
    said.write_text(json.dumps(state), encoding="utf-8")


if __name__ == "__main__":
    wanted = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    run(wanted, Path(wanted["said"]))
