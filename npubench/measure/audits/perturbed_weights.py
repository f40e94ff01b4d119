"""Compile, load and run the model with one weight tensor changed: who runs another network answers as if nothing were changed.

The model comes from the supervisor, once the measured executor is closed. Nothing here can spoil what was measured: it is
on disk by now, and what the plug-in raises is an observation.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.artefact import Artefact, Unsupported
from npubench.contract.backend import Backend, Executor
from npubench.contract.bundle import file_digest
from npubench.contract.runspec import Phase
from npubench.measure.audits.bench import Bench, NotCarriedOut
from npubench.measure.binding import Array, bind
from npubench.measure.events import words
from npubench.measure.kept import whole_outputs
from npubench.measure.samples import SampleSet

#: What the supervisor hands over in the run's folder: the facts, and the model. Both are gone when the run is over.
CHALLENGE, MODEL = "perturbed.json", "perturbed.onnx"

#: How long the supervisor may take to hand it over, s: it renames a file while the device rests.
_PATIENCE_S = 30.0
_LOOK_S = 0.02

#: How often the samples are timed, after their outputs are kept.
_TIMED = 5


class PerturbedWeights:
    """The perturbed model by the same plug-in, device and options, without the cache of compiled artefacts."""

    name = "perturbed-weights"
    phase = Phase.PERTURBED

    def carry_out(self, bench: Bench) -> Mapping[str, Any]:
        """Return the model's ``digest``, how long ``compile``, ``load`` and each request took; or how it was ``refused``.

        The arrays ``perturbed-weights/<n>`` are the whole outputs for the samples that the supervisor named.
        """
        facts = _challenge(bench.folder)
        if "not_carried_out" in facts:
            raise NotCarriedOut(str(facts["not_carried_out"]))
        path, work = bench.folder / MODEL, bench.folder / MODEL.removesuffix(".onnx")
        seen: dict[str, Any] = {"digest": file_digest(path), "refused": "", "unsupported": False, "step": "compile"}
        executor: Executor | None = None
        try:
            start = time.monotonic_ns()
            artefact = _compile(bench, path, work)
            seen |= {"compile_ns": time.monotonic_ns() - start, "step": "load"}
            start = time.monotonic_ns()
            executor = bench.backend.load(artefact, bench.device, bench.options)
            seen |= {"load_ns": time.monotonic_ns() - start, "step": "execute"}
            self._answer(bench, executor, [int(n) for n in facts["samples"]], seen)
            seen["step"] = "close"
            executor.close()
            executor = None
        except BaseException as error:  # noqa: BLE001 - whatever a plug-in raises: it took the model that was measured
            seen |= {"refused": words(error), "unsupported": isinstance(error, Unsupported)}
        finally:
            if executor is not None:
                with contextlib.suppress(Exception):
                    executor.close()
            shutil.rmtree(work, ignore_errors=True)
        return seen

    def _answer(self, bench: Bench, executor: Executor, samples: list[int], seen: dict[str, Any]) -> None:
        """Keep the outputs for some samples, then time their requests one after the other."""
        inputs = bind(bench.bundle.inputs, executor.inputs, "input")
        outputs = bind(bench.bundle.outputs, executor.outputs, "output")
        batch = min(bench.load.batch, executor.max_batch or bench.load.batch)
        count = len(samples)
        laid = SampleSet(bench.inputs_of(samples), inputs, batch)
        kept: list[list[Array]] = [[] for _ in outputs]
        times: list[int] = []
        for round_ in range(1 + _TIMED):
            for at in range(0, count, batch):
                tensors = laid.take(list(range(at, min(at + batch, count))))
                start = time.monotonic_ns()
                answer = executor.execute(tensors)
                if round_:
                    times.append(time.monotonic_ns() - start)
                    continue
                for n, values in enumerate(whole_outputs(answer, outputs)):
                    kept[n].append(np.array(values))
        for n, parts in enumerate(kept):
            bench.arrays[f"{self.name}/{n}"] = np.concatenate(parts)
        seen |= {"answer_ns": times, "batch": batch}


def _challenge(folder: Path) -> dict[str, Any]:
    """Return what the supervisor says of the model, waiting for it.

    Raises:
        NotCarriedOut: It hands nothing over.
    """
    until = time.monotonic() + _PATIENCE_S
    while not (folder / CHALLENGE).exists():
        if time.monotonic() > until:
            raise NotCarriedOut("no perturbed model was handed over")
        time.sleep(_LOOK_S)
    read: dict[str, Any] = json.loads((folder / CHALLENGE).read_text(encoding="utf-8"))
    return read


def _compile(bench: Bench, path: Path, work: Path) -> Artefact:
    """Compile the perturbed model into a folder of its own, past the cache: it is run once and thrown away."""
    model = replace(bench.bundle.model(bench.spec.precision), path=path, digest=file_digest(path))
    if not bench.backend.supports(model, bench.device).supported:
        raise Unsupported(bench.backend.supports(model, bench.device).reason)
    if type(bench.backend).compile is Backend.compile:
        return Artefact(path=path, format="onnx")
    work.mkdir()
    return bench.backend.compile(model, bench.device, bench.options, work)
