"""Whole runs in the vendor's environment: an interpreter with the plug-in alone, a stand-in for ``rebel``, artefacts handed in.

They prove process, record and telemetry from end to end, and no number of a chip.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FACTS = {
    "npu": "RBLN-CA22",
    "compiler_version": "0.12.0",
    "tensor_parallel_size": None,
    "inputs": [{"name": "image", "shape": [1, 3, 8, 6], "dtype": "float32"}],
    "outputs": [{"name": None, "shape": [1, 5], "dtype": "float32"}],
}


@pytest.fixture(scope="module")
def target(vendor_python: Callable[..., Path], smi: Callable[..., str], npu: Callable[..., Any], fake_rebel: Path) -> Any:
    """Return ``target(device, **more)``: a target on a host with a four-die card and one of a single die."""
    card = [npu(0, device=f"rbln{die}", name="RBLN-CA25", sid="A", card_power="120W") for die in range(4)]
    path = smi([*card, npu(4, sid="B")])
    python = vendor_python("rebellions", "onnx")
    env = {"PYTHONPATH": str(fake_rebel), "PATH": path, "FAKE_RBLN_NPUS": ",".join(["RBLN-CA25"] * 4 + ["RBLN-CA22"])}
    return lambda device, **more: {"backend": "rebellions", "device": device, "python": str(python), "env": env, **more}


@pytest.fixture(scope="module")
def night(place: Any, toy: Any, target: Any) -> Any:
    """Run every way there is once; returns the place, how the command ended, and the records by target."""
    here = place("rebellions")
    toy.artefact(here.folder / "right.rbln", **FACTS)
    toy.artefact(here.folder / "other.rbln", **{**FACTS, "npu": "RBLN-CA12"})
    toy.artefact(here.folder / "older.rbln", **{**FACTS, "compiler_version": "0.9.2"})
    ready = {"artefacts": {"toy": "right.rbln"}}
    suite = here.suite(
        {
            "sync": target("rbln:4", **ready),
            "async": target("rbln:4", options={"asynchronous": True, "in_flight": 4}, **ready),
            "compiled": target("rbln:2", options={"batch": 4}),
            "other-chip": target("rbln:4", artefacts={"toy": "other.rbln"}),
            "older-compiler": target("rbln:4", artefacts={"toy": "older.rbln"}),
        },
        [
            {"targets": ["sync", "other-chip", "older-compiler"], "workloads": ["toy"]},
            {"targets": ["async", "compiled"], "workloads": ["toy"], "scenarios": ["offline"], "in_flight": 4},
        ],
    )
    said = here("run", suite, "--store", "store")
    return here, said, {record["spec"]["target"]["name"]: record for record in here.records()}


def rules(record: dict[str, Any]) -> set[str]:
    return {finding["rule"] for finding in record["findings"]}


@pytest.mark.parametrize("name", ["sync", "async", "compiled"])
def test_every_way_is_measured_and_right(night: Any, name: str) -> None:
    _, said, records = night
    record = records[name]
    assert record["status"] in ("ok", "invalid"), f"{record['reason']}\n{said.err}"
    assert "accuracy-gate" not in rules(record)
    assert record["provenance"]["plugin"]["distribution"] == "npubench-rebellions"
    assert "offload" in rules(record)


def test_several_are_in_flight_by_the_runtimes_own_submit(night: Any) -> None:
    _, _, records = night
    assert records["async"]["provenance"]["settings"]["path"] == "submit, 4 in flight"
    assert records["sync"]["provenance"]["settings"]["path"] == "execute, inline"


def test_the_compiler_made_what_the_device_is(night: Any) -> None:
    _, _, records = night
    artefact = records["compiled"]["artefact"]
    assert (artefact["compiler"], artefact["format"], artefact["ready"]) == ("rebel-compiler 0.12.0", "rbln", False)
    assert artefact["notes"] == {"npu": "RBLN-CA25", "batch": "4"}
    assert records["sync"]["artefact"]["ready"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other-chip", "it was compiled for RBLN-CA12, and rbln:4 is an RBLN-CA22"),
        ("older-compiler", "it was compiled by rebel-compiler 0.9.2, and 0.12.0 is here"),
    ],
)
def test_an_artefact_for_something_else_fails_its_run_alone(night: Any, name: str, words: str) -> None:
    _, said, records = night
    assert said.code == 1
    assert records[name]["status"] == "failed"
    assert records[name]["reason"].startswith(f"rebellions:rbln:4 on toy: target '{name}': artefacts: ")
    assert words in records[name]["reason"]


@pytest.mark.parametrize(
    ("name", "sensor", "milliwatts"), [("sync", "card power B", 17522), ("compiled", "card power A", 120_000)]
)
def test_power_is_that_of_the_card_under_its_serial(night: Any, name: str, sensor: str, milliwatts: int) -> None:
    """The third die of a card of four reads the card's power under the card's name."""
    here, _, records = night
    record = records[name]
    assert [(source["sensor"], source["domain"], source["evidence"]) for source in record["energy"]] == [
        (sensor, "card", "device power gauge")
    ]
    folder = next((here.folder / "store").glob(f"*/{record['run_id']}"))
    with np.load(folder / "readings.npz") as readings:
        assert set(readings["0_values"][readings["0_valid"]]) == {milliwatts}


def test_a_night_without_the_package_says_so(place: Any, vendor_python: Callable[..., Path]) -> None:
    here = place("rebellions-absent")
    python = str(vendor_python("rebellions", "onnx"))
    suite = here.suite(
        {"npu": {"backend": "rebellions", "device": "rbln:0", "python": python}}, [{"targets": ["npu"], "workloads": ["toy"]}]
    )
    said = here("run", suite, "--store", "store")
    assert said.code == 3
    assert "this interpreter has no package rebel" in said.out + said.err


def test_what_it_compiles_is_kept_under_the_right_key(
    place: Any, toy: Any, smi: Callable[..., str], npu: Callable[..., Any], fake_rebel: Path, tmp_path: Path
) -> None:
    """The kit's checks of artefacts, with a model that is compiled here rather than handed in."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Flatten", ["image"], ["flat"]), onnx.helper.make_node("MatMul", ["flat", "weight"], ["scores"])],
        "toy",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", 3, 8, 6])],
        [onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["n", 5])],
        [onnx.numpy_helper.from_array(toy.weight, "weight")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), tmp_path / "m.onnx")
    env = ["--env", f"PYTHONPATH={fake_rebel}", "--env", f"PATH={smi([npu(0)])}"]
    options = ["--option", "batch=4", "--queries", "200", "--json"]
    said = place("rebellions-check")("check", "rebellions", "--model", tmp_path / "m.onnx", *env, *options)
    assert said.code == 0, said.out + said.err
    found = {check["name"]: check for check in json.loads(said.out)["checks"]}
    for name in ("artefacts/compile", "artefacts/kept", "artefacts/key", "answers/truth", "answers/batch"):
        assert found[name]["status"] in ("passed", "noted"), found[name]
