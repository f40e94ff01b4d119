"""Memory that grows is found at its rate; what fills up, jumps or wanders is not taken for it, and too little is no figure."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.analyze import memory
from npubench.analyze.memory import ALLOWANCE, FEWEST, Kept, Memory, account_memory, growing, judge_memory, slope
from npubench.measure.memory import UNTOLD, MemoryTrack

SECOND, MIB = 1_000_000_000, 1 << 20
#: Samples a second of the runs here, and readings of them.
RATE, READINGS = 1000, 60
BASE = 100 * MIB


def account(
    levels: Any, rate: int = RATE, phases: tuple[str, ...] = ("load-executor", "measure"), kept: Kept | None = None
) -> Memory:
    """Return the account of a run whose window has these levels, once a second; it held half as much once loaded."""
    n = len(levels)
    times = np.arange(-1, n, dtype=np.int64) * SECOND + SECOND // 2
    held = np.concatenate([[levels[0] / 2], levels]).astype(np.int64)
    phase = np.array([0] + [1] * n)
    trace: Any = SimpleNamespace(
        start_ns=0, end_ns=n * SECOND, done_ns=np.random.default_rng(0).permutation(np.arange(n * rate) * (SECOND // rate))
    )
    return account_memory(MemoryTrack(times, held, phase, phase + 1, phases), trace, kept)


def noise(scale: float, seed: int = 0, n: int = READINGS) -> Any:
    return np.random.default_rng(seed).normal(0, scale, n)


TIME = np.arange(READINGS)


@pytest.mark.parametrize("kept", [200, 1024, 65_536])
def test_a_leak_is_found_at_its_rate(kept: int) -> None:
    made = account(BASE + kept * RATE * TIME + noise(20.0 * kept))
    assert made.growth.value == pytest.approx(kept, rel=0.05)
    assert made.growth.low is not None and made.growth.high is not None
    assert made.growth.low <= kept <= made.growth.high
    assert made.samples == (READINGS - 1) * RATE
    (finding,) = judge_memory(made)
    assert (finding.rule, finding.severity) == ("memory-growth", "warning")
    assert finding.evidence["added_mib"] == pytest.approx(kept * made.samples / MIB, rel=0.06, abs=0.1)


def test_outputs_that_the_harness_keeps_are_not_the_plug_ins() -> None:
    """Large outputs of 60 requests, kept until the window is over, are gigabytes; a leak beside them is seen all the same."""
    each = 24 * MIB
    kept = Kept(np.arange(READINGS, dtype=np.int64) * SECOND, READINGS * each)
    levels = BASE + each * (TIME + 1)
    assert growing(account(levels)) is not None
    honest = account(levels, kept=kept)
    assert honest.growth.value == 0.0
    assert growing(honest) is None
    assert honest.end.value == levels[-1]
    leaking = account(levels + 1024 * RATE * TIME, kept=kept)
    assert leaking.growth.value == pytest.approx(1024, rel=0.01)
    assert growing(leaking) is not None


def test_a_leak_in_chunks_of_an_allocator_is_found() -> None:
    chunk = 4 * MIB
    assert growing(account(BASE + (1024 * RATE * TIME) // chunk * chunk)) is not None


HONEST = {
    "steady": BASE + 0 * TIME,
    "noise": BASE + noise(MIB),
    "what the harness keeps": BASE + 14 * RATE * TIME,
    "one jump": BASE + np.where(TIME > 30, 16 * MIB, 0),
    "two jumps": BASE + np.where(TIME > 20, 16 * MIB, 0) + np.where(TIME > 40, 16 * MIB, 0),
    "a pool that fills": BASE + 64 * MIB * (1 - np.exp(-TIME / 6)) + noise(1e5),
    "a sawtooth": BASE + 32 * MIB * ((TIME / 7.3) % 1),
    "shrinking": BASE - 1024 * RATE * TIME,
    "small beside what is held": 40 * BASE + 100 * RATE * TIME,
}


@pytest.mark.parametrize("name", HONEST)
def test_what_is_no_leak_is_not_called_one(name: str) -> None:
    made = account(HONEST[name])
    assert made.growth.value is not None
    assert list(judge_memory(made)) == []


def test_what_wanders_is_seldom_called_a_leak() -> None:
    """A walk without a drift has no rate; 3 % of such windows look like one that has (300 trials)."""
    walks = [account(BASE + np.cumsum(noise(MIB, seed))) for seed in range(40)]
    assert sum(growing(made) is not None for made in walks) <= 4


def test_levels_and_the_highest_with_its_phase_are_told() -> None:
    levels = np.full(READINGS, BASE)
    levels[7] = 3 * BASE
    made = account(levels)
    assert (made.loaded.value, made.start.value, made.end.value, made.peak.value) == (BASE / 2, BASE, BASE, 3 * BASE)
    assert (made.peak_phase, made.readings, made.processes) == ("measure", READINGS, 2)
    assert made.start.unit == "B"


def test_too_few_readings_have_levels_and_no_growth() -> None:
    made = account(np.full(FEWEST - 1, BASE))
    assert made.end.value == BASE
    assert made.growth.value is None
    assert made.growth.reason == f"needs {FEWEST} readings of the memory, there are {FEWEST - 1}"
    assert growing(made) is None


def test_nothing_completed_between_readings_is_no_growth() -> None:
    assert slope(np.full(30, 5), np.arange(30.0)).reason == memory.STANDING


def test_a_run_without_a_window_has_what_was_seen_until_it_ended() -> None:
    track = MemoryTrack(*(np.array([n, n + 1]) for n in (5, 70, 0, 1)), phases=("load-executor", "accuracy"))
    made = account_memory(track, None)
    assert (made.loaded.value, made.peak.value, made.peak_phase) == (70, 71, "accuracy")
    assert {made.start.reason, made.end.reason, made.growth.reason, made.late.reason} == {memory.NO_WINDOW}
    assert made.samples is None


def test_a_window_between_two_readings_has_no_level() -> None:
    trace: Any = SimpleNamespace(start_ns=100, end_ns=200, done_ns=np.array([150]))
    track = MemoryTrack(
        *(np.array([n, n + 300]) for n in (5, 70)), np.array([0, 1]), np.array([1, 1]), ("load-executor", "measure")
    )
    made = account_memory(track, trace)
    assert made.loaded.value == 70
    assert made.start.reason == made.growth.reason == memory.UNREAD


def test_where_nothing_was_read_the_reason_is_everywhere() -> None:
    none = MemoryTrack(*(np.zeros(0, np.int64),) * 4, phases=("start",), reason=UNTOLD)
    trace: Any = SimpleNamespace(start_ns=0, end_ns=1, done_ns=np.array([1]))
    for made in (account_memory(none, None), account_memory(none, trace)):
        shown = (made.loaded, made.start, made.end, made.peak, made.growth, made.late)
        assert {estimate.reason for estimate in shown} == {UNTOLD}
        assert {estimate.value for estimate in shown} == {None}
        assert (made.peak_phase, made.processes) == (None, 0)


def test_many_readings_take_no_longer_than_some() -> None:
    n = 20_000
    made = slope(np.arange(n) * 10, 500.0 * np.arange(n))
    assert made.value == pytest.approx(50.0)
    assert made.n == n


def test_growth_that_has_stopped_is_none() -> None:
    made = account(BASE + 1024 * RATE * TIME)
    assert growing(made) is not None
    assert growing(replace(made, late=replace(made.late, value=ALLOWANCE))) is None
    assert growing(replace(made, growth=replace(made.growth, low=None))) is None


@given(st.lists(st.integers(0, 2**40), min_size=FEWEST, max_size=80), st.integers(1, 10**6))
def test_the_slope_is_within_its_interval_and_follows_the_units(values: list[int], step: int) -> None:
    done, held = np.arange(len(values)) * step, np.array(values, dtype=np.float64)
    made = slope(done, held)
    assert made.value is not None
    if made.low is not None and made.high is not None:
        assert made.low <= made.value <= made.high
    turned = slope(done, -held)
    assert turned.value == pytest.approx(-made.value, rel=1e-6, abs=1e-6)
