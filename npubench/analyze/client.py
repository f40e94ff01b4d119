"""How the harness itself fared in the window: whether the figure is the device's or the client's. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from npubench.analyze.estimate import RECORD_CONFIG
from npubench.analyze.finding import Finding, Severity, by_gravity
from npubench.contract.runspec import Scenario
from npubench.measure.foreign import Foreign, Holder
from npubench.measure.trace import Trace

#: So much of a latency or of an offline window may pass outside the executor: what MLPerf's TEST01 and TEST04 allow two
#: figures of one device to differ by, 10 %. A figure with more of the harness in it is another device's.
HARNESS_SHARE = 0.10
#: A harness's thread may wait for a core in this part of the window. Waiting is not spread evenly: 5 % of the time is 5 % of
#: the mean at least, and all of the tail.
RUN_DELAY_SHARE = 0.05
#: The cores are taken for full at this part of their time, and the process for filling them by itself at the same part.
SATURATED = 0.90
#: Others may use this part of the measured cores: beyond it, on full cores, throughput is lower by as much.
FOREIGN_SHARE = 0.10
#: The least CPU time of others that counts at all, in cores: two clock ticks in a second are read wrongly by one.
FOREIGN_LEAST = 0.05
#: What a page fault that goes to a disk takes, s: 0.1 ms on a fast one, 10 ms on a turning one.
FAULT_S = 0.001
#: Such faults may take this part of the window; it is what figures are held to elsewhere (``loadgen-disagrees``).
FAULT_SHARE = 0.01
#: A hypervisor may take this part of the time of the cores.
STEAL_SHARE = 0.05
#: A process that holds the device works with it if it uses so much of a core; one that only keeps it awake does not.
HOLDER_CORES = 0.01


@dataclass(frozen=True, slots=True)
class Client:
    """The harness's own health in the measured window; null where the platform does not tell."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    lag_p99_ns: float | None
    """How late requests reached the executor at the 99th percentile, ns."""
    cpu_share: float | None
    """CPU time of the worker's process over the window, in cores: 1 is one core kept busy."""
    run_delay_share: float | None
    """Time that the harness's most delayed thread was ready to run and waited for a core, over the window."""
    major_faults: int | None
    """Page faults in the window that went to a disk."""
    foreign_cpu_share: float | None
    """CPU time of other processes on the cores the worker may use, in cores."""
    foreign: tuple[str, ...] = ()
    """The busiest of those processes, and any that holds the device, by name."""
    cores: int | None = None
    """Logical CPUs the worker may use."""
    harness_share: float | None = None
    """The part of the latency (offline: of the window) that passed outside the executor; null in the server scenario."""
    steal_share: float | None = None
    """The part of the time of the worker's cores that a hypervisor gave to others."""
    pressure_share: float | None = None
    """The part of the window in which some process of the machine waited for a core (PSI)."""
    involuntary_switches: int | None = None
    """How often a thread of the worker had to leave a core in the window."""
    device_holders: tuple[str, ...] = ()
    """Other processes that had the device's file open at the window's end, by name and id."""


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What the rules look at.

    Args:
        grade: Of the run.
        client: The harness's health.
        window_ns: The window's length.
        working_holders: Those of the holders of the device that used CPU time meanwhile.
    """

    grade: str
    client: Client
    window_ns: int
    working_holders: tuple[str, ...] = ()


def account_client(
    counted: Mapping[str, Any], trace: Trace, scenario: Scenario, foreign: Foreign, lag_p99_ns: float | None
) -> Client:
    """Put together what worker and supervisor counted.

    Args:
        counted: What passed in the worker (``npubench.measure.client.account``); empty where it was not counted.
        trace: The window.
        scenario: The run's.
        foreign: What the supervisor saw of others.
        lag_p99_ns: How late queries were issued, or ``None`` where they have no time they are due.
    """
    wall = _positive(counted.get("wall_ns"))
    cores = counted.get("cores") if isinstance(counted.get("cores"), int) else None

    def share(name: str, of: float | None = wall) -> float | None:
        value = counted.get(name)
        return None if of is None or not isinstance(value, int | float) else max(0.0, value / of)

    own, work = share("cpu_ns"), share("work_ns")
    others = None if own is None or work is None else max(0.0, work - own - foreign.harness_cores - foreign.kernel_cores)
    names = [f"{busy.name} ({busy.pid}) {busy.cores:.2f}" for busy in foreign.busiest]
    held = holders(counted, foreign)
    return Client(
        lag_p99_ns=lag_p99_ns,
        cpu_share=own,
        run_delay_share=share("run_delay_ns"),
        major_faults=_count(counted.get("major_faults")),
        foreign_cpu_share=others,
        foreign=tuple(names),
        cores=cores,
        harness_share=harness_share(trace, scenario),
        steal_share=share("steal_ns", None if wall is None or not cores else wall * cores),
        pressure_share=share("pressure_ns"),
        involuntary_switches=_count(counted.get("involuntary_switches")),
        device_holders=tuple(dict.fromkeys(_named(holder) for holder in held)),
    )


def holders(counted: Mapping[str, Any], foreign: Foreign) -> tuple[Holder, ...]:
    """Return the processes that hold a device file that the worker has open as well."""
    own = counted.get("accelerators", ())
    return tuple(holder for holder in foreign.holders if holder.device in own)


def working(held: tuple[Holder, ...]) -> tuple[str, ...]:
    """Return the holders that use CPU time, and so most likely the device, by name and id."""
    return tuple(dict.fromkeys(_named(holder) for holder in held if holder.cores >= HOLDER_CORES))


def harness_share(trace: Trace, scenario: Scenario) -> float | None:
    """Return the part of the time that was the harness's own: no request was in the executor though there was work.

    In single-stream and multi-stream it is the part of all latencies, since one query is out at a time; offline, of the
    window, since there is always work. In the server scenario a device waits for arrivals: ``None``. A single-stream query
    of LoadGen's own thread is stamped next to the executor, so that there the latency is LoadGen's, from its issue on.
    """
    if scenario is Scenario.SERVER or not trace.samples:
        return None
    order = np.argsort(trace.started_ns, kind="stable")
    started, done = trace.started_ns[order], trace.done_ns[order]
    # The union of [started, done]: each interval adds what lies beyond all before it.
    reached = np.maximum.accumulate(done)
    before = np.concatenate((started[:1], reached[:-1]))
    busy = float(np.maximum(0, reached - np.maximum(started, before)).sum())
    whole = float(trace.window_ns if scenario is Scenario.OFFLINE else trace.query_latencies_ns().sum())
    mean = trace.details.get("loadgen", {}).get("mean_ns")
    if scenario is Scenario.SINGLE_STREAM and isinstance(mean, int | float):
        whole = max(whole, float(mean) * trace.queries)
    return max(0.0, 1 - busy / whole) if whole > 0 else None


def judge_client(facts: ClientFacts) -> tuple[Finding, ...]:
    """Return every finding on the harness's health, the grave ones first."""
    return by_gravity(finding for rule in (_cpu, _run_queue, _page_faults, _foreign, _device) for finding in rule(facts))


def _strict(facts: ClientFacts) -> Severity:
    """Return how a doubt counts that a run of a second cannot be held to."""
    return "warning" if facts.grade == "smoke" else "invalid"


def _cpu(facts: ClientFacts) -> Iterator[Finding]:
    """The time between the scheduled start and the executor must be small beside the executor's own."""
    share = facts.client.harness_share
    if share is not None and share > HARNESS_SHARE:
        yield Finding(
            "client-cpu",
            _strict(facts),
            f"{share:.1%} of the time passed in the harness and not in the executor",
            f"at most {HARNESS_SHARE:.0%}",
            "The work is too small for this measurement: measure with larger batches, or in the offline scenario.",
            {"share": share, "allowed": HARNESS_SHARE},
        )


def _run_queue(facts: ClientFacts) -> Iterator[Finding]:
    """A harness's thread that waits for a core measures the wait; its own process may be what it waits for."""
    client = facts.client
    share = client.run_delay_share
    if share is None or share <= RUN_DELAY_SHARE:
        return
    alone = client.cpu_share is not None and client.cores is not None and client.cpu_share >= SATURATED * client.cores
    yield Finding(
        "run-queue",
        "warning" if alone else _strict(facts),
        f"the harness's thread waited for a core in {share:.1%} of the window",
        f"at most {RUN_DELAY_SHARE:.0%}",
        "Give the target fewer threads than there are cores."
        if alone
        else "Leave the cores to the run alone: end other processes, or keep cores free by free_cores in the host file.",
        {"share": share, "allowed": RUN_DELAY_SHARE, "own_threads": alone},
    )


def _page_faults(facts: ClientFacts) -> Iterator[Finding]:
    """Faults that go to a disk stop a thread for about a millisecond each."""
    faults = facts.client.major_faults
    allowed = math.floor(facts.window_ns / 1e9 * FAULT_SHARE / FAULT_S)
    if faults is not None and faults > max(1, allowed):
        yield Finding(
            "page-faults",
            _strict(facts),
            f"{faults} page faults went to a disk in the window",
            f"at most {max(1, allowed)}",
            "Memory is short: close other programs, add memory, or raise the container's limit.",
            {"faults": faults, "allowed": max(1, allowed)},
        )


def _foreign(facts: ClientFacts) -> Iterator[Finding]:
    """Others on the worker's cores, processes or a hypervisor's other guests, are in the figure where the cores are full."""
    client = facts.client
    others, cores, own = client.foreign_cpu_share, client.cores, client.cpu_share
    if others is not None and cores and own is not None and others > max(FOREIGN_LEAST, FOREIGN_SHARE * cores):
        full = others + own >= SATURATED * cores
        names = ", ".join(client.foreign) or "processes not visible from here"
        yield Finding(
            "foreign-load",
            _strict(facts) if full else "warning",
            f"other processes used {others:.2f} of {cores} cores: {names}",
            f"at most {max(FOREIGN_LEAST, FOREIGN_SHARE * cores):.2f} cores",
            "End them, or measure when they are done; on a shared machine, ask for cores of your own.",
            {"used": others, "cores": cores, "names": names, "allowed": max(FOREIGN_LEAST, FOREIGN_SHARE * cores)},
        )
    if client.steal_share is not None and client.steal_share > STEAL_SHARE:
        yield Finding(
            "stolen-time",
            _strict(facts),
            f"the hypervisor gave {client.steal_share:.1%} of the cores' time to others",
            f"at most {STEAL_SHARE:.0%}",
            "Measure on bare metal, or have the CPUs reserved for this guest.",
            {"share": client.steal_share, "allowed": STEAL_SHARE},
        )


def _device(facts: ClientFacts) -> Iterator[Finding]:
    """Two users of one device measure each other; one that holds it and does nothing is only said."""
    held = facts.client.device_holders
    if held:
        names = ", ".join(facts.working_holders or held)
        yield Finding(
            "device-shared",
            _strict(facts) if facts.working_holders else "note",
            f"the device was also held by {names}",
            "the device for the run alone",
            "End them, or measure when they are done; see: fuser -v DEVICE",
            {"names": names},
        )


def _named(holder: Holder) -> str:
    return f"{holder.name} ({holder.pid})"


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
