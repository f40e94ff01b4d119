"""A night on fake cards, in an environment as a vendor's user has it: plan, process, record. Proves no number of a chip.

The environment has the vendor's real SMI wheels too; the fakes come first on its path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from npubench.contract import Device, Model, TensorSpec
from npubench_furiosa import FuriosaBackend, RngdOptions

FAKE = Path(__file__).parent / "fake"


def env(toy, folder: Path, *names: str, **more: str) -> dict[str, str]:
    """Return the environment of a target that has these fakes."""
    return {
        "PYTHONPATH": os.pathsep.join(str(FAKE / name) for name in names),
        "FAKE_WEIGHT": str(toy.site / "weight.npy"),
        "FAKE_COMPILES": str(folder / "compiles"),
        **more,
    }


def by_target(place) -> dict[str, Mapping[str, Any]]:
    return {record["spec"]["target"]["name"]: record for record in place.records()}


def statuses(records: dict[str, Any]) -> dict[str, str]:
    """Return target → status; a busy machine may make a run of a second invalid, and its outputs are right all the same."""
    found = {}
    for name, record in records.items():
        measured = record["status"] in ("ok", "invalid") and not any(f["rule"] == "accuracy-gate" for f in record["findings"])
        found[name] = "measured" if measured else record["status"]
    return found


def test_a_night_on_fake_warboys(place, toy, smi_python: Path) -> None:
    here = place("warboy")
    ready = toy.artefact(here.folder / "toy.enf", batch=2)
    older = toy.artefact(here.folder / "older.enf", compiler="0.9.0")
    card = env(toy, here.folder, "warboy", "smi_py", FAKE_RNGD="0", FAKE_WARBOY="1")
    common = {"backend": "furiosa-warboy", "device": "warboy:0", "python": str(smi_python), "env": card}
    suite = here.suite(
        {
            "runner": {**common, "artefacts": {"toy": str(ready)}},
            "queue": {**common, "artefacts": {"toy": str(ready)}, "options": {"asynchronous": True, "queue_size": 4}},
            "older": {**common, "artefacts": {"toy": str(older)}},
        },
        [
            {
                "targets": ["runner", "queue", "older"],
                "workloads": ["toy"],
                "precisions": ["vendor"],
                "scenarios": ["offline"],
                "in_flight": 4,
            }
        ],
    )
    said = here("run", suite, "--store", "store")
    records = by_target(here)
    assert statuses(records) == {"runner": "measured", "queue": "measured", "older": "failed"}, said
    assert records["queue"]["provenance"]["settings"]["path"] == "submit, 4 in flight"
    assert "furiosa-warboy:warboy:0 on toy: target 'older': artefacts: " in records["older"]["reason"]
    assert "incompatible model image" in records["older"]["reason"]


def test_a_night_on_fake_rngds(place, toy, smi_python: Path, tmp_path: Path, fakes) -> None:
    """One compiles, one gets its artefact ready, one is refused, one is aborted, one breaks at import: the night goes on."""
    here = place("rngd")
    fakes("rngd", "smi")
    model = Model(
        _onnx(tmp_path, toy),
        "sha256:" + "0" * 64,
        "toy",
        "fp32",
        (TensorSpec("image", "float32", (None, 3, 8, 6), "NCHW"),),
        (TensorSpec("scores", "float32", (None, 5)),),
    )
    work = here.folder / "made"
    work.mkdir()
    ready = FuriosaBackend().compile(model, Device("rngd:0", "RNGD"), RngdOptions(), work).path

    def target(**more: str) -> dict[str, Any]:
        card = env(toy, here.folder, "rngd", "smi", **more)
        return {"backend": "furiosa", "device": "rngd:0", "python": str(smi_python), "env": card}

    targets = {
        "aborted": {**target(FAKE_COMPILER="abort"), "options": {"tactic_hint": "NoConstraint"}},
        "broken": target(FAKE_TORCH="broken"),
        "compiled": {**target(), "options": {"batch": 2}},
        "ready": {**target(), "artefacts": {"toy": str(ready)}},
        "refused": {**target(), "options": {"dtype": "bfloat16"}},
    }
    suite = here.suite(targets, [{"targets": list(targets), "workloads": ["toy"], "scenarios": ["single-stream"]}])
    said = here("run", suite, "--store", "store")
    records = by_target(here)
    assert statuses(records) == {"aborted": "skipped", "compiled": "measured", "ready": "measured", "refused": "skipped"}, said
    text = {name: record["reason"] or "" for name, record in records.items()}
    assert "unsupported: the compiler aborted the process (SIGABRT)" in text["aborted"]
    assert "EdgeIndex(162)" in text["aborted"]
    assert "target 'broken' cannot be used here: sdk_broken" in said.err
    assert "PrivateUse1 backend already registered" in said.err
    assert "fp32 means float32" in text["refused"]
    artefact = records["compiled"]["artefact"]
    assert (artefact["device_operators"], artefact["host_operators"], artefact["ready"]) == (2, 0, False)
    assert records["ready"]["artefact"]["ready"] is True
    assert records["compiled"]["system"]["device"]["kind"] == "RNGD"


def checked(here, backend: str, *more: Any) -> dict[str, Any]:
    """Return what ``npubench check`` found, as JSON; its exit code says whether a check failed."""
    said = here("check", backend, "--json", *more)
    assert said.code in (0, 1), said
    found: dict[str, Any] = json.loads(said.out)
    failed = [f"{each['name']}: {each['seen']}" for each in found["checks"] if each["status"] == "failed"]
    assert (said.code, failed) == (0, []), "\n".join(failed)
    return found


@pytest.mark.parametrize("backend", ["furiosa", "furiosa-warboy"])
def test_every_state_has_its_rung(place, toy, smi_python: Path, backend: str) -> None:
    """The SDK absent, and the SDK there with no card; the SMI is the real one in both."""
    here = place(f"state-{backend}")
    no_card = env(toy, here.folder, "rngd" if backend == "furiosa" else "warboy")
    for rung, given in (("not_installed", {}), ("driver_missing", no_card)):
        found = checked(here, backend, "--python", smi_python, *flags(given))
        assert found["availability"]["rung"] == rung
        assert found["availability"]["reason"] and found["availability"]["advice"]


def test_a_fake_rngd_conforms(place, toy, smi_python: Path) -> None:
    here = place("check-rngd")
    given = flags(env(toy, here.folder, "rngd", "smi"))
    batch = ("--option", "batch=4")
    found = checked(here, "furiosa", "--python", smi_python, "--workload", "toy", "--queries", 500, *batch, *given)
    assert found["availability"]["rung"] == "ready"


@pytest.mark.parametrize("asynchronous", ["false", "true"])
def test_a_fake_warboy_conforms(place, toy, smi_python: Path, asynchronous: str) -> None:
    here = place(f"check-warboy-{asynchronous}")
    ready = toy.artefact(here.folder / "toy.enf", batch=2)
    given = flags(env(toy, here.folder, "warboy", "smi_py", FAKE_RNGD="0", FAKE_WARBOY="1"))
    how = ("--option", f"asynchronous={asynchronous}", "--queries", 500)
    found = checked(here, "furiosa-warboy", "--python", smi_python, "--artefact", ready, *how, *given)
    assert found["availability"]["rung"] == "ready"


def test_a_fake_warboy_conforms_where_it_compiles(place, toy, smi_python: Path) -> None:
    """Through the fake quantiser, with no compiler command: the kit's checks of artefacts, keys and cache."""
    here = place("check-warboy-compiles")
    given = flags(env(toy, here.folder, "warboy", "quantizer", "onnx_small", "smi_py", FAKE_RNGD="0", FAKE_WARBOY="1"))
    more = ("--workload", "toy", "--option", "batch_size=2", "--queries", 100)
    found = checked(here, "furiosa-warboy", "--python", smi_python, *more, *given)
    status = {each["name"]: each["status"] for each in found["checks"]}
    assert {status[f"artefacts/{name}"] for name in ("compile", "kept", "key", "cache", "load")} == {"passed"}


def flags(given: Mapping[str, str]) -> list[str]:
    return [part for key, value in given.items() for part in ("--env", f"{key}={value}")]


def _onnx(folder: Path, toy) -> Path:
    """The workload's own graph, as the bundle has it in all that the fakes look at."""
    path = folder / "toy.onnx"
    path.write_bytes(b"Flatten MatMul " + toy.weight.tobytes())
    return path
