"""Whatever an SDK does to its process, the night goes on, and a record or a rung says what happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from npubench_reports.messages import load as messages
from npubench_reports.reasons import say

from .hostile import SDKS, STUCK, write_hostile, write_stuck
from .world import Result, World, came_through, nobody_left, one_by_target, survivors

#: For the one that is stuck alone: the others have the time that any probe has, which a busy machine needs.
DEADLINE_S = 2

#: Backends that do not get as far as a run → what is said of them.
UNUSABLE: dict[str, str] = {
    "aborts-probe": "its import or probe was killed by SIGABRT: ACME driver assertion failed: card != NULL",
    "stuck": f"backend 'stuck': its import or probe took longer than {DEADLINE_S} s",
    "breaks-torch": "the SDK 'sdk_breaks_torch' cannot be imported: RuntimeError: Failed to load the backend extension: acme.",
    "newer": "backend 'newer' is written for contract 99, this npubench has 1",
    "no-backend": "backend 'no-backend' (hostile_wrong:NoBackend) is not a subclass of npubench.contract.Backend",
    "no-class": "backend 'no-class': its entry point 'hostile_wrong' is not written as module:Class",
    "twin": "backend 'twin' is claimed by hostile 1.2 (hostile_polite:Plugin) and impostor 1.2 (hostile_rude:Plugin)",
}

#: And what leads further.
ADVICE: dict[str, str] = {
    "aborts-probe": "-c 'import hostile_aborts_probe'",
    "stuck": "NPUBENCH_PROBE_DEADLINE=SECONDS allows more",
    "breaks-torch": "install the SDK again",
    "newer": "install a newer npubench, which knows contract 99",
    "no-backend": "npubench check no-backend",
    "no-class": "mend the entry point",
    "twin": "-m pip uninstall DISTRIBUTION",
}

READY = [name for name in SDKS if name not in UNUSABLE]


@dataclass(frozen=True)
class Hostility:
    world: World
    run: Result
    devices: Result
    stuck_run: Result
    stuck_devices: Result
    records: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def hostile(new_world: Callable[[str], World], acme: Path, tmp_path_factory: pytest.TempPathFactory) -> Hostility:
    """One suite with a target of every such backend, and the list of devices; a store named by a relative path."""
    world = new_world("hostile")
    site = write_hostile(tmp_path_factory.mktemp("sdks"))
    env = {"PYTHONPATH": f"{site}:{acme}"}
    (world.folder / "model.acme").write_bytes(b"ACME-2 1.9")
    # The polite one last: it comes through only if the night went on.
    names = [*(name for name in (*SDKS, *UNUSABLE) if name not in ("polite", STUCK)), "polite"]
    targets: dict[str, Any] = {name: {"backend": name, "device": "npu:0"} for name in names}
    targets["wrong-ready"] = {**targets["wrong-file"], "artefacts": {"acme-sum": "model.acme"}}
    order = ["wrong-ready", *targets]
    suite = world.suite(targets, [{"targets": list(dict.fromkeys(order)), "workloads": ["acme-sum"]}])
    devices = world.start("devices", "--json", env=env)
    run = world.start("run", suite.name, "--store", "store", env=env)
    slow = write_stuck(tmp_path_factory.mktemp("stuck-sdk"))
    apart = {"PYTHONPATH": f"{slow}:{acme}", "NPUBENCH_PROBE_DEADLINE": str(DEADLINE_S)}
    target = {STUCK: {"backend": STUCK, "device": "npu:0"}}
    alone = world.suite(target, [{"targets": [STUCK], "workloads": ["acme-sum"]}], name="stuck")
    stuck = world.start("run", alone.name, "--store", "stuck-store", env=apart), world.start("devices", "--json", env=apart)
    ended = run.wait(), devices.wait(), stuck[0].wait(), stuck[1].wait()
    return Hostility(world, *ended, one_by_target(world.store()))


def files_of(record: dict[str, Any]) -> Iterator[str]:
    """The files beside a record, without those of its warm-up: how many windows that takes is the machine's mood."""
    return (name for name in record["provenance"]["files"] if not name.startswith("loadgen/warm-up"))


@pytest.mark.parametrize("backend", UNUSABLE)
def test_a_backend_that_cannot_be_used_is_named_with_reason_and_advice(hostile: Hostility, backend: str) -> None:
    run = hostile.stuck_run if backend == STUCK else hostile.run
    assert run.code == 3, run.err
    line = next(line for line in run.err.splitlines() if f"target '{backend}' cannot be used here" in line)
    assert UNUSABLE[backend] in line
    assert ADVICE[backend] in line
    assert backend not in hostile.records


def test_the_list_of_devices_has_them_all_and_the_others_are_ready(hostile: Hostility) -> None:
    assert hostile.devices.code == 0, hostile.devices.err
    rows = {row["backend"]: row for row in json.loads(hostile.devices.out)}
    assert hostile.stuck_devices.code == 0, hostile.stuck_devices.err
    rows[STUCK] = {row["backend"]: row for row in json.loads(hostile.stuck_devices.out)}[STUCK]
    assert {name: rows[name]["availability"] for name in (*READY, *UNUSABLE)} == {
        **dict.fromkeys(READY, "ready"),
        **dict.fromkeys(UNUSABLE, "sdk_broken"),
    }
    assert rows["simulated"]["availability"] == "ready"
    for name, said in UNUSABLE.items():
        assert said in rows[name]["reason"]
        assert ADVICE[name] in rows[name]["advice"]


@pytest.mark.parametrize("target", ["polite", "slow-and-loud", "rude"])
def test_what_is_only_loud_or_rude_is_measured(hostile: Hostility, target: str) -> None:
    record = hostile.records[target]
    assert came_through(record), record["reason"]
    assert record["metrics"]["latency_p90"]["value"] > 0


def test_what_a_rude_sdk_left_or_changed_is_in_its_record(hostile: Hostility) -> None:
    record, polite = hostile.records["rude"], hostile.records["polite"]
    (residue,) = [finding for finding in record["findings"] if finding["rule"] == "residue"]
    assert "1 threads" in residue["observed"]
    # It pinned itself to one core: the record says so, and not what the worker had been given.
    assert len(record["provenance"]["settings"]["cores"].split(",")) == 1
    # What it did to the interpreter is undone before anything is measured.
    for setting in ("switch_interval_s", "timer_slack_ns"):
        assert record["provenance"]["settings"][setting] == polite["provenance"]["settings"][setting]
    # It hid every file made after it by its mask; those of its run can be read all the same.
    assert set(files_of(record)) == set(files_of(polite))
    (trace,) = hostile.world.store().glob(f"*/{record['run_id']}/trace.npz")
    assert trace.stat().st_mode & 0o600 == 0o600


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("aborts-execute", "the worker was killed by SIGABRT in phase "),
        ("closes", "the worker lost its pipe to the supervisor in phase load-plugin; a plug-in may close only what it opened"),
        ("wrong-ready", "target 'wrong-ready': artefacts: {folder}/model.acme: made for ACME-2 by compiler 1.9, here are ACME-1"),
        ("wrong-file", "the compiled artefact: "),
    ],
)
def test_what_ends_a_run_is_its_records_reason_in_both_languages(hostile: Hostility, target: str, words: str) -> None:
    record = hostile.records[target]
    assert record["status"] == "failed"
    name = f"{record['spec']['target']['backend']}:npu:0 on acme-sum: "
    assert record["reason"].startswith(name + words.format(folder=hostile.world.folder)), record["reason"]
    for language in ("en", "ko"):
        assert not say(record["reason"], messages(language)).foreign


def test_its_last_words_are_kept(hostile: Hostility) -> None:
    assert "ACME runtime assertion failed: queue" in hostile.records["aborts-execute"]["provenance"]["log_tail"]
    assert len(hostile.records["slow-and-loud"]["provenance"]["log_tail"]) <= 4000


def test_no_traceback_reaches_the_user_and_nobody_survives(hostile: Hostility) -> None:
    for result in (hostile.run, hostile.devices, hostile.stuck_run, hostile.stuck_devices):
        assert "Traceback" not in result.err
    assert nobody_left(hostile.world.folder), survivors(hostile.world.folder)
