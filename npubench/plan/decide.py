"""Resolve a suite and a host file into decided runs. A pure function of what was read; starts and fetches nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from npubench.contract.bundle import Bundle, content_digest, path_digest
from npubench.contract.options import nearest
from npubench.contract.runspec import LoadSpec, MeterSpec, Phase, RunSpec, Scenario, Seeds, TargetSpec, limit_suffix, to_plain
from npubench.errors import SuiteError
from npubench.plan.grades import BATCH, GRADES, MULTI_STREAM_SAMPLES, TAIL, Grade, fewest_queries
from npubench.plan.order import draw_order, round_seed
from npubench.plan.suite import HostFile, Precision, RunEntry, SuiteFile, TargetEntry

#: The version of RunSpec.
SPEC_VERSION = 1

#: MLPerf Inference's fixed seeds (mlperf.conf, v6.0 round); the fourth chooses the checked subset.
SEEDS = Seeds(qsl=2085463073848966840, sample_index=2747215439041700203, schedule=16159082839903944936, subset=20260815)
#: Each repeat moves the seeds by this, so that three processes are three experiments.
REPEAT_SEEDS = 20_011

#: Seconds a phase may take beside the load itself.
DEADLINES_S: dict[Phase, float] = {
    Phase.LOAD_PLUGIN: 120,
    Phase.COMPILE: 3600,
    Phase.LOAD_EXECUTOR: 600,
    Phase.ACCURACY: 1800,
    Phase.WARM_UP: 300,
    Phase.SEARCH: 600,
    Phase.RANGING: 240,
    Phase.BASELINE: 120,
    Phase.MEASURE: 300,
    Phase.AUDIT: 600,
    Phase.CLOSE: 60,
    Phase.PERTURBED: 3600,
    Phase.REST: 120,
    Phase.PROFILE: 600,
}

#: How often a phase may contain the window: the measured one is repeated when a searched rate does not certify.
_WINDOWS = {Phase.WARM_UP: 4.0, Phase.SEARCH: 12.0, Phase.MEASURE: 14.0}


@dataclass(frozen=True, slots=True)
class Wish:
    """One combination a suite asks for, before its bundle is made: enough to show a plan."""

    target: TargetSpec
    workload: str
    precision: str
    scenario: Scenario
    repeat: int
    entry: RunEntry
    artefact: str
    place: str = "the suite"
    """Where it was written, for messages: file and key."""

    @property
    def label(self) -> str:
        """The run for people: workload, precision, scenario, target."""
        again = f" #{self.repeat + 1}" if self.repeat else ""
        return f"{self.workload} {self.precision} {self.scenario.value} on {self.target.name}{again}"


def resolve_targets(suite: SuiteFile, host: HostFile) -> dict[str, TargetSpec]:
    """Say what each of the suite's targets is on this machine; the plug-in's entry is still open."""
    return {name: _target(name, entry, host) for name, entry in suite.target.items()}


def wishes(
    suite: SuiteFile, host: HostFile, targets: Mapping[str, TargetSpec], workloads: Sequence[str], where: Path
) -> list[Wish]:
    """List every combination the suite asks for, in the order they are run in.

    Repeats are interleaved, not adjacent: every round has each entry once. At the ranked grades the order of each round is drawn
    by a seed of the suite's (:mod:`npubench.plan.order`); a smoke run keeps the suite's own.

    Raises:
        SuiteError: An unknown target or workload, or a window shorter than the grade's; with file, key and nearest name.
    """
    ready = {name: _artefacts(suite, host, name, where) for name in suite.target}
    for name, artefacts in ready.items():
        for key in artefacts:
            workload, _, precision = key.partition("/")
            if workload not in workloads:
                raise SuiteError(f"{where}: target.{name}.artefacts: unknown workload '{workload}'{nearest(workload, workloads)}")
            if precision and precision not in get_args(Precision):
                raise SuiteError(
                    f"{where}: target.{name}.artefacts: unknown precision '{precision}'{nearest(precision, get_args(Precision))}"
                )
    grade = GRADES[suite.grade]
    found: list[Wish] = []
    for n, entry in enumerate(suite.run):
        _check_limits(entry, targets, host, f"{where}: run[{n}].power_limits_w")
        for name in entry.targets:
            if name not in targets:
                raise SuiteError(f"{where}: run[{n}].targets: unknown target '{name}'{nearest(name, targets)}")
        for name in entry.workloads:
            if name not in workloads:
                raise SuiteError(f"{where}: run[{n}].workloads: unknown workload '{name}'{nearest(name, workloads)}")
        if entry.duration_s is not None and entry.duration_s < grade.duration_s:
            raise SuiteError(
                f"{where}: run[{n}].duration_s: {entry.duration_s:g} s is shorter than grade {grade.name} allows "
                f"({grade.duration_s:g} s)"
            )
    for repeat in range(grade.repeats):
        asked = [
            wish
            for n, entry in enumerate(suite.run)
            for wish in _combinations(entry, ready, targets, repeat, f"{where}: run[{n}]")
        ]
        found += draw_order(asked, round_seed(suite, repeat + 1), _block, _member) if grade.ranked else asked
    return found


def _block(wish: Wish) -> str:
    """Return what a wish is compared within: one workload in one scenario."""
    return f"{wish.workload} {wish.scenario.value}"


def _member(wish: Wish) -> str:
    return f"{wish.target.name} {wish.precision} {wish.place}"


def draw_round(specs: Sequence[RunSpec], suite: SuiteFile, repeat: int) -> list[RunSpec]:
    """Return plan entries as their ``repeat``-th processes (counted from 0), in the order drawn for that round."""
    again = [repeated(spec, repeat) for spec in specs]
    seed = round_seed(suite, repeat + 1)
    return draw_order(
        again, seed, lambda s: f"{s.workload} {s.load.scenario.value}", lambda s: f"{s.target.name} {s.precision} {s.run_id}"
    )


def repeated(spec: RunSpec, repeat: int) -> RunSpec:
    """Return a decided run as its plan entry's ``repeat``-th process, counted from 0: the same under seeds of its own."""
    again = replace(spec, repeat=repeat, load=replace(spec.load, seeds=_seeds(repeat)), run_id="")
    return replace(again, run_id=run_id(again))


def _seeds(repeat: int) -> Seeds:
    move = repeat * REPEAT_SEEDS
    return Seeds(SEEDS.qsl + move, SEEDS.sample_index + move, SEEDS.schedule + move, SEEDS.subset + move)


def _artefacts(suite: SuiteFile, host: HostFile, name: str, where: Path) -> dict[str, str]:
    """Return a target's ready artefacts: the suite's, relative to its file, and over them the host file's."""
    own = {key: str((where.parent / path).resolve()) for key, path in suite.target[name].artefacts.items()}
    return own | (host.target[name].artefacts if name in host.target else {})


def _combinations(
    entry: RunEntry, ready: Mapping[str, Mapping[str, str]], targets: Mapping[str, TargetSpec], repeat: int, place: str
) -> Iterator[Wish]:
    for workload in entry.workloads:
        for precision in entry.precisions:
            for scenario in entry.scenarios:
                for name in entry.targets:
                    artefact = ready[name].get(f"{workload}/{precision}", ready[name].get(workload, ""))
                    for target in _limited(targets[name], entry):
                        yield Wish(target, workload, precision, Scenario(scenario), repeat, entry, artefact, place)


def _limited(target: TargetSpec, entry: RunEntry) -> list[TargetSpec]:
    """Return a target under each limit that is asked for; itself where none is."""
    limits = dict.fromkeys(round(watts * 1000) for watts in entry.power_limits_w)
    return [replace(target, name=target.name + limit_suffix(mw), power_limit_mw=mw) for mw in limits] or [target]


def _check_limits(entry: RunEntry, targets: Mapping[str, TargetSpec], host: HostFile, key: str) -> None:
    """Refuse limits that the host file does not allow, and names that two targets would share."""
    for name in entry.targets if entry.power_limits_w else ():
        here = host.target.get(name)
        if name in targets and not (here and here.allow_power_limit):
            raise SuiteError(
                f"{key}: setting the power limit of target '{name}' changes this machine, and the host file does not allow it; "
                f"write allow_power_limit = true under [target.{name}] in {host.place}"
            )
        for watts in entry.power_limits_w:
            if round(watts * 1000) < 100:
                raise SuiteError(f"{key}: {watts:g} W is no limit that a device can be held to")
            if (taken := name + limit_suffix(round(watts * 1000))) in targets:
                raise SuiteError(f"{key}: the suite has a target '{taken}' of its own; give that one another name")


def decide(
    wish: Wish,
    bundle: Bundle,
    suite: SuiteFile,
    host: HostFile,
    cache: Path,
    cores: Sequence[int],
    round_label: str,
    audit: bool = False,
    profile: bool = False,
) -> RunSpec:
    """Decide one run.

    Args:
        wish: The combination.
        bundle: Its workload, ready on disk.
        suite: Grade, deadlines, watchdog.
        host: Cores to keep free.
        cache: Where compiled artefacts are kept.
        cores: Logical CPUs of this machine.
        round_label: The operator's label for measuring the same plan again.
        audit: Whether audits are asked for; at a grade that has them they are carried out anyway.
        profile: Whether a profile of operators is asked for; a suite can ask for it as well.

    Raises:
        SuiteError: The bundle has no such variant; a server run without latency bound; a ready artefact that is not there;
            no core left to the worker.
    """
    grade = GRADES[suite.grade]
    if wish.precision != "vendor" and wish.precision not in bundle.variants:
        raise SuiteError(
            f"{wish.place}.precisions: workload '{wish.workload}' has no precision '{wish.precision}'"
            f"{nearest(wish.precision, bundle.variants)}"
        )
    target = wish.target
    if wish.artefact:
        path = Path(wish.artefact)
        if not path.exists():
            raise SuiteError(f"{wish.place}: target.{target.base}.artefacts: {path} does not exist")
        target = replace(target, artefact=str(path), artefact_digest=path_digest(path))
    load = _load(wish, bundle, grade)
    audited = audit or grade.audited
    duration_s = load.min_duration_ns / 1e9
    spec = RunSpec(
        schema_version=SPEC_VERSION,
        run_id="",
        suite=suite.name,
        grade=grade.name,
        target=target,
        workload=wish.workload,
        precision=wish.precision,
        bundle=str(bundle.root),
        bundle_digest=bundle.digest,
        load=load,
        repeat=wish.repeat,
        round=round_label,
        warm_up_ns=int(grade.warm_up_s * 1e9),
        baseline_ns=int(grade.baseline_s * 1e9),
        ranging_ns=int(grade.ranging_s * 1e9),
        checked_queries=grade.checked,
        deadlines_s={
            p.value: suite.deadline_s.get(p.value, s + _WINDOWS.get(p, 0.0) * duration_s) for p, s in DEADLINES_S.items()
        },
        watchdog_s=suite.watchdog_s,
        cache=str(cache),
        cores=_cores(cores, host),
        meters=_meters(target.base, host),
        audits=audited,
        audit_ns=int(grade.audit_s * 1e9) if audited else 0,
        profile=profile or suite.profile,
    )
    return replace(spec, run_id=run_id(spec))


def _meters(target: str, host: HostFile) -> tuple[MeterSpec, ...]:
    """Return the meters of this machine that cover a target."""
    return tuple(
        MeterSpec(name, meter.kind, meter.domain, meter.settings)
        for name, meter in host.meter.items()
        if not meter.targets or target in meter.targets
    )


def run_id(spec: RunSpec) -> str:
    """Return the run's folder name: what people look for, then a digest of everything that identifies the run.

    Where bundle and cache lie does not identify a run, nor do deadlines or the machine's meters; what the bundle holds does.
    """
    plain = to_plain(spec)
    for key in ("run_id", "bundle", "cache", "deadlines_s", "watchdog_s", "meters"):
        plain.pop(key)
    if not spec.target.power_limit_mw:
        # A target left as it is has the run ids it had before limits could be asked for.
        plain["target"].pop("power_limit_mw")
    for key in ("audits", "audit_ns", "profile"):
        # Nor does a run without audits, or without a profile, have another id than it had before there were any.
        if not plain[key]:
            plain.pop(key)
    digest = content_digest(plain).removeprefix("sha256:")[:10]
    parts = [spec.workload, spec.precision, spec.load.scenario.value, spec.target.name, spec.grade]
    if spec.repeat:
        parts.append(f"n{spec.repeat + 1}")
    if spec.round:
        parts.append(spec.round)
    return ".".join("".join(c if c.isalnum() or c in "-_" else "_" for c in part) for part in parts) + f"-{digest}"


def _load(wish: Wish, bundle: Bundle, grade: Grade) -> LoadSpec:
    entry, scenario = wish.entry, wish.scenario
    bound_ns = int(entry.latency_bound_ms * 1e6) if entry.latency_bound_ms else bundle.latency_bound_ns
    server = scenario is Scenario.SERVER
    if server and bound_ns is None:
        raise SuiteError(
            f"{wish.place}.latency_bound_ms: is missing; workload '{wish.workload}' has no latency bound of its own for the "
            f"server scenario"
        )
    batch = entry.batch or BATCH[scenario]
    return LoadSpec(
        scenario=scenario,
        min_duration_ns=int(max(entry.duration_s or 0, grade.duration_s) * 1e9),
        min_queries=max(fewest_queries(grade, scenario), batch * entry.in_flight * 4 if scenario is Scenario.OFFLINE else 0),
        samples_per_query=MULTI_STREAM_SAMPLES if scenario is Scenario.MULTI_STREAM else 1,
        batch=1 if scenario is Scenario.SINGLE_STREAM else batch,
        in_flight=1 if scenario is Scenario.SINGLE_STREAM else entry.in_flight,
        coalesce_delay_ns=int(entry.coalesce_delay_ms * 1e6) if server else 0,
        target_qps=float(entry.target_qps) if server and entry.target_qps != "auto" else None,
        latency_bound_ns=bound_ns if server else None,
        percentile=TAIL[scenario],
        seeds=_seeds(wish.repeat),
    )


def _cores(cores: Sequence[int], host: HostFile) -> tuple[int, ...]:
    """Return the logical CPUs the worker may use; none = all."""
    if not host.free_cores:
        return ()
    left = tuple(core for core in cores if core not in host.free_cores)
    if not left:
        raise SuiteError(f"host file: free_cores: leaves none of the cores {', '.join(map(str, cores))} to the workers")
    return left


def _target(name: str, entry: TargetEntry, host: HostFile) -> TargetSpec:
    here = host.target.get(name)
    python = here.python if here and here.python is not None else entry.python
    return TargetSpec(
        name=name,
        backend=entry.backend,
        device=(here.device if here and here.device else entry.device),
        entry="",
        options={**entry.options, **(here.options if here else {})},
        python=str(Path(python).expanduser()) if python else "",
        env={**entry.env, **(here.env if here else {})},
    )
