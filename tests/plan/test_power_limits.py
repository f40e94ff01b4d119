"""A sweep of power limits becomes a target each, and only where the host file allows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from npubench.contract.bundle import Bundle
from npubench.contract.runspec import RunSpec, TargetSpec
from npubench.errors import SuiteError
from npubench.plan.decide import Wish, decide, resolve_targets, run_id, wishes
from npubench.plan.suite import HostFile, SuiteFile

WHERE = Path("/suites/sweep.toml")


def suite_of(limits: list[float], **more: Any) -> SuiteFile:
    return SuiteFile.model_validate(
        {
            "schema_version": 1,
            "name": "sweep",
            "grade": "smoke",
            "target": {"gpu": {"backend": "acme", "device": "npu:0", **more}, "plain": {"backend": "acme", "device": "npu:1"}},
            "run": [{"targets": ["gpu"], "workloads": ["tiny"], "power_limits_w": limits}],
        }
    )


def host_of(**gpu: Any) -> HostFile:
    meters = {"card": {"kind": "nvml", "domain": "card", "targets": ["gpu"]}}
    return HostFile.model_validate({"schema_version": 1, "target": {"gpu": gpu}, "meter": meters})


ALLOWED = host_of(allow_power_limit=True)


def wished(suite: SuiteFile, host: HostFile = ALLOWED) -> list[Wish]:
    return wishes(suite, host, resolve_targets(suite, host), ["tiny"], WHERE)


def test_every_limit_is_a_target_of_its_own_name() -> None:
    found = [wish.target for wish in wished(suite_of([100, 150.5, 0.25, 100.0]))]
    assert [(target.name, target.power_limit_mw, target.base) for target in found] == [
        ("gpu@100W", 100_000, "gpu"),
        ("gpu@150.5W", 150_500, "gpu"),
        ("gpu@0.25W", 250, "gpu"),
    ]


def test_without_a_limit_a_target_is_left_alone() -> None:
    (wish,) = wished(suite_of([]), HostFile(schema_version=1))
    assert (wish.target.name, wish.target.base, wish.target.power_limit_mw) == ("gpu", "gpu", 0)
    assert TargetSpec("gpu@100W", "acme", "npu:0", "").base == "gpu@100W"  # a name of the suite's own


@pytest.mark.parametrize("host", [HostFile(schema_version=1), host_of(), host_of(allow_power_limit=False)])
def test_a_suite_from_elsewhere_does_not_change_a_machine(host: HostFile) -> None:
    with pytest.raises(SuiteError) as caught:
        wished(suite_of([100]), host)
    assert str(caught.value) == (
        "/suites/sweep.toml: run[0].power_limits_w: setting the power limit of target 'gpu' changes this machine, and the host "
        "file does not allow it; write allow_power_limit = true under [target.gpu] in host file"
    )


def test_a_name_that_two_targets_would_share_is_refused() -> None:
    suite = suite_of([100])
    suite = suite.model_copy(update={"target": {**suite.target, "gpu@100W": suite.target["plain"]}})
    with pytest.raises(SuiteError, match="the suite has a target 'gpu@100W' of its own"):
        wished(suite)


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"run\[0\]\.power_limits_w: 0\.01 W is no limit"):
        wished(suite_of([0.01]))


@pytest.mark.parametrize("limits", [[0], [-5], [float("nan")], [1e9], ["many"]])
def test_what_is_no_number_of_watts_is_not_read(limits: list[Any]) -> None:
    with pytest.raises(ValueError, match="power_limits_w"):
        suite_of(limits)


def test_the_meters_of_a_target_cover_it_under_every_limit(tmp_path: Path, make_bundle: Callable[..., Bundle]) -> None:
    suite, bundle = suite_of([100, 150]), make_bundle(tmp_path / "bundle")
    specs = [decide(wish, bundle, suite, ALLOWED, Path("/cache"), range(4), "") for wish in wished(suite)]
    assert [[meter.name for meter in spec.meters] for spec in specs] == [["card"], ["card"]]
    assert len({spec.run_id for spec in specs}) == 2


def test_runs_without_a_limit_have_the_names_they_always_had(make_spec: Callable[..., RunSpec]) -> None:
    """A store that was filled before there were limits is not measured again."""
    spec = make_spec()
    assert run_id(spec) == run_id(replace(spec, target=replace(spec.target, power_limit_mw=0)))
    assert run_id(spec) != run_id(replace(spec, target=replace(spec.target, power_limit_mw=100_000)))
