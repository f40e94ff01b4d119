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

from .scenes import Scenes
from .world import PLAIN, Result, World, came_through, code_of, fingerprint, read_records

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

DEVICE = 'device = "sim:plain"'

#: Name → the suite's text, and what the sentence must say after the file's name.
SUITES: dict[str, tuple[str, str]] = {
    "key": (BASE.replace("grade", "watchdogs_s = 3\ngrade"), "unknown key 'watchdogs_s'; did you mean 'watchdog_s'?"),
    "run-key": (BASE + "duration = 3\n", "unknown key 'run[0].duration'; did you mean 'duration_s'?"),
    "target-key": (BASE.replace(DEVICE, DEVICE + "\noption = {}"), "unknown key 'target.good.option'; did you mean 'options'?"),
    "workload": (BASE.replace('"probe"', '"prob"'), "run[0].workloads: unknown workload 'prob'; did you mean 'probe'?"),
    "scenario": (BASE + 'scenarios = ["ofline"]\n', "run[0].scenarios[0]: 'ofline' is not valid; did you mean 'offline'?"),
    "backend": (
        BASE.replace('"simulated"', '"simulatd"'),
        "target.good.backend: unknown backend 'simulatd'; did you mean 'simulated'?",
    ),
    "device": (
        BASE.replace("sim:plain", "sim:plane"),
        "target.good.device: backend 'simulated' has no device 'sim:plane'; did you mean 'sim:plain'?",
    ),
    "option": (
        BASE.replace(DEVICE, DEVICE + '\noptions = { fualt = "raise" }'),
        "target.good.options: unknown key 'fualt'; did you mean 'fault'?",
    ),
    "option-value": (
        BASE.replace(DEVICE, DEVICE + '\noptions = { fault = "rais" }'),
        "target.good.options: fault: there is no 'rais'; did you mean 'raise'?",
    ),
    "option-type": (
        BASE.replace(DEVICE, DEVICE + '\noptions = { fault_after = "3" }'),
        "target.good.options: fault_after: '3' is not of type int "
        "(backend 'simulated' on device 'sim:plain'; npubench devices --json lists its options)",
    ),
    "option-date": (
        BASE.replace(DEVICE, DEVICE + "\noptions = { fault_after = 2026-08-01 }"),
        "target.good.options: fault_after: {'date': '2026-08-01'} is not of type int",
    ),
    "precision": (BASE + 'precisions = ["fp23"]\n', "run[0].precisions[0]: 'fp23' is not valid; did you mean 'fp32'?"),
    "precision-not-there": (
        BASE + 'precisions = ["bf16"]\n',
        "run[0].precisions: workload 'probe' has no precision 'bf16'; valid are: fp32",
    ),
    "target": (BASE.replace('["good"]', '["godo"]'), "run[0].targets: unknown target 'godo'; did you mean 'good'?"),
    "grade": (BASE.replace("smoke", "smoky"), "grade: 'smoky' is not valid; did you mean 'smoke'?"),
    "phase": (
        BASE.replace("[target", "[deadline_s]\nacuracy = 3\n[target"),
        "deadline_s.acuracy: 'acuracy' is not valid; did you mean 'accuracy'?",
    ),
    "type": (BASE + 'batch = "8"\n', "run[0].batch: input should be a valid integer (it is '8')"),
    "rate": (
        BASE + 'scenarios = ["server"]\ntarget_qps = "atuo"\n',
        "run[0].target_qps: 'atuo' is not valid; did you mean 'auto'?",
    ),
    "rate-below-0": (
        BASE + 'scenarios = ["server"]\ntarget_qps = -1\n',
        "run[0].target_qps: input should be greater than 0 (it is -1)",
    ),
    "run-table": (BASE.replace("[[run]]", "[run]"), "run: there may be several; write [[run]] instead of [run]"),
    "short": (BASE + "duration_s = 0.5\n", "run[0].duration_s: 0.5 s is shorter than grade smoke allows (1 s)"),
    "toml": (BASE + "batch = \n", "not valid TOML: Invalid value (at line 12, column 9)"),
    "newer": (
        BASE.replace("schema_version = 1", "schema_version = 2"),
        "schema_version is 2, this npubench reads 1; install a newer npubench",
    ),
    "empty": ("", "key 'schema_version' is missing"),
    "artefact": (BASE.replace(DEVICE, DEVICE + '\nartefacts = { probe = "nope.bin" }'), "nope.bin does not exist"),
    "artefact-workload": (
        BASE.replace(DEVICE, DEVICE + '\nartefacts = { prob = "nope.bin" }'),
        "target.good.artefacts: unknown workload 'prob'; did you mean 'probe'?",
    ),
    "hardware": (
        BASE.replace("simulated", "onnxruntime").replace("sim:plain", "cpu"),
        "run[0].workloads: 'probe' is for the simulated device only, not for target 'good'",
    ),
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
    "a CPU that is not there": (
        ["run", "GOOD", "--host", "cores.toml"],
        "host file: free_cores: [9999] must be some of this machine's cores",
    ),
    "no CPU left": (["run", "GOOD", "--host", "all-cores.toml"], "this machine's cores"),
    "unknown host key": (
        ["run", "GOOD", "--host", "host-key.toml"],
        "host-key.toml: unknown key 'free_core'; did you mean 'free_cores'?",
    ),
    "missing host file": (["run", "demo", "--host", "nope.toml"], "nope.toml: no such host file"),
    "store is a file": (
        ["run", "GOOD", "--store", "FILE"],
        "the store cannot be written: file exists; choose another with --store",
    ),
    "store below a file": (["run", "GOOD", "--store", "FILE/x"], "the store cannot be written: not a directory"),
    "store that is no folder": (["report", "--store", "FILE"], "not a folder of records"),
    "empty store": (["report", "--store", "nowhere"], "there is no run in this store"),
    "unknown language": (
        ["report", "--store", "STORE", "--language", "fr"],
        "no report catalogue for language 'fr'; there are: en, ko",
    ),
    "unknown baseline": (["report", "--store", "STORE", "--baseline", "plian"], "--baseline 'plian': no such subject"),
    "unknown suite in a store": (["report", "--store", "STORE", "--suite", "scene"], "there is no run of suite 'scene'"),
    "unknown target": (["compare", "plian", "twin", "--store", "STORE"], "; did you mean 'plain'?"),
    "unknown precision": (["compare", "plain/fp16", "twin", "--store", "STORE"], "no run with precision 'fp16' in"),
    "unknown coordinate": (
        ["compare", "tagret=plain", "twin", "--store", "STORE"],
        "unknown key 'tagret'; did you mean 'target'?",
    ),
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


#: Those that are asked of the command in a process of its own; the others differ in nothing on the way there.
OUTSIDE = [
    "key",
    "backend",
    "option",
    "precision-not-there",
    "toml",
    "missing suite file",
    "unknown verb",
    "store is a file",
    "unknown language",
]
OF_A_STORE = [name for name, (words, _) in COMMANDS.items() if "STORE" in words]


def write_suites(folder: Path) -> None:
    for name, (text, _) in SUITES.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    (folder / "good.toml").write_text(BASE, encoding="utf-8")
    (folder / "cores.toml").write_text("schema_version = 1\nfree_cores = [9999]\n")
    (folder / "all-cores.toml").write_text(f"schema_version = 1\nfree_cores = {sorted(os.sched_getaffinity(0))}\n")
    (folder / "host-key.toml").write_text("schema_version = 1\nfree_core = [0]\n")
    (folder / "file").write_text("neither a store nor a model")


def arguments(name: str, store: Path) -> list[str]:
    if name in SUITES:
        return ["run", f"{name}.toml", "--store", f"store-{name}"]
    named = {"FILE": "file", "FILE/x": "file/x", "STORE": str(store), "GOOD": "good.toml"}
    return [named.get(word, word) for word in COMMANDS[name][0]]


def check(name: str, result: Any) -> None:
    said = (SUITES.get(name) or COMMANDS[name])[1]
    check_sentence(result, said)
    if name in SUITES:
        assert result.sentence.startswith(f"npubench: {name}.toml: ")


@pytest.fixture(scope="module")
def workshop(new_world: Callable[[str], World]) -> Any:
    world = new_world("bad-input")
    write_suites(world.folder)
    return world


@pytest.mark.parametrize("name", [name for name in (*SUITES, *COMMANDS) if name not in (*OUTSIDE, *OF_A_STORE)])
def test_bad_input_is_one_sentence(workshop: World, name: str, inside: Callable[..., Result]) -> None:
    check(name, inside(workshop, *arguments(name, Path())))


@pytest.mark.parametrize("name", [name for name in OF_A_STORE if name not in OUTSIDE])
def test_a_wrong_question_to_a_store_is_one_sentence(
    workshop: World, name: str, scenes: Scenes, inside: Callable[..., Result]
) -> None:
    before = fingerprint(scenes.store)
    check(name, inside(workshop, *arguments(name, scenes.store)))
    assert fingerprint(scenes.store) == before


def test_so_it_is_from_a_shell(workshop: World, scenes: Scenes) -> None:
    for name, result in zip(OUTSIDE, workshop.all([arguments(name, scenes.store) for name in OUTSIDE]), strict=True):
        check(name, result)
        assert result.out == ""


def test_nothing_at_all_gets_the_help(world: World) -> None:
    done = world()
    assert done.code == 2
    assert done.err.startswith("Usage:")
    assert "compare" in done.err


@pytest.mark.parametrize("member", ["fp32/model.onnx", "inputs/0.npy", "fp32/reference.npz", "bundle.json"])
def test_a_bundle_of_a_wrong_digest_is_never_measured(
    cache: Path, tmp_path: Path, member: str, inside: Callable[..., Result]
) -> None:
    other = tmp_path / "cache"
    shutil.copytree(cache, other)
    file = next((other / "bundles").glob(f"probe-*/{member}"))
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 0x01
    file.write_bytes(damaged)
    done = inside(World(tmp_path, other), "workloads", "prepare", "probe")
    assert done.code == 0, done.err
    assert "making the bundle again, because it is damaged" in done.err
    # What is made anew is the same to the byte.
    assert file.read_bytes() == next((cache / "bundles").glob(f"probe-*/{member}")).read_bytes()


def test_a_record_that_does_not_fit_is_said(world: World) -> None:
    """No file may be longer than 5 kB, as with a quota; the trace is, and the record."""
    suite = world.suite({"a": PLAIN}, [{"targets": ["a"], "workloads": ["probe"]}])

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))

    full = world("run", suite, "--store", world.store(), preexec=little_room)
    assert full.code == 2, full.err
    assert re.search(r"^npubench: .*file too large.*finished runs are kept", full.sentence, re.IGNORECASE)
    assert "Traceback" not in full.err
    assert read_records(world.store()) == {}


def test_a_full_disk_keeps_what_is_finished_and_goes_on_when_there_is_room(world: World) -> None:
    disk = world.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs privileges; the limit on file sizes above stands in for it")
    try:
        store = disk / "store"
        first = world.suite({"a": PLAIN}, [{"targets": ["a"], "workloads": ["probe"]}])
        world("run", first, "--store", store)
        # Room for a part of another run: how much one takes is the machine's mood, but no run is so small.
        size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
        room = os.statvfs(disk)
        (disk / "ballast").write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - size // 4)))
        suite = world.suite({"a": PLAIN, "b": PLAIN}, [{"targets": ["a", "b"], "workloads": ["probe"]}])
        full = world("run", suite, "--store", store)
        assert full.code == 2, full.err
        assert "no space left on device" in full.sentence.lower()
        assert "finished runs are kept" in full.sentence
        assert "Traceback" not in full.err
        before = fingerprint(store)
        assert [came_through(record) for record in read_records(store).values()] == [True]
        (disk / "ballast").unlink()
        done = world("run", suite, "--store", store)
        assert done.code == code_of(store), done.err
        assert all(came_through(record) for record in read_records(store).values())
        after = fingerprint(store)
        assert len(after) == 2
        assert before.items() <= after.items()
    finally:
        subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_an_unwritable_store(world: World) -> None:
    world.store().mkdir(mode=0o500)
    suite = world.suite({"a": PLAIN}, [{"targets": ["a"], "workloads": ["probe"]}])
    check_sentence(world("run", suite, "--store", world.store()), "the store cannot be written: permission denied")
