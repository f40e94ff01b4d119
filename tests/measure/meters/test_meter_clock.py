"""A remote clock's offset is bounded by every exchange, and an exchange that contradicts another is no exchange to trust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.measure.meters.clock import ClockJumpedError, Exchange, align, half_trip_ns

SECOND = 1_000_000_000


@given(
    offset=st.integers(-(10**18), 10**18),
    resolution=st.sampled_from([1, 1_000_000, SECOND]),
    trips=st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, SECOND), st.integers(0, SECOND)), min_size=1, max_size=8),
)
def test_the_true_offset_lies_within_the_error(offset: int, resolution: int, trips: list[tuple[int, int, int]]) -> None:
    """Whenever in the round trip the stamp was taken, and however coarse it is."""
    exchanges = []
    for sent, there, back in trips:
        stamp = (sent + there + offset) // resolution * resolution
        exchanges.append(Exchange(sent, sent + there + back, stamp, resolution))
    found = align(exchanges)
    assert abs(found.offset_ns - offset) <= found.error_ns + 1
    shortest = min(there + back for _, there, back in trips)
    assert found.error_ns <= (shortest + resolution) // 2 + 1


def test_exchanges_at_different_parts_of_a_tick_narrow_a_coarse_clock() -> None:
    exchanges = [
        Exchange(at, at + 1_000_000, (at + 5 * SECOND) // SECOND * SECOND, SECOND) for at in range(0, SECOND, 100_000_000)
    ]
    assert align(exchanges[:1]).error_ns > 400_000_000
    found = align(exchanges)
    assert found.error_ns < 60_000_000
    assert abs(found.offset_ns - 5 * SECOND) <= found.error_ns
    assert found.here(7 * SECOND) == 7 * SECOND - found.offset_ns


def test_a_clock_that_was_set_meanwhile_gives_no_offset() -> None:
    with pytest.raises(ClockJumpedError, match=r"jumped by at least 3\.6e\+03 s"):
        align([Exchange(0, 10, 0), Exchange(20, 30, 3600 * SECOND + 20)])


def test_no_exchange_and_an_answer_before_its_request_are_errors() -> None:
    with pytest.raises(ValueError, match="no exchange"):
        align([])
    with pytest.raises(ValueError, match="before its request"):
        align([Exchange(10, 9, 0)])


def test_half_a_trip_is_rounded_up() -> None:
    assert [half_trip_ns(0, trip) for trip in (0, 1, 2, 3)] == [0, 1, 1, 2]
