"""Run honest and dishonest plug-ins under the audits, live, one run after the other; what the audits said of each is a trial."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from npubench.contract.bundle import Bundle
from npubench.contract.runspec import LoadSpec, RunSpec, Scenario, Seeds, TargetSpec
from npubench.plan.decide import DEADLINES_S, SPEC_VERSION
from npubench.plan.grades import GRADES, TAIL
from npubench.plan.usermodel import bundle_for_model, fidelity
from npubench.plan.wheels import npubench_cache
from npubench.record.conduct import conduct
from npubench.record.machine import describe_machine
from npubench.record.store import Store
from npubench.testing.cheats import CHEATS, HONEST
from npubench.verbs.console import Steps

#: The measured window, its warm-up and its baseline, ns: shorter than a smoke run's, since only the verdicts are looked at.
_WINDOW_NS, _WARM_UP_NS, _BASELINE_NS = 500_000_000, 100_000_000, 400_000_000
_SAMPLES = 64

#: The law of every cheat: long enough for what is left out to show, on a busy machine as well.
LAW: Mapping[str, Any] = {"fixed_us": 1500.0, "per_sample_us": 500.0}


@dataclass(frozen=True, slots=True)
class Subject:
    """A plug-in, how it is run, and what must come of it.

    Args:
        name: As the table has it.
        backend, device, entry, options: As in :class:`~npubench.contract.runspec.TargetSpec`.
        scenario, batch, in_flight: Of the load.
        audit: The audit that must fail; empty where the plug-in is honest.
    """

    name: str
    entry: str
    options: Mapping[str, Any] = field(default_factory=dict)
    backend: str = "simulated"
    device: str = "sim:plain"
    scenario: Scenario = Scenario.SINGLE_STREAM
    batch: int = 1
    in_flight: int = 1
    audit: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one run.

    Args:
        subject: The plug-in's name.
        audit: The audit that must fail; empty where the plug-in is honest.
        seed: Of load and law.
        status: The record's.
        audits: Audit → its status.
        observed: Audit → what it saw, of those that failed.
        others: Rules other than audits that made the run invalid, or the reason why it failed.
    """

    subject: str
    audit: str
    seed: int
    status: str
    audits: Mapping[str, str]
    observed: Mapping[str, str]
    others: tuple[str, ...]

    @property
    def caught(self) -> bool:
        """Whether the audit that is meant for it failed."""
        return self.audits.get(self.audit) == "failed"

    @property
    def accused(self) -> tuple[str, ...]:
        """The audits that failed."""
        return tuple(name for name, status in self.audits.items() if status == "failed")


def honest_subjects() -> tuple[Subject, ...]:
    """Return the honest plug-ins: laws with and without jitter, paths with and without threads, batches, and a real runtime."""
    lognormal = {"jitter": "lognormal", "jitter_us": 200.0}
    found = [
        Subject("steady, one stream", HONEST, LAW),
        Subject("lognormal jitter, one stream", HONEST, {**LAW, **lognormal}),
        Subject("uniform jitter, short requests", HONEST, {"fixed_us": 250.0, "jitter": "uniform", "jitter_us": 50.0}),
        Subject("gamma jitter, drifting", HONEST, {**LAW, "jitter": "gamma", "jitter_us": 300.0, "drift_percent": 20.0}),
        Subject("two threads", HONEST, {**LAW, **lognormal, "max_in_flight": 2}, in_flight=2),
        Subject("asynchronous", HONEST, {**LAW, **lognormal, "max_in_flight": 2, "asynchronous": True}, in_flight=2),
        Subject("batches of 8, offline", HONEST, {**LAW, **lognormal}, scenario=Scenario.OFFLINE, batch=8),
        Subject(
            "asynchronous batches of 4",
            HONEST,
            {**LAW, "max_in_flight": 2, "asynchronous": True, "max_batch": 4},
            scenario=Scenario.OFFLINE,
            batch=4,
            in_flight=2,
        ),
        Subject("slow gauge only", HONEST, {"fixed_us": 900.0}, device="sim:ca22"),
    ]
    if importlib.util.find_spec("npubench_onnxruntime") and importlib.util.find_spec("onnxruntime"):
        found.append(Subject("ONNX Runtime, CPU", "npubench_onnxruntime:OnnxRuntimeBackend", backend="onnxruntime", device="cpu"))
    return tuple(found)


def dishonest_subjects() -> tuple[Subject, ...]:
    """Return every cheat of :data:`npubench.testing.cheats.CHEATS`."""
    return tuple(
        Subject(
            cheat.name,
            cheat.entry,
            {**LAW, "known": _SAMPLES, **cheat.options},
            scenario=Scenario.OFFLINE if cheat.batch > 1 else Scenario.SINGLE_STREAM,
            batch=cheat.batch,
            audit=cheat.audit,
        )
        for cheat in CHEATS
    )


def run_trials(honest: int, seeds: int, first_seed: int = 1) -> Iterator[Trial]:
    """Run ``honest`` runs of the honest plug-ins in turn, and ``seeds`` of every cheat; yield what came of each.

    Raises:
        NpubenchError: The model cannot be prepared, or there is no room.
    """
    known = honest_subjects()
    order = [(known[n % len(known)], first_seed + n) for n in range(honest)]
    order += [(subject, first_seed + n) for n in range(seeds) for subject in dishonest_subjects()]
    steps = Steps(len(order), "audited runs")
    with steps.shown(), _bench() as (bundle, root):
        for n, (subject, seed) in enumerate(order):
            steps.now(f"{subject.name}, seed {seed}")
            yield run_trial(subject, seed, bundle, root / str(n))
            steps.step()


def run_trial(subject: Subject, seed: int, bundle: Bundle, root: Path) -> Trial:
    """Carry out one audited run in a store of its own at ``root``.

    Raises:
        StoreError: The record cannot be written.
    """
    store = Store(root)
    with store.writing():
        record = conduct(trial_spec(subject, seed, bundle), bundle, fidelity, store, describe_machine(), None, {})
    failed = {audit.name: audit.observed for audit in record.audits if audit.status == "failed"}
    grave = {finding.rule for finding in record.findings if finding.severity == "invalid" and finding.rule != "audit"}
    others = tuple(sorted(grave)) if record.status != "failed" else (record.reason or "failed",)
    audits = {audit.name: audit.status for audit in record.audits}
    return Trial(subject.name, subject.audit, seed, record.status, audits, failed, others)


def trial_spec(subject: Subject, seed: int, bundle: Bundle) -> RunSpec:
    """Return the run of a plug-in with the audits of grade smoke, and windows shorter than a suite would ask for."""
    options = dict(subject.options)
    if subject.backend == "simulated":
        options["seed"] = seed
    load = LoadSpec(
        scenario=subject.scenario,
        min_duration_ns=_WINDOW_NS,
        min_queries=1 if subject.scenario is Scenario.OFFLINE else 64,
        samples_per_query=1,
        batch=subject.batch,
        in_flight=subject.in_flight,
        coalesce_delay_ns=0,
        target_qps=None,
        latency_bound_ns=None,
        percentile=TAIL[subject.scenario],
        seeds=Seeds(*(int(n) for n in np.random.default_rng(seed).integers(1, 1 << 31, 4))),
    )
    return RunSpec(
        schema_version=SPEC_VERSION,
        run_id="audited",
        suite="audits",
        grade="smoke",
        target=TargetSpec("audited", subject.backend, subject.device, subject.entry, options),
        workload=bundle.workload,
        precision="fp32",
        bundle=str(bundle.root),
        bundle_digest=bundle.digest,
        load=load,
        repeat=0,
        round="",
        warm_up_ns=_WARM_UP_NS,
        baseline_ns=_BASELINE_NS,
        checked_queries=GRADES["smoke"].checked,
        deadlines_s={phase.value: limit + 60.0 for phase, limit in DEADLINES_S.items()},
        watchdog_s=60.0,
        cache=str(npubench_cache()),
        audits=True,
        audit_ns=int(GRADES["smoke"].audit_s * 1e9),
    )


@contextmanager
def _bench() -> Iterator[tuple[Bundle, Path]]:
    """Make the network that is run, and a folder for the runs."""
    with tempfile.TemporaryDirectory(prefix="npubench-audits-") as scratch:
        yield made_up_bundle(Path(scratch)), Path(scratch)


def made_up_bundle(folder: Path) -> Bundle:
    """Return the bundle of a made-up network of three layers with activations between them, 16 → 24 → 24 → 6.

    Args:
        folder: Where its ONNX file is written.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(5)
    sizes = (16, 24, 24, 6)
    nodes, constants, name = [], [], "x"
    for n, (width, height) in enumerate(pairwise(sizes)):
        weight = random.standard_normal((width, height)).astype(np.float32) / np.float32(width**0.5)
        bias = random.standard_normal(height).astype(np.float32) / np.float32(8)
        constants += [numpy_helper.from_array(weight, f"w{n}"), numpy_helper.from_array(bias, f"b{n}")]
        last = n == len(sizes) - 2
        nodes += [
            helper.make_node("MatMul", [name, f"w{n}"], [f"p{n}"]),
            helper.make_node("Add", [f"p{n}", f"b{n}"], ["y" if last else f"s{n}"]),
        ]
        if not last:
            nodes.append(helper.make_node("Relu", [f"s{n}"], [f"h{n}"]))
        name = f"h{n}"
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", w]) for n, w in (("x", sizes[0]), ("y", sizes[-1])))
    graph = helper.make_graph(nodes, "three-layers", [x], [y], constants)
    path = folder / "three-layers.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return bundle_for_model(path, npubench_cache(), samples=_SAMPLES)
