"""What a profile comes to: every nanosecond once, shares that add up to one, and nothing where nothing is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npubench.analyze.operators import MOST_KINDS, MOST_SHARES, NO_PLACE, NO_TIME, account_operators
from npubench.contract import OperatorTime
from npubench.measure.profiled import OPERATORS, Profile, profile_json, reason_json


def written(folder: Path, *found: OperatorTime, samples: int = 16, batch: int = 1) -> Path:
    path = folder / OPERATORS
    path.write_text(profile_json(Profile(samples, batch, found)), encoding="utf-8")
    return path


operators = st.builds(
    OperatorTime,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([f"Kind{n}" for n in range(MOST_KINDS + 20)]),
    st.integers(0, 10**12),
    st.integers(1, 100),
    st.sampled_from(["device", "host", ""]),
)


@given(st.lists(operators, min_size=1, max_size=MOST_SHARES + 30), st.integers(1, 64))
def test_shares_add_up_to_one_whatever_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, found: list[OperatorTime], samples: int
) -> None:
    told = account_operators(written(tmp_path_factory.getbasetemp(), *found, samples=samples))
    whole = sum(each.nanoseconds for each in found)
    if not whole:
        assert told.reason == told.total.reason == NO_TIME
        return
    rows = [*told.shares, *([told.others] if told.others else [])]
    assert sum(row.operators for row in rows) == len(found)
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert sum(row.ns for row in rows) == pytest.approx(told.total.value) == pytest.approx(whole / samples)
    assert [row.share for row in told.shares] == sorted((row.share for row in told.shares), reverse=True)
    assert len(told.shares) <= MOST_SHARES
    assert len(told.kinds) <= MOST_KINDS
    if len({(each.kind, each.where) for each in found}) <= MOST_KINDS:
        assert sum(kind.share for kind in told.kinds) == pytest.approx(1)


def test_times_are_a_sample_and_by_kind_and_place(tmp_path: Path) -> None:
    found = (
        OperatorTime("conv1", "Conv", 6_000, 16, "device"),
        OperatorTime("conv2", "Conv", 3_000, 16, "device"),
        OperatorTime("resize", "Resize", 1_000, 16, "host"),
    )
    told = account_operators(written(tmp_path, *found, samples=32, batch=2))
    assert (told.reason, told.samples, told.batch) == (None, 32, 2)
    assert told.total.value == pytest.approx(10_000 / 32)
    assert told.host_share.value == pytest.approx(0.1)
    assert [(k.kind, k.where, k.operators, k.calls, k.share) for k in told.kinds] == [
        ("Conv", "device", 2, 32, pytest.approx(0.9)),
        ("Resize", "host", 1, 16, pytest.approx(0.1)),
    ]
    assert [each.name for each in told.shares] == ["conv1", "conv2", "resize"]
    assert told.others is None


def test_the_host_has_no_share_where_the_runtime_does_not_say_who_ran_where(tmp_path: Path) -> None:
    found = (OperatorTime("a", "Conv", 90, 1, "device"), OperatorTime("b", "Add", 10, 1))
    told = account_operators(written(tmp_path, *found))
    assert (told.host_share.value, told.host_share.reason) == (None, NO_PLACE)
    assert told.total.value is not None


def test_what_is_missing_is_a_reason_and_never_zero(tmp_path: Path) -> None:
    told = account_operators(tmp_path / OPERATORS)
    assert told.reason == told.total.reason == told.host_share.reason == "there is no profile of this run"
    assert told.total.value is told.host_share.value is None
    (tmp_path / OPERATORS).write_text(reason_json("the card is warm"), encoding="utf-8")
    assert account_operators(tmp_path / OPERATORS).reason == "the card is warm"
