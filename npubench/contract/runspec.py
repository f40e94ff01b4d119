"""The resolved order for one run, as it crosses to the worker: plain JSON in, frozen dataclasses out."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from npubench.contract.options import nearest


class Scenario(str, Enum):
    """How queries arrive, in MLPerf's terms (LoadGen ``test_settings.h``)."""

    SINGLE_STREAM = "single-stream"
    MULTI_STREAM = "multi-stream"
    SERVER = "server"
    OFFLINE = "offline"


class Phase(str, Enum):
    """The parts of a run, in order. Each is timed and has a deadline."""

    LOAD_PLUGIN = "load-plugin"
    COMPILE = "compile"
    LOAD_EXECUTOR = "load-executor"
    ACCURACY = "accuracy"
    WARM_UP = "warm-up"
    SEARCH = "search"
    RANGING = "ranging"
    BASELINE = "baseline"
    MEASURE = "measure"
    AUDIT = "audit"
    CLOSE = "close"
    PERTURBED = "perturbed"
    REST = "rest"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """What runs: ``backend:device`` with options, and the interpreter it lives in.

    ``entry`` is the plug-in's class as ``module:Class``, so that the worker needs no discovery.
    ``python`` is the interpreter's path, ``""`` for the harness's own.
    ``artefact`` is a ready artefact's path, ``""`` where the backend compiles.
    ``power_limit_mw`` is the limit to measure it under, mW; 0 leaves the device's as it is. ``name`` then ends in it.
    """

    name: str
    backend: str
    device: str
    entry: str
    options: Mapping[str, Any] = field(default_factory=dict)
    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    artefact: str = ""
    artefact_digest: str = ""
    power_limit_mw: int = 0

    @property
    def base(self) -> str:
        """The name the suite has it by, without the limit: ``"gpu"`` of ``"gpu@150W"``."""
        return self.name.removesuffix(limit_suffix(self.power_limit_mw)) if self.power_limit_mw else self.name


def limit_suffix(milliwatts: int) -> str:
    """Return what a target's name ends in where its power is limited, such as ``"@150W"``."""
    return f"@{milliwatts / 1000:.12g}W"


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """A meter of the machine's own, beside the sensors that a plug-in brings.

    Args:
        name: As the host file calls it.
        kind: What it is read by: one of the modules of ``npubench.measure.meters``.
        domain: What it covers, as in :class:`npubench.contract.Sensor`.
        settings: Its kind's own settings. Secrets are not among them: a setting names the variable or file that has one.
    """

    name: str
    kind: str
    domain: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seeds:
    """LoadGen's three seeds and the seed of the checked subset, one a dimension."""

    qsl: int
    sample_index: int
    schedule: int
    subset: int


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """The load of the measured window.

    Args:
        scenario: How queries arrive.
        min_duration_ns: The window is at least this long.
        min_queries: And has at least this many queries.
        samples_per_query: 8 in multi-stream (MLPerf), 1 otherwise; offline sends one query with all samples.
        batch: The largest batch the harness makes; the executor's own limit also holds.
        in_flight: Requests at once; the executor's own limit also holds.
        coalesce_delay_ns: How long a server query may wait for others to fill a batch.
        target_qps: Server arrival rate, 1/s; ``None`` = search for the highest that meets the bound.
        latency_bound_ns: What ``percentile`` of server latencies must meet; ``None`` = no bound.
        percentile: The tail the scenario is judged by: 0.9 single-stream, 0.99 multi-stream and server.
        seeds: Of this run.
    """

    scenario: Scenario
    min_duration_ns: int
    min_queries: int
    samples_per_query: int
    batch: int
    in_flight: int
    coalesce_delay_ns: int
    target_qps: float | None
    latency_bound_ns: int | None
    percentile: float
    seeds: Seeds


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Everything the worker needs for one run, and everything that identifies it.

    Args:
        schema_version: Of this format.
        run_id: Folder name in the store; readable, with a digest of the identifying fields.
        suite: The suite's name.
        grade: ``smoke``, ``nightly`` or ``official``.
        target: What runs.
        workload, precision: Which bundle variant.
        bundle: The bundle's folder.
        bundle_digest: Its digest; the worker refuses another.
        load: The measured load.
        repeat: 0…n-1 where the grade wants several fresh processes.
        round: The operator's label for measuring the same plan again.
        warm_up_ns: Warm-up lasts at least this long.
        baseline_ns: Idle baseline before the window; 0 = none.
        checked_queries: How many timed queries keep their outputs for comparison.
        deadlines_s: Phase → seconds; a run that exceeds one is killed and ``failed``.
        watchdog_s: Seconds without progress after which a run is killed.
        cache: Folder for compiled artefacts.
        cores: Logical CPUs the worker may use; empty = all.
        audits: Whether the audits are carried out, after the measured window.
        audit_ns: An audit that compares two loads measures each for at least this long.
        meters: Read beside the plug-in's sensors, by a process of the harness's own interpreter.
        ranging_ns: The ranging run before the baseline lasts at least this long, where power is measured; 0 = none.
        profile: Whether operators are profiled afterwards, in a process of its own.
    """

    schema_version: int
    run_id: str
    suite: str
    grade: str
    target: TargetSpec
    workload: str
    precision: str
    bundle: str
    bundle_digest: str
    load: LoadSpec
    repeat: int
    round: str
    warm_up_ns: int
    baseline_ns: int
    checked_queries: int
    deadlines_s: Mapping[str, float]
    watchdog_s: float
    cache: str
    cores: tuple[int, ...] = ()
    meters: tuple[MeterSpec, ...] = ()
    audits: bool = False
    audit_ns: int = 0
    ranging_ns: int = 0
    profile: bool = False


def to_plain(value: Any) -> Any:
    """Turn dataclasses, enums, tuples and mappings into plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    return value


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    """Return a dataclass's types by field; working them out anew for each of thousands of records takes longer than all else."""
    return typing.get_type_hints(cls)


def from_plain(cls: Any, data: Any, where: str = "") -> Any:
    """Build ``cls`` from what :func:`to_plain` made. ``int`` is taken for ``float``; nothing else is converted.

    Raises:
        ValueError: An unknown or missing key, or a value of another type; the text names it with its path.
    """
    origin, arguments = typing.get_origin(cls), typing.get_args(cls)
    if cls is Any:
        return data
    if dataclasses.is_dataclass(cls) and isinstance(cls, type):
        hints = _hints(cls)
        for key in _expect(Mapping, data, where):
            if key not in hints:
                raise ValueError(f"{where}: unknown key '{key}'{nearest(key, hints)}")
        read = {key: from_plain(hints[key], value, f"{where}.{key}") for key, value in data.items()}
        try:
            return cls(**read)
        except TypeError as error:
            raise ValueError(f"{where}: {error}") from error
    if origin in (typing.Union, types.UnionType):
        kinds = [a for a in arguments if a is not type(None)]
        return None if data is None else from_plain(kinds[0], data, where)
    if origin is tuple:
        return tuple(from_plain(arguments[0], item, where) for item in _expect(list, data, where))
    if origin is Mapping:
        return {str(k): from_plain(arguments[1], v, f"{where}.{k}") for k, v in _expect(Mapping, data, where).items()}
    if issubclass(cls, Enum):
        try:
            return cls(data)
        except ValueError as error:
            raise ValueError(f"{where}: {data!r} is not valid{nearest(str(data), [str(c.value) for c in cls])}") from error
    if cls is float and type(data) in (int, float) and math.isfinite(data):
        return float(data)
    if type(data) is not cls or cls is float:
        raise ValueError(f"{where}: {data!r} is not of type {cls.__name__}")
    return data


def _expect(kind: Any, data: Any, where: str) -> Any:
    """Return ``data`` if it is a ``kind``, else raise."""
    if not isinstance(data, kind):
        raise ValueError(f"{where}: {data!r} is not of type {kind.__name__}")
    return data
