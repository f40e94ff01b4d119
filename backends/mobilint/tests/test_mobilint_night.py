"""Whole runs in the vendor's environment: the published wheels, with stand-ins before them on the path, and artefacts handed in.

They prove process, interpreter, record and telemetry from end to end, and no number of a chip.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FAKE = Path(__file__).parent / "fake"
UINT8 = {"dtype": "Uint8", "input_scale": {"scale": 1 / 255, "is_uniform": True, "scale_list": []}}


def environment(name: str, number: int, target_type: int, node: str, **machine: Any) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join([str(FAKE / "runtime"), str(FAKE / "meter_new")]),
        "FAKE_MOBILINT": json.dumps({"devices": {name: [number]}, **machine}),
        "FAKE_MBLTML": json.dumps({"devices": [[target_type, node]]}),
    }


@pytest.fixture(scope="module")
def python(vendor_python: Callable[..., Path]) -> str:
    return str(vendor_python("mobilint", "mobilint-qb-runtime==1.5.0", "mobilint-ml==1.5.0"))


@pytest.fixture(scope="module")
def night(place: Any, toy: Any, python: str) -> Any:
    """Run every way there is once; returns the place, how the command ended, and the records by target."""
    here = place("mobilint")
    toy.artefact(here.folder / "aries.mxq", devices=["aries-rb"], modes=["global8"])
    toy.artefact(here.folder / "pixels.mxq", devices=["aries-rb"], modes=["single"], **UINT8)
    toy.artefact(here.folder / "regulus.mxq", devices=["regulus-rb", "regulus-rb-usb"], modes=["single"])
    (here.folder / "junk.mxq").write_bytes(b"junk" * 100)

    def aries(**more: Any) -> dict[str, Any]:
        env = environment("aries-rb", 0, 3, "/dev/aries0")
        return {
            "backend": "mobilint",
            "device": "aries:0",
            "python": python,
            "env": env,
            "artefacts": {"toy": "aries.mxq"},
            **more,
        }

    def regulus(**more: Any) -> dict[str, Any]:
        env = environment("regulus-rb", 0, 4, "/dev/regulus-npu0")
        ready = {"toy": "regulus.mxq"}
        return {"backend": "mobilint", "device": "regulus:0", "python": python, "env": env, "artefacts": ready, **more}

    global8 = {"core_mode": "global8"}
    suite = here.suite(
        {
            "aries": aries(options=global8),
            "aries-async": aries(options={**global8, "asynchronous": True, "slots": 2}),
            "aries-uint8": aries(artefacts={"toy": "pixels.mxq"}),
            "regulus": regulus(),
            "regulus-async": regulus(options={"core_mode": "single", "asynchronous": True}),
            "other-chip": aries(artefacts={"toy": "regulus.mxq"}),
            "other-mode": aries(options={"core_mode": "multi"}),
            "no-mxq": aries(artefacts={"toy": "junk.mxq"}),
            "nothing-handed-in": aries(artefacts={}),
        },
        [
            {
                "targets": ["aries", "aries-uint8", "regulus", "other-chip", "other-mode", "no-mxq", "nothing-handed-in"],
                "workloads": ["toy"],
            },
            {"targets": ["aries-async", "regulus-async"], "workloads": ["toy"], "scenarios": ["offline"], "in_flight": 2},
        ],
    )
    said = here("run", suite, "--store", "store")
    return here, said, {record["spec"]["target"]["name"]: record for record in here.records()}


def rules(record: dict[str, Any]) -> set[str]:
    return {finding["rule"] for finding in record["findings"]}


@pytest.mark.parametrize("name", ["aries", "aries-async", "aries-uint8", "regulus", "regulus-async"])
def test_every_way_is_measured_and_right(night: Any, name: str) -> None:
    _, said, records = night
    record = records[name]
    assert record["status"] in ("ok", "invalid"), f"{record['reason']}\n{said.err}"
    assert not rules(record) & {"accuracy-gate", "output-drift", "offload", "host-operators"}
    assert record["provenance"]["plugin"]["distribution"] == "npubench-mobilint"
    assert record["artefact"]["ready"]
    assert (record["artefact"]["device_operators"], record["artefact"]["host_operators"]) == (1, 0)


def test_several_are_in_flight_by_the_runtimes_own_submit(night: Any) -> None:
    _, _, records = night
    for name in ("aries-async", "regulus-async"):
        assert records[name]["provenance"]["settings"]["path"] == "submit, 2 in flight"
    assert records["aries"]["provenance"]["settings"]["path"] == "execute, inline"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other-chip", "regulus.mxq: it is compiled for regulus-rb, regulus-rb-usb, and here is aries-rb (qbruntime v1.5.0)"),
        ("other-mode", "aries.mxq: it was not compiled for core_mode = 'multi'"),
        ("no-mxq", "junk.mxq: qbruntime v1.5.0 cannot read it as an MXQ"),
    ],
)
def test_an_artefact_for_something_else_fails_its_run_alone(night: Any, name: str, words: str) -> None:
    _, said, records = night
    assert said.code == 1
    assert records[name]["status"] == "failed"
    assert records[name]["reason"].startswith(f"mobilint:aries:0 on toy: target '{name}': artefacts: ")
    assert words in records[name]["reason"]


def test_without_an_artefact_and_a_compiler_the_run_is_skipped(night: Any) -> None:
    _, _, records = night
    record = records["nothing-handed-in"]
    assert record["status"] == "skipped"
    assert record["reason"].startswith("unsupported: Mobilint's compiler qbcompiler is not in this environment")
    assert 'artefacts = { toy = "FILE.mxq" }' in record["reason"]


def test_aries_has_power_and_regulus_has_none(night: Any) -> None:
    here, _, records = night
    record = records["aries"]
    assert [(source["sensor"], source["domain"], source["evidence"]) for source in record["energy"]] == [
        ("card power", "card", "device power gauge")
    ]
    folder = next((here.folder / "store").glob(f"*/{record['run_id']}"))
    with np.load(folder / "readings.npz") as readings:
        assert set(readings["0_values"][readings["0_valid"]]) == {15_500}
    assert records["regulus"]["energy"] == []


def test_a_night_without_the_runtime_says_so(place: Any, vendor_python: Callable[..., Path]) -> None:
    here = place("mobilint-absent")
    target = {"backend": "mobilint", "device": "aries:0", "python": str(vendor_python("mobilint"))}
    said = here("run", here.suite({"npu": target}, [{"targets": ["npu"], "workloads": ["toy"]}]), "--store", "store")
    assert said.code == 3
    assert "neither qbruntime nor maccel" in said.out + said.err
