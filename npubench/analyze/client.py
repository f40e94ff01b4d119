"""How the harness itself fared in the window: whether the figure is the device's or the client's. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from npubench.analyze.estimate import RECORD_CONFIG


@dataclass(frozen=True, slots=True)
class Client:
    """The harness's own health in the measured window; null where the platform does not tell."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    lag_p99_ns: float | None
    """How late requests reached the executor at the 99th percentile, ns."""
    cpu_share: float | None
    """CPU time of the worker's process over the window, in cores: 1 is one core kept busy."""
    run_delay_share: float | None
    """Time its threads were ready to run and waited for a core, over the window."""
    major_faults: int | None
    """Page faults in the window that went to a disk."""
    foreign_cpu_share: float | None
    """CPU time of other processes on the cores the worker may use, in cores."""
    foreign: tuple[str, ...] = ()
    """The busiest of those processes, and any that holds the device, by name."""
