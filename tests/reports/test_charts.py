"""Ticks are few and round, and words are cut only where they must."""

from __future__ import annotations

import pytest

from npubench_reports import charts


@pytest.mark.parametrize("span", [(1.0, 1.01), (1.0, 3.0), (1.0, 80.0), (1.0, 1e9), (0.02, 0.5)])
def test_log_ticks_are_few_round_and_inside(span: tuple[float, float]) -> None:
    ticks = charts.log_ticks(*span)
    assert 2 <= len(ticks) <= 10
    assert all(span[0] <= value <= span[1] for value, _ in ticks)


def test_labels_are_shortened_only_where_they_must() -> None:
    assert charts.shorten("짧은 이름", 100) == "짧은 이름"
    long = charts.shorten("아주 아주 긴 비교 대상의 이름 · fp32", 100)
    assert long.endswith("…")
    assert charts.text_width(long) <= 100
