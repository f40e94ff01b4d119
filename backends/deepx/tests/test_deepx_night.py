"""Whole runs in the vendor's environment: an interpreter with the plug-in alone, a stand-in for ``dx_engine``, files handed in.

They prove process, record and telemetry from end to end, and no number of a chip.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def target(vendor_python: Callable[..., Path], fake_dx: Path) -> Any:
    """Return ``target(**more)``: a target on a host with one DX-M1."""
    python = vendor_python("deepx")
    return lambda **more: {
        "backend": "deepx",
        "device": "dx-m1:0",
        "python": str(python),
        "env": {"PYTHONPATH": str(fake_dx)},
        **more,
    }


@pytest.fixture(scope="module")
def night(place: Any, toy: Any, target: Any) -> Any:
    """Run every way there is once; returns the place, how the command ended, and the records by target."""
    here = place("deepx")
    toy.artefact(here.folder / "right.dxnn")
    toy.artefact(here.folder / "host.dxnn", tasks=["npu_0", "cpu_0"])
    toy.artefact(here.folder / "old.dxnn", version=5)
    ready, scale = {"artefacts": {"toy": "right.dxnn"}}, {"input_scale": [1 / 255]}
    suite = here.suite(
        {
            "sync": target(options=scale, **ready),
            "async": target(options={"asynchronous": True, "buffers": 5, **scale}, **ready),
            "unscaled": target(**ready),
            "with-host": target(artefacts={"toy": "host.dxnn"}, options={"allow_host_operators": True, **scale}),
            "old-compiler": target(artefacts={"toy": "old.dxnn"}),
            "no-file": target(),
        },
        [
            {
                "targets": ["sync", "unscaled", "with-host", "old-compiler", "no-file"],
                "workloads": ["toy"],
                "precisions": ["vendor"],
            },
            {"targets": ["async"], "workloads": ["toy"], "precisions": ["vendor"], "scenarios": ["offline"], "in_flight": 4},
        ],
    )
    said = here("run", suite, "--store", "store")
    return here, said, {record["spec"]["target"]["name"]: record for record in here.records()}


def rules(record: dict[str, Any]) -> set[str]:
    return {finding["rule"] for finding in record["findings"]}


@pytest.mark.parametrize("name", ["sync", "async", "with-host"])
def test_every_way_is_measured_and_right(night: Any, name: str) -> None:
    """Samples arrive as bytes, colours last, and scores come back right: the harness did both before the window, and says so."""
    _, said, records = night
    record = records[name]
    assert record["status"] in ("ok", "invalid"), f"{record['reason']}\n{said.err}"
    assert not rules(record) & {"accuracy-gate", "offload"}
    assert record["provenance"]["plugin"]["distribution"] == "npubench-deepx"
    assert {"host-quantise", "host-transpose"} <= set(record["exclusions"])


def test_several_are_in_flight_by_the_runtimes_own_submit(night: Any) -> None:
    _, _, records = night
    assert records["async"]["provenance"]["settings"]["path"] == "submit, 4 in flight"
    assert records["sync"]["provenance"]["settings"]["path"] == "execute, inline"


def test_bytes_without_a_scale_run_and_fail_the_accuracy_gate(night: Any) -> None:
    """The trap of this runtime: rubbish in gives rubbish of the right shape, at full speed."""
    _, _, records = night
    assert records["unscaled"]["status"] == "invalid"
    assert "accuracy-gate" in rules(records["unscaled"])


def test_tasks_on_the_host_are_in_the_record(night: Any) -> None:
    _, _, records = night
    artefact = records["with-host"]["artefact"]
    assert (artefact["device_operators"], artefact["host_operators"]) == (1, 1)
    assert artefact["offload_source"] == "DX-RT task order (tasks, not operators)"
    assert "host-operators" in rules(records["with-host"])
    assert records["sync"]["artefact"]["host_operators"] == 0


def test_a_file_of_another_compiler_fails_its_run_alone(night: Any) -> None:
    _, said, records = night
    assert said.code == 1
    assert records["old-compiler"]["status"] == "failed"
    assert "deepx:dx-m1:0 on toy: target 'old-compiler': artefacts: " in records["old-compiler"]["reason"]
    assert "version 5 is not supported" in records["old-compiler"]["reason"]


def test_without_a_file_the_run_is_skipped_with_what_to_do(night: Any) -> None:
    _, _, records = night
    assert records["no-file"]["status"] == "skipped"
    assert 'artefacts = { "toy" = "FILE.dxnn" }' in records["no-file"]["reason"]


def test_temperatures_are_kept_and_there_is_no_power(night: Any) -> None:
    here, _, records = night
    record = records["sync"]
    assert all(source["joules"]["value"] is None for source in record["energy"])
    assert not [source for source in record["energy"] if source["evidence"] == "device power gauge"]
    folder = next((here.folder / "store").glob(f"*/{record['run_id']}"))
    with np.load(folder / "readings.npz") as readings:
        assert set(readings["0_values"][readings["0_valid"]]) == {41_000}


def test_a_night_without_the_package_says_so(place: Any, vendor_python: Callable[..., Path]) -> None:
    here = place("deepx-absent")
    target = {"backend": "deepx", "device": "dx-m1:0", "python": str(vendor_python("deepx"))}
    suite = here.suite({"npu": target}, [{"targets": ["npu"], "workloads": ["toy"], "precisions": ["vendor"]}])
    said = here("run", suite, "--store", "store")
    assert said.code == 3
    assert "this interpreter has no package dx_engine" in said.out + said.err
