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
        ranging_s: Ranging run at the measured load before the baseline, where power is measured, s; 0 = none.
        checked: Timed queries whose outputs are compared with the accuracy phase.
        ranked: Whether such runs may be ranked and published.
        audit_s: An audit that compares two loads measures each for at least this long, s.
        audited: Whether audits are carried out unasked.
        most_warm_ups: Warm-up windows of ``warm_up_s`` at most, where the level has not settled before.
        most_repeats: Fresh processes a plan entry at most, where their interval is still wide after ``repeats``.
        half_width: How wide is wide: half the interval of the headline over repeats ÷ its value.
    """

    name: GradeName
    duration_s: float
    repeats: int
    warm_up_s: float
    baseline_s: float
    ranging_s: float
    checked: int
    ranked: bool
    audit_s: float
    audited: bool = False
    most_warm_ups: int = 3
    most_repeats: int = 1
    half_width: float = 0.02


#: Design §6. The warm-up of nightly and official runs is long enough for a card to leave its idle clocks; a ranging run holds
#: 30 updates of the slowest sensor that moves once a second, twice over. A card reaches its steady temperature within some
#: minutes: official runs wait five for it, nightly ones half of one, of which a machine has many. Half a width of 2 % is the
#: field's line for "materially different" (``npubench.analyze.intervals.MATERIAL``); eight processes of ten minutes are a
#: morning for a dozen cells, and from there on every further one narrows the interval by less than a tenth.
GRADES: dict[str, Grade] = {
    "smoke": Grade("smoke", 1.0, 1, 0.25, 0.5, 0.0, 16, False, audit_s=0.3),
    "nightly": Grade("nightly", 60.0, 1, 5.0, 5.0, 0.0, 64, True, audit_s=5.0, most_warm_ups=6),
    "official": Grade(
        "official", 600.0, 3, 30.0, 30.0, 60.0, 256, True, audit_s=30.0, audited=True, most_warm_ups=10, most_repeats=8
    ),
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
