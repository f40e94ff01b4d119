"""A plan follows from suite, host file and bundles alone; a run's name follows from what identifies it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.contract.bundle import Bundle
from npubench.contract.runspec import LoadSpec, Phase, RunSpec, Scenario, Seeds, TargetSpec
from npubench.errors import SuiteError
from npubench.plan.decide import REPEAT_SEEDS, SEEDS, Wish, decide, draw_round, repeated, resolve_targets, run_id, wishes
from npubench.plan.grades import FEWEST, GRADES
from npubench.plan.suite import HostFile, SuiteFile

WHERE = Path("/suites/night.toml")
WORKLOADS = ["tiny", "small"]


def suite_of(grade: str = "nightly", *runs: dict[str, Any], targets: dict[str, Any] | None = None, **changes: Any) -> SuiteFile:
    return SuiteFile.model_validate(
        {
            "schema_version": 1,
            "name": "night",
            "grade": grade,
            "target": targets or {"a": {"backend": "acme", "device": "npu:0"}, "b": {"backend": "acme", "device": "npu:1"}},
            "run": list(runs) or [{"targets": ["a"], "workloads": ["tiny"]}],
            **changes,
        }
    )


def wished(suite: SuiteFile, host: HostFile | None = None) -> list[Wish]:
    host = host or HostFile(schema_version=1)
    return wishes(suite, host, resolve_targets(suite, host), WORKLOADS, WHERE)


Decide = Callable[..., RunSpec]


@pytest.fixture
def plan(tmp_path: Path, make_bundle: Callable[..., Bundle]) -> Decide:
    bundle = make_bundle(tmp_path / "bundle")

    def plan(
        suite: SuiteFile, n: int = 0, host: HostFile | None = None, bundle: Bundle = bundle, label: str = "", **wish: Any
    ) -> RunSpec:
        host = host or HostFile(schema_version=1)
        return decide(replace(wished(suite, host)[n], **wish), bundle, suite, host, Path("/cache"), range(4), label)

    return plan


def run(**changes: Any) -> dict[str, Any]:
    return {"targets": ["a"], "workloads": ["tiny"], **changes}


def test_every_combination_is_wished_for_once() -> None:
    suite = suite_of(
        "nightly",
        run(targets=["a", "b"], workloads=["tiny", "small"], precisions=["fp32", "int8"], scenarios=["offline", "server"]),
    )
    found = [(w.target.name, w.workload, w.precision, w.scenario.value) for w in wished(suite)]
    assert len(found) == len(set(found)) == 16


def test_targets_take_turns_so_that_neighbours_in_time_can_be_compared() -> None:
    found = [wish.label for wish in wished(suite_of("smoke", run(targets=["a", "b"], precisions=["fp32", "int8"])))]
    assert found == [
        "tiny fp32 single-stream on a",
        "tiny fp32 single-stream on b",
        "tiny int8 single-stream on a",
        "tiny int8 single-stream on b",
    ]


def test_repeats_are_interleaved_and_not_adjacent() -> None:
    found = [(wish.target.name, wish.repeat) for wish in wished(suite_of("official", run(targets=["a", "b"])))]
    assert [repeat for _, repeat in found] == [0, 0, 1, 1, 2, 2]
    assert all({found[n][0], found[n + 1][0]} == {"a", "b"} for n in (0, 2, 4))
    assert wished(suite_of("official"))[2].label == "tiny fp32 single-stream on a #3"


def test_the_order_of_ranked_rounds_is_drawn_and_that_of_smoke_is_the_suites() -> None:
    asked = run(targets=["a", "b"], workloads=["tiny", "small"], scenarios=["offline", "server"])
    orders = {grade: [w.label for w in wished(suite_of(grade, asked))] for grade in GRADES}
    assert orders["nightly"] != orders["smoke"]
    assert sorted(orders["nightly"]) == sorted(orders["smoke"])
    official = wished(suite_of("official", asked))
    rounds = [[(w.workload, w.scenario, w.target.name) for w in official if w.repeat == n] for n in range(3)]
    assert rounds[0] != rounds[1] or rounds[1] != rounds[2]
    # What is compared with each other stands side by side in every round.
    assert all(one[n][:2] == one[n + 1][:2] for one in rounds for n in range(0, len(one), 2))
    assert [w.label for w in wished(suite_of("official", asked))] == [w.label for w in official]


def test_a_further_repeat_is_what_the_plan_would_have_decided(plan: Decide) -> None:
    suite = suite_of("official")
    specs = sorted((plan(suite, n) for n in range(3)), key=lambda spec: spec.repeat)
    assert [repeated(specs[0], n) for n in range(3)] == specs
    beyond = repeated(specs[0], 7)
    assert (beyond.repeat, beyond.run_id.split("-")[0]) == (7, "tiny.fp32.single")
    assert beyond.load.seeds.qsl == SEEDS.qsl + 7 * REPEAT_SEEDS
    assert draw_round(specs[:1], suite, 7) == [beyond]


def test_official_runs_three_times_under_seeds_of_their_own(plan: Decide) -> None:
    specs = [plan(suite_of("official"), n) for n in range(3)]
    assert len(wished(suite_of("official"))) == 3
    assert len({spec.run_id for spec in specs}) == 3
    assert specs[0].load.seeds == SEEDS
    for field in fields(Seeds):
        values = [getattr(spec.load.seeds, field.name) for spec in specs]
        assert values == [values[0] + n * REPEAT_SEEDS for n in range(3)]
        assert len(set(values)) == 3


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        (suite_of("smoke", run(targets=["aa"])), "run[0].targets: unknown target 'aa'; did you mean 'a'?"),
        (suite_of("smoke", run(), run(workloads=["tinny"])), "run[1].workloads: unknown workload 'tinny'; did you mean 'tiny'?"),
        (suite_of("nightly", run(duration_s=59.0)), "run[0].duration_s: 59 s is shorter than grade nightly allows (60 s)"),
        (suite_of("official", run(duration_s=60)), "run[0].duration_s: 60 s is shorter than grade official allows (600 s)"),
        (
            suite_of("smoke", targets={"a": {"backend": "x", "device": "y", "artefacts": {"tinny": "p"}}}),
            "target.a.artefacts: unknown workload 'tinny'; did you mean 'tiny'?",
        ),
        (
            suite_of("smoke", targets={"a": {"backend": "x", "device": "y", "artefacts": {"tiny/int9": "p"}}}),
            "target.a.artefacts: unknown precision 'int9'; did you mean 'int8'?",
        ),
    ],
)
def test_what_a_suite_names_must_be_there(suite: SuiteFile, words: str) -> None:
    with pytest.raises(SuiteError) as caught:
        wished(suite)
    assert str(caught.value) == f"{WHERE}: {words}"


def test_a_precision_the_bundle_lacks_is_named_with_the_nearest(plan: Decide) -> None:
    with pytest.raises(
        SuiteError, match=r"night\.toml: run\[0\]\.precisions: workload 'tiny' has no precision 'fp16'; did you mean 'fp32'\?"
    ):
        plan(suite_of("smoke", run(precisions=["fp16"])))


def test_vendor_precision_needs_no_variant(plan: Decide) -> None:
    assert plan(suite_of("smoke", run(precisions=["vendor"]))).precision == "vendor"


def test_a_server_run_without_a_bound_says_where_to_give_one(
    plan: Decide, tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    unbound = make_bundle(tmp_path / "unbound", latency_bound_ns=None)
    with pytest.raises(SuiteError, match=r"night\.toml: run\[0\]\.latency_bound_ms: is missing"):
        plan(suite_of("smoke", run(scenarios=["server"])), bundle=unbound)
    assert (
        plan(suite_of("smoke", run(scenarios=["server"], latency_bound_ms=2.5)), bundle=unbound).load.latency_bound_ns
        == 2_500_000
    )
    assert plan(suite_of("smoke", run(scenarios=["offline"])), bundle=unbound).load.latency_bound_ns is None


def test_a_ready_artefact_lies_beside_the_suite_and_is_known_by_its_content(plan: Decide, tmp_path: Path) -> None:
    ready = {"a": {"backend": "x", "device": "y", "artefacts": {"tiny": "all.mxq", "tiny/int8": "small.mxq"}}}
    suite = suite_of("smoke", run(precisions=["fp32", "int8"]), targets=ready)
    assert [wish.artefact for wish in wished(suite)] == ["/suites/all.mxq", "/suites/small.mxq"]
    host = HostFile.model_validate({"schema_version": 1, "target": {"a": {"artefacts": {"tiny": "/here/all.mxq"}}}})
    assert [wish.artefact for wish in wished(suite, host)] == ["/here/all.mxq", "/suites/small.mxq"]
    with pytest.raises(SuiteError, match=r"target\.a\.artefacts: /suites/all\.mxq does not exist"):
        plan(suite)
    (tmp_path / "all.mxq").write_bytes(b"1")
    first = plan(suite, artefact=str(tmp_path / "all.mxq"))
    (tmp_path / "all.mxq").write_bytes(b"2")
    second = plan(suite, artefact=str(tmp_path / "all.mxq"))
    assert first.target.artefact_digest.startswith("sha256:")
    assert first.target.artefact_digest != second.target.artefact_digest
    assert first.run_id != second.run_id


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize("scenario", Scenario)
def test_a_grade_is_never_loosened(plan: Decide, grade: str, scenario: Scenario) -> None:
    spec = plan(suite_of(grade, run(scenarios=[scenario.value])))
    rules = GRADES[grade]
    assert spec.load.min_duration_ns == rules.duration_s * 1e9
    assert spec.warm_up_ns == rules.warm_up_s * 1e9
    assert spec.checked_queries == rules.checked
    if rules.ranked:
        assert spec.load.min_queries >= FEWEST[scenario]
    longer = plan(suite_of(grade, run(scenarios=[scenario.value], duration_s=1000)))
    assert longer.load.min_duration_ns == 1000 * 10**9


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("single-stream", (1, 1, 1, 0, 0.9, None)),
        ("multi-stream", (8, 16, 3, 0, 0.99, None)),
        ("server", (1, 16, 3, 4_000_000, 0.99, 10_000_000)),
        ("offline", (1, 16, 3, 0, 0.99, None)),
    ],
)
def test_each_scenario_takes_what_concerns_it(plan: Decide, scenario: str, expected: tuple[Any, ...]) -> None:
    load = plan(suite_of("nightly", run(scenarios=[scenario], batch=16, in_flight=3, coalesce_delay_ms=4, target_qps=7))).load
    found = (load.samples_per_query, load.batch, load.in_flight, load.coalesce_delay_ns, load.percentile, load.latency_bound_ns)
    assert found == expected
    assert load.target_qps == (7.0 if scenario == "server" else None)


def test_offline_has_enough_samples_to_keep_every_request_busy(plan: Decide) -> None:
    load = plan(suite_of("smoke", run(scenarios=["offline"], batch=64, in_flight=4))).load
    assert load.min_queries >= 64 * 4 * 2


def test_deadlines_have_room_for_the_window_and_can_be_set(plan: Decide) -> None:
    plain = plan(suite_of("official"))
    assert set(plain.deadlines_s) == {phase.value for phase in Phase}
    assert plain.deadlines_s["measure"] > 600
    assert plain.deadlines_s["warm-up"] > 30
    own = plan(suite_of("official", deadline_s={"measure": 9}, watchdog_s=3))
    assert (own.deadlines_s["measure"], own.watchdog_s) == (9, 3)


def test_the_host_file_says_what_a_target_is_here() -> None:
    suite = suite_of(
        targets={"a": {"backend": "acme", "device": "npu:0", "options": {"x": 1, "y": 1}, "env": {"A": "1"}, "python": "p"}}
    )
    host = HostFile.model_validate(
        {
            "schema_version": 1,
            "target": {"a": {"device": "npu:7", "python": "/venv/bin/python", "options": {"y": 2}, "env": {"B": "2"}}},
        }
    )
    assert resolve_targets(suite, host)["a"] == TargetSpec(
        "a", "acme", "npu:7", "", {"x": 1, "y": 2}, "/venv/bin/python", {"A": "1", "B": "2"}
    )
    assert resolve_targets(suite, HostFile(schema_version=1))["a"].python == "p"


def test_cores_kept_free_are_not_the_workers(plan: Decide) -> None:
    assert plan(suite_of()).cores == ()
    assert plan(suite_of(), host=HostFile(schema_version=1, free_cores=[0, 3])).cores == (1, 2)


def test_a_host_file_that_keeps_every_core_free_is_refused(plan: Decide) -> None:
    with pytest.raises(SuiteError, match="free_cores"):
        plan(suite_of(), host=HostFile(schema_version=1, free_cores=[0, 1, 2, 3]))


def test_a_run_is_named_by_what_people_look_for(plan: Decide) -> None:
    spec = plan(suite_of("official"), 1, label="after/firmware 3")
    assert re.fullmatch(r"tiny\.fp32\.single-stream\.a\.official\.n2\.after_firmware_3-[0-9a-f]{10}", spec.run_id)


@given(name=st.text(min_size=1, max_size=12), label=st.text(max_size=12))
def test_a_runs_name_is_one_folder_whatever_things_are_called(make_spec: Callable[..., RunSpec], name: str, label: str) -> None:
    found = run_id(make_spec(target={"name": name}, round=label))
    assert Path(found).name == found
    assert found not in (".", "..")
    assert not found.startswith(".")
    assert "\0" not in found


def test_a_runs_name_does_not_change_with_the_place_of_bundle_and_cache_nor_with_patience(
    make_spec: Callable[..., RunSpec],
) -> None:
    spec = make_spec()
    moved = replace(spec, run_id="x", bundle="/elsewhere", cache="/else", deadlines_s={"measure": 1.0}, watchdog_s=1.0)
    assert run_id(moved) == run_id(spec)
    assert run_id(replace(spec, bundle_digest="sha256:other")) != run_id(spec)


#: What may change without making another run.
INCIDENTAL = {"run_id", "bundle", "cache", "deadlines_s", "watchdog_s", "meters"}


def other(value: Any, n: int) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, Scenario):
        return Scenario.OFFLINE if value is not Scenario.OFFLINE else Scenario.SERVER
    if isinstance(value, str):
        return value + "x" * n
    if isinstance(value, tuple):
        return (*value, n)
    if isinstance(value, dict):
        return {**value, "more": str(n)}
    return n if value is None else value + n


@given(data=st.data(), n=st.integers(1, 1000))
def test_a_runs_name_changes_with_anything_that_identifies_it(
    make_spec: Callable[..., RunSpec], data: st.DataObject, n: int
) -> None:
    spec = make_spec(Scenario.SERVER)
    own = [(RunSpec, f.name) for f in fields(RunSpec) if f.name not in INCIDENTAL | {"target", "load"}]
    inner = [(TargetSpec, f.name) for f in fields(TargetSpec)] + [
        (LoadSpec, f.name) for f in fields(LoadSpec) if f.name != "seeds"
    ]
    seeds = [(Seeds, f.name) for f in fields(Seeds)]
    kind, name = data.draw(st.sampled_from([*own, *inner, *seeds]))
    if kind is RunSpec:
        changed = replace(spec, **{name: other(getattr(spec, name), n)})
    elif kind is TargetSpec:
        changed = replace(spec, target=replace(spec.target, **{name: other(getattr(spec.target, name), n)}))
    elif kind is LoadSpec:
        changed = replace(spec, load=replace(spec.load, **{name: other(getattr(spec.load, name), n)}))
    else:
        changed = replace(
            spec, load=replace(spec.load, seeds=replace(spec.load.seeds, **{name: other(getattr(spec.load.seeds, name), n)}))
        )
    assert run_id(changed) != run_id(spec)
    assert run_id(changed) == run_id(replace(changed, bundle="/elsewhere"))


def test_a_profile_is_asked_for_by_the_suite_and_a_run_without_one_keeps_its_name(plan: Decide) -> None:
    plain, asked = plan(suite_of()), plan(suite_of(profile=True))
    assert (plain.profile, asked.profile) == (False, True)
    # As with audits: what was measured without stays as it is, and with one it is measured again.
    assert run_id(replace(asked, profile=False)) == plain.run_id != asked.run_id
    assert replace(asked, profile=False, run_id=plain.run_id) == plain
