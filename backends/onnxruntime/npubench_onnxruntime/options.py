"""What a target may say of a session: one frozen dataclass, as the contract asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


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
        io_binding: Keep inputs and outputs bound between requests, so that a GPU's buffers are not allocated again;
            unset = on a GPU, and nowhere else. Requests begin and end in host memory either way.
        allow_host_operators: Let a provider leave operators to the CPU. Such a run is labelled and never ranked.
        provider_options: Passed to the execution provider as they are.
    """

    threads: int = 0
    inter_threads: int = 0
    parallel: bool = False
    graph: Literal["off", "basic", "extended", "all"] = "all"
    spin: bool = True
    streams: int = 1
    io_binding: bool | None = None
    allow_host_operators: bool = False
    provider_options: dict[str, str] = field(default_factory=dict)
