"""The supervisor ends every worker, whatever it does, and says how it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from npubench.contract.runspec import RunSpec, to_plain
from npubench.measure import runner
from npubench.measure.runner import Outcome, run_worker

#: Stands for the target's interpreter: ``$3`` is the run's folder, ``$4`` the events' descriptor, ``$5`` the control's.
HEADER = """#!/bin/sh
folder=$3
event() { printf '%s\\n' "$1" > /proc/self/fd/$events; }
if [ "$2" = npubench.measure.sampler ]; then
  echo ready
  cat > /dev/null
  touch "$folder/sampled"
  exit 0
fi
events=$4 control=$5
"""

PHASE = """event '{"event": "phase", "phase": "%s", "start_ns": 1}'\n"""
SENSORS = """event '{"event": "sensors", "plugin": true}'\n"""
AWAIT = """event '{"event": "await-sensors"}'\n"""
FINISHED = """event '{"event": "finished"}'\n"""

#: Longer than any test may take, s.
LONG = 60.0


def descriptors() -> list[str]:
    """Return this process's open descriptors; two listings are alike where nothing was left open in between."""
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


@pytest.fixture
def run(tmp_path: Path, make_spec: Callable[..., RunSpec]) -> Callable[..., Outcome]:
    def run(body: str, on_event: Callable[[Mapping[str, Any]], None] = lambda event: None, **changes: Any) -> Outcome:
        script = tmp_path / "python"
        script.write_text(HEADER + body)
        script.chmod(0o755)
        (tmp_path / "run").mkdir(exist_ok=True)
        defaults = {"watchdog_s": LONG, "deadlines_s": {}}
        spec = make_spec(target={"python": str(script), "env": changes.pop("env", {})}, **{**defaults, **changes})
        return run_worker(spec, tmp_path / "run", on_event)

    return run


def test_a_worker_that_finishes_is_finished(run: Callable[..., Outcome], tmp_path: Path) -> None:
    seen: list[str] = []
    outcome = run(
        PHASE % "measure" + """event '{"event": "progress", "done": 3}'\n""" + PHASE % "audit" + FINISHED,
        lambda event: seen.append(event["event"]),
    )
    assert (outcome.kind, outcome.reason, outcome.phase, outcome.exit_code) == ("finished", "", "audit", 0)
    assert seen == ["phase", "progress", "phase", "finished"]
    assert list(outcome.phases) == ["measure", "audit"]
    assert outcome.phases["measure"] <= outcome.phases["audit"]
    assert outcome.wall_ns > 0


def test_the_worker_gets_the_spec_as_it_is(
    run: Callable[..., Outcome], tmp_path: Path, make_spec: Callable[..., RunSpec]
) -> None:
    run(FINISHED)
    spec = make_spec(target={"python": str(tmp_path / "python")}, watchdog_s=LONG, deadlines_s={})
    assert json.loads((tmp_path / "run" / "spec.json").read_text()) == to_plain(spec)


def test_the_worker_has_the_targets_environment(run: Callable[..., Outcome], tmp_path: Path) -> None:
    run('printf %s "$ACME_CARD $PYTHONUNBUFFERED" > "$folder/environment"\n' + FINISHED, env={"ACME_CARD": "7"})
    assert (tmp_path / "run" / "environment").read_text() == "7 1"


def test_a_failure_the_worker_reports_is_told_in_its_words(run: Callable[..., Outcome]) -> None:
    outcome = run(
        PHASE % "compile"
        + """event '{"event": "failed", "kind": "skipped", "phase": "compile", "reason": "no Conv3D"}'; exit 70"""
    )
    assert (outcome.kind, outcome.reason, outcome.phase) == ("skipped", "no Conv3D", "compile")


def test_a_worker_killed_by_a_signal_died_of_it(run: Callable[..., Outcome]) -> None:
    outcome = run(PHASE % "load-executor" + "echo 'NPU fault 0x1f' >&2\nkill -SEGV $$\n")
    assert (outcome.kind, outcome.phase, outcome.exit_code) == ("died", "load-executor", -11)
    assert outcome.reason == "acme:npu0 on tiny: the worker was killed by SIGSEGV in phase load-executor"
    assert "NPU fault 0x1f" in outcome.log_tail


@pytest.mark.parametrize("code", [0, 3])
def test_a_worker_that_leaves_before_it_has_finished_died(run: Callable[..., Outcome], code: int) -> None:
    outcome = run(PHASE % "warm-up" + f"exit {code}\n")
    assert outcome.kind == "died"
    assert f"the worker exited with code {code} in phase warm-up before it had finished" in outcome.reason


def test_a_worker_without_a_word_died(run: Callable[..., Outcome]) -> None:
    outcome = run("exit 0\n")
    assert (outcome.kind, outcome.phase) == ("died", "start")


def test_a_child_that_holds_the_pipe_open_does_not_hide_a_death(run: Callable[..., Outcome]) -> None:
    """A plug-in may fork; what it forked has the events' pipe, which then never closes."""
    outcome = run(PHASE % "compile" + f"sleep {LONG} &\nkill -ABRT $$\n", deadlines_s={"compile": 15.0})
    assert (outcome.kind, outcome.exit_code) == ("died", -6)


GARBAGE = [
    "head -c 3000000 /dev/zero | tr '\\0' 'x' > /proc/self/fd/$events; echo > /proc/self/fd/$events",
    "head -c 300000 /dev/zero | tr '\\0' '[' > /proc/self/fd/$events; echo > /proc/self/fd/$events",
    "head -c 100000 /dev/urandom > /proc/self/fd/$events; echo > /proc/self/fd/$events",
    *(
        f"event '{text}'"
        for text in (
            "",
            "[]",
            "3",
            '{"event": 1}',
            '{"event": "phase"}',
            '{"event": "phase", "phase": 3}',
            '{"event": "progress"}',
            '{"event": "progress", "done": "x"}',
            '{"event": "progress", "done": 1e999}',
            '{"event": "search"}',
            '{"event": "failed"}',
            '{"event": "something else"}',
            '{"event": "finis',
        )
    ),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=[str(n) for n in range(len(GARBAGE))])
def test_garbage_in_the_event_pipe_is_not_listened_to(run: Callable[..., Outcome], garbage: str) -> None:
    seen: list[Mapping[str, Any]] = []
    outcome = run(PHASE % "measure" + garbage + "\n" + FINISHED, seen.append)
    assert outcome.kind == "finished"
    assert outcome.phase == "measure"
    assert [event["event"] for event in seen] == ["phase", "finished"]


def test_a_silent_worker_is_hung_and_killed(run: Callable[..., Outcome]) -> None:
    outcome = run(PHASE % "accuracy" + f"exec sleep {LONG}\n", watchdog_s=0.5)
    assert outcome.kind == "hung"
    assert outcome.reason == "acme:npu0 on tiny: hung in phase accuracy: no sample completed for 0.5 s; killed"
    assert outcome.exit_code is not None
    assert outcome.exit_code < 0


def test_a_worker_that_reports_but_completes_nothing_is_hung(run: Callable[..., Outcome]) -> None:
    beat = """while :; do event '{"event": "progress", "done": 5}'; sleep 0.05; done\n"""
    outcome = run(PHASE % "measure" + beat, watchdog_s=0.5)
    assert outcome.kind == "hung"


def test_a_lively_worker_does_not_outlast_its_deadline(run: Callable[..., Outcome]) -> None:
    flood = """while :; do event '{"event": "noise"}'; done\n"""
    outcome = run(PHASE % "compile" + flood, deadlines_s={"compile": 0.4})
    assert outcome.kind == "deadline"
    assert outcome.reason == "acme:npu0 on tiny: phase compile took longer than its deadline of 0.4 s; killed"


def test_what_the_worker_started_is_killed_with_it(run: Callable[..., Outcome], tmp_path: Path) -> None:
    run(f'sleep {LONG} & echo $! > "$folder/child"\n' + PHASE % "accuracy" + "wait\n", watchdog_s=0.3)
    child = Path(f"/proc/{(tmp_path / 'run' / 'child').read_text().strip()}/stat")
    for _ in range(1200):
        # A killed process stays as a zombie where nobody reaps orphans.
        try:
            state = child.read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state in "ZX":
            return
        time.sleep(0.05)
    pytest.fail("the child is still there")


def test_an_interrupt_ends_the_worker_and_goes_on(run: Callable[..., Outcome], tmp_path: Path) -> None:
    def interrupt(event: Mapping[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run('echo $$ > "$folder/pid"\n' + PHASE % "measure" + f"exec sleep {LONG}\n", interrupt)
    assert not Path(f"/proc/{(tmp_path / 'run' / 'pid').read_text().strip()}").exists()


def test_an_interpreter_that_is_not_there_is_the_targets_fault(tmp_path: Path, make_spec: Callable[..., RunSpec]) -> None:
    before = descriptors()
    outcome = run_worker(make_spec(target={"python": "/no/such/python"}), tmp_path)
    assert outcome.kind == "target"
    assert "target 'card': python '/no/such/python' cannot be started" in outcome.reason
    assert descriptors() == before


def test_no_descriptor_is_left_behind(run: Callable[..., Outcome]) -> None:
    run(FINISHED)
    before = descriptors()
    for body in (
        FINISHED,
        "kill -9 $$\n",
        SENSORS + AWAIT + "head -c1 < /proc/self/fd/$control\n" + FINISHED,
    ):
        run(body)
    assert descriptors() == before


def test_the_sampler_is_ahead_of_what_is_measured_and_stopped_after_the_end(run: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = run(SENSORS + AWAIT + 'head -c1 < /proc/self/fd/$control > "$folder/told"\n' + FINISHED)
    assert outcome.kind == "finished"
    assert (tmp_path / "run" / "told").read_bytes() == b"\n"
    assert (tmp_path / "run" / "sampled").exists()


def test_a_worker_that_dies_while_the_sampler_starts_died(run: Callable[..., Outcome]) -> None:
    outcome = run(SENSORS + AWAIT + "kill -9 $$\n")
    assert (outcome.kind, outcome.exit_code) == ("died", -9)


def test_the_log_is_kept_to_its_last_lines(run: Callable[..., Outcome]) -> None:
    outcome = run("yes filler | head -n 5000\nprintf 'last \\0words \\377'\nexit 1\n")
    assert outcome.log_tail.endswith("last words \ufffd")
    assert len(outcome.log_tail) <= 4000


def test_no_log_is_no_tail(tmp_path: Path) -> None:
    assert runner.log_tail(tmp_path / "nothing") == ""


class Clock:
    """Stands for ``time``."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return int(self.now * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(runner, "time", clock)
    return clock


def test_patience_is_until_the_nearer_of_deadline_and_watchdog(clock: Clock, make_spec: Callable[..., RunSpec]) -> None:
    watch = runner._Watch(make_spec(deadlines_s={"measure": 10.0, "compile": 50.0}, watchdog_s=4.0))
    watch.take({"event": "phase", "phase": "measure"})
    assert watch.patience_s() == pytest.approx(4.0)
    clock.now += 3.0
    watch.take({"event": "progress", "done": 1})
    assert watch.patience_s() == pytest.approx(4.0)
    clock.now += 3.0
    watch.take({"event": "progress", "done": 1})
    assert watch.patience_s() == pytest.approx(1.0), "no sample completed since"
    assert not watch.judge()
    watch.take({"event": "progress", "done": 2})
    clock.now += 3.5
    assert watch.patience_s() == pytest.approx(0.5), "the deadline is nearer than the watchdog"
    clock.now += 0.5
    assert watch.judge()
    assert watch.conclude(None)[0] == "deadline"


def test_silence_is_a_hang_only_where_samples_run(clock: Clock, make_spec: Callable[..., RunSpec]) -> None:
    watch = runner._Watch(make_spec(deadlines_s={"measure": 100.0, "compile": 100.0}, watchdog_s=4.0))
    watch.take({"event": "phase", "phase": "compile"})
    clock.now += 50
    assert not watch.judge()
    watch.take({"event": "phase", "phase": "measure"})
    clock.now += 5
    assert watch.judge()
    assert watch.conclude(-9)[0] == "hung"


def test_a_worker_that_was_kept_waiting_for_a_sampler_has_not_hung(clock: Clock, make_spec: Callable[..., RunSpec]) -> None:
    watch = runner._Watch(make_spec(deadlines_s={"ranging": 100.0}, watchdog_s=4.0))
    watch.take({"event": "phase", "phase": "ranging"})
    clock.now += 30
    watch.waited()
    assert not watch.judge()
    clock.now += 4
    assert watch.judge()


def test_a_step_of_the_search_is_progress(clock: Clock, make_spec: Callable[..., RunSpec]) -> None:
    watch = runner._Watch(replace(make_spec(), deadlines_s={"search": 100.0}, watchdog_s=4.0))
    watch.take({"event": "phase", "phase": "search"})
    clock.now += 3
    watch.take({"event": "search", "rate": 10.0, "met": True, "certifying": False})
    assert watch.patience_s() == pytest.approx(4.0)
