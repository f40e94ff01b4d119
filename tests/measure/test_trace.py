"""The trace is what the columns hold; it is read back as written, and a damaged one says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.measure.trace import Columns, Trace, freeze, read_trace, write_trace


def filled(rows: list[tuple[int, int, int, int, int]], capacity: int = 100) -> Columns:
    columns = Columns(capacity)
    for n, (issued, started, done, sample, query) in enumerate(rows):
        columns.issued[n], columns.started[n], columns.done[n] = issued, started, done
        columns.sample[n], columns.query[n] = sample, query
    columns.rows = len(rows)
    return columns


ROWS = [(100, 110, 300, 5, 0), (100, 115, 250, 6, 0), (320, 330, 340, 7, 1)]


def test_only_rows_that_were_reached_are_in_the_trace() -> None:
    trace = freeze(filled(ROWS), None, {"a": 1})
    assert (trace.samples, trace.queries) == (3, 2)
    np.testing.assert_array_equal(trace.done_ns, [300, 250, 340])
    np.testing.assert_array_equal(trace.sample, [5, 6, 7])
    assert trace.details == {"a": 1}


def test_the_window_is_from_the_first_due_to_the_last_done() -> None:
    trace = freeze(filled(ROWS), None, {})
    assert (trace.start_ns, trace.end_ns, trace.window_ns) == (100, 340, 240)


def test_a_querys_latency_ends_with_its_last_sample() -> None:
    np.testing.assert_array_equal(freeze(filled(ROWS), None, {}).query_latencies_ns(), [200, 20])


def test_nothing_issued_is_an_empty_trace() -> None:
    for schedule in (None, np.array([0, 5], np.int64)):
        trace = freeze(filled([]), schedule, {})
        assert (trace.samples, trace.queries, trace.window_ns) == (0, 0, 0)
        assert trace.query_latencies_ns().size == 0


def test_server_latency_counts_from_when_a_query_was_due() -> None:
    # Due at 1000 + 0, 10, 40, 41: the second was issued on time, the others late.
    schedule = np.array([0, 10, 40, 41], np.int64)
    rows = [(1003, 1003, 1004, 0, 0), (1010, 1011, 1020, 1, 1), (1060, 1060, 1070, 2, 2), (1061, 1070, 1080, 3, 3)]
    trace = freeze(filled(rows), schedule, {})
    np.testing.assert_array_equal(trace.scheduled_ns, [1000, 1010, 1040, 1041])
    np.testing.assert_array_equal(trace.query_latencies_ns(), [4, 10, 30, 39])
    assert trace.start_ns == 1000


@given(
    lags=st.lists(st.integers(0, 10**6), min_size=1, max_size=20),
    gaps=st.lists(st.integers(0, 10**7), min_size=20, max_size=20),
    start=st.integers(10**9, 10**15),
)
def test_the_schedule_is_anchored_where_the_most_punctual_query_was_issued(lags: list[int], gaps: list[int], start: int) -> None:
    schedule = np.cumsum([0, *gaps[1 : len(lags)]]).astype(np.int64)
    rows = [
        (start + int(due) + lag, 1, start + int(due) + lag + 5, 0, n)
        for n, (due, lag) in enumerate(zip(schedule, lags, strict=True))
    ]
    trace = freeze(filled(rows), schedule, {})
    assert (trace.scheduled_ns <= trace.issued_ns).all()
    np.testing.assert_array_equal(trace.scheduled_ns, start + schedule + min(lags))


def test_an_early_end_leaves_the_rest_of_the_schedule_out() -> None:
    trace = freeze(filled([(10, 10, 11, 0, 0)]), np.array([0, 100, 200], np.int64), {})
    assert (trace.queries, trace.end_ns) == (1, 11)


def same(a: Trace, b: Trace) -> None:
    for name in ("issued_ns", "started_ns", "done_ns", "scheduled_ns", "sample", "query"):
        left, right = getattr(a, name), getattr(b, name)
        assert left.dtype == right.dtype == np.int64
        np.testing.assert_array_equal(left, right)
    assert (a.start_ns, a.end_ns, a.details) == (b.start_ns, b.end_ns, b.details)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2**60), st.integers(0, 2**60), st.integers(0, 2**60), st.integers(0, 99)), max_size=10
    ),
    details=st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=3),
)
def test_a_trace_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, ...]], details: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("trace") / "trace.npz"
    trace = freeze(filled([(*row, n) for n, row in enumerate(rows)]), None, details)  # type: ignore[misc]
    write_trace(trace, path)
    same(read_trace(path), trace)


def test_a_server_trace_keeps_its_schedule(tmp_path: Path) -> None:
    trace = freeze(filled([(1003, 1003, 1004, 0, 0), (1010, 1011, 1020, 1, 1)]), np.array([0, 10], np.int64), {})
    write_trace(trace, tmp_path / "trace.npz")
    same(read_trace(tmp_path / "trace.npz"), trace)


def test_a_missing_trace_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_trace(tmp_path / "trace.npz")


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_trace_says_so(tmp_path: Path, make_trace: Callable[..., Trace], keep: float) -> None:
    path = tmp_path / "trace.npz"
    write_trace(make_trace(range(1, 500)), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ValueError, match=r"trace\.npz|No data left|EOF"):
        read_trace(path)


def test_a_flipped_byte_never_gives_other_numbers(tmp_path: Path, make_trace: Callable[..., Trace]) -> None:
    path = tmp_path / "trace.npz"
    trace = make_trace(range(1, 300))
    write_trace(trace, path)
    content = path.read_bytes()
    for at in range(7, len(content), 41):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        try:
            read = read_trace(path)
        except (ValueError, OSError):
            continue
        same(read, trace)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"version": 99}, "trace version 99, this npubench reads 1"),
        ({}, "damaged trace"),
        ([], "damaged trace"),
        ({"version": 1}, "damaged trace"),
    ],
)
def test_another_version_or_header_says_so(tmp_path: Path, header: object, words: str) -> None:
    path = tmp_path / "trace.npz"
    np.savez(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8))
    with pytest.raises(ValueError, match=words):
        read_trace(path)


def test_a_file_of_pickles_is_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "trace.npz", header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        read_trace(tmp_path / "trace.npz")
