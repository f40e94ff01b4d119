"""List everything that is not the same between the subjects of a comparison: versions, threads, precision, system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from npubench.record.schema import Record
from npubench.report.page import Difference

#: What stands for a value that is not there.
MISSING = "—"

#: Facts of a workload or load: a subject has them only for what it ran.
PER_RUN = ("batch:", "in-flight:", "bundle:")

#: System rows that say something of how fast a machine is or how it was set up.
SYSTEM_ROWS = ("cpu", "physical-cores", "logical-cores", "memory", "operating-system", "kernel", "governor", "virtualisation")


#: Captured facts that stand elsewhere among the differences.
SAID = ("packages-digest", "cores", "threads", "device-kind")


def system_rows(record: Record) -> dict[str, str]:
    """Return the host as id → text."""
    system = record.system
    return {
        "hostname": system.hostname,
        "cpu": system.cpu,
        "physical-cores": MISSING if system.physical_cores is None else str(system.physical_cores),
        "logical-cores": str(system.logical_cores),
        "memory": f"{system.memory_bytes / 2**30:.1f} GiB",
        "operating-system": system.operating_system,
        "kernel": system.kernel,
        "architecture": system.architecture,
        "governor": system.governor or MISSING,
        "virtualisation": system.virtualisation or MISSING,
        **{f"declared:{key}": value for key, value in system.declared.items()},
    }


def find_differences(subjects: Mapping[str, Sequence[Record]]) -> tuple[Difference, ...]:
    """Return what differs, as id → each subject's value; what is the same for all is left out.

    Args:
        subjects: Subject key → its records.
    """
    facts = {key: _facts(records) for key, records in subjects.items()}
    names = dict.fromkeys(name for fact in facts.values() for name in fact)
    found = []
    for name in names:
        values = {key: fact.get(name, MISSING) for key, fact in facts.items()}
        # What a subject did not run is listed as missing and is no difference of conditions.
        compared = values.values() if not name.startswith(PER_RUN) else (v for v in values.values() if v != MISSING)
        if len(set(compared)) > 1:
            found.append(Difference(name, values))
    return tuple(found)


def _facts(records: Sequence[Record]) -> dict[str, str]:
    """Return every fact of a subject; several values in its runs are joined."""
    seen: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in _of_one(record).items():
            seen.setdefault(name, {})[value] = None
    return {name: " / ".join(values) for name, values in seen.items()}


def _of_one(record: Record) -> dict[str, str]:
    spec, system, provenance = record.spec, record.system, record.provenance
    facts = {
        "backend": spec.target.backend,
        "device": spec.target.device,
        "precision": spec.precision,
        **{f"option:{key}": str(value) for key, value in spec.target.options.items()},
    }
    load = f"{spec.workload} {spec.load.scenario.value}"
    for key, name in (("batch", "batch"), ("in_flight", "in-flight")):
        if key in provenance.settings:
            facts[f"{name}:{load}"] = str(provenance.settings[key])
    facts[f"bundle:{spec.workload}"] = record.bundle.work_digest.removeprefix("sha256:")[:12]
    facts |= {f"system:{row}": value for row, value in system_rows(record).items() if row in SYSTEM_ROWS}
    # What was captured says more than the rows; what rows and packages say already is not said twice.
    facts |= {f"system:{key}": value for key, value in system.stable.items() if key not in (*SYSTEM_ROWS, *SAID)}
    facts["python"] = system.python
    facts["harness"] = provenance.harness
    facts |= {f"version:{key}": value for key, value in system.versions.items()}
    facts |= {f"package:{key}": value for key, value in system.packages.items()}
    facts |= {f"environment:{key}": value for key, value in system.environment.items()}
    return facts
