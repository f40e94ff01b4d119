"""What a backend tells where its runtime times operators: how long each took, by the runtime's own clock and no other.

Profiling slows a runtime down, so the harness asks for it in a process of its own, after a run's measured one is gone, and
shows what it hears beside the run's figures, never instead of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """One operator of the model as it runs: after fusion, so that it may stand for several of the ONNX graph.

    Args:
        name: The runtime's name of it, such as ``"conv1/Conv"``.
        kind: Its type, such as ``"Conv"``.
        nanoseconds: How long all its calls took together, ns, by the runtime's own clock; without what operators inside of
            it took, which are told on their own. A step of the clock that it stays below is 0.
        calls: How often it ran over all requests; an operator in a loop runs several times a request.
        where: ``"device"``, ``"host"`` for one that fell back to the host's CPU, ``""`` where the runtime does not say.
    """

    name: str
    kind: str
    nanoseconds: int
    calls: int
    where: Literal["device", "host", ""] = ""
