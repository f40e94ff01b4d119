"""A module on an RNGD, ready to be called; blocking, one request at a time."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from npubench.contract import Executor, Offload, Tensors
from npubench_furiosa.rngd_artefact import CACHE, MODEL, Facts
from npubench_furiosa.rngd_module import call, convert, first_call, place
from npubench_furiosa.tensors import answer, named, reader


class RngdExecutor(Executor):
    """One compiled module.

    Args:
        folder: The artefact.
        facts: What it was made for.
        device: Torch's name of the device, such as ``"furiosa:0"``.
        options: The fields of ``RngdOptions``.
    """

    def __init__(self, folder: Path, facts: Facts, device: str, options: Mapping[str, Any]) -> None:
        module, operators = convert(folder / MODEL)
        self._compiled: Callable[..., Any] | None = place(module, device, options)
        # The compiler may write into its cache, and an artefact stays as it was made.
        self._scratch = tempfile.TemporaryDirectory(prefix="npubench-rngd-")
        cache = Path(self._scratch.name) / CACHE
        try:
            if (folder / CACHE).is_dir():
                shutil.copytree(folder / CACHE, cache)
            first_call(self._compiled, facts.inputs, options["batch"], device, options, cache)
        except BaseException:
            self._scratch.cleanup()
            raise
        self.inputs = named(facts.inputs, "input")
        self.outputs = named(facts.outputs, "output")
        self.max_batch = int(options["batch"])
        self._read = reader(self.inputs, self.max_batch)
        self._device = device
        self._dtype = str(options["dtype"])
        self._operators = None if options["allow_host_operators"] else operators

    def execute(self, inputs: Tensors) -> Tensors:
        """Copy to the card, call, copy back."""
        if self._compiled is None:
            raise RuntimeError("the RNGD executor is closed")
        count, arrays = self._read(inputs)
        return answer(call(self._compiled, arrays, self._device, self._dtype), self.outputs, count)

    def offload(self) -> Offload | None:
        """Return that all operators are on the card where the SDK was forbidden anything else; ``None`` where it was not."""
        if self._operators is None:
            return None
        return Offload(self._operators, 0, "one graph compiled whole; furiosa.torch's eager and CPU fallback off")

    def notes(self) -> Mapping[str, str]:
        """Return how many of the card's PEs work, and what they compute in."""
        sdk = importlib.import_module("furiosa.torch")
        fusion = sdk.get_fusion().num_fusion
        return {"torch device": self._device, "PEs used": f"{fusion} of 8", "computes in": self._dtype}

    def close(self) -> None:
        """Drop the module, which is all the SDK offers; a second call does nothing."""
        self._compiled = None
        self._scratch.cleanup()
