"""Targets in interpreters of their own, and plug-ins that are not ours."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .world import PLAIN, Result, World, came_through, nobody_left, one_by_target, survivors

#: For the one that never ends: whatever else is asked has the time that any probe has, which a busy machine needs.
SLEEPING = {"NPUBENCH_PROBE_DEADLINE": "2"}


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another environment that sees what is installed here."""
    folder = tmp_path_factory.mktemp("venv") / "vendor"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    # addsitedir and not a plain line: what is installed here in editable mode is named in files of this kind.
    (site / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return folder / "bin" / "python"


@dataclass(frozen=True)
class Mixed:
    world: World
    result: Result
    slept: Result
    records: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def mixed(new_world: Callable[[str], World], acme: Path, broken: Path, sleeping: Path, other_python: Path) -> Mixed:
    """A suite of one target in another interpreter and of all that cannot be used, each for its own reason."""
    world = new_world("mixed")
    host = world.folder / "testbed.toml"
    host.write_text(f'schema_version = 1\n[target.vendor]\npython = "{other_python}"\n')
    empty = other_python.parent.parent / "no-npubench"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(empty)], check=True)
    targets = {
        "vendor": {"backend": "acme", "device": "npu0"},
        "nowhere": {**PLAIN, "python": "/nowhere/bin/python"},
        "bare": {**PLAIN, "python": str(empty / "bin" / "python")},
        "blind": {**PLAIN, "env": {"NPUBENCH_SIMULATED_FAULT": "probe-raises"}},
        "import": {"backend": "broken-import", "device": "x"},
        "crash": {"backend": "broken-crash", "device": "x"},
    }
    runs = [
        {"targets": ["vendor"], "workloads": ["acme-sum"]},
        {"targets": [name for name in targets if name != "vendor"], "workloads": ["probe"]},
    ]
    suite = world.suite(targets, runs)
    result = world("run", suite, "--host", host, "--store", world.store(), env={"PYTHONPATH": f"{acme}:{broken}"})
    alone = [{"targets": ["sleep"], "workloads": ["probe"]}]
    slow = world.suite({"sleep": {"backend": "broken-probe", "device": "x"}}, alone, name="sleeping")
    slept = world("run", slow, "--store", world.store("nothing"), env={"PYTHONPATH": str(sleeping), **SLEEPING})
    return Mixed(world, result, slept, one_by_target(world.store()))


def test_the_worker_runs_in_the_targets_own_interpreter(mixed: Mixed, other_python: Path) -> None:
    record = mixed.records["vendor"]
    assert came_through(record), record["reason"]
    assert record["provenance"]["interpreter"] == str(other_python)
    # By the plug-in's own account, from inside.
    assert record["system"]["versions"]["prefix"] == str(other_python.parent.parent)
    assert record["provenance"]["plugin"] == {
        "backend": "acme",
        "entry": "acme_npu.backend:Acme",
        "distribution": "acme_npu",
        "version": "1.2",
    }


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere", "python '/nowhere/bin/python' cannot be started: no such file or directory"),
        ("bare", "has no npubench; install it there, with the backend"),
        ("blind", "backend 'simulated': probe raises RuntimeError: SIMULATED device: probe fails, as asked"),
        ("import", "cannot be imported: ImportError: libvendor.so.4: cannot open shared object file"),
        ("crash", "backend 'broken-crash': its import or probe was killed by SIGSEGV"),
        ("sleep", "backend 'broken-probe': its import or probe took longer than 2 s"),
    ],
)
def test_a_target_that_cannot_be_used_is_named_with_the_reason(mixed: Mixed, target: str, words: str) -> None:
    result = mixed.slept if target == "sleep" else mixed.result
    assert result.code == 3, result.err
    line = next(line for line in result.err.splitlines() if f"target '{target}' cannot be used here" in line)
    assert words in line
    assert "Traceback" not in result.err


def test_only_the_usable_one_has_a_record(mixed: Mixed) -> None:
    assert list(mixed.records) == ["vendor"]
    assert one_by_target(mixed.world.store("nothing")) == {}


def test_what_slept_is_not_left_behind(mixed: Mixed) -> None:
    assert nobody_left(mixed.world.folder), survivors(mixed.world.folder)


def test_devices_shows_every_plugin_and_how_far_it_gets(world: World, acme: Path, broken: Path, sleeping: Path) -> None:
    env = {"PYTHONPATH": f"{acme}:{broken}"}
    slow = world.start("devices", "--json", env={"PYTHONPATH": str(sleeping), **SLEEPING})
    host = world.folder / "testbed.toml"
    host.write_text('schema_version = 1\n[target.x]\npython = "/nowhere/bin/python"\n')
    done = world("devices", "--json", "--host", host, env=env)
    assert done.code == 0, done.err
    seen = {(row["backend"], row["interpreter"]): row for row in json.loads(done.out)}
    rungs = {backend: row["availability"] for (backend, python), row in seen.items() if not python}
    expected = {
        "acme": "ready",
        "simulated": "ready",
        "onnxruntime": "ready",
        "broken-import": "sdk_broken",
        "broken-crash": "sdk_broken",
    }
    # Beside them stands whatever else is installed here.
    assert {backend: rungs[backend] for backend in expected} == expected
    assert [device["name"] for device in seen["acme", ""]["devices"]] == ["npu0"]
    assert seen["acme", ""]["options"] == {"mode": "''", "after": "30"}
    slept = slow.wait()
    assert slept.code == 0, slept.err
    assert {row["backend"]: row["availability"] for row in json.loads(slept.out)}["broken-probe"] == "sdk_broken"
    (missing,) = [row for (_, python), row in seen.items() if python]
    assert "cannot be started" in missing["reason"]


def test_a_deadline_that_is_no_number_is_said(world: World) -> None:
    done = world("devices", env={"NPUBENCH_PROBE_DEADLINE": "soon"})
    assert done.code == 2
    assert done.sentence == "npubench: NPUBENCH_PROBE_DEADLINE: 'soon' is not a number of seconds above 0"
