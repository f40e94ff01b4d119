"""Say which of MLPerf's own checks an exported run does not pass, and why. A submission nobody checked is worth nothing.

The checks are those of mlcommons/inference ``tools/submission/submission_checker`` for the layout's round; constants are its.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from npubench.record.mlperf.describe import NOT_MEASURED, ROUND, Statement, headline
from npubench.record.mlperf.loadgen_log import Account
from npubench.record.schema import Record

#: Seeds of the round.
SEEDS: Mapping[str, int] = {
    "qsl_rng_seed": 2085463073848966840,
    "sample_index_rng_seed": 2747215439041700203,
    "schedule_rng_seed": 16159082839903944936,
}
#: A window is at least this long, ms; an offline one has at least this many samples.
MIN_DURATION_MS, MIN_OFFLINE_SAMPLES = 600_000, 24_576
#: What LoadGen chooses from is at least as many samples for most of MLPerf's vision models.
SAMPLE_COUNT = 1024

#: Fields of a system's description that may not be empty.
MEANINGFUL = (
    "host_processors_per_node",
    "host_processor_core_count",
    "host_memory_configuration",
    "host_storage_capacity",
    "host_storage_type",
    "host_networking",
    "host_network_card_count",
    "host_networking_topology",
    "accelerator_memory_capacity",
    "accelerator_host_interconnect",
    "accelerator_memory_configuration",
    "accelerator_interconnect",
    "cooling",
)


@dataclass(frozen=True, slots=True)
class Gap:
    """One of MLPerf's checks that does not pass: its name, and why."""

    check: str
    why: str


def find_gaps(record: Record, account: Account, system: Mapping[str, str], statement: Statement, errors: int) -> tuple[Gap, ...]:
    """Return what MLPerf's checker would not accept.

    Args:
        record: The run.
        account: What LoadGen says of its window.
        system: Its system's description.
        statement: What the operator states.
        errors: Errors in LoadGen's detail log.
    """
    found: list[Gap] = []

    def gap(check: str, why: str) -> None:
        found.append(Gap(check, why))

    bundle = record.bundle
    gap(
        "model",
        f"workload '{bundle.workload}' is not one of MLPerf's v{ROUND} models with its weights and data set"
        + ("; the open division asks which of them it stands for (model_mapping.json)" if statement.division == "open" else ""),
    )
    if not account.valid:
        gap("loadgen validity", "LoadGen calls the window INVALID")
    if errors:
        gap("loadgen errors", f"LoadGen's detail log holds {errors} errors")
    if off := [name for name, seed in SEEDS.items() if account.settings.get(name) != str(seed)]:
        gap("seeds", f"{', '.join(off)} are not those of round v{ROUND}: a window that was measured afresh has seeds of its own")
    if (lasted := _whole(account.settings.get("min_duration (ms)"))) is None or lasted < MIN_DURATION_MS:
        gap("minimum duration", f"the window was asked to last {lasted} ms, required {MIN_DURATION_MS} ms")
    if account.scenario == "Offline":
        samples = _whole(account.settings.get("samples_per_query"))
        if samples is None or samples < MIN_OFFLINE_SAMPLES:
            gap("minimum queries", f"the offline query has {samples} samples, required {MIN_OFFLINE_SAMPLES}")
    held = _whole(account.settings.get("performance_sample_count"))
    if held is None or held < SAMPLE_COUNT:
        gap("performance sample count", f"LoadGen chose from {held} samples; MLPerf sets it by model (resnet: {SAMPLE_COUNT})")
    if headline(account)[0] is None:
        gap("early stopping", "LoadGen certified no estimate of the latency that the scenario is judged by")
    gap(
        "accuracy log",
        "accuracy was scored over all samples by npubench's own phase, not in LoadGen's AccuracyOnly mode: "
        "accuracy/ has no mlperf_log_accuracy.json, mlperf_log_detail.txt or mlperf_log_summary.txt",
    )
    gap("accuracy metric", f"'{bundle.metric}' of workload '{bundle.workload}' is no metric that MLPerf has a target for")
    if statement.division == "closed":
        names = ", ".join(f"{audit.name} {audit.status}" for audit in record.audits) or "none"
        gap("compliance tests", f"TEST01 and TEST04 were not carried out by MLPerf's scripts; npubench's own audits: {names}")
    if statement.availability not in ("available", "preview", "rdi"):
        gap("availability", "nobody stated whether the system is available, preview or rdi (--availability)")
    if not statement.submitter:
        gap("submitter", "nobody stated who submits (--submitter)")
    if missing := [name for name in MEANINGFUL if system[name] == NOT_MEASURED]:
        gap(
            "system description",
            f"{NOT_MEASURED}: {', '.join(missing)}; the checker takes these words, a reader of a "
            "submission will not; declare them by these names in the host file",
        )
    if record.energy:
        gap(
            "power",
            f"power by {record.energy[0].evidence} is in spl.txt; MLPerf asks for its own power client and server, "
            "PTDaemon's logs and a ranging run by them",
        )
    if record.system.simulated:
        gap("hardware", "the device is SIMULATED: no hardware")
    if record.spec.grade != "official" or record.status != "ok":
        gap("npubench grade", f"the run is of grade {record.spec.grade} and {record.status}: it may not be published")
    return tuple(found)


def _whole(text: Any) -> int | None:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else None
