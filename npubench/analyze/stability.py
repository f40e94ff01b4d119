"""Whether a run held still: warm-up, change-points, modes, outliers. Pure functions of a trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from npubench.analyze.estimate import RECORD_CONFIG


@dataclass(frozen=True, slots=True)
class Stability:
    """How still a run held; null where the run is too short to say."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    warm_up_windows: int | None
    """How many warm-up windows were run before the rule held, or before the limit."""
    warmed_up: bool | None
    """Whether the rule held: the last two warm-up windows differ by less than is material."""
    change_points: tuple[float, ...] = ()
    """Where the level of latency (of rate, in offline) changed: seconds since the window's start."""
    modes: int | None = None
    """How many humps the distribution of latency has."""
    outlier_share: float | None = None
    """The part of queries that took far longer than the rest."""
