"""The kit passes a plug-in that conforms, and every check fails on one that does exactly this thing wrong.

No device is needed: the plug-ins of ``broken_npus`` compute with numpy. What these prove is the kit, not a chip.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.contract import Backend, Bundle, Offload
from npubench.contract.bundle import bundle_digest, file_digest, read_bundle
from npubench.testing.conformance.checks import CHECKS, chosen
from npubench.testing.conformance.order import Order
from npubench.testing.conformance.subject import Subject
from npubench.testing.conformance.supervisor import examine
from npubench.testing.conformance.verdict import FAILED, NEEDS, NOTED, PASSED, SKIPPED, Result, look_at, walk

from . import broken_npus as npus

#: These start processes or time things: they are carried out where they are meant, and left out elsewhere.
SLOW = {"identity/listing", "identity/light", "lifecycle/restart", "lifecycle/memory", "flight/pace"}

#: What a plug-in cannot get wrong without getting others wrong as well.
ALSO_BROKEN = {"lifecycle/reload"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Twelve samples of two inputs, with the reference of the toy's product."""
    root = tmp_path_factory.mktemp("toy")
    generator = np.random.default_rng(3)
    a = generator.standard_normal((12, 4), dtype=np.float32)
    b = generator.standard_normal((12, 3), dtype=np.float32)
    (root / "inputs").mkdir()
    (root / "fp32").mkdir()
    np.save(root / "inputs" / "0.npy", a)
    np.save(root / "inputs" / "1.npy", b)
    np.savez(root / "fp32" / "reference.npz", **{"0": a @ npus.A + b @ npus.B})
    (root / "fp32" / "model.onnx").write_bytes(b"stands for a graph")
    gate = {"metric": "m", "unit": "ratio", "higher_is_better": True, "reference": 1.0, "required": 1.0, "rule": "", "claim": ""}
    digest = file_digest(root / "fp32" / "model.onnx")
    manifest: dict[str, Any] = {
        "schema_version": 1,
        "workload": "toy",
        "version": "1",
        "title": {"en": "Toy"},
        "task": {"en": "None"},
        "licence": "Apache-2.0",
        "sources": [],
        "inputs": [spec.to_dict() for spec in npus.INPUTS],
        "outputs": [spec.to_dict() for spec in npus.OUTPUTS],
        "keep": ["all"],
        "samples": 12,
        "gate": gate,
        "latency_bound_ns": None,
        "operations": 28,
        "variants": {"fp32": {"precision": "fp32", "model": "fp32/model.onnx", "digest": digest, "reference_score": 1.0}},
        "calibration_digest": "",
        "files": {},
    }
    manifest["digest"] = bundle_digest(manifest)
    (root / "bundle.json").write_text(json.dumps(manifest))
    return read_bundle(root)


@pytest.fixture
def subject(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Subject]:
    """Make a subject of a plug-in's class; fresh interpreters find ``broken_npus`` by name."""
    monkeypatch.setenv("PYTHONPATH", str(Path(npus.__file__).parent))
    monkeypatch.syspath_prepend(str(Path(npus.__file__).parent))
    monkeypatch.setenv(npus.LOCK, str(tmp_path / "lock"))

    def make(cls: type[Backend], entry: str = "", **changes: Any) -> Subject:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        order = Order("toy", entry or f"broken_npus:{cls.__qualname__}", bundle=str(bundle.root), work=str(work))
        return Subject(replace(order, **{"queries": 400, "patience_s": 30.0, **changes}), cls())

    return make


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    """Give back what broken plug-ins keep."""
    yield
    while npus.LeavesOpen.left:
        os.close(npus.LeavesOpen.left.pop())
    npus.Hoards.kept.clear()


def found(subject: Subject, names: set[str]) -> dict[str, Result]:
    checks = [check for check in CHECKS if check.name in names]
    return {result.name: result for result in walk(checks, lambda check: look_at(check, subject))}


NAMES = {check.name for check in CHECKS}


# ---------------------------------------------------------------- the good ones


@pytest.mark.parametrize("cls", [npus.GoodBackend, npus.GoodAsyncBackend])
def test_a_plugin_that_conforms_passes(cls: type[Backend], subject: Callable[..., Subject]) -> None:
    results = found(subject(cls), NAMES)
    assert set(results) == NAMES
    assert [r for r in results.values() if r.status == FAILED] == []
    skipped = {name for name, r in results.items() if r.status == SKIPPED}
    submitting = {"flight/submit", "flight/callbacks", "flight/order", "flight/blocked", "flight/pace"}
    assert skipped == (set() if cls is npus.GoodAsyncBackend else submitting)
    # How fast the toy's threads are is no matter of conformance.
    assert {name for name, r in results.items() if r.status == NOTED} <= {"flight/pace"}


def test_every_check_has_a_plugin_that_it_fails() -> None:
    """Those that need a file of their own, and the one that never fails, have tests of their own below."""
    assert NAMES - set(npus.BROKEN) == {"identity/listing", "identity/light", "identity/clock"}
    assert set(npus.BROKEN) <= NAMES


@pytest.mark.parametrize(
    ("name", "cls"),
    [(name, cls) for name, broken in npus.BROKEN.items() for cls in broken],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_a_check_bites_and_no_other(name: str, cls: type[Backend], subject: Callable[..., Subject]) -> None:
    patience = 0.4 if name in ("flight/blocked", "flight/thousands") else 30.0
    broken = subject(cls, patience_s=patience)
    watching = set() if name.startswith("sensors/") else {"sensors/read", "sensors/monotone"}
    results = found(broken, (NAMES - SLOW - watching) | {name})
    wanted = NOTED if name == "flight/pace" else FAILED
    assert results[name].status == wanted, results[name].seen
    assert results[name].seen
    others = {n: r.seen for n, r in results.items() if n != name and r.status == FAILED}
    if name not in ALSO_BROKEN:
        assert others == {}


# ---------------------------------------------------------------- those with files of their own


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subject: Callable[..., Subject]) -> Callable[[str, str], Path]:
    """Write a module that this interpreter and fresh ones can import."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(Path(npus.__file__).parent)]))
    monkeypatch.syspath_prepend(str(site))

    def write(name: str, text: str) -> Path:
        path = site / f"{name}.py"
        path.write_text(text)
        return path

    return write


PLUGIN = "from broken_npus import GoodBackend\n\n\nclass Plugin(GoodBackend):\n    pass\n"


def test_a_plugin_that_is_imported_at_start_up_is_caught(subject: Callable[..., Subject], module: Callable[..., Path]) -> None:
    module("eager_npu", PLUGIN)
    one = subject(npus.GoodBackend, "eager_npu:Plugin")
    assert found(one, {"identity/listing"})["identity/listing"].status == PASSED
    module("sitecustomize", "import eager_npu\n")
    result = found(one, {"identity/listing"})["identity/listing"]
    assert (result.status, result.seen) == (FAILED, "the module eager_npu is loaded before anyone asked for the plug-in")


def test_a_plugin_that_imports_its_sdk_at_once_is_caught(subject: Callable[..., Subject], module: Callable[..., Path]) -> None:
    module("vendor_sdk", "")
    module("hasty_npu", "import vendor_sdk\n" + PLUGIN.replace("broken_npus", "vendor_sdk_free"))
    module("vendor_sdk_free", "class GoodBackend: pass\n")
    result = found(subject(npus.GoodBackend, "hasty_npu:Plugin"), {"identity/light"})["identity/light"]
    assert (result.status, result.seen) == (FAILED, "importing hasty_npu imports vendor_sdk, vendor_sdk_free")


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "from time import perf_counter",
        "import datetime as d",
        "import importlib; t = importlib.import_module('timeit')",
    ],
)
def test_a_plugin_that_imports_a_clock_is_caught(
    line: str, subject: Callable[..., Subject], module: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"ticking_npu_{abs(hash(line))}"
    module(name, f"{line}\n{PLUGIN}")
    result = found(subject(npus.GoodBackend, f"{name}:Plugin"), {"identity/clock"})["identity/clock"]
    assert result.status == FAILED
    assert f"{name}.py:1: " in result.seen


# ---------------------------------------------------------------- what is said


def test_a_host_operator_and_a_silent_runtime_are_noted(subject: Callable[..., Subject]) -> None:
    for account, said in (
        (None, "cannot tell"),
        (Offload(3, 2, "toy", ("Resize",)), "2 of 5 operators run on the host (Resize)"),
    ):
        executor = type("Telling", (npus.GoodExecutor,), {"offload": lambda self, account=account: account})
        backend = type("Telling", (npus.GoodBackend,), {"executor": executor})
        result = found(subject(backend), {"artefacts/offload"})["artefacts/offload"]
        assert result.status == NOTED
        assert said in result.seen


def test_a_backend_without_a_profile_is_no_fault(subject: Callable[..., Subject]) -> None:
    from npubench.contract import Unsupported

    def refuse(self: Backend, *arguments: Any) -> Any:
        raise Unsupported("this card has no timers")

    for profile, status, said in (
        (Backend.profile, SKIPPED, "it brings no profile"),
        (lambda self, *arguments: None, NOTED, "returns None here"),
        (lambda self, *arguments: [npus.OperatorTime("conv", "Conv", 0, 4)], NOTED, "none reached a step of the runtime's clock"),
        (refuse, NOTED, "none here: this card has no timers"),
    ):
        backend = type("Untimed", (npus.GoodBackend,), {"profile": profile})
        result = found(subject(backend), {"answers/profile"})["answers/profile"]
        assert result.status == status
        assert said in result.seen


def test_a_sensor_of_unknown_period_is_noted(subject: Callable[..., Subject]) -> None:
    sensor = type("Silent", (npus.Gauge,), {"update_period_ns": None})
    backend = type("Silent", (npus.GoodBackend,), {"sensors": lambda self, device: [sensor()]})
    result = found(subject(backend), {"sensors/period"})["sensors/period"]
    assert result.status == NOTED
    assert "card power" in result.seen


def test_what_needs_a_device_is_skipped_with_rung_reason_and_advice(subject: Callable[..., Subject]) -> None:
    results = found(subject(npus.Absent), NAMES - {"identity/listing", "identity/light"})
    for check in CHECKS:
        if check.name in results and "device" in NEEDS[check.needs]:
            result = results[check.name]
            assert (result.status, result.missing) == (SKIPPED, "device"), result
            assert result.seen == "driver_missing: the kernel module toy is not loaded; run: modprobe toy"
    assert results["identity/ladder"].status == PASSED


def test_a_compiler_that_refuses_is_no_fault(subject: Callable[..., Subject]) -> None:
    from npubench.contract import Unsupported

    def refuse(self: Backend, *arguments: Any) -> Any:
        raise Unsupported("E042: Conv is not supported")

    results = found(subject(type("Choosy", (npus.GoodBackend,), {"compile": refuse})), NAMES - SLOW)
    assert results["artefacts/compile"].status == SKIPPED
    assert "E042: Conv is not supported; hand a ready artefact in by --artefact" in results["artefacts/compile"].seen
    assert {r.missing for r in results.values() if r.name.startswith(("answers/", "flight/"))} == {"artefact"}
    assert FAILED not in {r.status for r in results.values()}


def test_an_artefact_handed_in_needs_no_bundle(subject: Callable[..., Subject], tmp_path: Path) -> None:
    ready = tmp_path / "ready.toy"
    ready.write_text("{}")
    results = found(subject(npus.GoodBackend, bundle="", artefact=str(ready)), NAMES - SLOW)
    assert FAILED not in {r.status for r in results.values()}
    assert results["answers/determinism"].status == PASSED
    assert {name for name in ("artefacts/kept", "artefacts/key", "answers/truth") if results[name].status == SKIPPED} == {
        "artefacts/kept",
        "artefacts/key",
        "answers/truth",
    }


def test_checks_are_chosen_by_name_and_by_family() -> None:
    assert chosen([]) == CHECKS
    assert {check.family for check in chosen(["answers"])} == {"answers"}
    assert [check.name for check in chosen(["lifecycle/close", "identity/ladder"])] == ["identity/ladder", "lifecycle/close"]
    with pytest.raises(Exception, match="there is no check 'answer/truth'; did you mean 'answers/truth'"):
        chosen(["answer/truth"])


def test_every_check_says_what_is_expected_and_what_to_do() -> None:
    assert len(NAMES) == len(CHECKS)
    for check in CHECKS:
        assert check.expected.endswith(".")
        assert check.advice.endswith(".")
        assert check.needs in NEEDS


# ---------------------------------------------------------------- processes of their own


def apart(subject: Callable[..., Subject], cls: type[Backend], names: list[str], **deadlines: float) -> dict[str, Result]:
    checks = [replace(check, deadline_s=deadlines.get(check.name.partition("/")[2], check.deadline_s)) for check in chosen(names)]
    return {result.name: result for result in examine(subject(cls).order, checks, sys.executable)}


def test_an_sdk_that_aborts_fails_one_check_and_the_rest_goes_on(subject: Callable[..., Subject]) -> None:
    results = apart(subject, npus.Aborts, ["artefacts", "lifecycle/close"])
    assert results["artefacts/offload"].status == FAILED
    assert results["artefacts/offload"].seen.startswith("the process was ended by SIGABRT; its last words: ")
    assert "assertion failed in libtoy.so" in results["artefacts/offload"].seen
    assert {r.status for r in results.values() if r.name != "artefacts/offload"} == {PASSED}


def test_an_sdk_that_leaves_without_a_word_fails_the_check(subject: Callable[..., Subject]) -> None:
    results = apart(subject, npus.Exits, ["artefacts/offload", "lifecycle/close"])
    assert (results["artefacts/offload"].status, results["artefacts/offload"].seen) == (FAILED, "the process ended with code 0")
    assert results["lifecycle/close"].status == PASSED


def test_an_sdk_that_hangs_fails_one_check_and_the_rest_goes_on(subject: Callable[..., Subject]) -> None:
    results = apart(subject, npus.Hangs, ["answers/inputs", "lifecycle/notes", "lifecycle/close"], notes=1.0)
    assert results["lifecycle/notes"].status == FAILED
    assert results["lifecycle/notes"].seen.startswith("no end within 1 s; it stood in ")
    assert results["lifecycle/close"].status == results["answers/inputs"].status == PASSED


def test_an_sdk_that_prints_and_scribbles_is_heard_all_the_same(subject: Callable[..., Subject]) -> None:
    results = apart(subject, npus.Noisy, ["identity/import", "identity/ladder", "identity/devices"])
    assert {r.status for r in results.values()} == {PASSED}


def test_a_plugin_that_does_not_import_leaves_the_rest_out(subject: Callable[..., Subject]) -> None:
    order = replace(subject(npus.GoodBackend).order, entry="no_such_module:Plugin")
    results = {result.name: result for result in examine(order, chosen(["identity", "artefacts/compile"]))}
    assert results["identity/import"].status == FAILED
    assert "No module named 'no_such_module'" in results["identity/import"].seen
    assert {(r.status, r.missing) for r in results.values() if r.name != "identity/import"} == {(SKIPPED, "plugin")}
