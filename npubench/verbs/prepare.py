"""Make a plan ready to run: targets looked at, bundles on disk, every run decided."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from npubench.analyze.outputs import Score
from npubench.contract.availability import Rung
from npubench.contract.bundle import Bundle
from npubench.contract.options import nearest
from npubench.contract.runspec import RunSpec, TargetSpec
from npubench.errors import SuiteError
from npubench.measure.survey import Ask, Survey, survey_all
from npubench.plan.bundles import prepare
from npubench.plan.decide import Wish, decide, resolve_targets, wishes
from npubench.plan.suite import HostFile, SuiteFile
from npubench.plan.wheels import npubench_cache
from npubench.plan.workload import find_workload, workload_names
from npubench.verbs.console import Steps


@dataclass(frozen=True, slots=True)
class Ready:
    """A plan that can be carried out.

    Args:
        runs: Decided runs with their bundles and scores, in order.
        unusable: Target name → why it cannot be used here; its runs are left out.
    """

    runs: tuple[tuple[RunSpec, Bundle, Score], ...]
    unusable: Mapping[str, str]


def host_path(given: Path | None) -> Path | None:
    """Return the host file: ``--host``, else ``NPUBENCH_TESTBED``, else the user's configuration folder, if it is there.

    Raises:
        SuiteError: One was named and is not there.
    """
    from platformdirs import user_config_path

    named = given or (Path(os.environ["NPUBENCH_TESTBED"]) if os.environ.get("NPUBENCH_TESTBED") else None)
    if named is not None:
        if not named.exists():
            raise SuiteError(f"{named}: no such host file")
        return named
    default = user_config_path("npubench") / "testbed.toml"
    return default if default.exists() else None


def look_at_targets(suite: SuiteFile, host: HostFile, where: Path) -> tuple[dict[str, TargetSpec], dict[str, str]]:
    """Ask each target's interpreter for its backend, device and options.

    Returns:
        The targets with their plug-in's entry, and those that cannot be used with the reason.

    Raises:
        SuiteError: An unknown backend, device or option; with file, key and nearest name.
    """
    targets: dict[str, TargetSpec] = {}
    unusable: dict[str, str] = {}
    resolved = resolve_targets(suite, host)
    # Targets that differ in nothing but device and options are looked at together: importing an SDK takes its time.
    together: dict[tuple[str, str, str], list[str]] = {}
    for name, target in resolved.items():
        together.setdefault((target.backend, target.python, repr(sorted(target.env.items()))), []).append(name)
    groups = [(names, resolved[names[0]]) for names in together.values()]
    asks = [Ask(first.backend, first.python, first.env, [resolved[name].options for name in names]) for names, first in groups]
    for (names, _), seen in zip(groups, survey_all(asks), strict=True):
        for name, complaint in zip(names, seen.option_errors or [""] * len(names), strict=True):
            target = resolved[name]
            _refuse(seen, target, where, complaint)
            targets[name] = replace(target, entry=seen.entry)
            if seen.availability.rung < Rung.READY:
                found = seen.availability
                unusable[name] = f"{found.rung.word}: {found.reason}" + (f" → {found.advice}" if found.advice else "")
    return {name: targets[name] for name in resolved}, {name: unusable[name] for name in resolved if name in unusable}


def make_ready(
    suite: SuiteFile,
    host: HostFile,
    where: Path,
    round_label: str,
    steps: Steps,
    bundles: Mapping[str, tuple[Bundle, Score]] | None = None,
    audit: bool = False,
    profile: bool = False,
) -> Ready:
    """Resolve a suite on this machine and make its bundles.

    Args:
        suite: The suite.
        host: The host file.
        where: The suite's file, for messages and relative paths.
        round_label: The operator's label of the round.
        steps: For progress.
        bundles: Workloads that are made already, such as a model of the user's own.
        audit: Whether audits are asked for.
        profile: Whether a profile of operators is asked for.

    Raises:
        InputError: Whatever is wrong with the suite, a workload or a model.
    """
    cores = sorted(os.sched_getaffinity(0))
    if not set(host.free_cores) <= set(cores) or set(host.free_cores) == set(cores):
        raise SuiteError(f"host file: free_cores: {host.free_cores} must be some of this machine's cores {cores}, and not all")
    steps.now("looking at targets")
    known = dict(bundles or {})
    targets, unusable = look_at_targets(suite, host, where)
    asked = wishes(suite, host, targets, [*workload_names(), *known], where)
    asked = [wish for wish in asked if wish.target.base not in unusable]
    for name in dict.fromkeys(wish.workload for wish in asked):
        if name not in known:
            steps.now(f"preparing {name}")
            bundle = prepare(name, npubench_cache(), progress=lambda text: steps.line(f"[dim]{text}[/]"))
            known[name] = (bundle, find_workload(name).load().score)
    _check_simulated(asked)
    runs: dict[str, tuple[RunSpec, Bundle, Score]] = {}
    for wish in asked:
        spec = decide(wish, known[wish.workload][0], suite, host, npubench_cache(), cores, round_label, audit, profile)
        # What is asked for twice, as by two entries that overlap, is one run.
        runs.setdefault(spec.run_id, (spec, *known[wish.workload]))
    return Ready(tuple(runs.values()), unusable)


def _refuse(seen: Survey, target: TargetSpec, where: Path, option_error: str) -> None:
    key = f"{where}: target.{target.name}"
    if seen.known and target.backend not in seen.known:
        raise SuiteError(f"{key}.backend: unknown backend '{target.backend}'{nearest(target.backend, seen.known)}")
    if option_error:
        whose = f"backend '{target.backend}' on device '{target.device}'; npubench devices --json lists its options"
        raise SuiteError(f"{key}.{option_error} ({whose})")
    devices = [device.name for device in seen.availability.devices]
    if seen.availability.rung is Rung.READY and target.device not in devices:
        raise SuiteError(
            f"{key}.device: backend '{target.backend}' has no device '{target.device}'{nearest(target.device, devices)}"
        )


def _check_simulated(asked: Sequence[Wish]) -> None:
    """The probe workload stands for nothing, so it runs on the simulated device alone."""
    for wish in asked:
        if (
            wish.workload in workload_names()
            and find_workload(wish.workload).manifest.simulated_only
            and wish.target.backend != "simulated"
        ):
            raise SuiteError(
                f"{wish.place}.workloads: '{wish.workload}' is for the simulated device only, not for target '{wish.target.name}'"
            )
