"""Whatever a plug-in does, the night goes on: one failed record each, with the reason, and no number for it."""

from __future__ import annotations

import re

import pytest

from .night import ACME, FAILED, HANGING, Night
from .world import came_through, fingerprint, nobody_left, one_by_target, survivors

#: How the command marks what was measured.
MARKS = {"ok": "✔", "invalid": "▲"}


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


def test_the_good_target_is_ok_after_all_of_them(night: Night) -> None:
    for world in night.worlds:
        good = one_by_target(world.store())["good"]
        assert came_through(good), good["reason"]
        assert good["metrics"]["latency_p90"]["value"] >= 2_100_000


def test_junk_in_the_pipe_to_the_supervisor_is_not_listened_to(night: Night) -> None:
    assert came_through(night.records["pipe"]), night.records["pipe"]["reason"]


def test_the_command_says_so(night: Night) -> None:
    for world, result in zip(night.worlds, night.results, strict=True):
        assert result.code == 1
        assert "Traceback" not in result.err
        assert "✘ failed" in result.err
        status = one_by_target(world.store())["good"]["status"]
        assert f"{MARKS[status]} {status} probe fp32 single-stream on good" in result.err
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


def test_nobody_survives(night: Night) -> None:
    for world in night.worlds:
        assert nobody_left(world.folder), survivors(world.folder)


def test_the_same_command_measures_nothing_again(night: Night) -> None:
    before = fingerprint(night.worlds[1].store())
    again = night.again(1).wait()
    assert again.code == 1
    assert f"{len(before)} of {len(before)} runs are in the store already" in again.err
    assert "hung in phase accuracy" in again.err
    assert fingerprint(night.worlds[1].store()) == before


def test_a_report_of_such_a_night_has_the_good_number_and_no_other(night: Night) -> None:
    world = night.worlds[1]
    done = world("report", "--store", world.store(), "--language", "en")
    assert done.code == 0
    assert done.out.count("✘ failed") == len(HANGING) + len(ACME)
    # The good target's, and that of the one that only wrote junk into a pipe.
    assert len(re.findall(r"\d ms", done.out)) == 2
