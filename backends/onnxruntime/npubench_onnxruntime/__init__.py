"""ONNX Runtime as a backend: the CPU, and whichever execution providers the installed build offers.

Devices are named after providers: ``CPUExecutionProvider`` is ``cpu``, ``CUDAExecutionProvider`` is ``cuda``.
A provider other than the CPU runs every operator itself, or the session is refused, unless
``allow_host_operators`` is set; which operators ran where is taken from the session's own graph assignment.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from npubench.contract import (
    Artefact,
    Availability,
    Backend,
    Device,
    Executor,
    Model,
    Offload,
    Rung,
    Support,
    Tensors,
    TensorSpec,
)

_CPU = "CPUExecutionProvider"
_SUFFIX = "ExecutionProvider"
#: A remote service and a training helper: no devices of this machine.
_NOT_DEVICES = {"AzureExecutionProvider"}

_LEVELS = {"off": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED", "all": "ORT_ENABLE_ALL"}

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(uint16)": "uint16",
    "tensor(int32)": "int32",
    "tensor(uint32)": "uint32",
    "tensor(int64)": "int64",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Options of a session.

    Args:
        threads: Threads inside an operator; 0 = one a physical core, or one a core that the process is confined to.
        inter_threads: Threads across operators; used with ``parallel`` alone.
        parallel: Run independent operators at the same time.
        graph: Level of graph optimisation: ``off``, ``basic``, ``extended`` or ``all``.
        spin: Let idle threads spin for work: lower latency, more watts.
        streams: How many requests may be in ``run`` at once.
        allow_host_operators: Let a provider leave operators to the CPU. Such a run is labelled and never ranked.
        provider_options: Passed to the execution provider as they are.
    """

    threads: int = 0
    inter_threads: int = 0
    parallel: bool = False
    graph: Literal["off", "basic", "extended", "all"] = "all"
    spin: bool = True
    streams: int = 1
    allow_host_operators: bool = False
    provider_options: dict[str, str] = field(default_factory=dict)


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime, whichever build is installed."""

    Options: ClassVar[type] = SessionOptions

    def probe(self) -> Availability:
        """Say which providers the installed build has."""
        try:
            ort = importlib.import_module("onnxruntime")
            providers = [p for p in ort.get_available_providers() if p not in _NOT_DEVICES]
        except ModuleNotFoundError:
            return Availability(Rung.NOT_INSTALLED, "onnxruntime is not installed; pip install 'npubench-onnxruntime[cpu]'")
        except Exception as error:
            return Availability(Rung.SDK_BROKEN, f"onnxruntime cannot be used: {type(error).__name__}: {error}")
        versions = {"onnxruntime": str(ort.__version__)}
        devices = tuple(
            Device(name=p.removesuffix(_SUFFIX).lower(), kind=p, details={"build": str(ort.get_device())}) for p in providers
        )
        return Availability(Rung.READY, versions=versions, devices=devices)

    def supports(self, model: Model, device: Device) -> Support:
        """Say that ORT runs what it is given: it has no quantiser of its own for the precision ``vendor``."""
        if model.precision == "vendor":
            return Support(False, "ONNX Runtime has no quantiser of its own; int8 is the variant made with its tools")
        return Support(True)

    def load(self, artefact: Artefact, device: Device, options: SessionOptions) -> Executor:
        """Open a session on one provider."""
        return OnnxRuntimeExecutor(artefact, device, options)


class OnnxRuntimeExecutor(Executor):
    """One ``InferenceSession``."""

    def __init__(self, artefact: Artefact, device: Device, options: SessionOptions) -> None:
        ort = importlib.import_module("onnxruntime")
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads or _allowed_cores()
        settings.inter_op_num_threads = options.inter_threads
        settings.execution_mode = ort.ExecutionMode.ORT_PARALLEL if options.parallel else ort.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[options.graph])
        settings.log_severity_level = 3
        settings.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.spin else "0")
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        providers: list[Any] = [(device.kind, options.provider_options)] if options.provider_options else [device.kind]
        if device.kind != _CPU:
            if options.allow_host_operators:
                providers.append(_CPU)
            else:
                settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        self._session = ort.InferenceSession(str(artefact.path), settings, providers=providers)
        self._provider = device.kind
        self.inputs = [_spec(node) for node in self._session.get_inputs()]
        self.outputs = [_spec(node) for node in self._session.get_outputs()]
        self._names = [spec.name for spec in self.outputs]
        fixed = [spec.shape[0] for spec in (*self.inputs, *self.outputs) if spec.shape and spec.shape[0] is not None]
        self.max_batch = min(fixed) if fixed else None
        self.max_in_flight = max(1, options.streams)

    def execute(self, inputs: Tensors) -> Tensors:
        """Run the session; ORT allocates fresh outputs for every call."""
        return dict(zip(self._names, self._session.run(self._names, inputs), strict=True))

    def offload(self) -> Offload | None:
        """Count operators by provider from the session's graph assignment."""
        assignment = getattr(self._session, "get_provider_graph_assignment_info", None)
        if assignment is None:
            return None
        on_device, on_host, host_types = 0, 0, set()
        for part in assignment():
            nodes = part.get_nodes()
            if part.ep_name == self._provider:
                on_device += len(nodes)
            else:
                on_host += len(nodes)
                host_types |= {node.op_type for node in nodes}
        return Offload(on_device, on_host, "ORT graph assignment", tuple(sorted(host_types)))

    def notes(self) -> Mapping[str, str]:
        """Return the providers the session lists; a provider listed here may have run nothing."""
        return {"providers": ", ".join(self._session.get_providers())}

    def close(self) -> None:
        """Drop the session; its threads end with it."""
        self._session = None


def _allowed_cores() -> int:
    """Return the cores this process is confined to, or 0 (ORT's own choice: one thread a physical core) where it is not.

    ORT counts the machine's cores whatever the affinity, and threads that share a core wait for one another.
    """
    if not hasattr(os, "sched_getaffinity"):
        return 0
    allowed = len(os.sched_getaffinity(0))
    return allowed if allowed < (os.cpu_count() or allowed) else 0


def _spec(node: Any) -> TensorSpec:
    """Turn ORT's description of an input or output into a TensorSpec; symbolic lengths are free."""
    if node.type not in _DTYPES:
        raise TypeError(f"tensor '{node.name}' is {node.type}; numpy has no such tensor")
    shape = tuple(n if isinstance(n, int) and n > 0 else None for n in node.shape)
    return TensorSpec(name=node.name, dtype=np.dtype(_DTYPES[node.type]).name, shape=shape)
