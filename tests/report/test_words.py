"""Figures on a terminal are scaled and short; what is missing is a dash and never 0."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from npubench.analyze.estimate import Estimate, absent
from npubench.record.store import Entry
from npubench.report.words import figure_text, headline_text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (6_520_000, "ns", "6.52 ms"),
        (42, "ns", "42 ns"),
        (1_000, "ns", "1 µs"),
        (2.5e9, "ns", "2.5 s"),
        (0, "ns", "0 ns"),
        (0.98765, "ratio", "0.9877"),
        (12345.6, "samples/s", "12,346 samples/s"),
        (123.45, "samples/s", "123.5 samples/s"),
        (1.2345, "J", "1.23 J"),
        (None, "ns", "—"),
    ],
)
def test_a_figure_is_scaled_and_short(value: float | None, unit: str, text: str) -> None:
    assert figure_text(value, unit) == text


def test_a_headline_that_is_absent_says_so_beside_the_median(add: Callable[..., Entry]) -> None:
    short = add(metrics={"latency_p90": absent("ns", "short"), "latency_p50": Estimate(1e6, "ns")}).record
    assert headline_text(short) == "p90 — (p50 1 ms)"
    assert headline_text(add("b", status="failed").record) == "—"
    assert headline_text(add("c").record).startswith("p90 1.1")
