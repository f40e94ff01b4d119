"""The record: the immutable account of one run, as it stands in ``record.json``.

Format history
--------------
1  first version
2  energy: interval, mean and peak power, energy a sample, energy above idle, energy of other phases, coverage, clock offset
3  audits, client health, stability, times of operators, memory; the system's captured facts, stable and volatile apart
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from npubench.analyze.audits.verdict import Audit
from npubench.analyze.client import Client
from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding
from npubench.analyze.memory import Memory
from npubench.analyze.operators import Operators
from npubench.analyze.ranging import Ranging
from npubench.analyze.stability import Stability
from npubench.contract.runspec import RunSpec, from_plain, to_plain

#: The version of ``record.json`` this code writes.
SCHEMA_VERSION: Literal[3] = 3

Status = Literal["ok", "invalid", "failed", "skipped"]


def _spec(value: Any) -> Any:
    return from_plain(RunSpec, value, "spec") if isinstance(value, Mapping) else value


Spec = Annotated[
    RunSpec,
    BeforeValidator(_spec),
    PlainSerializer(to_plain),
    WithJsonSchema({"type": "object", "description": "The resolved order for the run; see npubench.contract.RunSpec."}),
]


class Part(BaseModel):
    """The base of every part of a record: frozen, no unknown key, no NaN or Inf."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class System(Part):
    """The host the target sits in, read from the machine and not typed in."""

    system_id: str
    """Folder name in the store: host name and a digest of what makes the machine another one."""
    hostname: str
    """The host's name."""
    operating_system: str
    """Distribution and version."""
    kernel: str
    """Kernel release."""
    architecture: str
    """Machine type, such as x86_64."""
    cpu: str
    """Processor model name."""
    physical_cores: int | None
    """Physical cores, or null where the platform does not tell."""
    logical_cores: int
    """Logical cores this process may use."""
    memory_bytes: int
    """Main memory."""
    governor: str | None
    """CPU frequency governor of core 0, or null where there is none to read (as in most virtual machines)."""
    virtualisation: str | None
    """Hypervisor, or null where none is seen."""
    device: Mapping[str, str]
    """What the backend tells of the device: name, kind, serial, firmware."""
    versions: Mapping[str, str]
    """SDK, driver and runtime versions from the backend's probe."""
    packages: Mapping[str, str]
    """Distributions installed in the worker's interpreter, name → version."""
    python: str
    """The worker's interpreter version."""
    environment: Mapping[str, str]
    """Environment variables that change how runtimes behave (OMP_*, ORT_*, CUDA_* …), as the worker saw them."""
    simulated: bool
    """True where the device is no hardware; such a run is never ranked."""
    declared: Mapping[str, str]
    """What the operator declares in the host file: serial numbers, cooling, power supply."""
    stable: Mapping[str, str]
    """Captured facts that change only when somebody changes the machine, by id: memory, PCIe link, NUMA, microcode, driver."""
    volatile: Mapping[str, str]
    """Captured facts that change by themselves, by id: clocks, temperatures, load, free memory."""


class BundleReference(Part):
    """Which work was run."""

    workload: str
    """The workload's name."""
    version: str
    """The workload's version."""
    digest: str
    """The bundle's content digest."""
    work_digest: str
    """The digest of FP32 model, samples and labels: equal where the work is the same, on whatever machine it was prepared."""
    model_digest: str
    """The digest of the variant's ONNX file."""
    title: Mapping[str, str]
    """The workload's title by language."""
    task: Mapping[str, str]
    """The national task it stands for, by language."""
    licence: str
    """The licence of model and samples."""
    samples: int
    """How many samples the bundle has."""
    operations: int
    """Operations an inference, 2 × multiply-accumulates, counted from the graph."""
    metric: str
    """The gate's metric."""
    metric_unit: str
    """Its unit."""
    higher_is_better: bool
    """Its direction."""
    reference: float
    """What the FP32 model reaches on the CPU reference."""
    required: float
    """What a run must reach."""
    rule: str
    """How the bound follows from the reference."""
    claim: Literal["accuracy", "fidelity"]
    """Whether the metric is accuracy against labels or fidelity to the FP32 reference."""


class ArtefactReference(Part):
    """What the backend made of the model."""

    format: str
    """Its kind, such as onnx."""
    digest: str
    """The digest of the file, or over the folder's files."""
    size_bytes: int
    """Its size on disk."""
    compiler: str
    """Compiler and version; empty where nothing was compiled."""
    ready: bool
    """True where it was handed in instead of compiled."""
    cached: bool
    """True where an earlier run had compiled it."""
    notes: Mapping[str, str]
    """What the compiler says of it."""
    device_operators: int | None
    """Operators on the device by the runtime's own account, or null where it cannot tell."""
    host_operators: int | None
    """Operators on the host CPU by the same account."""
    offload_source: str | None
    """Where that account comes from."""


class SearchStep(Part):
    """One probe of the search for the highest server rate."""

    target_qps: float
    """The rate that was tried, queries/s."""
    queries: int
    """Queries sent."""
    percentile_ns: float | None
    """The certified percentile of latency, ns, or null if too few queries."""
    met: bool
    """Whether the bound was met."""
    certifying: bool
    """True for a full-length run under a fresh seed, false for a short probe."""


class PhaseTime(Part):
    """One phase of the run; times are of the monotonic clock of the host."""

    phase: str
    """The phase's name."""
    start_ns: int
    """When it began."""
    end_ns: int
    """When it ended."""
    steps: tuple[SearchStep, ...] = ()
    """The probes, in the search phase."""


class Energy(Part):
    """Energy over the measured window, from the sensors of one domain and one kind of evidence."""

    sensor: str
    """The sensor's name; of several that are parts of one domain, their names joined by " + "."""
    domain: str
    """chip, card, board, host or wall."""
    evidence: str
    """Where the figure comes from: wall meter, BMC or PDU, device energy counter, device power gauge."""
    joules: Estimate
    """Energy over the window; its interval is how far sensor step, period, sampling, gaps and clock can be wrong by."""
    watts: Estimate
    """Mean power over the window."""
    peak_watts: Estimate
    """The highest power over one update period of the sensor; by a counter, over 0.1 s at least."""
    idle_watts: Estimate
    """Mean power over the idle baseline."""
    above_idle_joules: Estimate
    """Energy over the window less the idle baseline's power over the same time; never in place of the whole."""
    joules_per_sample: Estimate
    """Energy over completed samples; absent where the energy is too uncertain."""
    samples_per_joule: Estimate
    """Completed samples over energy, which is samples/s per watt; absent where the energy is too uncertain."""
    accuracy_joules: Estimate
    """Energy of the accuracy phase."""
    warm_up_joules: Estimate
    """Energy of the warm-up phase."""
    readings: int
    """Readings inside the window."""
    coverage: float | None
    """The part of the window that readings cover, 0…1; null where it was not kept."""
    update_period_ns: int | None
    """The sensor's update period, or null if unknown."""
    clock_offset_ns: int
    """How far a remote meter's clock may be from the window's; 0 for sensors of this machine."""
    simulated: bool
    """True where the sensor is no hardware."""


class Provenance(Part):
    """How the record came about, and what stands beside it."""

    harness: str
    """npubench's version."""
    contract: int
    """The contract version of the plug-in."""
    plugin: Mapping[str, str]
    """The plug-in's entry point, distribution and version."""
    loadgen: str
    """The version of mlcommons-loadgen in the worker."""
    started_at: str
    """When the run began, UTC, ISO 8601."""
    interpreter: str
    """The worker's interpreter."""
    settings: Mapping[str, str | int | float | bool | None]
    """What the worker set and what took effect: timer slack, switch interval, garbage collection, batch, in flight."""
    calibration: str | None
    """The digest of the harness calibration on this system, or null where there is none."""
    files: Mapping[str, str]
    """File name → sha256 of everything that stands beside the record."""
    worker_exit: int | None
    """The worker's exit code, negative for a signal; null where none was started."""
    log_tail: str
    """The last lines of the worker's log, where the run failed."""


class Record(Part):
    """The immutable account of one run. The order of the fields is part of the format."""

    schema_version: Literal[3]
    """The version of this format."""
    run_id: str
    """The run's folder name in the store."""
    status: Status
    """ok: every rule holds; invalid: measured, but a rule does not hold; failed: no number; skipped: not run."""
    reason: str | None
    """Why it is not ok, as one sentence; null where it is."""
    spec: Spec
    """The resolved order for the run."""
    system: System
    """The host and the device."""
    bundle: BundleReference
    """The workload that was run, by its bundle."""
    artefact: ArtefactReference | None
    """What the backend made of the model; null where it came to none."""
    phases: tuple[PhaseTime, ...]
    """The parts of the run, in order."""
    metrics: Mapping[str, Estimate]
    """Metric name → estimate."""
    findings: tuple[Finding, ...]
    """Doubts about the run."""
    energy: tuple[Energy, ...]
    """Energy by sensor; empty where nothing was measured."""
    ranging: tuple[Ranging, ...]
    """What meters saw in the ranging run of an official measurement; empty where none was made."""
    audits: tuple[Audit, ...]
    """What the audits found; empty where none was asked for."""
    client: Client | None
    """The harness's own health in the window; null where the run has none."""
    stability: Stability | None
    """How still the run held; null where it has no window."""
    operators: Operators | None
    """How the time divides by operator, by the runtime's own profile of a run of its own; null where none was asked for."""
    memory: Memory | None
    """What the worker held over time, and whether it grew; null where it was not read."""
    provenance: Provenance
    """How the record came about."""
    exclusions: tuple[str, ...]
    """What time and energy do not count, as ids such as "host-transpose"."""
