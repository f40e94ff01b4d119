"""What a user gets wrong ends in exit code 2 and one sentence with the file, the key and the nearest valid name."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BASE = """schema_version = 1
name = "s"
grade = "smoke"

[target.good]
backend = "simulated"
device = "sim:plain"

[[run]]
targets = ["good"]
workloads = ["probe"]
"""

PLAIN = 'device = "sim:plain"'

#: Name → the suite's text, and what the sentence must say after the file's name.
SUITES: dict[str, tuple[str, str]] = {
    "key": (BASE.replace("grade", "watchdogs_s = 3\ngrade"), "unknown key 'watchdogs_s'; did you mean 'watchdog_s'?"),
    "run-key": (BASE + "duration = 3\n", "unknown key 'run[0].duration'; did you mean 'duration_s'?"),
    "target-key": (BASE.replace(PLAIN, PLAIN + "\noption = {}"), "unknown key 'target.good.option'; did you mean 'options'?"),
    "workload": (BASE.replace('"probe"', '"prob"'), "run[0].workloads: unknown workload 'prob'; did you mean 'probe'?"),
    "scenario": (BASE + 'scenarios = ["ofline"]\n', "run[0].scenarios[0]: 'ofline' is not valid; did you mean 'offline'?"),
    "backend": (BASE.replace('"simulated"', '"simulatd"'), "target.good.backend: unknown backend 'simulatd'; did you mean 'simulated'?"),
    "device": (BASE.replace("sim:plain", "sim:plane"), "target.good.device: backend 'simulated' has no device 'sim:plane'; did you mean 'sim:plain'?"),
    "option": (BASE.replace(PLAIN, PLAIN + '\noptions = { fualt = "raise" }'), "target.good.options: unknown key 'fualt'; did you mean 'fault'?"),
    "option-value": (BASE.replace(PLAIN, PLAIN + '\noptions = { fault = "rais" }'), "target.good.options: fault: there is no 'rais'; did you mean 'raise'?"),
    "option-type": (BASE.replace(PLAIN, PLAIN + '\noptions = { fault_after = "3" }'), "target.good.options: fault_after: '3' is not of type int"),
    "precision": (BASE + 'precisions = ["fp23"]\n', "run[0].precisions[0]: 'fp23' is not valid; did you mean 'fp32'?"),
    "precision-not-there": (BASE + 'precisions = ["bf16"]\n', "run[0].precisions: workload 'probe' has no precision 'bf16'; valid are: fp32"),
    "target": (BASE.replace('["good"]', '["godo"]'), "run[0].targets: unknown target 'godo'; did you mean 'good'?"),
    "grade": (BASE.replace("smoke", "smoky"), "grade: 'smoky' is not valid; did you mean 'smoke'?"),
    "phase": (BASE.replace("[target", "[deadline_s]\nacuracy = 3\n[target"), "deadline_s.acuracy: 'acuracy' is not valid; did you mean 'accuracy'?"),
    "type": (BASE + 'batch = "8"\n', "run[0].batch: input should be a valid integer (it is '8')"),
    "rate": (BASE + 'scenarios = ["server"]\ntarget_qps = "atuo"\n', "run[0].target_qps: 'atuo' is not valid; did you mean 'auto'?"),
    "rate-below-0": (BASE + 'scenarios = ["server"]\ntarget_qps = -1\n', "run[0].target_qps: input should be greater than 0 (it is -1)"),
    "run-table": (BASE.replace("[[run]]", "[run]"), "run: there may be several; write [[run]] instead of [run]"),
    "short": (BASE + "duration_s = 0.5\n", "run[0].duration_s: 0.5 s is shorter than grade smoke allows (1 s)"),
    "toml": (BASE + "batch = \n", "not valid TOML: Invalid value (at line 12, column 9)"),
    "newer": (BASE.replace("schema_version = 1", "schema_version = 2"), "schema_version is 2, this npubench reads 1; install a newer npubench"),
    "empty": ("", "key 'schema_version' is missing"),
    "artefact": (BASE.replace(PLAIN, PLAIN + '\nartefacts = { probe = "nope.bin" }'), "nope.bin does not exist"),
    "artefact-workload": (BASE.replace(PLAIN, PLAIN + '\nartefacts = { prob = "nope.bin" }'), "target.good.artefacts: unknown workload 'prob'; did you mean 'probe'?"),
    "hardware": (BASE.replace("simulated", "onnxruntime").replace("sim:plain", "cpu"), "run[0].workloads: 'probe' is for the simulated device only, not for target 'good'"),
}

#: Name → arguments, and what the sentence must say. ``STORE`` is a store with runs, ``FILE`` a file that is no folder.
COMMANDS: dict[str, tuple[list[str], str]] = {
    "missing suite file": (["run", "nope.toml"], "nope.toml: no such file"),
    "unknown suite": (["run", "dmo"], "there is no suite 'dmo'; did you mean 'demo'?"),
    "a folder for a suite": (["run", "/tmp"], "/tmp: cannot be read: is a directory"),
    "unknown verb": (["rnu", "demo"], "No such command 'rnu'. Did you mean 'run'?"),
    "unknown option": (["run", "demo", "--stor", "x"], "No such option: --stor"),
    "nothing to run": (["run"], "give either a suite or --model FILE"),
    "missing model": (["run", "--model", "nope.onnx"], "nope.onnx: no such file"),
    "not a model": (["run", "--model", "FILE"], "not an ONNX model, or a damaged one"),
    "unreadable shape": (["run", "--model", "FILE", "--shape", "x"], "--shape x: write it as NAME=1x3x224x224"),
    "missing host file": (["run", "demo", "--host", "nope.toml"], "nope.toml: no such host file"),
    "store is a file": (["run", "GOOD", "--store", "FILE"], "the store cannot be written: file exists; choose another with --store"),
    "store below a file": (["run", "GOOD", "--store", "FILE/x"], "the store cannot be written: not a directory"),
    "store that is no folder": (["report", "--store", "FILE"], "not a folder of records"),
    "empty store": (["report", "--store", "nowhere"], "there is no run in this store"),
    "unknown language": (["report", "--store", "STORE", "--language", "fr"], "no report catalogue for language 'fr'; there are: en, ko"),
    "unknown baseline": (["report", "--store", "STORE", "--baseline", "plian"], "--baseline 'plian': no such subject"),
    "unknown suite in a store": (["report", "--store", "STORE", "--suite", "scene"], "there is no run of suite 'scene'"),
    "unknown target": (["compare", "plian", "twin", "--store", "STORE"], "no run with target 'plian' in"),
    "unknown precision": (["compare", "plain/fp16", "twin", "--store", "STORE"], "no run with precision 'fp16' in"),
    "unknown coordinate": (["compare", "tagret=plain", "twin", "--store", "STORE"], "unknown key 'tagret'; did you mean 'target'?"),
    "unknown format": (["schema", "recrod"], "there is no format 'recrod'; did you mean 'record'?"),
    "unknown workload": (["workloads", "show", "prob"], "unknown workload 'prob'; did you mean 'probe'?"),
}


def check_sentence(result: Any, said: str) -> None:
    """One sentence, exit 2, nothing else that frightens."""
    assert result.code == 2, result.err
    assert result.sentence.startswith("npubench: ")
    assert said in result.sentence
    assert "Traceback" not in result.err
    assert len(result.err.strip().splitlines()) <= 2


@pytest.fixture(scope="module")
def suites(new_world: Callable[[str], Any]) -> dict[str, Any]:
    world = new_world("bad-suites")
    for name, (text, _) in SUITES.items():
        (world.folder / f"{name}.toml").write_text(text, encoding="utf-8")
    results = world.all([["run", f"{name}.toml", "--store", f"store-{name}"] for name in SUITES])
    return dict(zip(SUITES, results, strict=True))


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_that_is_wrong(suites: dict[str, Any], name: str) -> None:
    check_sentence(suites[name], SUITES[name][1])
    assert suites[name].sentence.startswith(f"npubench: {name}.toml: ")


@pytest.fixture(scope="module")
def commands(new_world: Callable[[str], Any], scenes: Any, tools: Any) -> dict[str, Any]:
    world = new_world("bad-commands")
    (world.folder / "file").write_text("neither a store nor a model")
    good = world.suite({"good": tools.plain}, [{"targets": ["good"], "workloads": ["probe"]}], name="good")
    before = tools.fingerprint(scenes.store)
    named = {"FILE": "file", "STORE": str(scenes.store), "GOOD": str(good), "FILE/x": "file/x"}
    results = world.all([[named.get(word, word) for word in words] for words, _ in COMMANDS.values()])
    assert tools.fingerprint(scenes.store) == before
    return dict(zip(COMMANDS, results, strict=True))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_wrong(commands: dict[str, Any], name: str) -> None:
    check_sentence(commands[name], COMMANDS[name][1])


def test_the_nearest_target_is_named(commands: dict[str, Any]) -> None:
    assert commands["unknown target"].sentence.endswith("; did you mean 'plain'?")


def test_nothing_at_all_gets_the_help(world: Any) -> None:
    done = world()
    assert done.code == 2
    assert done.err.startswith("Usage:")
    assert "compare" in done.err


@pytest.mark.parametrize("member", ["fp32/model.onnx", "inputs/0.npy", "fp32/reference.npz", "bundle.json"])
def test_a_bundle_of_a_wrong_digest_is_never_measured(world: Any, cache: Path, tmp_path: Path, member: str) -> None:
    other = tmp_path / "cache"
    shutil.copytree(cache, other)
    file = next((other / "bundles").glob(f"probe-*/{member}"))
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 0x01
    file.write_bytes(damaged)
    done = world("workloads", "prepare", "probe", env={"NPUBENCH_CACHE": str(other)})
    assert done.code == 0, done.err
    assert "making the bundle again, because it is damaged" in done.err
    # It stays readable text: what is made anew is the same to the byte.
    assert file.read_bytes() == next((cache / "bundles").glob(f"probe-*/{member}")).read_bytes()


@pytest.mark.parametrize("limit", [2_000, 8_000])
def test_a_store_that_takes_no_more_loses_nothing_that_it_has(world: Any, tools: Any, limit: int) -> None:
    """No file may be longer than ``limit``: the worker's own files do not fit, or only the record."""
    suite = world.suite({"a": tools.plain}, [{"targets": ["a"], "workloads": ["probe"]}])

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    full = world("run", suite, "--store", world.store(), preexec=little_room)
    assert full.code == 2, full.err
    assert re.search(r"^npubench: .*file too large.*finished runs are kept", full.sentence, re.IGNORECASE)
    assert "Traceback" not in full.err
    assert tools.records(world.store()) == {}


def test_a_full_disk_keeps_what_is_finished_and_goes_on_when_there_is_room(world: Any, tools: Any) -> None:
    disk = world.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=168k", "none", str(disk)], capture_output=True, check=False) if shutil.which("mount") else None
    if mounted is None or mounted.returncode:
        pytest.skip("mounting a small file system needs privileges; the limit on file sizes above stands in for it")
    try:
        suite = world.suite({"a": tools.plain, "b": tools.plain}, [{"targets": ["a", "b"], "workloads": ["probe"]}])
        store = disk / "store"
        full = world("run", suite, "--store", store)
        assert full.code == 2, full.err
        assert "no space left on device" in full.sentence.lower()
        assert "finished runs are kept" in full.sentence
        assert "Traceback" not in full.err
        before = tools.fingerprint(store)
        assert [record["status"] for record in tools.records(store).values()] == ["ok"]
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        done = world("run", suite, "--store", store)
        assert done.code == 0, done.err
        after = tools.fingerprint(store)
        assert len(after) == 2
        assert before.items() <= after.items()
    finally:
        subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_an_unwritable_store(world: Any, tools: Any) -> None:
    world.store().mkdir(mode=0o500)
    suite = world.suite({"a": tools.plain}, [{"targets": ["a"], "workloads": ["probe"]}])
    check_sentence(world("run", suite, "--store", world.store()), "the store cannot be written: permission denied")
