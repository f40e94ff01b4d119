"""Whatever a plug-in does, the night goes on: one failed record each, with the reason, and no number for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

#: Good requests before a fault that strikes in the accuracy phase, of 64 samples, or only after it.
IN_ACCURACY, LATER = 5, 100

#: Target → options of the simulated device, and what the reason must say.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "raise": ({"fault": "raise", "fault_after": IN_ACCURACY}, r"RuntimeError: SIMULATED device error 0x5A"),
    "raise-later": ({"fault": "raise", "fault_after": LATER}, r"RuntimeError: SIMULATED device error 0x5A"),
    "exit": ({"fault": "exit", "fault_after": LATER}, r"exited with code 3 in phase (warm-up|measure)"),
    "signal": ({"fault": "signal", "fault_after": LATER}, r"killed by SIGSEGV in phase (warm-up|measure)"),
    "nan": ({"fault": "nan", "fault_after": IN_ACCURACY}, r"output 'y' has 1 NaN or Inf of 8 values"),
    "nan-later": ({"fault": "nan", "fault_after": LATER}, r"output 'y' has 1 NaN or Inf of 8 values"),
    "shape": ({"fault": "shape", "fault_after": LATER}, r"output 'y' has shape \[1, 7\], declared is \[1, 8\]"),
    "dtype": ({"fault": "dtype", "fault_after": LATER}, r"output 'y' has dtype float64, declared is float32"),
    "missing-output": ({"fault": "missing-output", "fault_after": LATER}, r"output 'y' is left out"),
    "load-raises": ({"fault": "load-raises"}, r"load: RuntimeError: SIMULATED device error 0x17"),
    "exit-in-load": ({"fault": "exit-in-load"}, r"exited with code 3 in phase load-executor"),
    "late-garbage": ({"fault": "late-garbage", "fault_after": 200}, r"outputs under load differ from the accuracy phase's"),
    "bad-option": ({"max_in_flight": 0}, r"max_in_flight: must be above 0"),
}

#: The same for native asynchronous completion, two requests in flight.
ASYNCHRONOUS: dict[str, tuple[dict[str, Any], str]] = {
    "stale": ({"fault": "stale", "fault_after": 20}, r"outputs under load differ from the accuracy phase's"),
    "double-done": ({"fault": "double-done", "fault_after": IN_ACCURACY}, r"called done twice"),
    "raise-async": ({"fault": "raise", "fault_after": 20}, r"RuntimeError: SIMULATED device error 0x5A"),
}

#: Those that are only seen from outside, by time.
HANGS: dict[str, tuple[dict[str, Any], str]] = {
    "hang": ({"fault": "hang", "fault_after": IN_ACCURACY}, r"hung in phase accuracy: no sample completed for 3 s"),
    "gil-hang": ({"fault": "gil-hang", "fault_after": LATER}, r"hung in phase (warm-up|measure): no sample completed for 3 s"),
    "hang-in-close": ({"fault": "hang-in-close"}, r"phase close took longer than its deadline of 3 s"),
}
HANGS_ASYNCHRONOUS: dict[str, tuple[dict[str, Any], str]] = {
    "drop-done": ({"fault": "drop-done", "fault_after": IN_ACCURACY}, r"hung in phase accuracy: no sample completed for 3 s"),
}

#: What the plug-in out of tree does.
ACME: dict[str, str] = {
    "exit0": r"exited with code 0 in phase (warm-up|measure)",
    "sys-exit": r"SystemExit: 5",
    "interrupt": r"KeyboardInterrupt",
    "orphans": r"killed by SIGKILL in phase (warm-up|measure)",
    "list": r"execute returned list, not a mapping",
    "noise": r"RuntimeError: ACME error 77",
}

FAILED = {name: what for group in (FAULTS, ASYNCHRONOUS, HANGS, HANGS_ASYNCHRONOUS) for name, (_, what) in group.items()}


@dataclass
class Night:
    worlds: list[Any]
    suites: list[Any]
    results: list[Any]
    records: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def night(new_world: Callable[[str], Any], acme: Any, tools: Any) -> Night:
    """Two suites at once, each with one good target last: those that hang take their time."""
    quick, slow = new_world("faults"), new_world("hangs")

    def simulated(group: dict[str, tuple[dict[str, Any], str]], **more: Any) -> dict[str, Any]:
        return {name: {**tools.plain, "options": {**options, **more}} for name, (options, _) in group.items()}

    overlapping = {"max_in_flight": 2, "asynchronous": True}
    twice = {"workloads": ["probe"], "scenarios": ["offline"], "in_flight": 2}
    limits = {"watchdog_s": 3, "deadline_s": {"close": 3}}
    vendors = {mode: {"backend": "acme", "device": "npu0", "options": {"mode": mode}} for mode in (*ACME, "pipe")}
    refusing = {"compile-refuses": {**tools.plain, "options": {"fault": "compile-refuses"}}}
    suites = [
        quick.suite(
            {**simulated(FAULTS), **simulated(ASYNCHRONOUS, **overlapping), **refusing, "good": tools.plain},
            [
                {"targets": [*FAULTS, "compile-refuses"], "workloads": ["probe"]},
                {"targets": list(ASYNCHRONOUS), **twice},
                {"targets": ["good"], "workloads": ["probe"]},
            ],
            **limits,
        ),
        slow.suite(
            {**simulated(HANGS), **simulated(HANGS_ASYNCHRONOUS, **overlapping), **vendors, "good": tools.plain},
            [
                {"targets": list(HANGS), "workloads": ["probe"]},
                {"targets": list(HANGS_ASYNCHRONOUS), **twice},
                {"targets": list(vendors), "workloads": ["acme-sum"]},
                {"targets": ["good"], "workloads": ["probe"]},
            ],
            **limits,
        ),
    ]
    started = [
        world.start("run", suite, "--store", world.store(), env={"PYTHONPATH": str(acme)})
        for world, suite in zip((quick, slow), suites, strict=True)
    ]
    results = [one.wait() for one in started]
    records = {**tools.by_target(slow.store()), **tools.by_target(quick.store())}
    return Night([quick, slow], suites, results, records)


@pytest.mark.parametrize("target", FAILED)
def test_a_fault_is_a_failed_record_with_its_reason(night: Night, target: str) -> None:
    record = night.records[target]
    assert record["status"] == "failed"
    assert record["reason"].startswith("simulated:sim:plain on probe: ")
    assert re.search(FAILED[target], record["reason"]), record["reason"]


@pytest.mark.parametrize("mode", ACME)
def test_so_is_what_a_plugin_out_of_tree_does(night: Night, mode: str) -> None:
    record = night.records[mode]
    assert record["status"] == "failed"
    assert record["reason"].startswith("acme:npu0 on acme-sum: ")
    assert re.search(ACME[mode], record["reason"]), record["reason"]


@pytest.mark.parametrize("target", [*FAILED, *ACME, "compile-refuses"])
def test_no_number_is_shown_for_it(night: Night, target: str) -> None:
    record = night.records[target]
    assert record["metrics"]
    for metric in record["metrics"].values():
        assert metric["value"] is None
        assert metric["low"] is None
        assert metric["reason"] == record["reason"]
    assert record["energy"] == []


def test_what_a_compiler_refuses_is_an_answer_in_its_own_words(night: Night) -> None:
    record = night.records["compile-refuses"]
    assert record["status"] == "skipped"
    assert "unsupported: SIMULATED compiler: error E042: the model is refused, as asked" in record["reason"]


def test_the_good_target_is_ok_after_all_of_them(night: Night, tools: Any) -> None:
    for world in night.worlds:
        good = tools.by_target(world.store())["good"]
        assert good["status"] == "ok", good["reason"]
        assert good["metrics"]["latency_p90"]["value"] >= 2_100_000


def test_junk_in_the_pipe_to_the_supervisor_is_not_listened_to(night: Night) -> None:
    assert night.records["pipe"]["status"] == "ok", night.records["pipe"]["reason"]


def test_the_command_says_so(night: Night) -> None:
    for result in night.results:
        assert result.code == 1
        assert "Traceback" not in result.err
        assert "✘ failed" in result.err
        assert "✔ ok probe fp32 single-stream on good" in result.err
    assert "– skipped" in night.results[0].err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("raise", "SIMULATED device error 0x5A"),
        ("load-raises", "SIMULATED device error 0x17"),
        ("signal", "Segmentation fault"),
        ("noise", "ACME error 77"),
        # Where it stood: the worker is asked for its threads' stacks before it is killed.
        ("hang", "in hang"),
        ("gil-hang", "in hang_with_gil"),
        ("hang-in-close", "in hang"),
    ],
)
def test_the_log_tail_is_in_the_record(night: Night, target: str, words: str) -> None:
    tail = night.records[target]["provenance"]["log_tail"]
    assert words in tail
    assert len(tail) <= 4000


def test_the_workers_end_is_in_the_record(night: Night) -> None:
    codes = {name: night.records[name]["provenance"]["worker_exit"] for name in ("exit", "exit0", "signal", "orphans", "good")}
    assert codes == {"exit": 3, "exit0": 0, "signal": -11, "orphans": -9, "good": 0}


def test_a_run_that_died_still_says_what_it_ran_on(night: Night) -> None:
    for target in ("exit", "signal", "hang", "gil-hang", "exit-in-load", "load-raises"):
        record = night.records[target]
        assert record["system"]["simulated"], target
        assert record["system"]["device"]["name"] == "sim:plain"
        assert [phase["phase"] for phase in record["phases"]][:2] == ["load-plugin", "compile"]


def test_nobody_survives(night: Night, tools: Any) -> None:
    for world in night.worlds:
        assert tools.nobody_left(world.folder), tools.survivors(world.folder)


def test_the_same_command_measures_nothing_again(night: Night, acme: Any, tools: Any) -> None:
    world, suite = night.worlds[1], night.suites[1]
    before = tools.fingerprint(world.store())
    again = world("run", suite, "--store", world.store(), env={"PYTHONPATH": str(acme)})
    assert again.code == 1
    count = len(before)
    assert f"{count} of {count} runs are in the store already" in again.err
    assert "hung in phase accuracy" in again.err
    assert tools.fingerprint(world.store()) == before


def test_a_report_of_such_a_night_has_the_good_number_and_no_other(night: Night) -> None:
    world = night.worlds[1]
    done = world("report", "--store", world.store(), "--language", "en")
    assert done.code == 0
    assert done.out.count("✘ failed") == len(HANGS) + len(HANGS_ASYNCHRONOUS) + len(ACME)
    # The good target's, and that of the one that only wrote junk into a pipe.
    assert len(re.findall(r"\d ms", done.out)) == 2


def test_a_probe_that_raises_leaves_the_other_targets_their_runs(world: Any, tools: Any) -> None:
    blind = {**tools.plain, "env": {"NPUBENCH_SIMULATED_FAULT": "probe-raises"}}
    suite = world.suite({"blind": blind, "good": tools.plain}, [{"targets": ["blind", "good"], "workloads": ["probe"]}])
    done = world("run", suite, "--store", world.store())
    assert done.code == 3
    assert "target 'blind' cannot be used here: sdk_broken: backend 'simulated': probe raises RuntimeError" in done.err
    assert [record["status"] for record in tools.records(world.store()).values()] == ["ok"]
