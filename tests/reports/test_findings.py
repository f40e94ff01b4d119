"""Every finding that the kernel can raise reads as Korean, and a record without its evidence keeps its own words."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npubench.analyze.audits.judge import audit_findings
from npubench.analyze.audits.verdict import Audit
from npubench.analyze.client import Client, ClientFacts, judge_client
from npubench.analyze.courses import Course
from npubench.analyze.declaration import compare_declared
from npubench.analyze.estimate import Estimate, absent
from npubench.analyze.finding import Finding
from npubench.analyze.intervals import Drift
from npubench.analyze.memory import Memory, judge_memory
from npubench.analyze.power_rules import PowerFacts, judge_power
from npubench.analyze.ranging import Ranging
from npubench.analyze.repeats import wide_interval
from npubench.analyze.stability import Stability
from npubench.analyze.stability_rules import judge_stability
from npubench.analyze.validity import Facts, judge
from npubench.contract.runspec import Scenario
from npubench.plan.grades import GRADES
from npubench.report.comparison_scenarios import why_of
from npubench.report.document import Reason, Told
from npubench_reports import findings
from npubench_reports.document_html import render
from npubench_reports.messages import load

KO, EN = load("ko"), load("en")
SECOND = 1_000_000_000
GATE = SimpleNamespace(
    metric="top1",
    unit="ratio",
    required=0.99,
    reference=1.0,
    higher_is_better=True,
    claim="fidelity",
    rule="top1 at least 0.99 of what the FP32 model reaches on the CPU reference",
)


def facts(scenario: Scenario, account: dict[str, float], target_qps: float | None = None, **changes: Any) -> Facts:
    """Return a run of half a second that breaks every rule it can, with 100 queries of 20 ms and a bound of 10."""
    count = 100
    due = np.arange(count, dtype=np.int64) * 1_000_000
    trace: Any = SimpleNamespace(
        window_ns=SECOND // 2,
        samples=count,
        queries=count,
        details={"loadgen": account},
        scheduled_ns=due,
        issued_ns=due + 5_000_000,
        done_ns=due + 20_000_000,
        query_latencies_ns=lambda: np.full(count, 20_000_000, np.int64),
    )
    load_spec = SimpleNamespace(
        scenario=scenario,
        min_duration_ns=SECOND,
        min_queries=662,
        latency_bound_ns=10_000_000,
        percentile=0.99,
        target_qps=target_qps,
    )
    spec: Any = SimpleNamespace(load=load_spec, grade="nightly")
    bundle: Any = SimpleNamespace(gate=GATE, task={}, sources=())
    artefact = {"host_operators": 2, "device_operators": None, "host_allowed": False}
    observed = {
        "artefact": artefact,
        "settings": {"timer_slack_ns": 50_000},
        "residue": ["3 threads", "1 child processes", "open /dev/npu0"],
        "device": {"simulated": True},
    }
    made = Facts(
        spec=spec,
        bundle=bundle,
        trace=trace,
        metrics={
            "latency_p99": absent("ns", "p99 needs 662 queries, the run has 100"),
            "accuracy": Estimate(0.98999, "ratio"),
        },
        observed=observed,
        drift=Drift(0.1442, 0.1, 0.0001, True),
        supervised_ns=SECOND // 10,
        governor="powersave",
        virtualisation="unknown hypervisor",
        calibrated=False,
    )
    return replace(made, **changes)


def everything() -> tuple[Finding, ...]:
    late = {"p50_ns": 9e9, "p90_ns": 9e9}
    searched = facts(Scenario.SERVER, late)
    bare = {"artefact": {}, "settings": {}, "device": {}}
    allowed = {**searched.observed, "artefact": {"host_operators": 1, "device_operators": 9, "host_allowed": True}}
    unscored = {"accuracy": absent("ratio", "top1 of these outputs is not a number")}
    runs = (
        searched,
        facts(Scenario.SERVER, {}, target_qps=100.0),
        facts(Scenario.OFFLINE, {"samples_per_s": 1e6}),
        facts(Scenario.SINGLE_STREAM, late, observed=bare, metrics=unscored),
        replace(searched, observed=allowed),
    )
    found = tuple(finding for run in runs for finding in judge(run))
    return found + powerless() + unhealthy() + audited() + unsteady() + leaking()


def powerless() -> tuple[Finding, ...]:
    """Break every rule of power."""
    times = np.linspace(0, SECOND, 240).astype(np.int64)
    trace: Any = SimpleNamespace(samples=240, start_ns=0, end_ns=SECOND, done_ns=times, started_ns=times - 1 - times // 1000)
    flag, clock = (
        Course(f"card {kind}", kind, "card", times, np.where(times > SECOND // 2, *shown))
        for kind, shown in (("throttle", (1, 0)), ("clock", (10**9, 2 * 10**9)))
    )
    watts = Estimate(40.0, "W")
    wrong: Any = SimpleNamespace(
        sensor="card power",
        domain="card",
        joules=Estimate(80.0, "J", 70.0, 90.0),
        watts=watts,
        idle_watts=Estimate(39.0, "W"),
        above_idle_joules=Estimate(2.0, "J", 1.0, 3.0),
        clock_offset_ns=SECOND,
    )
    unit: Any = SimpleNamespace(**{**vars(wrong), "joules": absent("J", "a card at 17,521,800 W cannot be right: it is µW")})
    silent: Any = SimpleNamespace(**{**vars(wrong), "joules": absent("J", "the sensor gave no value in the window")})
    ranged = Ranging("card power", "card", Estimate(50.0, "W"), Estimate(230.0, "V"), Estimate(1.0, "A"))
    runs = (
        PowerFacts("official", (), (), trace, unfixed={"card power": "it showed no current in the ranging run"}),
        PowerFacts("official", (wrong, unit), (flag,), trace, (ranged,)),
        PowerFacts("official", (silent,), (clock,), trace),
    )
    return tuple(finding for run in runs for finding in judge_power(run))


def unhealthy() -> tuple[Finding, ...]:
    """Break every rule of the client's health, and declare another machine."""
    busy = Client(
        lag_p99_ns=None,
        cpu_share=1.7,
        run_delay_share=0.1234,
        major_faults=4321,
        foreign_cpu_share=0.4567,
        foreign=("python3 (123) 0.45",),
        cores=2,
        harness_share=0.3456,
        steal_share=0.0789,
        device_holders=("smi (77)",),
    )
    runs = [ClientFacts("nightly", busy, SECOND, held) for held in ((), ("smi (77)",))]
    declared = compare_declared({"memory": "512 GiB"}, {"memory": "62.7 GiB"}, "official")
    return (*(finding for run in runs for finding in judge_client(run)), *declared)


def unsteady() -> tuple[Finding, ...]:
    """Break every rule of stability, and of repeats that do not agree."""
    restless = Stability(10, False, (12.5, 300.0), 2, 0.0234, 0.0456, (0.031, -0.087), 12_345)
    wide = wide_interval([1.0, 1.1, 0.9, 1.2, 0.8, 1.0, 1.1, 0.9], GRADES["official"])
    assert wide is not None
    return (*judge_stability(restless, "official"), wide)


def leaking() -> tuple[Finding, ...]:
    """Break the rule of memory."""
    level = Estimate(float(100 << 20), "B")
    grows = Estimate(1234.0, "B/sample", 1200.0, 1300.0, 0.99, 60)
    return tuple(judge_memory(Memory(level, level, level, level, "measure", grows, grows, 100_000, 60, 1)))


def audited() -> tuple[Finding, ...]:
    """Fail two audits, one that makes a run invalid and one that does not."""
    seeds = "the measured seeds: +40.0% against other seeds (+31.0% to +50.0%, 6 pairs of windows)"
    idle = "40 W in the baseline, 10 W at rest (card power)"
    return audit_findings(
        (
            Audit("other-seeds", "failed", seeds, "at most 10% faster"),
            Audit("idle-baseline", "failed", idle, "a baseline at most 25% above the rest after close"),
        )
    )


FOUND = everything()


def test_every_rule_was_broken() -> None:
    """The catalogue has the rules that the kernel's source raises, as ``test_messages`` holds; here they are raised."""
    assert {finding.rule for finding in FOUND} == {key.split(".")[1] for key in KO.texts if key.startswith("finding.")}


@pytest.mark.parametrize("finding", FOUND, ids=lambda f: f"{f.rule}-{f.severity}")
def test_a_finding_reads_in_both_languages(finding: Finding) -> None:
    for messages in (KO, EN):
        texts = [tell(finding, messages) for tell in (findings.observed, findings.required, findings.advice)]
        assert all(map(str, texts))
        foreign = {part.text for text in texts for part in text.parts if part.foreign}
        # A governor, a device and a sensor are called what the system calls them; a unit is one everywhere.
        # Processes, and what was declared and read of a machine, are its own words.
        foreign -= {"python3 (123) 0.45", "smi (77)", "512 GiB", "62.7 GiB"}
        assert foreign <= {"powersave", "/dev/npu0", "card power", "card throttle", "card clock", "MHz"}
    korean = " ".join(str(tell(finding, KO)) for tell in (findings.observed, findings.advice))
    assert re.search("[가-힣]", korean)


def find(rule: str, **evidence: Any) -> Finding:
    found = next(finding for finding in FOUND if finding.rule == rule)
    return replace(found, evidence={**found.evidence, **evidence})


def test_numbers_are_the_evidences() -> None:
    gate = find("accuracy-gate")
    assert str(findings.observed(gate, KO)) == "top-1 정확도 0.98999"
    assert str(findings.required(gate, KO)) == "0.99 이상 (CPU에서 FP32 모델이 얻는 top-1 정확도의 99% 이상)"
    assert str(findings.required(gate, EN)).startswith("at least 0.99 (")
    drift = find("drift", change=-0.2374)
    assert str(findings.observed(drift, KO)).endswith("-23.7%")
    assert str(findings.observed(find("residue"), KO)) == "종료 뒤에도 남음: 스레드 3개, 자식 프로세스 1개, 열린 장치 /dev/npu0"
    bound = find("rate-not-certified", over=1656, queries=2662)
    assert "요청 2,662건 중 1,656건" in str(findings.observed(bound, KO))


def test_advice_may_hang_on_severity() -> None:
    allowed, refused = (
        next(f for f in FOUND if f.rule == "host-operators" and f.severity == severity) for severity in ("warning", "invalid")
    )
    assert findings.advice(allowed, KO) != findings.advice(refused, KO)


def test_without_evidence_the_records_own_words_stand() -> None:
    for finding in FOUND:
        if finding.evidence:
            bare = replace(finding, evidence={}, observed="seen 0.61", required="wanted 1")
            assert findings.observed(bare, KO).foreign
            assert str(findings.observed(bare, KO)) == "seen 0.61"
            assert str(findings.required(bare, KO)) == "wanted 1"
    unknown = Finding("vendor-own", "warning", "seen", "wanted", "Ask.")
    assert [str(tell(unknown, KO)) for tell in (findings.observed, findings.required, findings.advice)] == [
        "seen",
        "wanted",
        "Ask.",
    ]


def test_an_invalid_run_says_why_by_its_finding(make_page: Any) -> None:
    finding = find("latency-bound")
    said = findings.whole(finding, KO)
    assert str(said).startswith("지연시간 한계 초과: 요청 100건 중 100건이 10 ms 초과 · 요구: 0건 이하")
    reason = f"{finding.rule}: {finding.observed}; required: {finding.required}"
    cell = replace(make_page(1, 1).tables[0].rows[0].cells[0], status="invalid", reason=reason, findings=(*FOUND[:1], finding))
    assert why_of(cell) == Told(finding, "whole")
    assert why_of(replace(cell, reason="another: reason")) == Reason("another: reason")


def test_the_page_marks_the_records_words_as_english(make_page: Any, to_document: Any) -> None:
    page = make_page(1, 1, scenarios=("offline",))
    row = page.tables[0].rows[0]
    cell = replace(row.cells[0], findings=(find("drift"), Finding("drift", "warning", "seen", "wanted", "x")))
    changed = replace(page, tables=(replace(page.tables[0], rows=(replace(row, cells=(cell,)),)),))
    html = render(to_document(changed)).decode("utf-8")
    assert "마지막 1/3까지 +14.4%" in html
    assert '<span lang="en">seen</span>' in html
    assert "first to the last third" not in html
