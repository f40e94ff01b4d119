"""Operators with their times, from the trace that ONNX Runtime's own profiler writes.

Of the trace's events (a JSON array, as chrome://tracing reads it) those of category ``Node`` whose name ends in
``_kernel_time`` are calls of operators; ``ts`` and ``dur`` are µs by ONNX Runtime's clock. ``model_run`` is one request.
"""

from __future__ import annotations

import json
import tempfile
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from npubench.contract import Artefact, Device, OperatorTime, Tensors, Unsupported
from npubench_onnxruntime.devices import CPU
from npubench_onnxruntime.options import SessionOptions
from npubench_onnxruntime.session import open_session

#: Requests that come first and count nowhere.
_WARM_UP = 3
_KERNEL = "_kernel_time"
_REQUEST = "model_run"

#: Providers that queue work and return: what ONNX Runtime times for them is the call on the host, not the device.
_QUEUE = ("CUDA", "Tensorrt", "NvTensorRTRTX", "ROCM", "MIGraphX", "Dml", "WebGpu", "Js", "CANN")


class _Call(NamedTuple):
    """One call of an operator: what it is of, and its own time without what ran inside of it, µs."""

    name: str
    kind: str
    provider: str
    own_us: int


def operator_times(artefact: Artefact, device: Device, options: SessionOptions, inputs: Sequence[Tensors]) -> list[OperatorTime]:
    """Run requests in a session that profiles, one operator after the other, and return what each operator took.

    Raises:
        Unsupported: The device's provider is one whose operators are not over when ONNX Runtime's clock stops.
    """
    provider = device.details.get("provider", device.kind)
    if provider.startswith(_QUEUE):
        raise Unsupported(
            f"ONNX Runtime times the call of {provider}'s operators on the host, which returns before the device is done"
        )
    with tempfile.TemporaryDirectory(prefix="npubench-onnxruntime-") as folder:
        session = open_session(artefact, device, options, str(Path(folder) / "trace")).session
        names = [node.name for node in session.get_outputs()]
        for request in (*[inputs[0]] * _WARM_UP, *inputs):
            session.run(names, dict(request))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return from_trace(events, provider, len(inputs))


def from_trace(events: Sequence[Mapping[str, Any]], provider: str, requests: int) -> list[OperatorTime]:
    """Add a trace's events up by operator, over its last ``requests`` requests.

    Args:
        events: The trace.
        provider: The one that was asked for; what another runs has fallen back to the host.
        requests: How many of the requests count; those before them warmed up.

    Raises:
        RuntimeError: The trace has fewer requests: ONNX Runtime stops writing after very many events.
    """
    runs = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e.get("name") == _REQUEST)[-requests:]
    if len(runs) < requests:
        raise RuntimeError(f"ONNX Runtime's trace has {len(runs)} requests of {requests}: it was cut off")
    sums: dict[tuple[str, str, str], list[int]] = {}
    for call in _calls(events, runs):
        told = sums.setdefault((call.name, call.kind, call.provider), [0, 0])
        told[0] += call.own_us
        told[1] += 1
    return [
        OperatorTime(name, kind, own_us * 1000, calls, _where(ran_by, provider))
        for (name, kind, ran_by), (own_us, calls) in sums.items()
    ]


def _calls(events: Sequence[Mapping[str, Any]], runs: Sequence[tuple[int, int]]) -> list[_Call]:
    """Return the calls inside of ``runs``.

    An operator with a graph of its own, such as Loop or If, is timed with all that runs in it, and each of those as well. What
    is inside is taken off, so that no time counts twice: per thread, events nest, as the executor runs one after the other.
    """
    starts = [start for start, _ in runs]
    inside: dict[Any, list[Mapping[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and str(event.get("name", "")).endswith(_KERNEL):
            at = bisect_right(starts, event["ts"]) - 1
            if at >= 0 and event["ts"] <= runs[at][1]:
                inside.setdefault(event.get("tid"), []).append(event)
    calls = []
    for thread in inside.values():
        # The outer one first where two begin in the same microsecond.
        thread.sort(key=lambda e: (e["ts"], -e["dur"]))
        own = [int(event["dur"]) for event in thread]
        around: list[int] = []
        for n, event in enumerate(thread):
            while around and not _holds(thread[around[-1]], event):
                around.pop()
            if around:
                own[around[-1]] -= int(event["dur"])
            around.append(n)
        calls += [_call(event, max(0, us)) for event, us in zip(thread, own, strict=True)]
    return calls


def _holds(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> bool:
    """Say whether one event lies in another; one without a length ends where it begins and holds nothing."""
    end = int(outer["ts"]) + int(outer["dur"])
    return bool(inner["ts"] < end and inner["ts"] + inner["dur"] <= end)


def _call(event: Mapping[str, Any], own_us: int) -> _Call:
    said = event.get("args", {})
    kind = str(said.get("op_name", "")) or "unnamed"
    name = str(event["name"]).removesuffix(_KERNEL) or f"{kind} {said.get('node_index', '')}".strip()
    return _Call(name, kind, str(said.get("provider", "")), own_us)


def _where(ran_by: str, provider: str) -> Literal["device", "host", ""]:
    if not ran_by:
        return ""
    return "device" if ran_by == provider else "host" if ran_by == CPU else ""
