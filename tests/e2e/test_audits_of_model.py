"""Audits that change inputs and weights, on whole runs: an honest plug-in passes, and one that does not compute is caught."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .acme import WORKLOAD, write_distribution
from .world import Result, World, one_by_target

CHEATS = """
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from npubench.contract import Support
from npubench.testing.options import SimulatedOptions
from npubench.testing.simulated import SimulatedBackend


@dataclass(frozen=True)
class Options(SimulatedOptions):
    cheat: str = ""


class Cheating(SimulatedBackend):
    Options = Options
    first: Any = None

    def supports(self, model: Any, device: Any) -> Support:
        self.first = self.first or model.path.read_bytes()
        return Support(True)

    def compile(self, model: Any, device: Any, options: Options, work: Any) -> Any:
        if options.cheat == "half" and "perturbed" in model.path.name:
            os.abort()
        artefact = super().compile(model, device, options, work)
        if options.cheat == "bank":
            # Another network than the one that is handed in: always the one it was made for.
            artefact.path.write_bytes(self.first)
        return artefact

    def load(self, artefact: Any, device: Any, options: Options) -> Any:
        executor = super().load(artefact, device, options)
        execute = executor.execute
        known: list[Any] = []

        def bank(inputs: Any) -> Any:
            # The accuracy phase comes first; whatever comes later is answered for the nearest of its samples.
            outputs = execute(inputs)
            if len(known) < 12:
                known.extend(zip(inputs["x"].copy(), outputs["y"].copy()))
                return outputs
            nearest = [min(known, key=lambda each: float(((each[0] - row) ** 2).sum())) for row in inputs["x"]]
            return {"y": np.stack([each[1] for each in nearest])}

        def half(inputs: Any) -> Any:
            small = {name: values.astype(np.float16).astype(values.dtype) for name, values in inputs.items()}
            return {name: values.astype(np.float16).astype(values.dtype) for name, values in execute(small).items()}

        executor.execute = {"bank": bank, "half": half}.get(options.cheat, execute)
        return executor
"""

WORKLOAD = WORKLOAD.replace("acme-sum", "two-layers")

MODULE = """
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from npubench.plan.workload import Draft


def build(sources):
    random = np.random.default_rng(3)
    weights = [random.standard_normal(shape, dtype=np.float32) for shape in ((16, 24), (24, 6))]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w0"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "w1"], ["y"]),
        ],
        "two-layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 6])],
        [numpy_helper.from_array(values, f"w{n}") for n, values in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    x = random.standard_normal((20, 16), dtype=np.float32)
    y = np.maximum(x @ weights[0], 0) @ weights[1]
    return Draft(model, {"x": x[:12]}, {"y": y[:12]}, {"x": x[12:]})


def score(outputs, labels, reference):
    return float(np.mean(np.abs(np.nan_to_num(outputs["y"], nan=1e9) - labels["y"]) < 0.1))
"""

#: Cheat and the audit that must fail → a word of what it saw. ``bank`` answers from its samples and runs a network of its own;
#: ``half`` computes in float16 and dies with any other network.
CAUGHT = {
    ("bank", "fresh-inputs"): "from the reference",
    ("bank", "perturbed-weights"): "went 0% of the way",
    ("half", "declared-precision"): "weights and inputs in tf32",
    ("half", "perturbed-weights"): "takes only the one model: ",
}
OF_MODEL = ("fresh-inputs", "perturbed-weights", "declared-precision")


@pytest.fixture(scope="module")
def audited(new_world: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, dict[str, Any], Path]:
    """A suite of an honest target and of every cheat, with ``--audit``."""
    world, site = new_world("audits-of-model"), tmp_path_factory.mktemp("model-cheats")
    (site / "npubench_model_cheats.py").write_text(CHEATS, encoding="utf-8")
    (site / "two_layers.py").write_text(MODULE, encoding="utf-8")
    (site / "two_layers.toml").write_text(WORKLOAD, encoding="utf-8")
    entries = "[npubench.backends]\nmodel-cheats = npubench_model_cheats:Cheating\n\n[npubench.workloads]\n"
    write_distribution(site, "npubench_model_cheats", f"{entries}two-layers = two_layers\n")
    targets = {
        name: {"backend": "model-cheats", "device": "sim:plain", "options": {"cheat": cheat, "fixed_us": 1500.0}}
        for name, cheat in {"honest": "", **{cheat: cheat for cheat, _ in CAUGHT}}.items()
    }
    suite = world.suite(targets, [{"targets": list(targets), "workloads": ["two-layers"]}], name="audits-of-model")
    done = world("run", suite, "--audit", "--store", "store", env={"PYTHONPATH": str(site)})
    return done, one_by_target(world.store()), world.store()


def test_an_honest_plug_in_is_not_accused(audited: tuple[Result, dict[str, Any], Path]) -> None:
    audits = {audit["name"]: audit for audit in audited[1]["honest"]["audits"]}
    for name in OF_MODEL:
        # The one that compares times as well may say that it cannot, on a busy machine.
        busy = name == "fresh-inputs" and "cannot tell, the machine is too busy" in audits[name]["observed"]
        assert audits[name]["status"] == "passed" or busy, audits[name]


@pytest.mark.parametrize("cheat, name", CAUGHT)
def test_a_cheat_is_caught_by_name(audited: tuple[Result, dict[str, Any], Path], cheat: str, name: str) -> None:
    record, word = audited[1][cheat], CAUGHT[cheat, name]
    failed = {audit["name"]: audit["observed"] for audit in record["audits"] if audit["status"] == "failed"}
    assert word in failed[name]
    assert record["status"] == "invalid"
    # What was measured before is not lost.
    assert record["metrics"]["throughput"]["value"] > 0


def test_what_the_verdicts_hang_on_stands_beside_the_record_and_the_model_does_not(
    audited: tuple[Result, dict[str, Any], Path],
) -> None:
    _, records, store = audited
    for cheat in ("honest", "half"):
        files = set(records[cheat]["provenance"]["files"])
        assert {"audits.json", "audits.npz", "audit_reference.json", "audit_reference.npz"} <= files
        assert not [name for name in files if "perturbed" in name and "loadgen" not in name]
    facts = json.loads((next(store.glob("*/*honest*")) / "audit_reference.json").read_text(encoding="utf-8"))
    assert facts["perturbed"]["tensor"] in ("w0", "w1")
    assert facts["perturbed"]["digest"].startswith("sha256:")
    assert not list(store.parent.rglob("perturbed*.onnx"))
