"""The three grades: how strictly a run is measured. Never loosened by a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from npubench.contract.runspec import Scenario

GradeName = Literal["smoke", "nightly", "official"]


@dataclass(frozen=True, slots=True)
class Grade:
    """What a grade asks of every run.

    Args:
        name: ``smoke``, ``nightly`` or ``official``.
        duration_s: The measured window is at least this long, s.
        repeats: Fresh processes a plan entry.
        warm_up_s: Warm-up at the measured load, s.
        baseline_s: Idle baseline before the window, where there are sensors, s.
        checked: Timed queries whose outputs are compared with the accuracy phase.
        ranked: Whether such runs may be ranked and published.
    """

    name: GradeName
    duration_s: float
    repeats: int
    warm_up_s: float
    baseline_s: float
    checked: int
    ranked: bool


#: Design §6. The warm-up of nightly and official runs is long enough for a card to leave its idle clocks.
GRADES: dict[str, Grade] = {
    "smoke": Grade("smoke", 1.0, 1, 0.25, 0.5, 16, False),
    "nightly": Grade("nightly", 60.0, 1, 5.0, 5.0, 64, True),
    "official": Grade("official", 600.0, 3, 30.0, 30.0, 256, True),
}

#: The tail each scenario is judged by (MLPerf inference rules): p90 single-stream, p99 multi-stream and server.
TAIL: dict[Scenario, float] = {
    Scenario.SINGLE_STREAM: 0.90,
    Scenario.MULTI_STREAM: 0.99,
    Scenario.SERVER: 0.99,
    Scenario.OFFLINE: 0.99,
}

#: Fewest queries that certify the tail at 99 % confidence (LoadGen's early stopping): p90 64, p99 662.
#: A smoke run of multi-stream is spared the 662: its p99 is then absent, with the reason.
FEWEST: dict[Scenario, int] = {Scenario.SINGLE_STREAM: 64, Scenario.MULTI_STREAM: 662, Scenario.SERVER: 662, Scenario.OFFLINE: 1}
FEWEST_SMOKE: dict[Scenario, int] = {**FEWEST, Scenario.MULTI_STREAM: 24}

#: MLPerf's multi-stream query has 8 samples; offline sends batches of 8 unless the suite says otherwise.
MULTI_STREAM_SAMPLES = 8
BATCH: dict[Scenario, int] = {Scenario.SINGLE_STREAM: 1, Scenario.MULTI_STREAM: 8, Scenario.SERVER: 1, Scenario.OFFLINE: 8}


def fewest_queries(grade: Grade, scenario: Scenario) -> int:
    """Return how many queries a window has at least."""
    return (FEWEST if grade.ranked else FEWEST_SMOKE)[scenario]
