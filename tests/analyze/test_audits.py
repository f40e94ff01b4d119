"""Every audit passes an honest account and fails a dishonest one; noise accuses nobody."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npubench.analyze.audits.batch_work import judge_batch_work
from npubench.analyze.audits.facts import AuditFacts, Declared
from npubench.analyze.audits.host_work import in_flight_ns, judge_host_work
from npubench.analyze.audits.idle_baseline import flattered, judge_idle_baseline
from npubench.analyze.audits.in_turn import judge_other_seeds, judge_repeated_sample
from npubench.analyze.audits.judge import audit_findings
from npubench.analyze.audits.own_process import judge_own_process
from npubench.analyze.audits.paired import paired_ratio
from npubench.analyze.audits.roofline import judge_roofline
from npubench.analyze.audits.same_outputs import judge_same_outputs
from npubench.analyze.audits.verdict import Audit
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.outputs import Canary
from npubench_reports.messages import load
from npubench_reports.reasons import say

KO, EN = load("ko"), load("en")
MS = 1e6
ACCURACY = np.random.default_rng(1).standard_normal((16, 5)).astype(np.float32)
UNTOUCHED = {
    "changed": [],
    "opened": [],
    "looked_at": 2000,
    "opens_watched": "kernel",
    "clock_off_ns": 0,
    "kernel_start_ns": 900,
    "kernel_end_ns": 2_000_000_000,
}
RESTED = {"sampled": True, "start_ns": 1, "end_ns": 2, "wall_s": 0.5, "cpu_s": 0.01}


def pairs(first_ms: float, second_ms: float, noise: float = 0.02, count: int = 10, seed: int = 3) -> dict[str, Any]:
    factor = np.exp(np.random.default_rng(seed).normal(0.0, noise, (count, 2)))
    return {"pairs": (np.array([first_ms, second_ms]) * MS * factor).tolist()}


def watts(value: float, half: float = 0.1) -> Estimate:
    return Estimate(value, "W", value - half, value + half)


def account(at_work: float, idle: float, domain: str = "card") -> Any:
    return SimpleNamespace(
        sensor="card power", domain=domain, evidence="device power gauge", watts=watts(at_work), idle_watts=watts(idle)
    )


def facts(**changes: Any) -> AuditFacts:
    """Return an honest run of 1,000 samples of 1 ms."""
    started = np.arange(1000, dtype=np.int64) * 1_000_000 + 1000
    arrays: dict[str, Any] = {}
    for size in (1, 2, 4):
        arrays |= {f"batch-work/{size}/sample": np.arange(size), f"batch-work/{size}/0": ACCURACY[:size]}
    bundle: Any = SimpleNamespace(operations=10**9, outputs=[SimpleNamespace(name="y")], keep=["all"])
    made = AuditFacts(
        spec=SimpleNamespace(grade="official"),  # type: ignore[arg-type]
        bundle=bundle,
        trace=SimpleNamespace(  # type: ignore[arg-type]
            started_ns=started, done_ns=started + 900_000, start_ns=1000, end_ns=1_000_000_000
        ),
        metrics={"throughput": Estimate(1000.0, "samples/s", 990.0, 1010.0)},
        observed={"device": {"host": False}, "cpu": {"wall_s": 1.0, "user_s": 0.2, "system_s": 0.05}},
        observations={
            "repeated-sample": pairs(1.0, 1.0),
            "other-seeds": pairs(1.0, 1.0),
            "batch-work": {"batches": [1, 2, 4], "times_ns": [[1.0 * MS, 1.5 * MS, 2.5 * MS]] * 5},
            "own-process": UNTOUCHED,
            "idle-baseline": RESTED,
        },
        arrays=arrays,
        accuracy=[ACCURACY],
        canary=Canary(64, 1e-6, 0.05),
        accounts=(account(40.0, 10.0),),
        rested=(account(40.0, 10.0),),
        declared=Declared("ACME-1", 2e12),
    )
    return replace(made, **changes)


def seen(name: str, **changes: Any) -> AuditFacts:
    """Return the honest run with another observation of one probe."""
    honest = facts()
    return replace(honest, observations={**honest.observations, name: {**honest.observations[name], **changes}})


def reads(audit: Audit) -> Audit:
    """Return an audit whose words are known in both languages, and whose evidence a record can hold."""
    for text in (audit.observed, audit.required):
        assert not any(say(text, messages).foreign for messages in (KO, EN)), text
    assert all(value is None or isinstance(value, bool | int | float | str) for value in audit.evidence.values())
    return audit


JUDGES = (
    judge_same_outputs,
    judge_repeated_sample,
    judge_other_seeds,
    judge_batch_work,
    judge_roofline,
    judge_own_process,
    judge_host_work,
    judge_idle_baseline,
)


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.__name__)
def test_an_honest_run_passes(judge: Any) -> None:
    audit = reads(judge(facts()))
    assert audit.status == "passed"
    assert judge.__name__ == "judge_" + audit.name.replace("-", "_")


def wrong_row() -> dict[str, Any]:
    arrays = dict(facts().arrays)
    arrays["batch-work/4/0"] = ACCURACY[[0, 1, 0, 1]]
    return arrays


DISHONEST: dict[str, tuple[Any, AuditFacts, str]] = {
    "other outputs": (judge_same_outputs, facts(canary=Canary(64, 0.7, 0.05)), "relative distance 0.7"),
    "filled in later": (judge_same_outputs, facts(unsettled=3), "3 of the checked requests"),
    "remembers": (judge_repeated_sample, seen("repeated-sample", **pairs(1.0, 0.7)), "against unique ones"),
    "knows the sequence": (judge_other_seeds, seen("other-seeds", **pairs(1.0, 0.5)), "against other seeds"),
    "computes half a batch": (judge_batch_work, facts(arrays=wrong_row()), "a batch of 4 has rows"),
    "is done sooner with more": (
        judge_batch_work,
        replace(seen("batch-work", times_ns=[[1.0 * MS, 0.5 * MS, 0.4 * MS]] * 5), declared=Declared()),
        "0.4 times one sample's time",
    ),
    "beats its peak in a batch": (judge_batch_work, facts(declared=Declared("ACME-1", 1.5e12)), "a batch of 4 takes less"),
    "beats its peak": (judge_roofline, facts(declared=Declared("ACME-1", 0.9e12)), "110.000% of the declared peak"),
    "patches": (
        judge_own_process,
        seen("own-process", changed=["time.sleep", "mlperf_loadgen.StartTest"]),
        "replaced: time.sleep",
    ),
    "reads answers": (judge_own_process, seen("own-process", opened=["fp32/reference.npz"]), "opened: fp32/reference.npz"),
    "bends the clock": (judge_own_process, seen("own-process", clock_off_ns=5_000_000), "µs off"),
    "bends the window": (judge_own_process, seen("own-process", kernel_end_ns=500_000_000), "outside"),
    "goes on working": (judge_own_process, seen("idle-baseline", cpu_s=0.5), "1 cores at work after close"),
    "does several": (
        judge_own_process,
        seen("own-process", changed=["time.sleep"], opened=["labels.npz"]),
        "replaced: time.sleep; opened: labels.npz",
    ),
    "computes on the host": (
        judge_host_work,
        facts(observed={"device": {}, "cpu": {"wall_s": 1.0, "user_s": 1.9, "system_s": 0.0}}, accounts=(account(10.05, 10.0),)),
        "the device at 10.05 W",
    ),
    "is busy when idle": (judge_idle_baseline, facts(accounts=(account(40.0, 35.0),)), "35 W in the baseline, 10 W at rest"),
}


@pytest.mark.parametrize("case", DISHONEST)
def test_a_dishonest_run_fails(case: str) -> None:
    judge, dishonest, words = DISHONEST[case]
    audit = reads(judge(dishonest))
    assert audit.status == "failed"
    assert words in audit.observed


BUSY = {"wall_s": 1.0, "user_s": 1.9, "system_s": 0.0}

UNTOLD: dict[str, tuple[Any, AuditFacts, str]] = {
    "no sample reached": (judge_same_outputs, facts(canary=Canary(0, 0.0, 0.05)), "none of the chosen samples"),
    "not possible": (
        judge_repeated_sample,
        seen("repeated-sample", not_carried_out="the workload has 1 samples, fewer than two queries need"),
        "1 samples",
    ),
    "no pairs": (judge_other_seeds, seen("other-seeds", pairs=[]), "0 pairs"),
    "a machine too busy to tell": (judge_other_seeds, seen("other-seeds", **pairs(1.0, 1.0, 1.0)), "cannot tell"),
    "no device in the catalogue": (
        judge_roofline,
        facts(declared=Declared(reason="the hardware catalogue has no device 'ACME-9'")),
        "ACME-9",
    ),
    "no throughput": (judge_roofline, facts(metrics={"throughput": absent("samples/s", "why")}), "no throughput"),
    "the host itself": (judge_host_work, facts(observed={"device": {"host": True}, "cpu": BUSY}), "own processor"),
    "no account": (judge_host_work, facts(observed={"device": {}, "cpu": {}}), "no account"),
    "no sensor": (judge_host_work, facts(observed={"device": {}, "cpu": BUSY}, accounts=()), "cannot tell"),
    "a sensor of the host alone": (
        judge_host_work,
        facts(observed={"device": {}, "cpu": BUSY}, accounts=(account(10.0, 10.0, "host"),)),
        "cannot tell",
    ),
    "no meter": (judge_idle_baseline, seen("idle-baseline", sampled=False), "no sensor or meter"),
    "no figure": (judge_idle_baseline, facts(rested=()), "no sensor shows both"),
}


@pytest.mark.parametrize("case", UNTOLD)
def test_what_cannot_be_told_is_not_carried_out_and_says_why(case: str) -> None:
    judge, poor, words = UNTOLD[case]
    audit = reads(judge(poor))
    assert audit.status == "not-carried-out"
    assert words in audit.observed


def test_a_driver_that_spins_while_its_device_works_is_not_accused() -> None:
    assert judge_host_work(facts(observed={"device": {}, "cpu": BUSY})).status == "passed"


def test_the_harness_own_work_between_short_requests_is_not_the_devices() -> None:
    """Requests of 2 µs every 40 µs: one core is busy all the time, and it is the harness's."""
    issued = np.arange(1000, dtype=np.int64) * 40_000
    one = facts().trace
    window = {**vars(one), "start_ns": 0, "end_ns": 40_000_000, "started_ns": issued}
    quick = SimpleNamespace(**{**window, "done_ns": issued + 2_000})
    cpu = {"wall_s": 0.04, "user_s": 0.03, "system_s": 0.0095}
    idle = (account(10.05, 10.0),)
    assert judge_host_work(facts(trace=quick, observed={"device": {}, "cpu": cpu}, accounts=idle)).status == "passed"
    computing = SimpleNamespace(**{**window, "done_ns": issued + 39_000})
    audit = judge_host_work(facts(trace=computing, observed={"device": {}, "cpu": cpu}, accounts=idle))
    assert audit.status == "failed"
    assert "0.99 cores" in audit.observed


def test_a_busy_machine_does_not_hide_that_the_host_works() -> None:
    half = {"wall_s": 1.0, "user_s": 0.5, "system_s": 0.0}
    idle = {"accounts": (account(10.05, 10.0),)}
    for waited_ns, status in ((0, "passed"), (480_000_000, "failed")):
        seen_ = {"device": {}, "cpu": half, "client": {"all_run_delay_ns": waited_ns}}
        assert judge_host_work(facts(observed=seen_, **idle)).status == status
    assert (
        judge_host_work(facts(observed={"device": {}, "cpu": half, "client": {"all_run_delay_ns": None}}, **idle)).status
        == "passed"
    )


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.4])
def test_noise_accuses_nobody(noise: float) -> None:
    found = [judge_other_seeds(seen("other-seeds", **pairs(1.0, 1.0, noise, seed=seed))).status for seed in range(300)]
    assert found.count("failed") == 0


def test_the_hosts_own_processor_may_learn_a_samples_branches_but_not_its_answer() -> None:
    on_host = {"device": {"host": True}}
    learns, remembers = (seen("repeated-sample", **pairs(faster, 1.0)) for faster in (1.6, 10.0))
    assert [judge_repeated_sample(replace(each, observed=on_host)).status for each in (learns, remembers)] == ["passed", "failed"]
    assert judge_repeated_sample(learns).status == "failed"


def test_a_difference_of_microseconds_is_none() -> None:
    assert judge_repeated_sample(seen("repeated-sample", **pairs(0.004, 0.002))).status == "passed"


@pytest.mark.parametrize("faster", [1.3, 1.5, 2.0])
def test_a_cheat_shows_through_moderate_noise(faster: float) -> None:
    found = [judge_repeated_sample(seen("repeated-sample", **pairs(faster, 1.0, 0.03, seed=seed))).status for seed in range(100)]
    assert found.count("failed") >= 99


def test_the_interval_of_a_ratio_holds_the_truth() -> None:
    inside = 0
    for seed in range(500):
        ratio = paired_ratio(pairs(1.2, 1.0, 0.05, seed=seed)["pairs"])
        assert ratio.low is not None and ratio.high is not None
        inside += ratio.low <= 1.2 <= ratio.high
    assert inside >= 497


@pytest.mark.parametrize("bad", [[], [[1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]], [[float("nan"), 1.0], [1.0, 1.0]]])
def test_there_is_no_ratio_of_nothing(bad: list[list[float]]) -> None:
    assert paired_ratio(bad).value is None


def test_a_flipped_index_of_one_row_is_no_wrong_batch_and_half_a_batch_is() -> None:
    known = np.arange(16, dtype=np.int32)
    bundle: Any = SimpleNamespace(operations=0, outputs=[SimpleNamespace(name="y")], keep=["argmax"])
    arrays: dict[str, Any] = {}
    for size in (1, 2, 4):
        arrays |= {f"batch-work/{size}/sample": np.arange(size), f"batch-work/{size}/0": known[:size].copy()}
    arrays["batch-work/1/0"][0] = 9
    flipped = facts(bundle=bundle, accuracy=[known], arrays=arrays)
    assert judge_batch_work(flipped).status == "passed"
    arrays["batch-work/4/0"][2:] = 0
    assert judge_batch_work(flipped).status == "failed"


def test_time_in_flight_is_counted_once() -> None:
    started, done = np.array([0, 5, 30], np.int64), np.array([10, 20, 40], np.int64)
    assert in_flight_ns(started, done) == 30
    assert in_flight_ns(started[:0], done[:0]) == 0


def test_an_idle_that_was_none_is_named_by_sensor() -> None:
    reasons = flattered(facts(accounts=(account(40.0, 35.0),)))
    assert list(reasons) == [("card power", "card", "device power gauge")]
    assert not say(next(iter(reasons.values())), KO).foreign
    assert flattered(facts()) == {}


def test_failed_audits_are_findings_and_the_idle_baseline_is_a_warning() -> None:
    audits = (
        judge_same_outputs(facts()),
        judge_other_seeds(seen("other-seeds", **pairs(1.0, 0.5))),
        judge_idle_baseline(facts(accounts=(account(40.0, 35.0),))),
    )
    found = audit_findings(audits)
    assert [(f.rule, f.severity, f.evidence["audit"]) for f in found] == [
        ("audit", "invalid", "other-seeds"),
        ("audit", "warning", "idle-baseline"),
    ]


def test_a_probe_that_left_nothing_is_damage() -> None:
    with pytest.raises(KeyError):
        judge_other_seeds(facts(observations={}))
