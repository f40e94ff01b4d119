"""Operators with their times, from the performance counters of a compiled model (``PERF_COUNT``).

What an infer request tells of an operator on the CPU is the mean over all its calls since the model was compiled, the first
and slowest among them, cut to whole µs (OpenVINO 2026.4: seen by asking after each request). So counters are read after some
requests that warm up and again at the end, and what the requests in between took is the difference of the sums. Cutting off
leaves an operator uncertain by about 1 µs a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from npubench.contract import Device, OperatorTime, Tensors, Unsupported
from npubench_openvino.executor import OpenVinoExecutor
from npubench_openvino.graphs import Loaded

#: Requests that come first and count nowhere.
_WARM_UP = 3

#: What a model is compiled or imported with beside the target's own properties. Each stream counts by itself, and a request
#: tells of whichever it was in last.
COUNTING: Mapping[str, Any] = {"PERF_COUNT": True, "NUM_STREAMS": 1}


def hold_to_cpu(target: str, device: Device) -> None:
    """Make sure that the counters mean what is known of them.

    Raises:
        Unsupported: The target is another device than the CPU.
    """
    if target != "CPU":
        raise Unsupported(f"what OpenVINO's counters mean on {device.kind} has not been tried; only the CPU's are known")


def operator_times(loaded: Loaded, inputs: Sequence[Tensors]) -> list[OperatorTime]:
    """Run requests on models that count, and return what each operator took in those after the warm-up.

    Args:
        loaded: Models made with :data:`COUNTING`.
        inputs: Requests of one size.
    """
    executor = OpenVinoExecutor(loaded, 1)
    try:
        size = len(next(iter(inputs[0].values())))
        for _ in range(_WARM_UP):
            executor.execute(inputs[0])
        before = {info.node_name: _micros(info) for info in executor.counters(size)}
        for request in inputs:
            executor.execute(request)
        return between(before, executor.counters(size), len(inputs))
    finally:
        executor.close()


def between(before: Mapping[str, int], after: Sequence[Any], requests: int) -> list[OperatorTime]:
    """Return the times of the requests between two readings of the counters.

    Args:
        before: Operator → its mean over the warm-up, µs.
        after: OpenVINO's ``ProfilingInfo`` of every operator, over warm-up and requests.
        requests: How many there were in between.
    """
    found = []
    for info in after:
        # What was fused into another or is known beforehand is not run.
        if info.status.name == "EXECUTED":
            warmed = before.get(info.node_name, 0) * _WARM_UP
            micros = max(0, _micros(info) * (_WARM_UP + requests) - warmed)
            found.append(OperatorTime(info.node_name, info.node_type, micros * 1000, requests, "device"))
    return found


def _micros(info: Any) -> int:
    """Return a counter, µs."""
    time = info.real_time
    return int((time.days * 86_400 + time.seconds) * 1_000_000 + time.microseconds)
