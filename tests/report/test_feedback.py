"""Advice fires where the symptom is, stays silent where it is not, and is ranked by what it would gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npubench.analyze.client import Client
from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding
from npubench.analyze.stability import Stability
from npubench.contract.runspec import Scenario
from npubench.errors import InputError, StoreError
from npubench.plan.hardware import Hardware
from npubench.record.schema import ArtefactReference, Energy, PhaseTime, Record
from npubench.record.store import Entry, Store
from npubench.report.advice import rank
from npubench.report.document import Cell, Document, Grid, Plot, Section
from npubench.report.feedback import build_feedback
from npubench.report.feedback_accuracy import LayerLoss, Layers, read_layers
from npubench.report.feedback_cases import find_cases
from npubench.report.feedback_curves import find_curves
from npubench.report.feedback_versions import find_regressions, find_stretches
from npubench.verbs.report_feedback import write_feedback

NO_HARDWARE = Hardware({}, {})
MS = 1_000_000

Add = Callable[..., Entry]


def client(**changes: Any) -> Client:
    base: dict[str, Any] = {
        "lag_p99_ns": None,
        "cpu_share": 0.1,
        "run_delay_share": 0.0,
        "major_faults": 0,
        "foreign_cpu_share": 0.0,
        "cores": 8,
        "harness_share": 0.01,
    }
    return Client(**{**base, **changes})


def artefact(**changes: Any) -> ArtefactReference:
    base: dict[str, Any] = {
        "format": "acme",
        "digest": "sha256:" + "1" * 64,
        "size_bytes": 1000,
        "compiler": "acmec 1",
        "ready": False,
        "cached": False,
        "notes": {},
        "device_operators": 90,
        "host_operators": 0,
        "offload_source": "acme's own account",
    }
    return ArtefactReference(**{**base, **changes})


def energy(watts: float = 50.0, idle: float = 10.0, rate: float = 1000.0) -> Energy:
    def of(value: float, unit: str) -> Estimate:
        return Estimate(value, unit, value * 0.99, value * 1.01, 0.95)

    return Energy(
        sensor="card",
        domain="card",
        evidence="device power gauge",
        joules=of(watts * 2, "J"),
        watts=of(watts, "W"),
        peak_watts=of(watts * 1.1, "W"),
        idle_watts=of(idle, "W"),
        above_idle_joules=of((watts - idle) * 2, "J"),
        joules_per_sample=of(watts / rate, "J/sample"),
        samples_per_joule=of(rate / watts, "samples/J"),
        accuracy_joules=of(1, "J"),
        warm_up_joules=of(1, "J"),
        readings=100,
        coverage=1.0,
        update_period_ns=MS,
        clock_offset_ns=0,
        simulated=False,
    )


def stability(**changes: Any) -> Stability:
    return Stability(**{"warm_up_windows": 2, "warmed_up": True, "modes": 1, "outlier_share": 0.0, "queries": 2000, **changes})


def phases(**seconds: float) -> tuple[PhaseTime, ...]:
    return tuple(PhaseTime(phase=name.replace("_", "-"), start_ns=0, end_ns=int(s * 1e9)) for name, s in seconds.items())


def finding(rule: str, severity: Any = "warning", **evidence: Any) -> Finding:
    return Finding(rule, severity, "seen", "required", "Do it.", evidence)


def advice(entries: Sequence[Entry], target: str = "card") -> dict[str, list[Cell]]:
    """Return the summary's rows by kind of advice, in order of rank."""
    document = build_feedback(entries, target, hardware=NO_HARDWARE)
    grid = next((b for b in document.sections[0].blocks if isinstance(b, Grid)), None)
    return {row.cells[0].content.key.split(".")[1]: list(row.cells) for row in grid.rows} if grid is not None else {}  # type: ignore[union-attr]


QUIET: dict[str, Any] = {"client": client(), "stability": stability(), "artefact": artefact(), "energy": (energy(),)}


def test_a_run_without_symptoms_gets_no_advice(add: Add) -> None:
    assert advice([add(**QUIET)]) == {}


FIRES: dict[str, dict[str, Any]] = {
    "fallback": {"artefact": artefact(host_operators=10, notes={"unsupported": "Softmax"}), "client": client(cpu_share=0.5)},
    "between-calls": {"client": client(harness_share=0.08)},
    "host-bound": {"client": client(cpu_share=0.97)},
    "throttled": {"findings": (finding("throttled", sensor="card", before=900.0, after=700.0, unit="MHz", slower=0.2),)},
    "unsteady": {"stability": stability(change_points=(1.0,), changes=(0.5,)), "phases": phases(measure=2.0)},
    "slow-compile": {"phases": phases(compile=61.0)},
    "slow-start": {"phases": phases(load_executor=11.0)},
    "idle-power": {"energy": (energy(50.0, 30.0),)},
    "blocked": {"status": "failed", "reason": "killed"},
    "accuracy": {"status": "invalid", "findings": (finding("accuracy-gate", "invalid"),)},
}


@pytest.mark.parametrize("kind", sorted(FIRES))
def test_each_symptom_fires_alone(add: Add, kind: str) -> None:
    assert [*advice([add(**{**QUIET, **FIRES[kind]})])] == [kind]


SILENT: dict[str, dict[str, Any]] = {
    "a cached artefact was compiled by another run": {"artefact": artefact(cached=True), "phases": phases(compile=61.0)},
    "a busy core is the device where the device is the CPU": {"client": client(cpu_share=4.0), "on": {"device": "cpu"}},
    "a level that changes with a throttled clock is the clock's": {
        "stability": stability(change_points=(1.0,), changes=(0.5,)),
        "phases": phases(measure=2.0),
        "findings": (finding("throttled", sensor="card", share=0.5),),
    },
}


@pytest.mark.parametrize("case", sorted(SILENT))
def test_what_has_another_cause_is_not_advised(add: Add, case: str) -> None:
    assert {*advice([add(**{**QUIET, **SILENT[case]})])} <= {"throttled"}


def test_a_heavy_tail_and_two_modes_are_told_with_what_they_cost(
    add: Add, store: Store, make_spec: Any, make_trace: Any, make_record: Any, publish: Any
) -> None:
    values = np.where(np.arange(4000) % 5 == 0, 4 * MS, MS)
    trace = make_trace(values)
    entry = publish(store, make_record(make_spec(), trace, **{**QUIET, "stability": stability(modes=2)}), trace)
    found = advice([entry])
    assert [*found] == ["tail-heavy", "bimodal"]
    most = {kind: cells[4].content.value for kind, cells in found.items()}  # type: ignore[union-attr]
    assert most["tail-heavy"] == pytest.approx(4 / 1.3 - 1)
    # One in five at 4 ms: a mean of 1.6 ms.
    assert most["bimodal"] == pytest.approx(0.6)


def test_waiting_in_a_server_is_told_and_a_short_queue_is_not(
    store: Store, make_spec: Any, make_trace: Any, make_record: Any, publish: Any
) -> None:
    found = []
    for name, service in (("long", MS // 2), ("short", 8 * MS // 10 * 10)):
        spec = make_spec(Scenario.SERVER, run_id=name, target={"name": name})
        trace = make_trace(np.full(2000, 8 * MS), every_ns=MS, service_ns=service)
        found.append(publish(store, make_record(spec, trace, **QUIET), trace))
    assert [*advice(found, "long")] == ["queue-bound"]
    assert advice(found, "short") == {}


def test_transfers_that_fill_the_link_are_told(add: Add, make_bundle: Any, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    told = {"bundle": str(bundle.root), "bundle_digest": bundle.digest}

    def entry(target: str, width: str) -> Entry:
        found = add(target, ms=0.001, spec=told, **QUIET)
        facts = {"pcie-width": width, "pcie-speed-max": "2.5 GT/s"}
        system = found.record.system.model_copy(update={"stable": facts})
        # 16 bytes a sample in one direction, at a rate that takes half a lane of 0.25 GB/s.
        metrics = {**found.record.metrics, "throughput": Estimate(0.5 * 0.25e9 / 16, "samples/s")}
        return Entry(found.folder, found.record.model_copy(update={"system": system, "metrics": metrics}))

    found = advice([entry("narrow", "x1")], "narrow")
    assert [*found] == ["transfer-bound"]
    assert found["transfer-bound"][4].content.value == pytest.approx(1.0)  # type: ignore[union-attr]
    assert advice([entry("wide", "x16")], "wide") == {}


def offline(add: Add, batch: int, ms: float, **changes: Any) -> Entry:
    rate = Estimate(1000 / ms, "samples/s", 990 / ms, 1010 / ms, 0.95)
    metrics = {"throughput": rate, "accuracy": Estimate(1.0, "ratio")}
    return add(
        scenario=Scenario.OFFLINE, load={"batch": batch, **changes.pop("load", {})}, metrics=metrics, **{**QUIET, **changes}
    )


def test_a_larger_batch_that_gives_more_is_advised_at_the_smallest(add: Add) -> None:
    entries = [offline(add, batch, ms) for batch, ms in ((1, 1.0), (4, 0.5), (16, 0.49))]
    curve = find_curves(find_cases(entries))[0]
    assert [point.size for point in curve.points] == [1, 4, 16]
    assert curve.knee == 1
    found = advice(entries)
    assert [*found] == ["under-batched"]
    assert found["under-batched"][4].content.value == pytest.approx(1.0)  # type: ignore[union-attr]
    assert advice([offline(add, batch, 1.0, on={"device": "npu1"}) for batch in (1, 4)], "card") == {}


def test_more_requests_at_once_are_another_curve_than_batches(add: Add) -> None:
    entries = [offline(add, 8, ms, load={"in_flight": n}) for n, ms in ((1, 1.0), (2, 0.6), (4, 0.6))]
    assert [curve.kind for curve in find_curves(find_cases(entries))] == ["flight"]
    assert [*advice(entries)] == ["under-filled"]


def test_int8_that_is_no_faster_is_told_and_a_faster_one_is_not(add: Add) -> None:
    slow = [add(ms=1.0, spec={"precision": "fp32"}, **QUIET), add(ms=0.98, seed=1, spec={"precision": "int8"}, **QUIET)]
    assert [*advice(slow)] == ["int8-no-faster"]
    fast = [add("quick", ms=1.0, **QUIET), add("quick", ms=0.4, seed=1, spec={"precision": "int8"}, **QUIET)]
    assert advice(fast, "quick") == {}


def test_other_load_on_the_host_makes_a_hint_of_what_is_seen(add: Add) -> None:
    calm = advice([add(**{**QUIET, **FIRES["between-calls"]})])
    noisy = advice([add("other", **{**QUIET, **FIRES["between-calls"], "findings": (finding("foreign-load"),)})], "other")
    assert calm["between-calls"][2].content.key == "advice.confidence.strong"  # type: ignore[union-attr]
    assert noisy["between-calls"][2].content.key == "advice.confidence.hint"  # type: ignore[union-attr]


def test_what_gains_most_over_all_comes_first_and_what_blocks_before_it(add: Add) -> None:
    entries = [
        add(ms=1, spec={"workload": "a"}, **{**QUIET, "client": client(harness_share=0.5)}),
        add(ms=1, spec={"workload": "b"}, **{**QUIET, "energy": (energy(50.0, 26.0),)}),
        add(ms=1, spec={"workload": "c"}, **{**QUIET, "status": "failed", "reason": "killed"}),
        add(ms=1, spec={"workload": "d"}, **{**QUIET, "phases": phases(compile=1000.0)}),
    ]
    found = advice(entries)
    assert [*found] == ["blocked", "between-calls", "idle-power", "slow-compile"]
    # Half of one case's time, over the three that have figures: 2^(1/3) − 1.
    assert found["between-calls"][3].content.value == pytest.approx(2 ** (1 / 3) - 1)  # type: ignore[union-attr]
    assert found["slow-compile"][3].content.key == "advice.gain.once"  # type: ignore[union-attr]


def nights(add: Add, values: Sequence[float], change_at: int) -> list[Entry]:
    found = []
    for n, ms in enumerate(values):
        rate = Estimate(1000 / ms, "samples/s", 999 / ms, 1001 / ms, 0.95)
        made = artefact(compiler="acmec 2" if n >= change_at else "acmec 1")
        found.append(
            add(
                scenario=Scenario.OFFLINE,
                spec={"round": str(n)},
                metrics={"throughput": rate},
                started_at=f"2026-08-{n + 1:02}T00:00:00+00:00",
                **{**QUIET, "artefact": made},
            )
        )
    return found


def test_the_first_bad_run_of_a_regression_is_named(add: Add) -> None:
    entries = nights(add, [1.0, 1.002, 0.998, 1.3, 1.302, 1.3], 3)
    found = find_regressions(find_stretches(entries))
    assert [each.after.records[0].run_id for each in found] == [entries[3].record.run_id]
    assert found[0].changed == "compiler acmec 1 → acmec 2"
    assert found[0].step.ratio == pytest.approx(0.998 / 1.3)
    told = advice(entries)
    assert [*told] == ["regression"]
    assert told["regression"][2].content.key == "advice.confidence.strong"  # type: ignore[union-attr]


def test_a_version_that_changes_nothing_is_no_regression(add: Add) -> None:
    assert advice(nights(add, [1.0, 1.01, 0.99, 1.0, 1.01, 0.99], 3)) == {}


def test_energy_is_split_and_static_needs_three_rates(add: Add) -> None:
    entries = []
    for n, rate in enumerate((500.0, 1000.0, 2000.0)):
        power = 10 + 15 + rate * 0.01  # idle, static, dynamic
        entries.append(
            add(
                scenario=Scenario.SERVER,
                load={"target_qps": rate},
                metrics={"throughput": Estimate(rate, "samples/s"), "query_rate": Estimate(rate, "queries/s")},
                started_at=f"2026-08-0{n + 1}T00:00:00+00:00",
                spec={"round": str(n)},
                **{**QUIET, "energy": (energy(power, 10.0, rate),)},
            )
        )
    document = build_feedback(entries, "card", hardware=NO_HARDWARE)
    row = grids(document)["energy-split"].rows[0]
    idle, above, static, dynamic = (cell.content.value for cell in row.cells[2:6])  # type: ignore[union-attr]
    assert (idle, above, static, dynamic) == pytest.approx((10 / 2000, 35 / 2000, 15 / 2000, 0.01))
    few = build_feedback(entries[:2], "card", hardware=NO_HARDWARE)
    assert grids(few)["energy-split"].rows[0].cells[4].content.key == "feedback.energy.no-line"  # type: ignore[union-attr]


def grids(document: Document) -> dict[str, Grid]:
    def walk(sections: Sequence[Section]) -> Any:
        for section in sections:
            for block in section.blocks:
                if isinstance(block, Plot):
                    yield block.table
                elif isinstance(block, Grid):
                    yield block
            yield from walk(section.sections)

    found = list(walk(document.sections))
    assert len({grid.name for grid in found}) == len(found)
    return {grid.name: grid for grid in found}


def test_names_are_unique_and_every_run_is_listed(add: Add) -> None:
    entries = [add(spec={"workload": kind}, **{**QUIET, **each}) for kind, each in FIRES.items() if "status" not in each]
    entries += [offline(add, batch, 1 / batch) for batch in (1, 2)]
    document = build_feedback(entries, "card", hardware=NO_HARDWARE)
    listed = {line.run_id for line in document.runs}
    for grid in grids(document).values():
        for row in grid.rows:
            assert len(row.cells) == len(grid.columns) - 1
            for cell in (row.heading, *row.cells):
                assert {*cell.runs} <= listed


def test_a_target_that_is_not_there_is_named_with_the_nearest(add: Add) -> None:
    entries = [add("npu/<b>a</b>", **QUIET)]
    with pytest.raises(InputError, match="target 'npu': no run of it"):
        build_feedback(entries, "npu", hardware=NO_HARDWARE)
    with pytest.raises(InputError, match="was not run in int8"):
        build_feedback(entries, "npu/<b>a</b>/int8", hardware=NO_HARDWARE)
    assert build_feedback(entries, "npu/<b>a</b>/fp32", hardware=NO_HARDWARE).runs


def test_layers_are_shown_of_the_same_bundle_alone(add: Add) -> None:
    entry = add(spec={"precision": "int8"}, **QUIET)
    losses = (LayerLoss("a", "Conv", 30.0, 0.001), LayerLoss("b", "Relu", 10.0, 0.1))
    mine = Layers("tiny", entry.record.bundle.digest, 8, "ONNX Runtime 1", losses)
    shown = grids(build_feedback([entry], "card", layers=[mine], hardware=NO_HARDWARE))["layers-1-tiny"]
    assert [row.heading.content.text for row in shown.rows] == ["b", "a"]  # type: ignore[union-attr]
    other = replace(mine, bundle_digest="sha256:" + "9" * 64)
    assert "layers-1-tiny" not in grids(build_feedback([entry], "card", layers=[other], hardware=NO_HARDWARE))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema_version": 2}', '{"schema_version": 1, "losses": [{"tensor": 1}]}', '{"schema_version": NaN}']
)
def test_a_file_of_layers_that_is_none_is_left_out_with_a_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "x.json").write_text(text, encoding="utf-8")
    found, broken = read_layers(tmp_path)
    assert found == ()
    assert broken["x.json"]


def test_gains_of_nothing_rank_nothing() -> None:
    assert rank([], 0) == ()


def test_records_of_older_versions_make_a_report(add: Add) -> None:
    def old(entry: Entry) -> Record:
        return entry.record.model_copy(update={"client": None, "stability": None, "artefact": None, "energy": ()})

    entry = add(**QUIET)
    document = build_feedback([Entry(entry.folder, old(entry))], "card", hardware=NO_HARDWARE)
    assert document.sections[0].name == "summary"


NASTY = "../=1+1 <img src=x onerror=alert(1)> 카드 🚀"


def test_the_verb_writes_a_file_whatever_the_target_is_called(add: Add, store: Store, tmp_path: Path) -> None:
    add(NASTY, **QUIET)
    add("broken", status="failed", reason="killed")
    assert write_feedback(NASTY, store.root, False, tmp_path / "out", "md,json,html", "ko") == 0
    assert write_feedback("broken", store.root, True, tmp_path / "out", "md", "en") == 0
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(made) == 4
    assert all(name.startswith("feedback-") for name in made)
    page = next((tmp_path / "out").glob("*.html")).read_text(encoding="utf-8")
    assert "<img src=x" not in page
    told = next((tmp_path / "out").glob("feedback-broken.md")).read_text(encoding="utf-8")
    assert "Runs that do not count" in told
    assert "killed" in told


def test_an_empty_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no run in this store"):
        write_feedback("card", tmp_path, False, None, "md", "ko")
