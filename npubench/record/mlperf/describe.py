"""Describe a run in MLPerf's field names: its system, its weights, and its row of ``summary_results.json``.

Fields are those that mlcommons/inference asks for (``submission_checker/constants.py``) and renames for its summary
(``tools/submission/generate_final_report.py``). What was not captured is said to be so; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from npubench.contract.runspec import Scenario
from npubench.record.mlperf.loadgen_log import Account
from npubench.record.schema import Record

Division = Literal["closed", "open"]
Suite = Literal["edge", "datacenter"]

#: What stands where nothing was captured.
NOT_MEASURED = "not measured"
#: And where only the operator could have said it.
NOT_STATED = "not stated"

#: The layout's round: the newest whose checker was read.
ROUND = "6.1"

#: A scenario's folder, which is LoadGen's own name of it.
FOLDERS: Mapping[Scenario, str] = {
    Scenario.SINGLE_STREAM: "SingleStream",
    Scenario.MULTI_STREAM: "MultiStream",
    Scenario.SERVER: "Server",
    Scenario.OFFLINE: "Offline",
}

#: The unit that MLPerf's summary gives a scenario in.
UNITS: Mapping[str, str] = {
    "SingleStream": "Latency (ms)",
    "MultiStream": "Latency (ms)",
    "Server": "Queries/s",
    "Offline": "Samples/s",
}

#: Every field of a system's description.
SYSTEM_FIELDS = (
    "submitter",
    "division",
    "system_type",
    "system_type_detail",
    "status",
    "system_name",
    "number_of_nodes",
    "host_processors_per_node",
    "host_processor_model_name",
    "host_processor_core_count",
    "host_processor_vcpu_count",
    "host_processor_frequency",
    "host_processor_caches",
    "host_processor_interconnect",
    "host_memory_capacity",
    "host_memory_configuration",
    "host_storage_type",
    "host_storage_capacity",
    "host_networking",
    "host_network_card_count",
    "host_networking_topology",
    "accelerators_per_node",
    "accelerator_model_name",
    "accelerator_frequency",
    "accelerator_host_interconnect",
    "accelerator_interconnect",
    "accelerator_interconnect_topology",
    "accelerator_memory_capacity",
    "accelerator_memory_configuration",
    "accelerator_on-chip_memories",
    "cooling",
    "framework",
    "operating_system",
    "other_software_stack",
    "hw_notes",
    "sw_notes",
)

_HOST_DEVICE = re.compile(r"\bcpu\b|cpuexecutionprovider|\blocal-(task|sync)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """What the operator states of a submission and no machine can know.

    Args:
        submitter: The organisation; "" = not stated.
        division, suite: As MLPerf calls them.
        availability: available, preview or rdi; "" = not stated.
    """

    submitter: str = ""
    division: Division = "open"
    suite: Suite = "edge"
    availability: str = ""

    @property
    def folder(self) -> str:
        """The submitter's folder."""
        return self.submitter or "not-stated"


def system_name(record: Record) -> str:
    """Return the system's name in MLPerf's folders: host, target and precision, which are three things of one record."""
    return re.sub(r"[^\w.@+-]", "_", f"{record.system.system_id}_{record.spec.target.name}_{record.spec.precision}")


def describe_system(record: Record, statement: Statement) -> dict[str, str]:
    """Return a system's description, every field of MLPerf's; what the operator declares by MLPerf's own field name is taken."""
    system = record.system
    stable, device = system.stable, system.device
    sockets = stable.get("sockets", "")
    on_host = bool(_HOST_DEVICE.search(f"{device.get('name', '')} {device.get('kind', '')}"))
    versions = " ".join(f"{name} {version}" for name, version in system.versions.items())
    harness = record.provenance.harness
    link = " ".join(stable[name] for name in ("pcie-speed", "pcie-width") if name in stable)
    cores = _per_socket(system.physical_cores, sockets)
    known = {
        "submitter": statement.folder,
        "division": statement.division,
        "system_type": statement.suite,
        "status": statement.availability,
        "system_name": stable.get("host-product", system.hostname),
        "number_of_nodes": "1",
        "host_processors_per_node": sockets,
        "host_processor_model_name": system.cpu,
        "host_processor_core_count": cores,
        "host_processor_vcpu_count": str(system.logical_cores),
        "host_processor_caches": stable.get("caches", ""),
        "host_memory_configuration": stable.get("memory-modules", ""),
        "host_memory_capacity": f"{system.memory_bytes / 2**30:.1f} GiB",
        "accelerators_per_node": "0" if on_host else "1",
        "accelerator_model_name": "" if on_host else device.get("kind") or device.get("name", ""),
        "accelerator_host_interconnect": "" if on_host else link,
        "framework": f"{record.spec.target.backend} {versions}".strip(),
        "operating_system": f"{system.operating_system}, Linux {system.kernel}",
        "other_software_stack": f"Python {system.python}, npubench {harness}, LoadGen {record.provenance.loadgen}",
        "hw_notes": "the device is the host's processor" if on_host else "",
        **{
            name: value
            for name, value in system.declared.items()
            if name in SYSTEM_FIELDS and name not in ("submitter", "division")
        },
    }
    if system.simulated:
        known["hw_notes"] = "SIMULATED: the device is no hardware"
    absent = {"status": NOT_STATED, "hw_notes": "", "sw_notes": ""}
    if on_host:
        absent |= {name: "N/A" for name in SYSTEM_FIELDS if name.startswith("accelerator_")}
    return {name: known.get(name) or absent.get(name, NOT_MEASURED) for name in SYSTEM_FIELDS}


def _per_socket(cores: int | None, sockets: str) -> str:
    if cores is None or not sockets.isdigit() or int(sockets) == 0 or cores % int(sockets):
        return ""
    return str(cores // int(sockets))


def _notes(record: Record, system: Mapping[str, str]) -> str:
    limit = record.provenance.settings.get("power_limit_mw")
    said = [system["hw_notes"], system["sw_notes"], f"npubench run {record.run_id}"]
    if isinstance(limit, int | float) and not isinstance(limit, bool):
        said.append(f"power limit {limit / 1000:g} W")
    return "; ".join(text for text in said if text)


def describe_measurements(record: Record) -> dict[str, str]:
    """Return the description of the weights, and which record it is of."""
    precision, artefact = record.spec.precision, record.artefact
    if artefact is not None and artefact.ready:
        weights = f"{NOT_MEASURED}: the artefact was made beforehand"
        changed = weights
    elif precision == "vendor":
        weights = changed = f"{NOT_MEASURED}: the vendor's compiler chose it"
    else:
        weights = precision
        changed = "none by npubench" if precision == "fp32" else f"converted to {precision} without training"
        if artefact is not None and artefact.compiler:
            changed += f"; compiled by {artefact.compiler}"
    bundle = record.bundle
    return {
        "input_data_types": NOT_MEASURED,
        "retraining": "No",
        "starting_weights_filename": f"{bundle.workload} version {bundle.version}, model {bundle.model_digest}",
        "weight_data_types": weights,
        "weight_transformations": changed,
        "npubench_run": record.run_id,
        "npubench_grade": record.spec.grade,
        "npubench_status": record.status,
    }


def headline(account: Account) -> tuple[float | None, str]:
    """Return the figure that MLPerf's checker takes of a log, and its unit; ``None`` where LoadGen could not certify one.

    Latencies are LoadGen's early-stopping estimates; of a server, what was completed (``RESULT_FIELD_NEW``, v6.1).
    """
    unit = UNITS[account.scenario]
    if account.scenario in ("SingleStream", "MultiStream"):
        certified = account.early_stopping_ns.get("p90" if account.scenario == "SingleStream" else "p99")
        return (None if certified is None else certified / 1e6), unit
    if account.scenario == "Server":
        completed = account.statistics.get("Completed samples per second")
        return (None if completed is None else float(completed)), unit
    return account.value, unit


def summary_row(record: Record, account: Account, statement: Statement, location: str, gaps: int) -> dict[str, object]:
    """Return a run's row of ``summary_results.json``; ``ID`` and ``Model``, which MLPerf gives, are left out.

    Args:
        record: The run.
        account: What LoadGen says of its window.
        statement: What the operator states.
        location: The folder of its logs.
        gaps: How many of MLPerf's checks are known not to pass.
    """
    system = describe_system(record, statement)
    value, unit = headline(account)
    accuracy = record.metrics.get("accuracy")
    return {
        "Submitter": system["submitter"],
        "Availability": system["status"],
        "Category": statement.division,
        "Suite": statement.suite,
        "System": system["system_name"],
        "Nodes": 1,
        "Platform": system_name(record),
        "UsedModel": record.bundle.workload,
        "Scenario": account.scenario,
        "Accuracy": f"{record.bundle.metric}: {accuracy.value}" if accuracy and accuracy.value is not None else NOT_MEASURED,
        "Processor": system["host_processor_model_name"],
        "host_processors_per_node": system["host_processors_per_node"],
        "host_processor_core_count": system["host_processor_core_count"],
        "Accelerator": system["accelerator_model_name"],
        "a#": int(system["accelerators_per_node"]),
        "Location": location,
        "Software": system["framework"],
        "operating_system": system["operating_system"],
        "Notes": _notes(record, system),
        "compliance": f"{gaps} of MLPerf's checks do not pass; see npubench_gaps.json",
        "errors": gaps,
        "version": f"v{ROUND}",
        "inferred": 0,
        "has_power": False,
        "weight_data_types": describe_measurements(record)["weight_data_types"],
        "Performance_Result": NOT_MEASURED if value is None else value,
        "Performance_Units": unit,
    }
