"""``npubench run --model``: an ONNX file of one's own, measured for speed and fidelity, with no claim of accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from .world import Result, World, read_records


def write_model(path: Path, length: int | str = 16) -> Path:
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["m"], axes=[2]), helper.make_node("MatMul", ["m", "w"], ["y"])]
        if isinstance(length, str)
        else [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])],
        "mine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16, length] if isinstance(length, str) else ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(
                np.random.default_rng(1).standard_normal((1 if isinstance(length, str) else 16, 8), dtype=np.float32), "w"
            )
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save_model(model, path)
    return path


@dataclass(frozen=True)
class Measured:
    world: World
    result: Result
    records: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def measured(new_world: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> Measured:
    world = new_world("model")
    model = write_model(world.folder / "mine.onnx")
    cache = {"NPUBENCH_CACHE": str(tmp_path_factory.mktemp("model-cache"))}
    result = world("run", "--model", model, "--store", world.store(), env=cache)
    return Measured(world, result, read_records(world.store()))


def test_it_is_measured_on_the_cpu(measured: Measured) -> None:
    assert measured.result.code in (0, 1), measured.result.err
    cells = {(r["spec"]["target"]["name"], r["spec"]["load"]["scenario"]) for r in measured.records.values()}
    assert cells == {(target, scenario) for target in ("cpu-all", "cpu-1") for scenario in ("single-stream", "offline")}
    for record in measured.records.values():
        # On a busy machine a rule on the course of the run may fail; the work itself must be right.
        assert record["status"] in ("ok", "invalid"), record["reason"]
        assert record["metrics"]["throughput"]["value"] > 0
        assert record["spec"]["grade"] == "smoke"


def test_it_claims_fidelity_and_no_accuracy(measured: Measured) -> None:
    for record in measured.records.values():
        assert record["bundle"]["claim"] == "fidelity"
        assert record["bundle"]["metric"] == "fidelity"
        assert record["metrics"]["accuracy"]["value"] >= record["bundle"]["required"]
        assert "generated-inputs" in {finding["rule"] for finding in record["findings"]}
        assert record["bundle"]["operations"] >= 2 * 16 * 8


def test_a_free_length_must_be_given_and_the_sentence_says_how(world: World, inside: Callable[..., Result]) -> None:
    model = write_model(world.folder / "free.onnx", "length")
    done = inside(world, "run", "--model", model, "--store", world.store())
    assert done.code == 2
    assert f"{model}: input 'x' takes ?×16×?, where axis 2 may have any length; say which by --shape x=1x16x224" in done.sentence
    assert not list(world.store().glob("*/*"))


def test_an_unknown_input_is_said_with_the_nearest(world: World, inside: Callable[..., Result]) -> None:
    model = write_model(world.folder / "mine.onnx")
    done = inside(world, "run", "--model", model, "--shape", "xx=1x16", "--store", world.store())
    assert done.code == 2
    assert done.sentence.endswith("it has no input 'xx'; did you mean 'x'?")


def test_a_damaged_file_is_said(world: World, inside: Callable[..., Result]) -> None:
    model = write_model(world.folder / "mine.onnx")
    model.write_bytes(model.read_bytes()[:-100])
    done = inside(world, "run", "--model", model, "--store", world.store())
    assert done.code == 2
    assert done.sentence.startswith(f"npubench: {model}: not a")
    assert "Traceback" not in done.err
